// replica.h: the shell around one member's RaftCore: it gives the core time, writes what it appends, sends what it
// says, hands out what is committed. What entries mean is its host's business (sqlite_store.h).
// It does what raft/README.md, "What the shell owes", asks for; test/sim/node.cc is the same for simulated clusters.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "io/loop.h"
#include "store/log_payload.h"
#include "store/raft/raft.h"
#include "store/storage.h"

namespace kayak::store {

// What a member that stands aside answers.
Error removed_while_away();

class Replica {
 public:
  struct Host {
    // In order; every entry is committed and on this disk.
    std::function<void(const EntryRef& entry)> apply;
    // Rows that apply() will want to know the values of.
    std::function<std::vector<RowId>(const Entry& entry)> rows_to_fetch;
    // Role, term, leader or readiness may be others than before.
    std::function<void()> changed;
    // For others; null when there will be none.
    std::function<void(raft::Message message)> send;
    // The state is to be kept ready for a follower: snapshot_ready() or snapshot_failed().
    std::function<void(raft::NodeId to)> snapshot_wanted;
    std::function<void(raft::SnapshotId id)> snapshot_released;
    // The state of another is to be fetched, in place of an earlier one: snapshot_fetched().
    std::function<void(const raft::SnapshotFetch& fetch)> fetch_snapshot;
    // What was fetched is to be written down now, with `write` on top of it.
    std::function<void(std::uint64_t number, LogWrite write)> install;
    // It is in its place: the entries that follow are on top of it.
    std::function<void()> installed;
    // This server's log ends before an entry that it had acknowledged; null in a group of one.
    std::function<void(LogIndex acknowledged)> lost;
  };

  // `storage` outlives it. Nothing happens before start().
  Replica(Context context, Storage& storage, raft::Options options, Host host);
  ~Replica();
  void start(raft::Restored restored);
  // Forgets what is not on disk and begins anew after `pause`, for a group of one whose disk is full: nobody else has
  // seen any of it.
  void start_over(LogIndex applied, Duration pause);
  void start_over_now();  // without waiting for the end of the pause
  // The disk takes nothing for now: reads that wait for it are told why, until it has taken something. Not in a group
  // of one.
  void disk_is_full(const Error& error);
  // Hands out now all that is committed, however long that takes.
  void apply_all();
  // Nothing is sent, written or applied any more; then what is under way is waited for.
  void stop();
  Task<void> join();

  // The storage's reports. `took`: as in Appended::commit_time.
  void appended(std::uint64_t number, Duration took);
  void receive(raft::Message message);
  void peer_unreachable(raft::NodeId node);
  void snapshot_ready(raft::NodeId to, raft::SnapshotId id, LogIndex index);
  void snapshot_failed(raft::NodeId to);
  void snapshot_fetched(raft::SnapshotId id, bool complete);
  // The log no longer has entries up to `index` one by one.
  void compacted(LogIndex index);

  const raft::RaftCore& core() const { return *core_; }
  // Leads, and every write that was ever acknowledged is applied: entries can be evaluated.
  bool leads() const { return running_ && core_->ready() && !core_->transferring(); }
  // Nobody else holds or awaits the log.
  bool alone() const;
  // `entry` has the index after the last and this term. Errors: as RaftCore::propose.
  Result<void> propose(std::shared_ptr<const Entry> entry);
  Result<LogIndex> change_membership(const raft::MembershipChange& change);
  std::optional<raft::RaftCore::Hindrance> hindrance(const raft::MembershipChange& change);
  void stand_aside();
  Result<void> transfer_leadership(raft::NodeId to);
  // Ends when the state covers every write acknowledged before the call. Errors: Unavailable (nobody leads, or what is
  // missing finds no space on the disk), Cancelled.
  Task<Result<void>> confirm(StopToken stop);

 private:
  struct Read {
    io::Event done;
    bool confirmed = false;
    std::optional<Error> error;
  };
  Instant now() const { return context_.clock.now(); }
  void settle(bool all = false);
  void begin_slice();
  Task<void> next_turn();
  void perform(raft::Output& output);
  void write(raft::Append append);
  void serve_reads();
  Task<void> fetch_entries(raft::Fetch wanted);
  bool overfull(const raft::Message& message) const;
  void set_timer();
  void on_timer();

  Context context_;
  Storage& storage_;
  const raft::Options options_;
  Host host_;
  std::unique_ptr<raft::RaftCore> core_;
  bool running_ = false, stopped_ = false;
  bool settling_ = false, again_ = false;
  std::optional<Instant> slice_end_;  // of applying, in this turn of the loop
  LogIndex applied_ = 0;
  std::uint64_t number_base_ = 0;  // a core that begins anew counts its Appends from 1
  std::uint64_t last_number_ = 0;  // that the storage was given
  raft::HardState written_hard_;
  std::map<std::uint64_t, std::shared_ptr<Read>> reads_;
  std::multimap<LogIndex, std::shared_ptr<Read>> waiting_reads_;  // until this entry is applied
  std::optional<Error> full_;                                     // the disk
  std::uint64_t next_read_;
  // Entries that the storage was given and has not reported, by the number of their Append, and their bytes together.
  std::deque<std::pair<std::uint64_t, std::size_t>> unwritten_;
  std::size_t unwritten_bytes_ = 0;
  std::optional<Instant> timer_at_;
  Loop::Timer timer_;
  io::TaskScope scope_;
};

}  // namespace kayak::store
