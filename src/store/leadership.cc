// leadership.cc: who leads, what begins and ends with it, and reads that see what others acknowledged.
#include "base/strings.h"
#include "store/sqlite_store.h"
#include "store/store_guards.h"

namespace kayak::store {

namespace {
// How long a write waits for a leader: an election, and another one when votes were split.
constexpr Duration kWritePatience = std::chrono::seconds(10);
}  // namespace

Error SqliteStore::stale_term(std::uint64_t term) const {
  return Error(Code::kConflict, cat("this write is of term ", term, ", in which this server led; now it is term ",
                                    replica_->core().term(), leadership_.leads ? "" : " and another one leads"));
}

void SqliteStore::on_replica_changed() {
  const raft::RaftCore& core = replica_->core();
  Leadership now = leadership_;
  // One whose leadership was to move, and did not, has to see first what it had proposed before.
  const bool goes_on = leadership_.leads && leadership_.term == core.term();
  now.leads = replica_->leads() && (goes_on || state_.applied() == core.log().last_index());
  now.term = core.term();
  now.leader = core.leader();
  const bool begins = now.leads && (!leadership_.leads || now.term != leadership_.term);
  const bool ends = leadership_.leads && (!now.leads || now.term != leadership_.term);
  if (begins) now.since = state_.revision();
  metrics_.show(core, state_.applied(), in_flight_.size());
  if (now == leadership_) return watch_learners();
  metrics_.show(leadership_, now);
  if (ends) cease_to_lead();
  leadership_ = now;
  if (begins) begin_to_lead();
  watch_learners();
  signal_leadership();
}

void SqliteStore::signal_leadership() { std::exchange(leadership_event_, std::make_shared<io::Event>())->set(); }

void SqliteStore::begin_to_lead() {
  pending_floor_ = state_.floor();
  pending_compact_row_ = state_.compact_row();
  leases_start();
}

// What was proposed may still be committed, or something else in its place: its callers wait until that is known.
void SqliteStore::cease_to_lead() {
  leases_stop();
  for (InFlight& in_flight : in_flight_) {
    unresolved_[in_flight.entry->index] = Unresolved{in_flight.entry->term, std::move(in_flight.waiters)};
  }
  in_flight_.clear();
  in_flight_bytes_ = 0;
  pending_.clear();
  room_.set();
}

Task<bool> SqliteStore::leadership_changed(Leadership known, StopToken stop) {
  Active active(*this);
  const std::uint64_t refusals = refusals_;
  while (!closing_ && !failed_) {
    if (!(leadership_ == known) || refusals_ != refusals) co_return true;
    const std::shared_ptr<io::Event> event = leadership_event_;
    const bool told = co_await event->wait(stop);
    if (!told) co_return false;
  }
  co_return false;
}

// What it forwarded would be written, and not be seen here: whoever asked would wait for that. The others can be asked.
Error SqliteStore::left_behind() const {
  return Error(Code::kUnavailable,
               cat("this server's disk is full, and it takes no part until there is space: ", full_->message()));
}

Result<void> SqliteStore::healthy() const {
  if (full_ && !replica_->alone()) return left_behind();
  if (replica_->core().stands_aside()) return removed_while_away();
  return Store::healthy();
}

Task<Result<bool>> SqliteStore::vouched(StopToken stop) {
  if (!in_flight_.empty()) {
    auto last = std::make_shared<Waiter>();
    in_flight_.back().waiters.push_back(last);
    auto committed = co_await wait_for(last, stop);
    const bool never_was = last->superseded || (!committed && committed.error().code() == Code::kNoSpace);
    if (never_was) co_return false;
    if (!committed) co_return committed.error();
    co_return true;
  }
  const std::uint64_t term = leadership_.term;
  auto confirmed = co_await replica_->confirm(stop);
  if (!confirmed) co_return confirmed.error();
  co_return leadership_.leads&& leadership_.term == term;
}

Task<Result<void>> SqliteStore::wait_for_room(StopToken stop) {
  while (!room_.is_set()) {
    const bool room = co_await room_.wait(stop);
    if (!room) co_return Error(Code::kCancelled, "stopped while waiting for earlier writes");
  }
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::wait_to_propose(std::uint64_t term, StopToken stop) {
  auto room = co_await wait_for_room(stop);
  if (!room) co_return room;
  if (auto good = usable(); !good) co_return good.error();
  // Soon another one leads; what is proposed until then would only hang.
  if (leadership_.leads && full_) co_return left_behind();
  if (leadership_.leads) co_return Result<void>();
  auto leads = co_await wait_to_lead(term, stop);
  if (!leads) co_return leads.error();
  co_return usable();
}

Task<Result<void>> SqliteStore::wait_to_lead(std::uint64_t term, StopToken stop) {
  if (full_) {
    // This write finds out whether there is space again.
    if (!replica_->alone()) co_return left_behind();
    const std::uint64_t refusals = refusals_;
    replica_->start_over_now();
    while (!leadership_.leads && refusals == refusals_) {
      const bool changed = co_await leadership_changed(leadership_, stop);
      if (changed) continue;
      if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while waiting for the disk");
      co_return Result<void>();
    }
    if (leadership_.leads) co_return Result<void>();
    co_return *full_;
  }
  if (term != 0) co_return stale_term(term);
  if (replica_->core().stands_aside()) co_return removed_while_away();
  const io::Deadline patience(context_.loop, kWritePatience, stop);
  const bool changed = co_await leadership_changed(leadership_, patience.token());
  if (changed || closing_ || failed_) co_return Result<void>();
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while waiting for a leader");
  co_return Error(Code::kUnavailable, "no server leads: a majority of them does not answer");
}

Task<Result<Revision>> SqliteStore::current_revision(StopToken stop) {
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  auto confirmed = co_await replica_->confirm(stop);
  if (!confirmed) co_return confirmed.error();
  co_return state_.revision();
}

}  // namespace kayak::store
