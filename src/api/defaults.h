// defaults.h: what upstream fills in on every decode: of a request, after a patch, and on reads from the store.
// Owns the rules of stage "decode" alone. What is filled in only at creation or update belongs to the strategies, what
// admission plugins fill in to them.
// Source: Kubernetes v1.36 SetDefaults_* functions and default markers.
#pragma once

#include <optional>

#include "api/kind.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::api {

// Fills in defaults. `object` is a canonical document of the message and stays one; applying twice changes nothing.
// Some rules read what a strategy sets at creation (a Job's labels follow its template's generated ones), so a create
// applies defaults again after its strategy, as upstream does by reading back what it stored.
// Without `now`, times that default to the present stay unset (ResourceSlice taints).
void apply_defaults(const Message& message, json::Value& object, std::optional<WallTime> now = std::nullopt);
void apply_defaults(const Kind& kind, json::Value& object, std::optional<WallTime> now = std::nullopt);

}  // namespace kayak::api
