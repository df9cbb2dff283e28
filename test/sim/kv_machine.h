// kv_machine.h: the real key-value layer of one simulated server: its evaluator, state, recent history, watches and
// past reads over rows. What SqliteStore does around them with a loop and a storage thread is done here in one step.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/kv_rows.h"
#include "sim/state_machine.h"
#include "store/database.h"
#include "store/evaluator.h"
#include "store/history.h"
#include "store/reads.h"
#include "store/snapshot_stream.h"

namespace kayak::sim {

class KvMachine final : public StateMachine {
 public:
  KvMachine(ShellMutant mutant, std::size_t history_bytes);
  ~KvMachine() override { watches_->close(); }

  Proposal evaluate(const Command& command, raft::LogIndex index, raft::Term term) override;
  void complete(Answer* answer) override;
  void forget_proposals() override;
  void apply(const raft::Entry& entry) override;
  Answer read(const Command& command) override;
  ImageRef image() const override;
  void restore(const ImageRef& image) override;
  const raft::PayloadCodec& payloads() const override;
  std::uint64_t digest() const override { return digest_; }
  KvMachine* kv() override { return this; }

  // Instead of restore(), for a server with a real database: row by row, then the whole.
  Result<void> load(store::RowId row, const store::RowView& view, bool complete) {
    return state_.apply(row, view, complete);
  }
  void loaded(store::Database& database, LogIndex applied, std::uint64_t digest);
  // `state` was read from another server's, which lies in `database` now.
  void replace(store::KvState state, store::Database& database, LogIndex applied, std::uint64_t digest);
  // Of an image() that a server with a database made: the stream of a snapshot.
  static std::string_view stream_of(const ImageRef& image);

  // One slice of the work that a compaction leaves, on rows in memory.
  void sweep(std::size_t rows);
  // And what a database does of it. None: nothing is to be done.
  std::optional<store::SweepLimits> sweep_limits(std::size_t rows) const;
  void swept(const store::SweepResult& result);
  bool sweep_pending() const { return state_.floor() > 0 && !swept_; }

  const store::KvState& state() const { return state_; }
  // Also by what is proposed.
  bool granted(store::LeaseId lease) const { return store::KeyView(state_, pending_).granted(lease); }
  Revision revision() const { return state_.revision(); }
  // As SqliteStore's: watches cannot begin up to here.
  Revision compacted() const { return std::max(state_.floor() - 1, state_.base_revision()); }
  // Entries up to here are in the state.
  LogIndex applied() const { return applied_; }
  store::WatchGroups& watches() { return *watches_; }
  bool progress_due() { return std::exchange(progress_due_, false); }
  // Rows that are needed at today's floor stay for as long as the pin is held.
  std::shared_ptr<const void> pin();
  // Errors: Corrupt (a row is missing).
  Result<store::WatchSlice> read_events(const store::WatchGroup& group, const store::WatchStep& step, bool previous);
  Result<std::vector<store::Bytes>> read_values(const std::vector<store::RowId>& rows) {
    return store::read_values(*rows_, rows);
  }
  // States replaced one another so often: what was being read then is of no use.
  std::uint64_t generation() const { return generation_; }

 private:
  struct View final : store::WatchView {
    explicit View(KvMachine& m) : machine(m) {}
    Revision revision() const override { return std::max(machine.revision(), machine.early_); }
    Revision compacted() const override { return machine.compacted(); }
    store::History& history() override { return machine.history_; }
    KvMachine& machine;
  };

  Proposal evaluate_txn(const std::shared_ptr<const KvRequest>& request, LogIndex index, Term term);
  Proposal evaluate_compaction(Revision floor, LogIndex index, Term term);
  Proposal evaluate_lease(const KvRequest& request, LogIndex index, Term term);
  Proposal propose(store::Entry entry, std::shared_ptr<KvAnswer> answer);
  Revision pending_revision() const;
  Revision sweep_floor() const;
  void begin_anew(LogIndex applied, std::uint64_t digest);
  ImageRef stream() const;
  store::Bytes value_of(store::RowId row, Revision revision);
  store::Applied applied_of(const store::EntryRef& entry);
  void show(const store::EntryRef& entry);
  Result<store::RangeResponse> range(const store::RangeRequest& request, Revision at);

  const ShellMutant mutant_;
  const std::size_t history_bytes_;
  store::KvState state_;
  MemoryRows memory_;
  store::RowReader* rows_ = &memory_;  // or a database
  store::History history_;
  store::Pending pending_;
  std::deque<store::EntryRef> in_flight_;
  Revision pending_floor_ = 0;
  store::RowId pending_compact_row_ = 0;
  std::multiset<Revision> pins_;
  View view_;
  std::shared_ptr<store::WatchGroups> watches_;
  Revision early_ = 0;  // kWatchBeforeReadable: shown up to here
  Term evaluated_in_ = 0;
  LogIndex applied_ = 0;
  std::uint64_t digest_ = 0;
  std::uint64_t generation_ = 0;
  bool progress_due_ = false;
  bool swept_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kayak::sim
