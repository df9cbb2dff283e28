// managed_fields.h: who owns which field of an object: metadata.managedFields for writes of operation Update.
// Pure. Source: apimachinery managedfields (fieldmanager, capmanagers), structured-merge-diff merge.Updater.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "api/schema.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::api {

struct ManagedUpdate {
  std::string manager;      // never empty
  std::string api_version;  // of the request
  std::string subresource;  // "" for the object itself
  WallTime now;
  std::span<const std::string_view> reset_fields;  // dotted paths whose changes this endpoint throws away
};
// Sets metadata.managedFields of `after` for a change from `before` (the canonical zero document of the message at a
// creation). Both canonical in the request's version; `after` holds what the client sent, of which managedFields count
// only on the main endpoint.
void update_managed_fields(const Message& message, const json::Value& before, json::Value& after,
                           const ManagedUpdate& update);

// The manager of a client that names none: its user agent up to the first '/', printable, at most 128 bytes.
std::string manager_from_user_agent(std::string_view user_agent);

}  // namespace kayak::api
