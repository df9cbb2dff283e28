// sqlite_store.h: the embedded engine of one node, private to src/store.
// The shell around the pure parts: the leader evaluates on the loop and proposes entries to its replica of the log
// (replica.h), every server applies what is committed, and whoever asked is answered then.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "store/auto_promote.h"
#include "store/database_builder.h"
#include "store/embedded.h"
#include "store/etcd/client_kv.h"
#include "store/evaluator.h"
#include "store/group_metrics.h"
#include "store/lease_clock.h"
#include "store/reads.h"
#include "store/replica.h"
#include "store/snapshot_source.h"
#include "store/storage.h"
#include "store/watch_hub.h"

namespace kayak::store {

class SqliteStore final : public EmbeddedStore, private WatchSource {
 public:
  static Task<Result<std::unique_ptr<EmbeddedStore>>> open(Context context, EmbeddedOptions options);
  ~SqliteStore() override;

  Task<Result<RangeResponse>> range(RangeRequest request, StopToken stop) override;
  Task<Result<TxnResponse>> txn(TxnRequest request, StopToken stop) override;
  Result<std::unique_ptr<Watch>> watch(WatchRequest request) override;
  Task<Result<void>> compact(Revision revision, StopToken stop) override;
  Result<std::unique_ptr<StateStream>> snapshot() override;
  Task<Result<void>> defragment(StopToken stop) override;
  Task<Result<Lease>> lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) override;
  Task<Result<Revision>> lease_revoke(std::int64_t id, StopToken stop) override;
  Task<Result<Lease>> lease_keep_alive(std::int64_t id, StopToken stop) override;
  Task<Result<Lease>> lease_time_to_live(std::int64_t id, bool keys, StopToken stop) override;
  Task<Result<std::vector<std::int64_t>>> leases(StopToken stop) override;
  Revision revision() const override { return state_.revision(); }
  // Watches cannot begin up to here. A state that came as a whole can be read at its revision, but does not tell how it
  // came about.
  Revision compacted() const override { return std::max(state_.floor() - 1, state_.base_revision()); }
  Task<Result<Revision>> current_revision(StopToken stop) override;
  Leadership leadership() const override { return leadership_; }
  Task<bool> leadership_changed(Leadership known, StopToken stop) override;
  Result<void> healthy() const override;
  Stats stats() const override;
  Task<void> close() override;

  void receive(raft::Message message) override { replica_->receive(std::move(message)); }
  void peer_unreachable(raft::NodeId node) override { replica_->peer_unreachable(node); }
  void stand_aside() override { replica_->stand_aside(); }
  Store& here() override;
  Task<void> hand_over() override;
  std::vector<Member> members() const override;
  Task<Result<void>> add_learner(MemberRecord member, StopToken stop) override;
  Task<Result<void>> add_witness(MemberRecord member, StopToken stop) override;
  Task<Result<void>> promote(raft::NodeId id, StopToken stop) override;
  Task<Result<void>> remove(raft::NodeId id, StopToken stop) override;
  Task<Result<void>> update_addresses(raft::NodeId id, std::vector<std::string> addresses, StopToken stop) override;
  Task<Result<void>> transfer_leadership(raft::NodeId id, StopToken stop) override;

 private:
  // Told when its entry is committed, or why it never will be.
  struct Waiter {
    io::Event done;
    std::optional<Error> error;
    bool superseded = false;  // another entry took its place: it has not happened and never will
  };
  using WaiterRef = std::shared_ptr<Waiter>;
  struct InFlight {
    EntryRef entry;
    std::vector<WaiterRef> waiters;
  };
  // As long as one lives, no row that is needed at the floor of its making is dropped.
  class Pin;
  // Counts the calls that use the storage; close() waits for the last.
  class Active;
  struct RangeRun;
  class Loader;

  class Here;

  SqliteStore(Context context, EmbeddedOptions options);
  Result<void> usable() const;
  std::uint64_t member_id(std::string_view store_id) const;
  bool is_alone(const Loader& loader) const;
  Result<void> start(Loader& loader);
  Error stale_term(std::uint64_t term) const;
  static Error replaced_too_often();

  // The write path, in its order.
  Task<Result<TxnResponse>> txn(TxnRequest request, bool carries, StopToken stop);
  bool may_propose() const { return leadership_.leads && !full_ && room_.is_set() && !failed_ && !closing_; }
  // Until this server may propose; it may not any more when others ran in between. Errors: Unavailable (another one
  // leads, or nobody does), NoSpace, Conflict (it does not lead in `term`), Cancelled.
  Task<Result<void>> wait_to_propose(std::uint64_t term, StopToken stop);
  Task<Result<void>> wait_for_room(StopToken stop);
  Task<Result<void>> wait_to_lead(std::uint64_t term, StopToken stop);
  Result<Evaluation> evaluate_now(const TxnRequest& request, bool reads_only,
                                  const std::map<RowId, Bytes>& fetched) const;
  Task<Result<void>> fetch_wanted(std::vector<Evaluation::Wanted> wanted, Storage::Epoch epoch,
                                  std::map<RowId, Bytes>* fetched);
  LogIndex next_index() const;
  static Entry entry_of(Evaluation* evaluation);
  static std::size_t in_flight_cost(const EntryRef& entry);
  // Of the group's leader alone, with nothing between the evaluation and this.
  WaiterRef propose(Entry entry);
  void on_appended(Appended appended);
  void apply(const EntryRef& entry);
  void apply_effects(const EntryRef& entry);
  void settle_waiters(const EntryRef& entry);
  Bytes value_before(const KeyRecord& before);
  void on_append_failed(const Error& error);
  void on_replica_changed();
  void signal_leadership();
  void begin_to_lead();
  void cease_to_lead();
  void on_fatal(const Error& error);
  void on_lost(LogIndex acknowledged);
  Task<void> give_up_log(LogIndex acknowledged);
  void fail_in_flight(const Error& error);
  void tell_waiters(const Error& error) const;
  Task<Result<void>> wait_for(WaiterRef waiter, StopToken stop);
  Revision pending_revision() const {
    return in_flight_.empty() ? state_.revision() : in_flight_.back().entry->revision;
  }
  std::vector<RowId> rows_to_fetch(const Entry& entry) const;

  // What another server does for this one (forward.cc). Nothing: it has not begun, and who leads may have changed.
  void open_here();
  // After an answer was found in this server's state, without a write: whether a majority vouches for what it saw.
  // False: it may have seen what never was, or what others have changed.
  Task<Result<bool>> vouched(StopToken stop);
  bool led_elsewhere() const;
  // In a group, of a server whose disk is full: why it takes no part for now.
  Error left_behind() const;
  Task<void> give_up_when_replaced(raft::NodeId leader, io::StopSource* call, StopToken stop);
  template <typename T>
  using CallLeader = std::function<Task<etcd::Outcome<T>>(const etcd::EtcdKv& leader, StopToken stop)>;
  template <typename T>
  Task<etcd::Outcome<T>> ask(raft::NodeId leader, CallLeader<T> call, StopToken stop);
  template <typename T>
  Task<Result<std::optional<T>>> carry(CallLeader<T> call, Instant until, StopToken stop);
  // For calls that may be made at the leader alone: nothing when this is it, else the answer of the one it was carried
  // to. Without `carries` the call came from another server and goes no further: Unavailable, "no leader", when this
  // one does not lead (any more).
  template <typename T>
  Task<Result<std::optional<T>>> here_or(CallLeader<T> call, bool carries, StopToken stop);
  Task<Result<void>> wait_here(StopToken stop);
  bool leads_with_space() const { return leadership_.leads && !full_ && !failed_ && !closing_; }
  Instant patience() const;

  // The group (group.cc).
  void connect(Replica::Host* host);
  Task<Result<void>> wait_to_change(raft::MembershipChange change, StopToken stop);
  Task<Result<void>> change(raft::MembershipChange change, StopToken stop);
  Task<Result<void>> until_applied(LogIndex index, StopToken stop);
  Task<Result<void>> add(MemberRecord member, raft::MembershipChange::Type type, StopToken stop);
  // Its revision; 0: it was as it is.
  Task<Result<Revision>> write_record(MemberRecord member, StopToken stop);
  Task<void> take_back_record(raft::NodeId id, Revision written);
  Result<void> leading() const;
  std::vector<raft::NodeId> successors() const;
  void note_record(const Effect& effect);
  void records_changed();
  Task<Result<void>> load_records();
  void make_snapshot(raft::NodeId to);
  std::unique_ptr<SnapshotSource> make_source();
  Result<std::unique_ptr<PeerSnapshot>> open_snapshot(raft::NodeId to, raft::SnapshotId id);
  Task<void> fetch_snapshot(raft::SnapshotFetch fetch);
  Task<void> pause_fetching(Error error, StopToken stop);
  Task<Result<void>> pull(const raft::SnapshotFetch* fetch, std::shared_ptr<DatabaseBuilder> builder, StopToken stop);
  Task<void> dispose(std::shared_ptr<void> thing);
  void install(std::uint64_t number, LogWrite write);
  void replace_state();
  Task<void> reload_records();
  void watch_learners();
  Task<void> promote_when_ready(raft::NodeId id);
  // The read path. While it waits for the storage thread, another server's state may take the place of the one that it
  // reads: what was learned of that is then of no use, and each of these ends with Expired.
  // So often a read begins anew then, before it is Unavailable.
  static constexpr int kFreshStarts = 5;
  Task<Result<void>> fill(Evaluation* evaluation, Storage::Epoch epoch, StopToken stop);
  Task<Result<void>> fill_missing(Evaluation* evaluation, Storage::Epoch epoch);
  Task<Result<void>> fill_past_ranges(Evaluation* evaluation, StopToken stop);
  Task<Result<RangeResponse>> range_at(RangeRequest request, Revision at, StopToken stop);
  Task<Result<void>> range_slice(RangeRun* run);
  Task<Result<void>> settle_past(const RangeRun* run, bool values, std::vector<PastVersion>* versions);
  Task<Result<std::vector<Bytes>>> read_values(std::vector<RowId> rows, Storage::Epoch epoch);
  History& history() override { return history_; }
  Task<Result<Slice>> read_events(std::string key, std::string range_end, Revision from, Revision to,
                                  bool previous) override;
  Task<Result<std::vector<Bytes>>> read_values(std::vector<RowId> rows) override;

  // Leases (leases.cc). Their time runs where this server leads: from leases_start(), when all that is committed is
  // applied, to leases_stop().
  void leases_start();
  void leases_stop();
  void lease_applied(const Effect& effect);
  LeaseId free_lease_id();
  void arm_lease_timer();
  void on_lease_timer();
  bool time_stands() const;
  Task<void> expire(LeaseId id);
  Task<Result<Lease>> grant(LeaseId id, std::int64_t ttl, bool carries, StopToken stop);
  Task<Result<Revision>> revoke(LeaseId id, bool carries, StopToken stop);  // without: in this term as a leader alone
  Task<Result<Lease>> keep_alive(LeaseId id, bool carries, StopToken stop);
  Task<Result<Lease>> time_to_live(LeaseId id, bool keys, bool carries, StopToken stop);

  // Compaction.
  Task<Result<void>> compact(Revision revision, bool carries, StopToken stop);
  Result<void> may_compact(Revision revision) const;
  Revision sweep_floor() const;
  Task<void> sweep_forever();
  Task<void> compact_forever();

  // Defragmentation (defragment.cc).
  struct Defragmentation {
    io::Event done;
    Result<void> result;
  };
  Task<void> defragment_now(std::shared_ptr<Defragmentation> told);
  Task<Result<void>> copy_database();

  Context context_;
  const EmbeddedOptions group_options_;
  const SqliteStoreOptions& options_ = group_options_.store;
  KvState state_;
  History history_;
  // A leader's: what it proposed and has not applied yet.
  Pending pending_;
  std::deque<InFlight> in_flight_;
  // Of entries proposed when this server led; whether they are committed is known when their index is applied, or
  // something of a newer term before it. All are of one term: those before it are settled when this server leads again.
  struct Unresolved {
    Term term = 0;
    std::vector<WaiterRef> waiters;
  };
  std::map<LogIndex, Unresolved> unresolved_;
  std::map<raft::NodeId, MemberRecord> records_;
  // States kept ready for followers, one of which may be sent at the moment.
  std::map<raft::SnapshotId, std::shared_ptr<SnapshotSource>> snapshots_;
  std::optional<raft::SnapshotId> fetching_;
  std::optional<io::StopSource> fetch_stop_;
  struct FailedFetches {  // one after the other
    Duration pause{};
    std::string message;  // of the last, and when it was logged
    Instant logged;
  } failed_fetches_;
  std::weak_ptr<void> building_;  // lives until the last database that was begun has been given up or installed
  std::shared_ptr<DatabaseBuilder> fetched_state_;  // whole, and waiting to be installed
  std::shared_ptr<KvState> installed_state_;
  AutoPromote auto_promote_;
  Loop::Timer learner_timer_;
  std::shared_ptr<Store> here_;
  Leadership leadership_;
  std::shared_ptr<io::Event> leadership_event_ = std::make_shared<io::Event>();  // of the next change
  std::map<RowId, Bytes> fetched_;  // read beside the appends that are not applied yet
  std::optional<Error> full_;       // the disk: writes are refused until the log can be written again
  std::uint64_t refusals_ = 0;      // of the full disk
  Loop::Timer retry_;
  std::size_t in_flight_bytes_ = 0;
  Revision pending_floor_ = 0;
  RowId pending_compact_row_ = 0;
  std::uint64_t bytes_since_compact_ = 0;
  WatchHub hub_;
  std::multiset<Revision> pins_;
  std::set<SnapshotSource*> sources_;  // of state that is being read
  std::size_t active_ = 0;
  bool closing_ = false;
  bool sweeping_ = false;
  bool defragmenting_ = false;
  std::optional<Error> failed_;
  io::Event idle_;  // active_ is 0
  io::Event room_;  // set when in-flight entries have gone
  io::Event sweep_wanted_;
  bool leases_run_ = false;
  LeaseClock lease_clock_;
  Instant lease_timer_at_;
  io::Loop::Timer lease_timer_;
  io::TaskScope scope_;
  Histogram& commit_seconds_;
  Histogram& group_entries_;
  GroupMetrics metrics_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<Replica> replica_;
};

}  // namespace kayak::store
