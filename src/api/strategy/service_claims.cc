// service_claims.cc: the keys that a service holds alone: an IPAddress object for each of its addresses, and a key for
// each of its node ports.
// Source: kubernetes pkg/registry/core/service/ipallocator (cidrallocator, ipallocator), networking/v1 IPAddress.
#include "api/document.h"
#include "api/managed_fields.h"
#include "api/schema.h"
#include "api/service_allocator.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// What upstream's allocator makes for an address.
json::Value address_object(ServerParts& parts, const json::Value& service, std::string_view address) {
  const Kind& kind = kinds::ip_addresses();
  const WallTime now = parts.context.clock.wall();
  json::Value object = json::Value(json::Object());
  object["kind"] = kind.kind;
  object["apiVersion"] = kind.api_version();
  json::Value& metadata = object["metadata"];
  metadata["name"] = address;
  metadata["labels"]["ipaddress.kubernetes.io/ip-family"] = "IPv4";
  metadata["labels"][kManagedByLabel] = kManagedByAllocator;
  json::Value& parent = object["spec"]["parentRef"];
  parent["resource"] = "services";
  parent["namespace"] = meta_text(service, "namespace");
  parent["name"] = meta_text(service, "name");
  canonicalize(*kind.message, object);
  Result<json::Value> nothing = decode_json(*kind.message, json::Object());
  ASSERT(nothing.ok());
  ManagedUpdate update;
  update.manager = "kube-apiserver";
  update.api_version = kind.api_version();
  update.now = now;
  update_managed_fields(*kind.message, *nothing, object, update);
  metadata_of(object)["uid"] = parts.context.random.uuid4();
  metadata_of(object)["creationTimestamp"] = format_time(now);
  canonicalize(*kind.message, object);
  return object;
}

}  // namespace

std::string address_key(std::string_view address) { return storage_key(kinds::ip_addresses(), "", address); }
std::string node_port_key(int port) { return cat(kNodePortPrefix, port); }

std::set<std::string> service_keys(const json::Value& service) {
  const ServiceHoldings held = holdings_of(service);
  std::set<std::string> keys;
  for (std::uint32_t address : held.addresses) keys.insert(address_key(format_ipv4(address)));
  for (int port : held.ports) keys.insert(node_port_key(port));
  return keys;
}

store::Bytes service_key_text(ServerParts& parts, const json::Value& service, const std::string& key) {
  const std::string addresses = address_key("");
  const std::string text = key.starts_with(addresses)
                               ? json::write(address_object(parts, service, key.substr(addresses.size())))
                               : cat(meta_text(service, "namespace"), "/", meta_text(service, "name"));
  return std::make_shared<const std::string>(text);
}

}  // namespace kayak::api
