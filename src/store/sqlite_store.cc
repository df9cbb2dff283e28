// sqlite_store.cc: opening, the write path and closing. Reads stand in store_reads.cc, compaction in compaction.cc,
// who leads in leadership.cc.
#include "store/sqlite_store.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/strings.h"
#include "store/forward.h"

namespace kayak::store {

namespace {
constexpr Duration kFullDiskPause = std::chrono::milliseconds(250);

const std::vector<double> kSeconds = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1};
const std::vector<double> kEntries = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
}  // namespace

SqliteStore::SqliteStore(Context context, EmbeddedOptions options)
    : context_(std::move(context)),
      group_options_(std::move(options)),
      history_(options_.history_bytes),
      hub_(context_.loop, *this),
      commit_seconds_(context_.metrics.histogram("kayak_store_commit_seconds",
                                                 "Time a group of log entries takes to reach the disk.", kSeconds)),
      group_entries_(
          context_.metrics.histogram("kayak_store_group_entries", "Log entries that share one commit.", kEntries)),
      metrics_(context_.metrics) {
  idle_.set();
  room_.set();
}

SqliteStore::~SqliteStore() {
  while (!sources_.empty()) (*sources_.begin())->drop();
  hub_.close();
  replica_.reset();
  storage_.reset();
}

// Takes the rows of the log at a start: the state from those that are committed, the others as entries.
class SqliteStore::Loader {
 public:
  explicit Loader(KvState& state) : state_(state) {}
  // Both run on the storage thread, but only until the open has ended: nobody else looks at the state before.
  void begin(LogIndex commit) { commit_ = commit; }
  Result<void> take(RowId row, const RowView& view, bool complete) {
    if (row_index(row) <= commit_) return state_.apply(row, view, complete);
    if (EntryRef entry = assembler_.add(row, view)) tail_.push_back(std::move(entry));
    return Result<void>();
  }

  // The newest membership, committed or not.
  raft::MembershipRef membership() const {
    for (auto entry = tail_.rbegin(); entry != tail_.rend(); ++entry) {
      if (const auto& membership = (*entry)->effects.front().membership) return membership;
    }
    return state_.membership();
  }
  // What a group of one has on its disk is committed.
  Result<void> commit_all() {
    for (const EntryRef& entry : tail_) {
      for (std::size_t i = 0; i < entry->effects.size(); ++i) {
        const Result<void> done = state_.apply(row_id(entry->index, i), view_of(*entry, i), true);
        if (!done) return done.error();
      }
    }
    tail_.clear();
    return Result<void>();
  }
  raft::Restored restored(const LogFound& found) const {
    raft::Restored restored;
    restored.hard = found.hard;
    restored.compacted = found.compacted;
    restored.compacted_term = found.compacted_term;
    restored.applied = tail_.empty() ? found.last : tail_.front()->index - 1;
    restored.hard.commit = restored.applied;
    for (const raft::TermRun& run : found.terms) {
      if (run.first <= restored.applied) restored.terms.push_back(run);
    }
    if (state_.membership()) restored.membership = *state_.membership();
    restored.membership_index = state_.membership_index();
    for (const EntryRef& entry : tail_) restored.tail.push_back(to_raft(entry));
    return restored;
  }

 private:
  KvState& state_;
  LogIndex commit_ = 0;
  EntryAssembler assembler_;
  std::vector<EntryRef> tail_;
};

Task<Result<std::unique_ptr<EmbeddedStore>>> SqliteStore::open(Context context, EmbeddedOptions options) {
  std::unique_ptr<SqliteStore> store(new SqliteStore(std::move(context), std::move(options)));
  SqliteStore* self = store.get();
  Storage::Options storage_options;
  storage_options.database.path = self->options_.path;
  storage_options.database.vfs = self->options_.vfs;
  std::string& store_id = storage_options.database.store_id;
  store_id.resize(16);
  self->context_.random.fill(std::as_writable_bytes(std::span<char>(store_id)));
  if (!self->options_.joins) storage_options.database.first_member = self->member_id(store_id);
  storage_options.wal_bytes = self->options_.wal_bytes;
  Storage::Events events;
  events.appended = [self](Appended appended) { self->on_appended(std::move(appended)); };
  events.append_failed = [self](Error error) { self->on_append_failed(error); };
  events.fatal = [self](Error error) { self->on_fatal(error); };
  Loader loader(self->state_);
  Loader* takes = &loader;
  RowSink sink;
  sink.begin = [takes](LogIndex commit) { takes->begin(commit); };
  sink.row = [takes](RowId row, const RowView& view, bool complete) { return takes->take(row, view, complete); };
  auto storage =
      co_await Storage::open(self->context_.loop, std::move(storage_options), std::move(sink), std::move(events));
  if (!storage) co_return storage.error().while_doing("opening the store");
  self->storage_ = std::move(*storage);
  const Database::Base base = self->storage_->base();
  self->state_.begin_at(base.index, base.term, base.revision);
  if (self->is_alone(loader)) {
    auto done = loader.commit_all();
    if (!done) co_return damaged(self->options_.path, 0, done.error().message()).while_doing("opening the store");
  }
  // After the tail of a group of one, which may end with the removal of others: who was removed must not be heard.
  Result<void> records = co_await self->load_records();
  if (!records) co_return records.error().while_doing("opening the store");
  Result<void> started = self->start(loader);
  if (!started) co_return started.error().while_doing("opening the store");
  // A group of one leads as soon as it has written so; on a full disk it can still be read.
  while (self->replica_->alone() && !self->leadership_.leads && !self->full_ && !self->failed_) {
    const bool changed = co_await self->leadership_changed(self->leadership_, StopToken());
    if (!changed) break;
  }
  co_return std::unique_ptr<EmbeddedStore>(std::move(store));
}

std::uint64_t SqliteStore::member_id(std::string_view store_id) const {
  if (options_.member_id != 0) return options_.member_id;
  std::uint64_t id = 0;
  std::memcpy(&id, store_id.data(), sizeof id);
  return std::max<std::uint64_t>(id, 1);
}

bool SqliteStore::is_alone(const Loader& loader) const {
  const raft::MembershipRef group = loader.membership();
  return group && group->electors() == std::vector<raft::NodeId>{member_id(storage_->found().store_id)};
}

Result<void> SqliteStore::start(Loader& loader) {
  raft::Options raft_options;
  raft_options.id = member_id(storage_->found().store_id);
  raft_options.election_timeout = options_.election_timeout;
  raft_options.heartbeat_interval = options_.election_timeout / 5;
  raft_options.max_uncommitted_bytes = 2 * group_options_.in_flight_bytes;  // writers wait before that
  history_.start_at(state_.revision() + 1);
  if (state_.floor() > 0) sweep_wanted_.set();
  leadership_.self = raft_options.id;
  open_here();
  Replica::Host host;
  host.apply = [this](const EntryRef& entry) { apply(entry); };
  host.rows_to_fetch = [this](const Entry& entry) { return rows_to_fetch(entry); };
  host.changed = [this] { on_replica_changed(); };
  if (group_options_.transport != nullptr) connect(&host);
  replica_ = std::make_unique<Replica>(context_, *storage_, raft_options, std::move(host));
  replica_->start(loader.restored(storage_->found()));
  scope_.spawn(sweep_forever());
  if (options_.compact_interval > Duration(0)) scope_.spawn(compact_forever());
  return Result<void>();
}

Result<void> SqliteStore::usable() const {
  if (failed_) return Error(Code::kUnavailable, cat("the store has stopped: ", failed_->message()));
  if (closing_) return Error(Code::kUnavailable, "the store is closed");
  return Result<void>();
}

Task<Result<TxnResponse>> SqliteStore::txn(TxnRequest request, StopToken stop) {
  return txn(std::move(request), true, std::move(stop));
}

Task<Result<TxnResponse>> SqliteStore::txn(TxnRequest request, bool carries, StopToken stop) {
  if (auto good = check_txn(request); !good) co_return good.error();
  Active active(*this);
  const bool reads_only = !may_write(request);
  if (reads_only) {
    auto confirmed = co_await replica_->confirm(stop);
    if (!confirmed) co_return confirmed.error();
  }
  std::map<RowId, Bytes> fetched;
  const Instant until = patience();
  int fresh_starts = 0;
  for (;;) {
    while (!reads_only && !may_propose()) {
      if (!carries) {
        auto may = co_await wait_here(stop);
        if (!may) co_return may.error();
        continue;
      }
      if (full_ && !replica_->alone()) co_return left_behind();
      if (led_elsewhere() && request.term == 0) {
        CallLeader<TxnResponse> ask = [&request](const etcd::EtcdKv& leader, StopToken stop) {
          return leader.txn(request, stop);
        };
        auto carried = co_await carry<TxnResponse>(std::move(ask), until, stop);
        if (!carried) co_return carried.error();
        if (*carried) co_return std::move(**carried);
        continue;
      }
      auto may = co_await wait_to_propose(request.term, stop);
      if (!may) co_return may.error();
    }
    if (auto good = usable(); !good) co_return good.error();
    if (request.term != 0 && request.term != leadership_.term) co_return stale_term(request.term);
    // Until the answer is complete, what the evaluation sees stays readable.
    Pin pin(*this);
    const Storage::Epoch epoch = storage_->epoch();
    Result<Evaluation> evaluation = evaluate_now(request, reads_only, fetched);
    if (!evaluation) {
      if (reads_only) co_return evaluation.error();
      auto sure = co_await vouched(stop);
      if (!sure) co_return sure.error();
      if (*sure) co_return evaluation.error();
      continue;
    }
    if (!evaluation->wanted.empty()) {
      auto read = co_await fetch_wanted(evaluation->wanted, epoch, &fetched);
      const bool replaced = !read && read.error().code() == Code::kExpired;
      if (replaced && ++fresh_starts > kFreshStarts) co_return replaced_too_often();
      if (!read && !replaced) co_return read.error();
      continue;
    }
    // Nothing may suspend between the evaluation and this: the entry has the next index and revision.
    WaiterRef waiter;
    const bool writes = !evaluation->effects.empty();
    if (writes) {
      waiter = propose(entry_of(&*evaluation));
    } else if (evaluation->response.revision > state_.revision()) {
      // It saw what is not committed yet, so its answer waits for that.
      waiter = std::make_shared<Waiter>();
      in_flight_.back().waiters.push_back(waiter);
    }
    if (!waiter && !reads_only) {
      // It wrote nothing, so no majority has vouched for what it saw: another server may lead by now.
      auto sure = co_await vouched(stop);
      if (!sure) co_return sure.error();
      if (!*sure) continue;
    }
    if (waiter) {
      auto committed = co_await wait_for(waiter, stop);
      const bool saw_what_never_was = !writes && !committed && committed.error().code() == Code::kNoSpace;
      if (waiter->superseded || saw_what_never_was) continue;
      if (!committed) co_return committed.error();
    }
    auto filled = co_await fill(&*evaluation, epoch, stop);
    if (filled) co_return std::move(evaluation->response);
    if (filled.error().code() != Code::kExpired) co_return filled.error();
    if (writes) {
      co_return Error(Code::kUnavailable, "it was written, but what it was to answer cannot be read any more");
    }
    if (++fresh_starts > kFreshStarts) co_return replaced_too_often();
  }
}

Result<Evaluation> SqliteStore::evaluate_now(const TxnRequest& request, bool reads_only,
                                             const std::map<RowId, Bytes>& fetched) const {
  static const Pending kNothing;
  // A transaction that cannot write reads what is committed and waits for nobody.
  const Revision revision = (reads_only ? state_.revision() : pending_revision()) + 1;
  auto values = [&](RowId row, Revision mod_revision) {
    auto it = fetched.find(row);
    return it != fetched.end() ? it->second : history_.value(mod_revision, row);
  };
  KeyView view(state_, reads_only ? kNothing : pending_);
  return evaluate(request, std::move(view), state_, next_index(), revision, values);
}

// Compares of values that only the disk has: they are read, then all is evaluated anew, as it may have changed.
Task<Result<void>> SqliteStore::fetch_wanted(std::vector<Evaluation::Wanted> wanted, Storage::Epoch epoch,
                                             std::map<RowId, Bytes>* fetched) {
  std::vector<RowId> rows;
  for (const Evaluation::Wanted& one : wanted) rows.push_back(one.row);
  auto read = co_await read_values(rows, epoch);
  if (!read) co_return read.error();
  for (std::size_t i = 0; i < rows.size(); ++i) (*fetched)[rows[i]] = (*read)[i];
  co_return Result<void>();
}

LogIndex SqliteStore::next_index() const { return replica_->core().log().last_index() + 1; }

Entry SqliteStore::entry_of(Evaluation* evaluation) {
  Entry entry;
  entry.revision = evaluation->response.revision;
  entry.effects = std::move(evaluation->effects);
  return entry;
}

// As the core counts what waits, which is more than keys and values.
std::size_t SqliteStore::in_flight_cost(const EntryRef& entry) { return to_raft(entry).bytes(); }

SqliteStore::WaiterRef SqliteStore::propose(Entry entry) {
  ASSERT(leadership_.leads);
  entry.index = next_index();
  entry.term = replica_->core().term();
  pending_.add(entry);
  auto shared = std::make_shared<const Entry>(std::move(entry));
  in_flight_bytes_ += in_flight_cost(shared);
  if (in_flight_bytes_ >= group_options_.in_flight_bytes) room_.reset();
  auto waiter = std::make_shared<Waiter>();
  in_flight_.push_back(InFlight{shared, {waiter}});
  const Result<void> proposed = replica_->propose(std::move(shared));
  if (!proposed) {
    // It led when this began, so its time as a leader has just ended: nothing of the entry is anywhere. That too much
    // waits is no reason, as writers wait before that.
    ASSERT(proposed.error().code() == Code::kUnavailable);
    waiter->superseded = true;
    waiter->done.set();
    std::erase_if(in_flight_, [&](const InFlight& one) { return one.waiters.front() == waiter; });
    for (auto& [index, unresolved] : unresolved_) std::erase(unresolved.waiters, waiter);
  }
  return waiter;
}

// Watchers want the previous pair; where memory does not have it the storage thread reads it before the commit, so
// that no watcher has to ask after it.
std::vector<RowId> SqliteStore::rows_to_fetch(const Entry& entry) const {
  std::vector<RowId> rows;
  if (!hub_.wants_previous()) return rows;
  for (const Effect& effect : entry.effects) {
    const bool replaces = effect.type == EffectType::kDelete || effect.version > 1;
    if (!replaces || effect.previous_row == 0) continue;
    const KeyRecord* record = state_.keys().find(effect.key);
    // A version that is still in flight is in memory when this one is applied.
    if (record == nullptr || record->row != effect.previous_row) continue;
    if (!history_.value(record->mod_revision, record->row)) rows.push_back(effect.previous_row);
  }
  return rows;
}

void SqliteStore::on_appended(Appended appended) {
  if (failed_) return;
  if (!appended.installed) {
    commit_seconds_.observe(std::chrono::duration<double>(appended.commit_time).count());
    group_entries_.observe(static_cast<double>(appended.entries));
  }
  for (auto& [row, value] : appended.fetched) fetched_.emplace(row, std::move(value));
  full_.reset();
  if (appended.installed) installed_state_ = std::move(appended.installed);
  replica_->appended(appended.number, appended.commit_time);
  // Of entries that another leader's took the place of.
  const bool all_applied = state_.applied() == replica_->core().log().last_index();
  if (all_applied) fetched_.clear();
}

void SqliteStore::apply(const EntryRef& entry) {
  apply_effects(entry);
  settle_waiters(entry);
  metrics_.show(replica_->core(), state_.applied(), in_flight_.size());
}

void SqliteStore::settle_waiters(const EntryRef& entry) {
  if (!in_flight_.empty() && in_flight_.front().entry == entry) {
    InFlight in_flight = std::move(in_flight_.front());
    in_flight_.pop_front();
    in_flight_bytes_ -= in_flight_cost(in_flight.entry);
    if (in_flight_bytes_ < group_options_.in_flight_bytes) room_.set();
    for (const WaiterRef& waiter : in_flight.waiters) waiter->done.set();
  }
  while (!unresolved_.empty()) {
    const auto& [index, unresolved] = *unresolved_.begin();
    ASSERT(index >= entry->index);
    // Terms never fall along the log, so behind an entry of a newer term none of an older one is ever committed.
    const bool superseded = unresolved.term < entry->term;
    if (index != entry->index && !superseded) return;
    for (const WaiterRef& waiter : unresolved.waiters) {
      waiter->superseded = superseded;
      if (superseded) metrics_.failed.add();
      waiter->done.set();
    }
    unresolved_.erase(unresolved_.begin());
  }
}

Bytes SqliteStore::value_before(const KeyRecord& before) {
  // A row is superseded once: what was fetched of it is of no use after that.
  const auto fetched = fetched_.extract(before.row);
  if (Bytes value = history_.value(before.mod_revision, before.row)) return value;
  return fetched ? fetched.mapped() : nullptr;
}

void SqliteStore::apply_effects(const EntryRef& entry) {
  for (SnapshotSource* source : sources_) source->applied(*entry);
  Applied applied;
  applied.entry = entry;
  applied.previous.resize(entry->effects.size());
  bool events = false;
  for (std::size_t i = 0; i < entry->effects.size(); ++i) {
    const Effect& effect = entry->effects[i];
    const RowId row = row_id(entry->index, i);
    const bool keyed = effect.type == EffectType::kPut || effect.type == EffectType::kDelete;
    events = events || keyed;
    const KeyRecord* before = keyed ? state_.keys().find(effect.key) : nullptr;
    if (before != nullptr) {
      applied.previous[i].meta = *before;
      applied.previous[i].value = value_before(*before);
    }
    const Result<void> done = state_.apply(row, view_of(*entry, i), true);
    ASSERT(done.ok());  // evaluated against exactly this state
    if (effect.type == EffectType::kCompact) {
      bytes_since_compact_ = 0;
      sweep_wanted_.set();
    }
    if (effect.lease != 0 && !keyed) lease_applied(effect);
    if (keyed && effect.key.starts_with(kMemberPrefix)) note_record(effect);
  }
  pending_.applied(*entry);
  bytes_since_compact_ += entry->bytes();
  if (!events) return;
  history_.push(applied);
  hub_.publish(applied);
}

// Nobody else has seen what a group of one could not write: it is as if it had never been proposed. In a larger group
// it waits, the others see a disk that hangs, and another one leads: sooner when this one asks for it.
void SqliteStore::on_append_failed(const Error& error) {
  if (failed_) return;
  replica_->apply_all();  // what was written before is not to be taken for what was not
  if (!full_) context_.log.warn("a write found no space", {{"error", error.message()}});
  full_ = error;
  ++refusals_;
  signal_leadership();
  if (replica_->alone()) {
    storage_->drop();
    fail_in_flight(error);
    replica_->start_over(state_.applied(), kFullDiskPause);
    return;
  }
  replica_->disk_is_full(left_behind());
  tell_waiters(Error(Code::kUnavailable, cat("the write may still happen: ", error.message())));
  if (leadership_.leads && !closing_) scope_.spawn(hand_over());
  if (!closing_) retry_ = context_.loop.after(kFullDiskPause, [this] { storage_->retry(); });
}

void SqliteStore::on_fatal(const Error& error) {
  context_.log.error("the store stops", {{"error", error.message()}});
  if (!options_.on_fatal) {
    std::fprintf(stderr, "kayak: the store stops, as nothing written after this could be trusted: %s\n",
                 error.message().c_str());
    std::abort();
  }
  failed_ = error;
  if (replica_) replica_->stop();
  signal_leadership();
  fail_in_flight(Error(Code::kUnavailable, cat("the store has stopped, the outcome is unknown: ", error.message())));
  hub_.close();
  leases_stop();
  options_.on_fatal(error);
}

// The others have counted this server's copy of what is gone. From this moment on it says nothing more, least of all a
// vote; the next start finds the log too short, and the server comes back as another member.
void SqliteStore::on_lost(LogIndex acknowledged) {
  if (failed_ || closing_) return;
  replica_->stop();
  scope_.spawn(give_up_log(acknowledged));
}

Task<void> SqliteStore::give_up_log(LogIndex acknowledged) {
  auto work = [acknowledged](Database& database) { return database.lost(acknowledged); };
  const Result<void> given_up = co_await storage_->call(storage_->epoch(), std::move(work));
  // The storage tells of that itself; not of a database that was replaced meanwhile, whose log this was.
  if (given_up.error().code() == Code::kExpired && !failed_) on_fatal(given_up.error());
}

// Those of a time as a leader that is over, too: while nothing is written here, nothing is applied that would tell
// them.
void SqliteStore::tell_waiters(const Error& error) const {
  const auto tell = [&error](const std::vector<WaiterRef>& waiters) {
    for (const WaiterRef& waiter : waiters) {
      waiter->error = error;
      waiter->done.set();
    }
  };
  for (const InFlight& in_flight : in_flight_) tell(in_flight.waiters);
  for (const auto& [index, unresolved] : unresolved_) tell(unresolved.waiters);
}

// Memory goes back to what is applied, which is what is on disk.
void SqliteStore::fail_in_flight(const Error& error) {
  metrics_.failed.add(in_flight_.size() + unresolved_.size());
  tell_waiters(error);
  unresolved_.clear();
  in_flight_.clear();
  in_flight_bytes_ = 0;
  pending_.clear();
  room_.set();
}

Task<Result<void>> SqliteStore::wait_for(WaiterRef waiter, StopToken stop) {
  const bool told = co_await waiter->done.wait(stop);
  if (!told) co_return Error(Code::kCancelled, "stopped while the write was on its way; its outcome is unknown");
  if (waiter->error) co_return *waiter->error;
  co_return Result<void>();
}

Stats SqliteStore::stats() const {
  Stats stats;
  stats.keys = state_.keys().live();
  stats.revision = revision();
  stats.compacted = compacted();
  stats.applied = state_.applied();
  stats.sweeping = sweeping_ || sweep_wanted_.is_set();
  stats.index_bytes = state_.keys().memory_bytes();
  stats.history_bytes = history_.bytes();
  if (!storage_) return stats;
  const Storage::DiskTotals disk = storage_->disk_totals();
  stats.database_bytes = disk.database_bytes;
  stats.free_bytes = disk.free_bytes;
  stats.written_bytes = disk.written_bytes;
  stats.syncs = disk.syncs;
  stats.commits = storage_->counters().commits.load(std::memory_order_relaxed);
  stats.written_entries = storage_->counters().entries.load(std::memory_order_relaxed);
  stats.longest_stall_us = storage_->counters().longest_stall_us.load(std::memory_order_relaxed);
  return stats;
}

Task<void> SqliteStore::close() {
  if (closing_) co_return;
  if (!failed_) co_await hand_over();
  closing_ = true;
  hub_.close();
  learner_timer_.cancel();
  retry_.cancel();
  for (auto it = sources_.begin(); it != sources_.end();) (*it++)->detach();
  leases_stop();
  scope_.stop();
  sweep_wanted_.set();
  signal_leadership();
  if (!replica_->alone()) {
    // Whether the others go on with what is under way is not for this server to wait for.
    fail_in_flight(Error(Code::kUnavailable, "the server stops; whether this was written is not known"));
    replica_->stop();
  }
  // Accepted writes are finished, also those whose callers no longer wait; reads under way too.
  while (active_ > 0 || !in_flight_.empty()) {
    if (!in_flight_.empty()) {
      auto last = std::make_shared<Waiter>();
      in_flight_.back().waiters.push_back(last);
      co_await last->done.wait();
      continue;
    }
    idle_.reset();
    const bool idle = co_await idle_.wait();
    ASSERT(idle);
  }
  auto joined = co_await scope_.join();
  ASSERT(joined.ok());
  ASSERT(in_flight_.empty());
  replica_->stop();
  co_await replica_->join();
  auto closed = co_await storage_->close();
  if (!closed) context_.log.warn("closing the store", {{"error", closed.error().message()}});
  storage_.reset();
}

Task<Result<std::unique_ptr<EmbeddedStore>>> open_embedded_store(Context context, EmbeddedOptions options) {
  return SqliteStore::open(std::move(context), std::move(options));
}

Task<Result<std::unique_ptr<Store>>> open_sqlite_store(Context context, SqliteStoreOptions options) {
  EmbeddedOptions alone;
  alone.store = std::move(options);
  auto opened = co_await SqliteStore::open(std::move(context), std::move(alone));
  if (!opened) co_return opened.error();
  co_return std::unique_ptr<Store>(std::move(*opened));
}

}  // namespace kayak::store
