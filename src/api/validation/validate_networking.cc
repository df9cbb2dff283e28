// validate_networking.cc: the rules of network policies, ingresses and their classes, and addresses of services.
// Source: kubernetes pkg/apis/networking/validation (v1.36).
#include "api/validation/ip.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

using TextCheck = field::ErrorList (*)(const field::Path& path, std::string_view text);
// The path is spelled out only when something is wrong.
void check_address(const Checked& field, TextCheck check) {
  if (!check(field::Path(), field.text()).empty()) field::append(field.errors(), check(field.path(), field.text()));
}

// ---- network policies

void check_policy_port(const Checked& port) {
  const Checked protocol = port["protocol"];
  if (protocol.present()) check_choice(protocol, {"TCP", "UDP", "SCTP"});
  const Checked number = port["port"];
  const Checked end = port["endPort"];
  if (!number.present()) {
    if (end.present()) end.invalid("may not be specified when `port` is not specified");
    return;
  }
  if (number.value().is_string()) {
    if (end.present()) end.invalid("may not be specified when `port` is non-numeric");
    return number.invalid_each(port_name(number.text()));
  }
  number.invalid_each(port_number(number.number()));
  if (!end.present()) return;
  if (end.number() < number.number()) end.invalid(number.value(), "must be greater than or equal to `port`");
  end.invalid_each(port_number(end.number()));
}

void check_ip_block(const Checked& block, const Seen& tolerated) {
  const Checked cidr = block["cidr"];
  if (cidr.text().empty()) return cidr.required();
  if (!tolerated.has(cidr.text())) check_address(cidr, valid_legacy_cidr);
  IpRange range;
  if (!parse_cidr(cidr.text(), &range)) return;
  each_item(block["except"], [&](const Checked& except) {
    if (!tolerated.has(except.text())) check_address(except, valid_legacy_cidr);
    IpRange hole;
    if (!parse_cidr(except.text(), &hole) || !parse_cidr(hole.to_string(), &hole)) return;
    if (!range_contains(range, hole.address) || range.prefix_length >= hole.prefix_length) {
      except.invalid("must be a strict subset of `cidr`");
    }
  });
}

void check_peer(const Checked& peer, const Seen& tolerated) {
  const Checked pods = peer["podSelector"];
  const Checked namespaces = peer["namespaceSelector"];
  const Checked block = peer["ipBlock"];
  check_label_selector(pods);
  check_label_selector(namespaces);
  if (block.present()) check_ip_block(block, tolerated);
  const int peers = int{pods.present()} + int{namespaces.present()} + int{block.present()};
  if (peers == 0) peer.required("must specify a peer");
  if (peers > 1 && block.present()) peer.forbidden("may not specify both ipBlock and another peer");
}

void check_policy_spec(const Checked& spec, const Seen& tolerated) {
  check_label_selector(spec["podSelector"]);
  const auto check_rules = [&](std::string_view direction, std::string_view peers) {
    each_item(spec[direction], [&](const Checked& rule) {
      each_item(rule["ports"], check_policy_port);
      each_item(rule[peers], [&](const Checked& peer) { check_peer(peer, tolerated); });
    });
  };
  check_rules("ingress", "from");
  check_rules("egress", "to");
  const Checked types = spec["policyTypes"];
  if (types.size() > 2) return types.invalid("may not specify more than two policyTypes");
  each_item(types, [](const Checked& type) { check_choice(type, {"Ingress", "Egress"}); });
}

Seen cidrs_of(const json::Value& policy) {
  Seen cidrs;
  field::ErrorList unused;
  const Checked root(policy, unused);
  const Checked spec = root["spec"];
  const auto collect = [&cidrs](const Checked& peer) {
    const Checked block = peer["ipBlock"];
    if (!block.present()) return;
    cidrs.add(block["cidr"].text());
    each_item(block["except"], [&](const Checked& except) { cidrs.add(except.text()); });
  };
  each_item(spec["ingress"], [&](const Checked& rule) { each_item(rule["from"], collect); });
  each_item(spec["egress"], [&](const Checked& rule) { each_item(rule["to"], collect); });
  return cidrs;
}

void create_network_policy(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_policy_spec(root["spec"], Seen());
}

void update_network_policy(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_policy_spec(root["spec"], cidrs_of(old));
}

// ---- ingresses

// What an old ingress had wrong, a new one may keep.
struct IngressOptions {
  bool any_secret_name = false, any_wildcard_rule = false;
};

void check_local_reference(const Checked& reference) {
  const Checked group = reference["apiGroup"];
  if (group.present()) check_name(group, dns1123_subdomain);
  check_required_name(reference["kind"], path_segment_name);
  check_required_name(reference["name"], path_segment_name);
}

void check_service_backend(const Checked& backend, const Checked& service) {
  check_required_name(service["name"], dns1123_label);
  const json::Value nothing("");
  const Checked port = service["port"];
  const Checked name = port["name"];
  const Checked number = port["number"];
  const bool has_name = !name.text().empty(), has_number = number.number() != 0;
  if (has_name && has_number) return backend.invalid(nothing, "cannot set both port name & port number");
  if (has_name) return name.invalid_each(port_name(name.text()));
  if (has_number) return number.invalid_each(port_number(number.number()));
  backend.required("port name or number is required");
}

void check_backend(const Checked& backend) {
  const json::Value nothing("");
  const Checked resource = backend["resource"];
  const Checked service = backend["service"];
  if (resource.present() && service.present()) {
    backend.invalid(nothing, "cannot set both resource and service backends");
  } else if (resource.present()) {
    check_local_reference(resource);
  } else if (service.present()) {
    check_service_backend(backend, service);
  } else {
    backend.invalid(nothing, "resource or service backend is required");
  }
}

void check_http_path(const Checked& rule) {
  const Checked type = rule["pathType"];
  if (!type.present()) return type.required("pathType must be specified");
  const Checked path = rule["path"];
  const std::string_view text = path.text();
  if (type.text() == "Exact" || type.text() == "Prefix") {
    if (!text.starts_with('/')) path.invalid(text, "must be an absolute path");
    for (const std::string_view part : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (text.find(part) != std::string_view::npos) path.invalid(cat("must not contain '", part, "'"));
    }
    for (const std::string_view end : {"/..", "/."}) {
      if (text.ends_with(end)) path.invalid(cat("cannot end with '", end, "'"));
    }
  } else if (type.text() == "ImplementationSpecific") {
    if (!text.empty() && !text.starts_with('/')) path.invalid("must be an absolute path");
  } else {
    type.not_supported({"Exact", "ImplementationSpecific", "Prefix"});
  }
  check_backend(rule["backend"]);
}

void check_http(const Checked& rule) {
  const Checked http = rule["http"];
  if (!http.present()) return;
  const Checked paths = http["paths"];
  if (paths.size() == 0) paths.required();
  each_item(paths, check_http_path);
}

bool is_ip(std::string_view text) {
  IpAddress ignored;
  return parse_ip(text, &ignored);
}
bool is_wildcard(std::string_view host) { return host.find('*') != std::string_view::npos; }
void check_host(const Checked& host) {
  check_name(host, is_wildcard(host.text()) ? wildcard_dns1123_subdomain : dns1123_subdomain);
}

void check_ingress_rule(const Checked& rule, const IngressOptions& options) {
  const Checked host = rule["host"];
  if (!host.text().empty()) {
    if (is_ip(host.text())) host.invalid("must be a DNS name, not an IP address");
    check_host(host);
  }
  if (!is_wildcard(host.text()) || !options.any_wildcard_rule) check_http(rule);
}

void check_ingress(const Checked& root, const IngressOptions& options) {
  const Checked spec = root["spec"];
  const Checked rules = spec["rules"];
  const Checked backend = spec["defaultBackend"];
  if (rules.size() == 0 && !backend.present()) {
    spec.invalid(rules.value(), "either `defaultBackend` or `rules` must be specified");
  }
  if (backend.present()) check_backend(backend);
  each_item(rules, [&](const Checked& rule) { check_ingress_rule(rule, options); });
  each_item(spec["tls"], [&](const Checked& tls) {
    each_item(tls["hosts"], check_host);
    const Checked secret = tls["secretName"];
    if (!options.any_secret_name && !secret.text().empty()) check_name(secret, dns1123_subdomain);
  });
  const Checked name = spec["ingressClassName"];
  if (name.present()) check_name(name, dns1123_subdomain);
}

constexpr std::string_view kClassAnnotation = "kubernetes.io/ingress.class";

void create_ingress(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_ingress(root, IngressOptions());
  const json::Value* annotation = object.at({"metadata", "annotations", kClassAnnotation});
  const json::Value* name = object.at({"spec", "ingressClassName"});
  if (annotation == nullptr || same_value(name, nullptr) || *annotation == *name) return;
  const Checked annotations = root["annotations"];
  annotations[kClassAnnotation].invalid(*annotation, "must match `ingressClassName` when both are specified");
}

IngressOptions faults_of(const json::Value& old) {
  IngressOptions options;
  field::ErrorList found;
  const Checked root(old, found);
  const Checked spec = root["spec"];
  each_item(spec["tls"], [&](const Checked& tls) {
    const std::string_view secret = tls["secretName"].text();
    if (!secret.empty() && !dns1123_subdomain(secret).empty()) options.any_secret_name = true;
  });
  each_item(spec["rules"], [](const Checked& rule) {
    if (is_wildcard(rule["host"].text())) check_http(rule);
  });
  options.any_wildcard_rule = !found.empty();
  return options;
}

void update_ingress(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  check_ingress(Checked(object, errors), faults_of(old));
}

void update_ingress_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  Seen before;
  const json::Value* old_points = old.at({"status", "loadBalancer", "ingress"});
  if (old_points != nullptr && old_points->is_array()) {
    for (const json::Value& point : old_points->as_array()) {
      if (const json::Value* ip = point.find("ip")) before.add(ip->string_or());
    }
  }
  const Checked root(object, errors);
  const Checked status = root["status"];
  const Checked balancer = status["loadBalancer"];
  each_item(balancer["ingress"], [&](const Checked& point) {
    const Checked ip = point["ip"];
    if (!ip.text().empty() && !before.has(ip.text())) check_address(ip, valid_legacy_ip);
    const Checked hostname = point["hostname"];
    if (hostname.text().empty()) return;
    check_name(hostname, dns1123_subdomain);
    if (is_ip(hostname.text())) hostname.invalid("must be a DNS name, not an IP address");
  });
}

// ---- ingress classes

void check_class_parameters(const Checked& parameters) {
  if (!parameters.present()) return;
  check_local_reference(parameters);
  const Checked scope = parameters["scope"];
  const Checked name_space = parameters["namespace"];
  if (!scope.present()) return scope.required();
  if (scope.text() == "Namespace") {
    if (name_space.present()) {
      check_name(name_space, dns1123_label);
    } else {
      name_space.required("`parameters.scope` is set to 'Namespace'");
    }
  } else if (scope.text() != "Cluster") {
    scope.not_supported({"Cluster", "Namespace"});
  } else if (name_space.present()) {
    name_space.forbidden("`parameters.scope` is set to 'Cluster'");
  }
}

void create_ingress_class(const json::Value& object, field::ErrorList& errors) {
  constexpr std::size_t kMaxController = 250;
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked controller = spec["controller"];
  if (controller.text().size() > kMaxController) controller.too_long(kMaxController);
  check_domain_prefixed_path(controller);
  check_class_parameters(spec["parameters"]);
}

void update_ingress_class(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_immutable(spec["controller"], old.at({"spec", "controller"}));
  create_ingress_class(object, errors);
}

// ---- addresses and ranges

Messages ip_address_name(std::string_view name) {
  Messages messages;
  for (field::Error& error : valid_ip(field::Path(), name)) messages.push_back(std::move(error.detail));
  return messages;
}

void create_ip_address(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked parent = spec["parentRef"];
  if (!parent.present()) return parent.required();
  const Checked group = parent["group"];
  if (!group.text().empty()) check_name(group, dns1123_subdomain);
  check_required_name(parent["resource"], path_segment_name);
  check_required_name(parent["name"], path_segment_name);
  const Checked name_space = parent["namespace"];
  if (!name_space.text().empty()) check_name(name_space, path_segment_name);
}

void update_ip_address(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_ip_address(object, errors);
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_immutable(spec["parentRef"], old.at({"spec", "parentRef"}));
}

void check_service_ranges(const Checked& spec) {
  const Checked cidrs = spec["cidrs"];
  if (cidrs.size() == 0) return cidrs.required("at least one CIDR required");
  if (cidrs.size() > 2) return cidrs.invalid(spec.value(), "may only hold up to 2 values");
  each_item(cidrs, [](const Checked& cidr) { check_address(cidr, valid_cidr); });
  if (cidrs.size() != 2) return;
  IpRange first, second;
  if (parse_cidr(cidrs.item(0).text(), &first) && parse_cidr(cidrs.item(1).text(), &second) &&
      first.address.v6 == second.address.v6) {
    cidrs.invalid("may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
  }
}

void create_service_cidr(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_service_ranges(root["spec"]);
}

// A second family may be added later; nothing else changes.
void update_service_cidr(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked cidrs = spec["cidrs"];
  const Checked old_root(old, errors);
  const Checked old_spec = old_root["spec"];
  const Checked before = old_spec["cidrs"];
  const bool extended = before.size() == 1 && cidrs.size() == 2;
  if (before.size() != cidrs.size() && !extended) return cidrs.invalid("field is immutable");
  for (std::size_t i = 0; i < before.size(); ++i) check_immutable(cidrs.item(i), before.item(i).get());
  if (extended) check_service_ranges(spec);
}

}  // namespace

std::vector<Row> networking_rows() {
  constexpr std::string_view kGroup = "networking.k8s.io";
  return {
      {kGroup, "networkpolicies", "", dns1123_subdomain, create_network_policy, update_network_policy},
      {kGroup, "ingresses", "", dns1123_subdomain, create_ingress, update_ingress},
      {kGroup, "ingresses", "status", nullptr, nullptr, update_ingress_status},
      {kGroup, "ingressclasses", "", dns1123_subdomain, create_ingress_class, update_ingress_class},
      {kGroup, "ipaddresses", "", ip_address_name, create_ip_address, update_ip_address},
      {kGroup, "servicecidrs", "", dns1123_subdomain, create_service_cidr, update_service_cidr},
  };
}

}  // namespace kayak::api::validation
