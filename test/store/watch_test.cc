// watch_test.cc: watches are ordered, without gap or duplicate, from any retained revision, also after a restart.
#include <catch2/catch.hpp>
#include <map>

#include "base/strings.h"
#include "store/reads.h"
#include "store/support_store.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using namespace std::chrono_literals;

namespace {

const std::string kAll(1, '\0');

struct Watcher {
  Driver& d;
  std::unique_ptr<Watch> watch;
  Watcher(Driver& driver, const std::string& key, const std::string& end, Revision start, bool previous = true)
      : d(driver) {
    auto made = driver.store().watch(WatchRequest{key, end, start, previous});
    REQUIRE(made.ok());
    watch = std::move(*made);
  }
  Result<std::vector<WatchBatch>> next() { return d.harness.wait(watch->next()); }
  // What is there now, an error as its code.
  // As far as `revision`: etcd may tell the past in several pieces.
  std::string read_to(Revision revision) {
    std::string out;
    for (int i = 0; i < 20 && out.find(cat(revision, ":")) == std::string::npos; ++i) {
      out += cat(out.empty() ? "" : " ", read());
    }
    return out;
  }
  std::string read() {
    watch->request_progress();
    auto batches = next();
    return batches ? text(*batches) : cat("error ", static_cast<int>(batches.error().code()));
  }
};

}  // namespace

TEST_CASE("a watch shows each change of its range once, with the pair before it") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  Watcher one(d, "b", "", 0), prefix(d, "b", "c", 0), all(d, "a", kAll, 0), bare(d, "b", "", 0, false);
  CHECK(one.read() == "1:");
  REQUIRE(d.put("b", "1").ok());
  REQUIRE(d.put("ba", "1").ok());
  REQUIRE(d.put("b", "2").ok());
  REQUIRE(d.put("z", "1").ok());
  REQUIRE(d.remove("b").ok());
  CHECK(one.read() == "2:put b=1 4:put b=2(was 1) 6:del b(was 2)");
  CHECK(bare.read() == "2:put b=1 4:put b=2 6:del b");
  CHECK(prefix.read() == "2:put b=1 3:put ba=1 4:put b=2(was 1) 6:del b(was 2)");
  CHECK(all.read() == "2:put b=1 3:put ba=1 4:put b=2(was 1) 5:put z=1 6:del b(was 2)");
  REQUIRE(d.put("z", "2").ok());
  CHECK(one.read() == "7:");
  CHECK(all.read() == "7:put z=2(was 1)");
  CHECK(all.read() == "7:");
}

TEST_CASE("a transaction's events come together") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  REQUIRE(d.put("c", "0").ok());
  TxnRequest request;
  request.success = {put_op("a", "1"), put_op("b", "1"), delete_op("c"), put_op("x", "1")};
  REQUIRE(d.txn(request).ok());
  Watcher w(d, "a", "d", 2);
  CHECK(w.read_to(3) == "2:put c=0 3:put a=1,put b=1,del c(was 0)");
}

TEST_CASE("a watch begins at any revision that is retained, also after a restart") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  // Hardly any history in memory: nearly all comes from disk.
  options.history_bytes = GENERATE(std::size_t{0}, std::size_t{2000}, std::size_t{8 * 1024 * 1024});
  CAPTURE(options.history_bytes);
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  std::vector<std::string> expected = {"", ""};  // by revision
  std::map<std::string, std::string> state;
  for (int i = 0; i < 60; ++i) {
    const std::string key = cat("k", i % 7);
    if (i % 11 == 10) {
      REQUIRE(d.remove(key).ok());
      expected.push_back(cat(i + 2, ":del ", key, "(was ", state[key], ")"));
      state.erase(key);
    } else {
      REQUIRE(d.put(key, cat(i)).ok());
      const std::string was = state.count(key) > 0 ? cat("(was ", state[key], ")") : std::string();
      expected.push_back(cat(i + 2, ":put ", key, "=", i, was));
      state[key] = cat(i);
    }
  }
  auto check = [&](Revision lowest) {
    // A watch of etcd begins in the past only at its next round, ten a second.
    const Revision step = d.on_etcd() ? 7 : 1;
    for (Revision start = 1; start <= 61; start += step) {
      CAPTURE(start);
      auto made = d.store().watch(WatchRequest{"k", "l", start});
      if (start < lowest) {
        // Who was not there when etcd compacted is told by the first events.
        const Error error = made.ok() ? d.harness.wait((*made)->next()).error() : made.error();
        CHECK(error.code() == Code::kExpired);
        continue;
      }
      std::string want, got;
      for (auto r = static_cast<std::size_t>(std::max<Revision>(start, 2)); r < expected.size(); ++r) {
        want += (want.empty() ? "" : " ") + expected[r];
      }
      Watcher w(d, "k", "l", start);
      for (int turn = 0; turn < 100 && got.size() < want.size(); ++turn) {
        auto batches = w.next();
        REQUIRE(batches.ok());
        got += (got.empty() ? "" : " ") + text(*batches);
      }
      CHECK(got == want);
    }
  };
  check(1);
  d.close();
  REQUIRE(d.open().ok());
  check(1);
  REQUIRE(d.compact(30).ok());
  check(30);
  d.finish_sweep();
  check(30);
  d.close();
  REQUIRE(d.open().ok());
  check(30);
}

TEST_CASE("a waiting watch is woken by its range alone, and by progress") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  Watcher w(d, "a", "b", 0);
  struct Body {
    static Task<void> watch_once(Watch* watch, std::string* out) {
      auto batches = co_await watch->next();
      *out = batches ? text(*batches) : "error";
    }
    static Task<Result<void>> run(Driver* d, Watch* watch, std::vector<std::string>* out) {
      for (const char* key : {"a1", "x"}) {
        io::TaskScope scope;
        std::string got;
        scope.spawn(watch_once(watch, &got));
        TxnRequest request;
        request.success.push_back(put_op(key, "1"));
        auto done = co_await d->store().txn(request, StopToken());
        if (!done) co_return done.error();
        auto joined = co_await scope.join();
        if (!joined) co_return joined;
        out->push_back(got);
      }
      co_return Result<void>();
    }
  };
  std::vector<std::string> out;
  REQUIRE(d.harness.wait(Body::run(&d, w.watch.get(), &out)).ok());
  REQUIRE(out.size() == 2);
  CHECK(out[0] == "2:put a1=1");
  CHECK(out[1] == "3:");  // a write elsewhere: told within 100 ms
}

TEST_CASE("a watch that starts ahead waits for that revision") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  Watcher w(d, "a", "", 4);
  CHECK(w.read() == "1:");
  REQUIRE(d.put("a", "1").ok());
  REQUIRE(d.put("a", "2").ok());
  CHECK(w.read() == "3:");
  REQUIRE(d.put("a", "3").ok());
  CHECK(w.read() == "4:put a=3(was 2)");
}

TEST_CASE("a slow watch is served from disk or told that it is too late; a quiet one never is") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  options.history_bytes = 4096;
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  Watcher slow(d, "a", "b", 0), late(d, "a", "b", 0), quiet(d, "q", "", 0);
  for (int i = 0; i < 3000; ++i) {
    const std::string value(300, static_cast<char>('a' + i % 26));
    REQUIRE(d.put(cat("a", i % 5), value).ok());
  }
  CHECK(d.store().stats().history_bytes <= 4096);
  Revision expected = 2;
  std::size_t turns = 0;
  while (expected <= 3001) {
    auto batches = slow.next();
    REQUIRE(batches.ok());
    ++turns;
    for (const WatchBatch& batch : *batches) {
      if (batch.events.empty()) continue;
      REQUIRE(batch.revision == expected++);
      REQUIRE(batch.events.size() == 1);
      REQUIRE(batch.events[0].previous.has_value() == (batch.revision > 6));
      if (batch.events[0].previous) {
        REQUIRE(batch.events[0].previous->value->front() == static_cast<char>('a' + (batch.revision - 7) % 26));
      }
    }
  }
  CHECK(turns > 1);  // in bounded slices
  REQUIRE(d.compact(3001).ok());
  CHECK(late.read() == "error 9");
  CHECK(static_cast<int>(Code::kExpired) == 9);
  d.finish_sweep();
  CHECK(quiet.read() == "3001:");
  REQUIRE(d.put("q", "1").ok());
  CHECK(quiet.read() == "3002:put q=1");
}

TEST_CASE("previous values are there though no memory holds them") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  SqliteStoreOptions options = options_in(folder);
  Driver d(options, engine);
  REQUIRE(d.open().ok());
  for (int i = 0; i < 10; ++i) REQUIRE(d.put(cat("k", i), cat("old", i)).ok());
  d.close();
  REQUIRE(d.open().ok());
  // One that is written while someone watches, one before anyone does.
  REQUIRE(d.put("k0", "new").ok());
  Watcher w(d, "k", "l", 12);
  REQUIRE(d.put("k1", "new").ok());
  REQUIRE(d.remove("k2").ok());
  REQUIRE(d.put("k1", "newer").ok());
  CHECK(w.read_to(15) ==
        "12:put k0=new(was old0) 13:put k1=new(was old1) 14:del k2(was old2) 15:put k1=newer(was new)");
}

namespace {

// Rows in memory that count how many of them are looked at.
class CountedRows final : public RowReader {
 public:
  void append(Entry entry) {
    entry.index = ++index_;
    for (std::size_t i = 0; i < entry.effects.size(); ++i) {
      encode_row(entry, i, RowContext(), &rows_[row_id(entry.index, i)]);
    }
  }
  Result<bool> read(RowId row, const std::function<void(const RowView&)>& visit) override {
    const auto found = rows_.find(row);
    if (found != rows_.end()) visit(*decode_row(row, found->second));
    return found != rows_.end();
  }
  Result<void> scan(RowId first, const std::function<bool(RowId, const RowView&)>& visit) override {
    for (auto row = rows_.lower_bound(first); row != rows_.end(); ++row) {
      ++looked_at;
      if (!visit(row->first, *decode_row(row->first, row->second))) break;
    }
    return Result<void>();
  }
  Result<RowId> first_row_of(Revision revision) override {
    for (const auto& [row, bytes] : rows_) {
      if (decode_row(row, bytes)->revision >= revision) return row;
    }
    return rows_.rbegin()->first + 1;
  }
  std::size_t looked_at = 0;

 private:
  LogIndex index_ = 0;
  std::map<RowId, std::string> rows_;
};

Entry entry_with(Revision revision, EffectType type, int effects = 1) {
  Entry entry;
  entry.term = 1;
  entry.revision = revision;
  for (int i = 0; i < effects; ++i) {
    Effect& effect = entry.effects.emplace_back();
    effect.type = type;
    if (type == EffectType::kLeaseGrant || type == EffectType::kLeaseRevoke) {
      effect.lease = 7;
      effect.ttl = 10;
      continue;
    }
    effect.key = cat("key-", i);
    effect.value = std::make_shared<const std::string>();
    effect.create_revision = revision;
    effect.version = 1;
  }
  return entry;
}

}  // namespace

TEST_CASE("events are read in short slices also where many entries have none") {
  CountedRows log;
  Entry revoke = entry_with(4, EffectType::kDelete, 1500);
  revoke.effects.push_back(entry_with(4, EffectType::kLeaseRevoke).effects[0]);
  const auto grants = [&log](Revision revision) {
    for (int i = 0; i < 5000; ++i) log.append(entry_with(revision, EffectType::kLeaseGrant));
  };
  log.append(entry_with(2, EffectType::kPut));
  grants(2);
  log.append(entry_with(3, EffectType::kPut, 3));
  log.append(std::move(revoke));
  grants(4);
  log.append(entry_with(5, EffectType::kPut, 2));
  grants(5);
  std::string seen;
  Revision next = 2;
  for (int slices = 0; next <= 5; ++slices) {
    REQUIRE(slices < 10);
    log.looked_at = 0;
    const Result<WatchSlice> slice = read_events(log, KeyRange{"a", "z"}, next, 5, false);
    REQUIRE(slice);
    CHECK(log.looked_at <= 1510);  // a thousand, or one entry that is longer
    REQUIRE(slice->next > next);
    next = slice->next;
    for (const WatchBatch& batch : slice->batches) seen += cat(batch.revision, ":", batch.events.size(), " ");
  }
  CHECK(seen == "2:1 3:3 4:1500 5:2 ");
}

TEST_CASE("a watch may outlive its store, and a stopped one is told so") {
  TempFolder folder;
  std::unique_ptr<Watch> watch;
  {
    Driver d(options_in(folder), GENERATE(Engine::kSqlite, Engine::kEtcd));
    REQUIRE(d.open().ok());
    watch = std::move(*d.store().watch(WatchRequest{"a", "", 0}));
    io::StopSource stop;
    stop.stop();
    CHECK(d.harness.wait(watch->next(stop.token())).error().code() == Code::kCancelled);
    d.close();
    CHECK(d.harness.wait(watch->next()).error().code() == Code::kUnavailable);
  }
  watch.reset();
}

TEST_CASE("many watches of one range and of single keys all see what is theirs") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  std::vector<Watcher> same, single;
  for (int i = 0; i < 200; ++i) same.emplace_back(d, "k", "l", 0);
  for (int i = 0; i < 200; ++i) single.emplace_back(d, cat("k", i), "", 0);
  for (int i = 0; i < 200; ++i) REQUIRE(d.put(cat("k", i), cat(i)).ok());
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    same[static_cast<std::size_t>(i)].watch->request_progress();
    auto batches = same[static_cast<std::size_t>(i)].next();
    REQUIRE(batches.ok());
    CHECK(batches->size() == 200);
    CHECK(single[static_cast<std::size_t>(i)].read() == cat(i + 2, ":put k", i, "=", i, i == 199 ? "" : " 201:"));
  }
  same.clear();
  REQUIRE(d.put("k5", "again").ok());
  CHECK(single[5].read() == "202:put k5=again(was 5)");
}
