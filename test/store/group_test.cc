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

}  // namespace
}  // namespace kayak::store
