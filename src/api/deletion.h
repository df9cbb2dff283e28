// deletion.h: DELETE and deletecollection: grace periods, finalizers, what becomes of dependents.
// Source: apiserver pkg/registry/rest/delete.go, pkg/registry/generic/registry/store.go; Kubernetes docs, "Garbage
// Collection", "Finalizers", "Pod Lifecycle".
#pragma once

#include "api/api.h"
#include "api/server_parts.h"

namespace kayak::api {

Task<Result<ApiResponse>> serve_delete(ServerParts& parts, const ApiRequest& request, StopToken stop);
Task<Result<ApiResponse>> serve_delete_collection(ServerParts& parts, const ApiRequest& request, StopToken stop);

}  // namespace kayak::api
