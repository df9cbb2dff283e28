// txn_test.cc: transactions in transactions, compares over ranges, puts that keep what the key has; of both engines.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/support_store.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using Target = Compare::Target;
using Is = Compare::Result;

namespace {

const std::string kAll(1, '\0');

TxnRequest txn_of(std::vector<Compare> compares, std::vector<Op> success, std::vector<Op> failure = {}) {
  TxnRequest request;
  request.compares = std::move(compares);
  request.success = std::move(success);
  request.failure = std::move(failure);
  return request;
}
Compare exists(const std::string& key) { return compare(key, Target::kVersion, Is::kGreater, 0); }
Op keep(const std::string& key, bool value, bool lease) {
  Op op;
  op.key = key;
  op.keep_value = value;
  op.keep_lease = lease;
  op.previous = true;
  return op;
}
// "+(put range(a=1) -(del 2))": which branch ran, and in it what each operation answered.
std::string outline(const TxnResponse& response) {
  std::string out(response.succeeded ? "+(" : "-(");
  for (const OpResponse& one : response.responses) {
    if (one.transaction) out += outline(*one.transaction);
    if (!one.range.kvs.empty()) out += cat("[", text(one.range.kvs), "]");
    if (!one.previous.empty()) out += cat("{", text(one.previous), "}");
    if (one.deleted > 0) out += cat("x", one.deleted);
  }
  return out + ")";
}

}  // namespace

TEST_CASE("a compare over a range holds of every key in it, and of none as of an absent one") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.history_bytes = 0;  // all values are on disk
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a1", "m").ok());
  REQUIRE(d.put("a2", "m").ok());
  REQUIRE(d.put("b1", "n").ok());
  REQUIRE(d.put("b1", "n").ok());
  struct Row {
    std::string key, end;
    Target target;
    Is result;
    std::int64_t number;
    const char* value;
    bool holds;
  };
  const std::vector<Row> rows = {
      {"a", "b", Target::kVersion, Is::kEqual, 1, "", true},
      {"a", "c", Target::kVersion, Is::kEqual, 1, "", false},
      {"a", kAll, Target::kVersion, Is::kGreater, 0, "", true},
      {"a", "b", Target::kModRevision, Is::kLess, 4, "", true},
      {"a", "b", Target::kModRevision, Is::kLess, 3, "", false},
      {"a", "b", Target::kCreateRevision, Is::kNotEqual, 9, "", true},
      {"a", "b", Target::kLease, Is::kEqual, 0, "", true},
      {"a", "b", Target::kValue, Is::kEqual, 0, "m", true},
      {"a", "c", Target::kValue, Is::kEqual, 0, "m", false},
      {"a", "c", Target::kValue, Is::kGreater, 0, "l", true},
      {"c", "d", Target::kVersion, Is::kEqual, 0, "", true},
      {"c", "d", Target::kVersion, Is::kGreater, 0, "", false},
      {"c", "d", Target::kValue, Is::kNotEqual, 0, "m", false},
      {"b", "a", Target::kVersion, Is::kEqual, 0, "", true},  // an empty range
  };
  for (const Row& row : rows) {
    CAPTURE(row.key, row.end, static_cast<int>(row.target), static_cast<int>(row.result), row.number, row.value);
    Compare c = compare(row.key, row.target, row.result, row.number);
    c.range_end = row.end;
    c.value = row.value;
    auto done = d.txn(txn_of({c}, {}));
    REQUIRE(done.ok());
    CHECK(done->succeeded == row.holds);
  }
}

TEST_CASE("transactions in a transaction: one revision, and compares that see what was before") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  struct Row {
    const char* what;
    TxnRequest request;
    std::string answer, left;
  };
  const Row rows[] = {
      {"operations in order, each level",
       txn_of({exists("a")}, {put_op("b", "1"), txn_op(txn_of({exists("a")}, {range_op("a", "z"), put_op("c", "1")})),
                              range_op("a", "z")}),
       "+(+([a=1 b=1])[a=1 b=1 c=1])", "a=1 b=1 c=1"},
      {"the compare inside does not see the put before it",
       txn_of({}, {put_op("new", "1"), txn_op(txn_of({exists("new")}, {}, {put_op("other", "1"), range_op("new")}))}),
       "+(-([new=1]))", "a=1 b=1 c=1 new=1 other=1"},
      {"a branch that is not taken does nothing, nor do those in it",
       txn_of({exists("nothing")}, {txn_op(txn_of({}, {put_op("x", "1")}))},
              {txn_op(txn_of({}, {delete_op("n", "p")})), txn_op(txn_of({exists("nothing")}, {put_op("x", "1")}))}),
       "-(+(x2)-())", "a=1 b=1 c=1"},
      {"three levels",
       txn_of({}, {txn_op(txn_of({}, {txn_op(txn_of({}, {txn_op(txn_of({exists("a")}, {delete_op("b", "d")}))}))}))}),
       "+(+(+(+(x2))))", "a=1"},
      {"reading alone", txn_of({}, {txn_op(txn_of({}, {range_op("a")}))}), "+(+([a=1]))", "a=1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Revision before = d.store().revision();
    auto done = d.txn(row.request);
    REQUIRE(done.ok());
    CHECK(outline(*done) == row.answer);
    CHECK(text(d.range("a", "z")->kvs) == row.left);
    CHECK(done->revision == d.store().revision());
    CHECK(d.store().revision() - before == (row.what == std::string("reading alone") ? 0 : 1));
  }
}

TEST_CASE("what transactions inside read from disk and from the past comes into its place") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.history_bytes = 0;
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "old").ok());
  REQUIRE(d.put("a", "new").ok());
  REQUIRE(d.put("b", "1").ok());
  Op past = range_op("a");
  past.range.revision = 2;
  Op remove = delete_op("b");
  remove.previous = true;
  Compare value = compare("a", Target::kValue, Is::kEqual, 0);
  value.value = "new";
  auto done =
      d.txn(txn_of({}, {range_op("b"), txn_op(txn_of({value}, {past, remove, range_op("a")})), range_op("a", "z")}));
  REQUIRE(done.ok());
  CHECK(outline(*done) == "+([b=1]+([a=old]{b=1}x1[a=new])[a=new])");
}

TEST_CASE("a put that keeps the value, the lease or both") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  for (const std::size_t history : {0, 1'000'000}) {
    CAPTURE(history);
    TempFolder folder;
    SqliteStoreOptions options = options_in(folder);
    options.history_bytes = history;
    Driver d(options, engine);
    REQUIRE(d.open().ok());
    REQUIRE(d.grant(5).ok());
    REQUIRE(d.grant(6).ok());
    REQUIRE(d.put("a", "old", 5).ok());
    auto state = [&] {
      const KeyValue kv = d.range("a")->kvs.at(0);
      return cat(*kv.value, " v", kv.version, " l", kv.lease);
    };
    Op value = keep("a", true, false);
    value.lease = 6;
    CHECK(outline(*d.txn(txn_of({}, {value}))) == "+({a=old})");
    CHECK(state() == "old v2 l6");
    Op lease = keep("a", false, true);
    lease.value = std::make_shared<const std::string>("new");
    CHECK(d.txn(txn_of({}, {lease})).ok());
    CHECK(state() == "new v3 l6");
    CHECK(d.txn(txn_of({}, {txn_op(txn_of({}, {keep("a", true, true)}))})).ok());
    CHECK(state() == "new v4 l6");
    CHECK(d.lease(5).keys.empty());
    CHECK(d.lease(6).keys == std::vector<std::string>{"a"});
    CHECK(d.txn(txn_of({}, {keep("a", true, false)})).ok());
    CHECK(state() == "new v5 l0");
  }
}

TEST_CASE("transactions that are refused, at whatever depth, write nothing") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  auto in = [](std::vector<Op> success, std::vector<Op> failure = {}) {
    return txn_op(txn_of({}, std::move(success), std::move(failure)));
  };
  Op empty;
  empty.type = Op::Type::kTxn;
  Op valued = keep("a", true, false);
  valued.value = std::make_shared<const std::string>("1");
  Op leased = keep("a", false, true);
  leased.lease = 5;
  std::vector<Op> sixty(60, range_op("a"));
  std::vector<Op> with_sixty = sixty;
  with_sixty.push_back(in(std::vector<Op>(67, range_op("a"))));
  std::vector<Op> with_more = sixty;
  with_more.push_back(in(std::vector<Op>(68, range_op("a"))));
  Op deep = in({put_op("deep", "1")});
  for (int i = 0; i < 126; ++i) deep = in({deep});
  const Op deeper = in({in({deep})});
  const std::string twice = "duplicate key given in txn request";
  struct Row {
    const char* what;
    std::vector<Op> ops;
    Code code;
    std::string message;  // empty: it is accepted
  };
  const Row rows[] = {
      {"nothing inside", {empty}, Code::kInvalid, "a transaction without content"},
      {"an empty key", {in({put_op("", "1")})}, Code::kInvalid, "key is not provided"},
      {"two puts, inside and out", {put_op("x", "1"), in({put_op("x", "2")})}, Code::kInvalid, twice},
      {"two puts, in branches of two", {in({put_op("x", "1")}), in({}, {put_op("x", "2")})}, Code::kInvalid, twice},
      {"two puts, in both branches of one",
       {in({put_op("x", "1")}, {put_op("x", "2")}), delete_op("x")},
       Code::kInvalid,
       twice},
      {"a delete inside of what is put outside", {put_op("x", "1"), in({delete_op("w", "z")})}, Code::kInvalid, twice},
      {"a put after a delete in another", {in({delete_op("w", kAll)}), in({put_op("x", "1")})}, Code::kInvalid, twice},
      {"a put before a delete in another", {in({put_op("x", "1")}), in({delete_op("w", "z")})}, Code::kInvalid, twice},
      {"twice inside alone", {in({put_op("x", "1"), put_op("x", "1")})}, Code::kInvalid, twice},
      {"branches exclude each other", {in({put_op("a", "1")}, {delete_op("a"), range_op("a")})}, Code::kInvalid, ""},
      {"deletes may overlap", {delete_op("x"), in({delete_op("w", "z")})}, Code::kInvalid, ""},
      {"as many operations as there may be", with_sixty, Code::kInvalid, ""},
      {"one operation more", with_more, Code::kTooLarge, "more than 128 operations in a txn"},
      {"as deep as there may be", {deep}, Code::kInvalid, ""},
      {"deeper", {deeper}, Code::kTooLarge, "more than 128 operations in a txn"},
      {"nothing to keep", {in({keep("nothing", true, false)})}, Code::kInvalid, "key not found"},
      {"a lease of nothing to keep", {keep("nothing", false, true)}, Code::kInvalid, "key not found"},
      {"a value beside keeping it", {valued}, Code::kInvalid, "value is provided"},
      {"a lease beside keeping it", {leased}, Code::kInvalid, "lease is provided"},
      {"a lease that is not granted, after a put",
       {put_op("y", "1"), in({put_op("x", "1", 77)})},
       Code::kNotFound,
       "requested lease not found"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Revision before = d.store().revision();
    auto done = d.txn(txn_of({}, row.ops));
    CHECK(done.ok() == row.message.empty());
    if (done) continue;
    CHECK(text(done.error()) == text(Error(row.code, row.message)));
    CHECK(d.store().revision() == before);
  }
  CHECK(text(d.range("a", kAll)->kvs) == "a=1 deep=1");
}
