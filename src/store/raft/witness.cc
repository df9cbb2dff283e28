// witness.cc: groups of two servers and a witness, which votes and holds no log.
// An entry is committed when every server of required_ has it on disk. A leader takes a server out of required_ only
// when the witness has durably recorded a set without it; the witness votes only for members of the recorded set. So
// whoever can still be elected has every committed entry: README.md has the argument in full.
// Source: the dissertation, 11.7.2 (witnesses, after Viewstamped Replication); the in-sync set is our own.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/raft/raft.h"

namespace kayak::store::raft {

namespace {
bool holds(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}
}  // namespace

// The membership in force is new, or new to this leader. More servers than the witness knows of are only stricter, so
// none of this needs a record.
void RaftCore::bind_commits() {
  wanted_.reset();  // an answer to it would unbind those that are bound here
  if (membership().witness == kNobody) return required_.clear();
  const auto bind = [&](const Membership& group) {
    for (const NodeId node : group.voters) {
      if (!holds(required_, node)) required_.push_back(node);
    }
  };
  bind(membership());
  // Until a change is committed, the witness may still vote for a server that it removes.
  if (log_.membership_index() > commit_) bind(*log_.membership_at(log_.membership_index() - 1).membership);
}

bool RaftCore::keeps_up(NodeId node) const {
  const Progress* progress = this->progress(node);
  return progress && now_ - progress->in_sync_at < election_timeout_;
}

// A server that the witness may vote for: it has all that is committed (which a leader knows only once an entry of its
// own term is), and so has everyone the membership that makes it a voter.
bool RaftCore::may_be_recorded(NodeId node) const {
  if (!keeps_up(node)) return false;
  if (broken(Mutant::kWitnessGrowsEarly)) return true;
  return commit_ >= term_start_ && log_.membership_index() <= commit_ && match_of(node) >= commit_;
}

void RaftCore::review_in_sync() {
  if (membership().witness == kNobody) return;
  std::vector<NodeId> in_sync;
  for (const NodeId node : membership().voters) {
    if (node == options_.id || may_be_recorded(node)) {
      in_sync.push_back(node);
    } else if (holds(required_, node) && keeps_up(node)) {
      return;  // too early to say
    }
  }
  if (wanted_ && wanted_->in_sync == in_sync) return;
  for (const NodeId node : in_sync) {
    if (!holds(required_, node)) required_.push_back(node);
  }
  LogIndex index = log_.stable();
  for (const NodeId node : in_sync) index = std::min(index, match_of(node));
  if (index < log_.compacted()) return;  // only a broken core gets here
  wanted_ = WitnessRecord{term_, ++record_version_, index, *log_.term_of(index), std::move(in_sync)};
  wanted_written_ = false;
  if (broken(Mutant::kWitnessRecordSkipped)) required_ = wanted_->in_sync;
  send_record();
}

void RaftCore::send_record() {
  const NodeId witness = membership().witness;
  if (wanted_ && !wanted_written_ && witness != kNobody) send(witness, RecordInSync{*wanted_});
}

void RaftCore::handle(const Message& message, RecordInSyncReply& reply) {
  Progress* progress = find(message.from);
  if (role_ != Role::kLeader || !progress || message.from != membership().witness) return;
  hear(progress);
  if (!wanted_ || reply.version != wanted_->version) return;
  wanted_written_ = true;
  required_ = wanted_->in_sync;
  maybe_commit();
}

// At the witness: whether its disk went back behind what it has acknowledged to the leader of this term, which may have
// committed alone since.
bool RaftCore::has_lost_record(std::uint64_t acknowledged) const {
  if (acknowledged == 0) return false;
  return !record_ || std::pair(record_->term, record_->version) < std::pair(term_, acknowledged);
}

void RaftCore::handle(const Message& message, RecordInSync& request) {
  const WitnessRecord& record = request.record;
  if (!options_.witness || record.term != message.term) return;
  if (!hear_leader(message.from)) return;
  const auto age = [](const WitnessRecord& of) { return std::pair(of.term, of.version); };
  if (record_ && age(record) < age(*record_)) return;
  if (!record_ || age(record) > age(*record_)) {
    record_ = record;
    hard_dirty_ = true;
    record_number_ = emitted_ + 1;
  }
  const std::uint64_t after = broken(Mutant::kWitnessRecordNotPersisted) ? 0 : std::max(hard_number_, record_number_);
  send_after(message.from, RecordInSyncReply{record.version}, after);
}

bool witness_sends(const Body& body) {
  return std::holds_alternative<RequestVoteReply>(body) || std::holds_alternative<HeartbeatReply>(body) ||
         std::holds_alternative<RecordInSyncReply>(body);
}

bool RaftCore::witness_would_vote(NodeId candidate, const RequestVote& request) const {
  if (!record_) return false;  // it does not know who is in sync
  if (!holds(record_->in_sync, candidate) && !broken(Mutant::kWitnessVotesOutsideSet)) return false;
  return std::pair(request.last_term, request.last_index) >= std::pair(record_->index_term, record_->index);
}

}  // namespace kayak::store::raft
