// raft_election_test.cc: elections, pre-vote, check-quorum, transfer, and what must be on disk before it is said.
// Source of the cases: the dissertation, 3.4, 3.6, 3.10, 4.2.3, 6.2, 9.6.
#include <catch2/catch.hpp>

#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

using namespace std::chrono_literals;

const Membership kThree = group_of({1, 2, 3});

TEST_CASE("votes go by log, term and earlier votes") {
  struct Row {
    const char* what;
    std::vector<Term> log;
    HardState hard;
    Term term;
    LogIndex last_index;
    Term last_term;
    std::optional<bool> granted;  // none: no answer
  };
  const Row rows[] = {
      {"same log", {1, 2}, {2, 0, 0}, 3, 2, 2, true},
      {"longer", {1, 2}, {2, 0, 0}, 3, 3, 2, true},
      {"shorter", {1, 2}, {2, 0, 0}, 3, 1, 2, false},
      {"shorter, newer", {1, 1, 1}, {2, 0, 0}, 3, 2, 2, true},
      {"longer, older", {1, 2}, {2, 0, 0}, 3, 9, 1, false},
      {"empty", {}, {0, 0, 0}, 1, 0, 0, true},
      {"voted for another", {1, 2}, {2, 3, 0}, 2, 9, 2, false},
      {"voted for it", {1, 2}, {2, 2, 0}, 2, 2, 2, true},
      {"an old term", {1, 2}, {4, 0, 0}, 3, 9, 3, false},
      {"vote of an old term counts no more", {1, 2}, {2, 3, 0}, 3, 2, 2, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Single node(disk_of(kThree, row.log, row.hard));
    std::vector<Message> sent = node.step(2, row.term, RequestVote{row.last_index, row.last_term}).messages;
    for (Message& message : node.persist().messages) sent.push_back(std::move(message));
    const auto replies = of_kind<RequestVoteReply>(sent);
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].second.granted == *row.granted);
    CHECK(replies[0].first.term == std::max(row.term, row.hard.term));
  }
}

TEST_CASE("a vote leaves when it is on disk") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  const Output output = node.step(2, 2, RequestVote{1, 1});
  CHECK(output.messages.empty());
  REQUIRE(output.append);
  CHECK(output.append->hard == HardState{2, 2, 0});
  CHECK(of_kind<RequestVoteReply>(node.persist().messages).size() == 1);
}

TEST_CASE("a candidate asks, and counts itself, when its vote is on disk") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  Output output = node.pass(3s);
  CHECK(node.core.role() == Role::kPreCandidate);
  CHECK(of_kind<RequestVote>(output.messages).size() == 2);
  CHECK_FALSE(output.append);  // a question costs no term
  CHECK(of_kind<RequestVote>(output.messages)[0].first.term == 2);
  output = node.step(2, 2, RequestVoteReply{true, true});
  CHECK(node.core.role() == Role::kCandidate);
  CHECK(output.messages.empty());
  CHECK(node.step(3, 2, RequestVoteReply{false, true}).messages.empty());
  CHECK(node.core.role() == Role::kCandidate);  // one of two, as its own is not on disk
  output = node.persist();
  CHECK(node.core.role() == Role::kLeader);
}

TEST_CASE("a refused pre-vote changes nothing") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  node.pass(3s);
  node.step(2, 1, RequestVoteReply{true, false});
  CHECK(node.core.role() == Role::kPreCandidate);
  node.step(3, 1, RequestVoteReply{true, false});
  CHECK(node.core.role() == Role::kFollower);
  CHECK(node.core.term() == 1);
}

TEST_CASE("a split vote costs less than another timeout") {
  // Also the third of three is alive in the second row, and all stand at the same time.
  for (const bool all_alive : {false, true}) {
    CAPTURE(all_alive);
    Table table(kThree);
    table.elect(1);
    table.pass(3s);
    const Term term = table.core(1).term();
    table.isolate(1);
    table.pass(950ms);  // who heard it last listens to the others from now on
    table.pass(60ms);
    std::vector<NodeId> rivals = {2, 3};
    if (all_alive) {
      table.heal();
      rivals.push_back(1);
    }
    for (const NodeId id : rivals) table.campaign(id);
    table.deliver();
    for (const NodeId id : rivals) {
      CAPTURE(id);
      REQUIRE(table.core(id).role() == Role::kCandidate);
      REQUIRE(table.core(id).term() == term + 1);
    }
    table.pass(600ms);
    CHECK(table.leader() != kNobody);
    CHECK(table.core(table.leader()).term() > term + 1);
  }
}

TEST_CASE("who hears a leader does not listen to candidates") {
  struct Row {
    const char* what;
    Duration silence;
    RequestVote request;
    bool answered;
  };
  for (const Row& row : {Row{"a moment ago", 10ms, {9, 9, false, false}, false},
                         Row{"pre-vote, a moment ago", 10ms, {9, 9, true, false}, false},
                         Row{"the leader wants it", 10ms, {9, 9, false, true}, true},
                         Row{"long silence", 1001ms, {9, 9, true, false}, true}}) {
    CAPTURE(row.what);
    Single node(disk_of(kThree, {1}, {.term = 1}));
    node.step(3, 1, Heartbeat{});
    node.pass(row.silence);
    std::vector<Message> sent = node.step(2, 2, row.request).messages;
    for (Message& message : node.persist().messages) sent.push_back(std::move(message));
    CHECK(of_kind<RequestVoteReply>(sent).size() == (row.answered ? 1 : 0));
    CHECK(node.core.term() == (row.answered && !row.request.pre_vote ? 2 : 1));
  }
}

TEST_CASE("who was cut off comes back without a new term") {
  Table table(kThree);
  table.elect(1);
  const Term term = table.core(1).term();
  table.isolate(3);
  table.pass(20s);
  CHECK(table.core(3).term() == term);
  CHECK(table.core(1).role() == Role::kLeader);
  table.heal();
  table.pass(2s);
  CHECK(table.core(1).role() == Role::kLeader);
  CHECK(table.core(1).term() == term);
  CHECK(table.core(3).leader() == 1);
}

TEST_CASE("a leader without a majority steps down") {
  for (const bool one_answers : {false, true}) {
    CAPTURE(one_answers);
    Table table(kThree);
    table.elect(1);
    table.pass(1s);
    table.isolate(3);
    if (!one_answers) table.isolate(2);
    table.pass(1500ms);
    CHECK((table.core(1).role() == Role::kLeader) == one_answers);
  }
}

TEST_CASE("a leader of the past learns of the new term from any answer") {
  Table table(kThree);
  table.elect(1);
  table.isolate(1);
  CHECK(table.core(1).role() == Role::kLeader);
  table.drops = [](const Message& message) { return message.to == 1 || message.from == 1; };
  table.pass(5s);
  const NodeId leader = table.leader();
  REQUIRE(leader != kNobody);
  REQUIRE(leader != 1);
  table.drops = nullptr;
  table.heal();
  table.pass(500ms);
  CHECK(table.core(1).term() == table.core(leader).term());
  CHECK(table.core(1).leader() == leader);
  CHECK(table.leader() == leader);
}

TEST_CASE("a member in a higher term does not stay outside") {
  // It campaigned in earnest and lost: the group follows its term once, instead of ignoring it for ever.
  Table table(kThree);
  table.elect(1);
  table.crash(3);
  table.seat(3).disk.hard.term = 7;
  table.restart(3);
  table.pass(6s);
  NodeId leader = table.core(3).leader();
  CHECK(leader != kNobody);
  CHECK(table.core(3).term() >= 7);
  CHECK(table.core(1).leader() == leader);
}

TEST_CASE("a group of one elects itself at once, and still by way of the disk") {
  Single node(disk_of(group_of({1}), {1, 1}, {.term = 1}));
  CHECK(node.core.deadline() == node.now);
  const Output campaign = node.pass(0s);
  REQUIRE(campaign.append);
  CHECK(node.core.role() == Role::kCandidate);
  const Output elected = node.persist();
  CHECK(node.core.role() == Role::kLeader);
  REQUIRE(elected.append);
  CHECK(elected.append->entries.size() == 1);
  CHECK(elected.committed.empty());
  CHECK_FALSE(node.core.ready());
  CHECK(node.persist().committed.size() == 3);
  CHECK(node.core.ready());
  CHECK(node.core.deadline().nanoseconds == INT64_MAX);  // nothing to do until somebody writes
}

TEST_CASE("who may not campaign does not") {
  Membership learning = group_of({2, 3});
  learning.learners = {1};
  Options witness;
  witness.witness = true;
  struct Row {
    const char* what;
    Membership group;
    Options options;
  };
  for (const Row& row : {Row{"a learner", learning, {}}, Row{"not in the group", group_of({2, 3}), {}},
                         Row{"no group yet", {}, {}}, Row{"a witness", {}, witness}}) {
    CAPTURE(row.what);
    Single node(disk_of(row.group, {}, {}), row.options);
    CHECK(node.pass(60s).messages.empty());
    CHECK(node.core.role() == Role::kFollower);
    CHECK(node.core.deadline().nanoseconds == INT64_MAX);
  }
}

TEST_CASE("who was removed while it was away asks nobody for a vote any more") {
  Single node(disk_of(group_of({1, 2, 3}), {1}, {.term = 1}));
  REQUIRE(of_kind<RequestVote>(node.pass(3s).messages).size() == 2);  // before it knows
  node.core.stand_aside();
  CHECK(node.core.deadline() == Instant{INT64_MAX});
  Output output = node.pass(60s);
  CHECK(output.messages.empty());
  CHECK_FALSE(output.append);
  CHECK(node.core.stands_aside());
  SECTION("answers to what it had asked make it no candidate") {
    for (const NodeId other : {2, 3}) {
      output = node.step(other, 2, RequestVoteReply{.pre_vote = true, .granted = true});
      CHECK_FALSE(output.append);
    }
    CHECK(node.core.term() == 1);
  }
  SECTION("a leader that speaks to it says otherwise") {
    node.step(2, 5, Heartbeat{});
    CHECK_FALSE(node.core.stands_aside());
    node.persist();
    CHECK(of_kind<RequestVote>(node.pass(3s).messages).size() == 2);
  }
}

TEST_CASE("a leader does not stand aside: a majority says that it is one") {
  Single node(disk_of(group_of({1, 2, 3}), {1}, {.term = 1}));
  node.elect();
  node.core.stand_aside();
  CHECK(node.core.role() == Role::kLeader);
  CHECK_FALSE(node.core.stands_aside());
}

TEST_CASE("election timeouts are random, and follow a slow disk") {
  struct Row {
    Duration fsync, shortest;
  };
  for (const Row& row : {Row{1ms, 1s}, Row{400ms, 1600ms}, Row{60s, 10s}}) {
    CAPTURE(row.fsync.count());
    Single node(disk_of(kThree, {}, {}));
    node.core.fsync_took(row.fsync);
    CHECK(node.core.election_timeout() == row.shortest);
    Duration least = Duration::max(), most{};
    for (int i = 0; i < 100; ++i) {
      node.step(2, 1, Heartbeat{});
      const Duration wait = node.core.deadline() - node.now;
      least = std::min(least, wait);
      most = std::max(most, wait);
    }
    CHECK(least >= row.shortest);
    CHECK(least < row.shortest * 5 / 4);
    CHECK(most < row.shortest * 2);
    CHECK(most > row.shortest * 7 / 4);
  }
}

TEST_CASE("a slow fsync is forgotten by and by, also where nothing is written") {
  Options witness;
  witness.witness = true;
  for (const Options& options : {Options(), witness}) {
    CAPTURE(options.witness);
    Single node(disk_of(kThree, {}, {}), options);
    node.core.fsync_took(60s);
    struct Row {
      Duration later, timeout;
    };
    for (const Row& row :
         {Row{9s, 10s}, Row{1s, 5s}, Row{10s, 2500ms}, Row{10s, 1250ms}, Row{10s, 1s}, Row{300s, 1s}}) {
      node.pass(row.later);
      node.step(2, 1, Heartbeat{});
      CHECK(node.core.election_timeout() == row.timeout);
      node.core.fsync_took(10ms);  // a quick one neither shortens that nor keeps it
      CHECK(node.core.election_timeout() == row.timeout);
    }
  }
}

TEST_CASE("a member with a slow disk does not keep the others from a leader") {
  for (const bool lease_reads : {false, true}) {
    CAPTURE(lease_reads);
    Options options;
    options.lease_reads = lease_reads;
    Table table(kThree, options);
    table.elect(1);
    table.pass(3s);
    table.core(3).fsync_took(3s);
    table.pass(1s);
    table.isolate(1);
    table.pass(2300ms);  // two timeouts at most until 2 asks, and the ways of the messages
    CHECK(table.core(2).role() == Role::kLeader);
    CHECK(table.core(3).leader() == 2);
  }
}

TEST_CASE("a member with a slow disk holds back its vote as long as the others") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  node.step(2, 1, Heartbeat{});
  node.core.fsync_took(3s);
  node.pass(990ms);
  CHECK(node.step(3, 2, RequestVote{1, 1, true, false}).messages.empty());
  node.pass(20ms);
  const auto replies = of_kind<RequestVoteReply>(node.step(3, 2, RequestVote{1, 1, true, false}).messages);
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].second.granted);
}

TEST_CASE("leadership moves when the heir has everything") {
  Table table(kThree);
  table.elect(1);
  table.isolate(2);
  table.propose(1, "a");
  REQUIRE(table.core(1).transfer_leadership(2));
  table.settle_and_deliver(1);
  CHECK(table.core(1).role() == Role::kLeader);  // 2 lacks "a"
  CHECK(table.core(1).propose(text("b")).error().code() == Code::kUnavailable);
  table.heal();
  table.pass(500ms);
  CHECK(table.core(2).role() == Role::kLeader);
  CHECK(table.core(1).leader() == 2);
  CHECK(table.seat(2).applied == std::vector<std::string>{"a"});
}

TEST_CASE("a transfer that does not come about is given up") {
  Table table(kThree);
  table.elect(1);
  table.isolate(2);
  REQUIRE(table.core(1).transfer_leadership(2));
  table.pass(1200ms);
  CHECK(table.core(1).role() == Role::kLeader);
  CHECK_FALSE(table.core(1).transferring());
  CHECK(table.core(1).propose(text("b")));
}

TEST_CASE("leadership goes to no learner, witness or stranger") {
  Table table(group_of({1, 2}, 9));
  table.elect(1);
  for (const NodeId to : {NodeId{9}, NodeId{5}}) {
    CHECK(table.core(1).transfer_leadership(to).error().code() == Code::kInvalid);
  }
  CHECK(table.core(2).transfer_leadership(1).error().code() == Code::kUnavailable);
}

TEST_CASE("a leader whose disk hangs makes room for another") {
  Table table(kThree);
  table.elect(1);
  table.pass(1s);
  table.seat(1).disk_answers = false;
  table.propose(1, "a");
  CHECK(table.seat(1).applied.empty());
  CHECK(table.core(1).commit() == 2);  // the two others have it
  table.pass(6s);
  CHECK(table.core(1).role() == Role::kFollower);
  CHECK(table.core(1).leader() != kNobody);
}

TEST_CASE("messages that are nobody's or nonsense change nothing") {
  Single node(disk_of(kThree, {1, 1}, {.term = 1}));
  const std::pair<Message, const char*> rows[] = {
      {{2, 9, 5, Heartbeat{}}, "for another"},
      {{1, 1, 5, Heartbeat{}}, "from itself"},
      {{kNobody, 1, 5, Heartbeat{}}, "from nobody"},
      {{2, 1, 1, AppendEntriesReply{.index = 1}}, "an answer without a question"},
      {{2, 1, 1, RequestVoteReply{false, true}}, "a vote nobody asked for"},
      {{2, 1, 1, ReadIndexReply{1, 1}}, "a read nobody asked for"},
      {{2, 1, 1, TimeoutNow{}}, "from one who does not lead"},
      {{2, 1, 1, RecordInSync{{.term = 1, .version = 1}}}, "for a witness"},
      {{2, 1, UINT64_MAX, HeartbeatReply{}}, "from where terms end"},
      {{2, 1, UINT64_MAX, RequestVote{9, 9, false, true}}, "a vote where terms end"},
      {{2, 1, Term{1} << 33, Heartbeat{}}, "from a term that nobody lives to see"},
  };
  for (const auto& [message, what] : rows) {
    CAPTURE(what);
    node.core.step(message);
    CHECK(node.take().messages.empty());
    CHECK(node.core.term() == 1);
    CHECK(node.core.role() == Role::kFollower);
  }
}

TEST_CASE("another one that says it leads this term is not listened to by who does") {
  const auto group = std::make_shared<const Membership>(kThree);
  const Body rows[] = {Heartbeat{.commit = 9}, AppendEntries{2, 2, {{3, 2, text("x"), nullptr}}, 3, 0},
                       AppendEntries{1, 1, {{2, 1, text("x"), nullptr}}, 2, 0}, InstallSnapshot{{77, 9, 2, group, 0}}};
  for (const Body& body : rows) {
    CAPTURE(body.index());
    Single node(disk_of(kThree, {1}, {.term = 1}));
    node.elect();
    node.persist();
    REQUIRE(node.core.refused() == 0);
    const Output output = node.step(2, 2, body);
    CHECK(node.core.refused() == 1);
    CHECK(node.core.role() == Role::kLeader);
    CHECK(node.core.log().last_index() == 2);
    CHECK(of_kind<AppendEntriesReply>(output.messages).empty());
    CHECK(of_kind<HeartbeatReply>(output.messages).empty());
  }
}

}  // namespace
}  // namespace kayak::store::raft::test
