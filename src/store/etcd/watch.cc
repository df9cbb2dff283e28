// watch.cc: etcd's Watch service: many watches over one stream, each a coroutine on a watch of the store.
// Without timers: progress notes come from the store, which has news only after a write.
// A client that has said all that it will is told of events nevertheless, until it goes away.
// For a client that reads slowly a few watches at a time hold what they have read of the past: the others wait before
// they read. What is new they share with the store; it is encoded when its turn has come.
// Source: etcd v3.5, v3rpc/watch.go (what is answered to what), clientv3's use of header revisions.
#include <algorithm>
#include <deque>
#include <map>

#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

// The watch id of answers that belong to no watch.
constexpr std::int64_t kNoWatch = -1;
// Of one stream; each costs a coroutine and a place in the store's watch hub.
constexpr std::size_t kMaxWatches = 10'000;
// Of one stream's, that read the past at the same time. Each holds 1 MiB at most.
constexpr std::size_t kMaxReaders = 4;
// A watch that had nothing to tell for so many revisions, because its client took nothing, is as one of the past.
constexpr Revision kFarBehind = 256;
// Metadata of a stream that is to end when its server has no leader.
constexpr std::string_view kRequireLeader = "hasleader";

struct Watcher {
  explicit Watcher(const StopToken& parent) : stop(parent) {}
  std::int64_t id = 0;
  bool previous = false, progress = false, no_put = false, no_delete = false;
  bool behind = false;  // there is more than what is new
  std::unique_ptr<Watch> watch;
  Revision seen = 0;  // its client has been sent everything up to here
  io::StopSource stop;
  io::Event ended;
};
using WatcherRef = std::shared_ptr<Watcher>;

class WatchStream {
 public:
  WatchStream(const Backend& backend, io::GrpcCall& call) : backend_(backend), call_(call), scope_(call.gone()) {}

  Task<io::GrpcStatus> run() {
    Result<void> result = co_await call_.open();
    if (result && call_.request().headers.get(kRequireLeader) == "true") scope_.spawn(while_led());
    if (result) result = co_await read_requests();
    scope_.stop();
    const Result<void> joined = co_await scope_.join();
    if (!joined) co_return status_of(joined.error());
    if (!result) co_return status_of(result.error());
    co_return io::GrpcStatus();
  }

 private:
  Task<Result<void>> read_requests() {
    for (;;) {
      Result<std::optional<std::string>> bytes = co_await call_.read(scope_.token());
      if (!bytes && call_.gone().stopped()) co_return Error(Code::kUnavailable, "the server stops");
      if (!bytes) co_return bytes.error();
      if (!*bytes) co_return co_await linger();
      Result<WatchRequest> request = decode<WatchRequest>(**bytes);
      if (!request) co_return Error(Code::kInvalid, request.error().message());
      Result<void> done;
      if (auto* wanted = std::get_if<WatchCreateRequest>(&request->request)) {
        done = co_await create(std::move(*wanted));
      } else if (auto* cancelled = std::get_if<WatchCancelRequest>(&request->request)) {
        done = co_await cancel(cancelled->watch_id);
      } else if (std::holds_alternative<WatchProgressRequest>(request->request)) {
        done = co_await request_progress();
      }
      if (!done) co_return done;
    }
  }

  Task<Result<void>> linger() {
    io::Event never;
    co_await never.wait(scope_.token());
    co_return Error(Code::kUnavailable, "the server stops");
  }

  // What happens elsewhere does not reach a server that is cut off from the others. Clients that ask for it are not
  // left waiting there. An election is no reason: the store waits for its outcome.
  Task<Result<void>> while_led() {
    const StopToken stop = scope_.token();
    for (bool goes_on = true; goes_on;) {
      const Leadership now = backend_.store.leadership();
      if (!now.leads && now.leader == 0) {
        auto led = co_await backend_.store.current_revision(stop);
        if (!led && !stop.stopped()) co_return Error(Code::kUnavailable, "no leader");
      }
      goes_on = co_await backend_.store.leadership_changed(now, stop);
    }
    co_return Result<void>();
  }

  WatchResponse response_to(std::int64_t id) const {
    WatchResponse response;
    response.header = backend_.header();
    response.watch_id = id;
    return response;
  }

  Task<Result<void>> write(const WatchResponse& response) {
    while (writing_) {
      turn_.reset();
      co_await turn_.wait();
    }
    writing_ = true;
    std::string bytes = encode(response);
    Result<void> written = co_await call_.write(std::move(bytes));
    writing_ = false;
    turn_.set();
    co_return written;
  }

  // One of kMaxReaders places. False: `stop` fired first.
  Task<bool> begin_reading(StopToken stop) {
    if (readers_ < kMaxReaders) {
      ++readers_;
      co_return true;
    }
    io::Event place;
    waiting_.push_back(&place);
    const bool woken = co_await place.wait(stop);
    if (woken) co_return true;
    if (place.is_set()) {
      end_reading();
    } else {
      std::erase(waiting_, &place);
    }
    co_return false;
  }
  void end_reading() {
    if (waiting_.empty()) {
      --readers_;
      return;
    }
    waiting_.front()->set();  // who waits longest has the place now
    waiting_.pop_front();
  }

  Task<Result<void>> refuse(std::string_view why) {
    WatchResponse response = response_to(kNoWatch);
    response.created = response.canceled = true;
    response.cancel_reason = why;
    co_return co_await write(response);
  }

  Task<Result<void>> end_compacted(std::int64_t id) {
    WatchResponse response = response_to(id);
    response.canceled = true;
    response.compact_revision = backend_.store.compacted() + 1;  // the oldest that can be watched from
    co_return co_await write(response);
  }

  std::int64_t free_id() {
    while (watchers_.contains(next_id_)) ++next_id_;
    return next_id_++;
  }

  Task<Result<void>> create(WatchCreateRequest request) {
    if (request.watch_id != 0 && watchers_.contains(request.watch_id)) {
      co_return co_await refuse("mvcc: duplicate watch ID provided on the WatchStream");
    }
    if (watchers_.size() >= kMaxWatches) co_return co_await refuse("etcdserver: too many watches on one stream");
    if (request.key.empty()) request.key = std::string(1, '\0');
    const std::string zero(1, '\0');
    if (!request.range_end.empty() && request.range_end != zero && request.range_end <= request.key) {
      co_return co_await refuse("mvcc: watcher range is empty");
    }
    auto watcher = std::make_shared<Watcher>(scope_.token());
    watcher->id = request.watch_id != 0 ? request.watch_id : free_id();
    watcher->previous = request.prev_kv;
    watcher->progress = request.progress_notify;
    auto has = [&](std::uint64_t filter) {
      return std::find(request.filters.begin(), request.filters.end(), filter) != request.filters.end();
    };
    watcher->no_put = has(WatchCreateRequest::kNoPut);
    watcher->no_delete = has(WatchCreateRequest::kNoDelete);
    const Revision start = std::max<Revision>(request.start_revision, 0);
    watcher->seen = start == 0 ? backend_.store.revision() : start - 1;
    watcher->behind = watcher->seen < backend_.store.revision();
    store::WatchRequest wanted;
    wanted.key = std::move(request.key);
    wanted.range_end = std::move(request.range_end);
    wanted.start_revision = start;
    wanted.previous = request.prev_kv;
    auto made = backend_.store.watch(std::move(wanted));
    const bool compacted = !made && made.error().code() == Code::kExpired;
    if (!made && !compacted) co_return made.error();
    WatchResponse response = response_to(watcher->id);
    response.created = true;
    if (made) {
      watcher->watch = std::move(*made);
      watchers_[watcher->id] = watcher;
    }
    Result<void> told = co_await write(response);
    if (!told) co_return told;
    if (compacted) co_return co_await end_compacted(watcher->id);
    scope_.spawn(follow(watcher));
    co_return Result<void>();
  }

  Task<Result<void>> cancel(std::int64_t id) {
    const auto found = watchers_.find(id);
    if (found == watchers_.end()) co_return Result<void>();
    const WatcherRef watcher = found->second;
    watcher->stop.stop();
    co_await watcher->ended.wait();
    watchers_.erase(id);
    WatchResponse response = response_to(id);
    response.canceled = true;
    Result<void> written = co_await write(response);
    if (!written) co_return written;
    co_return co_await tell_progress();  // it may have waited for this one
  }

  // Answered when every watch has sent what it had when this came.
  Task<Result<void>> request_progress() {
    wanted_progress_ = backend_.store.revision();
    for (const auto& [id, watcher] : watchers_) {
      if (watcher->seen < *wanted_progress_) watcher->watch->request_progress();
    }
    co_return co_await tell_progress();
  }

  Task<Result<void>> tell_progress() {
    if (!wanted_progress_) co_return Result<void>();
    for (const auto& [id, watcher] : watchers_) {
      if (watcher->ended.is_set() || watcher->seen >= *wanted_progress_) continue;
      // It may have begun after the question, or have answered it in the middle of a long past. An idle store tells it
      // nothing by itself.
      watcher->watch->request_progress();
      co_return Result<void>();
    }
    WatchResponse response = response_to(kNoWatch);
    response.header.revision = *wanted_progress_;
    wanted_progress_.reset();
    co_return co_await write(response);
  }

  static WatchResponse collect(const Watcher& watcher, WatchResponse response, std::vector<WatchBatch> batches) {
    for (WatchBatch& batch : batches) {
      for (WatchEvent& event : batch.events) {
        const bool is_put = event.type == WatchEvent::Type::kPut;
        if (is_put ? watcher.no_put : watcher.no_delete) continue;
        response.events.push_back(std::move(event));
      }
    }
    return response;
  }

  Task<Result<void>> follow(WatcherRef watcher) {
    Result<void> result = co_await follow_events(*watcher);
    watcher->ended.set();
    if (!result && result.error().code() == Code::kExpired) {
      watchers_.erase(watcher->id);
      result = co_await end_compacted(watcher->id);
      if (result) result = co_await tell_progress();
    }
    co_return result;
  }

  Task<Result<void>> follow_events(Watcher& watcher) {
    for (;;) {
      const bool reads = watcher.behind;
      if (reads) {
        const bool may = co_await begin_reading(watcher.stop.token());
        if (!may) co_return Error(Code::kCancelled, "the watch was cancelled");
        watcher.watch->request_progress();  // so that nobody waits for its place if there is nothing
      }
      Result<void> told = co_await tell_next(watcher);
      if (reads) end_reading();
      if (told) told = co_await tell_progress();
      if (!told) co_return told;
    }
  }

  Task<Result<void>> tell_next(Watcher& watcher) {
    auto batches = co_await watcher.watch->next(watcher.stop.token());
    if (!batches) co_return batches.error();
    const Revision seen = batches->back().revision;
    const bool news = batches->back().events.empty();
    const bool events = batches->size() > 1 || !news;
    WatchResponse response = collect(watcher, response_to(watcher.id), std::move(*batches));
    Result<void> sent;
    if (!response.events.empty()) sent = co_await write(response);
    if (sent && news && watcher.progress) {
      WatchResponse progress = response_to(watcher.id);
      progress.header.revision = seen;
      sent = co_await write(progress);
    }
    if (!sent) co_return sent;
    watcher.seen = std::max(watcher.seen, seen);
    watcher.behind = backend_.store.revision() - watcher.seen > (events ? 0 : kFarBehind);
    co_return sent;
  }

  const Backend& backend_;
  io::GrpcCall& call_;
  io::TaskScope scope_;
  std::map<std::int64_t, WatcherRef> watchers_;
  std::int64_t next_id_ = 0;
  std::optional<Revision> wanted_progress_;
  bool writing_ = false;
  io::Event turn_;
  std::size_t readers_ = 0;
  std::deque<io::Event*> waiting_;  // to be one
};

Task<io::GrpcStatus> watch(const Backend& backend, io::GrpcCall& call) {
  WatchStream stream(backend, call);
  co_return co_await stream.run();
}

}  // namespace

void add_watch(const Backend& backend, io::GrpcRouter* router) {
  router->add("etcdserverpb.Watch", "Watch", [&backend](io::GrpcCall& call) { return watch(backend, call); });
}

}  // namespace kayak::store::etcd
