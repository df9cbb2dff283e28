// heartbeat_overlay.cc: see heartbeat_overlay.h.
#include "api/heartbeat_overlay.h"

#include <algorithm>

#include "api/heartbeat.h"

namespace kayak::api {

const HeartbeatOverlay::Entry* HeartbeatOverlay::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<Instant> HeartbeatOverlay::oldest() const {
  std::optional<Instant> oldest;
  for (const auto& [key, entry] : entries_) oldest = oldest ? std::min(*oldest, entry.since) : entry.since;
  return oldest;
}

void HeartbeatOverlay::put(std::string key, ObjectRef durable, ObjectRef shown, Instant now) {
  ASSERT(durable->revision() == shown->revision());
  const auto [place, made] = entries_.try_emplace(std::move(key));
  if (made) place->second.since = now;
  place->second.durable = std::move(durable);
  place->second.shown = std::move(shown);
  pending_.set();
}

void HeartbeatOverlay::erase(std::string_view key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) entries_.erase(found);
  if (entries_.empty()) pending_.reset();
}

void HeartbeatOverlay::superseded(std::string_view key, store::Revision revision) {
  erase(key);
  const auto found = writes_.find(key);
  if (found != writes_.end() && found->second.sent == 0 && found->second.through <= revision) writes_.erase(found);
}

bool HeartbeatOverlay::at_rest(std::string_view key, store::Revision seen) const {
  const auto found = writes_.find(key);
  return found == writes_.end() || (found->second.sent == 0 && found->second.through <= seen);
}

HeartbeatOverlay::Writing::Writing(HeartbeatOverlay& overlay, std::string_view key) : overlay_(overlay) {
  if (!may_have_heartbeats(key)) return;
  key_ = key;
  ++overlay_.writes_[key_].sent;
}

HeartbeatOverlay::Writing::~Writing() {
  if (key_.empty()) return;
  const auto found = overlay_.writes_.find(key_);
  ASSERT(found != overlay_.writes_.end() && found->second.sent > 0);
  if (--found->second.sent == 0 && found->second.through == 0) overlay_.writes_.erase(found);
}

void HeartbeatOverlay::Writing::done(store::Revision revision, store::Revision seen) {
  if (key_.empty() || revision <= seen) return;
  Writes& writes = overlay_.writes_[key_];
  writes.through = std::max(writes.through, revision);
}

}  // namespace kayak::api
