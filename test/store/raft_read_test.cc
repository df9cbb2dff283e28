// raft_read_test.cc: reads that see every acknowledged write. Source of the cases: the dissertation, 6.4.
#include <catch2/catch.hpp>

#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

using namespace std::chrono_literals;

const Membership kThree = group_of({1, 2, 3});

// A leader of term 2 whose own first entry, 2, is committed.
Single ready_leader(Options options = {}) {
  Single node(disk_of(kThree, {1}, {.term = 1}), options);
  node.elect();
  node.persist();
  node.step(2, 2, AppendEntriesReply{.index = 2});
  node.pass(0s);
  return node;
}

std::uint64_t round_to(NodeId node, const Output& output) {
  std::uint64_t round = 0;
  for (const auto& [message, beat] : of_kind<Heartbeat>(output.messages)) {
    if (message.to == node) round = std::max(round, beat.read_round);
  }
  return round;
}

TEST_CASE("a read is answered when a majority has answered a later heartbeat") {
  Single node = ready_leader();
  node.core.read(70);
  node.core.read(71);
  const Output asked = node.take();
  CHECK(asked.reads.empty());
  const std::uint64_t round = round_to(2, asked);
  REQUIRE(round > 0);
  CHECK(round_to(3, asked) == round);
  CHECK(node.step(2, 2, HeartbeatReply{round - 1}).reads.empty());  // to an older one
  node.core.read(72);                                               // too late for this round
  CHECK(round_to(2, node.take()) == 0);
  const Output done = node.step(3, 2, HeartbeatReply{round});
  REQUIRE(done.reads.size() == 2);
  CHECK(done.reads[0].id == 70);
  CHECK(done.reads[0].confirmed);
  CHECK(done.reads[0].index == 2);
  CHECK(round_to(2, done) == round + 1);
  CHECK(node.step(2, 2, HeartbeatReply{round + 1}).reads.size() == 1);
}

TEST_CASE("a round whose messages are lost is asked again") {
  Single node = ready_leader();
  node.core.read(70);
  const std::uint64_t round = round_to(2, node.take());
  const std::uint64_t again = round_to(2, node.pass(200ms));
  CHECK(again >= round);
  CHECK(node.step(2, 2, HeartbeatReply{again}).reads.size() == 1);
}

TEST_CASE("no read before an entry of the own term is committed") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  node.elect();
  node.persist();
  node.core.read(70);
  Output output = node.take();
  CHECK(round_to(2, output) == 0);
  output = node.step(2, 2, AppendEntriesReply{.index = 2});
  const std::uint64_t round = round_to(2, output);
  REQUIRE(round > 0);
  output = node.step(2, 2, HeartbeatReply{round});
  REQUIRE(output.reads.size() == 1);
  CHECK(output.reads[0].index == 2);
}

TEST_CASE("only the leader that was asked answers a follower's read") {
  Single node(disk_of(kThree, {1}, {.term = 2, .vote = 0, .commit = 1}));
  node.step(2, 2, Heartbeat{});
  node.core.read(70);
  const auto asked = of_kind<ReadIndex>(node.take().messages);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].first.to == 2);
  CHECK(node.step(3, 2, ReadIndexReply{asked[0].second.batch, 1}).reads.empty());
  const Output done = node.step(2, 2, ReadIndexReply{asked[0].second.batch, 1});
  REQUIRE(done.reads.size() == 1);
  CHECK(done.reads[0].confirmed);
}

TEST_CASE("a group of one reads at once") {
  Single node(disk_of(group_of({1}), {1}, {.term = 1}));
  node.pass(0s);
  node.persist();
  node.core.read(70);
  CHECK(node.take().reads.empty());  // its first entry is not on disk
  const Output output = node.persist();
  node.core.read(71);
  const Output later = node.take();
  CHECK(output.reads.size() + later.reads.size() == 2);
}

TEST_CASE("reads fail when leadership is lost or not known") {
  Single follower(disk_of(kThree, {1}, {.term = 1}));
  follower.core.read(70);
  Output output = follower.take();
  REQUIRE(output.reads.size() == 1);
  CHECK_FALSE(output.reads[0].confirmed);

  Single node = ready_leader();
  node.core.read(71);
  node.take();
  output = node.step(2, 5, Heartbeat{});
  REQUIRE(output.reads.size() == 1);
  CHECK(output.reads[0].id == 71);
  CHECK_FALSE(output.reads[0].confirmed);
}

TEST_CASE("followers ask their leader, together") {
  Table table(kThree);
  table.elect(1);
  table.propose(1, "a");
  table.core(2).read(70);
  table.core(2).read(71);
  table.settle(2);
  CHECK(table.wire.size() == 1);
  table.deliver();
  REQUIRE(table.seat(2).reads.size() == 2);
  CHECK(table.seat(2).reads[0].confirmed);
  CHECK(table.seat(2).reads[1].index == 2);
}

TEST_CASE("a follower's read fails when the leader does not answer") {
  Table table(kThree);
  table.elect(1);
  table.isolate(1);
  table.core(2).read(70);
  table.settle_and_deliver(2);
  table.pass(2500ms);
  REQUIRE(table.seat(2).reads.size() == 1);
  CHECK_FALSE(table.seat(2).reads[0].confirmed);
}

TEST_CASE("answers to an earlier life are not taken for one's own") {
  std::vector<std::uint64_t> batches;
  for (const std::uint64_t seed : {1, 2}) {
    SeededRandom random(seed);
    Options options;
    options.id = 2;
    RaftCore core(options, disk_of(kThree, {1}, {.term = 1}), random, Instant{1});
    core.step({1, 2, 1, Heartbeat{}});
    core.read(70);
    for (const auto& [message, request] : of_kind<ReadIndex>(core.take_output().messages)) {
      batches.push_back(request.batch);
    }
  }
  REQUIRE(batches.size() == 2);
  CHECK(batches[0] != batches[1]);
}

TEST_CASE("a lease spares the round while it lasts") {
  Options options;
  options.lease_reads = true;
  Single node = ready_leader(options);
  const std::uint64_t round = round_to(2, node.pass(200ms));
  node.step(2, 2, HeartbeatReply{round});
  node.core.read(70);
  CHECK(node.take().reads.size() == 1);
  SECTION("it ends before anyone may vote for another") {
    node.pass(901ms);
    node.core.read(71);
    CHECK(node.take().reads.empty());
  }
  SECTION("it is void when another was told to campaign") {
    REQUIRE(node.core.transfer_leadership(2));
    CHECK(of_kind<TimeoutNow>(node.take().messages).size() == 1);
    node.core.read(71);
    CHECK(node.take().reads.empty());
  }
}

TEST_CASE("after a restart a voter honours leases that it forgot") {
  for (const bool leases : {false, true}) {
    CAPTURE(leases);
    Options options;
    options.lease_reads = leases;
    Single node(disk_of(kThree, {1}, {.term = 1}), options);
    node.step(2, 2, RequestVote{9, 9});
    CHECK((node.core.term() == 2) == !leases);
    node.pass(1s);
    node.step(2, 2, RequestVote{9, 9});
    CHECK(node.core.term() == 2);
  }
}

}  // namespace
}  // namespace kayak::store::raft::test
