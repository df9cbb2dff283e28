// election.cc: how a term gets its leader, how a leader notices that it is none, how it gives leadership away.
// Source: the dissertation, 3.4 (elections), 3.6.1 (who may win), 3.10 (transfer), 6.2 (a leader without a majority
// steps down), 9.6 (pre-vote), 4.2.3 (voters who hear a leader do not listen to others).
#include <algorithm>

#include "base/assert.h"
#include "store/raft/raft.h"

namespace kayak::store::raft {

bool RaftCore::may_campaign() const {
  const bool installing = install_ || install_number_ != 0;
  return !options_.witness && membership().is_voter(options_.id) && !aside_ && !installing && !disk_hangs();
}

void RaftCore::stand_aside() {
  if (role_ == Role::kLeader) return;  // a majority says otherwise
  aside_ = true;
  become_follower(term_, kNobody);
}

void RaftCore::wait_for_leader() {
  const auto spread = static_cast<std::uint64_t>(election_timeout_.count());
  election_due_ = now_ + election_timeout_ + Duration(static_cast<std::int64_t>(random_.below(spread)));
}

// After a vote that was split, when those who are alive know that there is no leader: another full timeout would only
// make the time without one as long again. The rivals' waits differ by more than an election takes.
void RaftCore::retry_soon() {
  const auto spread = static_cast<std::uint64_t>(election_timeout_.count() / 2);
  election_due_ = std::min(election_due_, now_ + Duration(static_cast<std::int64_t>(random_.below(spread))));
}

// For the time that the group shares, on which leases stand (finish_reads) and which is not longer here because this
// node's disk is slow: hearing a leader needs no disk, and those that are quicker must not be kept from electing one.
bool RaftCore::holds_back_votes() const {
  if (role_ == Role::kLeader) return true;
  // After a restart nobody knows whose lease this node still stands for.
  if (options_.lease_reads && now_ - started_ < options_.election_timeout) return true;
  return leader_ != kNobody && now_ - leader_heard_ < options_.election_timeout;
}

// Asks first whether an election could be won: a member that was cut off must not depose a leader when it comes back.
void RaftCore::campaign() {
  fail_reads();
  leader_ = kNobody;
  votes_.clear();
  if (membership().electors().size() == 1 || broken(Mutant::kNoPreVote)) return start_election(false);
  role_ = Role::kPreCandidate;
  for (const NodeId node : membership().electors()) {
    if (node == options_.id) continue;
    const RequestVote request{.last_index = log_.last_index(), .last_term = log_.last_term(), .pre_vote = true};
    send_after(node, request, hard_number_, term_ + 1);
  }
  take_vote(options_.id, true);
}

void RaftCore::start_election(bool transfer) {
  fail_reads();
  role_ = Role::kCandidate;
  leader_ = kNobody;
  votes_.clear();
  ++term_;
  vote_ = options_.id;
  hard_changed();
  wait_for_leader();
  // Not before the own vote is on disk, and with it the log that is claimed here: after a restart in between this node
  // could ask again, in the same term, with less.
  for (const NodeId node : membership().electors()) {
    if (node == options_.id) continue;
    const RequestVote request{
        .last_index = log_.last_index(), .last_term = log_.last_term(), .pre_vote = false, .transfer = transfer};
    send_after(node, request, whole_number());
  }
}

void RaftCore::take_vote(NodeId from, bool granted) {
  const Membership& group = membership();
  if (!group.is_voter(from) && from != group.witness) return;
  if (!votes_.emplace(from, granted).second) return;
  const auto count = [&](bool wanted) {
    return static_cast<std::size_t>(
        std::count_if(votes_.begin(), votes_.end(), [&](const auto& vote) { return vote.second == wanted; }));
  };
  if (count(true) >= group.majority()) {
    if (role_ == Role::kPreCandidate) return start_election(false);
    return become_leader();
  }
  // Others were ready to elect, and this one voted for somebody else. With that one silent, or as many votes for it,
  // the term has no leader.
  if (role_ == Role::kCandidate && !granted && count(false) == 1) retry_soon();
  if (role_ == Role::kPreCandidate && count(false) >= group.majority()) become_follower(term_, kNobody);
}

void RaftCore::become_leader() {
  ASSERT(role_ == Role::kCandidate);
  ASSERT(!options_.witness);
  role_ = Role::kLeader;
  leader_ = options_.id;
  votes_.clear();
  progress_.clear();
  uncommitted_bytes_ = 0;
  round_ = 0;
  round_sent_.clear();
  lease_until_ = now_;
  lease_void_ = false;
  record_version_ = 0;
  sync_progress();
  // Its own first entry commits what earlier terms left (dissertation, 3.6.2 and 6.4).
  term_start_ = append_own(nullptr, nullptr);
  bind_commits();
  beat();
}

bool RaftCore::lost_quorum() const {
  if (broken(Mutant::kNoCheckQuorum)) return false;
  std::size_t heard = 0;
  for (const NodeId node : membership().electors()) {
    const Progress* progress = this->progress(node);
    if (node == options_.id || (progress && now_ - progress->contact <= election_timeout_)) ++heard;
  }
  return heard < membership().majority();
}

bool RaftCore::would_vote(const Message& message, const RequestVote& request) const {
  const bool new_term = request.pre_vote && message.term > term_;
  const bool free = vote_ == message.from || (vote_ == kNobody && leader_ == kNobody) || new_term;
  if (!free) return false;
  if (options_.witness) return witness_would_vote(message.from, request);
  return log_.is_up_to_date(request.last_index, request.last_term) || broken(Mutant::kVoteIgnoresLog);
}

// Whether the candidate or this node is a voter in the membership that this node knows does not matter: it may be
// behind (dissertation, 4.2.2).
void RaftCore::handle(const Message& message, RequestVote& request) {
  if (!request.transfer && holds_back_votes()) return;
  const bool granted = would_vote(message, request);
  const RequestVoteReply reply{.pre_vote = request.pre_vote, .granted = granted};
  if (request.pre_vote) {
    return send_after(message.from, reply, hard_number_, granted ? message.term : term_);
  }
  if (!granted) return send(message.from, reply);
  if (vote_ != message.from) {
    vote_ = message.from;
    hard_changed();
  }
  wait_for_leader();
  // Together with the log that was compared.
  send_after(message.from, reply, whole_number());
}

void RaftCore::handle(const Message& message, RequestVoteReply& reply) {
  const bool asked = reply.pre_vote ? role_ == Role::kPreCandidate : role_ == Role::kCandidate;
  if (!asked) return;
  const Term answers = reply.pre_vote && reply.granted ? term_ + 1 : term_;
  if (message.term == answers) take_vote(message.from, reply.granted);
}

void RaftCore::handle(const Message& message, TimeoutNow&) {
  if (role_ == Role::kFollower && leader_ == message.from && may_campaign()) start_election(true);
}

Result<void> RaftCore::transfer_leadership(NodeId to) {
  if (role_ != Role::kLeader) return Error(Code::kUnavailable, "this server does not lead");
  if (to == options_.id) return {};
  if (!membership().is_voter(to)) return Error(Code::kInvalid, "leadership can only go to a voting server");
  transferee_ = to;
  transfer_due_ = now_ + election_timeout_;
  timeout_now_sent_ = false;
  return {};
}

void RaftCore::move_leadership() {
  if (transferee_ == kNobody || timeout_now_sent_) return;
  const Progress* progress = this->progress(transferee_);
  if (!progress || progress->match() < log_.last_index()) return;
  send(transferee_, TimeoutNow{});
  timeout_now_sent_ = true;
  lease_void_ = true;  // for the rest of the term: the message may be long on its way
}

}  // namespace kayak::store::raft
