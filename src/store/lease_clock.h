// lease_clock.h: when leases end, at the server that leads. Pure: instants are handed in.
// Not in the log: a new leader gives every lease its whole TTL again, and a lease that is kept alive costs no write.
// Source: etcd, the lessor (minimum and maximum of TTLs, leases after a change of leader).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "store/lease_table.h"

namespace kayak::store {

// As etcd's with its default timing: an election and a half, in whole seconds.
constexpr std::int64_t kMinLeaseTtl = 2;
constexpr std::int64_t kMaxLeaseTtl = 9'000'000'000;

class LeaseClock {
 public:
  // From `now` on the lease has its whole `ttl` (seconds).
  void start(LeaseId id, std::int64_t ttl, Instant now);
  // As start(), but what it has already is not taken from it: answers to keeping alive may overtake each other.
  void prolong(LeaseId id, std::int64_t ttl, Instant now);
  // It has ended and is being revoked; if that fails it is due again then.
  void end(LeaseId id, Instant retry);
  bool ended(LeaseId id) const;
  void stop(LeaseId id);
  void clear();

  std::optional<Instant> earliest() const;  // nullopt: no lease runs
  // At most `limit` leases that have ended, the longest ended first.
  std::vector<LeaseId> due(Instant now, std::size_t limit) const;
  // Whole seconds that are left, rounded down; 0 when it has ended or does not run.
  std::int64_t remaining(LeaseId id, Instant now) const;
  std::vector<LeaseId> by_end() const;  // all that run, the next to end first

 private:
  struct End {
    Instant at;
    bool ended = false;
  };
  void set(LeaseId id, End end);
  std::map<LeaseId, End> ends_;
  std::set<std::pair<Instant, LeaseId>> order_;
};

}  // namespace kayak::store
