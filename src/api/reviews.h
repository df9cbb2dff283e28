// reviews.h: kinds that are questions, not objects: who am I, may I, is this token good; and component statuses.
// Source: authentication.k8s.io/v1, authorization.k8s.io/v1; core/v1 ComponentStatus.
#pragma once

#include "api/api.h"
#include "api/server_parts.h"

namespace kayak::api {

// Answers at once: nothing is stored.
Result<ApiResponse> serve_unstored(ServerParts& parts, const ApiRequest& request);

}  // namespace kayak::api
