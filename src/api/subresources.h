// subresources.h: those that are not a view of the object: scale, binding, log.
// Source: autoscaling/v1 Scale, core/v1 Binding, PodLogOptions; shared fact table strategy.tsv.
#pragma once

#include "api/api.h"
#include "api/server_parts.h"

namespace kayak::api {

// GET, PUT and PATCH of /scale: replicas of a workload as an autoscaling/v1 Scale.
Task<Result<ApiResponse>> serve_scale(ServerParts& parts, const ApiRequest& request, StopToken stop);
// POST of pods/<name>/binding, and of bindings with the pod's name in the body: gives a pod its node.
Task<Result<ApiResponse>> serve_binding(ServerParts& parts, const ApiRequest& request, StopToken stop);
// GET of pods/<name>/log, by the server's log hook.
Task<Result<ApiResponse>> serve_log(ServerParts& parts, const ApiRequest& request, StopToken stop);

}  // namespace kayak::api
