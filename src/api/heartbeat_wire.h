// heartbeat_wire.h: heartbeats as bytes between servers, and their acceptance. Pure.
//   HeartbeatBatch { repeated Beat = 1 }
//   Beat { group = 1; version = 2; resource = 3; namespace = 4; name = 5; revision = 6; text = 7 }
// Reading trusts nothing but the sender's being a server of the group.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/heartbeat_overlay.h"
#include "api/watch_cache.h"
#include "base/result.h"

namespace kayak::api {

constexpr std::size_t kMaxHeartbeatBatchBytes = 16 * 1024 * 1024;

std::string encode_heartbeats(const std::vector<Heartbeat>& heartbeats);
// Errors: BadRequest (no batch), TooLarge. Beats of kinds that this version does not know, or that have no heartbeats,
// are left out.
Result<std::vector<Heartbeat>> decode_heartbeats(std::string_view bytes);

// Shows it if it is what it says: an object of the cache at that revision, changed in nothing but signs of life.
// False: it was not taken.
bool accept_heartbeat(WatchCache& cache, const Heartbeat& heartbeat);

}  // namespace kayak::api
