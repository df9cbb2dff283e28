// lease_clock.cc: see lease_clock.h.
#include "store/lease_clock.h"

#include <algorithm>

namespace kayak::store {

namespace {
// Instants hold nanoseconds in 64 bits: 285 years. What is granted for longer ends never within a server's life.
constexpr std::int64_t kMaxSeconds = std::int64_t{100} * 365 * 24 * 60 * 60;
}  // namespace

void LeaseClock::start(LeaseId id, std::int64_t ttl, Instant now) {
  set(id, End{now + std::chrono::seconds(std::min(ttl, kMaxSeconds)), false});
}

void LeaseClock::prolong(LeaseId id, std::int64_t ttl, Instant now) {
  const auto found = ends_.find(id);
  const Instant before = found == ends_.end() ? now : found->second.at;
  start(id, ttl, now);
  if (ends_[id].at < before) set(id, End{before, false});
}

void LeaseClock::end(LeaseId id, Instant retry) { set(id, End{retry, true}); }

bool LeaseClock::ended(LeaseId id) const {
  const auto found = ends_.find(id);
  return found != ends_.end() && found->second.ended;
}

void LeaseClock::set(LeaseId id, End end) {
  stop(id);
  ends_[id] = end;
  order_.emplace(end.at, id);
}

void LeaseClock::stop(LeaseId id) {
  const auto found = ends_.find(id);
  if (found == ends_.end()) return;
  order_.erase({found->second.at, id});
  ends_.erase(found);
}

void LeaseClock::clear() {
  ends_.clear();
  order_.clear();
}

std::optional<Instant> LeaseClock::earliest() const {
  if (order_.empty()) return std::nullopt;
  return order_.begin()->first;
}

std::vector<LeaseId> LeaseClock::due(Instant now, std::size_t limit) const {
  std::vector<LeaseId> ids;
  for (auto it = order_.begin(); it != order_.end() && it->first <= now && ids.size() < limit; ++it) {
    ids.push_back(it->second);
  }
  return ids;
}

std::int64_t LeaseClock::remaining(LeaseId id, Instant now) const {
  const auto found = ends_.find(id);
  if (found == ends_.end() || found->second.ended) return 0;
  const auto left = std::chrono::floor<std::chrono::seconds>(found->second.at - now).count();
  return std::max<std::int64_t>(left, 0);
}

std::vector<LeaseId> LeaseClock::by_end() const {
  std::vector<LeaseId> ids;
  ids.reserve(order_.size());
  for (const auto& [end, id] : order_) ids.push_back(id);
  return ids;
}

}  // namespace kayak::store
