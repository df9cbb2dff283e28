// kubernetes_endpoints.h: Endpoints and EndpointSlice of Service default/kubernetes, from where the API servers are.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace kayak::api {

struct ApiAddress {
  std::string ip;
  int port = 0;
  auto operator<=>(const ApiAddress&) const = default;
};

// Null values when no address can be told: a loopback address means another machine to each who reads it, and names
// Endpoints cannot hold. All addresses of one port make a subset; the slice holds those of the first address's port, as
// a slice has one set of ports.
struct KubernetesEndpoints {
  json::Value endpoints, slice;
};
KubernetesEndpoints kubernetes_endpoints(std::vector<ApiAddress> addresses);
// And back, of an Endpoints object.
std::vector<ApiAddress> addresses_of(const json::Value& endpoints);

// The port of the API, "https", as these objects and the Service name it.
json::Value api_port(int port);

}  // namespace kayak::api
