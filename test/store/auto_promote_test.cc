// auto_promote_test.cc: when a server that has joined gets its vote.
#include "store/auto_promote.h"

#include <catch2/catch.hpp>

#include "store/support_raft.h"

namespace kayak::store {
namespace {

using namespace std::chrono_literals;
using Nodes = std::vector<raft::NodeId>;

constexpr Instant kStart{1'000'000'000};

TEST_CASE("a learner gets its vote when it has kept up for a while") {
  AutoPromote policy;
  const raft::Membership group{{1}, {2}, raft::kNobody};
  CHECK_FALSE(policy.next(group, {}, kStart));
  CHECK_FALSE(policy.next(group, {2}, kStart));
  CHECK_FALSE(policy.next(group, {2}, kStart + 1999ms));
  CHECK(policy.next(group, {2}, kStart + 2s) == raft::NodeId{2});

  SECTION("who falls back begins anew") {
    CHECK_FALSE(policy.next(group, {}, kStart + 3s));
    CHECK_FALSE(policy.next(group, {2}, kStart + 4s));
    CHECK_FALSE(policy.next(group, {2}, kStart + 5s));
    CHECK(policy.next(group, {2}, kStart + 6s) == raft::NodeId{2});
  }
  SECTION("so does a new leader") {
    policy.reset();
    CHECK_FALSE(policy.next(group, {2}, kStart + 3s));
  }
}

TEST_CASE("who keeps up longest goes first, and only learners go") {
  AutoPromote policy;
  const raft::Membership group{{1, 9}, {2, 3}, raft::kNobody};
  CHECK_FALSE(policy.next(group, {3, 9, 77}, kStart));
  CHECK_FALSE(policy.next(group, {2, 3, 9, 77}, kStart + 1s));
  CHECK(policy.next(group, {2, 3, 9, 77}, kStart + 4s) == raft::NodeId{3});
  const raft::Membership after{{1, 3, 9}, {2}, raft::kNobody};
  CHECK(policy.next(after, {2, 9}, kStart + 4s) == raft::NodeId{2});
}

TEST_CASE("as many votes as make sense") {
  struct Row {
    raft::Membership group;
    bool promotes;
  };
  for (const Row& row :
       {Row{{{1, 2, 3, 4}, {7}, raft::kNobody}, true}, Row{{{1, 2, 3, 4, 5}, {7}, raft::kNobody}, false},
        Row{{{1}, {7}, 50}, true}, Row{{{1, 2}, {7}, 50}, false}}) {
    AutoPromote policy;
    CAPTURE(row.group.voters.size(), row.group.witness);
    policy.next(row.group, {7}, kStart);
    CHECK(policy.next(row.group, {7}, kStart + 3s).has_value() == row.promotes);
  }
}

TEST_CASE("beside a witness nobody keeps up of whom it has not been told") {
  using raft::test::Single;
  for (const raft::NodeId witness : {raft::kNobody, raft::NodeId{9}}) {
    CAPTURE(witness);
    const raft::Membership group{{1, 3}, {2}, witness};
    Single leader(raft::test::disk_of(group, {1}, {.term = 1, .vote = 0, .commit = 0}));
    leader.elect();
    leader.persist();
    const auto knows = [](bool answer) { return [answer](raft::NodeId) { return answer; }; };
    CHECK(learners_keeping_up(leader.core, leader.now, knows(true)).empty());  // not heard yet
    leader.step(2, leader.core.term(), raft::AppendEntriesReply{.index = 2});
    CHECK(learners_keeping_up(leader.core, leader.now, knows(true)) == Nodes{2});
    CHECK(learners_keeping_up(leader.core, leader.now, nullptr) == Nodes{2});
    const Nodes untold = witness == raft::kNobody ? Nodes{2} : Nodes{};
    CHECK(learners_keeping_up(leader.core, leader.now, knows(false)) == untold);
  }
}

// In a group at rest no entry comes that would find out where the logs part.
TEST_CASE("a learner whose connection broke when it had everything keeps up again without a new entry") {
  using raft::test::Table;
  const raft::Membership group{{1}, {2}, raft::kNobody};
  Table table(group);
  for (const raft::NodeId id : group.voters) table.add(id, raft::test::disk_of(group, {1}, {.term = 1}));
  table.add(2, raft::test::disk_of(group, {1}, {.term = 1}));
  table.campaign(1);
  table.pass(1s);
  const auto keeping_up = [&table] { return learners_keeping_up(table.core(1), table.now(1), nullptr); };
  REQUIRE(keeping_up() == Nodes{2});
  table.core(1).peer_unreachable(2);
  CHECK(keeping_up().empty());  // until it is heard again
  table.pass(1s);
  CHECK(keeping_up() == Nodes{2});
}

}  // namespace
}  // namespace kayak::store
