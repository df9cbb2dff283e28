// follower.cc: what a member does with a leader's entries and snapshots.
// Source: the dissertation, 3.5 (AppendEntries), 5.3 (InstallSnapshot); conflicts are found by term, as 3.5 sketches.
#include <algorithm>

#include "base/assert.h"
#include "store/raft/raft.h"

namespace kayak::store::raft {

namespace {

// A sound leader sends nothing else; a peer's bytes are still only bytes.
bool well_formed(const AppendEntries& request, Term term) {
  LogIndex index = request.prev_index;
  Term before = request.prev_term;
  for (const Entry& entry : request.entries) {
    if (entry.index != ++index || entry.term < before || entry.term > term) return false;
    before = entry.term;
  }
  return true;
}

}  // namespace

void RaftCore::handle(const Message& message, AppendEntries& request) {
  if (!hear_leader(message.from)) return;
  if (options_.witness) return;
  if (!well_formed(request, term_)) {
    ++refused_;
    return;
  }
  if (request.prev_index < commit_) return acknowledge(message.from, commit_, request.read_round);
  if (log_.matches(request.prev_index, request.prev_term)) {
    accept_entries(request);
    return acknowledge(message.from, request.prev_index + request.entries.size(), request.read_round);
  }
  AppendEntriesReply reply{.rejected = true, .index = request.prev_index, .read_round = request.read_round};
  reply.hint_index = log_.last_with_term_up_to(request.prev_index, request.prev_term);
  reply.hint_term = log_.term_of(reply.hint_index).value_or(0);
  send(message.from, reply);
}

void RaftCore::accept_entries(AppendEntries& request) {
  const LogIndex last = request.prev_index + request.entries.size();
  if (broken(Mutant::kTruncateAlways) && log_.last_index() > request.prev_index) log_.truncate(request.prev_index);
  for (Entry& entry : request.entries) {
    if (log_.matches(entry.index, entry.term)) continue;
    if (entry.index <= log_.last_index()) {
      ASSERT(entry.index > commit_);  // what is committed is never taken back
      log_.truncate(entry.index - 1);
    }
    log_.append(std::move(entry));
  }
  // Beyond `last` this log may still hold what another leader left.
  commit_to(std::min(request.commit, broken(Mutant::kCommitBeyondMatch) ? log_.last_index() : last));
}

void RaftCore::acknowledge(NodeId leader, LogIndex index, std::uint64_t read_round) {
  std::uint64_t after = index <= log_.stable() ? hard_number_ : whole_number();
  if (broken(Mutant::kAckBeforePersist)) after = hard_number_;
  send_after(leader, AppendEntriesReply{.index = index, .read_round = read_round}, after);
}

void RaftCore::handle(const Message& message, Heartbeat& request) {
  if (!hear_leader(message.from)) return;
  // A leader names here no entry that this member has not acknowledged to it in this term, and in a leader's term
  // nothing is cut off that was acknowledged to it. So what is missing was lost by this disk.
  const bool lost = options_.witness ? has_lost_record(request.commit) : request.commit > log_.last_index();
  if (lost && !broken(Mutant::kCommitBeyondMatch) && !broken(Mutant::kLostGoesOn)) {
    output_.lost = request.commit;
    return;
  }
  if (!options_.witness) commit_to(std::min(request.commit, log_.last_index()));
  send(message.from, HeartbeatReply{request.read_round});
}

void RaftCore::handle(const Message& message, InstallSnapshot& request) {
  if (!hear_leader(message.from)) return;
  const SnapshotMeta& snapshot = request.snapshot;
  if (options_.witness) return;
  const bool well_formed = snapshot.membership && snapshot.term <= term_ && snapshot.membership_index <= snapshot.index;
  if (!well_formed) {
    ++refused_;
    return;
  }
  const bool behind = snapshot.index <= commit_ && !broken(Mutant::kSnapshotOverwrites);
  if (behind) return acknowledge(message.from, commit_, 0);
  if (log_.matches(snapshot.index, snapshot.term) && !broken(Mutant::kSnapshotOverwrites)) {
    commit_to(snapshot.index);  // only its commit was not known here
    return acknowledge(message.from, snapshot.index, 0);
  }
  if (incoming_ && incoming_->snapshot.id == snapshot.id) {
    incoming_->from = message.from;
    return;
  }
  incoming_ = SnapshotFetch{message.from, snapshot};
  output_.snapshot_fetch = incoming_;
}

void RaftCore::snapshot_fetched(SnapshotId id, bool complete) {
  if (!incoming_ || incoming_->snapshot.id != id) return;
  const SnapshotFetch fetch = *std::exchange(incoming_, std::nullopt);
  if (!complete) return send(fetch.from, InstallSnapshotReply{id});
  const SnapshotMeta& snapshot = fetch.snapshot;
  if (snapshot.index <= commit_ && !broken(Mutant::kSnapshotOverwrites)) {
    return acknowledge(fetch.from, commit_, 0);  // entries were faster
  }
  // So were they, if only their commit was not heard of: what follows them here may be acknowledged to a newer leader.
  if (log_.matches(snapshot.index, snapshot.term) && !broken(Mutant::kFetchedTakesBack)) {
    commit_to(snapshot.index);
    return acknowledge(fetch.from, snapshot.index, 0);
  }
  if (role_ != Role::kFollower) return;  // a candidate's or leader's log stays as it was claimed
  commit_ = snapshot.index;
  log_.reset(snapshot);
  install_ = installing_ = snapshot;
  acknowledge(fetch.from, snapshot.index, 0);
}

}  // namespace kayak::store::raft
