// discovery.h: what this server answers, as clients ask for it: /api, /apis and below, legacy and aggregated.
// Only what answers is in it (request_info.h, is_served).
// Source: metav1 APIVersions, APIGroupList, APIResourceList; apidiscovery.k8s.io/v2 APIGroupDiscoveryList (KEP-3352).
#pragma once

#include <string>
#include <vector>

#include "api/http_server.h"

namespace kayak::api {

// The rows of discovery paths. `address`: "host:port" of the server, for clients by network.
std::vector<PathRow> discovery_paths();

}  // namespace kayak::api
