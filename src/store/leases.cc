// leases.cc: leases of the embedded engine: granting, keeping alive and revoking them, and ending those that nobody
// kept alive. Grants and revokes are entries of the log; time is this server's alone while it leads (lease_clock.h).
// One timer waits for the earliest end, and none when there are no leases: they cost an idle server nothing.
#include <algorithm>

#include "base/strings.h"
#include "store/forward.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
// Leases that end together are revoked so many at a time: each is an entry, and others write too.
constexpr std::size_t kMaxRevokes = 200;
// After a revoke that failed (a full disk), or is under way still.
constexpr Duration kRetry = 1s;
constexpr Duration kPause = 10ms;

Error no_such_lease() { return Error(Code::kNotFound, "requested lease not found"); }
}  // namespace

LeaseId SqliteStore::free_lease_id() {
  for (;;) {
    const auto id = static_cast<LeaseId>(context_.random.next() >> 1);
    if (id != 0 && state_.leases().find(id) == nullptr && pending_.lease(id) == nullptr) return id;
  }
}

Task<Result<Lease>> SqliteStore::lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) {
  return grant(id, ttl, true, std::move(stop));
}

Task<Result<Lease>> SqliteStore::grant(std::int64_t id, std::int64_t ttl, bool carries, StopToken stop) {
  if (ttl > kMaxLeaseTtl) co_return Error(Code::kInvalid, "too large lease TTL");
  Active active(*this);
  Lease lease;
  lease.ttl = lease.remaining = std::max(ttl, kMinLeaseTtl);
  CallLeader<Lease> ask = [id, ttl](const etcd::EtcdKv& leader, StopToken stop) {
    return leader.lease_grant(id, ttl, stop);
  };
  for (;;) {
    while (!may_propose()) {
      auto carried = co_await here_or<Lease>(ask, carries, stop);
      if (!carried) co_return carried.error();
      if (*carried) co_return std::move(**carried);
    }
    lease.id = id != 0 ? id : free_lease_id();
    if (KeyView(state_, pending_).granted(lease.id)) {
      auto sure = co_await vouched(stop);
      if (!sure) co_return sure.error();
      if (!*sure) continue;
      co_return Error(Code::kAlreadyExists, "lease already exists");
    }
    Effect effect;
    effect.type = EffectType::kLeaseGrant;
    effect.lease = lease.id;
    effect.ttl = lease.ttl;
    Entry entry;
    entry.revision = pending_revision();
    entry.effects.push_back(std::move(effect));
    WaiterRef waiter = propose(std::move(entry));
    auto committed = co_await wait_for(waiter, stop);
    if (waiter->superseded) continue;
    if (!committed) co_return committed.error();
    co_return lease;
  }
}

Task<Result<Revision>> SqliteStore::lease_revoke(std::int64_t id, StopToken stop) {
  return revoke(id, true, std::move(stop));
}

Task<Result<Revision>> SqliteStore::revoke(LeaseId id, bool carries, StopToken stop) {
  Active active(*this);
  CallLeader<Revision> ask = [id](const etcd::EtcdKv& leader, StopToken stop) { return leader.lease_revoke(id, stop); };
  const std::uint64_t term = leadership_.term;
  for (;;) {
    while (!may_propose()) {
      auto carried = co_await here_or<Revision>(ask, carries, stop);
      if (!carried) co_return carried.error();
      if (*carried) co_return **carried;
    }
    // Whoever leads next, this server too, gives the lease its whole time again: what it was to end for is no more.
    if (!carries && leadership_.term != term) co_return does_not_lead();
    if (!KeyView(state_, pending_).granted(id)) {
      auto sure = co_await vouched(stop);
      if (!sure) co_return sure.error();
      if (!*sure) continue;
      co_return no_such_lease();
    }
    std::vector<Entry> entries = evaluate_revoke(id, state_, pending_, pending_revision() + 1);
    const Revision revision = entries.back().revision;
    WaiterRef last;
    std::size_t proposed = 0;
    while (proposed < entries.size() && may_propose()) last = propose(std::move(entries[proposed++]));
    auto committed = co_await wait_for(last, stop);
    if (last->superseded) continue;
    if (!committed) co_return committed.error();
    if (proposed < entries.size()) continue;
    co_return revision;
  }
}

// While the disk is full nobody's time runs in a group of one: there is nothing to wait for.
bool SqliteStore::time_stands() const { return full_ && replica_->alone(); }

// Asked of a majority first: one that no longer leads must not promise time that another one does not know of.
Task<Result<Lease>> SqliteStore::lease_keep_alive(std::int64_t id, StopToken stop) {
  return keep_alive(id, true, std::move(stop));
}

Task<Result<Lease>> SqliteStore::keep_alive(LeaseId id, bool carries, StopToken stop) {
  Active active(*this);
  CallLeader<Lease> ask = [id](const etcd::EtcdKv& leader, StopToken stop) {
    return leader.lease_keep_alive(id, stop);
  };
  Instant asked = context_.clock.now();
  do {
    if (time_stands()) break;
    auto carried = co_await here_or<Lease>(ask, carries, stop);
    if (!carried) co_return carried.error();
    if (*carried) co_return std::move(**carried);
    asked = context_.clock.now();
    auto confirmed = co_await replica_->confirm(stop);
    if (!confirmed) co_return confirmed.error();
  } while (!leadership_.leads);
  Lease lease;
  lease.id = id;
  lease.remaining = -1;
  const LeaseTable::Granted* granted = state_.leases().find(id);
  // What has ended stays so, also while its revoke is on its way to the disk or waits for space there.
  if (granted == nullptr || lease_clock_.ended(id) || !KeyView(state_, pending_).granted(id)) co_return lease;
  lease.ttl = lease.remaining = granted->ttl;
  if (leases_run_) lease_clock_.prolong(id, granted->ttl, asked);
  co_return lease;
}

Task<Result<Lease>> SqliteStore::lease_time_to_live(std::int64_t id, bool keys, StopToken stop) {
  return time_to_live(id, keys, true, std::move(stop));
}

Task<Result<Lease>> SqliteStore::time_to_live(LeaseId id, bool keys, bool carries, StopToken stop) {
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  CallLeader<Lease> ask = [id, keys](const etcd::EtcdKv& leader, StopToken stop) {
    return leader.lease_time_to_live(id, keys, stop);
  };
  // What is left of its time the leader alone knows.
  do {
    if (time_stands()) break;
    auto carried = co_await here_or<Lease>(ask, carries, stop);
    if (!carried) co_return carried.error();
    if (*carried) co_return std::move(**carried);
    auto confirmed = co_await replica_->confirm(stop);
    if (!confirmed) co_return confirmed.error();
  } while (!leadership_.leads);
  Lease lease;
  lease.id = id;
  lease.remaining = -1;
  const LeaseTable::Granted* granted = state_.leases().find(id);
  if (granted == nullptr) co_return lease;
  lease.ttl = granted->ttl;
  lease.remaining = leases_run_ ? lease_clock_.remaining(id, context_.clock.now()) : granted->ttl;
  if (keys) lease.keys.assign(granted->keys.begin(), granted->keys.end());
  co_return lease;
}

Task<Result<std::vector<std::int64_t>>> SqliteStore::leases(StopToken stop) {
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  auto confirmed = co_await replica_->confirm(stop);
  if (!confirmed) co_return confirmed.error();
  if (leases_run_) co_return lease_clock_.by_end();
  std::vector<std::int64_t> ids;
  for (const auto& [id, granted] : state_.leases().all()) ids.push_back(id);
  co_return ids;
}

void SqliteStore::leases_start() {
  if (closing_ || failed_) return;
  leases_run_ = true;
  lease_clock_.clear();
  const Instant now = context_.clock.now();
  for (const auto& [id, granted] : state_.leases().all()) lease_clock_.start(id, granted.ttl, now);
  arm_lease_timer();
}

void SqliteStore::leases_stop() {
  leases_run_ = false;
  lease_clock_.clear();
  lease_timer_.cancel();
}

void SqliteStore::lease_applied(const Effect& effect) {
  if (!leases_run_) return;
  if (effect.type == EffectType::kLeaseRevoke) {
    lease_clock_.stop(effect.lease);
  } else {
    lease_clock_.start(effect.lease, effect.ttl, context_.clock.now());
  }
  arm_lease_timer();
}

// A timer that is early finds nothing due and is set anew: keeping alive does not touch it.
void SqliteStore::arm_lease_timer() {
  const std::optional<Instant> earliest = lease_clock_.earliest();
  if (!earliest) return lease_timer_.cancel();
  if (lease_timer_ && lease_timer_at_ <= *earliest) return;
  lease_timer_at_ = *earliest;
  const Duration left = *earliest - context_.clock.now();
  lease_timer_ = context_.loop.after(std::max(left, Duration(0)), [this] { on_lease_timer(); });
}

void SqliteStore::on_lease_timer() {
  lease_timer_.cancel();
  const Instant now = context_.clock.now();
  const std::vector<LeaseId> due = lease_clock_.due(now, kMaxRevokes);
  for (const LeaseId id : due) {
    lease_clock_.end(id, now + kRetry);
    scope_.spawn(expire(id));
  }
  if (due.size() < kMaxRevokes) return arm_lease_timer();
  lease_timer_at_ = now + kPause;
  lease_timer_ = context_.loop.after(kPause, [this] { on_lease_timer(); });
}

// Of this server's time as a leader: another one gives the lease its whole time again, so this is never carried there.
Task<void> SqliteStore::expire(LeaseId id) {
  if (!may_propose()) co_return;  // on_lease_timer comes back to it, if this server still leads then
  const std::uint64_t term = leadership_.term;
  auto revoked = co_await revoke(id, false, scope_.token());
  const bool done = revoked || revoked.error().code() == Code::kNotFound || revoked.error().code() == Code::kCancelled;
  const bool still_ours = leads_with_space() && leadership_.term == term;
  if (!done && still_ours)
    context_.log.warn("a lease that ended is not revoked yet", {{"error", revoked.error().message()}});
}

}  // namespace kayak::store
