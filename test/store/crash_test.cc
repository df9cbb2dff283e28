// crash_test.cc: kill -9 during a stream of writes, and the power going at any moment: the store always opens, and
// nothing acknowledged is lost.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>

#include "base/strings.h"
#include "store/support_model.h"
#include "store/support_vfs.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using namespace std::chrono_literals;

namespace {

// What the child tells about one acknowledged write.
struct Ack {
  std::int32_t writer = 0;
  std::int32_t deleted = 0;
  std::int64_t number = 0;
  Revision revision = 0;
};

constexpr int kWriters = 16;
std::string key_of(int writer) { return cat("/writer/", writer); }

// One key per writer, numbers that only rise; now and then a deletion.
Task<Result<void>> write_forever(Store* store, int writer, std::int64_t number, int pipe) {
  for (;; ++number) {
    TxnRequest request;
    const bool remove = number % 17 == 16;
    if (remove) {
      request.success.push_back(delete_op(key_of(writer)));
    } else {
      const auto padding = static_cast<std::size_t>(number % 50 == 0 ? 12'000 : number * 7 % 900);
      request.success.push_back(put_op(key_of(writer), cat(number, " ", std::string(padding, 'p'))));
      request.success.push_back(put_op(cat(key_of(writer), "/twin"), cat(number)));
    }
    auto done = co_await store->txn(std::move(request), StopToken());
    if (!done) co_return done.error();
    Ack ack{writer, remove ? 1 : 0, number, done->revision};
    if (::write(pipe, &ack, sizeof ack) != static_cast<ssize_t>(sizeof ack)) co_return Error(Code::kIo, "the pipe");
  }
}
// A lease with its key, one after the other, each revoked in the end.
Task<Result<void>> lease_forever(Store* store, std::int64_t number) {
  for (;; ++number) {
    auto granted = co_await store->lease_grant(number, 3600, StopToken());
    if (!granted) co_return granted.error();
    TxnRequest request;
    request.success.push_back(put_op(cat("/leased/", number), "1", number));
    auto done = co_await store->txn(std::move(request), StopToken());
    if (!done) co_return done.error();
    auto revoked = co_await store->lease_revoke(number, StopToken());
    if (!revoked) co_return revoked.error();
  }
}
Task<Result<void>> compact_forever(Store* store, io::Loop* loop) {
  for (;;) {
    auto slept = co_await loop->sleep(15ms);
    if (!slept) co_return slept;
    const Revision keep = 200;
    if (store->revision() - keep <= store->compacted() + 1) continue;
    auto done = co_await store->compact(store->revision() - keep, StopToken());
    if (!done) co_return done;
  }
}
Task<Result<void>> defragment_forever(Store* store, io::Loop* loop) {
  for (;;) {
    auto slept = co_await loop->sleep(20ms);
    if (!slept) co_return slept;
    auto done = co_await store->defragment(StopToken());
    if (!done) co_return done;
  }
}
Task<Result<void>> child_main(Context context, SqliteStoreOptions options, std::int64_t first, int pipe) {
  auto store = co_await open_sqlite_store(context, options);
  if (!store) co_return store.error();
  io::TaskScope scope;
  for (int writer = 0; writer < kWriters; ++writer) scope.spawn(write_forever(store->get(), writer, first, pipe));
  scope.spawn(lease_forever(store->get(), first));
  scope.spawn(compact_forever(store->get(), &context.loop));
  if (first % 2 == 0) scope.spawn(defragment_forever(store->get(), &context.loop));
  auto joined = co_await scope.join();
  co_return joined;
}

[[noreturn]] void run_child(const SqliteStoreOptions& options, std::int64_t first, int pipe) {
  Harness harness;
  const Result<void> ended = harness.loop.run(child_main(harness.context(), options, first, pipe));
  const std::string text = ended ? "ended" : ended.error().message();
  [[maybe_unused]] auto ignored = ::write(2, text.data(), text.size());
  ::_exit(3);
}

struct Promised {
  std::map<int, Ack> newest;  // by writer
  std::size_t acks = 0;
};

// Lets a child write until it is killed; what it was promised is added.
void write_and_kill(const SqliteStoreOptions& options, std::int64_t first, Random& random, Promised* promised) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    run_child(options, first, ends[1]);
  }
  ::close(ends[1]);
  // After so many acknowledgements; the moment within a commit is up to chance.
  const std::size_t until = promised->acks + 1 + random.below(700);
  bool killed = false;
  Ack ack;
  while (::read(ends[0], &ack, sizeof ack) == static_cast<ssize_t>(sizeof ack)) {
    promised->newest[ack.writer] = ack;
    if (++promised->acks < until || killed) continue;
    ::usleep(static_cast<useconds_t>(random.below(3000)));
    ::kill(child, SIGKILL);
    killed = true;
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("kill -9 during a stream of writes loses nothing that was acknowledged") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.wal_bytes = 256 * 1024;
  Promised promised;
  std::int64_t first = 1;
  Revision highest = 1;
  for (int round = 0; round < test_rounds("KILL_ROUNDS", 20); ++round) {
    CAPTURE(round);
    write_and_kill(options, first, random, &promised);
    Driver d(options);
    auto opened = d.open();
    INFO((opened ? std::string() : opened.error().message()));
    REQUIRE(opened.ok());
    REQUIRE(d.store().revision() >= highest);
    for (const auto& [writer, ack] : promised.newest) {
      CAPTURE(writer, ack.number, ack.revision, ack.deleted);
      REQUIRE(d.store().revision() >= ack.revision);
      highest = std::max(highest, ack.revision);
      auto found = d.range(key_of(writer));
      REQUIRE(found.ok());
      auto twin = d.range(key_of(writer) + "/twin");
      REQUIRE(twin.ok());
      if (found->kvs.empty()) {
        // Deleted by the acknowledged write, or by one after it whose answer was lost.
        REQUIRE((ack.deleted == 1 || ack.number % 17 >= 0));
        if (ack.deleted == 0) REQUIRE(d.store().revision() > ack.revision);
        continue;
      }
      const std::int64_t number = std::stoll(*found->kvs[0].value);
      REQUIRE(number >= ack.number);
      REQUIRE(number <= ack.number + 1);  // each writer has one write under way
      REQUIRE(*twin->kvs[0].value == cat(number));
    }
    // At most the last lease of each round is left, its key with it, and no key without a lease.
    std::set<std::string> of_leases, there;
    const auto all = d.harness.wait(d.store().leases(StopToken()));
    REQUIRE(all.ok());
    REQUIRE(all->size() <= static_cast<std::size_t>(round) + 1);
    for (const std::int64_t lease : *all) {
      const Lease left = d.lease(lease);
      of_leases.insert(left.keys.begin(), left.keys.end());
    }
    const auto leased = d.range("/leased/", "/leased0");
    REQUIRE(leased.ok());
    for (const KeyValue& kv : leased->kvs) there.insert(kv.key);
    REQUIRE(there == of_leases);
    // What the log retains can be watched from.
    auto watch = d.store().watch(WatchRequest{"/", "0", d.store().compacted() + 1});
    REQUIRE(watch.ok());
    Revision last = d.store().compacted();
    while (last < d.store().revision()) {
      auto batches = d.harness.wait((*watch)->next());
      REQUIRE(batches.ok());
      for (const WatchBatch& batch : *batches) {
        REQUIRE((batch.events.empty() || batch.revision == std::max<Revision>(last + 1, 2)));
        last = batch.revision;
      }
    }
    first += 1'000'001;  // every second life defragments all the time
    for (auto& [writer, ack] : promised.newest) ack.number = 0;
    promised.newest.clear();
  }
  CAPTURE(promised.acks);
  CHECK(promised.acks > 20);
}

namespace {

// One acknowledged moment of a recorded run.
struct Moment {
  std::size_t operations = 0;  // recorded so far
  Revision revision = 0;
  std::string lock;    // the lock file's bytes
  std::string leases;  // lease_text()
};

struct Recorded {
  Model model;
  std::vector<Moment> moments;
};

// It goes on by itself; one at a time.
void begin_defragment(Driver& d) {
  io::StopSource gone;
  gone.stop();
  const Result<void> told = d.harness.wait(d.store().defragment(gone.token()));
  REQUIRE_FALSE(told.ok());
  REQUIRE((told.error().code() == Code::kCancelled || told.error().code() == Code::kConflict));
}

// A stream of writes on `disk`, with compactions and, on the way, defragmentations; every acknowledgement is noted.
void record_run(Driver& d, const TestDisk& disk, Random& random, int steps, Recorded* out) {
  auto note = [&] {
    out->moments.push_back(
        Moment{disk.operations(), out->model.revision(), read_file(d.options.path + "-lock"), lease_text(out->model)});
  };
  note();
  for (int i = 0; i < steps; ++i) {
    Model& model = out->model;
    if (random.below(6) == 0) {
      change_lease(d, model, random);
    } else {
      TxnRequest request = model.random_txn(random, 16, 12'000);
      model.apply(request);
      REQUIRE(d.txn(std::move(request)).ok());
    }
    note();
    if (random.below(40) == 0 && d.store().compacted() + 20 < out->model.revision()) {
      REQUIRE(d.compact(out->model.revision() - static_cast<Revision>(random.below(15))).ok());
      if (random.below(2) == 0) d.finish_sweep();
      note();
    }
    if (random.below(30) == 0) begin_defragment(d);
  }
}

// The store as the power failure left it after `operations`; what it holds must be a revision that was reached, at
// least the newest acknowledged one.
void check_moment(const TestDisk& disk, const Recorded& run, std::size_t operations, Random& random,
                  const std::string& from, const std::string& to) {
  std::filesystem::remove(to + "-wal");
  std::filesystem::remove(to + "-lock");
  for (const auto& [path, bytes] : disk.after_power_loss(operations, random)) {
    REQUIRE(path.substr(0, from.size()) == from);
    write_file(to + path.substr(from.size()), bytes);
  }
  auto later = std::upper_bound(run.moments.begin(), run.moments.end(), operations,
                                [](std::size_t at, const Moment& moment) { return at < moment.operations; });
  REQUIRE(later != run.moments.begin());
  const Moment& acknowledged = *(later - 1);
  // The mark is never synced: any of the past may have reached the disk.
  const auto known = static_cast<std::size_t>(later - run.moments.begin());
  if (random.below(3) > 0)
    write_file(to + "-lock", run.moments[known - 1 - random.below(std::min<std::size_t>(known, 5))].lock);
  SqliteStoreOptions options;
  options.path = to;
  options.compact_interval = Duration(0);
  Driver d(options);
  auto opened = d.open();
  INFO((opened ? std::string() : opened.error().message()));
  REQUIRE(opened.ok());
  const Revision revision = d.store().revision();
  CAPTURE(revision, acknowledged.revision);
  REQUIRE(revision >= acknowledged.revision);
  REQUIRE(revision <= acknowledged.revision + 1);
  auto state = state_of(d);
  REQUIRE(state.ok());
  REQUIRE(text(*state) == text(run.model.at(revision)));
  // As acknowledged last, or as the write after that made it.
  const std::string leases = lease_text(d);
  const bool next = later != run.moments.end() && leases == later->leases;
  CAPTURE(leases, acknowledged.leases);
  REQUIRE((leases == acknowledged.leases || next));
  if (random.below(8) == 0) {
    REQUIRE(d.put("after", "1").ok());
    REQUIRE(d.compact(d.store().revision()).ok());
    d.finish_sweep();
    d.close();
    REQUIRE(d.open().ok());
    REQUIRE(d.store().revision() == revision + 1);
  }
}

}  // namespace

TEST_CASE("the power may go at any write: the store opens with everything acknowledged") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  const std::string replayed = folder.file("replayed.db");
  const int points = test_rounds("POWER_POINTS", 1200);
  std::size_t checked = 0;
  // The second run begins with what a power failure left of the first.
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  options.wal_bytes = 256 * 1024;
  Driver d(options);
  disk.recording = true;
  disk.folders_lag = true;
  REQUIRE(d.open().ok());
  Recorded run;
  record_run(d, disk, random, 250, &run);
  const std::size_t first = run.moments.front().operations, last = disk.operations();
  REQUIRE(last - first > 300);
  for (int point = 0; point < points; ++point) {
    // Every operation at least once, when there are points enough.
    const std::size_t at =
        first + (points > 2000 ? static_cast<std::size_t>(point) % (last - first) : random.below(last - first));
    CAPTURE(point, at);
    check_moment(disk, run, at, random, options.path, replayed);
    ++checked;
  }
  CHECK(checked == static_cast<std::size_t>(points));
}
