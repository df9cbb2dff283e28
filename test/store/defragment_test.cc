// defragment_test.cc: what a defragmentation gives back, what it leaves as it was, and what stops it. That the power
// may go at any moment of one is in crash_test.cc.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "store/database_copy.h"
#include "store/support_model.h"
#include "store/support_vfs.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using namespace std::chrono_literals;

namespace {

std::uint64_t bytes_of(const std::string& path) {
  return file_exists(path) ? static_cast<std::uint64_t>(std::filesystem::file_size(path)) : 0;
}
Result<void> defragment(Driver& d) { return d.harness.wait(d.store().defragment(StopToken())); }
// Begins one and does not wait for it.
Error begin_defragment(Driver& d) {
  io::StopSource gone;
  gone.stop();
  const Result<void> told = d.harness.wait(d.store().defragment(gone.token()));
  REQUIRE_FALSE(told.ok());
  return told.error();
}
// `count` values of 100 kB, of which one in `keep` stays; what they took is free afterwards.
void fill_and_free(Driver& d, int count, int keep) {
  for (int i = 0; i < count; ++i) REQUIRE(d.put(cat("k", i), std::string(100'000, 'v')).ok());
  for (int i = 0; i < count; ++i) {
    if (i % keep != 0) REQUIRE(d.remove(cat("k", i)).ok());
  }
  REQUIRE(d.compact(d.store().revision()).ok());
  d.finish_sweep();
}
void check_filled(Driver& d, int count, int keep) {
  for (int i = 0; i < count; ++i) {
    CAPTURE(i);
    const std::optional<std::string> found = d.get(cat("k", i));
    REQUIRE(found == (i % keep == 0 ? std::optional(std::string(100'000, 'v')) : std::nullopt));
  }
}
void write_some(Driver& d, Model* model, Random& random, int transactions) {
  for (int i = 0; i < transactions; ++i) {
    if (random.below(6) == 0) change_lease(d, *model, random);
    TxnRequest request = model->random_txn(random, 60, 20'000);
    model->apply(request);
    REQUIRE(d.txn(std::move(request)).ok());
  }
}
// Every revision that can be read, the leases, and what a watch from the beginning is told.
void check_all(Driver& d, const Model& model) {
  REQUIRE(d.store().revision() == model.revision());
  for (Revision at = std::max<Revision>(d.store().compacted() + 1, 2); at <= model.revision(); ++at) {
    CAPTURE(at);
    auto state = state_of(d, at);
    REQUIRE(state.ok());
    REQUIRE(text(*state) == text(model.at(at)));
  }
  CHECK(lease_text(d) == lease_text(model));
  auto all = d.store().watch(WatchRequest{std::string(1, '\0'), std::string(1, '\0'), d.store().compacted() + 1});
  REQUIRE(all.ok());
  Revision last = d.store().compacted();
  while (last < model.revision()) {
    auto batches = d.harness.wait((*all)->next());
    REQUIRE(batches.ok());
    for (const WatchBatch& batch : *batches) {
      if (!batch.events.empty()) REQUIRE(batch.revision == std::max<Revision>(last + 1, 2));
      last = batch.revision;
    }
  }
}

}  // namespace

TEST_CASE("a defragmentation gives back what compaction freed, and everything else is as before") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  // Watches and reads of the past come from the disk.
  options.history_bytes = 10'000;
  Driver d(options);
  REQUIRE(d.open().ok());
  Model model;
  write_some(d, &model, random, 400);
  REQUIRE(d.compact(model.revision() - 20).ok());
  d.finish_sweep();
  const Stats before = d.store().stats();
  REQUIRE(defragment(d).ok());
  const Stats after = d.store().stats();
  CHECK(after.database_bytes < before.database_bytes / 2);
  CHECK(after.free_bytes == 0);
  CHECK(after.written_bytes > before.written_bytes);
  // The write-ahead log is short again, and nothing is left beside it.
  CHECK(bytes_of(options.path + "-wal") == 0);
  CHECK(bytes_of(options.path) == after.database_bytes);
  CHECK_FALSE(file_exists(copy_path(options.path)));
  struct stat info {};
  REQUIRE(::stat(options.path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  check_all(d, model);
  // It goes on, is compacted, defragmented once more, and opens.
  write_some(d, &model, random, 100);
  REQUIRE(d.compact(model.revision() - 10).ok());
  d.finish_sweep();
  REQUIRE(defragment(d).ok());
  check_all(d, model);
  d.close();
  REQUIRE(d.open().ok());
  check_all(d, model);
  CHECK(d.fatal.empty());
}

TEST_CASE("an empty store is defragmented, too") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  REQUIRE(defragment(d).ok());
  REQUIRE(d.put("a", "1").ok());
  d.close();
  REQUIRE(d.open().ok());
  CHECK(d.get("a") == "1");
}

TEST_CASE("writes and compactions and reads go on during a defragmentation, and all of them are in its copy") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.wal_bytes = 256 * 1024;
  Driver d(options);
  REQUIRE(d.open().ok());
  Model model;
  write_some(d, &model, random, 400);
  for (int round = 0; round < 6; ++round) {
    CAPTURE(round);
    struct Ended {
      static Task<Result<void>> wait(Store* store, bool* ended) {
        auto done = co_await store->defragment(StopToken());
        *ended = true;
        co_return done;
      }
    };
    bool ended = false;
    io::TaskScope scope;
    scope.spawn(Ended::wait(&d.store(), &ended));
    int meanwhile = 0;
    for (; !ended; ++meanwhile) {
      write_some(d, &model, random, 1);
      // What it wants to drop stays until the copy is in its place.
      if (meanwhile == 2) REQUIRE(d.compact(model.revision() - 5).ok());
      if (meanwhile % 4 == 0) REQUIRE(text(*state_of(d)) == text(model.at(model.revision())));
    }
    REQUIRE(d.harness.wait(scope.join()).ok());
    CHECK(meanwhile > 3);
    d.finish_sweep();
    check_all(d, model);
    if (round % 2 == 0) {
      d.close();
      REQUIRE(d.open().ok());
      check_all(d, model);
    }
  }
  CHECK(d.fatal.empty());
}

TEST_CASE("a second defragmentation is refused while one is under way, which goes on without its caller") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  fill_and_free(d, 40, 10);
  const std::uint64_t before = d.store().stats().database_bytes;
  CHECK(begin_defragment(d).code() == Code::kCancelled);
  CHECK(text(begin_defragment(d)) == text(Error(Code::kConflict, "this server's store is being defragmented already")));
  Result<void> again = defragment(d);
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().code() == Code::kConflict);
  for (int i = 0; i < 2000 && !again; ++i) {
    d.harness.run_for(1ms);
    again = defragment(d);
  }
  REQUIRE(again.ok());
  CHECK(d.store().stats().database_bytes < before / 4);
  check_filled(d, 40, 10);
}

TEST_CASE("a store that closes gives up its defragmentation, and what a crash left of one goes with the next start") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  fill_and_free(d, 60, 2);
  CHECK(begin_defragment(d).code() == Code::kCancelled);
  while (!file_exists(copy_path(d.options.path))) d.harness.run_for(100us);
  d.close();
  CHECK_FALSE(file_exists(copy_path(d.options.path)));
  for (const char* suffix : {"", "-wal", "-journal"}) write_file(copy_path(d.options.path) + suffix, "half");
  REQUIRE(d.open().ok());
  for (const char* suffix : {"", "-wal", "-journal"}) CHECK_FALSE(file_exists(copy_path(d.options.path) + suffix));
  check_filled(d, 60, 2);
}

TEST_CASE("a full or broken disk refuses a defragmentation and leaves the store as it was") {
  TempFolder folder;
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  Driver d(options);
  REQUIRE(d.open().ok());
  fill_and_free(d, 60, 2);
  d.harness.run_for(100ms);  // until the write-ahead log is moved: what fails next has to be the copy
  const auto size = static_cast<std::int64_t>(d.store().stats().database_bytes);
  Code expected = Code::kInternal;
  SECTION("no space for the copy") {
    expected = Code::kNoSpace;
    disk.capacity = size + GENERATE(0, 5'000, 100'000, 2'000'000, 3'000'000);
  }
  SECTION("a write of the copy fails") { disk.fail_writes = 1; }
  SECTION("a sync of the copy fails") { disk.fail_syncs = 1; }
  const Result<void> refused = defragment(d);
  REQUIRE_FALSE(refused.ok());
  CAPTURE(refused.error().message());
  CHECK(refused.error().code() == expected);
  CHECK(refused.error().message().find("to defragment") != std::string::npos);
  CHECK_FALSE(file_exists(copy_path(options.path)));
  CHECK(d.fatal.empty());
  check_filled(d, 60, 2);
  disk.capacity = INT64_MAX;
  REQUIRE(d.put("after", "1").ok());
  REQUIRE(defragment(d).ok());
  CHECK(d.store().stats().database_bytes < static_cast<std::uint64_t>(size) * 3 / 4);
  d.close();
  REQUIRE(d.open().ok());
  check_filled(d, 60, 2);
  CHECK(d.get("after") == "1");
}

TEST_CASE("a write that finds no space takes that of a defragmentation under way") {
  TempFolder folder;
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  Driver d(options);
  REQUIRE(d.open().ok());
  fill_and_free(d, 60, 1);
  d.close();  // the log is empty then, so that a write needs space
  REQUIRE(d.open().ok());
  CHECK(begin_defragment(d).code() == Code::kCancelled);
  // Until it has so much that the write below fits in its place.
  while (bytes_of(copy_path(options.path)) < 1'000'000) d.harness.run_for(100us);
  disk.capacity = static_cast<std::int64_t>(d.store().stats().database_bytes + bytes_of(copy_path(options.path)));
  for (int i = 0; i < 5; ++i) REQUIRE(d.put("more", std::string(100'000, static_cast<char>('a' + i))).ok());
  CHECK_FALSE(file_exists(copy_path(options.path)));
  CHECK(d.get("more") == std::string(100'000, 'e'));
  check_filled(d, 60, 1);
}

namespace {
// In a file system of 24 MiB of its own, which goes with this process: what a defragmentation of 12 MiB in use says.
std::string refused_on_a_small_disk(const std::string& folder) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=24m") != 0) {
    return "may not mount";
  }
  SqliteStoreOptions options;
  options.path = folder + "/state.db";
  options.compact_interval = Duration(0);
  Driver d(options);
  if (auto opened = d.open(); !opened) return opened.error().message();
  for (int i = 0; i < 12; ++i) {
    auto done = d.put(cat("k", i), std::string(1 << 20, 'v'));
    if (!done) return done.error().message();
  }
  const Result<void> refused = defragment(d);
  if (refused) return "not refused";
  if (file_exists(copy_path(options.path))) return "a copy was begun";
  auto done = d.put("k", "v");
  if (!done) return done.error().message();
  return text(refused.error());
}
}  // namespace

TEST_CASE("where a second database has no room, a defragmentation is refused before it writes anything") {
  TempFolder folder;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string said = refused_on_a_small_disk(folder.file("."));
    [[maybe_unused]] auto ignored = ::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said(1000, '\0');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(ends[0], said.data(), said.size()), 0)));
  ::close(ends[0]);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  if (said == "may not mount") {
    WARN("skipped: this user may not mount a small file system");
    return;
  }
  CAPTURE(said);
  CHECK(said.starts_with(cat(static_cast<int>(Code::kNoSpace), " to defragment, the store is written anew beside ")));
  CHECK(said.find(" MiB there, and ") != std::string::npos);
}

namespace {
EntryRef entry_of(LogIndex index, Term term, const std::string& value) {
  auto entry = std::make_shared<Entry>();
  entry->index = index;
  entry->term = term;
  entry->revision = static_cast<Revision>(index) + 1;
  Effect& put = entry->effects.emplace_back();
  put.type = EffectType::kPut;
  put.key = cat("k", index);
  put.value = std::make_shared<const std::string>(value);
  put.create_revision = entry->revision;
  put.version = 1;
  return entry;
}
struct Opened {
  explicit Opened(const TempFolder& folder) {
    options.path = folder.file("state.db");
    options.store_id = std::string(16, 's');
    open();
    LogWrite write;
    write.hard = raft::HardState{1, 1, 0};
    write.first = 1;
    for (LogIndex i = 1; i <= 100; ++i) write.entries.push_back(entry_of(i, 1, std::string(5000, 'v')));
    REQUIRE(database->write(std::span(&write, 1), nullptr, &swept).ok());
  }
  void open() {
    database.reset();
    auto opened = Database::open(options, RowSink());
    REQUIRE(opened.ok());
    database = std::move(*opened);
  }
  DatabaseOptions options;
  std::unique_ptr<Database> database;
  SweepResult swept;
};
}  // namespace

TEST_CASE("a log that is cut ends the defragmentation that has copied what goes") {
  TempFolder folder;
  Opened d(folder);
  REQUIRE(d.database->begin_defragment().ok());
  CHECK(d.database->begin_defragment().error().code() == Code::kConflict);
  Result<bool> step = d.database->defragment(300'000);
  REQUIRE(step.ok());
  CHECK_FALSE(*step);
  LogWrite cut;
  cut.hard = raft::HardState{2, 2, 10};
  cut.first = 31;
  cut.entries.push_back(entry_of(31, 2, "another's"));
  REQUIRE(d.database->write(std::span(&cut, 1), nullptr, &d.swept).ok());
  CHECK_FALSE(file_exists(copy_path(d.options.path)));
  step = d.database->defragment(300'000);
  REQUIRE_FALSE(step.ok());
  CHECK(step.error().code() == Code::kUnavailable);
  // And one that begins afterwards is of the new log, its hard state with it.
  REQUIRE(d.database->begin_defragment().ok());
  do {
    step = d.database->defragment(50'000);
    REQUIRE(step.ok());
  } while (!*step);
  d.open();
  CHECK(d.database->found().last == 31);
  CHECK(d.database->found().hard == raft::HardState{2, 2, 10});
}

TEST_CASE("a copy that does not read as it was written is not put in anything's place") {
  TempFolder folder;
  Opened d(folder);
  const auto make = [&d] {
    auto copy = DatabaseCopy::create(d.options, d.database->store_id());
    REQUIRE(copy.ok());
    for (bool more = true; more;) {
      const Result<bool> went_on = (*copy)->copy(*d.database, 60'000);
      REQUIRE(went_on.ok());
      more = *went_on;
    }
    return std::move(*copy);
  };
  const auto check = [](DatabaseCopy& copy) {
    while (!copy.checked()) {
      const Result<void> good = copy.check(60'000);
      if (!good) return text(good.error());
    }
    return std::string("good");
  };
  std::unique_ptr<DatabaseCopy> copy = make();
  CHECK(check(*copy) == "good");
  copy.reset();
  copy = make();
  const std::string path = copy_path(d.options.path);
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  {
    // In place, as the copy has the file open.
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  CHECK(check(*copy).starts_with(cat(static_cast<int>(Code::kInternal), " to defragment: ")));
  copy.reset();
  CHECK_FALSE(file_exists(path));
}
