// reads.h: get, list and watch: which state of the world a request means, and paging through it.
// Source: Kubernetes API concepts, "Resource versions"; apiserver pkg/storage/cacher, metainternalversion validation.
#pragma once

#include "api/api.h"
#include "api/server_parts.h"

namespace kayak::api {

Task<Result<ApiResponse>> serve_get(ServerParts& parts, const ApiRequest& request, StopToken stop);
Task<Result<ApiResponse>> serve_list(ServerParts& parts, const ApiRequest& request, StopToken stop);
// Errors: Expired is for the stream (an ERROR event), not for the status line.
Task<Result<ApiResponse>> serve_watch(ServerParts& parts, const ApiRequest& request, StopToken stop);

// The objects that a list or deletecollection means; names of the kind's own version in the selector are translated to
// those of its storage. Errors: BadRequest (a field that is no selector of this kind).
Result<ObjectFilter> filter_of(const ApiRequest& request);

// Opaque to clients: the revision of the list's snapshot, when its first page was made, and the last key sent.
// `revision` -1: no snapshot any more.
struct ContinueToken {
  store::Revision revision = 0;
  std::string last;        // "namespace/name", or "name" of a cluster-scoped object
  std::int64_t begun = 0;  // seconds since 1970, by the wall clock of the server that made the first page; 0: unknown
};
std::string encode_continue(const ContinueToken& token);
Result<ContinueToken> decode_continue(std::string_view text);

}  // namespace kayak::api
