// group_states.cc: states that the engine sends to other members, and those that it takes from them in the place of its
// own.
#include "base/strings.h"
#include "store/log_payload.h"
#include "store/snapshot_source.h"
#include "store/sqlite_store.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
constexpr Duration kBuildingPause = 10ms;
// Before a fetch that failed is reported, and with that made again: doubled each time, up to the longest.
constexpr Duration kFirstFetchPause = 250ms, kLongestFetchPause = 5s;
constexpr Duration kSameFailure = 60s;  // is not logged again for so long

// A state that is being sent. It may outlive the leader's interest in it.
class SentState final : public PeerSnapshot {
 public:
  explicit SentState(std::shared_ptr<SnapshotSource> source) : source_(std::move(source)) {}
  Task<Result<std::optional<std::string>>> next() override { return source_->next(); }

 private:
  std::shared_ptr<SnapshotSource> source_;
};
}  // namespace

// ---- states that go to others

void SqliteStore::make_snapshot(raft::NodeId to) {
  if (closing_ || failed_) return replica_->snapshot_failed(to);
  std::shared_ptr<SnapshotSource> source = make_source();
  const raft::SnapshotId id = context_.random.next() | 1;
  const LogIndex index = source->head().index;
  snapshots_[id] = std::move(source);
  replica_->snapshot_ready(to, id, index);
}

Result<std::unique_ptr<PeerSnapshot>> SqliteStore::open_snapshot(raft::NodeId, raft::SnapshotId id) {
  const auto snapshot = snapshots_.find(id);
  if (snapshot == snapshots_.end()) return Error(Code::kNotFound, "there is no such snapshot (any more)");
  // What was given once cannot be given again: a follower that broke off asks for another.
  std::shared_ptr<SnapshotSource> source = std::exchange(snapshot->second, nullptr);
  if (!source) return Error(Code::kNotFound, "the snapshot was fetched already");
  metrics_.snapshots.add();
  return std::unique_ptr<PeerSnapshot>(std::make_unique<SentState>(std::move(source)));
}

// ---- states that come from others

Task<void> SqliteStore::fetch_snapshot(raft::SnapshotFetch fetch) {
  fetching_ = fetch.snapshot.id;
  if (fetch_stop_) fetch_stop_->stop();
  fetch_stop_.emplace(scope_.token());
  const StopToken stop = fetch_stop_->token();
  // All are built at one place.
  while (!building_.expired()) {
    const Result<void> slept = co_await context_.loop.sleep(kBuildingPause, stop);
    if (!slept) break;
  }
  if (fetching_ != fetch.snapshot.id || !building_.expired()) co_return;
  auto place = std::make_shared<int>();
  building_ = place;
  DatabaseBuilder::Options options;
  options.path = options_.path;
  options.vfs = options_.vfs;
  options.store_id = storage_->found().store_id;
  options.hard.term = replica_->core().term();
  auto make = [options] { return DatabaseBuilder::create(options); };
  if (failed_fetches_.pause == 0ms) {
    context_.log.info("this server is far behind and fetches the state",
                      {{"from", member_id_text(fetch.from)}, {"entry", fetch.snapshot.index}});
  }
  Result<std::unique_ptr<DatabaseBuilder>> made = co_await context_.loop.offload(std::move(make));
  Result<void> pulled;
  std::shared_ptr<DatabaseBuilder> builder;
  if (made) {
    builder = std::shared_ptr<DatabaseBuilder>(made->release(), [place](DatabaseBuilder* gone) { delete gone; });
    pulled = co_await pull(&fetch, builder, stop);
  } else {
    pulled = made.error();
  }
  if (!pulled && fetching_ == fetch.snapshot.id) {
    // First of all what was built goes, and gives back its space.
    if (builder) co_await dispose(std::move(builder));
    place.reset();
    co_await pause_fetching(pulled.error(), stop);
  }
  // Else another took its place.
  if (fetching_ == fetch.snapshot.id) {
    fetching_.reset();
    if (pulled) {
      failed_fetches_ = {};
      fetched_state_ = std::move(builder);
    }
    replica_->snapshot_fetched(fetch.snapshot.id, pulled.ok());
    if (fetched_state_) builder = std::exchange(fetched_state_, nullptr);  // not taken: it came too late
  }
  if (builder) co_await dispose(std::move(builder));
}

// What made one fetch fail lets the next one fail as soon (a full disk does), and each one costs its sender a state.
// Until it is reported, the core takes it for under way.
Task<void> SqliteStore::pause_fetching(Error error, StopToken stop) {
  if (scope_.token().stopped()) co_return;
  const Instant now = context_.clock.now();
  FailedFetches& failed = failed_fetches_;
  if (failed.message != error.message() || now - failed.logged >= kSameFailure) {
    context_.log.warn("the state could not be fetched; it is tried again", {{"error", error.message()}});
    failed.message = error.message();
    failed.logged = now;
  }
  failed.pause = std::clamp(2 * failed.pause, kFirstFetchPause, kLongestFetchPause);
  (void)co_await context_.loop.sleep(failed.pause, std::move(stop));
}

// What takes its time to go (a large file is removed, a large index is freed) goes on the pool.
Task<void> SqliteStore::dispose(std::shared_ptr<void> thing) {
  auto work = [thing = std::move(thing)]() mutable { thing.reset(); };
  co_await context_.loop.offload(std::move(work));
}

Task<Result<void>> SqliteStore::pull(const raft::SnapshotFetch* fetch, std::shared_ptr<DatabaseBuilder> builder,
                                     StopToken stop) {
  struct Sink {
    static Task<Result<void>> take(Loop* loop, std::shared_ptr<DatabaseBuilder> builder, bool wanted,
                                   std::string slice) {
      if (!wanted) co_return Error(Code::kCancelled, "another state is fetched by now");
      auto feed = [builder, slice = std::move(slice)]() -> Result<void> {
        const Result<std::size_t> used = builder->feed(slice);
        if (!used) return used.error();
        if (*used != slice.size()) return Error(Code::kCorrupt, "bytes follow the end of the state");
        return Result<void>();
      };
      co_return co_await loop->offload(std::move(feed));
    }
  };
  Loop* loop = &context_.loop;
  const raft::SnapshotId id = fetch->snapshot.id;
  PeerSnapshotSink sink = [this, loop, builder, id](std::string slice) {
    return Sink::take(loop, builder, fetching_ == id, std::move(slice));
  };
  auto fetched = co_await group_options_.transport->fetch_snapshot(fetch->from, fetch->snapshot.id, std::move(sink),
                                                                   std::move(stop));
  if (!fetched) co_return fetched;
  if (!builder->complete()) co_return Error(Code::kIo, "the state ends in its middle");
  if (builder->head()->index != fetch->snapshot.index || builder->head()->term != fetch->snapshot.term) {
    co_return Error(Code::kCorrupt, "the state is that of another log entry");
  }
  // A full disk may refuse it here. Later the whole store would end with that, and wait for so long a flush.
  auto flush = [builder] { return builder->flush(); };
  co_return co_await loop->offload(std::move(flush));
}

void SqliteStore::install(std::uint64_t number, LogWrite write) {
  ASSERT(fetched_state_);
  storage_->install(number, std::move(fetched_state_), std::move(write));
}

// Everything that was known of the old state goes: no event tells how the new one came about.
void SqliteStore::replace_state() {
  ASSERT(installed_state_);
  storage_->installed_seen();
  for (auto it = sources_.begin(); it != sources_.end();) (*it++)->detach();
  snapshots_.clear();
  scope_.spawn(dispose(std::make_shared<KvState>(std::move(state_))));
  state_ = std::move(*installed_state_);
  installed_state_.reset();
  history_ = History(options_.history_bytes);
  history_.start_at(state_.revision() + 1);
  fetched_.clear();
  bytes_since_compact_ = 0;
  hub_.restart();
  fail_in_flight(Error(Code::kUnavailable, "this server fell far behind; whether this was written is not known"));
  scope_.spawn(reload_records());
}

}  // namespace kayak::store
