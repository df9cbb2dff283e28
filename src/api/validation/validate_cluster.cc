// validate_cluster.cc: the rows of what a cluster offers to pods, and the rules of endpoint slices, priority classes,
// leases and runtime classes.
// Source: kubernetes pkg/apis/discovery, scheduling, coordination and node, their validation (v1.36).
#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// ---- endpoint slices

constexpr std::size_t kMaxEndpoints = 1000;
constexpr std::size_t kMaxAddresses = 100;
constexpr std::size_t kMaxPorts = 20000;
constexpr std::size_t kMaxTopologyLabels = 16;
constexpr std::size_t kMaxHints = 8;

void check_reachable(const Checked& address, const IpAddress& ip) {
  if (ip.is_unspecified()) address.invalid(cat("may not be unspecified (", address.text(), ")"));
  if (ip.is_loopback()) address.invalid("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (ip.is_link_local_unicast()) {
    address.invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if (ip.is_link_local_multicast()) {
    address.invalid("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

void check_ip_address(const Checked& addresses, const Checked& address, bool v6) {
  const auto check = v6 ? valid_ip : valid_legacy_ip;
  if (!check(field::Path(), address.text()).empty()) {
    return field::append(address.errors(), check(address.path(), address.text()));
  }
  IpAddress ip;
  if (!parse_ip(address.text(), &ip)) return;
  if (ip.v6 != v6) addresses.invalid(address.value(), cat("must be an IPv", v6 ? 6 : 4, " address"));
  check_reachable(address, ip);
}

void check_domain_name(const Checked& address) {
  std::string_view name = address.text();
  if (name.empty()) return address.required();
  if (name.ends_with('.')) name.remove_suffix(1);
  if (const Messages messages = dns1123_subdomain(name); !messages.empty()) {
    return address.invalid(name, join(messages, ","));
  }
  const std::vector<std::string_view> labels = split(name, '.');
  if (labels.size() < 2) {
    return address.invalid(name, "should be a domain with at least two segments separated by dots");
  }
  for (const std::string_view label : labels) {
    const Messages messages = dns1123_label(label);
    if (!messages.empty()) return address.invalid(label, join(messages, ","));
  }
}

void check_addresses(const Checked& addresses, std::string_view type) {
  if (addresses.size() == 0) {
    addresses.required("must contain at least 1 address");
  } else if (addresses.size() > kMaxAddresses) {
    addresses.too_many(kMaxAddresses);
  }
  each_item(addresses, [&](const Checked& address) {
    if (type == "FQDN") return check_domain_name(address);
    if (type == "IPv4" || type == "IPv6") check_ip_address(addresses, address, type == "IPv6");
  });
}

void check_hints(const Checked& hints, std::string_view member, Messages (*rule)(std::string_view)) {
  const Checked list = hints[member];
  if (list.size() > kMaxHints) return list.too_many(kMaxHints);
  const Repeats repeated(list, "name");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Checked hint = list.item(i);
    const Checked name = hint["name"];
    if (repeated[i]) name.duplicate(name.text());
    check_name(name, rule);
  }
}

void check_endpoints(const Checked& endpoints, std::string_view type) {
  if (endpoints.size() > kMaxEndpoints) return endpoints.too_many(kMaxEndpoints);
  each_item(endpoints, [&](const Checked& endpoint) {
    check_addresses(endpoint["addresses"], type);
    const Checked node = endpoint["nodeName"];
    if (node.present()) check_name(node, dns1123_subdomain);
    const Checked topology = endpoint["deprecatedTopology"];
    if (topology.size() > kMaxTopologyLabels) topology.too_many(kMaxTopologyLabels);
    check_labels(topology);
    const Checked hostname = endpoint["hostname"];
    if (hostname.present()) check_name(hostname, dns1123_label);
    const Checked hints = endpoint["hints"];
    check_hints(hints, "forZones", label_value);
    if (hints["forZones"].size() <= kMaxHints) check_hints(hints, "forNodes", dns1123_subdomain);
  });
}

void check_endpoint_ports(const Checked& ports) {
  if (ports.size() > kMaxPorts) return ports.too_many(kMaxPorts);
  const Repeats repeated(ports, "name");
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Checked port = ports.item(i);
    const Checked name = port["name"];
    if (!name.text().empty()) check_name(name, dns1123_label);
    if (repeated[i]) name.duplicate(name.text());
    const Checked protocol = port["protocol"];
    if (!protocol.present()) {
      protocol.required();
    } else {
      check_choice(protocol, {"SCTP", "TCP", "UDP"});
    }
    const Checked application = port["appProtocol"];
    if (application.present()) check_name(application, qualified_name);
  }
}

void check_slice(const Checked& root, const json::Value* old) {
  const Checked type = root["addressType"];
  if (type.text().empty()) {
    type.required();
  } else {
    check_choice(type, {"FQDN", "IPv4", "IPv6"});
  }
  check_endpoint_ports(root["ports"]);
  const std::size_t before = root.errors().size();
  const Checked endpoints = root["endpoints"];
  check_endpoints(endpoints, type.text());
  // What was accepted once may stay.
  if (root.errors().size() > before && old != nullptr && same_value(old->find("endpoints"), endpoints.get())) {
    root.errors().resize(before);
  }
}

void create_slice(const json::Value& object, field::ErrorList& errors) {
  check_slice(Checked(object, errors), nullptr);
}

void update_slice(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_slice(root, &old);
  check_immutable(root["addressType"], old.find("addressType"));
}

// ---- priority classes

constexpr std::int64_t kMaxUserPriority = 1'000'000'000;

struct SystemClass {
  std::string_view name;
  std::int64_t value;
};
constexpr SystemClass kSystemClasses[] = {{"system-node-critical", 2'000'001'000},
                                          {"system-cluster-critical", 2'000'000'000}};

// Why it is none of the two that the server makes; "" when it is.
std::string system_class_fault(std::string_view name, std::int64_t value, bool is_default) {
  for (const SystemClass& row : kSystemClasses) {
    if (row.name != name) continue;
    if (row.value != value) return cat("value of ", name, " PriorityClass must be ", row.value);
    return is_default ? cat("globalDefault of ", name, " PriorityClass must be false") : "";
  }
  return cat(name, " is not a known system priority class");
}

void create_priority_class(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  const Checked value = root["value"];
  if (name.text().starts_with("system-")) {
    const std::string fault = system_class_fault(name.text(), value.number(), root["globalDefault"].flag());
    if (!fault.empty()) {
      name.forbidden(
          cat("priority class names with 'system-' prefix are reserved for system use only. error: ", fault));
    }
  } else if (value.number() > kMaxUserPriority) {
    value.forbidden(cat("maximum allowed value of a user defined priority is ", kMaxUserPriority));
  }
  const Checked policy = root["preemptionPolicy"];
  if (!policy.present()) return;
  if (policy.text().empty()) {
    policy.required();
  } else {
    check_choice(policy, {"PreemptLowerPriority", "Never"});
  }
}

void update_priority_class(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked value = root["value"];
  if (!same_value(value.get(), old.find("value"))) value.forbidden("may not be changed in an update.");
  check_immutable(root["preemptionPolicy"], old.find("preemptionPolicy"));
}

// ---- leases

void check_lease_strategy(const Checked& strategy) {
  constexpr std::string_view kStrategies[] = {"OldestEmulationVersion"};
  // Upstream names the place twice.
  const Checked place = strategy["strategy"];
  if (strategy.text().find('/') != std::string_view::npos) {
    place.invalid_each(strategy.value(), qualified_name(strategy.text()));
  } else if (strategy.text() != kStrategies[0]) {
    place.errors().push_back(field::not_supported(place.path(), strategy.value(), kStrategies));
  }
}

void create_lease(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked duration = spec["leaseDurationSeconds"];
  if (duration.present() && duration.number() <= 0) duration.invalid("must be greater than 0");
  check_non_negative(spec["leaseTransitions"]);
  const Checked strategy = spec["strategy"];
  if (strategy.present()) check_lease_strategy(strategy);
  const Checked preferred = spec["preferredHolder"];
  if (!preferred.text().empty() && strategy.text().empty()) {
    preferred.forbidden("may only be specified if `strategy` is defined");
  }
}

void update_lease(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_lease(object, errors);
}

// ---- runtime classes

void check_class_tolerations(const Checked& tolerations) {
  if (!tolerations.present()) return;
  check_tolerations(list(tolerations.get()), tolerations.path(), tolerations.errors());
  std::unordered_set<std::string> seen;
  each_item(tolerations, [&](const Checked& toleration) {
    std::string text;
    for (const std::string_view member : {"key", "operator", "value", "effect"}) {
      text += quote(toleration[member].text());
    }
    if (!seen.insert(std::move(text)).second) toleration.duplicate();
  });
}

void create_runtime_class(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_required_name(root["handler"], dns1123_label);
  const Checked overhead = root["overhead"];
  if (const json::Value* fixed = overhead["podFixed"].get()) {
    json::Value limits;
    limits["limits"] = *fixed;
    check_resources(limits, false, {}, overhead.path(), errors);
  }
  const Checked scheduling = root["scheduling"];
  check_labels(scheduling["nodeSelector"]);
  check_class_tolerations(scheduling["tolerations"]);
}

void update_runtime_class(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_runtime_class(object, errors);
  const Checked root(object, errors);
  check_immutable(root["handler"], old.find("handler"));
}

}  // namespace

std::vector<Row> cluster_rows() {
  std::vector<Row> rows = {
      {"discovery.k8s.io", "endpointslices", "", dns1123_subdomain, create_slice, update_slice},
      {"scheduling.k8s.io", "priorityclasses", "", dns1123_subdomain, create_priority_class, update_priority_class},
      {"coordination.k8s.io", "leases", "", dns1123_subdomain, create_lease, update_lease},
      {"node.k8s.io", "runtimeclasses", "", dns1123_subdomain, create_runtime_class, update_runtime_class},
  };
  append_rows(rows, networking_rows());
  append_rows(rows, storage_rows());
  return rows;
}

}  // namespace kayak::api::validation
