// bootstrap.h: the objects that a cluster has without anyone making them, reconciled at every start.
// Source: Kubernetes docs and shared fact tables bootstrap/*.tsv.
#pragma once

#include "api/api.h"
#include "api/server_parts.h"

namespace kayak::api {

Task<Result<void>> reconcile_bootstrap(ApiServer& server, ServerParts& parts, StopToken stop);

}  // namespace kayak::api
