// watch_hub.cc: groups, cursors and progress.
#include "store/watch_hub.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::store {

namespace {

using namespace std::chrono_literals;
constexpr Duration kProgressDelay = 100ms;
// One return of next() holds about so much, so that a late reader does not take everything at once.
constexpr std::size_t kBatchesPerReturn = 1000;
constexpr std::size_t kBytesPerReturn = 1024 * 1024;

class WatchImpl;

// The watches of one range.
struct Group {
  std::string key, range_end;
  Revision since = 0;            // from here on `matched` knows every revision
  std::deque<Revision> matched;  // those that the history still holds
  Revision dropped = 0;          // the highest that it has lost
  std::vector<WatchImpl*> watches;
  KeyRange range() const { return KeyRange{key, range_end}; }
};
using GroupKey = std::pair<std::string, std::string>;

}  // namespace

struct WatchHub::State {
  State(Loop& l, WatchSource& s) : loop(l), source(&s) {}
  Loop& loop;
  WatchSource* source;  // null once closed
  std::map<GroupKey, std::shared_ptr<Group>> ranges;
  std::map<std::string, std::shared_ptr<Group>, std::less<>> singles;
  std::size_t want_previous = 0;
  io::Loop::Timer progress_timer;
  void match(Group& group, Revision revision);
  void send_progress();
  template <typename F>
  void for_each_watch(F visit) {
    auto visit_all = [&visit](auto& groups) {
      for (auto& [key, group] : groups) {
        for (WatchImpl* watch : group->watches) visit(*watch);
      }
    };
    visit_all(ranges);
    visit_all(singles);
  }
};

namespace {

class WatchImpl final : public Watch {
 public:
  WatchImpl(std::shared_ptr<WatchHub::State> hub, std::shared_ptr<Group> group, Revision next, bool previous)
      : hub_(std::move(hub)), group_(std::move(group)), next_(next), told_(next - 1), previous_(previous) {
    group_->watches.push_back(this);
    if (previous_) ++hub_->want_previous;
  }
  ~WatchImpl() override {
    std::erase(group_->watches, this);
    if (previous_) --hub_->want_previous;
    if (!group_->watches.empty()) return;
    if (group_->range().single()) {
      hub_->singles.erase(group_->key);
    } else {
      hub_->ranges.erase(GroupKey(group_->key, group_->range_end));
    }
  }

  Task<Result<std::vector<WatchBatch>>> next(StopToken stop) override;
  void request_progress() override {
    progress_wanted_ = true;
    wake_.set();
  }
  void wake() { wake_.set(); }
  void offer_progress(Revision revision) {
    if (told_ < revision && next_ > told_) request_progress();
  }

 private:
  struct Collected {
    std::vector<WatchBatch> batches;
    Revision next = 0;
    // Previous values that only the disk has.
    struct Missing {
      std::size_t batch, event;
      Revision revision;
      std::size_t ordinal;
      RowId row;
    };
    std::vector<Missing> missing;
    std::size_t bytes = 0;
  };
  void skip_quiet();
  void collect(const Applied& applied, Collected* out) const;
  Collected collect_from_memory() const;
  Task<Result<void>> fill_previous(Collected* collected);
  std::vector<WatchBatch> finish(std::vector<WatchBatch> batches, Revision next);

  std::shared_ptr<WatchHub::State> hub_;
  std::shared_ptr<Group> group_;
  Revision next_;  // the first revision that was not given out
  Revision told_;  // the reader knows that it has seen everything up to here
  bool previous_;
  bool progress_wanted_ = false;
  io::Event wake_;
};

// A group that matched nothing since the cursor lets it jump: a quiet watch never reads and never expires.
void WatchImpl::skip_quiet() {
  if (next_ < group_->since || next_ <= group_->dropped) return;
  auto at = std::lower_bound(group_->matched.begin(), group_->matched.end(), next_);
  const Revision to = at == group_->matched.end() ? hub_->source->revision() + 1 : *at;
  next_ = std::max(next_, to);
}

void WatchImpl::collect(const Applied& applied, Collected* out) const {
  WatchBatch batch;
  const Entry& entry = *applied.entry;
  batch.revision = entry.revision;
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    const Effect& effect = entry.effects[i];
    if (effect.key.empty() || !group_->range().contains(effect.key)) continue;
    WatchEvent event;
    event.kv.key = effect.key;
    event.kv.mod_revision = entry.revision;
    if (effect.type == EffectType::kPut) {
      event.kv.value = effect.value;
      event.kv.create_revision = effect.create_revision;
      event.kv.version = effect.version;
      event.kv.lease = effect.lease;
    } else {
      event.type = WatchEvent::Type::kDelete;
    }
    out->bytes += effect.key.size() + (effect.value ? effect.value->size() : 0);
    const Applied::Previous& before = applied.previous[i];
    if (previous_ && before.meta.row != 0 && !before.meta.deleted) {
      event.previous =
          KeyValue{effect.key,          before.value,     before.meta.create_revision, before.meta.mod_revision,
                   before.meta.version, before.meta.lease};
      if (!before.value) {
        out->missing.push_back({out->batches.size(), batch.events.size(), entry.revision, i, before.meta.row});
      }
      out->bytes += before.meta.value_bytes;
    }
    batch.events.push_back(std::move(event));
  }
  if (!batch.events.empty()) out->batches.push_back(std::move(batch));
}

WatchImpl::Collected WatchImpl::collect_from_memory() const {
  const History& history = hub_->source->history();
  const Revision newest = hub_->source->revision();
  Collected out;
  auto full = [&] { return out.batches.size() >= kBatchesPerReturn || out.bytes >= kBytesPerReturn; };
  // Before the group began nobody compared: every revision is looked at.
  Revision at = next_;
  for (; at < group_->since && at <= newest && !full(); ++at) collect(*history.find(at), &out);
  if (!full()) {
    auto matched = std::lower_bound(group_->matched.begin(), group_->matched.end(), at);
    for (; matched != group_->matched.end() && !full(); ++matched) collect(*history.find(*matched), &out);
    at = matched == group_->matched.end() ? std::max(newest + 1, next_) : *matched;
  }
  out.next = at;
  return out;
}

Task<Result<void>> WatchImpl::fill_previous(Collected* collected) {
  std::vector<RowId> rows;
  for (const Collected::Missing& missing : collected->missing) rows.push_back(missing.row);
  auto values = co_await hub_->source->read_values(std::move(rows));
  if (!values) co_return values.error();
  for (std::size_t i = 0; i < values->size(); ++i) {
    const Collected::Missing& missing = collected->missing[i];
    collected->batches[missing.batch].events[missing.event].previous->value = (*values)[i];
    if (hub_->source != nullptr) {
      hub_->source->history().keep_previous(missing.revision, missing.ordinal, (*values)[i]);
    }
  }
  co_return Result<void>();
}

std::vector<WatchBatch> WatchImpl::finish(std::vector<WatchBatch> batches, Revision next) {
  next_ = next;
  const Revision newest = hub_->source == nullptr ? next - 1 : hub_->source->revision();
  const Revision seen = std::min(next - 1, newest);
  const bool current = next > newest;
  const Revision said = batches.empty() ? told_ : batches.back().revision;
  const bool news = said < seen && (current || progress_wanted_);
  if (news || (progress_wanted_ && batches.empty())) batches.push_back(WatchBatch{seen, {}});
  progress_wanted_ = false;
  if (!batches.empty()) told_ = std::max(told_, batches.back().revision);
  return batches;
}

Task<Result<std::vector<WatchBatch>>> WatchImpl::next(StopToken stop) {
  for (;;) {
    if (hub_->source == nullptr) co_return Error(Code::kUnavailable, "the store is closed");
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while watching");
    wake_.reset();
    skip_quiet();
    WatchSource& source = *hub_->source;
    const Revision newest = source.revision();
    if (next_ > newest) {
      // A start that lies ahead has seen nothing yet: no progress before it.
      if (progress_wanted_) co_return finish(std::vector<WatchBatch>(), next_);
      co_await wake_.wait(stop);
      continue;
    }
    if (next_ <= source.compacted()) {
      co_return Error(Code::kExpired, cat("required revision ", next_, " has been compacted"));
    }
    if (next_ < source.history().first()) {
      auto slice = co_await source.read_events(group_->key, group_->range_end, next_,
                                               std::min(newest, source.history().first() - 1), previous_);
      if (!slice) co_return slice.error();
      if (slice->batches.empty()) {
        next_ = slice->next;
        continue;
      }
      co_return finish(std::move(slice->batches), slice->next);
    }
    Collected collected = collect_from_memory();
    if (!collected.missing.empty()) {
      auto filled = co_await fill_previous(&collected);
      if (!filled) co_return filled.error();
    }
    if (collected.batches.empty() && !progress_wanted_) {
      next_ = collected.next;
      continue;
    }
    co_return finish(std::move(collected.batches), collected.next);
  }
}

}  // namespace

void WatchHub::State::match(Group& group, Revision revision) {
  group.matched.push_back(revision);
  for (WatchImpl* watch : group.watches) watch->wake();
}

void WatchHub::State::send_progress() {
  progress_timer.cancel();
  if (source == nullptr) return;
  const Revision revision = source->revision();
  for_each_watch([&](WatchImpl& watch) { watch.offer_progress(revision); });
}

WatchHub::WatchHub(Loop& loop, WatchSource& source) : state_(std::make_shared<State>(loop, source)) {}
WatchHub::~WatchHub() { close(); }

Result<std::unique_ptr<Watch>> WatchHub::add(WatchRequest request) {
  State& state = *state_;
  if (state.source == nullptr) return Error(Code::kUnavailable, "the store is closed");
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  const Revision newest = state.source->revision();
  if (request.start_revision < 0) return Error(Code::kInvalid, "a negative revision");
  if (request.start_revision != 0 && request.start_revision <= state.source->compacted()) {
    return Error(Code::kExpired, cat("required revision ", request.start_revision, " has been compacted"));
  }
  const Revision next = request.start_revision == 0 ? newest + 1 : request.start_revision;
  std::shared_ptr<Group>& group =
      request.range_end.empty() ? state.singles[request.key] : state.ranges[GroupKey(request.key, request.range_end)];
  if (!group) {
    group = std::make_shared<Group>();
    group->key = std::move(request.key);
    group->range_end = std::move(request.range_end);
    group->since = newest + 1;
  }
  return std::unique_ptr<Watch>(std::make_unique<WatchImpl>(state_, group, next, request.previous));
}

void WatchHub::publish(const Applied& applied) {
  State& state = *state_;
  if (state.source == nullptr) return;  // closed, while accepted writes are finished
  const Revision revision = applied.entry->revision;
  const Revision first = state.source->history().first();
  // What the history has dropped is also dropped here, when the group next matches: its queue stays as short.
  auto match = [&](Group& group) {
    if (group.matched.empty() || group.matched.back() != revision) state.match(group, revision);
    for (; !group.matched.empty() && group.matched.front() < first; group.matched.pop_front()) {
      group.dropped = group.matched.front();
    }
  };
  for (const Effect& effect : applied.entry->effects) {
    if (effect.key.empty()) continue;  // no event: a lease
    if (!state.singles.empty()) {
      auto single = state.singles.find(effect.key);
      if (single != state.singles.end()) match(*single->second);
    }
    for (auto& [key, group] : state.ranges) {
      if (key.first > effect.key) break;
      if (group->range().before_end(effect.key)) match(*group);
    }
  }
  const bool watched = !state.singles.empty() || !state.ranges.empty();
  if (watched && !state.progress_timer) {
    std::weak_ptr<State> weak = state_;
    auto fire = [weak] {
      if (auto still = weak.lock()) still->send_progress();
    };
    state.progress_timer = state.loop.after(kProgressDelay, fire);
  }
}

bool WatchHub::wants_previous() const { return state_->want_previous > 0; }

void WatchHub::close() {
  if (state_->source == nullptr) return;
  state_->source = nullptr;
  state_->progress_timer.cancel();
  state_->for_each_watch([](WatchImpl& watch) { watch.wake(); });
}

}  // namespace kayak::store
