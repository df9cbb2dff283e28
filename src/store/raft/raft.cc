// raft.cc: time, terms, the order of effects: what every role shares.
// Source: the dissertation, 3.3 (terms), 3.8 (what is on disk before which message), 10.2.1 (writing in parallel).
#include "store/raft/raft.h"

#include <algorithm>

#include "base/assert.h"

namespace kayak::store::raft {

namespace {

constexpr Instant kNever{INT64_MAX};
// An election costs a candidate and a voter one fsync each, the first entry another; one more as a margin.
constexpr int kFsyncsPerElection = 4;
constexpr int kLongestTimeout = 10;  // election timeouts of the options: beyond that a disk is not slow but ill
// So many of them halve what is remembered of a slow fsync: also of the slowest nothing is left after four times that.
// By time and not by fsyncs, as a group at rest makes none; while elections fail for the disk, each one makes new ones.
constexpr int kFsyncHalfLife = 10;

// No member is away for so many elections. Whoever names such a term would bring the group to where terms end.
constexpr Term kMostTermsMissed = Term{1} << 32;

// Whether `before`, which waits for the same Append as `later`, need not be said to the same node any more; what it
// alone says goes over to `later`. What waits for an earlier Append is another matter: with a disk that is busy it
// always comes first, and without it a leader would wait for the last of all entries.
bool supersedes(Body* later, const Body& before) {
  if (later->index() != before.index()) return false;
  if (auto* reply = std::get_if<AppendEntriesReply>(later)) {
    const auto& old = std::get<AppendEntriesReply>(before);
    if (reply->rejected != old.rejected) return false;
    reply->read_round = std::max(reply->read_round, old.read_round);
    if (!reply->rejected) reply->index = std::max(reply->index, old.index);
    return true;
  }
  if (auto* reply = std::get_if<HeartbeatReply>(later)) {
    reply->read_round = std::max(reply->read_round, std::get<HeartbeatReply>(before).read_round);
    return true;
  }
  if (auto* reply = std::get_if<RecordInSyncReply>(later)) {
    reply->version = std::max(reply->version, std::get<RecordInSyncReply>(before).version);
    return true;
  }
  if (auto* reply = std::get_if<RequestVoteReply>(later)) {
    const auto& old = std::get<RequestVoteReply>(before);
    if (reply->pre_vote != old.pre_vote) return false;
    reply->granted = reply->granted || old.granted;
    return true;
  }
  if (const auto* request = std::get_if<RequestVote>(later)) {
    return request->pre_vote == std::get<RequestVote>(before).pre_vote;
  }
  return std::holds_alternative<ReadIndex>(*later);  // the batch before is given up
}

// Only a leader sends these.
bool from_leader(const Body& body) {
  return std::holds_alternative<AppendEntries>(body) || std::holds_alternative<Heartbeat>(body) ||
         std::holds_alternative<InstallSnapshot>(body) || std::holds_alternative<RecordInSync>(body);
}

}  // namespace

RaftCore::RaftCore(Options options, Restored restored, Random& random, Instant now)
    : options_(options),
      random_(random),
      log_(restored),
      now_(now),
      started_(now),
      fsync_aged_(now),
      election_timeout_(options.election_timeout),
      term_(restored.hard.term),
      vote_(restored.hard.vote),
      record_(restored.record),
      commit_(restored.hard.commit),
      handed_(restored.applied),
      leader_heard_(now),
      lease_until_(now),
      next_batch_(random.next() >> 1) {  // not those of an earlier life, whose answers may still be on their way
  ASSERT(options_.id != kNobody);
  ASSERT(term_ >= log_.last_term());
  ASSERT(handed_ <= commit_ && commit_ <= log_.last_index());
  wait_for_leader();
  if (may_campaign() && membership().electors().size() == 1) election_due_ = now;  // there is nobody to wait for
}

void RaftCore::advance(Instant now) {
  now_ = std::max(now_, now);
  forget_slow_fsync();
  if (role_ == Role::kLeader) {
    const bool others = membership().electors().size() > 1;
    if (others && (lost_quorum() || disk_hangs())) {
      become_follower(term_, kNobody);
      return;
    }
    if (transferee_ != kNobody && now_ >= transfer_due_) transferee_ = kNobody;
    if (now_ >= heartbeat_due_) beat();
    return;
  }
  if (batch_asked_ != 0 && now_ >= batch_due_) fail_reads();
  if (now_ < election_due_) return;
  wait_for_leader();
  if (may_campaign()) campaign();
}

Instant RaftCore::deadline() const {
  if (role_ == Role::kLeader) {
    Instant due = progress_.empty() ? kNever : heartbeat_due_;
    if (transferee_ != kNobody) due = std::min(due, transfer_due_);
    return due;
  }
  Instant due = membership().is_voter(options_.id) && !aside_ ? election_due_ : kNever;
  if (batch_asked_ != 0) due = std::min(due, batch_due_);
  return due;
}

Output RaftCore::take_output(std::size_t most) {
  if (role_ == Role::kLeader) {
    review_in_sync();
    maybe_commit();
    start_reads();
    replicate();
    move_leadership();
  } else {
    forward_reads();
  }
  emit_append();
  hand_out(most);
  return std::exchange(output_, {});
}

void RaftCore::step(Message message) {
  if (message.to != options_.id || message.from == options_.id || message.from == kNobody) return;
  if (message.term > term_ && message.term - term_ > kMostTermsMissed) {
    ++refused_;
    return;
  }
  if (message.term > term_ && !accept_higher_term(message)) return;
  if (message.term < term_) return answer_lower_term(message);
  std::visit([&](auto& body) { handle(message, body); }, message.body);
}

// False: the message is not for us to act on.
bool RaftCore::accept_higher_term(const Message& message) {
  if (const auto* request = std::get_if<RequestVote>(&message.body)) {
    if (!request->transfer && holds_back_votes()) return false;
    if (request->pre_vote) return true;  // a question about a term that has not begun
  }
  if (const auto* reply = std::get_if<RequestVoteReply>(&message.body)) {
    if (reply->pre_vote && reply->granted) return true;  // names the term that was asked about
  }
  become_follower(message.term, from_leader(message.body) ? message.from : kNobody);
  return true;
}

// Tells whoever lives in the past: a deposed leader steps down, a member that fell behind in terms catches up.
void RaftCore::answer_lower_term(const Message& message) {
  if (from_leader(message.body)) return send(message.from, HeartbeatReply{});
  if (const auto* request = std::get_if<RequestVote>(&message.body)) {
    send(message.from, RequestVoteReply{.pre_vote = request->pre_vote, .granted = false});
  }
}

void RaftCore::become_follower(Term term, NodeId leader) {
  if (role_ == Role::kLeader) {
    for (auto& [node, progress] : progress_) release_snapshot(progress);
    progress_.clear();
    transferee_ = kNobody;
    required_.clear();
    wanted_.reset();
  }
  if (term != term_) {
    ASSERT(term > term_);
    term_ = term;
    vote_ = kNobody;
    hard_changed();
  }
  if (role_ == Role::kLeader || leader != leader_) fail_reads();
  if (role_ != Role::kFollower) wait_for_leader();
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
}

// False: a term has one leader, and that is this node.
bool RaftCore::hear_leader(NodeId leader) {
  if (role_ == Role::kLeader) {
    ++refused_;
    return false;
  }
  if (role_ != Role::kFollower || leader_ != leader) become_follower(term_, leader);
  leader_heard_ = now_;
  aside_ = false;
  wait_for_leader();
  return true;
}

void RaftCore::hear(Progress* progress) {
  progress->contact = now_;
  progress->heard = true;
  if (progress->match() >= log_.stable()) progress->in_sync_at = now_;
  // Before, this leader does not know all that is committed.
  if (commit_ >= term_start_) progress->note_level(commit_, now_);
}

void RaftCore::send_after(NodeId to, Body body, std::uint64_t append, std::optional<Term> term) {
  Message message{options_.id, to, term.value_or(term_), std::move(body)};
  if (append <= durable_) {
    output_.messages.push_back(std::move(message));
  } else {
    hold(append, std::move(message));
  }
}

// While a disk hangs or is full, the same questions come again and again: what waits is bounded by the Appends under
// way.
void RaftCore::hold(std::uint64_t append, Message message) {
  for (Held& held : held_) {
    const bool same = held.after == append && held.message.to == message.to && held.message.term == message.term;
    if (!same || !supersedes(&message.body, held.message.body)) continue;
    held.message = std::move(message);
    return;
  }
  held_.push_back({append, std::move(message)});
}

std::uint64_t RaftCore::whole_number() const {
  return hard_dirty_ || install_ || log_.has_unwritten() ? emitted_ + 1 : emitted_;
}

void RaftCore::hard_changed() {
  hard_dirty_ = true;
  hard_number_ = emitted_ + 1;
}

void RaftCore::emit_append() {
  if (whole_number() == emitted_) return;
  Append append;
  append.number = ++emitted_;
  append.hard = {term_, vote_, commit_};
  if (broken(Mutant::kVoteNotPersisted)) append.hard.vote = kNobody;
  if (broken(Mutant::kTermNotPersisted)) append.hard = {log_.last_term(), kNobody, commit_};
  if (install_) install_number_ = append.number;
  append.install = std::exchange(install_, std::nullopt);
  append.first = log_.unwritten_first();
  append.entries = log_.take_unwritten(append.number);
  if (!broken(Mutant::kWitnessRecordNotPersisted)) append.record = record_;
  hard_dirty_ = false;
  under_way_.emplace(append.number, now_);
  output_.append = std::move(append);
}

void RaftCore::appended(std::uint64_t number) {
  ASSERT(number <= emitted_);
  if (number <= durable_) return;
  durable_ = number;
  under_way_.erase(under_way_.begin(), under_way_.upper_bound(number));
  log_.written(number);
  if (!install_ && install_number_ != 0 && install_number_ <= number) {
    install_number_ = 0;
    handed_ = log_.compacted();
    ASSERT(output_.committed.empty());
    output_.installed = std::exchange(installing_, std::nullopt);
  }
  const auto still =
      std::stable_partition(held_.begin(), held_.end(), [&](const Held& held) { return held.after <= durable_; });
  for (auto held = held_.begin(); held != still; ++held) output_.messages.push_back(std::move(held->message));
  held_.erase(held_.begin(), still);
  if (role_ == Role::kCandidate && hard_number_ <= durable_) take_vote(options_.id, true);
  if (role_ == Role::kLeader) maybe_commit();
}

// The state machine gets what is committed and on this disk: a store reads its values from there, and what a restart
// would lose must not have been read by anyone.
LogIndex RaftCore::may_hand_out() const {
  if (install_ || install_number_ != 0) return handed_;
  const LogIndex on_disk = broken(Mutant::kCountSelfUnsynced) ? log_.last_index() : log_.stable();
  return std::max(handed_, std::min(commit_, on_disk));
}

void RaftCore::hand_out(std::size_t most) {
  if (install_ || install_number_ != 0) return;
  const LogIndex last = handed_ + std::min<LogIndex>(most, may_hand_out() - handed_);
  for (; handed_ < last; ++handed_) {
    output_.committed.push_back(log_.at(handed_ + 1));
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, output_.committed.back().bytes());
  }
  log_.trim(handed_, options_.memory_bytes);
}

void RaftCore::commit_to(LogIndex index) {
  if (index <= commit_) return;
  ASSERT(index <= log_.last_index());  // nothing commits before it is in the log
  commit_ = index;
}

// An Append takes so long that the disk has to be given up for now: others can lead.
bool RaftCore::disk_hangs() const {
  return !under_way_.empty() && now_ - under_way_.begin()->second > 2 * election_timeout_;
}

void RaftCore::compact(LogIndex index) {
  ASSERT(index <= handed_);
  log_.compact(index);
}

void RaftCore::fsync_took(Duration time) {
  if (time < fsync_time_) return;
  // Beyond what stretches anything there is nothing to remember.
  fsync_time_ = std::min(time, kLongestTimeout * options_.election_timeout / kFsyncsPerElection);
  fsync_aged_ = now_;
  follow_fsync();
}

void RaftCore::forget_slow_fsync() {
  const Duration half_life = kFsyncHalfLife * options_.election_timeout;
  if (now_ - fsync_aged_ < half_life) return;
  for (; now_ - fsync_aged_ >= half_life && fsync_time_ > Duration(0); fsync_aged_ = fsync_aged_ + half_life) {
    fsync_time_ /= 2;
  }
  follow_fsync();
}

void RaftCore::follow_fsync() {
  election_timeout_ = std::max(kFsyncsPerElection * fsync_time_, options_.election_timeout);
}

}  // namespace kayak::store::raft
