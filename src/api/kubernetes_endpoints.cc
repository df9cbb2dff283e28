// kubernetes_endpoints.cc: see kubernetes_endpoints.h.
#include "api/kubernetes_endpoints.h"

#include <algorithm>

#include "api/document.h"

namespace kayak::api {

namespace {

bool can_be_told(const ApiAddress& address) {
  const bool numeric =
      address.ip.find_first_not_of("0123456789.") == std::string::npos || address.ip.find(':') != std::string::npos;
  return numeric && !address.ip.starts_with("127.") && address.ip != "::1" && !address.ip.empty();
}

const json::Array& elements(const json::Value& object, std::string_view name) {
  static const json::Array kNone;
  const json::Value* found = object.find(name);
  return found != nullptr && found->is_array() ? found->as_array() : kNone;
}

json::Value named() {
  json::Value object;
  object["metadata"]["name"] = "kubernetes";
  object["metadata"]["namespace"] = "default";
  return object;
}

}  // namespace

json::Value api_port(int port) {
  json::Value out;
  out["name"] = "https";
  out["port"] = port;
  out["protocol"] = "TCP";
  return out;
}

std::vector<ApiAddress> addresses_of(const json::Value& endpoints) {
  std::vector<ApiAddress> out;
  for (const json::Value& subset : elements(endpoints, "subsets")) {
    for (const json::Value& port : elements(subset, "ports")) {
      const json::Value* number = port.find("port");
      for (const json::Value& address : elements(subset, "addresses")) {
        out.push_back(
            ApiAddress{std::string(text_at(address, {"ip"})), number ? static_cast<int>(number->int_or(0)) : 0});
      }
    }
  }
  return out;
}

KubernetesEndpoints kubernetes_endpoints(std::vector<ApiAddress> addresses) {
  KubernetesEndpoints out;
  std::erase_if(addresses, [](const ApiAddress& address) { return !can_be_told(address); });
  if (addresses.empty()) return out;
  const int first_port = addresses.front().port;
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  std::vector<int> ports;
  for (const ApiAddress& address : addresses) ports.push_back(address.port);
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());

  out.endpoints = named();
  // The slice beside it is made here too: nothing is to mirror these.
  out.endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true";
  json::Array subsets;
  for (const int port : ports) {
    json::Array of_port;
    for (const ApiAddress& address : addresses) {
      if (address.port != port) continue;
      json::Value one;
      one["ip"] = address.ip;
      of_port.push_back(std::move(one));
    }
    json::Value subset;
    subset["addresses"] = json::Value(std::move(of_port));
    subset["ports"] = json::Array{api_port(port)};
    subsets.push_back(std::move(subset));
  }
  out.endpoints["subsets"] = json::Value(std::move(subsets));

  const bool v6 = addresses.front().ip.find(':') != std::string::npos;
  out.slice = named();
  out.slice["metadata"]["labels"]["kubernetes.io/service-name"] = "kubernetes";
  out.slice["addressType"] = v6 ? "IPv6" : "IPv4";
  json::Array endpoints;
  for (const ApiAddress& address : addresses) {
    if (address.port != first_port || (address.ip.find(':') != std::string::npos) != v6) continue;
    json::Value endpoint;
    endpoint["addresses"] = json::Array{json::Value(address.ip)};
    endpoint["conditions"]["ready"] = true;
    endpoints.push_back(std::move(endpoint));
  }
  out.slice["endpoints"] = json::Value(std::move(endpoints));
  out.slice["ports"] = json::Array{api_port(first_port)};
  return out;
}

}  // namespace kayak::api
