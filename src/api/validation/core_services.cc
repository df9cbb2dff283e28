// core_services.cc: services and endpoints.
// Source: kubernetes pkg/apis/core/validation ValidateService, ValidateServiceUpdate, ValidateEndpoints (v1.36).
#include <unordered_set>

#include "api/validation/checked.h"
#include "api/validation/core.h"
#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxAffinitySeconds = 86400;
constexpr std::string_view kOnlyBalancers = "may only be used when `type` is 'LoadBalancer'";
constexpr std::string_view kRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";

bool is_type(const json::Value& spec, std::string_view type) { return text(spec, "type") == type; }
bool is_headless(const json::Value& spec) {
  const auto addresses = list(spec, "clusterIPs");
  return addresses.size() == 1 && addresses[0].string_or() == "None";
}
bool is_external(const json::Value& spec) {
  return is_type(spec, "LoadBalancer") || is_type(spec, "NodePort") ||
         (is_type(spec, "ClusterIP") && !list(spec, "externalIPs").empty());
}
bool needs_health_check(const json::Value& spec) {
  return is_type(spec, "LoadBalancer") && text(spec, "externalTrafficPolicy") == "Local";
}

// A value of a fixed set. `value` null: absent.
void check_choice(const json::Value* value, std::span<const std::string_view> choices, const field::Path& path,
                  field::ErrorList& errors) {
  if (value == nullptr || std::find(choices.begin(), choices.end(), value->string_or()) != choices.end()) return;
  errors.push_back(field::not_supported(path, *value, choices));
}

void check_type(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  if (is_headless(spec) && (is_type(spec, "LoadBalancer") || is_type(spec, "NodePort"))) {
    errors.push_back(field::invalid(path.child("clusterIPs").index(0), "None",
                                    cat("may not be set to 'None' for ", text(spec, "type"), " services")));
  }
  if (!is_type(spec, "ExternalName")) return;
  for (const char* name : {"clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
    const json::Value* value = get(spec, name);
    if (value == nullptr || (value->is_array() && value->as_array().empty())) continue;
    errors.push_back(field::forbidden(path.child(name), "may not be set for ExternalName services"));
  }
  std::string_view name = text(spec, "externalName");
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) {
    errors.push_back(field::required(path.child("externalName"), ""));
  } else {
    check_text(name, dns1123_subdomain, path.child("externalName"), errors);
  }
}

// `names` are those of the ports before it.
void check_port(const json::Value& port, bool only, Seen& names, const field::Path& path, field::ErrorList& errors) {
  const std::string_view name = text(port, "name");
  if (name.empty()) {
    if (!only) errors.push_back(field::required(path.child("name"), ""));
  } else {
    check_text(name, dns1123_label, path.child("name"), errors);
    if (!names.add(name)) errors.push_back(field::duplicate(path.child("name"), json::Value(name)));
  }
  const std::int64_t own = number(port, "port");
  field::append_invalid(errors, path.child("port"), own, port_number(own));
  check_protocol(text(port, "protocol"), path.child("protocol"), errors);
  check_port_number_or_name(port.find("targetPort"), path.child("targetPort"), errors);
  if (const json::Value* protocol = get(port, "appProtocol")) {
    check_text(protocol->string_or(), qualified_name, path.child("appProtocol"), errors);
  }
}

void check_ports(const json::Value& spec, const field::Path& parent, field::ErrorList& errors) {
  const auto ports = list(spec, "ports");
  const field::Path path = parent.child("ports");
  if (ports.empty() && !is_headless(spec) && !is_type(spec, "ExternalName")) {
    errors.push_back(field::required(path, ""));
  }
  Seen names;
  std::unordered_set<std::string> taken;  // "port 80/TCP"
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const field::Path own = path.index(i);
    check_port(ports[i], ports.size() == 1, names, own, errors);
    const std::int64_t node = number(ports[i], "nodePort");
    if (node != 0 && is_type(spec, "ClusterIP")) {
      errors.push_back(field::forbidden(own.child("nodePort"), "may not be used when `type` is 'ClusterIP'"));
    }
    const auto is_taken = [&](const char* member) {
      return !taken.insert(cat(member, " ", number(ports[i], member), "/", text(ports[i], "protocol"))).second;
    };
    if (node != 0 && is_taken("nodePort")) errors.push_back(field::duplicate(own.child("nodePort"), node));
    if (!is_taken("port")) continue;
    json::Object key;
    key.set("protocol", json::Value(text(ports[i], "protocol")));
    key.set("port", number(ports[i], "port"));
    errors.push_back(field::duplicate(own, json::Value(std::move(key))));
  }
}

void check_affinity_seconds(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kWhy = "when session affinity type is ClientIP";
  const json::Value* config = get(spec, "sessionAffinityConfig");
  if (config == nullptr) return errors.push_back(field::required(path, kWhy));
  const json::Value* client = get(*config, "clientIP");
  if (client == nullptr) return errors.push_back(field::required(path.child("clientIP"), kWhy));
  const json::Value* seconds = get(*client, "timeoutSeconds");
  const field::Path own = path.child("clientIP").child("timeoutSeconds");
  if (seconds == nullptr) return errors.push_back(field::required(own, kWhy));
  if (seconds->int_or(0) > 0 && seconds->int_or(0) <= kMaxAffinitySeconds) return;
  errors.push_back(field::invalid(own, *seconds, cat("must be greater than 0 and less than ", kMaxAffinitySeconds)));
}

void check_session_affinity(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kTypes[] = {"ClientIP", "None"};
  const std::string_view affinity = text(spec, "sessionAffinity");
  if (affinity.empty()) {
    errors.push_back(field::required(path.child("sessionAffinity"), ""));
  } else if (affinity == "ClientIP") {
    check_affinity_seconds(spec, path.child("sessionAffinityConfig"), errors);
  } else if (affinity != "None") {
    errors.push_back(field::not_supported(path.child("sessionAffinity"), json::Value(affinity), kTypes));
  } else if (get(spec, "sessionAffinityConfig") != nullptr) {
    errors.push_back(
        field::forbidden(path.child("sessionAffinityConfig"), "must not be set when session affinity is None"));
  }
}

// ---- addresses and families

bool was_there(const json::Value* old, const char* name, std::string_view value) {
  if (old == nullptr) return false;
  const auto before = list(*old, name);
  return std::any_of(before.begin(), before.end(), [&](const json::Value& item) { return item.string_or() == value; });
}

// False when an address is none, so that counting families would only confuse.
bool check_each_address(const json::Value& spec, const json::Value* old, const field::Path& path,
                        field::ErrorList& errors) {
  const auto addresses = list(spec, "clusterIPs");
  bool valid = true;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string_view address = addresses[i].string_or();
    if (i == 0 && address == "None") {
      if (addresses.size() == 1) continue;
      errors.push_back(field::invalid(path, *spec.find("clusterIPs"), "'None' must be the first and only value"));
      valid = false;
      continue;
    }
    if (was_there(old, "clusterIPs", address)) continue;
    field::ErrorList found = valid_legacy_ip(path.index(i), address);
    valid = valid && found.empty();
    field::append(errors, std::move(found));
  }
  if (addresses.size() > 2) {
    errors.push_back(field::invalid(path, *spec.find("clusterIPs"), "may only hold up to 2 values"));
  }
  return valid;
}

void check_families_match(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const auto addresses = list(spec, "clusterIPs"), families = list(spec, "ipFamilies");
  int of_v6 = 0;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    IpAddress address;
    if (!parse_ip(addresses[i].string_or(), &address)) continue;
    of_v6 += address.v6 ? 1 : 0;
    if (i >= families.size() || (families[i].string_or() == "IPv6") == address.v6) continue;
    errors.push_back(
        field::invalid(path.index(i), addresses[i],
                       cat("expected an ", families[i].string_or(), " value as indicated by `ipFamilies[", i, "]`")));
  }
  if (addresses.size() > 1 && of_v6 != 1) {
    errors.push_back(
        field::invalid(path, *spec.find("clusterIPs"), "may specify no more than one IP for each IP family"));
  }
}

void check_cluster_ips(const json::Value& spec, const json::Value* old, const field::Path& parent,
                       field::ErrorList& errors) {
  constexpr std::string_view kFamilies[] = {"IPv4", "IPv6"};
  constexpr std::string_view kPolicies[] = {"PreferDualStack", "RequireDualStack", "SingleStack"};
  if (is_type(spec, "ExternalName")) return;
  const field::Path path = parent.child("clusterIPs");
  const auto addresses = list(spec, "clusterIPs");
  const std::string_view first = text(spec, "clusterIP");
  if (first.empty()) {
    if (!addresses.empty()) {
      errors.push_back(
          field::invalid(path, *spec.find("clusterIPs"), "must be empty when `clusterIP` is not specified"));
    }
  } else if (addresses.empty()) {
    errors.push_back(field::required(path, ""));
  } else if (addresses[0].string_or() != first) {
    errors.push_back(field::invalid(path, *spec.find("clusterIPs"), "first value must match `clusterIP`"));
  }
  const auto families = list(spec, "ipFamilies");
  for (std::size_t i = 0; i < families.size(); ++i) {
    const field::Path own = parent.child("ipFamilies").index(i);
    check_choice(&families[i], kFamilies, own, errors);
    const auto before = families.first(i);
    if (std::find(before.begin(), before.end(), families[i]) != before.end()) {
      errors.push_back(field::duplicate(own, families[i]));
    }
  }
  check_choice(get(spec, "ipFamilyPolicy"), kPolicies, parent.child("ipFamilyPolicy"), errors);
  if (check_each_address(spec, old, path, errors)) check_families_match(spec, path, errors);
}

// Neither unspecified nor of this machine alone.
void check_usable_address(std::string_view text, const field::Path& path, field::ErrorList& errors) {
  IpAddress address;
  const auto invalid = [&](std::string_view why) { errors.push_back(field::invalid(path, json::Value(text), why)); };
  if (!parse_ip(text, &address)) return invalid("must be a valid IP address");
  if (address.is_unspecified()) invalid(cat("may not be unspecified (", text, ")"));
  if (address.is_loopback()) invalid("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (address.is_link_local_unicast()) invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (address.is_link_local_multicast()) {
    invalid("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

void check_external_ips(const json::Value& spec, const json::Value* old, const field::Path& parent,
                        field::ErrorList& errors) {
  const auto addresses = list(spec, "externalIPs");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string_view address = addresses[i].string_or();
    const field::Path path = parent.child("externalIPs").index(i);
    field::ErrorList found;
    if (!was_there(old, "externalIPs", address)) found = valid_legacy_ip(path, address);
    if (found.empty()) {
      check_usable_address(address, path, errors);
    } else {
      field::append(errors, std::move(found));
    }
  }
}

// ---- load balancers and traffic

void check_source_ranges(const json::Value& service, const json::Value* old, const field::Path& parent,
                         field::ErrorList& errors) {
  const json::Value& spec = part(service, "spec");
  const auto ranges = list(spec, "loadBalancerSourceRanges");
  const bool balancer = is_type(spec, "LoadBalancer");
  if (!ranges.empty()) {
    const field::Path path = parent.child("LoadBalancerSourceRanges");  // upstream's spelling
    if (!balancer) errors.push_back(field::forbidden(path, kOnlyBalancers));
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (was_there(old, "loadBalancerSourceRanges", ranges[i].string_or())) continue;
      field::append(errors, valid_legacy_cidr(path.index(i), trim(ranges[i].string_or())));
    }
    return;
  }
  const json::Value* annotation = get(part(part(service, "metadata"), "annotations"), kRangesAnnotation);
  if (annotation == nullptr) return;
  const field::Path path = field::Path("metadata.annotations").key(kRangesAnnotation);
  if (!balancer) errors.push_back(field::forbidden(path, kOnlyBalancers));
  const std::string_view all = trim(annotation->string_or());
  if (all.empty()) return;
  for (const std::string_view range : split(all, ',')) field::append(errors, valid_legacy_cidr(path, trim(range)));
}

void check_balancer(const json::Value& spec, const json::Value* old, const field::Path& path,
                    field::ErrorList& errors) {
  const json::Value* wanted = get(spec, "loadBalancerClass");
  if (!is_type(spec, "LoadBalancer")) {
    if (get(spec, "allocateLoadBalancerNodePorts") != nullptr) {
      errors.push_back(field::forbidden(path.child("allocateLoadBalancerNodePorts"), kOnlyBalancers));
    }
    if (wanted != nullptr) errors.push_back(field::forbidden(path.child("loadBalancerClass"), kOnlyBalancers));
    return;
  }
  if (get(spec, "allocateLoadBalancerNodePorts") == nullptr) {
    errors.push_back(field::required(field::Path("allocateLoadBalancerNodePorts"), ""));
  }
  if (old != nullptr && is_type(*old, "LoadBalancer") && !same(spec, *old, "loadBalancerClass")) {
    errors.push_back(field::invalid(path.child("loadBalancerClass"), or_nothing(wanted), "may not change once set"));
  }
  if (wanted != nullptr) check_text(wanted->string_or(), qualified_name, path.child("loadBalancerClass"), errors);
}

void check_traffic(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kPolicies[] = {"Cluster", "Local"};
  constexpr std::string_view kDistributions[] = {"PreferClose", "PreferSameZone", "PreferSameNode"};
  const std::string_view external = text(spec, "externalTrafficPolicy");
  const field::Path own = path.child("externalTrafficPolicy");
  if (!is_external(spec)) {
    if (!external.empty()) {
      errors.push_back(
          field::invalid(own, json::Value(external), "may only be set for externally-accessible services"));
    }
  } else if (external.empty()) {
    errors.push_back(field::required(own, ""));
  } else {
    check_choice(spec.find("externalTrafficPolicy"), kPolicies, own, errors);
  }
  const std::int64_t health = number(spec, "healthCheckNodePort");
  const field::Path health_path = path.child("healthCheckNodePort");
  if (!needs_health_check(spec)) {
    if (health != 0) {
      errors.push_back(field::invalid(
          health_path, health, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"));
    }
  } else if (health == 0) {
    errors.push_back(field::required(health_path, ""));
  } else {
    field::append_invalid(errors, health_path, health, port_number(health));
  }
  const json::Value* internal = get(spec, "internalTrafficPolicy");
  const bool routed = is_type(spec, "ClusterIP") || is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
  if (internal == nullptr && routed) {
    errors.push_back(field::required(path.child("internalTrafficPolicy"), ""));
  }
  check_choice(internal, kPolicies, path.child("internalTrafficPolicy"), errors);
  check_choice(get(spec, "trafficDistribution"), kDistributions, path.child("trafficDistribution"), errors);
}

void check_topology_annotations(const json::Value& service, field::ErrorList& errors) {
  constexpr std::string_view kHints = "service.kubernetes.io/topology-aware-hints";
  constexpr std::string_view kMode = "service.kubernetes.io/topology-mode";
  const json::Value& annotations = part(part(service, "metadata"), "annotations");
  const json::Value *hints = get(annotations, kHints), *mode = get(annotations, kMode);
  if (hints == nullptr || mode == nullptr || *hints == *mode) return;
  errors.push_back(field::invalid(field::Path("metadata.annotations").key(kMode), *mode,
                                  cat("must match annotations[", kHints, "] when both are specified")));
}

void check_service(const json::Value& service, const json::Value* old_spec, field::ErrorList& errors) {
  constexpr std::string_view kTypes[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"};
  const json::Value& spec = part(service, "spec");
  const field::Path path("spec");
  check_topology_annotations(service, errors);
  check_type(spec, path, errors);
  check_ports(spec, path, errors);
  if (const json::Value* selector = get(spec, "selector")) validate_labels(selector, path.child("selector"), errors);
  check_session_affinity(spec, path, errors);
  check_cluster_ips(spec, old_spec, path, errors);
  check_external_ips(spec, old_spec, path, errors);
  if (text(spec, "type").empty()) {
    errors.push_back(field::required(path.child("type"), ""));
  } else {
    check_choice(spec.find("type"), kTypes, path.child("type"), errors);
  }
  check_source_ranges(service, old_spec, path, errors);
  check_balancer(spec, old_spec, path, errors);
  check_traffic(spec, path, errors);
}

// The first of a list stays; the second may come, and go when the policy says SingleStack.
void check_list_change(const json::Value& spec, const json::Value& old, const char* name, const char* singular,
                       field::ErrorList& errors) {
  const auto now = list(spec, name), before = list(old, name);
  const field::Path path = field::Path("spec").child(name);
  const json::Value& shown = or_nothing(spec.find(name));
  const auto changed = [&](std::size_t i) {
    errors.push_back(field::invalid(path.index(i), shown, "may not change once set"));
  };
  if (now.size() == before.size()) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      // Upstream names the first family whichever changed.
      if (!(now[i] == before[i])) changed(std::string_view(name) == "clusterIPs" ? i : 0);
    }
    return;
  }
  if (now.empty()) {
    errors.push_back(field::invalid(path.index(0), shown, cat("primary ", singular, " can not be unset")));
  } else if (!before.empty() && !(now[0] == before[0])) {
    changed(0);
  }
  if (now.size() == 1 && before.size() > 1 && text(spec, "ipFamilyPolicy") != "SingleStack") {
    errors.push_back(field::invalid(field::Path("spec.ipFamilyPolicy"), or_nothing(spec.find("ipFamilyPolicy")),
                                    cat("must be set to 'SingleStack' when releasing the secondary ", singular)));
  }
}

}  // namespace

void validate_service(const json::Value& service, field::ErrorList& errors) { check_service(service, nullptr, errors); }

void validate_service_update(const json::Value& service, const json::Value& old, field::ErrorList& errors) {
  const json::Value &spec = part(service, "spec"), &before = part(old, "spec");
  const bool by_name = is_type(spec, "ExternalName") || is_type(before, "ExternalName");
  const bool headless = is_headless(spec), was_headless = is_headless(before);
  if (!by_name && !(headless && was_headless)) check_list_change(spec, before, "clusterIPs", "clusterIP", errors);
  if (!by_name && !headless && !was_headless) check_list_change(spec, before, "ipFamilies", "ipFamily", errors);
  if (needs_health_check(spec) && needs_health_check(before) &&
      number(spec, "healthCheckNodePort") != number(before, "healthCheckNodePort")) {
    errors.push_back(field::forbidden(field::Path("spec.healthCheckNodePort"), "field is immutable"));
  }
  check_service(service, &before, errors);
}

void validate_service_status(const json::Value& service, const json::Value& old, field::ErrorList& errors) {
  constexpr std::string_view kModes[] = {"Proxy", "VIP"};
  const json::Value& status = part(part(service, "status"), "loadBalancer");
  const auto ingress = list(status, "ingress"), before = list(part(part(old, "status"), "loadBalancer"), "ingress");
  const field::Path path("status.loadBalancer.ingress");
  if (ingress.empty()) return;
  if (!is_type(part(service, "spec"), "LoadBalancer")) {
    errors.push_back(field::forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'"));
    return;
  }
  for (std::size_t i = 0; i < ingress.size(); ++i) {
    const field::Path own = path.index(i);
    const std::string_view ip = text(ingress[i], "ip"), hostname = text(ingress[i], "hostname");
    const bool known =
        std::any_of(before.begin(), before.end(), [&](const json::Value& item) { return text(item, "ip") == ip; });
    if (!ip.empty() && !known) field::append(errors, valid_legacy_ip(own.child("ip"), ip));
    const json::Value* mode = get(ingress[i], "ipMode");
    if (mode == nullptr && !ip.empty()) {
      errors.push_back(field::required(own.child("ipMode"), "must be specified when `ip` is set"));
    } else if (mode != nullptr && ip.empty()) {
      errors.push_back(field::forbidden(own.child("ipMode"), "may not be specified when `ip` is not set"));
    } else {
      check_choice(mode, kModes, own.child("ipMode"), errors);
    }
    if (hostname.empty()) continue;
    check_text(hostname, dns1123_subdomain, own.child("hostname"), errors);
    IpAddress address;
    if (!parse_ip(hostname, &address)) continue;
    errors.push_back(
        field::invalid(own.child("hostname"), json::Value(hostname), "must be a DNS name, not an IP address"));
  }
}

// ---- endpoints

namespace {

void check_endpoint_address(const json::Value& address, const field::Path& path, field::ErrorList& errors) {
  const std::string_view ip = text(address, "ip"), hostname = text(address, "hostname");
  field::append(errors, valid_legacy_ip(path.child("ip"), ip));
  if (!hostname.empty()) check_text(hostname, dns1123_label, path.child("hostname"), errors);
  if (const json::Value* node = get(address, "nodeName")) {
    check_text(node->string_or(), dns1123_subdomain, path.child("nodeName"), errors);
  }
  check_usable_address(ip, path.child("ip"), errors);
}

void check_endpoint_port(const json::Value& port, bool needs_name, const field::Path& path, field::ErrorList& errors) {
  const std::string_view name = text(port, "name");
  if (!name.empty()) {
    check_text(name, dns1123_label, path.child("name"), errors);
  } else if (needs_name) {
    errors.push_back(field::required(path.child("name"), ""));
  }
  const std::int64_t value = number(port, "port");
  field::append_invalid(errors, path.child("port"), value, port_number(value));
  check_protocol(text(port, "protocol"), path.child("protocol"), errors);
  if (const json::Value* protocol = get(port, "appProtocol")) {
    check_text(protocol->string_or(), qualified_name, path.child("appProtocol"), errors);
  }
}

}  // namespace

void validate_endpoints(const json::Value& endpoints, field::ErrorList& errors) {
  const auto subsets = list(endpoints, "subsets");
  for (std::size_t i = 0; i < subsets.size(); ++i) {
    const field::Path path = field::Path("subsets").index(i);
    if (list(subsets[i], "addresses").empty() && list(subsets[i], "notReadyAddresses").empty()) {
      errors.push_back(field::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (const char* name : {"addresses", "notReadyAddresses"}) {
      const auto addresses = list(subsets[i], name);
      for (std::size_t a = 0; a < addresses.size(); ++a) {
        check_endpoint_address(addresses[a], path.child(name).index(a), errors);
      }
    }
    const auto ports = list(subsets[i], "ports");
    for (std::size_t p = 0; p < ports.size(); ++p) {
      check_endpoint_port(ports[p], ports.size() > 1, path.child("ports").index(p), errors);
    }
  }
}

void validate_endpoints_update(const json::Value& endpoints, const json::Value& old, field::ErrorList& errors) {
  if (!same(endpoints, old, "subsets")) validate_endpoints(endpoints, errors);
}

}  // namespace kayak::api::validation
