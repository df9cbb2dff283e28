// raft_log_test.cc: RaftLog, Progress and memberships as values.
#include <catch2/catch.hpp>

#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

RaftLog log_with(const std::vector<Term>& terms) {
  const Term last = terms.empty() ? 0 : terms.back();
  return RaftLog(disk_of(group_of({1, 2, 3}), terms, {.term = last}));
}

TEST_CASE("raft log: terms, and whose log is up to date") {
  const RaftLog log = log_with({1, 1, 2, 4, 4});
  const std::optional<Term> expected[] = {0, 1, 1, 2, 4, 4, std::nullopt};
  for (LogIndex index = 0; index < 7; ++index) CHECK(log.term_of(index) == expected[index]);

  struct Row {
    LogIndex index;
    Term term;
    bool up_to_date;
  };
  for (const Row& row :
       {Row{5, 4, true}, Row{6, 4, true}, Row{4, 4, false}, Row{1, 5, true}, Row{9, 3, false}, Row{0, 0, false}}) {
    CAPTURE(row.index, row.term);
    CHECK(log.is_up_to_date(row.index, row.term) == row.up_to_date);
  }
}

TEST_CASE("raft log: where a log with other terms may still agree") {
  const RaftLog log = log_with({1, 1, 2, 4, 4, 6});
  struct Row {
    LogIndex index;
    Term term;
    LogIndex last;
  };
  for (const Row& row : {Row{6, 6, 6}, Row{9, 9, 6}, Row{6, 5, 5}, Row{5, 3, 3}, Row{4, 4, 4}, Row{6, 1, 2},
                         Row{3, 0, 0}, Row{1, 7, 1}}) {
    CAPTURE(row.index, row.term);
    CHECK(log.last_with_term_up_to(row.index, row.term) == row.last);
  }
}

TEST_CASE("raft log: compaction keeps terms and the membership in force") {
  RaftLog log = log_with({1, 1, 2, 4, 4, 6});
  log.append({7, 6, nullptr, std::make_shared<const Membership>(group_of({1, 2}))});
  log.compact(4);
  CHECK(log.compacted() == 4);
  CHECK(log.term_of(3) == std::nullopt);
  CHECK(log.term_of(4) == 4);
  CHECK(log.term_of(5) == 4);
  CHECK(log.term_of(7) == 6);
  CHECK(log.membership_at(6).membership->voters.size() == 3);
  log.compact(7);
  CHECK(log.membership()->voters == std::vector<NodeId>{1, 2});
  CHECK(log.membership_index() == 7);
  CHECK(log.last_term() == 6);
  CHECK_FALSE(log.in_memory(7));
  log.append({8, 9, nullptr, nullptr});
  CHECK(log.term_of(8) == 9);
  CHECK(log.term_of(7) == 6);
}

TEST_CASE("raft log: a membership goes with its entry") {
  RaftLog log = log_with({1});
  log.append({2, 1, nullptr, std::make_shared<const Membership>(group_of({1, 2, 3, 4}))});
  CHECK(log.membership()->voters.size() == 4);
  log.truncate(1);
  CHECK(log.membership()->voters.size() == 3);
  CHECK(log.membership_index() == 0);
}

TEST_CASE("raft log: an entry that comes back is not the one on its way to the disk") {
  RaftLog log = log_with({});
  log.append({1, 1, text("a"), nullptr});
  log.append({2, 1, text("b"), nullptr});
  CHECK(log.take_unwritten(1).size() == 2);
  log.truncate(1);
  log.append({2, 2, text("other"), nullptr});
  CHECK(log.take_unwritten(2).size() == 1);
  log.truncate(1);
  log.append({2, 3, text("b"), nullptr});
  CHECK(log.unwritten_first() == 2);
  CHECK(log.take_unwritten(3).size() == 1);
  CHECK(log.stable() == 0);
  log.written(1);
  CHECK(log.stable() == 1);
  log.written(2);
  CHECK(log.stable() == 1);
  log.written(3);
  CHECK(log.stable() == 2);
}

TEST_CASE("raft log: memory is bounded by what is applied and on disk") {
  RaftLog log = log_with({});
  for (LogIndex index = 1; index <= 10; ++index) log.append({index, 1, text(std::string(100, 'x')), nullptr});
  log.trim(10, 0);
  CHECK(log.in_memory(1));  // nothing is on disk
  log.take_unwritten(1);
  log.written(1);
  log.trim(5, 0);
  CHECK_FALSE(log.in_memory(5));
  CHECK(log.in_memory(6));
  CHECK(log.slice(6, 10, 300).size() == 2);
  CHECK(log.slice(6, 10, 1).size() == 1);
}

TEST_CASE("raft log: a snapshot counts when it is on disk") {
  RaftLog log = log_with({1, 1, 1});
  log.reset({.id = 9,
             .index = 40,
             .term = 5,
             .membership = std::make_shared<const Membership>(group_of({4})),
             .membership_index = 33});
  CHECK(log.last_index() == 40);
  CHECK(log.last_term() == 5);
  CHECK(log.stable() == 0);
  CHECK(log.membership()->voters == std::vector<NodeId>{4});
  log.append({41, 5, text("next"), nullptr});
  CHECK(log.take_unwritten(1).front().index == 41);
  log.written(1);
  CHECK(log.stable() == 41);
}

TEST_CASE("progress: states, window, old answers") {
  const Window window{.messages = 2, .bytes = 1000};
  Progress progress(11, Instant{0});
  CHECK(progress.state() == Progress::State::kProbe);
  CHECK(progress.may_send(window));
  progress.sent(12, 10);
  CHECK_FALSE(progress.may_send(window));  // one at a time
  CHECK(progress.next() == 11);
  CHECK_FALSE(progress.rejected(7, 3, 0));  // an answer to an older question
  CHECK(progress.rejected(10, 4, 0));
  CHECK(progress.next() == 5);
  CHECK(progress.may_send(window));
  progress.sent(5, 10);
  progress.try_again();
  CHECK(progress.may_send(window));

  CHECK(progress.acknowledged(5));
  CHECK(progress.state() == Progress::State::kReplicate);
  progress.sent(6, 10);
  CHECK(progress.next() == 7);
  progress.sent(8, 10);
  CHECK(progress.next() == 9);
  CHECK_FALSE(progress.may_send(window));
  CHECK(progress.acknowledged(6));
  CHECK(progress.may_send(window));
  CHECK_FALSE(progress.acknowledged(6));  // twice
  progress.sent(9, 5000);
  CHECK(progress.window_full(window));      // by bytes
  CHECK_FALSE(progress.rejected(5, 2, 0));  // it is known to have that
  CHECK(progress.rejected(8, 8, 0));
  CHECK(progress.state() == Progress::State::kProbe);
  CHECK(progress.next() == 7);
  progress.become_snapshot();
  CHECK_FALSE(progress.may_send(window));
  progress.become_probe(20);  // what it has of these twenty only it can say
  CHECK(progress.next() == 21);
  CHECK(progress.rejected(20, 11, 20));
  CHECK(progress.next() == 12);
}

TEST_CASE("memberships change by one member") {
  using Type = MembershipChange::Type;
  Membership three = group_of({1, 2, 3});
  three.learners = {7};
  const Membership two = group_of({1, 2}), one = group_of({1}), witnessed = group_of({1, 2}, 9);
  Membership learner_and_witness = witnessed;
  learner_and_witness.learners = {7};
  struct Row {
    const char* what;
    Membership before;
    MembershipChange change;
    std::optional<Code> error;
    std::vector<NodeId> voters, learners;
    NodeId witness;
  };
  const Row rows[] = {
      {"a learner comes", three, {Type::kAddLearner, 5}, {}, {1, 2, 3}, {5, 7}, 0},
      {"is there already", three, {Type::kAddLearner, 2}, Code::kAlreadyExists, {}, {}, 0},
      {"promoted", three, {Type::kPromote, 7}, {}, {1, 2, 3, 7}, {}, 0},
      {"nobody to promote", three, {Type::kPromote, 8}, Code::kNotFound, {}, {}, 0},
      {"votes already", three, {Type::kPromote, 3}, Code::kAlreadyExists, {}, {}, 0},
      {"a voter goes", three, {Type::kRemove, 2}, {}, {1, 3}, {7}, 0},
      {"a learner goes", three, {Type::kRemove, 7}, {}, {1, 2, 3}, {}, 0},
      {"nobody to remove", three, {Type::kRemove, 8}, Code::kNotFound, {}, {}, 0},
      {"the last voter stays", one, {Type::kRemove, 1}, Code::kInvalid, {}, {}, 0},
      {"a witness beside two", two, {Type::kAddWitness, 9}, {}, {1, 2}, {}, 9},
      {"beside three", three, {Type::kAddWitness, 9}, Code::kInvalid, {}, {}, 0},
      {"beside one", one, {Type::kAddWitness, 9}, Code::kInvalid, {}, {}, 0},
      {"a second witness", witnessed, {Type::kAddWitness, 10}, Code::kAlreadyExists, {}, {}, 0},
      {"a third voter beside a witness", learner_and_witness, {Type::kPromote, 7}, Code::kInvalid, {}, {}, 0},
      {"the witness goes", witnessed, {Type::kRemove, 9}, {}, {1, 2}, {}, 0},
      {"a server beside a witness goes", witnessed, {Type::kRemove, 2}, {}, {1}, {}, 9},
      {"nobody", two, {Type::kAddLearner, 0}, Code::kInvalid, {}, {}, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Result<Membership> after = changed(row.before, row.change);
    REQUIRE(after.ok() == !row.error.has_value());
    if (!after) {
      CHECK(after.error().code() == *row.error);
      continue;
    }
    CHECK(after->voters == row.voters);
    CHECK(after->learners == row.learners);
    CHECK(after->witness == row.witness);
  }
}

}  // namespace
}  // namespace kayak::store::raft::test
