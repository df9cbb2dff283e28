// damage_test.cc: torn and damaged files: a store opens with everything acknowledged, or says what is wrong.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "store/support_model.h"
#include "store/support_vfs.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;

namespace {

// Opens `options`' store; what it holds, or the error as text.
struct Opened {
  bool ok = false;
  Error error{Code::kInternal, ""};
  Revision revision = 0;
  ModelState state;
};
Opened open_and_read(const SqliteStoreOptions& options) {
  Opened out;
  Driver d(options);
  auto opened = d.open();
  if (!opened) {
    out.error = opened.error();
    return out;
  }
  auto state = state_of(d);
  if (!state) {
    out.error = state.error();
    return out;
  }
  out.ok = true;
  out.state = std::move(*state);
  out.revision = d.store().revision();
  return out;
}

// Says what is damaged, and where.
void check_message(const Error& error) {
  CAPTURE(error.message());
  CHECK(error.code() == Code::kCorrupt);
  CHECK(error.message().find("state.db") != std::string::npos);
  CHECK(error.message().find("damaged at byte") != std::string::npos);
}

// A store with some history, some of it swept, some only in the write-ahead log; crashed, as its files are copied. The
// log has frames of former rounds behind its end, but with `fresh_log`: then it ends where its file ends.
struct Crashed {
  TempFolder folder;
  Model model;
  std::string early_lock;  // the lock file before the last transactions
  std::size_t early_wal = 0;

  explicit Crashed(Random& random, int transactions, int late, bool fresh_log = false) {
    SqliteStoreOptions options = options_in(folder);
    options.path = folder.file("live.db");
    options.wal_bytes = 256 * 1024;
    Driver d(options);
    REQUIRE(d.open().ok());
    for (int i = 0; i < transactions; ++i) step(d, random, 9000);
    REQUIRE(d.compact(model.revision() / 2).ok());
    d.finish_sweep();
    if (fresh_log) {
      d.close();
      d.options.wal_bytes = 64 * 1024 * 1024;
      REQUIRE(d.open().ok());
    }
    for (int i = 0; i < 10; ++i) step(d, random, 9000);
    early_lock = read_file(options.path + "-lock");
    early_wal = std::filesystem::file_size(options.path + "-wal");
    for (int i = 0; i < late; ++i) step(d, random, 300);
    copy_store(options.path, original());
  }
  void step(Driver& d, Random& random, std::size_t max_value) {
    if (random.below(5) == 0) return change_lease(d, model, random);
    TxnRequest request = model.random_txn(random, 20, max_value);
    model.apply(request);
    REQUIRE(d.txn(std::move(request)).ok());
  }
  std::string original() const { return folder.file("crashed.db"); }
  // A fresh copy to be damaged.
  std::string copy() const {
    copy_store(original(), folder.file("state.db"));
    return folder.file("state.db");
  }
};

}  // namespace

TEST_CASE("a write-ahead log cut anywhere in its last transactions opens with all that was whole") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  Crashed crashed(random, 60, 4, true);
  const std::string wal = read_file(crashed.original() + "-wal");
  const std::string lock = read_file(crashed.original() + "-lock");
  const SqliteStoreOptions options = options_in(crashed.folder);
  Revision before = 0;
  const auto stride = static_cast<std::size_t>(test_rounds("CUT_STRIDE", 61));
  REQUIRE(wal.size() > crashed.early_wal);
  std::size_t refused = 0;
  for (std::size_t cut = crashed.early_wal;; cut = std::min(cut + stride, wal.size())) {
    CAPTURE(cut, wal.size());
    const std::string path = crashed.copy();
    // The power went while these were written: the mark is that of the time before.
    write_file(path + "-wal", wal.substr(0, cut));
    write_file(path + "-lock", crashed.early_lock);
    Opened opened = open_and_read(options);
    INFO(opened.error.message());
    REQUIRE(opened.ok);
    REQUIRE(opened.revision >= before);
    before = opened.revision;
    REQUIRE(text(opened.state) == text(crashed.model.at(opened.revision)));
    // The same log after an acknowledgement has lost something, and that is said.
    crashed.copy();
    write_file(path + "-wal", wal.substr(0, cut));
    write_file(path + "-lock", lock);
    opened = open_and_read(options);
    if (opened.ok) {
      REQUIRE(opened.revision == crashed.model.revision());
    } else {
      ++refused;
      check_message(opened.error);
      // Nothing was touched.
      REQUIRE(read_file(path + "-wal") == wal.substr(0, cut));
    }
    if (cut == wal.size()) break;
  }
  CHECK(before == crashed.model.revision());
  CHECK(refused > 0);
}

TEST_CASE("flipped bits anywhere are harmless or reported, and never lose what was acknowledged") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  Crashed crashed(random, 150, 10);
  const SqliteStoreOptions options = options_in(crashed.folder);
  int fine = 0, reported = 0;
  for (int round = 0; round < test_rounds("FLIP_ROUNDS", 400); ++round) {
    const std::string path = crashed.copy();
    if (round % 4 == 3) {
      // A store that was closed has all in the database.
      REQUIRE(open_and_read(options).ok);
    }
    const bool in_wal = round % 4 < 2;
    const std::string file = in_wal ? path + "-wal" : path;
    std::string bytes = read_file(file);
    REQUIRE_FALSE(bytes.empty());
    const std::size_t at = random.below(bytes.size());
    const std::uint64_t how = random.below(4);
    if (how < 2) {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
    } else {
      // A sector of zeros or of noise.
      const std::size_t begin = at / 512 * 512;
      for (std::size_t i = begin; i < std::min(begin + 512, bytes.size()); ++i) {
        bytes[i] = how == 2 ? '\0' : static_cast<char>(random.next());
      }
    }
    CAPTURE(round, file, at, how);
    write_file(file, bytes);
    const Opened opened = open_and_read(options);
    if (opened.ok) {
      ++fine;
      REQUIRE(opened.revision == crashed.model.revision());
      REQUIRE(text(opened.state) == text(crashed.model.at(opened.revision)));
      // And it goes on working.
      Driver d(options);
      REQUIRE(d.open().ok());
      for (int i = 0; i < 5; ++i) REQUIRE(d.put(cat("after-", i), std::string(5000, 'x')).ok());
      REQUIRE(d.compact(d.store().revision()).ok());
      d.finish_sweep();
      REQUIRE(d.fatal.empty());
    } else {
      ++reported;
      check_message(opened.error);
      REQUIRE_FALSE(open_and_read(options).ok);  // the same again: nothing was "repaired"
    }
  }
  CAPTURE(fine, reported);
  CHECK(reported > 0);
  CHECK(fine > 0);
}

TEST_CASE("missing, swapped and foreign files are told apart") {
  SeededRandom random(7);
  Crashed crashed(random, 80, 5);
  const SqliteStoreOptions options = options_in(crashed.folder);
  struct Row {
    const char* what;
    std::function<void(const std::string&)> harm;
    Code code;
  };
  namespace fs = std::filesystem;
  auto change = [](const std::string& path, std::size_t at, const std::string& bytes) {
    std::string all = read_file(path);
    all.replace(at, bytes.size(), bytes);
    write_file(path, all);
  };
  for (const Row& row : {
           Row{"no log", [](const std::string& p) { fs::remove(p + "-wal"); }, Code::kCorrupt},
           Row{"no database", [](const std::string& p) { fs::remove(p); }, Code::kCorrupt},
           Row{"no database and no log",
               [](const std::string& p) {
                 fs::remove(p);
                 fs::remove(p + "-wal");
               },
               Code::kCorrupt},
           Row{"empty database", [](const std::string& p) { write_file(p, ""); }, Code::kCorrupt},
           Row{"half a database",
               [&](const std::string& p) {
                 REQUIRE(open_and_read(options).ok);  // so that all is in the database, nothing in the log
                 write_file(p, read_file(p).substr(0, read_file(p).size() / 2));
               },
               Code::kCorrupt},
           Row{"text", [](const std::string& p) { write_file(p, std::string(9000, 'x')); }, Code::kCorrupt},
           Row{"wrong magic", [&](const std::string& p) { change(p, 0, "X"); }, Code::kCorrupt},
           Row{"other page size", [&](const std::string& p) { change(p, 16, std::string("\x20\x00", 2)); },
               Code::kCorrupt},
           Row{"rollback mode", [&](const std::string& p) { change(p, 18, "\x01\x01"); }, Code::kCorrupt},
           Row{"a link to a database elsewhere",
               [&](const std::string& p) {
                 REQUIRE(open_and_read(options).ok);
                 fs::rename(p, p + ".elsewhere");
                 fs::create_symlink(p + ".elsewhere", p);
               },
               Code::kInvalid},
           Row{"folder instead of a file",
               [](const std::string& p) {
                 fs::remove(p);
                 fs::create_directory(p);
               },
               Code::kIo},
       }) {
    CAPTURE(row.what);
    const std::string path = crashed.copy();
    row.harm(path);
    const Opened opened = open_and_read(options);
    REQUIRE_FALSE(opened.ok);
    CAPTURE(opened.error.message());
    CHECK(opened.error.code() == row.code);
    if (row.code == Code::kCorrupt) check_message(opened.error);
    fs::remove_all(path);
  }
  // Without the mark nothing says that the torn end was acknowledged, but what is in the middle still shows.
  std::string path = crashed.copy();
  fs::remove(path + "-lock");
  CHECK(open_and_read(options).ok);
  path = crashed.copy();
  fs::remove(path + "-lock");
  change(path + "-wal", 32 + 100, "damage");
  const Opened opened = open_and_read(options);
  REQUIRE_FALSE(opened.ok);
  check_message(opened.error);
  // A broken mark is no mark.
  path = crashed.copy();
  write_file(path + "-lock", "nonsense");
  CHECK(open_and_read(options).ok);
}

TEST_CASE("damage in one transaction is seen through the next, though nothing else says so") {
  // The last two transactions; the first of them is damaged, so exactly one good commit follows the bad frame. No mark.
  SeededRandom random(3);
  Crashed crashed(random, 30, 0);
  const SqliteStoreOptions options = options_in(crashed.folder);
  crashed.copy();
  std::size_t before = 0, middle = 0;
  {
    Driver d(options);
    REQUIRE(d.open().ok());
    REQUIRE(d.put("one", "1").ok());
    before = read_file(options.path + "-wal").size();
    REQUIRE(d.put("two", "2").ok());
    middle = read_file(options.path + "-wal").size();
    SECTION("a small transaction follows") { REQUIRE(d.put("three", "3").ok()); }
    SECTION("one with a long value follows") { REQUIRE(d.put("three", std::string(9000, '3')).ok()); }
    SECTION("a deletion follows") { REQUIRE(d.remove("one").ok()); }
    copy_store(options.path, crashed.folder.file("two.db"));
  }
  SqliteStoreOptions again = options;
  again.path = crashed.folder.file("damaged.db");
  for (std::size_t at = before; at < middle; at += 111) {
    CAPTURE(at, before, middle);
    copy_store(crashed.folder.file("two.db"), again.path);
    std::filesystem::remove(again.path + "-lock");
    std::string wal = read_file(again.path + "-wal");
    wal[at] = static_cast<char>(wal[at] ^ 0x40);
    write_file(again.path + "-wal", wal);
    const Opened opened = open_and_read(again);
    REQUIRE_FALSE(opened.ok);
    CHECK(opened.error.code() == Code::kCorrupt);
  }
}

TEST_CASE("a failed sync or write stops the store: nothing more is acknowledged") {
  struct Row {
    const char* what;
    bool sync;
  };
  for (const Row& row : {Row{"sync", true}, Row{"write", false}}) {
    CAPTURE(row.what);
    TempFolder folder;
    TestDisk disk;
    SqliteStoreOptions options = options_in(folder);
    options.vfs = disk.vfs();
    {
      Driver d(options);
      REQUIRE(d.open().ok());
      REQUIRE(d.put("a", "1").ok());
      auto watch = d.store().watch(WatchRequest{"a", "", 0});
      (row.sync ? disk.fail_syncs : disk.fail_writes) = 1;
      auto failed = d.put("a", "2");
      REQUIRE_FALSE(failed.ok());
      CHECK(failed.error().code() == Code::kUnavailable);
      REQUIRE(d.fatal.size() == 1);
      CHECK(d.fatal[0].code() == Code::kIo);
      CHECK(d.put("b", "1").error().code() == Code::kUnavailable);
      CHECK(d.range("a").error().code() == Code::kUnavailable);
      CHECK(d.harness.wait((*watch)->next()).error().code() == Code::kUnavailable);
      CHECK(d.fatal.size() == 1);
    }
    // The next start reads what is there: the write whose sync failed may be, an acknowledged one must.
    Driver d(options);
    REQUIRE(d.open().ok());
    CHECK((d.get("a") == "1" || d.get("a") == "2"));
    CHECK(d.put("a", "3").ok());
  }
}

namespace {

// Fills the disk, and finds writes refused, reads served, memory as the disk is, and writes going on with more space.
void fill_and_go_on(Driver& d, const std::function<void(bool full)>& set_full) {
  Model model;
  SeededRandom random(11);
  for (int i = 0; i < 30; ++i) {
    TxnRequest request = model.random_txn(random, 10, 3000);
    model.apply(request);
    REQUIRE(d.txn(request).ok());
  }
  for (int turn = 0; turn < 3; ++turn) {
    CAPTURE(turn);
    auto watch = d.store().watch(WatchRequest{"key", "kez", 0});
    REQUIRE(watch.ok());
    set_full(true);
    int refused = 0;
    for (int i = 0; i < 3000 && refused < 5; ++i) {
      TxnRequest request;
      request.success.push_back(put_op(cat("key-fill-", turn, "-", i), std::string(20'000, 'f')));
      auto done = d.txn(request);
      if (done) {
        model.apply(request);
        continue;
      }
      REQUIRE(done.error().code() == Code::kNoSpace);
      ++refused;
      REQUIRE(d.store().revision() == model.revision());
      REQUIRE(d.get("key-101").has_value() == (model.at(model.revision()).count("key-101") > 0));
    }
    REQUIRE(refused == 5);
    REQUIRE(d.fatal.empty());
    auto state = state_of(d);
    REQUIRE(state.ok());
    CHECK(text(*state) == text(model.at(model.revision())));
    set_full(false);
    for (int i = 0; i < 20; ++i) {
      TxnRequest request = model.random_txn(random, 10, 3000);
      model.apply(request);
      auto done = d.txn(request);
      REQUIRE(done.ok());
      REQUIRE(done->revision == model.revision());
    }
    state = state_of(d);
    REQUIRE(state.ok());
    CHECK(text(*state) == text(model.at(model.revision())));
    // No refused write was ever seen by the watch.
    Revision last = 0;
    while (last < model.revision()) {
      auto batches = d.harness.wait((*watch)->next());
      REQUIRE(batches.ok());
      for (const WatchBatch& batch : *batches) {
        REQUIRE((last == 0 || batch.events.empty() || batch.revision == last + 1));
        last = batch.revision;
        for (const WatchEvent& event : batch.events) {
          if (event.type == WatchEvent::Type::kPut) {
            REQUIRE(model.at(batch.revision).at(event.kv.key).value == *event.kv.value);
          }
        }
      }
    }
  }
  d.close();
  REQUIRE(d.open().ok());
  auto state = state_of(d);
  REQUIRE(state.ok());
  CHECK(text(*state) == text(model.at(model.revision())));
  CHECK(d.store().revision() == model.revision());
}

}  // namespace

TEST_CASE("a full disk refuses writes, serves reads, and takes writes again when there is space") {
  TempFolder folder;
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  options.wal_bytes = 256 * 1024;
  Driver d(options);
  REQUIRE(d.open().ok());
  std::int64_t limit = 0;
  fill_and_go_on(d, [&](bool full) {
    limit = static_cast<std::int64_t>(d.store().stats().database_bytes) + 300'000;
    disk.capacity = full ? limit : INT64_MAX;
  });
}

TEST_CASE("a store opens and reads on a full disk") {
  TempFolder folder;
  SeededRandom random(5);
  Crashed crashed(random, 60, 5);
  TestDisk disk;
  SqliteStoreOptions options = options_in(crashed.folder);
  options.vfs = disk.vfs();
  crashed.copy();
  disk.capacity = 0;
  {
    Driver d(options);
    auto opened = d.open();
    INFO((opened ? std::string() : opened.error().message()));
    REQUIRE(opened.ok());
    auto state = state_of(d);
    REQUIRE(state.ok());
    CHECK(text(*state) == text(crashed.model.at(crashed.model.revision())));
    CHECK(d.fatal.empty());
  }
  disk.capacity = INT64_MAX;
  const Opened again = open_and_read(options);
  REQUIRE(again.ok);
  CHECK(again.revision == crashed.model.revision());
}

TEST_CASE("writes that share the refused commit all fail, and their revisions are given anew") {
  TempFolder folder;
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  Driver d(options);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  struct Body {
    static Task<void> one(Store* store, int i, std::vector<std::string>* out) {
      TxnRequest request;
      request.compares.push_back(compare("a", Compare::Target::kVersion, Compare::Result::kGreater, 0));
      request.success.push_back(put_op("a", std::string(50'000, static_cast<char>('a' + i % 26))));
      auto done = co_await store->txn(std::move(request), StopToken());
      out->push_back(done ? cat("revision ", done->revision) : cat("error ", static_cast<int>(done.error().code())));
    }
    static Task<Result<void>> run(Store* store, std::vector<std::string>* out) {
      io::TaskScope scope;
      for (int i = 0; i < 50; ++i) scope.spawn(one(store, i, out));
      auto joined = co_await scope.join();
      co_return joined;
    }
  };
  std::vector<std::string> out;
  disk.capacity = static_cast<std::int64_t>(d.store().stats().database_bytes);
  REQUIRE(d.harness.wait(Body::run(&d.store(), &out)).ok());
  REQUIRE(out.size() == 50);
  for (const std::string& one : out) CHECK(one == cat("error ", static_cast<int>(Code::kNoSpace)));
  CHECK(d.store().revision() == 2);
  CHECK(d.get("a") == "1");
  disk.capacity = INT64_MAX;
  out.clear();
  REQUIRE(d.harness.wait(Body::run(&d.store(), &out)).ok());
  for (int i = 0; i < 50; ++i) CHECK(out[static_cast<std::size_t>(i)] == cat("revision ", i + 3));
}
