// witness_node_test.cc: what a witness promises is on its disk before anybody hears of it, and holds after a restart.
#include "store/witness_node.h"

#include <catch2/catch.hpp>

#include "store/support_store.h"

namespace kayak::store {
namespace {

using store::test::Harness;
using store::test::TempFolder;
using namespace std::chrono_literals;

constexpr raft::NodeId kA = 1, kB = 2, kWitness = 9;

// A witness on a folder; it can be restarted.
class Witness {
 public:
  explicit Witness(const std::string& path) : path_(path) { start(WitnessState{kWitness, {}, std::nullopt}); }
  ~Witness() { stop(); }
  void restart() {
    stop();
    start(*read_witness_state(path_));
  }
  void restart_with(const WitnessState& state) {
    stop();
    REQUIRE(write_witness_state(path_, state));
    start(state);
  }
  // How it has ended by itself; "ok" when it has not.
  std::string end() {
    const Result<void> ended = harness_.wait(scope_->join());
    return ended ? "ok" : ended.error().message();
  }
  // What it says to `message` within a while; what it says must be on its disk by then.
  std::vector<raft::Message> ask(raft::Message message) {
    said_.clear();
    node_->receive(std::move(message));
    harness_.run_for(50ms);
    return said_;
  }
  WitnessState on_disk() const { return *read_witness_state(path_); }

 private:
  void start(WitnessState state) {
    WitnessNode::Options options;
    options.path = path_;
    options.state = std::move(state);
    options.election_timeout = 1ms;  // nobody's leadership holds votes back for longer
    options.send = [this](raft::Message message) {
      if (const auto* reply = std::get_if<raft::RequestVoteReply>(&message.body);
          reply && reply->granted && !reply->pre_vote) {
        CHECK(on_disk().hard.vote == message.to);
        CHECK(on_disk().hard.term == message.term);
      }
      if (const auto* reply = std::get_if<raft::RecordInSyncReply>(&message.body)) {
        REQUIRE(on_disk().record);
        CHECK(on_disk().record->version >= reply->version);
      }
      said_.push_back(std::move(message));
    };
    node_ = std::make_unique<WitnessNode>(harness_.context(), std::move(options));
    scope_ = std::make_unique<io::TaskScope>();
    scope_->spawn(node_->run(scope_->token()));
  }
  void stop() {
    scope_->stop();
    if (!on_disk().lost) CHECK(harness_.wait(scope_->join()));
    node_.reset();
  }

  const std::string path_;
  Harness harness_;
  std::vector<raft::Message> said_;
  std::unique_ptr<WitnessNode> node_;
  std::unique_ptr<io::TaskScope> scope_;
};

raft::Message vote_of(raft::NodeId candidate, raft::Term term, raft::LogIndex last, raft::Term last_term) {
  return raft::Message{candidate, kWitness, term, raft::RequestVote{last, last_term, false, true}};
}
raft::Message record_of(raft::NodeId leader, raft::Term term, std::uint64_t version,
                        std::vector<raft::NodeId> in_sync) {
  return raft::Message{leader, kWitness, term,
                       raft::RecordInSync{raft::WitnessRecord{term, version, 10, term, std::move(in_sync)}}};
}
// Whether exactly one vote, and a granted one, is among `said`.
bool granted(const std::vector<raft::Message>& said) {
  REQUIRE(said.size() == 1);
  const auto* reply = std::get_if<raft::RequestVoteReply>(&said.front().body);
  REQUIRE(reply);
  return reply->granted;
}

TEST_CASE("a witness votes for who is in sync, once in a term, also over a restart") {
  const TempFolder folder;
  Witness witness(folder.file("state"));
  CHECK_FALSE(granted(witness.ask(vote_of(kA, 2, 100, 1))));  // it does not know yet who is in sync
  CHECK(witness.ask(record_of(kA, 3, 1, {kA, kB})).size() == 1);
  CHECK(witness.on_disk().record->in_sync == std::vector{kA, kB});
  CHECK(granted(witness.ask(vote_of(kB, 4, 10, 3))));
  CHECK(witness.on_disk().hard == raft::HardState{4, kB, 0});
  witness.restart();
  CHECK_FALSE(granted(witness.ask(vote_of(kA, 4, 99, 4))));  // the term's vote is given
  CHECK(granted(witness.ask(vote_of(kB, 4, 10, 3))));        // the same answer again
}

TEST_CASE("a witness votes for nobody whom the record leaves out, or who is behind it") {
  const TempFolder folder;
  Witness witness(folder.file("state"));
  CHECK(witness.ask(record_of(kA, 3, 1, {kA, kB})).size() == 1);
  CHECK(witness.ask(record_of(kA, 3, 2, {kA})).size() == 1);
  witness.restart();
  CHECK_FALSE(granted(witness.ask(vote_of(kB, 4, 999, 3))));
  CHECK_FALSE(granted(witness.ask(vote_of(kA, 5, 9, 3))));  // shorter than what the record says is on every disk
  CHECK(granted(witness.ask(vote_of(kA, 6, 10, 3))));
}

TEST_CASE("a witness whose disk went back says nothing more, in no later life either") {
  const TempFolder folder;
  Witness witness(folder.file("state"));
  const auto heartbeat = [](std::uint64_t acknowledged) {
    return raft::Message{kA, kWitness, 3, raft::Heartbeat{acknowledged, 0}};
  };
  CHECK(witness.ask(record_of(kA, 3, 1, {kA, kB})).size() == 1);
  const WitnessState before = witness.on_disk();
  CHECK(witness.ask(record_of(kA, 3, 2, {kA})).size() == 1);
  CHECK(witness.ask(heartbeat(2)).size() == 1);
  witness.restart();
  CHECK(witness.ask(heartbeat(2)).size() == 1);
  witness.restart_with(before);
  CHECK(witness.ask(heartbeat(0)).size() == 1);  // of a leader whose newest record it has not acknowledged yet
  CHECK(witness.ask(heartbeat(1)).size() == 1);
  CHECK(witness.ask(heartbeat(2)).empty());
  CHECK(witness.ask(vote_of(kB, 4, 999, 3)).empty());  // it would be B's that lacks what A has committed alone
  CHECK(witness.on_disk().lost);
  CHECK(witness.end().find("newer than the one here") != std::string::npos);
}

TEST_CASE("a record that is late does not undo a newer one") {
  const TempFolder folder;
  Witness witness(folder.file("state"));
  CHECK(witness.ask(record_of(kA, 3, 2, {kA})).size() == 1);
  CHECK(witness.ask(record_of(kA, 3, 1, {kA, kB})).empty());
  CHECK(witness.on_disk().record->in_sync == std::vector{kA});
}

}  // namespace
}  // namespace kayak::store
