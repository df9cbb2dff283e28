// pipeline.h: the one way in which anything is written: decode, default, read old and change, managedFields, mutating
// admission, the kind's prepare, validation, validating admission, compare-and-swap. What equals the old object, times
// in managedFields aside, is not written, and a heartbeat only shown (heartbeat_overlay.h); a lost race runs again from
// "read old".
// Source: apiserver pkg/registry/generic/registry, pkg/registry/rest, handlers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/api.h"
#include "api/claims.h"
#include "api/server_parts.h"
#include "api/strategy/strategy.h"

namespace kayak::api {

// What a change makes of the old object: canonical, in the version of the request's kind.
using Change = std::function<Result<json::Value>(const json::Value& old, std::vector<std::string>& warnings)>;

struct UpdatePlan {
  std::string subresource;                    // as managedFields names it
  const SubresourceStrategy* view = nullptr;  // null: the object itself
  Change change;
  bool is_put = false;  // an absent object may be created, a revision may be demanded
  // The server's own step (binding): no manager, no admission, no strategy.
  bool direct = false;
};
struct Written {
  ObjectRef object;
  bool created = false;
  bool removed = false;          // its last finalizer went with this write
  store::Revision revision = 0;  // of this write; 0: nothing was written
};

// Errors: NotFound, Conflict (the client named another revision or uid), Invalid, Forbidden, those of the store.
Task<Result<Written>> update_object(ServerParts& parts, const ApiRequest& request, const UpdatePlan& plan,
                                    std::vector<std::string>& warnings, StopToken stop);
// `document` canonical, in the version of the request's kind. Errors: AlreadyExists and as above.
Task<Result<Written>> create_object(ServerParts& parts, const ApiRequest& request, json::Value document,
                                    std::vector<std::string>& warnings, StopToken stop);

// POST of an object, PUT and PATCH of an object or of a view of it (status, finalize).
// Takes the body out of the request.
Task<Result<ApiResponse>> serve_create(ServerParts& parts, ApiRequest& request, StopToken stop);
Task<Result<ApiResponse>> serve_update(ServerParts& parts, const ApiRequest& request, StopToken stop);

// The namespace (filled in when absent) and name in `document` must be the URL's. Errors: BadRequest.
Result<void> match_url(const ApiRequest& request, json::Value& document);

// The change that a PATCH asks for, on documents of `expected`.
struct Expected;
Change patch_change(const ApiRequest& request, const Expected& expected, const Kind* defaults_of);

// What a write expects: that the key's mod_revision is still this (0: absent), and the leadership's term (0: any).
struct Expectation {
  store::Revision revision = 0;
  std::uint64_t term = 0;
};
struct Swapped {
  store::Revision revision = 0;     // the new one; 0: lost the race
  std::vector<std::string> claims;  // of those wanted, which another object holds; it was for them that it was lost
  bool again = false;               // only what was claimed before the write was lost (claim_steps.h)
};
// Puts `text` at `key`, and does what `beside` says, in one transaction, or as claim_steps.h has it. Errors: those of
// the store; Conflict (another term).
Task<Result<Swapped>> swap(ServerParts& parts, std::string key, Expectation expected, store::Bytes text,
                           SideWrites beside, StopToken stop);
// The same for removing.
Task<Result<Swapped>> swap_delete(ServerParts& parts, std::string key, Expectation expected, SideWrites beside,
                                  StopToken stop);

std::string manager_of(const ApiRequest& request);

}  // namespace kayak::api
