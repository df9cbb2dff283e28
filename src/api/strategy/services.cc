// services.cc: what a service gets from the cluster: addresses, ports, families; and what a change of type takes away.
// Source: kubernetes pkg/registry/core/service (storage, strategy); shared fact table strategy.tsv, row services.
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "api/document.h"
#include "api/service_allocator.h"
#include "api/status.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

std::string_view spec_text(const json::Value& service, std::string_view name) {
  return text_at(service, {"spec", name});
}

std::int64_t spec_int(const json::Value& service, std::string_view name) {
  const json::Value* value = service.at({"spec", name});
  return value == nullptr ? 0 : value->int_or(0);
}

bool needs_address(const json::Value& service) {
  const std::string_view type = spec_text(service, "type");
  return type == "ClusterIP" || type == "NodePort" || type == "LoadBalancer";
}

bool needs_ports(const json::Value& service) {
  const std::string_view type = spec_text(service, "type");
  if (type == "NodePort") return true;
  const json::Value* allocate = service.at({"spec", "allocateLoadBalancerNodePorts"});
  return type == "LoadBalancer" && (allocate == nullptr || allocate->bool_or(true));
}

bool needs_health_port(const json::Value& service) {
  return spec_text(service, "type") == "LoadBalancer" && spec_text(service, "externalTrafficPolicy") == "Local";
}

bool is_headless(const json::Value& service) { return spec_text(service, "clusterIP") == "None"; }

json::Array* ports_of(json::Value& service) {
  json::Value* ports = service["spec"].find("ports");
  return ports != nullptr && ports->is_array() ? &ports->as_array() : nullptr;
}

std::int64_t node_port(const json::Value& port) {
  const json::Value* number = port.find("nodePort");
  return number == nullptr ? 0 : number->int_or(0);
}

std::set<std::int64_t> node_ports(const json::Value& service) {
  std::set<std::int64_t> ports;
  const json::Value* list = service.at({"spec", "ports"});
  if (list != nullptr && list->is_array()) {
    for (const json::Value& port : list->as_array()) {
      if (node_port(port) != 0) ports.insert(node_port(port));
    }
  }
  return ports;
}

// A client that changed only clusterIP means clusterIPs too.
void follow_address(json::Value& service, const json::Value& old) {
  json::Value& spec = service["spec"];
  const std::string address(spec_text(service, "clusterIP"));
  if (address == spec_text(old, "clusterIP") || !same_member(spec, *old.find("spec"), "clusterIPs")) return;
  if (address.empty()) {
    erase_member(spec, "clusterIPs");
  } else {
    spec["clusterIPs"] = json::Array{json::Value(address)};
  }
}

// What the client left out keeps the value it was given.
void patch_allocated(json::Value& service, const json::Value& old) {
  json::Value& spec = service["spec"];
  const json::Value& old_spec = *old.find("spec");
  if (needs_address(service) && needs_address(old)) {
    if (spec_text(service, "clusterIP").empty()) copy_member(spec, old_spec, "clusterIP");
    if (spec.find("clusterIPs") == nullptr && same_member(spec, old_spec, "clusterIP")) {
      copy_member(spec, old_spec, "clusterIPs");
    }
    for (std::string_view name : {"ipFamilies", "ipFamilyPolicy"}) {
      if (spec.find(name) == nullptr) copy_member(spec, old_spec, name);
    }
  }
  json::Array* ports = ports_of(service);
  if (ports != nullptr && needs_ports(service) && needs_ports(old)) {
    const std::set<std::int64_t> before = node_ports(old), now = node_ports(service);
    std::set<std::int64_t> used;
    for (std::int64_t port : before) {
      if (now.count(port) != 0) used.insert(port);
    }
    std::map<std::string, std::int64_t, std::less<>> by_name;
    if (const json::Value* old_ports = old_spec.find("ports"); old_ports != nullptr && old_ports->is_array()) {
      for (const json::Value& port : old_ports->as_array())
        by_name[std::string(text_at(port, {"name"}))] = node_port(port);
    }
    for (json::Value& port : *ports) {
      if (node_port(port) != 0) continue;
      const auto known = by_name.find(text_at(port, {"name"}));
      if (known == by_name.end() || known->second == 0 || !used.insert(known->second).second) continue;
      port["nodePort"] = known->second;
    }
  }
  if (needs_health_port(service) && needs_health_port(old) && spec_int(service, "healthCheckNodePort") == 0) {
    copy_member(spec, old_spec, "healthCheckNodePort");
  }
}

// Values of the old type that the client only carried along go with that type.
void drop_for_type(json::Value& service, const json::Value& old) {
  json::Value& spec = service["spec"];
  const json::Value& old_spec = *old.find("spec");
  auto drop = [&](bool leaves, std::string_view name) {
    if (leaves && same_member(spec, old_spec, name)) erase_member(spec, name);
  };
  const bool leaves_address = needs_address(old) && !needs_address(service);
  for (std::string_view name : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) drop(leaves_address, name);
  if (needs_ports(old) && !needs_ports(service) && node_ports(old) == node_ports(service)) {
    if (json::Array* ports = ports_of(service)) {
      for (json::Value& port : *ports) erase_member(port, "nodePort");
    }
  }
  drop(needs_health_port(old) && !needs_health_port(service), "healthCheckNodePort");
  const bool was_balanced = spec_text(old, "type") == "LoadBalancer";
  const bool is_balanced = spec_text(service, "type") == "LoadBalancer";
  drop(was_balanced && !is_balanced, "allocateLoadBalancerNodePorts");
  drop(was_balanced && !is_balanced, "loadBalancerClass");
  const bool was_external = was_balanced || spec_text(old, "type") == "NodePort";
  const bool is_external = is_balanced || spec_text(service, "type") == "NodePort";
  drop(was_external && !is_external, "externalTrafficPolicy");
}

void fill_families(json::Value& service) {
  json::Value& spec = service["spec"];
  const json::Value* selector = spec.find("selector");
  const bool selects = selector != nullptr && selector->is_object() && !selector->as_object().empty();
  if (spec.find("ipFamilies") == nullptr) spec["ipFamilies"] = json::Array{json::Value("IPv4")};
  if (spec.find("ipFamilyPolicy") == nullptr) {
    spec["ipFamilyPolicy"] = is_headless(service) && !selects ? "RequireDualStack" : "SingleStack";
  }
}

// What this write took so far, to be given back when it fails.
struct Taken {
  ServiceAllocator& books;
  std::string owner;
  ServiceAllocator::AddressTaken address_taken;
  ServiceAllocator::PortTaken port_taken;
  std::vector<std::string> addresses{};
  std::vector<int> ports{};
  void give_back() {
    for (const std::string& address : addresses) books.give_back_address(owner, address);
    for (int port : ports) books.give_back_port(owner, port);
    addresses.clear();
    ports.clear();
  }
};

Error refused(const WriteContext& context, const json::Value& service, std::string_view field, const json::Value& value,
              const Error& why) {
  return invalid(context.kind, meta_text(service, "name"), {field::invalid(field::Path(field), value, why.message())});
}

Result<void> take_address(const WriteContext& context, json::Value& service, const json::Value* old, Taken& taken) {
  json::Value& spec = service["spec"];
  if (!needs_address(service)) return Result<void>();
  const std::string wanted(spec_text(service, "clusterIP"));
  if (wanted.empty() && spec.find("clusterIPs") != nullptr) {
    const json::Value& list = *spec.find("clusterIPs");
    if (list.is_array() && !list.as_array().empty()) spec["clusterIP"] = json::Value(list.as_array()[0].string_or());
  }
  const std::string address(spec_text(service, "clusterIP"));
  if (address.empty()) {
    Result<std::string> found = taken.books.find_address(taken.owner, taken.address_taken);
    if (!found) return refused(context, service, "spec.clusterIPs", nullptr, found.error());
    taken.addresses.push_back(*found);
    spec["clusterIP"] = *found;
  } else if (address != "None" && (old == nullptr || !needs_address(*old))) {
    if (auto took = taken.books.take_address(taken.owner, address, taken.address_taken); !took) {
      return refused(context, service, "spec.clusterIPs", json::Array{json::Value(address)}, took.error());
    }
    taken.addresses.push_back(address);
  }
  if (spec.find("clusterIPs") == nullptr) {
    spec["clusterIPs"] = json::Array{json::Value(spec_text(service, "clusterIP"))};
  }
  return Result<void>();
}

Result<void> take_ports(const WriteContext& context, json::Value& service, const json::Value* old, Taken& taken) {
  const std::set<std::int64_t> before = old == nullptr ? std::set<std::int64_t>() : node_ports(*old);
  json::Array* ports = ports_of(service);
  if (ports != nullptr && needs_ports(service)) {
    std::map<std::int64_t, std::int64_t> by_port;  // one node port for all protocols of a port
    // Those that the client chose first, so that none of them is given away meanwhile.
    for (bool chosen : {true, false}) {
      for (std::size_t i = 0; i < ports->size(); ++i) {
        json::Value& port = (*ports)[i];
        const std::int64_t number = node_port(port);
        if ((number != 0) != chosen) continue;
        const std::string field = cat("spec.ports[", i, "].nodePort");
        const json::Value* own = port.find("port");
        const std::int64_t service_port = own == nullptr ? 0 : own->int_or(0);
        if (chosen) {
          by_port.emplace(service_port, number);
          const bool again = std::count(taken.ports.begin(), taken.ports.end(), number) != 0;  // another protocol's
          if (before.count(number) != 0 || again) continue;
          if (auto took = taken.books.take_port(taken.owner, static_cast<int>(number), taken.port_taken); !took) {
            return refused(context, service, field, number, took.error());
          }
          taken.ports.push_back(static_cast<int>(number));
          continue;
        }
        if (const auto same = by_port.find(service_port); same != by_port.end()) {
          port["nodePort"] = same->second;
          continue;
        }
        Result<int> found =
            taken.books.find_port(taken.owner, cat(text_at(port, {"name"}), "/", service_port), taken.port_taken);
        if (!found) return refused(context, service, field, 0, found.error());
        taken.ports.push_back(*found);
        by_port.emplace(service_port, *found);
        port["nodePort"] = *found;
      }
    }
  }
  if (!needs_health_port(service)) return Result<void>();
  const std::int64_t wanted = spec_int(service, "healthCheckNodePort");
  if (wanted == 0) {
    Result<int> found = taken.books.find_port(taken.owner, "healthCheck", taken.port_taken);
    if (!found) return refused(context, service, "spec.healthCheckNodePort", 0, found.error());
    taken.ports.push_back(*found);
    service["spec"]["healthCheckNodePort"] = *found;
  } else if (old == nullptr || spec_int(*old, "healthCheckNodePort") != wanted) {
    if (auto took = taken.books.take_port(taken.owner, static_cast<int>(wanted), taken.port_taken); !took) {
      return refused(context, service, "spec.healthCheckNodePort", wanted, took.error());
    }
    taken.ports.push_back(static_cast<int>(wanted));
  }
  return Result<void>();
}

}  // namespace

Result<Reservation> reserve_service(WriteContext& context, json::Value& object, const json::Value* old) {
  if (old != nullptr) {
    follow_address(object, *old);
    patch_allocated(object, *old);
    drop_for_type(object, *old);
  }
  const std::set<std::string>& lost = context.lost_claims;
  auto taken = std::make_shared<Taken>(Taken{
      context.parts.services, cat(meta_text(object, "namespace"), "/", meta_text(object, "name")),
      // An IPAddress may also be a user's, that keeps an address from services.
      [&lost, &parts = context.parts](const std::string& address) {
        return lost.count(address_key(address)) != 0 || parts.cache.get(kinds::ip_addresses(), "", address) != nullptr;
      },
      [&lost](int port) { return lost.count(node_port_key(port)) != 0; }});
  Result<void> took = take_address(context, object, old, *taken);
  if (took) took = take_ports(context, object, old, *taken);
  if (!took) {
    taken->give_back();
    return took.error();
  }
  if (needs_address(object)) fill_families(object);
  Reservation reservation;
  reservation.give_back = [taken] { taken->give_back(); };
  return reservation;
}

void prepare_service_update(WriteContext&, json::Value& object, const json::Value& old) {
  if (spec_text(old, "type") == "LoadBalancer" && spec_text(object, "type") != "LoadBalancer") {
    erase_member(object["status"], "loadBalancer");
  }
}

}  // namespace kayak::api
