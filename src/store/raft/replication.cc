// replication.cc: how a leader gets its log to the others, what it commits, how it changes the group.
// Source: the dissertation, 3.5 (replication), 3.6.2 (only entries of the own term are committed by counting), 4.1-4.2
// (membership), 5.1-5.3 (snapshots for those who are too far behind), 10.2 (batches, pipelining).
#include <algorithm>

#include "base/assert.h"
#include "store/raft/raft.h"

namespace kayak::store::raft {

namespace {

// A learner is promoted when no more than this many committed entries are missing: the group must not wait long for
// its newest voter.
constexpr LogIndex kPromotionLag = 256;
// A snapshot, and the compaction that waits for it, is not kept for a follower that is silent for so many election
// timeouts.
constexpr int kSnapshotPatience = 10;

}  // namespace

Progress* RaftCore::find(NodeId node) {
  const auto found = progress_.find(node);
  return found == progress_.end() ? nullptr : &found->second;
}
const Progress* RaftCore::progress(NodeId node) const {
  const auto found = progress_.find(node);
  return found == progress_.end() ? nullptr : &found->second;
}

// One Progress for every other member.
void RaftCore::sync_progress() {
  const Membership& group = membership();
  for (auto at = progress_.begin(); at != progress_.end();) {
    if (group.contains(at->first)) {
      ++at;
      continue;
    }
    release_snapshot(at->second);
    at = progress_.erase(at);
  }
  const auto add = [&](NodeId node) {
    if (node != options_.id && node != kNobody) progress_.try_emplace(node, log_.last_index() + 1, now_);
  };
  for (const NodeId node : group.voters) add(node);
  for (const NodeId node : group.learners) add(node);
  add(group.witness);
}

LogIndex RaftCore::append_own(PayloadRef payload, MembershipRef membership) {
  Entry entry{log_.last_index() + 1, term_, std::move(payload), std::move(membership)};
  uncommitted_bytes_ += entry.bytes();
  log_.append(std::move(entry));
  return log_.last_index();
}

Result<LogIndex> RaftCore::propose(PayloadRef payload) {
  if (role_ != Role::kLeader) return Error(Code::kUnavailable, "this server does not lead");
  if (transferee_ != kNobody) return Error(Code::kUnavailable, "leadership is moving to another server");
  if (uncommitted_bytes_ > options_.max_uncommitted_bytes) {
    return Error(Code::kTooManyRequests, "too much is waiting to be committed");
  }
  return append_own(std::move(payload), nullptr);
}

// What does not depend on the membership that comes out of it.
std::optional<RaftCore::Hindrance> RaftCore::early_hindrance(const MembershipChange& change) const {
  const bool removes = change.type == MembershipChange::Type::kRemove;
  if (role_ != Role::kLeader) return Hindrance{Error(Code::kUnavailable, "this server does not lead"), {}};
  if (transferee_ != kNobody) {
    return Hindrance{Error(Code::kUnavailable, "leadership is moving to another server"), {}};
  }
  // The obligation of membership.h.
  if (!broken(Mutant::kChangeWithoutWaiting)) {
    if (log_.membership_index() > commit_) {
      return Hindrance{Error(Code::kConflict, "another membership change is under way"), {}};
    }
    if (commit_ < term_start_) {
      return Hindrance{Error(Code::kConflict, "this leader has not committed an entry of its term yet"), {}};
    }
  }
  // Leadership cannot move from the only voter, whatever the witness has recorded: changed() says what is the matter.
  if (removes && change.node == options_.id && membership().voters.size() > 1) {
    return Hindrance{Error(Code::kInvalid, "the leader cannot be removed: move leadership first"), {}};
  }
  const bool last = removes && change.node == options_.id;
  // Else a change could make the witness indispensable before it would vote for anyone, or the group would wait for a
  // server that is no longer in it.
  const bool witness_goes = removes && change.node == membership().witness;
  const bool recorded = wanted_ && wanted_written_ && required_.size() == wanted_->in_sync.size();
  if (membership().witness != kNobody && !witness_goes && !last && !recorded) {
    return Hindrance{
        Error(Code::kConflict, "the witness has not recorded yet which servers are in sync: wait until it answers"),
        {membership().witness}};
  }
  const Progress* learner = change.type == MembershipChange::Type::kPromote ? progress(change.node) : nullptr;
  if (learner && (learner->state() == Progress::State::kSnapshot || learner->match() + kPromotionLag < commit_)) {
    return Hindrance{Error(Code::kUnavailable, "the learner has not caught up"), {change.node}};
  }
  if (!witness_goes) return std::nullopt;
  std::vector<NodeId> away;
  for (const NodeId node : membership().voters) {
    if (node != options_.id && !keeps_up(node)) away.push_back(node);
  }
  if (away.empty()) return std::nullopt;
  return Hindrance{Error(Code::kUnavailable,
                         "without the witness every server is needed, and one is not in sync: wait until it answers "
                         "and has all entries, or remove that server first"),
                   std::move(away)};
}

std::optional<RaftCore::Hindrance> RaftCore::hindrance(const MembershipChange& change) const {
  if (std::optional<Hindrance> early = early_hindrance(change)) return early;
  const Result<Membership> after = changed(membership(), change);
  if (!after) return Hindrance{after.error(), {}};
  // A group that could not elect anyone must not come out of it. The witness to be added is never heard before.
  std::size_t heard = 0;
  std::vector<NodeId> silent;
  for (const NodeId node : after->electors()) {
    const Progress* member = progress(node);
    const bool added = change.type == MembershipChange::Type::kAddWitness && node == change.node;
    const bool hears = added || node == options_.id || (member && member->answers_within(election_timeout_, now_));
    heard += hears ? 1 : 0;
    if (!hears) silent.push_back(node);
  }
  if (heard >= after->majority()) return std::nullopt;
  return Hindrance{Error(Code::kUnavailable, "too few of the members that would be left answer"), std::move(silent)};
}

Result<LogIndex> RaftCore::change_membership(const MembershipChange& change) {
  if (std::optional<Hindrance> found = hindrance(change)) return found->error;
  Result<Membership> after = changed(membership(), change);
  const LogIndex index = append_own(nullptr, std::make_shared<const Membership>(*std::move(after)));
  sync_progress();
  bind_commits();
  return index;
}

// Everything that may be sent is sent, ahead of this node's own disk.
void RaftCore::replicate() {
  for (auto& [node, progress] : progress_) {
    if (node == membership().witness) continue;
    while (send_entries(node, progress, false)) continue;
    // Followers serve reads: they learn of a commit at once, not with the next heartbeat.
    const bool knows = progress.told_commit >= std::min(commit_, progress.match());
    if (progress.state() == Progress::State::kReplicate && !knows) send_heartbeat(node, progress);
  }
}

// True when entries were sent and more may follow.
bool RaftCore::send_entries(NodeId to, Progress& progress, bool even_empty) {
  if (!progress.may_send(options_.window) || progress.fetching) return false;
  if (progress.next() <= log_.compacted()) {
    want_snapshot(to, progress);
    return false;
  }
  if (progress.next() > log_.last_index()) {
    if (even_empty) send_append(to, progress, {});
    return false;
  }
  if (!log_.in_memory(progress.next())) {
    progress.fetching = true;
    output_.fetches.push_back({to, progress.next(), options_.max_append_bytes});
    return false;
  }
  send_append(to, progress, log_.slice(progress.next(), log_.last_index(), options_.max_append_bytes));
  return progress.state() == Progress::State::kReplicate;
}

void RaftCore::send_append(NodeId to, Progress& progress, std::vector<Entry> entries) {
  AppendEntries request{.prev_index = progress.next() - 1,
                        .prev_term = *log_.term_of(progress.next() - 1),
                        .entries = std::move(entries),
                        .commit = commit_,
                        .read_round = round_};
  std::size_t bytes = 0;
  for (const Entry& entry : request.entries) bytes += entry.bytes();
  const LogIndex last = request.prev_index + request.entries.size();
  progress.sent(request.entries.empty() ? 0 : last, bytes);
  progress.told_commit = std::max(progress.told_commit, std::min(commit_, last));
  send(to, std::move(request));
}

void RaftCore::fetched(NodeId to, LogIndex first, std::vector<Entry> entries) {
  Progress* progress = find(to);
  if (!progress || !progress->fetching) return;
  progress->fetching = false;
  const bool wanted = role_ == Role::kLeader && progress->may_send(options_.window) && progress->next() == first &&
                      first > log_.compacted() && !entries.empty();
  // A leader cuts nothing off its log, so what was on disk then is what is in the log now.
  if (wanted && log_.matches(entries.back().index, entries.back().term)) send_append(to, *progress, std::move(entries));
}

void RaftCore::send_heartbeat(NodeId to, Progress& progress) {
  if (to == membership().witness) return send(to, Heartbeat{acknowledged_record(), round_});
  const LogIndex commit = broken(Mutant::kCommitBeyondMatch) ? commit_ : std::min(commit_, progress.match());
  if (!broken(Mutant::kTellsCommitAgain)) progress.told_commit = std::max(progress.told_commit, commit);
  send(to, Heartbeat{commit, round_});
}

void RaftCore::beat() {
  heartbeat_due_ = now_ + options_.heartbeat_interval;
  start_round();
  for (auto& [node, progress] : progress_) {
    send_heartbeat(node, progress);
    if (progress.state() != Progress::State::kSnapshot) continue;
    if (now_ - progress.contact > kSnapshotPatience * election_timeout_) {
      release_snapshot(progress);
      progress.become_probe(log_.compacted());
    } else if (progress.snapshot) {
      send(node, InstallSnapshot{*progress.snapshot});  // the first may be lost
    }
  }
  send_record();
}

void RaftCore::handle(const Message& message, AppendEntriesReply& reply) {
  Progress* progress = find(message.from);
  if (role_ != Role::kLeader || !progress || reply.index > log_.last_index()) return;
  progress->read_round = std::max(progress->read_round, std::min(reply.read_round, round_));
  if (reply.rejected) {
    progress->rejected(reply.index, log_.last_with_term_up_to(reply.hint_index, reply.hint_term), log_.compacted());
  } else if (progress->state() != Progress::State::kSnapshot || reply.index >= log_.compacted()) {
    release_snapshot(*progress);
    if (progress->state() == Progress::State::kSnapshot) progress->become_probe(log_.compacted());
    if (progress->acknowledged(reply.index)) progress->in_sync_at = now_;
    maybe_commit();
  }
  hear(progress);
  finish_reads();
}

void RaftCore::handle(const Message& message, HeartbeatReply& reply) {
  Progress* progress = find(message.from);
  if (role_ != Role::kLeader || !progress) return;
  hear(progress);
  progress->read_round = std::max(progress->read_round, std::min(reply.read_round, round_));
  finish_reads();
  if (message.from == membership().witness) return;
  progress->try_again();
  // A probe ends with an answer to a question, which in a group at rest no new entry would ask.
  const bool probing = progress->state() == Progress::State::kProbe;
  if (progress->match() >= log_.last_index() && !probing) return;
  // Nothing in the answer says whether the entries sent ahead arrived: an empty message finds out.
  if (progress->window_full(options_.window)) progress->free_one();
  send_entries(message.from, *progress, true);
}

void RaftCore::peer_unreachable(NodeId node) {
  Progress* progress = find(node);
  if (progress && progress->state() == Progress::State::kReplicate) progress->become_probe(log_.compacted());
}

LogIndex RaftCore::match_of(NodeId node) const {
  if (node == options_.id) return broken(Mutant::kCountSelfUnsynced) ? log_.last_index() : log_.stable();
  const Progress* progress = this->progress(node);
  return progress ? progress->match() : 0;
}

void RaftCore::maybe_commit() {
  const Membership& group = membership();
  const bool witnessed = group.witness != kNobody;
  const std::vector<NodeId>& counted = witnessed ? required_ : group.voters;
  std::vector<LogIndex> matches;
  for (const NodeId node : counted) matches.push_back(match_of(node));
  std::sort(matches.begin(), matches.end(), std::greater<>());
  const LogIndex index = witnessed ? matches.back() : matches[group.majority() - 1];
  if (index <= commit_) return;
  if (log_.term_of(index) == term_ || broken(Mutant::kCommitOldTerm)) commit_to(index);
}

void RaftCore::want_snapshot(NodeId to, Progress& progress) {
  if (now_ - progress.contact > election_timeout_) return;  // when it is back
  progress.become_snapshot();
  output_.snapshots_wanted.push_back(to);
}

void RaftCore::release_snapshot(Progress& progress) {
  if (progress.snapshot) output_.snapshots_released.push_back(progress.snapshot->id);
  progress.snapshot.reset();
}

void RaftCore::snapshot_ready(NodeId to, SnapshotId id, LogIndex index) {
  Progress* progress = find(to);
  const bool wanted = progress && progress->state() == Progress::State::kSnapshot && !progress->snapshot;
  if (!wanted || index < log_.compacted()) {
    output_.snapshots_released.push_back(id);
    if (wanted) progress->become_probe(log_.compacted());
    return;
  }
  const RaftLog::PlacedMembership& placed = log_.membership_at(index);
  progress->snapshot = SnapshotMeta{id, index, *log_.term_of(index), placed.membership, placed.index};
  send(to, InstallSnapshot{*progress->snapshot});
}

void RaftCore::snapshot_failed(NodeId to) {
  Progress* progress = find(to);
  if (!progress || progress->state() != Progress::State::kSnapshot) return;
  release_snapshot(*progress);
  progress->become_probe(log_.compacted());
  // Who fails at once would be asked again at once: not before it has answered the next heartbeat.
  progress->sent(0, 0);
}

void RaftCore::handle(const Message& message, InstallSnapshotReply& reply) {
  Progress* progress = find(message.from);
  if (role_ != Role::kLeader || !progress) return;
  hear(progress);
  if (progress->snapshot && progress->snapshot->id == reply.id) snapshot_failed(message.from);
}

}  // namespace kayak::store::raft
