// heartbeat.h: which changes are heartbeats: signs of life that repeat what the store already says, but for times and
// counts. Pure functions of documents; what becomes of a heartbeat is heartbeat_overlay.h.
// Source: Kubernetes docs, "Leases" (node heartbeats); core/v1 Event (count, series); src/store/README.md, Heartbeats.
#pragma once

#include <string_view>

#include "api/kind.h"
#include "base/json.h"

namespace kayak::api {

enum class Difference : std::uint8_t {
  kNone,       // at most the times in metadata.managedFields
  kHeartbeat,  // besides them only what the kind's row of the heartbeat table names
  kDurable,    // anything else
};

// What `after` changes of `before`: documents of `kind`, which is a storage version. metadata.resourceVersion is not
// looked at.
Difference difference_between(const Kind& kind, const json::Value& before, const json::Value& after);

// Whether difference_between can ever be kHeartbeat for the object stored at `key`.
bool may_have_heartbeats(std::string_view key);

// A PUT of an object as the last durable write left it (an informer's copy, which saw no heartbeat) does not mean to
// take newer heartbeats back: where `sent` says what `durable` says, it gets what `shown` says. All of `served`.
void keep_heartbeats(const Kind& served, const json::Value& durable, const json::Value& shown, json::Value& sent);

}  // namespace kayak::api
