// client_watch.cc: the feed, its history, and the watches that read it.
#include "store/etcd/client_watch.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "store/key_range.h"

namespace kayak::store::etcd {

namespace {

using namespace std::chrono_literals;

constexpr Duration kProgressDelay = 100ms;
constexpr Duration kPatience = 10s;
// One return of next() holds about so much, so that a late reader does not take everything at once.
constexpr std::size_t kBatchesPerReturn = 1000;
constexpr std::size_t kBytesPerReturn = 1024 * 1024;
// Of an event beside its key and values.
constexpr std::size_t kEventOverhead = 400;

std::size_t size_of(const WatchEvent& event) {
  std::size_t bytes = event.kv.key.size() + (event.kv.value ? event.kv.value->size() : 0);
  if (event.previous && event.previous->value) bytes += event.previous->value->size();
  return bytes;
}

class WatchImpl;

}  // namespace

struct Feed::State {
  State(Context c, std::shared_ptr<Links> l, std::size_t bytes)
      : context(std::move(c)), links(std::move(l)), max_bytes(bytes) {}
  Context context;
  std::shared_ptr<Links> links;
  const std::size_t max_bytes;
  bool closed = false;
  io::StopSource closing;

  Revision position = 0;  // everything up to here has come
  Revision newest = 0;    // an answer has shown it
  Revision compacted = 0;
  std::deque<WatchBatch> history;  // consecutive revisions, up to `position`
  std::deque<std::size_t> costs;
  std::size_t bytes = 0;
  std::vector<WatchImpl*> watches;
  std::size_t want_previous = 0;
  bool has_previous = false;  // the history's events have their previous pairs
  io::StopSource reopen;      // fires when the stream must begin to have them
  io::Loop::Timer progress_timer;

  Revision first() const { return history.empty() ? position + 1 : history.front().revision; }
  const WatchBatch& at(Revision revision) const { return history[static_cast<std::size_t>(revision - first())]; }
  void forget() {
    history.clear();
    costs.clear();
    bytes = 0;
  }
  void publish(WatchBatch batch);
  void send_progress();
  void wake_all();
};

namespace {

class WatchImpl final : public Watch {
 public:
  WatchImpl(std::shared_ptr<Feed::State> feed, store::WatchRequest request, Revision next)
      : feed_(std::move(feed)),
        key_(std::move(request.key)),
        range_end_(std::move(request.range_end)),
        next_(next),
        told_(next - 1),
        previous_(request.previous) {
    feed_->watches.push_back(this);
    if (previous_) ++feed_->want_previous;
  }
  ~WatchImpl() override {
    std::erase(feed_->watches, this);
    if (previous_) --feed_->want_previous;
  }
  Task<Result<std::vector<WatchBatch>>> next(StopToken stop) override;
  // The note waits for what others were told is there, so that nothing acknowledged is missing below it, and events
  // wait with it. So who asks again meanwhile does not move it: a note for that follows.
  void request_progress() override {
    (wanted_ ? wanted_next_ : wanted_) = feed_->newest;
    wake_.set();
  }
  void wake() { wake_.set(); }
  bool wants(std::string_view key) const { return KeyRange{key_, range_end_}.contains(key); }
  // A revision that does not concern it: a quiet watch never falls behind.
  void skip(Revision revision) {
    if (next_ == revision) next_ = revision + 1;
  }
  bool waits_for(Revision revision) const { return wanted_ && revision >= *wanted_; }
  void offer_progress(Revision revision) {
    if (wanted_ || told_ >= revision || next_ <= told_) return;
    wanted_ = revision;
    wake_.set();
  }

 private:
  struct Slice {
    std::vector<WatchBatch> batches;
    Revision next = 0;
    std::size_t bytes = 0;
    bool full() const { return batches.size() >= kBatchesPerReturn || bytes >= kBytesPerReturn; }
  };
  void collect(const WatchBatch& from, Slice* out) const;
  Slice collect_from_memory() const;
  Task<Result<Slice>> catch_up(Revision to, StopToken stop);
  Task<Result<Slice>> read_past(WatchStream& stream, Revision to, StopToken stop);
  std::vector<WatchBatch> finish(std::vector<WatchBatch> batches, Revision next);

  std::shared_ptr<Feed::State> feed_;
  std::string key_, range_end_;
  Revision next_;  // the first revision that was not given out
  Revision told_;  // the reader knows that it has seen everything up to here
  bool previous_;
  std::optional<Revision> wanted_;       // a progress note at this revision or a later one
  std::optional<Revision> wanted_next_;  // asked for since
  io::Event wake_;
};

void WatchImpl::collect(const WatchBatch& from, Slice* out) const {
  WatchBatch batch;
  batch.revision = from.revision;
  for (const WatchEvent& event : from.events) {
    if (!wants(event.kv.key)) continue;
    batch.events.push_back(event);
    if (!previous_) batch.events.back().previous.reset();
    out->bytes += size_of(batch.events.back());
  }
  if (!batch.events.empty()) out->batches.push_back(std::move(batch));
}

WatchImpl::Slice WatchImpl::collect_from_memory() const {
  Slice out;
  out.next = next_;
  for (; out.next <= feed_->position && !out.full(); ++out.next) collect(feed_->at(out.next), &out);
  return out;
}

// Events from next_ on, until `to` was reached or there are enough.
Task<Result<WatchImpl::Slice>> WatchImpl::read_past(WatchStream& stream, Revision to, StopToken stop) {
  Slice out;
  out.next = next_;
  while (out.next <= to && !out.full()) {
    auto batches = co_await stream.read(stop);
    if (!batches) {
      if (out.next > next_) break;
      co_return batches.error();
    }
    for (const WatchBatch& batch : *batches) {
      if (batch.revision > to) {
        out.next = to + 1;
        break;
      }
      collect(batch, &out);
      out.next = batch.revision + 1;
    }
  }
  co_return out;
}

// What the memory does not have (any more) is read from the cluster. An outage is waited out.
Task<Result<WatchImpl::Slice>> WatchImpl::catch_up(Revision to, StopToken stop) {
  io::StopSource until(stop);
  io::StopCallback on_close(feed_->closing.token(), [&until] { until.stop(); });
  const std::shared_ptr<Feed::State> feed = feed_;
  while (!until.stopped()) {
    auto link = co_await feed->links->get(kPatience, until.token());
    if (!link) continue;
    io::Deadline deadline(feed->context.loop, kPatience, until.token());
    auto stream = co_await WatchStream::open(*link, next_, previous_, deadline.token());
    if (stream) {
      auto slice = co_await read_past(**stream, to, deadline.token());
      if (slice) co_return slice;
      if (slice.error().code() == Code::kExpired) {
        feed->compacted = std::max(feed->compacted, (*stream)->compacted());
        co_return slice.error();
      }
      // Nothing of what must be there has come: a compaction at this very revision took a deletion with it.
      if (deadline.expired() && (*stream)->created())
        co_return Error(Code::kExpired, cat("revision ", next_, " has been compacted"));
    }
    (void)co_await feed->context.loop.sleep(kProgressDelay, until.token());
  }
  co_return Error(Code::kCancelled, "stopped while watching");
}

std::vector<WatchBatch> WatchImpl::finish(std::vector<WatchBatch> batches, Revision next) {
  next_ = next;
  const Revision seen = std::min(next - 1, feed_->position);
  const Revision said = batches.empty() ? told_ : batches.back().revision;
  const bool current = next > feed_->position;
  const bool news = said < seen && (current || wanted_);
  if (news || (wanted_ && batches.empty())) batches.push_back(WatchBatch{seen, {}});
  if (wanted_ && seen >= *wanted_) {
    wanted_ = std::exchange(wanted_next_, std::nullopt);
    if (wanted_ && seen >= *wanted_) wanted_.reset();
  }
  if (!batches.empty()) told_ = std::max(told_, batches.back().revision);
  return batches;
}

Task<Result<std::vector<WatchBatch>>> WatchImpl::next(StopToken stop) {
  for (;;) {
    if (feed_->closed) co_return Error(Code::kUnavailable, "the store is closed");
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while watching");
    wake_.reset();
    if (next_ <= feed_->compacted) {
      co_return Error(Code::kExpired, cat("required revision ", next_, " has been compacted"));
    }
    const bool due = wanted_ && feed_->position >= *wanted_;
    if ((wanted_ && !due) || (next_ > feed_->position && !due)) {
      co_await wake_.wait(stop);
      continue;
    }
    Slice slice;
    slice.next = next_;
    if (next_ < feed_->first()) {
      auto past = co_await catch_up(feed_->first() - 1, stop);
      if (!past && past.error().code() == Code::kCancelled) continue;
      if (!past) co_return past.error();
      slice = std::move(*past);
      if (slice.batches.empty() && slice.next <= feed_->position) {
        next_ = slice.next;
        continue;
      }
    } else {
      slice = collect_from_memory();
    }
    if (slice.batches.empty() && !due) {
      next_ = slice.next;
      continue;
    }
    co_return finish(std::move(slice.batches), slice.next);
  }
}

}  // namespace

void Feed::State::publish(WatchBatch batch) {
  // Revisions without any change are rare (a restored backup may skip some); the memory then begins anew behind them.
  if (batch.revision != position + 1) forget();
  std::size_t cost = 0;
  for (const WatchEvent& event : batch.events) cost += size_of(event) + kEventOverhead;
  position = batch.revision;
  newest = std::max(newest, position);
  for (WatchImpl* watch : watches) {
    auto concerns = [watch](const WatchEvent& event) { return watch->wants(event.kv.key); };
    const bool concerned = std::any_of(batch.events.begin(), batch.events.end(), concerns);
    if (!concerned) watch->skip(position);
    if (concerned || watch->waits_for(position)) watch->wake();
  }
  history.push_back(std::move(batch));
  costs.push_back(cost);
  for (bytes += cost; bytes > max_bytes && !history.empty(); history.pop_front(), costs.pop_front()) {
    bytes -= costs.front();
  }
}

void Feed::State::send_progress() {
  progress_timer.cancel();
  for (WatchImpl* watch : watches) watch->offer_progress(position);
}

void Feed::State::wake_all() {
  for (WatchImpl* watch : watches) watch->wake();
}

Feed::Feed(Context context, std::shared_ptr<Links> links, std::size_t history_bytes)
    : context_(context), links_(links), state_(std::make_shared<State>(context, std::move(links), history_bytes)) {}
Feed::~Feed() { close(); }

void Feed::begin_at(Revision revision) { state_->position = state_->newest = revision; }
Revision Feed::newest() const { return state_->newest; }
void Feed::saw(Revision revision) { state_->newest = std::max(state_->newest, revision); }
Revision Feed::compacted() const { return state_->compacted; }
std::size_t Feed::history_bytes() const { return state_->bytes; }

void Feed::saw_compacted(Revision compacted) {
  if (compacted <= state_->compacted) return;
  state_->compacted = compacted;
  state_->wake_all();
}

Result<std::unique_ptr<Watch>> Feed::watch(store::WatchRequest request) {
  State& state = *state_;
  if (state.closed) return Error(Code::kUnavailable, "the store is closed");
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  if (request.start_revision < 0) return Error(Code::kInvalid, "a negative revision");
  if (request.start_revision != 0 && request.start_revision <= state.compacted) {
    return Error(Code::kExpired, cat("required revision ", request.start_revision, " has been compacted"));
  }
  if (request.previous && !state.has_previous) {
    state.has_previous = true;
    state.forget();
    state.reopen.stop();
  }
  // "From now on" is behind all that was acknowledged, which the feed may not have seen yet.
  // Revision 1 is the empty store, so nothing begins before 2.
  const Revision next = request.start_revision == 0 ? state.newest + 1 : std::max<Revision>(request.start_revision, 2);
  return std::unique_ptr<Watch>(std::make_unique<WatchImpl>(state_, std::move(request), next));
}

void Feed::close() {
  State& state = *state_;
  if (state.closed) return;
  state.closed = true;
  state.progress_timer.cancel();
  state.closing.stop();
  state.wake_all();
}

// The stream's beginning is gone: what was compacted meanwhile was never seen.
void Feed::restart_after_gap(Revision compacted) {
  state_->forget();
  // Others may have written and compacted what no answer has shown yet: asking for it again would end the same way.
  state_->newest = std::max(state_->newest, compacted);
  state_->position = std::max(state_->position, state_->newest);
  state_->compacted = std::max(state_->compacted, compacted);
  state_->wake_all();
}

Task<void> Feed::follow(const LinkRef& link, StopToken stop) {
  state_->reopen = io::StopSource(stop);
  state_->has_previous = state_->want_previous > 0;
  const StopToken reopen = state_->reopen.token();
  // Where no calls go any more, changes may come late or never.
  io::StopSource* elsewhere = &state_->reopen;
  io::StopCallback on_left(link->left.token(), [elsewhere] { elsewhere->stop(); });
  auto stream = co_await WatchStream::open(link, state_->position + 1, state_->has_previous, reopen);
  if (!stream) {
    if (!reopen.stopped()) links_->leave(link, stream.error().message());
    co_return;
  }
  while (!reopen.stopped()) {
    auto batches = co_await (*stream)->read(reopen);
    if (reopen.stopped()) co_return;
    if (!batches && batches.error().code() == Code::kExpired) {
      context_.log.warn("etcd has compacted what was not read from it yet", {{"revision", (*stream)->compacted()}});
      co_return restart_after_gap((*stream)->compacted());
    }
    if (!batches) co_return links_->leave(link, batches.error().message());
    if ((*stream)->created()) links_->good();
    if (batches->empty()) continue;
    for (WatchBatch& batch : *batches) state_->publish(std::move(batch));
    // Within 100 ms everyone knows, whatever it was.
    if (!state_->watches.empty() && !state_->progress_timer) {
      std::weak_ptr<State> weak = state_;
      auto fire = [weak] {
        if (auto still = weak.lock()) still->send_progress();
      };
      state_->progress_timer = context_.loop.after(kProgressDelay, fire);
    }
  }
}

Task<void> Feed::run(StopToken stop) {
  while (!stop.stopped()) {
    auto link = co_await links_->get(kPatience, stop);
    if (link) co_await follow(*link, stop);
  }
}

}  // namespace kayak::store::etcd
