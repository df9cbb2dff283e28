// raft.h: the Raft core of one member, and the front door of src/store/raft. Events come in, effects go out through
// take_output(); no clock, no I/O, no randomness of its own. README.md says what the shell around it owes.
// Source: the dissertation; each .cc names its sections.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "store/raft/log.h"
#include "store/raft/membership.h"
#include "store/raft/messages.h"
#include "store/raft/mutant.h"
#include "store/raft/progress.h"

namespace kayak::store::raft {

struct Options {
  NodeId id = kNobody;
  bool witness = false;  // this member votes, holds no log and never campaigns
  // The shortest wait before a silent leader is given up; each wait is random between one and two of these. A group
  // shares one value: lease reads stand on it.
  Duration election_timeout = std::chrono::milliseconds(1000);
  Duration heartbeat_interval = std::chrono::milliseconds(200);
  std::size_t max_append_bytes = 1024 * 1024;            // of the entries of one message
  std::size_t max_uncommitted_bytes = 32 * 1024 * 1024;  // accepted and not yet handed out; more is refused
  std::size_t memory_bytes = 2 * 1024 * 1024;            // of applied entries kept for followers
  Window window;                                         // per follower
  // Answers ReadIndex without a round while a majority was heard within election_timeout. Trusts that no clock runs
  // a tenth faster than another.
  bool lease_reads = false;
  Mutant mutant = Mutant::kNone;  // tests alone
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// To be written, in this order and as one transaction, after every Append of a lower number.
struct Append {
  std::uint64_t number = 0;
  HardState hard;
  std::optional<SnapshotMeta> install;  // the fetched state replaces state and log
  LogIndex first = 0;                   // the log above first - 1 goes, then `entries` follow; 0: it stays
  std::vector<Entry> entries;
  std::optional<WitnessRecord> record;
};
// Wanted from disk for a follower: entries from `first` on, about `max_bytes`, at least one. Answer with fetched().
struct Fetch {
  NodeId to = kNobody;
  LogIndex first = 0;
  std::size_t max_bytes = 0;
};
struct SnapshotFetch {
  NodeId from = kNobody;
  SnapshotMeta snapshot;
};
struct ReadDone {
  std::uint64_t id = 0;
  bool confirmed = false;  // false: ask again, at the leader if there is one
  LogIndex index = 0;      // read when this entry is applied
};

// Effects. Messages may leave at once, in any order: those that speak of the disk are held back in the core until the
// disk has caught up.
struct Output {
  std::vector<Message> messages;
  std::optional<Append> append;
  std::optional<SnapshotMeta> installed;  // it is on disk: the state machine is replaced, before `committed`
  std::vector<Entry> committed;           // to apply, in order; they are committed and on this disk
  std::vector<ReadDone> reads;
  std::vector<Fetch> fetches;
  std::vector<NodeId> snapshots_wanted;  // make one for this follower: snapshot_ready() or snapshot_failed()
  std::vector<SnapshotId> snapshots_released;
  std::optional<SnapshotFetch> snapshot_fetch;  // replaces an earlier one: snapshot_fetched()
  // This member has acknowledged the entries up to here, and its log ends before; or, a witness, the record of this
  // version, and has an older one. It must not go on under its id.
  std::optional<LogIndex> lost;
};

class RaftCore {
 public:
  // `random` must outlive the core.
  RaftCore(Options options, Restored restored, Random& random, Instant now);

  // Moves time. Timers that are due fire; `now` before an earlier one counts as that one.
  void advance(Instant now);
  // When advance() is next worth a call, if nothing happens before.
  Instant deadline() const;
  // What take_output() gives changes with every call below and with advance(). Of what is committed it hands out the
  // next `most` entries: a shell that must not apply for long comes again while more_committed().
  Output take_output(std::size_t most = SIZE_MAX);
  bool more_committed() const { return handed_ < may_hand_out(); }

  // A message from a peer that the shell has authenticated as message.from. Whatever it says, nothing breaks here.
  void step(Message message);
  // Messages that no sound member sends: they changed nothing.
  std::uint64_t refused() const { return refused_; }
  // Every Append up to this one is on disk. Numbers, not (index, term): an entry can be written, overwritten and come
  // back with the same index and term while the disk is still at the first.
  void appended(std::uint64_t number);
  void fetched(NodeId to, LogIndex first, std::vector<Entry> entries);  // empty: it cannot be read (any more)
  // The state after `index` lies ready under `id` for follower `to`. Compaction beyond `index` waits until released.
  void snapshot_ready(NodeId to, SnapshotId id, LogIndex index);
  void snapshot_failed(NodeId to);
  void snapshot_fetched(SnapshotId id, bool complete);
  // Entries up to `index`, all applied, no longer exist one by one.
  void compact(LogIndex index);
  // An fsync of this node took so long: its timeouts follow the slowest one, which is forgotten by and by.
  void fsync_took(Duration time);
  void peer_unreachable(NodeId node);  // a connection broke: what was sent ahead is probably lost

  // Returns the entry's index; its term is term(). It is committed when it, and not another of its index, is handed
  // out. Errors: Unavailable (not the leader, or about to step down), TooManyRequests (max_uncommitted_bytes).
  Result<LogIndex> propose(PayloadRef payload);
  // As propose. Errors also: that of hindrance().
  Result<LogIndex> change_membership(const MembershipChange& change);
  // Why change_membership() would refuse now, and because of which members. Errors: Unavailable (not the leader, the
  // learner is not caught up, the others are not in sync), Conflict (the change before it, or the first entry of this
  // term, is not committed yet), those of changed().
  struct Hindrance {
    Error error;
    std::vector<NodeId> members;
  };
  std::optional<Hindrance> hindrance(const MembershipChange& change) const;
  // Errors: Unavailable (not the leader), Invalid (not another voter).
  Result<void> transfer_leadership(NodeId to);
  // The group says that this member was removed from it while it was away: it campaigns no more, and has no deadline,
  // until a leader speaks to it.
  void stand_aside();
  bool stands_aside() const { return aside_; }
  // Asks for an index that covers every write acknowledged before. `id` comes back in Output::reads.
  void read(std::uint64_t id);

  NodeId id() const { return options_.id; }
  Role role() const { return role_; }
  Term term() const { return term_; }
  NodeId leader() const { return leader_; }  // kNobody: not known
  LogIndex commit() const { return commit_; }
  // A leader whose first entry is applied: only then does the state hold every acknowledged write.
  bool ready() const { return role_ == Role::kLeader && handed_ >= term_start_; }
  bool transferring() const { return transferee_ != kNobody; }
  const RaftLog& log() const { return log_; }
  const Membership& membership() const { return *log_.membership(); }
  const std::optional<WitnessRecord>& record() const { return record_; }
  // Null when not the leader or not a member.
  const Progress* progress(NodeId node) const;
  Duration election_timeout() const { return election_timeout_; }

 private:
  struct PendingRead {
    std::uint64_t id;  // of the caller, or the batch of `from`
    NodeId from;
    std::uint64_t round = 0;  // 0: not asked for yet
    LogIndex index = 0;
  };
  struct Held {
    std::uint64_t after;  // this Append
    Message message;
  };

  // raft.cc
  bool broken(Mutant mutant) const { return options_.mutant == mutant; }
  bool accept_higher_term(const Message& message);
  void answer_lower_term(const Message& message);
  void become_follower(Term term, NodeId leader);
  bool hear_leader(NodeId leader);
  void hear(Progress* progress);
  void send(NodeId to, Body body) { send_after(to, std::move(body), hard_number_); }
  void send_after(NodeId to, Body body, std::uint64_t append, std::optional<Term> term = std::nullopt);
  void hold(std::uint64_t append, Message message);
  // The Append with which everything that is in memory now will be on disk.
  std::uint64_t whole_number() const;
  void hard_changed();
  void emit_append();
  LogIndex may_hand_out() const;
  void hand_out(std::size_t most);
  void commit_to(LogIndex index);
  bool disk_hangs() const;
  void forget_slow_fsync();
  void follow_fsync();

  // election.cc
  bool may_campaign() const;
  bool holds_back_votes() const;
  void wait_for_leader();
  void retry_soon();
  void campaign();
  void start_election(bool transfer);
  void take_vote(NodeId from, bool granted);
  void become_leader();
  bool lost_quorum() const;
  bool would_vote(const Message& message, const RequestVote& request) const;
  void handle(const Message& message, RequestVote& request);
  void handle(const Message& message, RequestVoteReply& reply);
  void handle(const Message& message, TimeoutNow& request);
  void move_leadership();

  // follower.cc
  void handle(const Message& message, AppendEntries& request);
  void handle(const Message& message, Heartbeat& request);
  void handle(const Message& message, InstallSnapshot& request);
  void accept_entries(AppendEntries& request);
  void acknowledge(NodeId leader, LogIndex index, std::uint64_t read_round);

  // replication.cc
  void handle(const Message& message, AppendEntriesReply& reply);
  void handle(const Message& message, HeartbeatReply& reply);
  void handle(const Message& message, InstallSnapshotReply& reply);
  Progress* find(NodeId node);
  void sync_progress();
  void replicate();
  bool send_entries(NodeId to, Progress& progress, bool even_empty);
  void send_append(NodeId to, Progress& progress, std::vector<Entry> entries);
  void send_heartbeat(NodeId to, Progress& progress);
  void beat();
  void maybe_commit();
  LogIndex match_of(NodeId node) const;
  void want_snapshot(NodeId to, Progress& progress);
  void release_snapshot(Progress& progress);
  LogIndex append_own(PayloadRef payload, MembershipRef membership);
  std::optional<Hindrance> early_hindrance(const MembershipChange& change) const;

  // read_index.cc
  void handle(const Message& message, ReadIndex& request);
  void handle(const Message& message, ReadIndexReply& reply);
  void start_reads();
  void start_round();
  void finish_reads();
  void answer_read(const PendingRead& read, LogIndex index);
  void forward_reads();
  void fail_reads();
  bool lease_holds() const;
  std::uint64_t confirmed_round() const;

  // witness.cc
  void handle(const Message& message, RecordInSync& request);
  void handle(const Message& message, RecordInSyncReply& reply);
  void bind_commits();
  void review_in_sync();
  bool keeps_up(NodeId node) const;
  bool may_be_recorded(NodeId node) const;
  void send_record();
  std::uint64_t acknowledged_record() const { return wanted_ && wanted_written_ ? wanted_->version : 0; }
  bool has_lost_record(std::uint64_t acknowledged) const;
  bool witness_would_vote(NodeId candidate, const RequestVote& request) const;

  const Options options_;
  Random& random_;
  RaftLog log_;
  Instant now_;
  const Instant started_;
  // Of the slowest fsync that is remembered, halved since now and then; the last time was at fsync_aged_.
  Duration fsync_time_{};
  Instant fsync_aged_;
  Duration election_timeout_;  // stretched by it: for what needs this node's disk, and for nothing else

  // The hard state, and which Append made it durable.
  Term term_ = 0;
  NodeId vote_ = kNobody;
  std::optional<WitnessRecord> record_;
  bool hard_dirty_ = false;
  std::uint64_t hard_number_ = 0;    // of the Append with the newest term and vote
  std::uint64_t record_number_ = 0;  // and of that with the newest record

  std::uint64_t emitted_ = 0, durable_ = 0;     // numbers of Appends
  std::map<std::uint64_t, Instant> under_way_;  // Appends that the disk has not answered: since when
  std::vector<Held> held_;
  Output output_;
  std::uint64_t refused_ = 0;

  LogIndex commit_ = 0;
  LogIndex handed_ = 0;  // entries up to here went to the state machine

  Role role_ = Role::kFollower;
  NodeId leader_ = kNobody;
  Instant leader_heard_;
  bool aside_ = false;  // stand_aside()
  Instant election_due_;
  std::map<NodeId, bool> votes_;

  // Installing a snapshot.
  std::optional<SnapshotFetch> incoming_;   // the shell fetches it
  std::optional<SnapshotMeta> install_;     // to be written
  std::uint64_t install_number_ = 0;        // of the Append that does so; 0: none is under way
  std::optional<SnapshotMeta> installing_;  // what it writes

  // A leader's.
  std::map<NodeId, Progress> progress_;  // of all others
  LogIndex term_start_ = 0;              // the first entry of this term
  std::size_t uncommitted_bytes_ = 0;
  Instant heartbeat_due_;
  NodeId transferee_ = kNobody;
  Instant transfer_due_;
  bool timeout_now_sent_ = false;

  // Reads: at the leader those of everyone, else one's own.
  std::vector<PendingRead> reads_;
  std::uint64_t round_ = 0;
  std::map<std::uint64_t, Instant> round_sent_;  // of rounds not confirmed yet
  Instant lease_until_;
  bool lease_void_ = false;  // somebody was told to campaign in spite of it
  std::uint64_t next_batch_;
  std::uint64_t batch_asked_ = 0;  // 0: none is under way
  Instant batch_due_;              // given up then

  // A leader's, in a group with a witness.
  std::vector<NodeId> required_;         // an entry is committed when all of these have it
  std::uint64_t record_version_ = 0;     // of the last record of this term
  std::optional<WitnessRecord> wanted_;  // the witness is to have this one; unset: nothing asked yet
  bool wanted_written_ = false;          // it has
};

}  // namespace kayak::store::raft
