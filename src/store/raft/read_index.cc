// read_index.cc: reads that see every write acknowledged before, without a write of their own.
// A leader notes its commit index, learns from a round of heartbeats that no other could have been elected before, and
// lets the reader wait until that index is applied. Reads that come together share a round, and one round is under way
// at a time, so that reads cost heartbeats by the round trip and not by the read. Followers ask their leader.
// Source: the dissertation, 6.4 (ReadIndex), 6.4.1 (leases: an option, off).
#include <algorithm>

#include "base/assert.h"
#include "store/raft/raft.h"

namespace kayak::store::raft {

namespace {
constexpr std::size_t kMaxReads = 65536;  // that wait: more from peers than any sound one has is dropped
}

void RaftCore::read(std::uint64_t id) {
  const bool leads = role_ == Role::kLeader;
  if (options_.witness || (!leads && leader_ == kNobody)) {
    output_.reads.push_back({id, false, 0});
    return;
  }
  reads_.push_back({.id = id, .from = options_.id});
}

// At the leader.
void RaftCore::start_reads() {
  if (reads_.empty()) return;
  // Until then it may not know what its predecessors committed.
  if (commit_ < term_start_ && !broken(Mutant::kReadBeforeTermCommit)) return;
  const bool alone = membership().electors() == std::vector<NodeId>{options_.id};
  if (alone || lease_holds() || broken(Mutant::kReadWithoutQuorum)) {
    for (const PendingRead& read : std::exchange(reads_, {})) answer_read(read, commit_);
    return;
  }
  const bool under_way = reads_.front().round != 0;
  if (under_way) return;
  start_round();
  for (auto& [node, progress] : progress_) {
    if (!membership().is_learner(node)) send_heartbeat(node, progress);
  }
}

// Takes along the reads that wait; the caller sends the heartbeats.
void RaftCore::start_round() {
  const bool current = commit_ >= term_start_ || broken(Mutant::kReadBeforeTermCommit);
  const bool waiting = !reads_.empty() && reads_.back().round == 0 && current;
  if (!waiting && !options_.lease_reads) return;
  ++round_;
  round_sent_.emplace(round_, now_);
  for (PendingRead& read : reads_) {
    if (read.round != 0 || !current) continue;
    read.round = round_;
    read.index = commit_;
  }
}

// The highest round that a majority of the electors has answered: at the time of its start this node led.
std::uint64_t RaftCore::confirmed_round() const {
  std::vector<std::uint64_t> rounds;
  for (const NodeId node : membership().electors()) {
    const Progress* progress = this->progress(node);
    rounds.push_back(node == options_.id ? round_ : progress ? progress->read_round : 0);
  }
  std::sort(rounds.begin(), rounds.end(), std::greater<>());
  return rounds[membership().majority() - 1];
}

void RaftCore::finish_reads() {
  if (round_sent_.empty()) return;
  const std::uint64_t confirmed = confirmed_round();
  const auto open = round_sent_.upper_bound(confirmed);
  if (open == round_sent_.begin()) return;
  // No voter listens to a candidate for election_timeout after it heard this round (holds_back_votes), which was after
  // it was sent.
  const Instant lease = std::prev(open)->second + options_.election_timeout * 9 / 10;
  lease_until_ = std::max(lease_until_, lease);
  round_sent_.erase(round_sent_.begin(), open);
  const auto done = [&](const PendingRead& read) { return read.round != 0 && read.round <= confirmed; };
  for (const PendingRead& read : reads_) {
    if (done(read)) answer_read(read, read.index);
  }
  std::erase_if(reads_, done);
}

bool RaftCore::lease_holds() const { return options_.lease_reads && !lease_void_ && now_ < lease_until_; }

void RaftCore::answer_read(const PendingRead& read, LogIndex index) {
  if (read.from == options_.id) {
    output_.reads.push_back({read.id, true, index});
  } else {
    send(read.from, ReadIndexReply{read.id, index});
  }
}

void RaftCore::handle(const Message& message, ReadIndex& request) {
  if (role_ != Role::kLeader || reads_.size() >= kMaxReads) return;
  reads_.push_back({.id = request.batch, .from = message.from});
}

// At a follower: all that wait share one question.
void RaftCore::forward_reads() {
  if (reads_.empty() || batch_asked_ != 0) return;
  ASSERT(leader_ != kNobody);
  batch_asked_ = ++next_batch_;
  batch_due_ = now_ + election_timeout_;
  for (PendingRead& read : reads_) read.round = batch_asked_;
  send(leader_, ReadIndex{batch_asked_});
}

void RaftCore::handle(const Message& message, ReadIndexReply& reply) {
  if (role_ == Role::kLeader || batch_asked_ == 0 || reply.batch != batch_asked_) return;
  if (message.from != leader_) return;  // nobody else was asked
  batch_asked_ = 0;
  for (const PendingRead& read : reads_) {
    if (read.round == reply.batch) output_.reads.push_back({read.id, true, reply.index});
  }
  std::erase_if(reads_, [&](const PendingRead& read) { return read.round == reply.batch; });
}

void RaftCore::fail_reads() {
  batch_asked_ = 0;
  round_sent_.clear();
  for (const PendingRead& read : std::exchange(reads_, {})) {
    if (read.from == options_.id) output_.reads.push_back({read.id, false, 0});
  }
}

}  // namespace kayak::store::raft
