// sqlite_store.cc: opening, the write path and closing. Reads stand in store_reads.cc, compaction in compaction.cc.
#include "store/sqlite_store.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/strings.h"
#include "store/store_guards.h"

namespace kayak::store {

namespace {
// Beyond this much on its way to the disk, writers wait before they are evaluated.
constexpr std::size_t kMaxInFlightBytes = 32 * 1024 * 1024;
const std::vector<double> kSeconds = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1};
const std::vector<double> kEntries = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
}  // namespace

SqliteStore::SqliteStore(Context context, SqliteStoreOptions options)
    : context_(std::move(context)),
      options_(std::move(options)),
      history_(options_.history_bytes),
      hub_(context_.loop, *this),
      commit_seconds_(context_.metrics.histogram("kayak_store_commit_seconds",
                                                 "Time a group of log entries takes to reach the disk.", kSeconds)),
      group_entries_(
          context_.metrics.histogram("kayak_store_group_entries", "Log entries that share one commit.", kEntries)) {
  idle_.set();
  room_.set();
}

SqliteStore::~SqliteStore() {
  hub_.close();
  storage_.reset();
}

Task<Result<std::unique_ptr<Store>>> SqliteStore::open(Context context, SqliteStoreOptions options) {
  std::unique_ptr<SqliteStore> store(new SqliteStore(std::move(context), std::move(options)));
  SqliteStore* self = store.get();
  Storage::Options storage_options;
  storage_options.database.path = self->options_.path;
  storage_options.database.vfs = self->options_.vfs;
  storage_options.database.store_id.resize(16);
  self->context_.random.fill(std::as_writable_bytes(std::span<char>(storage_options.database.store_id)));
  storage_options.wal_bytes = self->options_.wal_bytes;
  Storage::Events events;
  events.appended = [self](Appended appended) { self->on_appended(std::move(appended)); };
  events.append_failed = [self](Error error) { self->on_append_failed(error); };
  events.fatal = [self](Error error) { self->on_fatal(error); };
  // Runs on the storage thread, but only until the open has ended: nobody else looks at the state before.
  auto sink = [self](RowId row, const RowView& view, bool complete) { return self->state_.apply(row, view, complete); };
  auto storage =
      co_await Storage::open(self->context_.loop, std::move(storage_options), std::move(sink), std::move(events));
  if (!storage) co_return storage.error().while_doing("opening the store");
  self->storage_ = std::move(*storage);
  self->history_.start_at(self->state_.revision() + 1);
  self->pending_floor_ = self->state_.floor();
  self->pending_compact_row_ = self->state_.compact_row();
  if (self->state_.floor() > 0) self->sweep_wanted_.set();
  self->leases_start();
  self->scope_.spawn(self->sweep_forever());
  if (self->options_.compact_interval > Duration(0)) self->scope_.spawn(self->compact_forever());
  co_return std::unique_ptr<Store>(std::move(store));
}

Result<void> SqliteStore::usable() const {
  if (failed_) return Error(Code::kUnavailable, cat("the store has stopped: ", failed_->message()));
  if (closing_) return Error(Code::kUnavailable, "the store is closed");
  return Result<void>();
}

Task<Result<TxnResponse>> SqliteStore::txn(TxnRequest request, StopToken stop) {
  if (auto good = check_txn(request); !good) co_return good.error();
  Active active(*this);
  std::map<RowId, Bytes> fetched;
  for (;;) {
    while (!room_.is_set()) {
      const bool room = co_await room_.wait(stop);
      if (!room) co_return Error(Code::kCancelled, "stopped while waiting for earlier writes");
    }
    if (auto good = usable(); !good) co_return good.error();
    // Until the answer is complete, what the evaluation sees stays readable.
    Pin pin(*this);
    Result<Evaluation> evaluation = evaluate_now(request, fetched);
    if (!evaluation) co_return evaluation.error();
    if (!evaluation->wanted.empty()) {
      auto read = co_await fetch_wanted(evaluation->wanted, &fetched);
      if (!read) co_return read.error();
      continue;
    }
    // Nothing may suspend between the evaluation and this: the entry has the next index and revision.
    const bool writes = !evaluation->effects.empty();
    WaiterRef waiter;
    if (writes) {
      waiter = propose(entry_of(&*evaluation));
    } else if (evaluation->response.revision > state_.revision()) {
      // It saw what is not committed yet, so its answer waits for that.
      waiter = std::make_shared<Waiter>();
      in_flight_.back().waiters.push_back(waiter);
    }
    if (waiter) {
      auto committed = co_await wait_for(waiter, stop);
      const bool again = !committed && !writes && committed.error().code() == Code::kNoSpace;
      if (again) continue;
      if (!committed) co_return committed.error();
    }
    auto filled = co_await fill_missing(&*evaluation);
    if (!filled) co_return filled.error();
    auto ranged = co_await fill_past_ranges(&*evaluation, stop);
    if (!ranged) co_return ranged.error();
    co_return std::move(evaluation->response);
  }
}

Result<Evaluation> SqliteStore::evaluate_now(const TxnRequest& request, const std::map<RowId, Bytes>& fetched) const {
  const bool read_only = !may_write(request);
  static const Pending kNothing;
  // A transaction that cannot write reads what is committed and waits for nobody.
  const Revision revision = (read_only ? state_.revision() : pending_revision()) + 1;
  auto values = [&](RowId row, Revision mod_revision) {
    auto it = fetched.find(row);
    return it != fetched.end() ? it->second : history_.value(mod_revision, row);
  };
  KeyView view(state_, read_only ? kNothing : pending_);
  return evaluate(request, std::move(view), state_, next_index(), revision, values);
}

// Compares of values that only the disk has: they are read, then all is evaluated anew, as it may have changed.
Task<Result<void>> SqliteStore::fetch_wanted(std::vector<Evaluation::Wanted> wanted, std::map<RowId, Bytes>* fetched) {
  std::vector<RowId> rows;
  for (const Evaluation::Wanted& one : wanted) rows.push_back(one.row);
  auto read = co_await read_values(rows);
  if (!read) co_return read.error();
  for (std::size_t i = 0; i < rows.size(); ++i) (*fetched)[rows[i]] = (*read)[i];
  co_return Result<void>();
}

LogIndex SqliteStore::next_index() const {
  return (in_flight_.empty() ? state_.applied() : in_flight_.back().entry->index) + 1;
}

Entry SqliteStore::entry_of(Evaluation* evaluation) {
  Entry entry;
  entry.revision = evaluation->response.revision;
  entry.effects = std::move(evaluation->effects);
  return entry;
}

SqliteStore::WaiterRef SqliteStore::propose(Entry entry) {
  entry.index = next_index();
  entry.term = 1;
  pending_.add(entry);
  in_flight_bytes_ += entry.bytes();
  if (in_flight_bytes_ >= kMaxInFlightBytes) room_.reset();
  std::vector<RowId> fetch = rows_to_fetch(entry);
  auto shared = std::make_shared<const Entry>(std::move(entry));
  auto waiter = std::make_shared<Waiter>();
  in_flight_.push_back(InFlight{shared, {waiter}});
  storage_->append(std::move(shared), std::move(fetch));
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
  commit_seconds_.observe(std::chrono::duration<double>(appended.commit_time).count());
  group_entries_.observe(static_cast<double>(appended.entries));
  std::sort(appended.fetched.begin(), appended.fetched.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  commit_to(appended.index, appended);
}

void SqliteStore::commit_to(LogIndex index, const Appended& appended) {
  while (!in_flight_.empty() && in_flight_.front().entry->index <= index) {
    InFlight in_flight = std::move(in_flight_.front());
    in_flight_.pop_front();
    in_flight_bytes_ -= in_flight.entry->bytes();
    apply(in_flight.entry, appended);
    for (const WaiterRef& waiter : in_flight.waiters) waiter->done.set();
  }
  if (in_flight_bytes_ < kMaxInFlightBytes) room_.set();
}

void SqliteStore::apply(const EntryRef& entry, const Appended& appended) {
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
      Applied::Previous& previous = applied.previous[i];
      previous.meta = *before;
      previous.value = history_.value(before->mod_revision, before->row);
      if (!previous.value) {
        auto fetched = std::lower_bound(appended.fetched.begin(), appended.fetched.end(), before->row,
                                        [](const auto& pair, RowId wanted) { return pair.first < wanted; });
        if (fetched != appended.fetched.end() && fetched->first == before->row) previous.value = fetched->second;
      }
    }
    const Result<void> done = state_.apply(row, KvState::view_of(*entry, i), true);
    ASSERT(done.ok());  // evaluated against exactly this state
    if (effect.type == EffectType::kCompact) {
      bytes_since_compact_ = 0;
      sweep_wanted_.set();
    }
    if (effect.lease != 0 && !keyed) lease_applied(effect);
  }
  pending_.applied(*entry);
  bytes_since_compact_ += entry->bytes();
  if (!events) return;
  history_.push(applied);
  hub_.publish(applied);
}

void SqliteStore::on_append_failed(const Error& error) {
  if (failed_) return;
  context_.log.warn("a write found no space", {{"error", error.message()}});
  fail_in_flight(error);
  storage_->restart();
}

void SqliteStore::on_fatal(const Error& error) {
  context_.log.error("the store stops", {{"error", error.message()}});
  if (!options_.on_fatal) {
    std::fprintf(stderr, "kayak: the store stops, as nothing written after this could be trusted: %s\n",
                 error.message().c_str());
    std::abort();
  }
  failed_ = error;
  fail_in_flight(Error(Code::kUnavailable, cat("the store has stopped, the outcome is unknown: ", error.message())));
  hub_.close();
  leases_stop();
  options_.on_fatal(error);
}

// Memory goes back to what is applied, which is what is on disk.
void SqliteStore::fail_in_flight(const Error& error) {
  for (const InFlight& in_flight : in_flight_) {
    for (const WaiterRef& waiter : in_flight.waiters) {
      waiter->error = error;
      waiter->done.set();
    }
  }
  in_flight_.clear();
  in_flight_bytes_ = 0;
  pending_.clear();
  pending_floor_ = state_.floor();
  pending_compact_row_ = state_.compact_row();
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
  stats.database_bytes = storage_->database_bytes();
  stats.commits = storage_->counters().commits.load(std::memory_order_relaxed);
  stats.written_entries = storage_->counters().entries.load(std::memory_order_relaxed);
  stats.longest_stall_us = storage_->counters().longest_stall_us.load(std::memory_order_relaxed);
  if (const DiskCounters* disk = storage_->disk_counters()) {
    stats.written_bytes = disk->written_bytes.load(std::memory_order_relaxed);
    stats.syncs = disk->syncs.load(std::memory_order_relaxed);
  }
  return stats;
}

Task<void> SqliteStore::close() {
  if (closing_) co_return;
  closing_ = true;
  hub_.close();
  leases_stop();
  scope_.stop();
  sweep_wanted_.set();
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
  auto closed = co_await storage_->close();
  if (!closed) context_.log.warn("closing the store", {{"error", closed.error().message()}});
  storage_.reset();
}

Task<Result<std::unique_ptr<Store>>> open_sqlite_store(Context context, SqliteStoreOptions options) {
  return SqliteStore::open(std::move(context), std::move(options));
}

}  // namespace kayak::store
