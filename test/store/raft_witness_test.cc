// raft_witness_test.cc: two servers and a witness: whoever can be elected has every committed entry.
#include <catch2/catch.hpp>

#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

using namespace std::chrono_literals;

constexpr NodeId kWitness = 9;
const Membership kGroup = group_of({1, 2}, kWitness);
using Nodes = std::vector<NodeId>;

const WitnessRecord& record(Table& table) {
  const auto& record = table.seat(kWitness).disk.record;
  REQUIRE(record);
  return *record;
}

// 1 leads, both are in sync and recorded so.
Table in_sync() {
  Table table(kGroup);
  table.elect(1);
  table.propose(1, "a");
  table.pass(300ms);
  REQUIRE(record(table).in_sync == Nodes{1, 2});
  return table;
}

TEST_CASE("in sync, both servers have every committed entry and the witness none") {
  Table table = in_sync();
  CHECK(table.core(kWitness).log().last_index() == 0);
  table.cut(1, 2);
  const LogIndex index = table.propose(1, "b");
  table.pass(500ms);
  CHECK(table.core(1).commit() < index);  // the witness's word is not enough
  table.heal();
  table.pass(500ms);
  CHECK(table.core(1).commit() == index);
}

TEST_CASE("to go on alone the leader needs the witness's record on its disk") {
  Table table = in_sync();
  table.isolate(2);
  const LogIndex index = table.propose(1, "b");
  table.seat(kWitness).disk_answers = false;
  table.pass(2s);
  CHECK(table.core(1).commit() < index);
  table.persist(kWitness);
  table.deliver();
  CHECK(table.core(1).commit() == index);
  CHECK(record(table).in_sync == Nodes{1});
  CHECK(record(table).index >= index - 1);
}

TEST_CASE("either server may be lost") {
  for (const NodeId lost : {NodeId{1}, NodeId{2}}) {
    CAPTURE(lost);
    Table table = in_sync();
    const NodeId left = 3 - lost;
    table.crash(lost);
    table.pass(5s);
    CHECK(table.leader() == left);
    const LogIndex index = table.propose(left, "b");
    table.pass(100ms);
    CHECK(table.core(left).commit() == index);
    CHECK(record(table).in_sync == Nodes{left});
    CHECK(table.seat(left).applied.back() == "b");
  }
}

TEST_CASE("what stands in the way of a change beside a witness is said, and because of whom") {
  using Type = MembershipChange::Type;
  const auto who = [](Table& table, MembershipChange change) {
    const auto found = table.core(1).hindrance(change);
    return found ? found->members : Nodes{};
  };
  Table table = in_sync();
  CHECK(who(table, {Type::kRemove, kWitness}).empty());
  CHECK(table.core(1).hindrance({Type::kRemove, 1})->error.message().find("move leadership first") !=
        std::string::npos);
  SECTION("the witness is to go while a server is away") {
    table.isolate(2);
    table.pass(3s);
    CHECK(who(table, {Type::kRemove, kWitness}) == Nodes{2});
    CHECK(who(table, {Type::kAddLearner, 5}).empty());
    REQUIRE(table.core(1).change_membership({Type::kRemove, 2}));
    table.settle_and_deliver(1);
    table.pass(500ms);
    // The only one left, whatever the witness does.
    for (const bool alive : {true, false}) {
      if (!alive) table.isolate(kWitness);
      const auto found = table.core(1).hindrance({Type::kRemove, 1});
      REQUIRE(found);
      CHECK(found->error.code() == Code::kInvalid);
      CHECK(found->error.message().find("the only server with a vote") != std::string::npos);
    }
  }
  SECTION("the witness is away and does not know who is in sync") {
    table.isolate(kWitness);
    REQUIRE(table.core(1).change_membership({Type::kAddLearner, 5}));
    table.settle_and_deliver(1);
    table.pass(500ms);
    CHECK(who(table, {Type::kAddLearner, 6}) == Nodes{kWitness});
    CHECK(who(table, {Type::kRemove, kWitness}).empty());
  }
}

TEST_CASE("the witness may be lost") {
  Table table = in_sync();
  table.crash(kWitness);
  table.pass(3s);
  CHECK(table.leader() == 1);
  const LogIndex index = table.propose(1, "b");
  CHECK(table.core(1).commit() == index);
}

TEST_CASE("who is not in sync is not elected, however long it waits") {
  Table table = in_sync();
  table.isolate(2);
  table.pass(2s);
  table.propose(1, "b");
  REQUIRE(record(table).in_sync == Nodes{1});
  table.crash(1);
  table.heal();
  table.pass(30s);
  CHECK(table.leader() == kNobody);
  table.restart(1);
  table.pass(6s);
  REQUIRE(table.leader() == 1);
  CHECK(table.seat(2).applied.back() == "b");
}

TEST_CASE("a witness whose disk went back behind its record hears so from the leader that counts on it") {
  for (const bool goes_back : {false, true}) {
    CAPTURE(goes_back);
    Table table = in_sync();
    const Restored before = table.seat(kWitness).disk;
    table.isolate(2);
    const LogIndex index = table.propose(1, "2 has not got this");
    table.pass(2s);
    REQUIRE(table.core(1).commit() == index);
    table.crash(kWitness);
    if (goes_back) table.seat(kWitness).disk.record = before.record;
    table.restart(kWitness);
    table.pass(300ms);
    CHECK(table.seat(kWitness).lost.has_value() == goes_back);
  }
}

TEST_CASE("who has caught up is recorded, and may then be elected") {
  Table table = in_sync();
  table.isolate(2);
  table.pass(2s);
  table.propose(1, "b");
  REQUIRE(record(table).in_sync == Nodes{1});
  table.heal();
  table.pass(1s);
  CHECK(record(table).in_sync == Nodes{1, 2});
  table.crash(1);
  table.pass(6s);
  CHECK(table.leader() == 2);
  CHECK(table.seat(2).applied == std::vector<std::string>{"a", "b"});
}

TEST_CASE("before the record of the grown set is on disk, both are waited for") {
  Table table = in_sync();
  table.isolate(2);
  table.pass(2s);
  REQUIRE(record(table).in_sync == Nodes{1});
  table.seat(kWitness).disk_answers = false;
  table.heal();
  table.pass(700ms);
  table.cut(1, 2);
  const LogIndex index = table.propose(1, "c");
  table.pass(200ms);
  CHECK(table.core(1).commit() < index);
}

TEST_CASE("the witness's vote") {
  const WitnessRecord written{.term = 4, .version = 2, .index = 10, .index_term = 3, .in_sync = {1, 2}};
  struct Row {
    const char* what;
    std::optional<WitnessRecord> record;
    NodeId candidate;
    LogIndex last_index;
    Term last_term;
    bool granted;
  };
  for (const Row& row :
       {Row{"in the set, the same log", written, 1, 10, 3, true},
        Row{"in the set, a longer log", written, 2, 12, 3, true},
        Row{"in the set, a newer log", written, 2, 5, 4, true},
        Row{"in the set, a shorter log", written, 2, 9, 3, false},
        Row{"in the set, an older log", written, 2, 99, 2, false}, Row{"outside the set", written, 3, 99, 9, false},
        Row{"nothing recorded", std::nullopt, 1, 99, 9, false}}) {
    CAPTURE(row.what);
    Options options;
    options.witness = true;
    Restored disk;
    disk.hard.term = 4;
    disk.record = row.record;
    Single witness(std::move(disk), options, kWitness);
    for (const bool pre_vote : {true, false}) {
      CAPTURE(pre_vote);
      std::vector<Message> sent =
          witness.step(row.candidate, 5, RequestVote{row.last_index, row.last_term, pre_vote}).messages;
      for (Message& message : witness.persist().messages) sent.push_back(std::move(message));
      const auto replies = of_kind<RequestVoteReply>(sent);
      REQUIRE(replies.size() == 1);
      CHECK(replies[0].second.granted == row.granted);
    }
  }
}

TEST_CASE("the witness keeps the newest record and answers when it is on disk") {
  Options options;
  options.witness = true;
  Single witness({}, options, kWitness);
  const auto sent = [&](Term term, std::uint64_t version) {
    const WitnessRecord record{.term = term, .version = version, .index = 1, .index_term = 1, .in_sync = {1}};
    Output output = witness.step(1, term, RecordInSync{record});
    CHECK(of_kind<RecordInSyncReply>(output.messages).size() + (output.append ? 1 : 0) <= 1);
    std::size_t replies = of_kind<RecordInSyncReply>(output.messages).size();
    replies += of_kind<RecordInSyncReply>(witness.persist().messages).size();
    return replies;
  };
  CHECK(sent(3, 2) == 1);
  CHECK(witness.core.record()->version == 2);
  CHECK(sent(3, 2) == 1);  // again: answered again
  CHECK(sent(3, 1) == 0);  // overtaken
  CHECK(witness.core.record()->version == 2);
  CHECK(sent(4, 1) == 1);
  CHECK(witness.core.record()->term == 4);
  CHECK(sent(3, 9) == 0);  // of a leader of the past
  CHECK(witness.core.record()->term == 4);
}

TEST_CASE("a server is replaced") {
  using Type = MembershipChange::Type;
  Table table = in_sync();
  table.crash(2);
  table.pass(3s);
  REQUIRE(table.core(1).change_membership({Type::kRemove, 2}));
  table.settle_and_deliver(1);
  table.pass(500ms);
  CHECK(table.core(1).membership() == group_of({1}, kWitness));
  CHECK(table.core(1).commit() == table.core(1).log().last_index());
  table.add(3, {});
  REQUIRE(table.core(1).change_membership({Type::kAddLearner, 3}));
  table.settle_and_deliver(1);
  table.pass(1s);
  REQUIRE(table.core(1).change_membership({Type::kPromote, 3}));
  table.settle_and_deliver(1);
  table.pass(1s);
  CHECK(record(table).in_sync == Nodes{1, 3});
  table.crash(1);
  table.pass(6s);
  CHECK(table.leader() == 3);
}

TEST_CASE("a witness comes and goes") {
  using Type = MembershipChange::Type;
  Table table(group_of({1, 2}));
  table.elect(1);
  table.propose(1, "a");
  Options options;
  options.witness = true;
  table.add(kWitness, {}, options);
  REQUIRE(table.core(1).change_membership({Type::kAddWitness, kWitness}));
  table.settle_and_deliver(1);
  table.pass(1s);
  CHECK(record(table).in_sync == Nodes{1, 2});
  table.isolate(2);
  table.pass(2s);
  // Without the witness both would be needed.
  CHECK(table.core(1).change_membership({Type::kRemove, kWitness}).error().code() == Code::kUnavailable);
  table.heal();
  table.pass(1s);
  CHECK(table.core(1).change_membership({Type::kRemove, kWitness}));
  table.settle_and_deliver(1);
  CHECK(table.core(2).membership() == group_of({1, 2}));
  CHECK(table.core(1).commit() == table.core(1).log().last_index());
}

}  // namespace
}  // namespace kayak::store::raft::test
