// raft_replication_test.cc: entries from a leader to the others' disks, commits, snapshots, membership changes.
// Source of the cases: the dissertation, figures 3.6 and 3.7, 3.5, 4.1-4.2, 5.1-5.3, 10.2.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

using namespace std::chrono_literals;

const Membership kThree = group_of({1, 2, 3});

TEST_CASE("a follower takes what fits and says where it does not") {
  struct Row {
    const char* what;
    LogIndex prev_index;
    Term prev_term;
    std::vector<Term> terms;  // of the entries that follow
    LogIndex commit;
    bool rejected;
    LogIndex index, last, committed;
    LogIndex hint_index;
  };
  // Its log: 1 1 2 2 3.
  const Row rows[] = {
      {"at the end", 5, 3, {3}, 6, false, 6, 6, 6, 0},
      {"what is there", 3, 2, {2, 3}, 4, false, 5, 5, 4, 0},
      {"empty, in the middle", 3, 2, {}, 9, false, 3, 5, 3, 0},  // no commit beyond what is proved equal
      {"conflict", 2, 1, {4}, 0, false, 3, 3, 0, 0},
      {"conflict after a match", 3, 2, {2, 4, 4}, 5, false, 6, 6, 5, 0},
      {"too far", 8, 3, {4}, 0, true, 8, 5, 0, 5},
      {"another term", 5, 4, {4}, 0, true, 5, 5, 0, 5},
      {"another, older term", 5, 1, {4}, 0, true, 5, 5, 0, 2},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Single node(disk_of(kThree, {1, 1, 2, 2, 3}, {.term = 3}));
    AppendEntries request{row.prev_index, row.prev_term, {}, row.commit, 0};
    for (const Term term : row.terms) {
      request.entries.push_back({row.prev_index + request.entries.size() + 1, term, text("new"), nullptr});
    }
    std::vector<Message> sent = node.step(2, 4, std::move(request)).messages;
    for (Message& message : node.persist().messages) sent.push_back(std::move(message));
    const auto replies = of_kind<AppendEntriesReply>(sent);
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].second.rejected == row.rejected);
    CHECK(replies[0].second.index == row.index);
    CHECK(node.core.log().last_index() == row.last);
    CHECK(node.core.commit() == row.committed);
    if (row.rejected) CHECK(replies[0].second.hint_index == row.hint_index);
  }
}

TEST_CASE("entries that no leader would send are dropped") {
  struct Row {
    const char* what;
    LogIndex first;
    Term term;
  };
  for (const Row& row : {Row{"a gap", 3, 1}, Row{"terms that go back", 2, 0}, Row{"a term from the future", 2, 9}}) {
    CAPTURE(row.what);
    Single node(disk_of(kThree, {1}, {.term = 1}));
    const Output output = node.step(2, 1, AppendEntries{1, 1, {{row.first, row.term, text("x"), nullptr}}, 5, 0});
    CHECK(output.messages.empty());
    CHECK(node.core.log().last_index() == 1);
    CHECK(node.core.commit() == 0);
  }
}

TEST_CASE("a state that no leader would offer is not fetched") {
  struct Row {
    const char* what;
    SnapshotMeta snapshot;
    bool fetched;
  };
  const MembershipRef group = std::make_shared<const Membership>(kThree);
  for (const Row& row :
       {Row{"a sound one", {7, 10, 3, group, 10}, true}, Row{"of no members", {7, 10, 3, nullptr, 0}, false},
        Row{"of a later term", {7, 10, 4, group, 1}, false},
        Row{"whose members are later", {7, 10, 3, group, 11}, false}}) {
    CAPTURE(row.what);
    Single node(disk_of(kThree, {1}, {.term = 3}));
    const Output output = node.step(2, 3, InstallSnapshot{row.snapshot});
    CHECK(output.snapshot_fetch.has_value() == row.fetched);
    CHECK(node.core.refused() == (row.fetched ? 0 : 1));
  }
}

TEST_CASE("an acknowledgement leaves when the entries are on disk") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  Output output = node.step(2, 1, AppendEntries{1, 1, {{2, 1, text("a"), nullptr}}, 0, 0});
  CHECK(output.messages.empty());
  const std::uint64_t first = node.last_append;
  output = node.step(2, 1, AppendEntries{2, 1, {{3, 1, text("b"), nullptr}}, 3, 0});
  CHECK(output.committed.size() == 1);  // the others are committed elsewhere, but not on this disk
  node.core.appended(first);
  output = node.take();
  REQUIRE(of_kind<AppendEntriesReply>(output.messages).size() == 1);
  CHECK(of_kind<AppendEntriesReply>(output.messages)[0].second.index == 2);
  CHECK(output.committed.size() == 1);
  output = node.persist();
  CHECK(of_kind<AppendEntriesReply>(output.messages)[0].second.index == 3);
  CHECK(output.committed.size() == 1);
}

TEST_CASE("all the ways in which a log can differ from the leader's (figure 3.6)") {
  const std::vector<Term> leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<Term> others[] = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},
      {1, 1, 1, 4},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
      {1, 1, 1, 4, 4, 4, 4},
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
      {},
  };
  for (const std::vector<Term>& other : others) {
    CAPTURE(other);
    Table table({}, {});
    table.add(1, disk_of(kThree, leader, {.term = 8}));
    table.add(2, disk_of(kThree, other, {.term = 8}));
    table.add(3, disk_of(kThree, leader, {.term = 8}));
    std::size_t asked = 0;
    table.drops = [&](const Message& message) {
      asked += message.to == 2 && std::holds_alternative<AppendEntries>(message.body);
      return false;
    };
    table.elect(1);
    REQUIRE(table.core(1).role() == Role::kLeader);
    for (LogIndex index = 1; index <= 11; ++index) {
      CHECK(table.core(2).log().term_of(index) == table.core(1).log().term_of(index));
    }
    CHECK(table.core(2).log().last_index() == 11);
    CHECK(table.core(2).commit() == 11);
    CHECK(asked <= 6);  // by terms, not one by one
  }
}

TEST_CASE("an entry of an old term is not committed by counting (figure 3.7)") {
  const Membership five = group_of({1, 2, 3, 4, 5});
  Table table({}, {});
  // (c): 1 has the old entry 2 of term 2 and leads term 4; 5 has another entry 2, of term 3.
  table.add(1, disk_of(five, {1, 2}, {.term = 3}));
  table.add(2, disk_of(five, {1, 2}, {.term = 3}));
  table.add(3, disk_of(five, {1}, {.term = 3}));
  table.add(4, disk_of(five, {1}, {.term = 3}));
  table.add(5, disk_of(five, {1, 3}, {.term = 3}));
  table.isolate(5);
  // Its entry 2 gets through, its own first entry does not yet.
  table.drops = [&](const Message& message) {
    const auto* request = std::get_if<AppendEntries>(&message.body);
    const bool own = request && !request->entries.empty() && request->entries.back().term == 4;
    return own && table.core(message.to).log().last_index() >= 2;
  };
  table.crash(1);
  table.seat(1).options.max_append_bytes = 1;
  table.restart(1);
  table.elect(1);
  REQUIRE(table.core(1).role() == Role::kLeader);
  REQUIRE(table.core(1).term() == 4);
  table.pass(600ms);
  CHECK(table.core(3).log().term_of(2) == 2);  // on a majority: 1, 2, 3, 4
  CHECK(table.core(1).commit() == 0);
  // (d): 5 wins with the votes of 3 and 4 and overwrites it.
  table.crash(1);
  table.heal();
  table.pass(1s);
  table.elect(5);
  table.pass(500ms);
  REQUIRE(table.core(5).role() == Role::kLeader);
  CHECK(table.core(3).log().term_of(2) == 3);
  CHECK(table.core(3).commit() >= 2);
}

TEST_CASE("an entry of the own term commits all before it (figure 3.7 e)") {
  Table table({}, {});
  table.add(1, disk_of(kThree, {1, 2}, {.term = 3}));
  table.add(2, disk_of(kThree, {1}, {.term = 3}));
  table.add(3, disk_of(kThree, {1}, {.term = 3}));
  table.elect(1);
  CHECK(table.core(1).commit() == 3);
  CHECK(table.seat(2).applied == std::vector<std::string>{"of term 1", "of term 2"});
}

TEST_CASE("the leader sends before its own fsync and counts itself after") {
  Table table(kThree);
  table.elect(1);
  table.seat(1).disk_answers = false;
  table.isolate(3);
  table.propose(1, "a");
  CHECK(table.core(2).log().last_index() == 2);
  CHECK(table.core(1).commit() == 1);  // one disk of three
  table.persist(1);
  table.deliver();
  CHECK(table.core(1).commit() == 2);
  CHECK(table.seat(1).applied == std::vector<std::string>{"a"});
  CHECK(table.seat(2).applied == std::vector<std::string>{"a"});  // at once, not with the next heartbeat
}

TEST_CASE("entries are sent ahead, within a window") {
  Options options;
  options.window = {.messages = 3, .bytes = 1'000'000};
  Single node(disk_of(kThree, {1}, {.term = 1}), options);
  node.elect();
  node.persist();
  node.step(2, 2, AppendEntriesReply{.index = 2});
  std::size_t sent = 0;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(node.core.propose(text("x")));
    for (const auto& [message, request] : of_kind<AppendEntries>(node.take().messages)) sent += message.to == 2;
  }
  CHECK(sent == 3);
  // Answers make room, and what gathered goes out together.
  const Output output = node.step(2, 2, AppendEntriesReply{.index = 3});
  std::vector<AppendEntries> to_two;
  for (auto& [message, request] : of_kind<AppendEntries>(output.messages)) {
    if (message.to == 2) to_two.push_back(request);
  }
  REQUIRE(to_two.size() == 1);
  CHECK(to_two[0].prev_index == 5);
  CHECK(to_two[0].entries.size() == 2);
}

TEST_CASE("what was lost on the way is found out by heartbeats") {
  Table table(kThree);
  table.elect(1);
  table.pass(500ms);
  table.drops = [](const Message& message) {
    return message.to == 2 && std::holds_alternative<AppendEntries>(message.body);
  };
  for (int i = 0; i < 10; ++i) table.propose(1, "x");
  CHECK(table.core(2).log().last_index() == 1);
  table.drops = nullptr;
  table.pass(500ms);
  CHECK(table.core(2).log().last_index() == 11);
}

TEST_CASE("duplicates and old messages do no harm") {
  Single node(disk_of(kThree, {1}, {.term = 1}));
  const AppendEntries both{1, 1, {{2, 1, text("a"), nullptr}, {3, 1, text("b"), nullptr}}, 0, 0};
  const AppendEntries first{1, 1, {{2, 1, text("a"), nullptr}}, 0, 0};
  node.step(2, 1, both);
  node.step(2, 1, first);
  node.step(2, 1, AppendEntries{1, 1, {}, 0, 0});
  CHECK(node.core.log().last_index() == 3);
  node.step(2, 1, both);
  CHECK(node.core.log().last_index() == 3);
}

// Nobody asks without end.
void count_few(Table& table, std::size_t* messages) {
  table.drops = [messages](const Message&) {
    ++*messages;
    REQUIRE(*messages < 100);
    return false;
  };
}

TEST_CASE("who lacks what it had acknowledged finds that out, and is not asked in a loop") {
  Table table(kThree);
  table.elect(1);
  for (int i = 0; i < 8; ++i) table.propose(1, cat(i));
  table.pass(1s);
  REQUIRE(table.core(1).progress(3)->match() == 9);
  table.crash(3);
  SECTION("an older copy of its disk") { table.seat(3).disk.tail.resize(5); }
  SECTION("an empty one") { table.seat(3).disk = disk_of(kThree, {}, {}); }
  SECTION("the last entry alone, which was not committed yet") {
    table.restart(3);
    table.isolate(2);
    table.cut(3, 1);
    table.propose(1, "last");
    table.crash(3);
    table.heal();
    table.seat(3).disk.tail.resize(9);
    table.restart(3);
    table.pass(500ms);
    CHECK_FALSE(table.seat(3).lost);  // it was never acknowledged, so it comes again
    CHECK(table.core(3).log().last_index() == 10);
    table.crash(3);
    table.seat(3).disk.tail.resize(9);
  }
  const LogIndex before = table.seat(3).disk.tail.size();
  table.restart(3);
  std::size_t messages = 0;
  count_few(table, &messages);
  table.propose(1, "one more");  // at once, before any heartbeat
  table.pass(500ms);
  REQUIRE(table.seat(3).lost);
  CHECK(*table.seat(3).lost == table.core(1).progress(3)->match());
  CHECK(table.core(3).log().last_index() == before);
}

TEST_CASE("who lacks an entry that is not committed yet is asked for it with each heartbeat, until it is") {
  Table table(kThree);
  table.elect(1);
  table.pass(1s);
  table.isolate(2);
  table.seat(1).disk_answers = false;
  table.propose(1, "on the disk of 3 alone");
  REQUIRE(table.core(1).progress(3)->match() == 2);
  REQUIRE(table.core(1).commit() == 1);
  table.crash(3);
  table.seat(3).disk.tail.pop_back();
  table.restart(3);
  std::size_t messages = 0;
  count_few(table, &messages);
  table.propose(1, "more");
  table.pass(600ms);
  CHECK(messages > 4);
  CHECK_FALSE(table.seat(3).lost);  // no heartbeat has named it
  table.persist(1);
  table.deliver();
  table.pass(200ms);
  CHECK(table.seat(3).lost == LogIndex{2});
}

TEST_CASE("what was acknowledged before a restart, in another term or under a snapshot is not taken for lost") {
  Table table(kThree);
  table.elect(1);
  for (int i = 0; i < 3; ++i) table.propose(1, cat(i));
  SECTION("a restart with all of it") {
    table.crash(3);
    table.restart(3);
  }
  SECTION("entries of a leader that were cut off by the next one's") {
    const Membership five = group_of({1, 2, 3, 4, 5});
    table = Table(five);
    table.elect(1);
    table.pass(500ms);
    for (const NodeId id : {2, 4, 5}) table.isolate(id);
    table.propose(1, "on two of five disks");
    REQUIRE(table.core(1).progress(3)->match() == 2);
    table.isolate(1);
    table.isolate(3);
    for (const NodeId id : {2, 4, 5}) table.isolate(id, false);
    for (const NodeId id : {1, 3}) table.isolate(id);
    table.pass(5s);
    REQUIRE(table.leader() != 1);
    REQUIRE(table.leader() != 3);
    table.heal();
    table.pass(1s);
    REQUIRE(table.core(3).log().term_of(2) == table.core(table.leader()).term());
  }
  SECTION("a snapshot in place of them") {
    table.isolate(3);
    for (int i = 0; i < 3; ++i) table.propose(1, cat(i));
    table.core(1).compact(6);
    table.heal();
    table.pass(500ms);
    table.core(1).snapshot_ready(3, 77, 7);
    table.settle_and_deliver(1);
    table.core(3).snapshot_fetched(77, true);
    table.settle_and_deliver(3);
    table.crash(3);
    table.restart(3);
  }
  // Heartbeats of before come late, and twice.
  const Message old{table.leader(), 3, table.core(table.leader()).term(), Heartbeat{1, 0}};
  for (int i = 0; i < 2; ++i) table.core(3).step(old);
  table.settle_and_deliver(3);
  table.propose(table.leader(), "on");
  table.pass(1s);
  for (const NodeId id : {1, 2, 3}) CHECK_FALSE(table.seat(id).lost);
  CHECK(table.core(3).commit() == table.core(table.leader()).log().last_index());
}

TEST_CASE("a fetched state takes back nothing that was acknowledged to a newer leader meanwhile") {
  struct Row {
    const char* what;
    Term last_term;  // of the entry at the fetched state's index
    bool installs;
    LogIndex last;
  };
  for (const Row& row :
       {Row{"the log got all of it", 1, false, 16}, Row{"the log has another entry there", 2, true, 14}}) {
    CAPTURE(row.what);
    // 3 has 10 entries and is offered the state at 14 by 1, which 2 then succeeds.
    Single node(disk_of(kThree, std::vector<Term>(10, 1), {.term = 1, .vote = 0, .commit = 10}), {}, 3);
    const SnapshotMeta snapshot{77, 14, 1, std::make_shared<const Membership>(kThree), 0};
    REQUIRE(node.step(1, 1, InstallSnapshot{snapshot}).snapshot_fetch);
    AppendEntries request{10, 1, {}, 12, 0};
    for (LogIndex index = 11; index <= 13; ++index) request.entries.push_back({index, 1, text("old"), nullptr});
    request.entries.push_back({14, row.last_term, text("old"), nullptr});
    for (LogIndex index = 15; index <= 16; ++index) request.entries.push_back({index, 2, text("new"), nullptr});
    node.step(2, 2, std::move(request));
    REQUIRE(of_kind<AppendEntriesReply>(node.persist().messages)[0].second.index == 16);
    node.core.snapshot_fetched(77, true);
    const Output output = node.take();
    CHECK((output.append && output.append->install) == row.installs);
    CHECK(node.core.log().last_index() == row.last);
    CHECK(node.core.commit() == 14);
    if (!row.installs) {
      const auto replies = of_kind<AppendEntriesReply>(output.messages);
      REQUIRE(replies.size() == 1);
      CHECK(replies[0].first.to == 1);
      CHECK(replies[0].second.index == 14);
    }
  }
}

TEST_CASE("what a disk that hangs keeps back does not grow with the time, and says the newest") {
  Table table(kThree);
  table.elect(1);
  table.pass(1s);
  table.seat(3).disk_answers = false;
  for (int i = 0; i < 3; ++i) table.propose(1, cat(i));
  table.pass(600s);
  REQUIRE(table.core(1).role() == Role::kLeader);
  std::vector<Message> said;
  table.drops = [&](const Message& message) {
    if (message.from == 3) said.push_back(message);
    return false;
  };
  table.persist(3);
  table.deliver();
  const auto replies = of_kind<AppendEntriesReply>(said);
  CHECK(said.size() < 10);
  REQUIRE_FALSE(replies.empty());
  CHECK(replies.back().second.index == 4);
  CHECK(table.core(1).progress(3)->match() == 4);
}

TEST_CASE("of a vote, a record or a heartbeat that is asked for again, one answer waits for the disk") {
  struct Row {
    const char* what;
    bool witness;
    Body body;
  };
  const Row rows[] = {
      {"a vote", false, RequestVote{5, 1}},
      {"a heartbeat of a new term", false, Heartbeat{}},
      {"entries of a new term", false, AppendEntries{1, 1, {{2, 2, text("x"), nullptr}}, 0, 0}},
      {"a record", true, RecordInSync{{.term = 2, .version = 1, .index = 1, .index_term = 1, .in_sync = {1, 2}}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Options options;
    options.witness = row.witness;
    Single node(row.witness ? Restored{} : disk_of(kThree, {1}, {.term = 1}), options);
    std::uint64_t round = 0;
    for (int i = 0; i < 100; ++i) {
      Body body = row.body;
      if (auto* beat = std::get_if<Heartbeat>(&body)) beat->read_round = ++round;
      if (auto* request = std::get_if<AppendEntries>(&body)) request->read_round = ++round;
      CHECK(node.step(2, 2, std::move(body)).messages.empty());
    }
    const Output output = node.persist();
    REQUIRE(output.messages.size() == 1);
    if (const auto* reply = std::get_if<HeartbeatReply>(&output.messages[0].body)) CHECK(reply->read_round == 100);
    if (const auto* reply = std::get_if<AppendEntriesReply>(&output.messages[0].body)) {
      CHECK(reply->index == 2);
      CHECK(reply->read_round == 100);
    }
  }
}

TEST_CASE("what waits is bounded") {
  Options options;
  options.max_uncommitted_bytes = 1000;
  Single node(disk_of(kThree, {}, {}), options);
  CHECK(node.core.propose(text("x")).error().code() == Code::kUnavailable);
  node.elect();
  int accepted = 0;
  while (accepted < 100 && node.core.propose(text(std::string(100, 'x')))) ++accepted;
  CHECK(accepted < 12);
  CHECK(node.core.propose(text("x")).error().code() == Code::kTooManyRequests);
  node.take();
  node.persist();
  node.step(2, 1, AppendEntriesReply{.index = node.core.log().last_index()});
  CHECK(node.core.propose(text("x")));
}

TEST_CASE("a shell may take what is committed in pieces, and in between nothing is taken for applied") {
  Single node(disk_of(kThree, {}, {}));
  node.elect();
  for (int i = 0; i < 5; ++i) REQUIRE(node.core.propose(text(cat(i))));
  node.take();
  node.core.appended(node.last_append);
  node.core.step({2, 1, 1, AppendEntriesReply{.index = node.core.log().last_index()}});
  node.core.read(7);
  const Output none = node.core.take_output(0);
  CHECK(none.committed.empty());
  CHECK(node.core.commit() == 6);
  CHECK(node.core.more_committed());
  CHECK_FALSE(node.core.ready());  // its first entry is committed and not handed out yet
  std::string applied;
  std::vector<std::size_t> sizes;
  while (node.core.more_committed()) {
    const Output piece = node.core.take_output(4);
    sizes.push_back(piece.committed.size());
    for (const Entry& entry : piece.committed) applied += entry.payload ? words(entry) : "-";
  }
  CHECK(applied == "-01234");
  CHECK(sizes == std::vector<std::size_t>{4, 2});
  CHECK(node.core.ready());
}

TEST_CASE("entries that left memory come back through the shell") {
  Options options;
  options.memory_bytes = 0;
  Table table(kThree, options);
  table.elect(1);
  table.isolate(2);
  for (const char* words : {"a", "b", "c"}) table.propose(1, words);
  CHECK_FALSE(table.core(1).log().in_memory(3));
  table.heal();
  table.pass(500ms);
  REQUIRE(table.seat(1).fetches.size() == 1);
  const Fetch fetch = table.seat(1).fetches[0];
  CHECK(fetch.to == 2);
  CHECK(fetch.first == 2);
  std::vector<Entry>& disk = table.seat(1).disk.tail;
  table.core(1).fetched(2, fetch.first, {disk[1], disk[2]});
  table.settle_and_deliver(1);
  CHECK(table.core(2).log().last_index() == 3);
  REQUIRE(table.seat(1).fetches.size() == 2);
  CHECK(table.seat(1).fetches[1].first == 4);
  table.core(1).fetched(2, 4, {});  // unreadable: tried again
  table.settle_and_deliver(1);
  CHECK(table.seat(1).fetches.size() == 3);
}

// 1 leads, 2 lacks what 1 has compacted.
Table with_compacted_leader() {
  Table table(kThree);
  table.elect(1);
  table.isolate(2);
  for (const char* words : {"a", "b", "c"}) table.propose(1, words);
  table.core(1).compact(3);
  table.heal();
  table.pass(500ms);
  return table;
}

TEST_CASE("who lacks what is compacted gets a snapshot") {
  Table table = with_compacted_leader();
  REQUIRE(table.seat(1).snapshots_wanted == std::vector<NodeId>{2});
  CHECK(table.core(1).progress(2)->state() == Progress::State::kSnapshot);
  table.core(1).snapshot_ready(2, 77, 4);
  table.settle_and_deliver(1);
  REQUIRE(table.seat(2).snapshot_fetch);
  CHECK(table.seat(2).snapshot_fetch->from == 1);
  CHECK(table.seat(2).snapshot_fetch->snapshot.id == 77);
  table.seat(2).disk_answers = false;
  table.core(2).snapshot_fetched(77, true);
  table.settle_and_deliver(2);
  CHECK_FALSE(table.seat(2).installed);  // not on disk yet
  CHECK(table.core(1).progress(2)->match() < 4);
  REQUIRE(table.seat(2).writing.back().install);
  table.persist(2);
  table.deliver();
  REQUIRE(table.seat(2).installed);
  CHECK(table.seat(2).installed->index == 4);
  CHECK(table.core(1).progress(2)->state() == Progress::State::kReplicate);
  CHECK(table.seat(1).snapshots_released == std::vector<SnapshotId>{77});
  table.seat(2).disk_answers = true;
  table.propose(1, "d");
  CHECK(table.seat(2).applied.back() == "d");
}

TEST_CASE("a snapshot that cannot be made or fetched is tried again") {
  Table table = with_compacted_leader();
  SECTION("made") { table.core(1).snapshot_failed(2); }
  SECTION("fetched") {
    table.core(1).snapshot_ready(2, 77, 4);
    table.settle_and_deliver(1);
    table.core(2).snapshot_fetched(77, false);
    table.settle_and_deliver(2);
    CHECK(table.seat(1).snapshots_released == std::vector<SnapshotId>{77});
  }
  table.pass(500ms);
  CHECK(table.seat(1).snapshots_wanted.size() == 2);
}

TEST_CASE("who may have what is compacted is asked for it before a snapshot is made") {
  Table table(kThree);
  table.elect(1);
  table.pass(500ms);
  // The entries arrive, the answers do not.
  table.cut(2, 1);
  for (const char* words : {"a", "b", "c"}) table.propose(1, words);
  REQUIRE(table.core(2).log().last_index() == 4);
  table.core(1).compact(3);
  SECTION("a connection broke") { table.core(1).peer_unreachable(2); }
  SECTION("an old refusal came late") {
    table.core(1).step({2, 1, table.core(1).term(), AppendEntriesReply{.rejected = true, .index = 3}});
  }
  table.heal();
  table.pass(500ms);
  CHECK(table.seat(1).snapshots_wanted.empty());
  CHECK(table.core(1).progress(2)->match() == 4);
}

TEST_CASE("after a snapshot that failed the follower is asked first, once, and not at once") {
  Table table = with_compacted_leader();
  table.isolate(2);
  table.core(1).snapshot_failed(2);
  CHECK(of_kind<AppendEntries>(table.core(1).take_output().messages).empty());
  table.core(1).step({2, 1, table.core(1).term(), HeartbeatReply{}});
  const Output output = table.core(1).take_output();
  CHECK(output.snapshots_wanted.empty());
  std::vector<LogIndex> asked;
  for (const auto& [message, request] : of_kind<AppendEntries>(output.messages)) asked.push_back(request.prev_index);
  CHECK(asked == std::vector<LogIndex>{3});
  table.core(1).snapshot_failed(2);  // nobody asked
  CHECK(of_kind<AppendEntries>(table.core(1).take_output().messages).empty());
  // Another leader's snapshot has reached it meanwhile.
  table.core(1).step({2, 1, table.core(1).term(), AppendEntriesReply{.index = 3}});
  table.settle(1);
  CHECK(table.seat(1).snapshots_wanted.size() == 1);
  CHECK(table.core(1).progress(2)->state() == Progress::State::kReplicate);
}

TEST_CASE("a snapshot is released when it is of no more use") {
  Table table = with_compacted_leader();
  SECTION("the follower is gone") {
    table.core(1).snapshot_ready(2, 77, 4);
    table.settle_and_deliver(1);
    table.isolate(2);
    table.pass(12s);
  }
  SECTION("leadership is gone") {
    table.core(1).snapshot_ready(2, 77, 4);
    table.settle_and_deliver(1);
    table.isolate(1);
    table.pass(2s);
  }
  SECTION("nobody asked") { table.core(1).snapshot_ready(3, 77, 4); }
  table.settle(1);
  CHECK(table.seat(1).snapshots_released == std::vector<SnapshotId>{77});
}

TEST_CASE("a snapshot does not take back what is there") {
  struct Row {
    const char* what;
    LogIndex index;
    Term term;
    bool fetched;
    LogIndex acknowledged, last;
  };
  for (const Row& row : {Row{"older than the commit", 2, 1, false, 3, 5}, Row{"in the log", 4, 1, false, 4, 5},
                         Row{"not in the log", 4, 2, true, 0, 5}, Row{"beyond the log", 9, 2, true, 0, 5}}) {
    CAPTURE(row.what);
    Restored disk = disk_of(kThree, {1, 1, 1, 1, 1}, {.term = 2, .vote = 0, .commit = 3});
    Single node(std::move(disk));
    SnapshotMeta snapshot{77, row.index, row.term, std::make_shared<const Membership>(kThree), 0};
    std::vector<Message> sent;
    const Output output = node.step(2, 2, InstallSnapshot{snapshot});
    CHECK(output.snapshot_fetch.has_value() == row.fetched);
    CHECK(node.core.log().last_index() == row.last);
    const auto replies = of_kind<AppendEntriesReply>(output.messages);
    REQUIRE(replies.size() == (row.fetched ? 0 : 1));
    if (!row.fetched) CHECK(replies[0].second.index == row.acknowledged);
    CHECK_FALSE(node.step(2, 2, InstallSnapshot{snapshot}).snapshot_fetch);  // one fetch is enough
  }
}

TEST_CASE("entries that come while a snapshot is fetched win") {
  Single node(disk_of(kThree, {1, 1}, {.term = 1}));
  node.step(2, 1, InstallSnapshot{{77, 4, 1, std::make_shared<const Membership>(kThree), 0}});
  node.step(2, 1, AppendEntries{2, 1, {{3, 1, text("a"), nullptr}, {4, 1, text("b"), nullptr}}, 4, 0});
  node.persist();
  node.core.snapshot_fetched(77, true);
  const Output output = node.take();
  CHECK_FALSE(output.append);
  CHECK(node.core.log().in_memory(4));
}

TEST_CASE("one membership change at a time, and after an entry of the own term") {
  using Type = MembershipChange::Type;
  Single node(disk_of(kThree, {1}, {.term = 1}));
  CHECK(node.core.change_membership({Type::kRemove, 3}).error().code() == Code::kUnavailable);
  node.elect();
  CHECK(node.core.change_membership({Type::kAddLearner, 4}).error().code() == Code::kConflict);
  node.persist();
  node.step(2, 2, AppendEntriesReply{.index = 2});
  CHECK(node.core.change_membership({Type::kRemove, 1}).error().code() == Code::kInvalid);  // itself
  const Result<LogIndex> first = node.core.change_membership({Type::kAddLearner, 4});
  REQUIRE(first);
  CHECK(node.core.membership().is_learner(4));  // in force before it is committed
  CHECK(node.core.change_membership({Type::kAddLearner, 5}).error().code() == Code::kConflict);
  node.take();
  node.persist();
  node.step(2, 2, AppendEntriesReply{.index = *first});
  CHECK(node.core.change_membership({Type::kAddLearner, 5}));
}

TEST_CASE("a learner is promoted when it has caught up, and counts from then on") {
  using Type = MembershipChange::Type;
  Table table(kThree);
  table.elect(1);
  table.propose(1, "a");
  table.add(4, {});
  REQUIRE(table.core(1).change_membership({Type::kAddLearner, 4}));
  table.settle_and_deliver(1);
  table.pass(300ms);
  CHECK(table.seat(4).applied == std::vector<std::string>{"a"});
  table.isolate(4);
  for (int i = 0; i < 300; ++i) table.propose(1, "x");
  CHECK(table.core(1).change_membership({Type::kPromote, 4}).error().code() == Code::kUnavailable);
  table.heal();
  table.pass(1s);
  REQUIRE(table.core(1).change_membership({Type::kPromote, 4}));
  table.settle_and_deliver(1);
  CHECK(table.core(4).membership().voters == std::vector<NodeId>{1, 2, 3, 4});
  table.isolate(2);
  table.isolate(3);
  table.propose(1, "y");
  table.pass(500ms);
  CHECK(table.core(1).commit() < table.core(1).log().last_index());  // two of four
  table.heal();
  table.pass(500ms);
  REQUIRE(table.core(1).change_membership({Type::kRemove, 3}));
  table.settle_and_deliver(1);
  CHECK(table.core(4).membership().voters == std::vector<NodeId>{1, 2, 4});
  table.isolate(2);
  const LogIndex index = table.propose(1, "z");
  CHECK(table.core(1).commit() == index);  // two of three
}

TEST_CASE("a change that would leave too few to elect a leader is refused") {
  using Type = MembershipChange::Type;
  Table table(kThree);
  table.elect(1);
  table.pass(500ms);
  CHECK_FALSE(table.core(1).hindrance({Type::kRemove, 2}));
  table.isolate(3);
  table.pass(1500ms);
  REQUIRE(table.core(1).role() == Role::kLeader);
  REQUIRE(table.core(1).hindrance({Type::kRemove, 2}));
  CHECK(table.core(1).hindrance({Type::kRemove, 2})->members == std::vector<NodeId>{3});
  CHECK(table.core(1).change_membership({Type::kRemove, 2}).error().code() == Code::kUnavailable);
  CHECK(table.core(1).change_membership({Type::kRemove, 3}));
}

TEST_CASE("a leader knows for how long a member has lacked something") {
  Table table(kThree);
  table.elect(1);
  const auto behind = [&table](NodeId node) {
    return table.core(1).progress(node)->behind(table.core(1).commit(), table.now(1));
  };
  table.pass(500ms);
  for (const NodeId node : {2, 3}) {
    CHECK(behind(node) == 0ms);
    CHECK(table.core(1).progress(node)->ever_level());
  }
  table.seat(3).disk_answers = false;  // a full disk: it answers heartbeats, and takes nothing
  table.propose(1, "a");
  table.pass(5s);
  CHECK(behind(2) == 0ms);
  CHECK(behind(3) >= 5s);
  CHECK(behind(3) <= 6s);
  SECTION("also when nothing is written any more") {
    table.pass(20s);
    CHECK(behind(3) >= 25s);
    table.seat(3).disk_answers = true;
    table.persist(3);
    table.pass(500ms);
    CHECK(behind(3) == 0ms);
  }
  SECTION("one that follows at a distance is as far behind as that") {
    for (int i = 0; i < 10; ++i) {
      table.propose(1, "b");
      table.pass(500ms);
      table.persist(3);  // what came before
      table.propose(1, "c");
      table.pass(500ms);
      CHECK(behind(3) > 0ms);
      CHECK(behind(3) <= 1500ms);
    }
  }
  SECTION("a new leader does not know yet") {
    table.seat(3).disk_answers = true;
    table.persist(3);
    table.isolate(1);
    table.pass(5s);
    const NodeId leader = table.leader();
    REQUIRE(leader != 1);
    CHECK(table.core(leader).progress(1)->behind(table.core(leader).commit(), table.now(leader)) > 0ms);
    CHECK_FALSE(table.core(leader).progress(1)->ever_level());
  }
}

// Being heard before the election says nothing: the entry might never be committed, and no other change be made.
TEST_CASE("right after an election only who was heard since counts as answering") {
  using Type = MembershipChange::Type;
  Table table(kThree);
  table.isolate(3);
  table.elect(1);
  REQUIRE(table.core(1).ready());
  CHECK(table.core(1).change_membership({Type::kRemove, 2}).error().code() == Code::kUnavailable);
  table.heal();
  table.pass(500ms);
  CHECK(table.core(1).change_membership({Type::kRemove, 2}));
}

TEST_CASE("a new leader is not deposed before anyone could answer") {
  Table table(kThree);
  table.elect(1);
  table.isolate(2);
  table.isolate(3);
  table.pass(900ms);
  CHECK(table.core(1).role() == Role::kLeader);
  table.pass(300ms);
  CHECK(table.core(1).role() != Role::kLeader);
}

}  // namespace
}  // namespace kayak::store::raft::test
