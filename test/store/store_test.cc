// store_test.cc: etcd's semantics of keys, transactions, ranges and compaction, and what a restart keeps.
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "base/strings.h"
#include "store/embedded.h"
#include "store/support_store.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using namespace std::chrono_literals;
using Target = Compare::Target;
using Is = Compare::Result;

namespace {
std::string meta(const KeyValue& kv) {
  return cat(kv.key, " c", kv.create_revision, " m", kv.mod_revision, " v", kv.version, " l", kv.lease);
}

// Each look at it takes a millisecond, so that what is bounded in time ends after so many looks.
class TickingClock final : public Clock {
 public:
  Instant now() const override { return now_ = now_ + 1ms; }
  WallTime wall() const override { return SystemClock().wall(); }

 private:
  mutable Instant now_ = SystemClock().now();
};
}  // namespace

TEST_CASE("a key's revisions, version and lease follow its lives") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  CHECK(d.store().revision() == 1);  // as an empty etcd
  REQUIRE(d.grant(7).ok());
  REQUIRE(d.grant(-9).ok());
  CHECK(d.store().revision() == 1);
  struct Row {
    const char* what;
    std::string value;
    std::int64_t lease;
    const char* after;
  };
  for (const Row& row :
       {Row{"put", "1", 0, "a c2 m2 v1 l0"}, Row{"put", "2", 7, "a c2 m3 v2 l7"}, Row{"put", "2", 0, "a c2 m4 v3 l0"},
        Row{"delete", "", 0, ""}, Row{"delete", "", 0, ""}, Row{"put", "3", -9, "a c6 m6 v1 l-9"}}) {
    CAPTURE(row.what, row.value, row.after);
    if (std::string(row.what) == "put") {
      CHECK(d.put("a", row.value, row.lease).ok());
    } else {
      CHECK(d.remove("a").ok());
    }
    auto found = d.range("a");
    REQUIRE(found.ok());
    CHECK((found->kvs.empty() ? "" : meta(found->kvs[0])) == row.after);
  }
  CHECK(d.store().revision() == 6);  // the second deletion wrote nothing
}

TEST_CASE("compares") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.grant(5).ok());
  REQUIRE(d.put("a", "m", 5).ok());  // created and modified at 2, version 1
  REQUIRE(d.put("a", "m", 5).ok());  // modified at 3, version 2
  struct Row {
    const char* key;
    Target target;
    Is result;
    std::int64_t number;
    const char* value;
    bool holds;
  };
  const std::vector<Row> rows = {
      {"a", Target::kVersion, Is::kEqual, 2, "", true},
      {"a", Target::kVersion, Is::kGreater, 1, "", true},
      {"a", Target::kVersion, Is::kGreater, 2, "", false},
      {"a", Target::kVersion, Is::kLess, 3, "", true},
      {"a", Target::kVersion, Is::kNotEqual, 2, "", false},
      {"a", Target::kCreateRevision, Is::kEqual, 2, "", true},
      {"a", Target::kModRevision, Is::kEqual, 3, "", true},
      {"a", Target::kModRevision, Is::kEqual, 2, "", false},
      {"a", Target::kLease, Is::kEqual, 5, "", true},
      {"a", Target::kValue, Is::kEqual, 0, "m", true},
      {"a", Target::kValue, Is::kNotEqual, 0, "m", false},
      {"a", Target::kValue, Is::kGreater, 0, "l", true},
      {"a", Target::kValue, Is::kLess, 0, "l", false},
      {"a", Target::kValue, Is::kLess, 0, "n", true},
      {"none", Target::kVersion, Is::kEqual, 0, "", true},
      {"none", Target::kCreateRevision, Is::kEqual, 0, "", true},
      {"none", Target::kModRevision, Is::kEqual, 0, "", true},
      {"none", Target::kLease, Is::kEqual, 0, "", true},
      {"none", Target::kModRevision, Is::kGreater, 0, "", false},
      {"none", Target::kValue, Is::kEqual, 0, "", false},
      {"none", Target::kValue, Is::kNotEqual, 0, "x", false},
  };
  // Values in memory, then values that only the disk has.
  for (int restart = 0; restart < 2; ++restart) {
    for (const Row& row : rows) {
      CAPTURE(restart, row.key, static_cast<int>(row.target), static_cast<int>(row.result), row.number, row.value);
      TxnRequest request;
      request.compares.push_back(compare(row.key, row.target, row.result, row.number));
      request.compares.back().value = row.value;
      auto done = d.txn(request);
      REQUIRE(done.ok());
      CHECK(done->succeeded == row.holds);
      CHECK(done->revision == 3);
    }
    d.close();
    REQUIRE(d.open().ok());
  }
}

TEST_CASE("a transaction runs its branch in order at one revision") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("b", "old").ok());
  REQUIRE(d.put("c", "gone").ok());
  TxnRequest request;
  request.compares = {compare("b", Target::kModRevision, Is::kEqual, 2), compare("x", Target::kVersion, Is::kEqual, 0)};
  request.success = {range_op("a", "z"), put_op("a", "1"), put_op("b", "2"), delete_op("c"), range_op("a", "z")};
  request.success[2].previous = true;
  request.success[3].previous = true;
  request.failure = {put_op("f", "1")};
  auto done = d.txn(request);
  REQUIRE(done.ok());
  CHECK(done->succeeded);
  CHECK(done->revision == 4);
  CHECK(text(done->responses[0].range.kvs) == "b=old c=gone");
  CHECK(text(done->responses[2].previous) == "b=old");
  CHECK(text(done->responses[3].previous) == "c=gone");
  CHECK(done->responses[3].deleted == 1);
  CHECK(text(done->responses[4].range.kvs) == "a=1 b=2");
  for (const KeyValue& kv : done->responses[4].range.kvs) CHECK(kv.mod_revision == 4);
  // The compare fails now, so the other branch runs.
  done = d.txn(request);
  REQUIRE(done.ok());
  CHECK_FALSE(done->succeeded);
  CHECK(done->revision == 5);
  CHECK(d.get("f") == "1");
  CHECK(text(d.range("a", "z")->kvs) == "a=1 b=2 f=1");
  // What the disk alone has is answered, too.
  d.close();
  REQUIRE(d.open().ok());
  request.compares.clear();
  request.success = {put_op("a", "3"), delete_op("b"), range_op("a", "z")};
  request.success[0].previous = request.success[1].previous = true;
  done = d.txn(request);
  REQUIRE(done.ok());
  CHECK(text(done->responses[0].previous) == "a=1");
  CHECK(text(done->responses[1].previous) == "b=2");
  CHECK(text(done->responses[2].range.kvs) == "a=3 f=1");
  // A branch without effect writes nothing.
  request.success = {delete_op("nothing"), range_op("a")};
  done = d.txn(request);
  REQUIRE(done.ok());
  CHECK(done->revision == 6);
  CHECK(d.store().revision() == 6);
}

TEST_CASE("refused transactions write nothing") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  const std::string big(1536 * 1024 + 1, 'x'), fits(1536 * 1024, 'x');
  Op put_range = put_op("a", "1");
  put_range.range_end = "b";
  Op future = range_op("a");
  future.range.revision = 99;
  std::vector<Op> many, heavy;
  for (int i = 0; i < 129; ++i) many.push_back(put_op(cat("k", i), "v"));
  for (int i = 0; i < 11; ++i) heavy.push_back(put_op(cat("k", i), fits));
  struct Row {
    const char* what;
    std::vector<Op> ops;
    Code code;
  };
  for (const Row& row : {Row{"empty key", {put_op("", "1")}, Code::kInvalid},
                         Row{"two puts", {put_op("a", "1"), put_op("b", "1"), put_op("a", "2")}, Code::kInvalid},
                         Row{"put and delete", {put_op("a", "1"), delete_op("a")}, Code::kInvalid},
                         Row{"delete and put", {delete_op("a"), put_op("a", "1")}, Code::kInvalid},
                         Row{"delete over put", {put_op("b", "1"), delete_op("a", "c")}, Code::kInvalid},
                         Row{"delete all", {put_op("b", "1"), delete_op("a", std::string(1, '\0'))}, Code::kInvalid},
                         Row{"put of a range", {put_range}, Code::kInvalid},
                         Row{"range ahead", {put_op("a", "1"), future}, Code::kInvalid},
                         Row{"long key", {put_op(std::string(9000, 'k'), "1")}, Code::kTooLarge},
                         Row{"big value", {put_op("a", big)}, Code::kTooLarge},
                         Row{"129 operations", many, Code::kTooLarge}, Row{"over 16 MiB", heavy, Code::kTooLarge}}) {
    CAPTURE(row.what);
    TxnRequest request;
    request.success = row.ops;
    auto done = d.txn(request);
    REQUIRE_FALSE(done.ok());
    CAPTURE(done.error().message());
    CHECK(done.error().code() == row.code);
    // The branch that does not run is checked as well, but for its effects.
    if (row.code == Code::kInvalid && std::string(row.what) != "range ahead") {
      request.failure.swap(request.success);
      CHECK_FALSE(d.txn(request).ok());
    }
  }
  CHECK(d.store().revision() == 1);
  // The edges fit.
  CHECK(d.put("a", fits).ok());
  TxnRequest request;
  request.success = std::vector<Op>(many.begin(), many.end() - 1);
  CHECK(d.txn(request).ok());
  CHECK(d.get("a") == fits);
  request.success = {delete_op("k1", "k2"), delete_op("k10", "k3")};  // deletes may overlap
  CHECK(d.txn(request).ok());
}

TEST_CASE("ranges") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  for (const char* key : {"a", "b", "ba", "bb", "c", "d"}) REQUIRE(d.put(key, key).ok());  // revisions 2 to 7
  REQUIRE(d.remove("bb").ok());                                                            // 8
  REQUIRE(d.put("b", "b2").ok());                                                          // 9
  const std::string all(1, '\0');
  struct Row {
    std::string key, end;
    std::int64_t limit;
    Revision revision;
    const char* kvs;
    std::int64_t count;
    bool more;
  };
  for (int restart = 0; restart < 2; ++restart) {
    for (const Row& row : {
             Row{"b", "", 0, 0, "b=b2", 1, false},
             Row{"x", "", 0, 0, "", 0, false},
             Row{"b", "c", 0, 0, "b=b2 ba=ba", 2, false},
             Row{"b", all, 0, 0, "b=b2 ba=ba c=c d=d", 4, false},
             Row{all, all, 0, 0, "a=a b=b2 ba=ba c=c d=d", 5, false},
             Row{"c", "b", 0, 0, "", 0, false},
             Row{"a", "z", 2, 0, "a=a b=b2", 5, true},
             Row{"a", "z", 5, 0, "a=a b=b2 ba=ba c=c d=d", 5, false},
             Row{"a", "z", 9, 0, "a=a b=b2 ba=ba c=c d=d", 5, false},
             Row{"a", "z", 0, 9, "a=a b=b2 ba=ba c=c d=d", 5, false},
             Row{"a", "z", 0, 8, "a=a b=b ba=ba c=c d=d", 5, false},
             Row{"a", "z", 0, 7, "a=a b=b ba=ba bb=bb c=c d=d", 6, false},
             Row{"a", "z", 0, 4, "a=a b=b ba=ba", 3, false},
             Row{"a", "z", 2, 4, "a=a b=b", 3, true},
             Row{"bb", "", 0, 7, "bb=bb", 1, false},
             Row{"bb", "", 0, 8, "", 0, false},
             Row{"a", "z", 0, 1, "", 0, false},
         }) {
      CAPTURE(restart, row.key, row.end, row.limit, row.revision);
      RangeRequest request;
      request.key = row.key;
      request.range_end = row.end;
      request.limit = row.limit;
      request.revision = row.revision;
      auto found = d.range(request);
      REQUIRE(found.ok());
      CHECK(text(found->kvs) == row.kvs);
      CHECK(found->count == row.count);
      CHECK(found->more == row.more);
      CHECK(found->revision == 9);
      request.keys_only = true;
      auto keys = d.range(request);
      REQUIRE(keys.ok());
      REQUIRE(keys->kvs.size() == found->kvs.size());
      for (std::size_t i = 0; i < keys->kvs.size(); ++i) {
        CHECK(meta(keys->kvs[i]) == meta(found->kvs[i]));
        CHECK(keys->kvs[i].value == nullptr);
      }
      request.keys_only = false;
      request.count_only = true;
      auto counted = d.range(request);
      REQUIRE(counted.ok());
      CHECK(counted->kvs.empty());
      CHECK(counted->count == row.count);
    }
    d.close();
    REQUIRE(d.open().ok());
  }
  CHECK(d.range("a", "", 10).error().code() == Code::kInvalid);
  RangeRequest negative;
  negative.key = "a";
  negative.limit = -1;
  CHECK(d.range(negative).error().code() == Code::kInvalid);
  CHECK(d.range("", "").error().code() == Code::kInvalid);
}

TEST_CASE("compaction gives up history and keeps what is visible") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());     // 2
  REQUIRE(d.put("a", "2").ok());     // 3
  REQUIRE(d.put("gone", "1").ok());  // 4
  REQUIRE(d.remove("gone").ok());    // 5
  REQUIRE(d.put("a", "3").ok());     // 6
  REQUIRE(d.put("back", "1").ok());  // 7
  REQUIRE(d.remove("back").ok());    // 8
  REQUIRE(d.put("back", "2").ok());  // 9
  CHECK(d.compact(10).error().code() == Code::kInvalid);
  REQUIRE(d.compact(6).ok());
  CHECK(d.compact(6).error().code() == Code::kExpired);
  CHECK(d.compact(3).error().code() == Code::kExpired);
  CHECK(d.compacted() == 5);
  CHECK(d.store().revision() == 9);
  for (int restart = 0; restart < 3; ++restart) {
    CAPTURE(restart);
    CHECK(d.range("a", "", 5).error().code() == Code::kExpired);
    CHECK(d.get("a", 6) == "3");
    CHECK(d.get("back", 7) == "1");
    CHECK(d.get("back", 8) == std::nullopt);
    CHECK(d.get("back", 9) == "2");
    CHECK(d.get("gone") == std::nullopt);
    CHECK(d.compacted() == 5);
    CHECK(d.store().revision() == 9);
    if (!d.on_etcd()) CHECK(d.store().stats().keys == 2);
    if (restart == 0) d.finish_sweep();
    d.close();
    REQUIRE(d.open().ok());
  }
  REQUIRE(d.compact(9).ok());
  d.finish_sweep();
  CHECK(d.get("back") == "2");
  CHECK(d.get("a") == "3");
}

TEST_CASE("the revision never goes back, whatever was deleted and compacted") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  for (int i = 0; i < 20; ++i) REQUIRE(d.put("only", cat(i)).ok());
  REQUIRE(d.remove("only").ok());
  CHECK(d.store().revision() == 22);
  REQUIRE(d.compact(22).ok());
  d.finish_sweep();
  for (int restart = 0; restart < 3; ++restart) {
    d.close();
    REQUIRE(d.open().ok());
    CHECK(d.store().revision() == 22);
    CHECK(d.compacted() == 21);
    if (!d.on_etcd()) CHECK(d.store().stats().keys == 0);
  }
  CHECK(d.put("new", "1").value() == 23);
  CHECK(d.range("new")->kvs[0].create_revision == 23);
}

TEST_CASE("history is compacted by itself after the interval") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.compact_interval = 300ms;
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  TxnRequest many;
  for (int i = 0; i < 100; ++i) many.success.push_back(put_op(cat("k", i), "v"));
  for (int i = 0; i < 15; ++i) REQUIRE(d.txn(many).ok());
  // A little history is left alone: dropping it would cost more than it frees.
  d.harness.run_for(700ms);
  CHECK(d.store().compacted() == 0);
  for (int i = 0; i < 1500; ++i) REQUIRE(d.put(cat("k", i % 10), cat(i)).ok());
  const Revision written = d.store().revision();
  CHECK(d.store().compacted() < written - 1);
  for (int i = 0; i < 100 && d.store().compacted() < written - 1001; ++i) d.harness.run_for(20ms);
  CHECK(d.store().compacted() >= written - 1001);
  d.finish_sweep();
  for (int i = 0; i < 10; ++i) CHECK(d.get(cat("k", i)) == cat(1490 + i));
}

TEST_CASE(
    "the write-ahead log is moved into the database while the store is written to, and does not grow beyond its "
    "bound") {
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.wal_bytes = 512 * 1024;
  Driver d(options);
  REQUIRE(d.open().ok());
  const std::string value(8 * 1024, 'x');
  std::uintmax_t longest = 0;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(d.put(cat("k", i), value).ok());
    longest = std::max(longest, std::filesystem::file_size(options.path + "-wal"));
  }
  // One commit may come on top of the bound.
  CHECK(longest < options.wal_bytes + 128 * 1024);
  CHECK(std::filesystem::file_size(options.path) > 1000 * value.size() - options.wal_bytes);
  d.close();
  REQUIRE(d.open().ok());
  for (int i = 0; i < 1000; i += 111) CHECK(d.get(cat("k", i)) == value);
}

TEST_CASE("a second store on the same files is told that it is busy") {
  TempFolder folder;
  Driver first(options_in(folder)), second(options_in(folder));
  REQUIRE(first.open().ok());
  auto opened = second.open();
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().code() == Code::kUnavailable);
  CHECK(opened.error().message().find("another process") != std::string::npos);
  first.close();
  CHECK(second.open().ok());
}

TEST_CASE("closing finishes what was accepted, also what its caller no longer waits for") {
  struct Body {
    static Task<Result<void>> put(Store* store, int i, StopToken stop) {
      TxnRequest request;
      Op op;
      op.key = cat("k", i);
      op.value = std::make_shared<const std::string>(20'000, 'x');
      request.success.push_back(std::move(op));
      auto done = co_await store->txn(std::move(request), stop);
      CHECK((done.ok() || done.error().code() == Code::kCancelled));
      co_return Result<void>();
    }
    static Task<Result<void>> run(Store* store) {
      io::TaskScope scope;
      for (int i = 0; i < 50; ++i) scope.spawn(put(store, i, scope.token()));
      scope.stop();
      co_await store->close();
      co_return co_await scope.join();
    }
  };
  TempFolder folder;
  for (int round = 0; round < 3; ++round) {
    Driver d(options_in(folder));
    REQUIRE(d.open().ok());
    Store& store = d.store();
    REQUIRE(d.harness.wait(Body::run(&store)).ok());
  }
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  CHECK(d.range("k", "l")->count == 50);
}

TEST_CASE("writes that were committed together are applied in slices, in order, with turns of others in between") {
  constexpr std::size_t kWrites = 1600;
  struct Body {
    std::vector<std::pair<int, Revision>> answered;  // in which turn of the loop
    int turn = 0;
    static Task<Result<void>> put(Store* store, int i, Body* body) {
      TxnRequest request;
      request.success.push_back(put_op(cat("k", i), "v"));
      auto done = co_await store->txn(std::move(request), StopToken());
      if (!done) co_return done.error();
      body->answered.emplace_back(body->turn, done->revision);
      co_return Result<void>();
    }
    static Task<Result<void>> count_turns(io::Loop* loop, Body* body) {
      while (body->answered.size() < kWrites) {
        co_await loop->yield();
        ++body->turn;
      }
      co_return Result<void>();
    }
    static Task<Result<void>> run(io::Loop* loop, Store* store, Body* body) {
      io::TaskScope scope;
      for (std::size_t i = 0; i < kWrites; ++i) scope.spawn(put(store, static_cast<int>(i), body));
      scope.spawn(count_turns(loop, body));
      auto joined = co_await scope.join();
      co_await store->close();
      co_return joined;
    }
  };
  TempFolder folder;
  Harness harness;
  TickingClock clock;
  Context context = harness.context();
  auto opened = harness.wait(open_sqlite_store(
      Context{context.loop, clock, context.random, context.log, context.metrics}, options_in(folder)));
  REQUIRE(opened);
  Body body;
  Store* store = opened->get();
  REQUIRE(harness.wait(Body::run(&harness.loop, store, &body)));
  REQUIRE(body.answered.size() == kWrites);
  std::map<int, std::size_t> per_turn;
  for (std::size_t i = 0; i < body.answered.size(); ++i) {
    ++per_turn[body.answered[i].first];
    if (i > 0) CHECK(body.answered[i - 1].second < body.answered[i].second);
  }
  // A look after every 32 entries, and four milliseconds; a turn may have the end of one slice and the next one.
  for (const auto& [turn, writes] : per_turn) CHECK(writes <= 10 * 32);
}

TEST_CASE("writers wait when too much is on its way, also with entries that hold next to nothing") {
  struct Body {
    static Task<Result<void>> put(Store* store, int i) {
      TxnRequest request;
      request.success.push_back(put_op(std::string(1, static_cast<char>('a' + i % 26)), ""));
      auto done = co_await store->txn(std::move(request), StopToken());
      if (!done) co_return done.error();
      co_return Result<void>();
    }
    static Task<Result<void>> run(Store* store) {
      io::TaskScope scope;
      for (int i = 0; i < 500; ++i) scope.spawn(put(store, i));
      auto joined = co_await scope.join();
      co_await store->close();
      co_return joined;
    }
  };
  TempFolder folder;
  Harness harness;
  EmbeddedOptions options;
  options.store = options_in(folder);
  options.in_flight_bytes = 1000;
  auto opened = harness.wait(open_embedded_store(harness.context(), std::move(options)));
  REQUIRE(opened);
  CHECK(harness.wait(Body::run(opened->get())));
}

TEST_CASE("what one turn of the loop writes is one commit") {
  struct Body {
    static Task<Result<void>> put(Store* store, std::string key) {
      TxnRequest request;
      request.success.push_back(put_op(std::move(key), "v"));
      auto done = co_await store->txn(std::move(request), StopToken());
      if (!done) co_return done.error();
      co_return Result<void>();
    }
    static Task<Result<void>> run(Store* store) {
      io::TaskScope scope;
      for (int i = 0; i < 200; ++i) scope.spawn(put(store, cat("k", i)));
      co_return co_await scope.join();
    }
  };
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open());
  REQUIRE(d.put("first", "v"));
  const Stats before = d.store().stats();
  REQUIRE(d.harness.wait(Body::run(&d.store())));
  CHECK(d.store().stats().commits == before.commits + 1);
  CHECK(d.range("k", "l")->count == 200);
}

TEST_CASE("a closed store is one file beside its lock, and answers Unavailable") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  auto watch = d.store().watch(WatchRequest{"a", "", 0});
  REQUIRE(watch.ok());
  Store& store = d.store();
  struct Body {
    static Task<Result<void>> run(Store* store) {
      co_await store->close();
      co_return Result<void>();
    }
  };
  REQUIRE(d.harness.wait(Body::run(&store)).ok());
  CHECK_FALSE(file_exists(folder.file("state.db-wal")));
  CHECK_FALSE(file_exists(folder.file("state.db-shm")));
  CHECK(d.txn(TxnRequest()).error().code() == Code::kUnavailable);
  CHECK(d.range("a").error().code() == Code::kUnavailable);
  CHECK(d.compact(2).error().code() == Code::kUnavailable);
  CHECK(d.harness.wait((*watch)->next()).error().code() == Code::kUnavailable);
  CHECK(d.store().watch(WatchRequest{"a", "", 0}).error().code() == Code::kUnavailable);
}

namespace {
// Writes, then stops waiting for them, then closes: what was accepted is written before the files close.
Task<Result<void>> give_up_and_close(Store* store, int writes) {
  io::TaskScope scope;
  for (int i = 0; i < writes; ++i) {
    TxnRequest request;
    request.success.push_back(put_op(cat("k", i), std::string(10'000, 'v'), 0));
    scope.spawn([](Store* to, TxnRequest put, StopToken stop) -> Task<Result<void>> {
      auto done = co_await to->txn(std::move(put), stop);
      if (!done) co_return done.error();
      co_return Result<void>();
    }(store, std::move(request), scope.token()));
  }
  scope.stop();
  auto joined = co_await scope.join();
  CHECK(joined.ok());  // a task that was told to stop is no failure
  co_await store->close();
  co_return Result<void>();
}
}  // namespace

TEST_CASE("a store closes after the writes whose callers have given up") {
  TempFolder folder;
  for (int round = 0; round < 5; ++round) {
    Driver d(options_in(folder));
    REQUIRE(d.open().ok());
    REQUIRE(d.harness.wait(give_up_and_close(&d.store(), 50)).ok());
    CHECK(d.fatal.empty());
  }
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  for (int i = 0; i < 50; ++i) CHECK(d.get(cat("k", i)) == std::string(10'000, 'v'));
}

TEST_CASE("what compaction has freed is told apart from what is in use") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open());
  for (int i = 0; i < 20; ++i) REQUIRE(d.put("k", std::string(100'000, 'v')));
  d.close();
  REQUIRE(d.open());
  CHECK(d.store().stats().free_bytes < 100'000);
  REQUIRE(d.remove("k"));
  REQUIRE(d.compact(d.store().revision()));
  d.finish_sweep();
  d.close();
  REQUIRE(d.open());
  const Stats stats = d.store().stats();
  CHECK(stats.free_bytes > 1'500'000);
  CHECK(stats.free_bytes < stats.database_bytes);
}

TEST_CASE("nobody else can read the files of a store, also of one that was more open") {
  TempFolder folder;
  Driver d(options_in(folder));
  const mode_t before = ::umask(0);
  REQUIRE(d.open());
  REQUIRE(d.put("a", "1"));
  ::umask(before);
  const auto mode = [&folder](const std::string& name) {
    struct stat info {};
    CHECK(::stat(folder.file(name).c_str(), &info) == 0);
    return info.st_mode & 0777;
  };
  for (const char* name : {"state.db", "state.db-wal"}) CHECK(mode(name) == 0600);
  d.close();
  REQUIRE(::chmod(folder.file("state.db").c_str(), 0644) == 0);
  REQUIRE(d.open());
  REQUIRE(d.put("a", "2"));
  for (const char* name : {"state.db", "state.db-wal"}) CHECK(mode(name) == 0600);
}
