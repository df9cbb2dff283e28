// lease_test.cc: leases: the pure table and clock, and what the store makes of them.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/evaluator.h"
#include "store/lease_clock.h"
#include "store/support_store.h"
#include "store/support_vfs.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;
using namespace std::chrono_literals;

namespace {

RowView grant_row(LeaseId lease, std::int64_t ttl) {
  RowView view;
  view.type = EffectType::kLeaseGrant;
  view.lease = lease;
  view.ttl = ttl;
  return view;
}
RowView revoke_row(LeaseId lease, RowId previous) {
  RowView view;
  view.type = EffectType::kLeaseRevoke;
  view.lease = lease;
  view.previous_row = previous;
  return view;
}
std::string keys(const LeaseTable& table, LeaseId lease) {
  const LeaseTable::Granted* granted = table.find(lease);
  if (granted == nullptr) return "none";
  std::string out;
  for (const std::string& key : granted->keys) out += key;
  return out;
}
std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += cat(out.empty() ? "" : " ", part);
  return out;
}

}  // namespace

TEST_CASE("the lease table follows the rows and refuses what contradicts them") {
  LeaseTable table;
  CHECK(table.grant(100, grant_row(7, 60)).empty());
  CHECK(table.grant(200, grant_row(-8, 60)).empty());
  CHECK(table.move("a", 0, 7).empty());
  CHECK(table.move("b", 0, 7).empty());
  CHECK(table.move("c", 0, 0).empty());
  CHECK(keys(table, 7) == "ab");
  CHECK(table.move("a", 7, -8).empty());
  CHECK(keys(table, 7) == "b");
  CHECK(keys(table, -8) == "a");
  CHECK(table.grant(300, grant_row(7, 90)) == "grants a lease that is there");
  CHECK(table.find(7)->ttl == 60);
  CHECK(table.grant(400, grant_row(0, 90)) == "grants a lease without a number");
  CHECK(table.move("d", 0, 9) == "names a lease that is not granted");
  CHECK(table.move("d", 9, 0) == "follows a pair whose lease is not granted");
  CHECK(table.revoke(revoke_row(9, 1)) == "revokes a lease that is not granted");
  CHECK(table.revoke(revoke_row(7, 200)) == "does not follow the grant of its lease");
  CHECK(table.revoke(revoke_row(7, 100)) == "leaves keys of the lease that it revokes");
  CHECK(table.move("b", 7, 0).empty());
  CHECK(table.revoke(revoke_row(7, 100)).empty());
  CHECK(table.find(7) == nullptr);
  CHECK(table.all().size() == 1);
}

TEST_CASE("the lease clock: who ends first, what is left, what is due") {
  LeaseClock clock;
  const Instant start{1'000'000'000};
  CHECK_FALSE(clock.earliest());
  clock.start(1, 10, start);
  clock.start(2, 5, start);
  clock.start(3, kMaxLeaseTtl, start);
  CHECK(clock.earliest() == start + 5s);
  CHECK(clock.by_end() == std::vector<LeaseId>{2, 1, 3});
  CHECK(clock.remaining(2, start + 4999ms) == 0);
  CHECK(clock.remaining(2, start + 60s) == 0);
  CHECK(clock.remaining(1, start) == 10);
  CHECK(clock.remaining(1, start + 1ms) == 9);
  CHECK(clock.remaining(9, start) == 0);
  CHECK(clock.remaining(3, start) > 1'000'000'000);
  CHECK(clock.due(start + 4999ms, 10).empty());
  CHECK(clock.due(start + 5s, 10) == std::vector<LeaseId>{2});
  CHECK(clock.due(start + 10s, 10) == std::vector<LeaseId>{2, 1});
  CHECK(clock.due(start + 10s, 1) == std::vector<LeaseId>{2});
  clock.start(2, 5, start + 6s);  // kept alive
  CHECK(clock.due(start + 10s, 10) == std::vector<LeaseId>{1});
  clock.end(1, start + 11s);
  CHECK(clock.ended(1));
  CHECK_FALSE(clock.ended(2));
  CHECK(clock.remaining(1, start + 10s) == 0);
  CHECK(clock.due(start + 10s, 10).empty());
  CHECK(clock.due(start + 11s, 10) == std::vector<LeaseId>{1, 2});
  clock.prolong(2, 5, start + 3s);  // an answer that is late takes nothing away
  CHECK(clock.due(start + 10999ms, 10).empty());
  clock.prolong(2, 5, start + 5s + 500ms);
  clock.prolong(2, 5, start + 6s);
  CHECK(clock.due(start + 11s, 10) == std::vector<LeaseId>{1, 2});
  clock.stop(1);
  clock.stop(77);
  CHECK(clock.due(start + 11s, 10) == std::vector<LeaseId>{2});
  clock.clear();
  CHECK_FALSE(clock.earliest());
  CHECK(clock.by_end().empty());
}

TEST_CASE("a lease is granted, named by keys, and takes them with it") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  struct Row {
    std::int64_t id, ttl, granted;
  };
  for (const Row& row :
       {Row{7, 60, 60}, Row{-7, 1, 2}, Row{8, 0, 2}, Row{9, -5, 2}, Row{10, 9'000'000'000, 9'000'000'000}}) {
    CAPTURE(row.id, row.ttl);
    auto lease = d.grant(row.id, row.ttl);
    REQUIRE(lease.ok());
    CHECK(lease->id == row.id);
    // The shortest is an election and a half, which that etcd hurries.
    const std::int64_t granted = d.on_etcd() && row.granted == 2 ? 1 : row.granted;
    CHECK(lease->ttl == granted);
    CHECK(lease->remaining == granted);
  }
  CHECK(text(d.grant(7).error()) == text(Error(Code::kAlreadyExists, "lease already exists")));
  CHECK(text(d.grant(70, 9'000'000'001).error()) == text(Error(Code::kInvalid, "too large lease TTL")));
  auto chosen = d.grant(0);
  REQUIRE(chosen.ok());
  CHECK(chosen->id > 0);
  CHECK(d.store().revision() == 1);

  REQUIRE(d.put("b", "1", 7).ok());
  REQUIRE(d.put("a", "1", 7).ok());
  REQUIRE(d.put("c", "1", 7).ok());
  REQUIRE(d.put("d", "1", 8).ok());
  REQUIRE(d.put("a", "2", 8).ok());
  REQUIRE(d.put("b", "2").ok());
  REQUIRE(d.remove("c").ok());
  REQUIRE(d.put("e", "1", 7).ok());
  REQUIRE(d.put("f", "1", 7).ok());
  CHECK(join(d.lease(7).keys) == "e f");
  CHECK(join(d.lease(8).keys) == "a d");
  CHECK(text(d.put("x", "1", 71).error()) == text(Error(Code::kNotFound, "requested lease not found")));
  CHECK(text(d.revoke(71).error()) == text(Error(Code::kNotFound, "requested lease not found")));
  CHECK(d.lease(71).remaining == -1);
  CHECK(d.lease(71).ttl == 0);

  auto watch = d.store().watch(WatchRequest{"a", "z", d.store().revision() + 1});
  REQUIRE(watch.ok());
  CHECK(d.revoke(7).value() == 11);
  CHECK(text(*d.harness.wait((*watch)->next())) == "11:del e(was 1),del f(was 1)");
  CHECK(d.lease(7).remaining == -1);
  CHECK(text(d.range("a", "z")->kvs) == "a=2 b=2 d=1");
  CHECK(d.revoke(9).value() == 11);  // it had no keys: no revision
  CHECK(d.store().revision() == 11);
  REQUIRE(d.grant(7).ok());  // the name is free again
  CHECK(d.lease(7).keys.empty());
}

TEST_CASE("leases outlive restarts and compactions, and those that are gone leave nothing") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  for (int i = 1; i <= 20; ++i) {
    REQUIRE(d.grant(i, 100 + i).ok());
    REQUIRE(d.put(cat("k", i), "1", i).ok());
    REQUIRE(d.put(cat("m", i), "1", i).ok());
  }
  for (int i = 1; i <= 20; i += 2) REQUIRE(d.revoke(i).ok());
  const Revision newest = d.store().revision();
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    for (int i = 1; i <= 20; ++i) {
      CAPTURE(i);
      const Lease lease = d.lease(i);
      CHECK(lease.ttl == (i % 2 == 1 ? 0 : 100 + i));
      CHECK((lease.remaining > 98) == (i % 2 == 0));
      CHECK(join(lease.keys) == (i % 2 == 1 ? std::string() : cat("k", i, " m", i)));
    }
    CHECK(d.store().revision() == newest);
    d.close();
    REQUIRE(d.open().ok());
    if (round > 0) continue;
    // History from before the revokes is readable still, and the floor lies between them.
    CHECK(d.get("k1", newest - 10) == "1");
    REQUIRE(d.compact(newest - 5).ok());
    d.finish_sweep();
    REQUIRE(d.compact(newest).ok());
    d.finish_sweep();
  }
  // A key swept away does not come back with its lease.
  REQUIRE(d.grant(1, 50).ok());
  CHECK(d.lease(1).keys.empty());
}

TEST_CASE("what is on its way to the disk is seen by what comes after it") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  REQUIRE(d.grant(5).ok());
  REQUIRE(d.put("old", "1", 5).ok());
  REQUIRE(d.put("leaves", "1", 5).ok());
  // None of these waits for the one before it.
  auto put = [&](const std::string& key, std::int64_t lease) {
    TxnRequest request;
    request.success.push_back(put_op(key, "1", lease));
    return d.store().txn(std::move(request), StopToken());
  };
  std::optional<Result<TxnResponse>> early, put_away, late;
  std::optional<Result<Lease>> granted, twice;
  std::optional<Result<Revision>> revoked, again;
  std::optional<Result<Lease>> alive;
  io::TaskScope scope;
  scope.spawn(capture(put("new", 5), &early));
  scope.spawn(capture(put("leaves", 0), &put_away));
  scope.spawn(capture(d.store().lease_revoke(5, StopToken()), &revoked));
  scope.spawn(capture(put("late", 5), &late));
  scope.spawn(capture(d.store().lease_revoke(5, StopToken()), &again));
  scope.spawn(capture(d.store().lease_keep_alive(5, StopToken()), &alive));
  scope.spawn(capture(d.store().lease_grant(5, 60, StopToken()), &granted));
  scope.spawn(capture(d.store().lease_grant(5, 60, StopToken()), &twice));
  REQUIRE(d.harness.wait(scope.join()).ok());
  CHECK(early->ok());
  CHECK(put_away->ok());
  CHECK(revoked->value() == 6);
  CHECK(late->error().code() == Code::kNotFound);
  CHECK(again->error().code() == Code::kNotFound);
  CHECK(alive->value().ttl == 0);
  CHECK(granted->ok());
  CHECK(twice->error().code() == Code::kAlreadyExists);
  CHECK(text(d.range("a", "z")->kvs) == "leaves=1");
  CHECK(d.lease(5).ttl == 60);
  CHECK(d.lease(5).keys.empty());
}

TEST_CASE("a lease with more keys than an entry holds goes in several, itself with the last") {
  KvState state;
  auto apply = [&](Entry entry) {
    for (std::size_t i = 0; i < entry.effects.size(); ++i) {
      REQUIRE(state.apply(row_id(entry.index, i), view_of(entry, i), true).ok());
    }
  };
  Entry first;
  first.index = 1;
  first.revision = 2;
  first.effects.emplace_back();
  first.effects.back().type = EffectType::kLeaseGrant;
  first.effects.back().lease = 3;
  first.effects.back().ttl = 60;
  for (int i = 0; i < 10; ++i) {
    Effect& effect = first.effects.emplace_back();
    effect.type = EffectType::kPut;
    effect.key = cat("key", i);
    effect.create_revision = 2;
    effect.version = 1;
    effect.lease = i == 4 ? 0 : 3;
  }
  apply(first);
  struct Row {
    std::size_t max_bytes, max_effects;
    std::string sizes;
  };
  for (const Row& row : {Row{1000, 1000, "10@3"}, Row{1000, 10, "10@3"}, Row{1000, 9, "8@3 2@4"},
                         Row{12, 1000, "3@3 3@4 4@5"}, Row{12, 3, "2@3 2@4 2@5 2@6 2@7"}}) {
    CAPTURE(row.max_bytes, row.max_effects);
    std::string sizes;
    std::size_t deleted = 0;
    for (const Entry& entry : evaluate_revoke(3, state, Pending(), 3, row.max_bytes, row.max_effects)) {
      sizes += cat(sizes.empty() ? "" : " ", entry.effects.size(), "@", entry.revision);
      for (const Effect& effect : entry.effects) deleted += effect.type == EffectType::kDelete ? 1 : 0;
    }
    CHECK(sizes == row.sizes);
    CHECK(deleted == 9);
  }
  Entry last = evaluate_revoke(3, state, Pending(), 3).front();
  last.index = 2;
  apply(last);
  CHECK(state.leases().all().empty());
  CHECK(state.keys().live() == 1);
}

TEST_CASE("a lease that nobody keeps alive ends, one that is kept alive does not") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  REQUIRE(d.grant(1, 2).ok());
  REQUIRE(d.grant(2, 2).ok());
  REQUIRE(d.grant(3, 3600).ok());
  REQUIRE(d.put("dies", "1", 1).ok());
  REQUIRE(d.put("lives", "1", 2).ok());
  // A restart gives all their time again.
  d.harness.run_for(1200ms);
  d.close();
  REQUIRE(d.open().ok());
  const std::uint64_t commits = d.store().stats().commits;
  auto keep = [&] { return d.harness.wait(d.store().lease_keep_alive(2, StopToken())); };
  for (int i = 0; i < 3; ++i) {
    d.harness.run_for(600ms);
    REQUIRE(keep()->ttl == 2);
  }
  CHECK(d.get("dies") == "1");
  CHECK(d.store().stats().commits == commits);  // keeping alive writes nothing
  const Instant deadline = d.harness.clock.now() + 10s;
  while (d.get("dies") && d.harness.clock.now() < deadline) {
    d.harness.run_for(100ms);
    REQUIRE(keep()->ttl == 2);
  }
  CHECK_FALSE(d.get("dies"));
  CHECK(d.lease(1).remaining == -1);
  CHECK(d.get("lives") == "1");
  CHECK(d.lease(3).ttl == 3600);
  CHECK(d.store().stats().commits == commits + 1);
}

TEST_CASE("while the disk is full no lease ends, and each can be kept alive") {
  TempFolder folder;
  TestDisk disk;
  SqliteStoreOptions options = options_in(folder);
  options.vfs = disk.vfs();
  Driver d(options);
  REQUIRE(d.open().ok());
  REQUIRE(d.grant(1, 2).ok());
  REQUIRE(d.put("a", "1", 1).ok());
  disk.capacity = static_cast<std::int64_t>(d.store().stats().database_bytes);
  int refused = 0;
  for (int i = 0; i < 1000 && refused < 2; ++i) {
    auto done = d.put("fill", std::string(50'000, 'f'));
    if (!done) REQUIRE(done.error().code() == Code::kNoSpace);
    refused += done ? 0 : 1;
  }
  REQUIRE(refused == 2);
  d.harness.run_for(3s);
  CHECK(d.harness.wait(d.store().lease_keep_alive(1, StopToken()))->ttl == 2);
  CHECK(d.lease(1).remaining == 2);
  CHECK(d.get("a") == "1");
  disk.capacity = INT64_MAX;
  REQUIRE(d.put("b", "1").ok());
  CHECK(d.get("a") == "1");
  const Instant deadline = d.harness.clock.now() + 20s;
  while (d.get("a") && d.harness.clock.now() < deadline) d.harness.run_for(100ms);
  CHECK_FALSE(d.get("a"));
}

TEST_CASE("leases that end together are all revoked") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  constexpr int kLeases = 1000;
  io::TaskScope scope;
  std::vector<std::optional<Result<Lease>>> granted(kLeases);
  for (int i = 0; i < kLeases; ++i) {
    scope.spawn(capture(d.store().lease_grant(i + 1, 2, StopToken()), &granted[static_cast<std::size_t>(i)]));
  }
  REQUIRE(d.harness.wait(scope.join()).ok());
  TxnRequest request;
  for (int i = 0; i < 100; ++i) request.success.push_back(put_op(cat("k", i), "1", i + 1));
  REQUIRE(d.txn(std::move(request)).ok());
  const Instant deadline = d.harness.clock.now() + 20s;
  auto count = [&] { return d.harness.wait(d.store().leases(StopToken()))->size(); };
  CHECK(count() == kLeases);
  while (count() > 0 && d.harness.clock.now() < deadline) d.harness.run_for(50ms);
  CHECK(count() == 0);
  CHECK(d.range("k", "l")->count == 0);
}
