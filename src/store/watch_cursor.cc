// watch_cursor.cc: groups, cursors and progress.
#include "store/watch_cursor.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::store {

namespace {
// One step holds about so much, so that a late reader does not take everything at once.
constexpr std::size_t kBatchesPerStep = 1000;
constexpr std::size_t kBytesPerStep = 1024 * 1024;
}  // namespace

WatchCursor::WatchCursor(std::shared_ptr<WatchGroups> groups, std::shared_ptr<WatchGroup> group, Revision next,
                         bool previous, std::function<void()> wake)
    : groups_(std::move(groups)),
      group_(std::move(group)),
      next_(next),
      told_(next - 1),
      previous_(previous),
      wake_(std::move(wake)) {
  group_->watches.push_back(this);
  if (previous_) ++groups_->want_previous_;
}

WatchCursor::~WatchCursor() {
  std::erase(group_->watches, this);
  if (previous_) --groups_->want_previous_;
  groups_->leave(this, *group_);
}

void WatchCursor::request_progress() {
  progress_wanted_ = true;
  wake_();
}

void WatchCursor::offer_progress(Revision revision) {
  if (told_ < revision && next_ > told_) request_progress();
}

// A group that matched nothing since the cursor lets it jump: a quiet watch never reads and never expires.
void WatchCursor::skip_quiet() {
  if (next_ < group_->since || next_ <= group_->dropped) return;
  auto at = std::lower_bound(group_->matched.begin(), group_->matched.end(), next_);
  const Revision to = at == group_->matched.end() ? groups_->view()->revision() + 1 : *at;
  next_ = std::max(next_, to);
}

void WatchCursor::collect(const Applied& applied, Collected* out) const {
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

WatchCursor::Collected WatchCursor::collect_from_memory() const {
  const History& history = groups_->view()->history();
  const Revision newest = groups_->view()->revision();
  Collected out;
  auto full = [&] { return out.batches.size() >= kBatchesPerStep || out.bytes >= kBytesPerStep; };
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

std::vector<WatchBatch> WatchCursor::finish(std::vector<WatchBatch> batches, Revision next) {
  next_ = next;
  const Revision newest = groups_->view() == nullptr ? next - 1 : groups_->view()->revision();
  const Revision seen = std::min(next - 1, newest);
  const bool current = next > newest;
  const Revision said = batches.empty() ? told_ : batches.back().revision;
  const bool news = said < seen && (current || progress_wanted_);
  if (news || (progress_wanted_ && batches.empty())) batches.push_back(WatchBatch{seen, {}});
  progress_wanted_ = false;
  if (!batches.empty()) told_ = std::max(told_, batches.back().revision);
  return batches;
}

WatchStep WatchCursor::step() {
  using Kind = WatchStep::Kind;
  for (;;) {
    WatchView* view = groups_->view();
    if (view == nullptr) return {.kind = Kind::kFail, .error = Error(Code::kUnavailable, "the store is closed")};
    skip_quiet();
    const Revision newest = view->revision();
    if (next_ > newest) {
      // A start that lies ahead has seen nothing yet: no progress before it.
      if (progress_wanted_) return {.kind = Kind::kGive, .batches = finish({}, next_)};
      return {.kind = Kind::kWait};
    }
    if (next_ <= view->compacted()) {
      Error error(Code::kExpired, cat("required revision ", next_, " has been compacted"));
      return {.kind = Kind::kFail, .error = std::move(error)};
    }
    const Revision first = view->history().first();
    if (next_ < first) return {.kind = Kind::kReadEvents, .from = next_, .to = std::min(newest, first - 1)};
    collected_ = collect_from_memory();
    if (!collected_.missing.empty()) {
      WatchStep step{.kind = Kind::kReadValues};
      for (const Collected::Missing& missing : collected_.missing) step.rows.push_back(missing.row);
      return step;
    }
    if (!collected_.batches.empty() || progress_wanted_) {
      return {.kind = Kind::kGive, .batches = finish(std::move(collected_.batches), collected_.next)};
    }
    next_ = collected_.next;
  }
}

std::vector<WatchBatch> WatchCursor::took_events(WatchSlice slice) {
  if (!slice.batches.empty()) return finish(std::move(slice.batches), slice.next);
  next_ = slice.next;
  return {};
}

std::vector<WatchBatch> WatchCursor::took_values(const std::vector<Bytes>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Collected::Missing& missing = collected_.missing[i];
    collected_.batches[missing.batch].events[missing.event].previous->value = values[i];
    if (groups_->view() != nullptr) {
      groups_->view()->history().keep_previous(missing.revision, missing.ordinal, values[i]);
    }
  }
  return finish(std::move(collected_.batches), collected_.next);
}

Result<std::unique_ptr<WatchCursor>> WatchGroups::add(WatchRequest request, std::function<void()> wake) {
  if (view_ == nullptr) return Error(Code::kUnavailable, "the store is closed");
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  const Revision newest = view_->revision();
  if (request.start_revision < 0) return Error(Code::kInvalid, "a negative revision");
  if (request.start_revision != 0 && request.start_revision <= view_->compacted()) {
    return Error(Code::kExpired, cat("required revision ", request.start_revision, " has been compacted"));
  }
  const Revision next = request.start_revision == 0 ? newest + 1 : request.start_revision;
  std::shared_ptr<WatchGroup>& group =
      request.range_end.empty() ? singles_[request.key] : ranges_[Key(request.key, request.range_end)];
  if (!group) {
    group = std::make_shared<WatchGroup>();
    group->key = std::move(request.key);
    group->range_end = std::move(request.range_end);
    group->since = newest + 1;
  }
  return std::make_unique<WatchCursor>(shared_from_this(), group, next, request.previous, std::move(wake));
}

void WatchGroups::leave(WatchCursor*, const WatchGroup& group) {
  if (!group.watches.empty()) return;
  if (group.range().single()) {
    singles_.erase(group.key);
  } else {
    ranges_.erase(Key(group.key, group.range_end));
  }
}

void WatchGroups::match(WatchGroup& group, Revision revision) {
  group.matched.push_back(revision);
  for (WatchCursor* watch : group.watches) watch->wake_();
}

bool WatchGroups::publish(const Applied& applied) {
  if (view_ == nullptr) return false;  // closed, while accepted writes are finished
  const Revision revision = applied.entry->revision;
  const Revision first = view_->history().first();
  // What the history has dropped is also dropped here, when the group next matches: its queue stays as short.
  auto take = [&](WatchGroup& group) {
    if (group.matched.empty() || group.matched.back() != revision) match(group, revision);
    for (; !group.matched.empty() && group.matched.front() < first; group.matched.pop_front()) {
      group.dropped = group.matched.front();
    }
  };
  for (const Effect& effect : applied.entry->effects) {
    if (effect.key.empty()) continue;  // no event: a lease
    if (!singles_.empty()) {
      auto single = singles_.find(effect.key);
      if (single != singles_.end()) take(*single->second);
    }
    for (auto& [key, group] : ranges_) {
      if (key.first > effect.key) break;
      if (group->range().before_end(effect.key)) take(*group);
    }
  }
  return !singles_.empty() || !ranges_.empty();
}

void WatchGroups::send_progress() {
  if (view_ == nullptr) return;
  const Revision revision = view_->revision();
  for_each_group([&](WatchGroup& group) {
    for (WatchCursor* watch : group.watches) watch->offer_progress(revision);
  });
}

void WatchGroups::restart() {
  if (view_ == nullptr) return;
  const Revision next = view_->revision() + 1;
  for_each_group([&](WatchGroup& group) {
    group.since = next;
    group.matched.clear();
    for (WatchCursor* watch : group.watches) watch->wake_();
  });
}

void WatchGroups::close() {
  view_ = nullptr;
  for_each_group([](WatchGroup& group) {
    for (WatchCursor* watch : group.watches) watch->wake_();
  });
}

}  // namespace kayak::store
