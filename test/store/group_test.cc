// group_test.cc: several embedded stores as one group, over real connections on loopback: joining, what is carried to
// the leader, crashes, partitions, states that are fetched, the witness, full disks. SEED repeats the random ones.
#include <algorithm>
#include <catch2/catch.hpp>

#include "base/strings.h"
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

}  // namespace
}  // namespace kayak::store
