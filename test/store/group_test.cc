// group_test.cc: several embedded stores as one group, over real connections on loopback: joining, what is carried to
// the leader, crashes, partitions, states that are fetched, the witness, full disks. SEED repeats the random ones.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "base/strings.h"
#include "store/announce.h"
#include "store/database.h"
#include "store/support_etcd_call.h"
#include "store/support_group.h"

namespace kayak::store {
namespace {

using namespace store::test;
using namespace std::chrono_literals;

TEST_CASE("servers that join get the state, a vote and all that follows") {
  Group group;
  group.make(1);
  GroupServer& first = group.at(0);
  const Revision before = *first.put("before", "1");
  for (int i = 0; i < 5; ++i) REQUIRE(first.put(cat("key-", i), cat("value-", i)));
  for (int i = 0; i < 2; ++i) {
    GroupServer& server = group.add();
    REQUIRE(server.start(true));
    REQUIRE(group.take_in(server.record()));
    REQUIRE(group.eventually([&] { return Group::votes(server); }));  // by itself
  }
  REQUIRE(first.put("after", "3"));
  CHECK(group.differences(before) == "");
  for (const auto& server : group.servers) {
    CAPTURE(server->name);
    const std::vector<Member> members = server->store().members();
    REQUIRE(members.size() == 3);
    for (const Member& member : members) CHECK(member.role == Member::Role::kVoter);
    CHECK(*server->get("before") == "1");
    CHECK(server->store().leadership().leader == first.id());
    CHECK(server->store().leadership().self == server->id());
    CHECK(server->fatal.empty());
  }
}

// Of every write one call, all under way at once; how many were acknowledged.
struct Burst {
  std::vector<std::string> done, failed;  // keys; of these the outcome is not known
  std::size_t ended() const { return done.size() + failed.size(); }
};
Task<void> put_one(Store* store, std::string key, StopToken stop, Burst* burst) {
  TxnRequest request;
  request.success.push_back(put_op(key, "value of " + key));
  auto done = co_await store->txn(std::move(request), std::move(stop));
  (done ? burst->done : burst->failed).push_back(std::move(key));
}
void put_many(GroupServer& server, const std::string& prefix, int count, io::TaskScope* scope, Burst* burst) {
  for (int i = 0; i < count; ++i) scope->spawn(put_one(&server.store(), cat(prefix, i), server.alive(), burst));
}

Task<void> read_one(Store* store, std::string key, std::string* out) {
  RangeRequest request;
  request.key = std::move(key);
  auto found = co_await store->range(std::move(request), StopToken());
  *out = !found ? text(found.error()) : found->kvs.empty() ? "(none)" : *found->kvs[0].value;
}
Task<void> put_in_term(Store* store, std::string key, std::uint64_t term, std::vector<std::string>* answers) {
  TxnRequest request;
  request.term = term;
  request.success.push_back(put_op(key, "x"));
  auto done = co_await store->txn(std::move(request), StopToken());
  answers->push_back(done ? "ok" : text(done.error()));
}
// Whether it was this call that made the key.
Task<void> create_one(Store* store, std::string key, std::vector<bool>* created) {
  TxnRequest request;
  request.compares.push_back(compare(key, Compare::Target::kModRevision, Compare::Result::kEqual, 0));
  request.success.push_back(put_op(key, "x"));
  auto done = co_await store->txn(std::move(request), StopToken());
  created->push_back(done && done->succeeded);
}
Task<void> wake(Store* store, Leadership known, bool* woken) {
  *woken = co_await store->leadership_changed(known, StopToken());
}
Task<void> transfer(EmbeddedStore* store, raft::NodeId to) {
  (void)co_await store->transfer_leadership(to, StopToken());
}

TEST_CASE("a server whose disk has an older state than it acknowledged says so, and does not go on as this member") {
  namespace fs = std::filesystem;
  Group group;
  group.make(3);
  GroupServer& follower = group.follower();
  REQUIRE(group.leader().put("early", "1"));
  follower.crash();
  TempFolder old;
  const fs::path folder = fs::path(follower.path()).parent_path();
  fs::copy(folder, old.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  REQUIRE(follower.start());
  for (int i = 0; i < 5; ++i) REQUIRE(group.leader().put("key", cat(i)));
  REQUIRE(group.eventually([&] { return follower.store().revision() == group.leader().store().revision(); }));
  group.harness.run_for(2 * group.election_timeout);  // the leader has heard of it
  follower.crash();
  const fs::path now = fs::path(follower.path()).parent_path();
  for (const fs::directory_entry& file : fs::directory_iterator(now)) fs::remove(file.path());
  fs::copy(old.path(), now, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  REQUIRE(follower.start());  // nothing in the files themselves tells
  REQUIRE(group.leader().put("late", "1"));
  REQUIRE(group.eventually([&] { return !follower.fatal.empty(); }));
  CHECK(follower.fatal.size() == 1);
  CHECK(follower.fatal[0].code() == Code::kCorrupt);
  CHECK_THAT(follower.fatal[0].message(), Catch::Contains("lacks what this server had acknowledged to the others"));
  CHECK(group.leader().put("later", "1"));
  follower.crash();
  // Now they do: whoever opens them has the server come back as another member.
  const Result<void> again = follower.start();
  REQUIRE_FALSE(again);
  CHECK(again.error().code() == Code::kCorrupt);
  CHECK_THAT(again.error().message(), Catch::Contains("was acknowledged, but the log now ends with"));
}

TEST_CASE("a follower closes while entries are on their way to its disk") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& slow = group.follower();
  slow.disk().sync_delay_us = 30'000;
  for (int round = 0; round < 5; ++round) {
    io::TaskScope writes;
    Burst burst;
    for (int i = 0; i < 10; ++i) {
      put_many(leader, cat("key-", round, "-", i, "-"), 3, &writes, &burst);
      group.harness.run_for(7ms);
    }
    slow.close();
    REQUIRE(group.harness.wait(writes.join()));
    CHECK(burst.failed.empty());
    REQUIRE(slow.start());
  }
  CHECK(group.differences() == "");
}

// ---- who leads, and who thinks so

TEST_CASE("a server that reads cannot be held up by entries that never come when it closes") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& follower = group.follower();
  follower.disk().hold_after(0);
  REQUIRE(leader.put("key", "value"));
  io::TaskScope reads;
  std::string read;
  reads.spawn(read_one(&follower.store(), "key", &read));
  group.harness.run_for(150ms);
  REQUIRE(read.empty());
  const auto timer = group.harness.loop.after(100ms, [&] { follower.disk().let_go(); });
  follower.close();
  REQUIRE(group.harness.wait(reads.join()));
  CHECK(read == text(Error(Code::kUnavailable, "the store has stopped")));
}

TEST_CASE("a write of a term that is over is refused, whatever else happens") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  const Leadership led = old.store().leadership();
  io::TaskScope writes;
  std::vector<std::string> answers;
  bool woken = false;
  writes.spawn(wake(&old.store(), led, &woken));
  group.isolate({old.id()});
  for (int i = 0; i < 5; ++i) writes.spawn(put_in_term(&old.store(), cat("key-", i), led.term, &answers));
  REQUIRE(group.eventually([&] { return !old.leads() && group.leader_now() != nullptr; }));
  CHECK(woken);
  CHECK(answers.empty());  // they may still be committed, for all that this server knows
  group.heal();
  REQUIRE(group.eventually([&] { return answers.size() == 5; }));
  for (const std::string& answer : answers) {
    CAPTURE(answer);
    CHECK(answer.starts_with(cat(static_cast<int>(Code::kConflict), " this write is of term ", led.term)));
  }
  REQUIRE(group.harness.wait(writes.join()));
  CHECK(*group.leader().get("key-0") == "(none)");
}

TEST_CASE("a leader that could not hand over sees its own writes before it goes on") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  REQUIRE(leader.put("key", "value"));
  const raft::NodeId to = group.follower().id();
  for (const auto& server : group.servers) {
    if (server.get() != &leader) server->disk().hold_after(0);
  }
  io::TaskScope calls;
  std::vector<bool> created;
  calls.spawn(create_one(&leader.store(), "once", &created));
  group.harness.run_for(20ms);
  calls.spawn(transfer(&leader.store(), to));
  group.harness.run_for(2 * group.election_timeout);
  CHECK(leader.store().leadership().leader == leader.id());
  calls.spawn(create_one(&leader.store(), "once", &created));
  group.harness.run_for(20ms);
  for (const auto& server : group.servers) server->disk().let_go();
  REQUIRE(group.eventually([&] { return created.size() == 2; }));
  CHECK(std::count(created.begin(), created.end(), true) == 1);
  REQUIRE(group.harness.wait(calls.join()));
  CHECK(group.differences() == "");
}

TEST_CASE("a leader that finds out by a write that it leads no more says so") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  TxnRequest request;
  request.term = leader.store().leadership().term;
  request.success.push_back(put_op("key", "value"));
  group.isolate({leader.id()});
  std::this_thread::sleep_for(4 * group.election_timeout);  // as if its process had been stopped
  const auto done = leader.txn(std::move(request));
  REQUIRE(!done);
  CHECK(done.error().code() == Code::kConflict);
}

TEST_CASE("a partitioned leader answers no consistent read; its proposals are superseded and none is lost or doubled") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  REQUIRE(old.put("key", "old"));
  group.isolate({old.id()});
  io::TaskScope calls;
  Burst burst;
  put_many(old, "late-", 20, &calls, &burst);
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  GroupServer& next = *group.leader_now();
  REQUIRE(next.put("key", "new"));
  CHECK(*old.get("key", true) == "old");
  std::string read;
  calls.spawn(read_one(&old.store(), "key", &read));
  group.harness.run_for(500ms);
  CHECK(read.empty());
  group.heal();
  REQUIRE(group.eventually([&] { return burst.ended() == 20 && !read.empty(); }));
  CHECK(read == "new");
  REQUIRE(group.harness.wait(calls.join()));
  for (const std::string& key : burst.done) CHECK(*next.get(key) == "value of " + key);
  CHECK(group.differences(2) == "");
  for (const auto& server : group.servers) server->close();  // what was cut off leaves no trace that a start would mind
  for (const auto& server : group.servers) REQUIRE(server->start());
  CHECK(group.differences(2) == "");
}

Task<void> keep_alive(Store* store, std::int64_t id, std::optional<Result<Lease>>* answer) {
  *answer = co_await store->lease_keep_alive(id, StopToken());
}

TEST_CASE("a leader that is cut off keeps no lease alive, though it does not know yet that it was replaced") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  REQUIRE(group.harness.wait(old.store().lease_grant(7, 3600, StopToken())));
  group.isolate({old.id()});
  REQUIRE(old.leads());
  io::TaskScope calls;
  std::optional<Result<Lease>> answer;
  calls.spawn(keep_alive(&old.store(), 7, &answer));
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  group.harness.run_for(300ms);
  CHECK(!answer);
  group.heal();
  REQUIRE(group.eventually([&] { return answer.has_value(); }));
  CHECK((*answer && (*answer)->remaining == 3600));  // by the new one
  REQUIRE(group.harness.wait(calls.join()));
}

// One stream of etcd's Watch on `server`, as clients have it that do not want to be left at a server without a leader.
struct WatchAt {
  std::unique_ptr<etcd::Server> services;
  io::HttpHandler handler;
  Call call{"/etcdserverpb.Watch/Watch"};
  io::TaskScope scope;
  WatchAt(GroupServer& server, bool requires_leader) {
    services = etcd::Server::create(server.store(), etcd::ServerOptions());
    handler = services->http_handler();
    if (requires_leader) call.request().headers.add("hasleader", "true");
    scope.spawn(handler(call));
  }
  bool ended() const { return !call.status.empty(); }
};

TEST_CASE("a watch that asks for it ends at a server that is cut off, and not for an election") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  GroupServer& one = group.follower();
  WatchAt strict(one, true), patient(one, false);
  const std::uint64_t term = old.store().leadership().term;
  group.isolate({old.id()});
  REQUIRE(group.eventually([&] {
    const Leadership now = one.store().leadership();
    return now.leader != 0 && now.leader != old.id() && now.term > term;
  }));
  group.harness.run_for(300ms);
  CHECK_FALSE(strict.ended());
  group.heal();
  REQUIRE(group.eventually([&] { return old.store().leadership().leader != 0; }));
  group.isolate({one.id()});
  REQUIRE(group.eventually([&] { return strict.ended(); }));
  CHECK(cat(strict.call.status, " ", strict.call.message) == "14 etcdserver: no leader");
  CHECK_FALSE(patient.ended());
  for (WatchAt* watch : {&strict, &patient}) {
    watch->call.stop.stop();
    REQUIRE(group.harness.wait(watch->scope.join()));
  }
}

// ---- asked of a follower

TEST_CASE("writes, compactions and leases that are asked of a follower are the leader's") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& follower = group.follower();
  Harness& harness = group.harness;
  const Revision first = *follower.put("a", "1");
  const Revision second = *follower.put("a", "2");
  CHECK(second == first + 1);
  CHECK(*leader.get("a") == "2");
  CHECK(*follower.get("a") == "2");
  REQUIRE(harness.wait(follower.store().compact(second, StopToken())));
  CHECK(leader.store().compacted() == second - 1);
  auto again = harness.wait(follower.store().compact(second, StopToken()));
  CHECK(again.error().code() == Code::kExpired);
  const auto lease = harness.wait(follower.store().lease_grant(7, 3600, StopToken()));
  REQUIRE(lease);
  CHECK(harness.wait(follower.store().lease_grant(7, 3600, StopToken())).error().code() == Code::kAlreadyExists);
  REQUIRE(follower.put("leased", "x", 7));
  CHECK(harness.wait(follower.store().lease_keep_alive(7, StopToken()))->remaining == 3600);
  const auto left = harness.wait(follower.store().lease_time_to_live(7, true, StopToken()));
  REQUIRE(left);
  CHECK(left->keys == std::vector<std::string>{"leased"});
  CHECK(left->remaining > 3500);
  CHECK(*harness.wait(follower.store().leases(StopToken())) == std::vector<std::int64_t>{7});
  REQUIRE(harness.wait(follower.store().lease_revoke(7, StopToken())));
  CHECK(*follower.get("leased") == "(none)");
  CHECK(harness.wait(follower.store().lease_revoke(7, StopToken())).error().code() == Code::kNotFound);
  CHECK(follower.put("leased", "x", 7).error().code() == Code::kNotFound);
  REQUIRE(harness.wait(follower.store().lease_grant(8, 1, StopToken())));
  REQUIRE(follower.put("short", "x", 8));
  CHECK(group.eventually([&] { return *follower.get("short") == "(none)"; }));
  CHECK(group.differences(second) == "");
}

Task<void> compact_at(Store* store, Revision revision, std::optional<Result<void>>* answer) {
  auto done = co_await store->compact(revision, StopToken());
  *answer = std::move(done);
}

TEST_CASE("a leader that is cut off does not refuse a compaction by what it knows: the next one does it") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  const Revision revision = *old.put("key", "old");
  group.isolate({old.id()});
  io::TaskScope calls;
  std::optional<Result<void>> answer;
  calls.spawn(compact_at(&old.store(), revision + 1, &answer));
  group.harness.run_for(20ms);
  CHECK_FALSE(answer);  // "a future revision", for all that this server knows
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  CHECK(*group.leader_now()->put("key", "new") == revision + 1);
  group.heal();
  REQUIRE(group.eventually([&] { return answer.has_value(); }));
  CHECK(answer->ok());
  REQUIRE(group.harness.wait(calls.join()));
  CHECK(group.leader().store().compacted() == revision);
}

Task<void> remove_at(Members* members, raft::NodeId id, std::optional<Result<void>>* answer) {
  auto done = co_await members->remove(id, StopToken());
  *answer = std::move(done);
}

TEST_CASE("a leader that is cut off does not say of a member that it is not there") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  GroupServer& unknown = group.add();
  group.isolate({old.id()});
  io::TaskScope calls;
  std::optional<Result<void>> answer;
  calls.spawn(remove_at(&old.members(), unknown.id(), &answer));
  group.harness.run_for(20ms);
  CHECK_FALSE(answer);
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  group.heal();
  REQUIRE(group.eventually([&] { return answer.has_value(); }));
  REQUIRE_FALSE(*answer);
  CHECK(answer->error().code() == Code::kNotFound);
  REQUIRE(group.harness.wait(calls.join()));
}

Task<void> add_at(Members* members, MemberRecord record, std::optional<Result<void>>* answer) {
  *answer = co_await members->add_learner(std::move(record), StopToken());
}

TEST_CASE("who asks once more to be taken in is not told so before it is committed") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  MemberRecord newcomer = group.add().record();
  newcomer.addresses = {"127.0.0.1:1"};  // it never starts
  REQUIRE(old.put(member_key(newcomer.id), encode_member(newcomer)));
  group.isolate({old.id()});
  io::TaskScope calls;
  std::optional<Result<void>> first, second;
  calls.spawn(add_at(&old.members(), newcomer, &first));
  const auto is_known = [&newcomer](GroupServer& server) {
    const std::vector<Member> members = server.members().members();
    return std::any_of(members.begin(), members.end(), [&](const Member& one) { return one.id == newcomer.id; });
  };
  REQUIRE(group.eventually([&] { return is_known(old); }));
  CHECK_FALSE(first);
  calls.spawn(add_at(&old.members(), newcomer, &second));
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  CHECK_FALSE(second);  // with its leader it may go again
  group.heal();
  REQUIRE(group.eventually([&] { return first && second; }));
  CHECK(*first);
  CHECK(*second);
  CHECK(is_known(group.leader()));
  REQUIRE(group.harness.wait(calls.join()));
}

Task<void> write_here(Store* store, std::string key, std::optional<Error>* refused) {
  TxnRequest request;
  request.success.push_back(put_op(key, "x"));
  auto done = co_await store->txn(std::move(request), StopToken());
  if (!done) *refused = done.error();
}

TEST_CASE("what was carried to a server that loses the lead goes no further: whoever sent it asks the next one") {
  Group group;
  group.make(3);
  GroupServer& old = group.leader();
  group.isolate({old.id()});
  io::TaskScope calls;
  std::optional<Error> refused;
  calls.spawn(write_here(&old.store().here(), "carried", &refused));
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &old; }));
  REQUIRE(group.leader_now()->put("key", "new"));
  group.heal();
  REQUIRE(group.harness.wait(calls.join()));
  REQUIRE(refused);
  CHECK(refused->code() == Code::kUnavailable);
  CHECK(refused->message() == "no leader");  // which says that nothing was done
  CHECK(*group.leader().get("carried") == "(none)");
}

// ---- members that come and go

TEST_CASE("a member that is removed, also the leader, is not listened to any more") {
  Group group;
  group.make(4);
  GroupServer& leader = group.leader();
  GroupServer& gone = group.follower();
  Members& members = group.at(&gone == &group.at(3) ? 2 : 3).members();
  REQUIRE(group.harness.wait(members.remove(gone.id(), StopToken())));
  CHECK(group.leader().store().members().size() == 3);
  const std::uint64_t term = leader.store().leadership().term;
  CHECK(!gone.put("from-outside", "x"));
  group.harness.run_for(4 * group.election_timeout);
  CHECK(group.leader().store().leadership().term == term);  // it disturbs nobody
  gone.close();
  GroupServer& first = group.leader();
  const Result<void> removed = group.harness.wait(group.follower().members().remove(first.id(), StopToken()));
  REQUIRE(says(removed) == "ok");
  REQUIRE(group.eventually([&] { return group.leader_now() != nullptr && group.leader_now() != &first; }));
  CHECK(group.leader_now()->store().members().size() == 2);
  CHECK(group.leader_now()->put("after", "x"));
  CHECK(*group.leader_now()->get("from-outside") == "(none)");
}

TEST_CASE("who was away when it was removed learns of it by asking, and then disturbs nobody") {
  Group group;
  group.make(3);
  GroupServer& gone = group.follower();
  const auto ask = [&](std::string* said_by, bool everyone = true) {
    Announcement question;
    question.self = gone.record();
    question.cluster = member_id_text(kTestCluster);
    question.certificate_pem = gone.identity.certificate_pem;
    question.key_pem = gone.identity.key_pem;
    question.ca_pem = group.ca.pem();
    question.addresses = {"127.0.0.1:1"};  // nobody is there
    for (const auto& server : group.servers) {
      if (everyone && server.get() != &gone) question.addresses.push_back(server->record().addresses[0]);
    }
    return group.harness.wait(ask_whether_removed(group.context, std::move(question), said_by, StopToken()));
  };
  std::string said_by;
  CHECK(says(ask(&said_by)) == "ok");
  CHECK(says(ask(&said_by, false)).find("127.0.0.1:1") != std::string::npos);
  group.isolate({gone.id()});
  REQUIRE(group.harness.wait(group.leader().members().remove(gone.id(), StopToken())));
  GroupServer& leader = group.leader();
  const Result<MemberList> answer = ask(&said_by);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code() == Code::kForbidden);
  CHECK(answer.error().message().find("was removed from this cluster") != std::string::npos);
  CHECK(said_by != "127.0.0.1:1");
  CHECK(leader.store().members().size() == 2);

  gone.store().stand_aside();
  for (const std::string& what : {says(gone.store().healthy()), says(gone.put("key", "x")), says(gone.get("key"))}) {
    CHECK(what.find("was removed from its cluster") != std::string::npos);  // at once
  }
  const std::uint64_t term = leader.store().leadership().term, own_term = gone.store().leadership().term;
  group.heal();
  group.harness.run_for(6 * group.election_timeout);
  CHECK(leader.store().leadership().term == term);
  CHECK(gone.store().leadership().term == own_term);
  CHECK(leader.leads());
}

TEST_CASE("leadership moves when asked, and at once when the leader closes") {
  Group group(2000ms);  // nobody is elected by a silence meanwhile
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& next = group.follower();
  REQUIRE(group.harness.wait(next.members().transfer_leadership(next.id(), StopToken())));
  CHECK(group.eventually([&] { return next.leads(); }));
  CHECK(leader.store().leadership().leader == next.id());
  const Instant before = group.harness.clock.now();
  next.close();
  CHECK(group.eventually([&] { return group.leader_now() != nullptr; }));
  CHECK(group.harness.clock.now() - before < 1900ms);  // sooner than by an election
  CHECK(group.leader().put("key", "value"));
}

// Five servers with the same log, led by the one with the lowest id.
struct Five {
  explicit Five(Group& group) {
    group.make(5);
    for (const auto& server : group.servers) by_id.push_back(server.get());
    std::sort(by_id.begin(), by_id.end(), [](const auto* a, const auto* b) { return a->id() < b->id(); });
    if (!by_id[0]->leads()) {
      REQUIRE(group.harness.wait(group.leader().members().transfer_leadership(by_id[0]->id(), StopToken())));
    }
    REQUIRE(group.leader().put("key", "value"));
    REQUIRE(group.differences() == "");
    REQUIRE(by_id[0]->leads());
  }
  std::vector<GroupServer*> by_id;
};

TEST_CASE("a leader that closes hands over to one that answers") {
  Group group(600ms);
  const Five five(group);
  const raft::NodeId silent = five.by_id[4]->id();
  group.isolate({silent});
  group.harness.run_for(700ms);
  REQUIRE(five.by_id[0]->leads());
  const Instant before = group.harness.clock.now();
  five.by_id[0]->close();
  CHECK(group.eventually([&] { return group.leader_now() != nullptr; }));
  CHECK(group.harness.clock.now() - before < 500ms);  // sooner than by an election
}

TEST_CASE("a leader that closes asks the next one when the first does not take over") {
  Group group(600ms);
  const Five five(group);
  const raft::NodeId silent = five.by_id[4]->id();
  group.isolate({silent});
  five.by_id[0]->close();
  const Instant closed = group.harness.clock.now();  // the others have heard from it until now
  CHECK(group.eventually([&] { return group.leader_now() != nullptr; }));
  CHECK(group.harness.clock.now() - closed < 500ms);
}

// ---- two servers and a witness

TEST_CASE("two servers and a witness go on when either server is lost") {
  Group group;
  group.make(2);
  group.witness = std::make_unique<GroupWitness>(group);
  group.witness->start();
  REQUIRE(group.take_in(group.witness->record()));
  REQUIRE(group.leader().put("key", "0"));
  group.harness.run_for(3 * group.election_timeout);  // until the witness has written who is in sync
  for (int round = 0; round < 4; ++round) {
    CAPTURE(round);
    GroupServer& lost = round % 2 == 0 ? group.leader() : group.follower();
    lost.crash();
    if (round == 2) {
      group.witness->stop();
      group.witness->start();
    }
    Result<Revision> done = group.leader().put("key", cat(round + 1));
    REQUIRE(group.eventually([&] {
      if (!done) done = group.leader().put("key", cat(round + 1));
      return done.ok();
    }));
    REQUIRE(lost.start());
    REQUIRE(group.eventually([&] { return *lost.get("key", true) == cat(round + 1); }));
    group.harness.run_for(3 * group.election_timeout);  // until the witness has written that it is in sync again
  }
  CHECK(group.differences() == "");
}

TEST_CASE("a witness that a group has no use for is refused without a write, however often it asks") {
  Group group;
  group.make(1);
  group.witness = std::make_unique<GroupWitness>(group);
  group.witness->start();
  for (const std::size_t servers : {1, 3}) {
    CAPTURE(servers);
    while (group.servers.size() < servers) group.join(group.add());
    const Revision before = *group.leader().put("key", "value");
    for (int i = 0; i < 5; ++i) {
      CHECK(says(group.take_in(group.witness->record())) ==
            says(Error(Code::kInvalid, "a witness is for a group of two servers")));
    }
    CHECK(*group.leader().put("key", "value") == before + 1);
  }
}

TEST_CASE("a server that joins beside a dead witness costs no writes, and is taken in when the witness answers") {
  Group group;
  group.make(2);
  group.witness = std::make_unique<GroupWitness>(group);
  group.witness->start();
  REQUIRE(group.take_in(group.witness->record()));
  REQUIRE(group.leader().put("key", "value"));
  group.harness.run_for(3 * group.election_timeout);  // until the witness has written who is in sync
  group.witness->stop();
  GroupServer& next = group.follower();
  REQUIRE(group.harness.wait(next.members().transfer_leadership(next.id(), StopToken())));
  GroupServer& leader = group.leader();
  const Revision before = *leader.put("key", "value");
  GroupServer& joins = group.add();
  REQUIRE(joins.start(true));
  const auto ask = [&] { return group.harness.wait(leader.members().add_learner(joins.record(), StopToken())); };
  for (int i = 0; i < 5; ++i) {
    const Result<void> refused = ask();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kConflict);  // so that it asks less and less often
    CHECK(refused.error().message() ==
          cat("the witness has not recorded yet which servers are in sync: wait until it answers: witness (",
              member_id_text(group.witness->id()), ")"));
  }
  CHECK(*leader.put("key", "value") == before + 1);
  group.witness->start();
  CHECK(group.eventually([&] { return ask().ok(); }));
}

TEST_CASE("who cannot be removed, and because of whom") {
  Group group;
  group.make(1);
  GroupServer& first = group.leader();
  GroupServer& other = group.add();
  REQUIRE(other.start(true));
  REQUIRE(group.take_in(other.record()));
  const auto remove = [&](raft::NodeId id) { return group.harness.wait(first.members().remove(id, StopToken())); };
  const Result<void> only = remove(first.id());
  REQUIRE_FALSE(only);
  CHECK(only.error().code() == Code::kInvalid);
  CHECK(only.error().message().find("the only server with a vote") != std::string::npos);
  CHECK(first.leads());

  REQUIRE(group.eventually([&] { return group.harness.wait(first.members().promote(other.id(), StopToken())).ok(); }));
  group.witness = std::make_unique<GroupWitness>(group);
  group.witness->start();
  REQUIRE(group.take_in(group.witness->record()));
  REQUIRE(first.put("key", "value"));
  group.harness.run_for(3 * group.election_timeout);
  other.close();
  group.harness.run_for(3 * group.election_timeout);
  const std::string who = cat(": s1 (", member_id_text(other.id()), ")");
  const Result<void> witness = remove(group.witness->id());
  REQUIRE_FALSE(witness);
  CHECK(witness.error().message() == cat("without the witness every server is needed, and one is not in sync: wait "
                                         "until it answers and has all entries, or remove that server first",
                                         who));
  const Result<void> leader = remove(first.id());
  REQUIRE_FALSE(leader);
  CHECK(leader.error().code() == Code::kConflict);
  CHECK(leader.error().message().find("nobody can take over") != std::string::npos);
  CHECK(leader.error().message().ends_with(who));
  CHECK(first.leads());
}

TEST_CASE("who is refused as before asks less and less often") {
  Duration pause = 2s;
  for (const Duration next : {4s, 8s, 16s, 16s}) CHECK((pause = announce_pause(pause, true)) == next);
  CHECK(announce_pause(pause, false) == 2s);
}

// ---- full disks

TEST_CASE("a server with a full disk follows on when there is space, and does not lead meanwhile") {
  Group group;
  group.make(3);
  for (const bool leads : {false, true}) {
    CAPTURE(leads);
    GroupServer& full = leads ? group.leader() : group.follower();
    full.disk().capacity = 0;
    const std::string value(20'000, 'x');
    for (int i = 0; i < 10; ++i) {
      // What the full leader was asked for may or may not happen; another one leads soon.
      const std::string key = cat("key-", i);
      CHECK(group.eventually([&] {
        GroupServer* leader = group.leader_now();
        return leader != nullptr && leader->put(key, value).ok();
      }));
    }
    CHECK(!full.leads());
    CHECK(group.leader().get("key-9").ok());
    full.disk().capacity = INT64_MAX;
    CHECK(group.eventually([&] { return full.store().revision() == group.leader().store().revision(); }));
    CHECK(full.put("after", "x"));
    CHECK(full.fatal.empty());
  }
  CHECK(group.differences() == "");
}

TEST_CASE("a server that cannot follow for want of space says so at once, and what it has it still shows") {
  Group group;
  group.make(3);
  REQUIRE(group.leader().put("key", "old"));
  GroupServer& full = group.follower();
  REQUIRE(group.eventually([&] { return *full.get("key", true) == "old"; }));
  full.disk().capacity = 0;
  const std::string value(20'000, 'x');
  REQUIRE(group.leader().put("key", value));
  const std::string why = "this server's disk is full, and it takes no part until there is space: ";
  REQUIRE(group.eventually([&] { return !full.store().healthy(); }));
  const auto says_why = [&why](const Error& error) {
    CHECK(error.code() == Code::kUnavailable);
    CHECK(error.message().find(why) == 0);
  };
  says_why(full.get("key").error());
  says_why(group.harness.wait(full.store().current_revision(StopToken())).error());
  says_why(full.put("other", "x").error());
  says_why(group.harness.wait(full.store().lease_grant(7, 3600, StopToken())).error());
  says_why(full.store().healthy().error());
  CHECK(*full.get("key", true) == "old");
  CHECK(*group.leader().get("other") == "(none)");
  CHECK(group.leader().store().healthy());
  full.disk().capacity = INT64_MAX;
  REQUIRE(group.eventually([&] { return full.store().healthy().ok(); }));
  CHECK(*full.get("key") == value);
  CHECK(full.put("other", "x"));
}

TEST_CASE("a transaction as large as a store takes can be asked of any server") {
  Group group(3s);
  group.times = TransportTimes();  // one loop for all: a step with so much takes it long enough to seem silent
  group.make(2);
  for (GroupServer* server : {&group.leader(), &group.follower()}) {
    CAPTURE(server->leads());
    // 16 MiB of keys and values, and more in compares and in the other branch.
    const std::string value(std::size_t{256} * 1024 - 4, 'x');
    TxnRequest large;
    for (int i = 0; i < 64; ++i) large.success.push_back(put_op(cat("k-", 10 + i), value));
    large.failure.push_back(put_op("other", std::string(500'000, 'y')));
    large.compares.push_back(compare("k-10", Compare::Target::kVersion, Compare::Result::kLess, 1'000'000));
    const auto done = server->txn(large);
    INFO((done ? "" : done.error().message()));
    REQUIRE(done);
    CHECK(done->succeeded);
    for (int i = 0; i < 4; ++i) large.failure.push_back(put_op(cat("more-", i), std::string(500'000, 'y')));
    const auto refused = server->txn(large);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kTooLarge);
  }
  CHECK(group.differences() == "");
}

// ---- states that are fetched

// Compacts to the newest revision and waits until everybody who hears of it has dropped the rows: `behind` can get them
// as a state alone.
void give_up_the_past(Group& group, GroupServer& leader, const GroupServer& behind) {
  const Revision revision = leader.store().revision();
  for (const auto& server : group.servers) {
    if (server.get() == &behind) continue;
    REQUIRE(group.eventually([&] { return server->store().revision() >= revision; }));
  }
  REQUIRE(group.harness.wait(leader.store().compact(revision, StopToken())));
  for (const auto& server : group.servers) {
    if (server.get() == &behind) continue;
    REQUIRE(group.eventually(
        [&] { return server->store().compacted() == revision - 1 && !server->store().stats().sweeping; }));
  }
  REQUIRE(leader.put("last", "x"));
}

// Writes and gives up so much at the leader that `behind` cannot get it as entries.
void leave_behind(Group& group, GroupServer& leader, const GroupServer& behind, int keys) {
  io::TaskScope writes;
  Burst burst;
  for (int round = 0; round < 3; ++round) put_many(leader, "key-", keys, &writes, &burst);
  REQUIRE(group.harness.wait(writes.join()));
  REQUIRE(burst.failed.empty());
  give_up_the_past(group, leader, behind);
}

TEST_CASE("who is too far behind fetches the state, also when it is killed at any moment of that") {
  const int stride = test_rounds("GROUP_STRIDE", 7);
  for (int step = 0;; step += stride) {
    CAPTURE(step);
    Group group;
    group.make(3);
    REQUIRE(group.leader().put("early", "1"));
    GroupServer& leader = group.leader();
    GroupServer& behind = group.follower();
    const Revision start = leader.store().revision();
    behind.close();
    leave_behind(group, leader, behind, 100);
    REQUIRE(behind.start());
    behind.disk().hold_after(static_cast<std::size_t>(step));
    const bool caught_up = [&] {
      return group.eventually([&] {
        return behind.disk().held() || behind.store().revision() == leader.store().revision();
      }) && !behind.disk().held();
    }();
    behind.crash();
    REQUIRE(behind.start());
    CHECK(group.differences(leader.store().compacted() + 1) == "");
    CHECK(behind.fatal.empty());
    CHECK(!file_exists(behind.path() + ".incoming"));
    WatchRequest old;
    old.key = "early";
    old.start_revision = start;
    auto watch = behind.store().watch(std::move(old));
    CHECK((!watch && watch.error().code() == Code::kExpired));
    if (caught_up) break;  // there were no more steps than that
  }
}

// What the metrics of `server` say of its election timeout, in seconds.
double election_timeout_of(const GroupServer& server) {
  const std::string name = "\nkayak_store_election_timeout_seconds ";
  const std::string text = server.metrics.to_text();
  const std::size_t at = text.find(name);
  REQUIRE(at != std::string::npos);
  return std::strtod(text.c_str() + at + name.size(), nullptr);
}

TEST_CASE("a server that took long to install a state is as quick to vote and to lead as before") {
  Group group(400ms);
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& behind = group.follower();
  behind.close();
  leave_behind(group, leader, 100);
  REQUIRE(behind.start());
  // One step after the other, until the new file stands in the place of the old one and is being opened: that takes 2
  // s.
  bool built = false;
  for (bool placed = false; !placed;) {
    behind.disk().hold_after(1);
    REQUIRE(group.eventually([&] { return behind.disk().held(); }));
    const bool incoming = file_exists(behind.path() + ".incoming");
    placed = built && !incoming;
    built = built || incoming;
  }
  group.harness.run_for(2s);
  behind.disk().let_go();
  REQUIRE(group.eventually([&] { return behind.store().revision() == leader.store().revision(); }));
  CHECK(election_timeout_of(behind) == 0.4);
}

TEST_CASE("a server that voted and then fetches the state has not forgotten its vote") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& behind = group.follower();
  GroupServer* next = nullptr;
  for (const auto& server : group.servers) {
    if (server.get() != &behind && server.get() != &leader) next = server.get();
  }
  behind.close();
  leave_behind(group, leader, behind, 100);
  REQUIRE(group.eventually([&] { return next->store().revision() == leader.store().revision(); }));
  leader.crash();
  REQUIRE(behind.start());
  // The third one leads by its vote, and has only its state for it, no entries.
  REQUIRE(group.eventually([&] { return next->leads() && behind.store().revision() == next->store().revision(); }));
  const std::uint64_t term = next->store().leadership().term;
  behind.crash();
  DatabaseOptions options;
  options.path = behind.path();
  const auto database = Database::open(options, {});
  REQUIRE(database);
  CHECK((*database)->base().index > 0);
  CHECK((*database)->found().hard.term == term);
  CHECK((*database)->found().hard.vote == next->id());
}

TEST_CASE("a fetch of a state that is replaced by another leader's does no harm") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& behind = group.follower();
  behind.close();
  leave_behind(group, leader, behind, 300);
  REQUIRE(behind.start());
  behind.disk().hold_after(2);
  REQUIRE(group.eventually([&] { return behind.disk().held(); }));
  group.harness.run_for(300ms);
  for (int i = 0; i < 3; ++i) {
    GroupServer* other = nullptr;
    for (const auto& server : group.servers) {
      if (server.get() != &behind && !server->leads()) other = server.get();
    }
    REQUIRE(group.harness.wait(other->members().transfer_leadership(other->id(), StopToken())));
    REQUIRE(group.eventually([&] { return other->leads(); }));
    REQUIRE(other->put("more", cat(i)));
    group.harness.run_for(300ms);
  }
  behind.disk().let_go();
  CHECK(group.differences() == "");
  CHECK(behind.fatal.empty());
}

// ---- reads that meet such a state

std::string numbered(int i) { return cat("key-", 100'000 + i); }

// Gives the keys of [from, to) a value, or deletes them when it is empty, a hundred in each transaction.
void write_numbered(GroupServer& leader, int from, int to, const std::string& value) {
  for (int i = from; i < to;) {
    TxnRequest request;
    for (const int end = std::min(i + 100, to); i < end; ++i) {
      request.success.push_back(value.empty() ? delete_op(numbered(i)) : put_op(numbered(i), value));
    }
    REQUIRE(leader.txn(std::move(request)));
  }
}

RangeRequest all_numbered() {
  RangeRequest all;
  all.key = "key-";
  all.range_end = "key.";
  all.serializable = true;
  return all;
}

// How many keys there are, and which values they have.
std::string summary(const Result<RangeResponse>& found) {
  if (!found) return text(found.error());
  std::set<std::string> values;
  for (const KeyValue& kv : found->kvs) values.insert(*kv.value);
  std::string out = cat(found->count);
  for (const std::string& value : values) out += cat(" ", value);
  return out;
}

// Reads without a pause until `enough`; after so many turns of the loop, so that not all are at the same place.
Task<void> read_on(Group* group, Store* store, RangeRequest request, int turns, const bool* enough,
                   std::map<std::string, int>* answers) {
  for (int i = 0; i < turns; ++i) co_await group->harness.loop.yield();
  while (!*enough) {
    auto found = co_await store->range(request, StopToken());
    ++(*answers)[summary(found)];
    co_await group->harness.loop.yield();
  }
}

TEST_CASE("a read that meets a state from another server tells of one of the two states") {
  constexpr int kKeys = 5000, kOthers = 500;
  struct Row {
    const char* what;
    bool counts, overwritten, at_revision;
    std::string before, after;
  };
  for (const Row& row : {Row{"counts, keys overwritten", true, true, false, "5000", "5500"},
                         Row{"counts, keys deleted", true, false, false, "5000", "500"},
                         Row{"values, keys overwritten", false, true, false, "5000 old", "5500 new"},
                         Row{"counts at a revision, keys overwritten", true, true, true, "5000", ""},
                         Row{"counts at a revision, keys deleted", true, false, true, "5000", ""}}) {
    CAPTURE(row.what);
    Group group;
    group.make(3);
    GroupServer& leader = group.leader();
    GroupServer& behind = group.follower();
    write_numbered(leader, 0, kKeys, "old");
    const Revision revision = leader.store().revision();
    REQUIRE(group.eventually([&] { return behind.store().revision() == revision; }));
    group.isolate({behind.id()});
    write_numbered(leader, row.overwritten ? 0 : kOthers, row.overwritten ? kKeys + kOthers : kKeys,
                   row.overwritten ? "new" : "");
    give_up_the_past(group, leader, behind);
    RangeRequest request = all_numbered();
    request.count_only = row.counts;
    if (row.at_revision) request.revision = revision;
    const std::string after =
        row.at_revision ? text(Error(Code::kExpired, cat("required revision ", revision, " has been compacted")))
                        : row.after;
    std::map<std::string, int> answers;
    bool enough = false;
    io::TaskScope reads;
    for (int i = 0; i < 6; ++i) reads.spawn(read_on(&group, &behind.store(), request, i, &enough, &answers));
    group.heal();
    const bool caught_up = group.eventually([&] { return behind.store().revision() == leader.store().revision(); });
    group.harness.run_for(20ms);
    enough = true;
    REQUIRE(group.harness.wait(reads.join()));
    CHECK(caught_up);
    CHECK(behind.fatal.empty());
    for (const auto& [answer, times] : answers) {
      CAPTURE(answer, times);
      CHECK((answer == row.before || answer == after));
    }
    CHECK(answers[row.before] > 0);
    CHECK(answers[after] > 0);
  }
}

TEST_CASE("a read that meets an entry of a server that has forgotten a deletion does not take its key for new") {
  constexpr int kKeys = 9000;
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& reads = group.follower();
  write_numbered(leader, 0, kKeys, "old");
  const Revision revision = leader.store().revision();
  // Of every slice of the read something is on disk alone.
  for (int i = 0; i < kKeys; i += 500) REQUIRE(leader.put(numbered(i), "new"));
  write_numbered(leader, kKeys - 1, kKeys, "");
  REQUIRE(group.eventually([&] { return reads.store().revision() == leader.store().revision(); }));
  // Its disk stands still, and with it the read.
  reads.disk().hold_after(0);
  REQUIRE(leader.put("other", "x"));
  REQUIRE(group.eventually([&] { return reads.disk().held(); }));
  RangeRequest request = all_numbered();
  request.count_only = true;
  request.revision = revision;
  std::map<std::string, int> answers;
  bool once = false;
  io::TaskScope scope;
  scope.spawn(read_on(&group, &reads.store(), request, 0, &once, &answers));
  once = true;
  REQUIRE(group.harness.wait(leader.store().compact(leader.store().revision(), StopToken())));
  REQUIRE(group.eventually([&] { return leader.store().compacted() > revision && !leader.store().stats().sweeping; }));
  REQUIRE(leader.put(numbered(kKeys - 1), "again"));
  group.harness.run_for(50ms);  // until that has arrived, too
  CHECK(answers.empty());
  reads.disk().let_go();
  REQUIRE(group.harness.wait(scope.join()));
  const std::string expired = text(Error(Code::kExpired, cat("required revision ", revision, " has been compacted")));
  REQUIRE(answers.size() == 1);
  const std::string answer = answers.begin()->first;
  CAPTURE(answer);
  CHECK((answer == expired || answer == "9000"));
  CHECK(group.differences(leader.store().compacted() + 1) == "");
  CHECK(reads.fatal.empty());
}

}  // namespace
}  // namespace kayak::store
