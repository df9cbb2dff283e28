// bootstrap.cc: reads what there is and writes what is missing or out of date, as any client would.
#include "api/bootstrap.h"

#include <array>

#include "api/bootstrap_flowcontrol.h"
#include "api/document.h"
#include "api/kubernetes_endpoints.h"
#include "api/request_info.h"
#include "api/service_allocator.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::array<std::string_view, 4> kNamespaces = {"default", "kube-system", "kube-public", "kube-node-lease"};
constexpr std::string_view kAutoUpdate = "apf.kubernetes.io/autoupdate-spec";

struct PriorityRow {
  std::string_view name;
  std::int64_t value;
  std::string_view description;
};
constexpr std::array kPriorities = {
    PriorityRow{"system-node-critical", 2000001000,
                "Used for system critical pods that must not be moved from their current node."},
    PriorityRow{"system-cluster-critical", 2000000000,
                "Used for system critical pods that must run in the cluster, but can be moved to another node if "
                "necessary."},
};

// Source: kube-apiserver pkg/controlplane/apiserver, apiVersionPriorities.
struct GroupPriority {
  std::string_view group, version;
  int group_priority, version_priority;
};
constexpr std::array kGroupPriorities = {
    GroupPriority{"", "v1", 18000, 1},
    GroupPriority{"apps", "v1", 17800, 15},
    GroupPriority{"events.k8s.io", "v1", 17750, 15},
    GroupPriority{"authentication.k8s.io", "v1", 17700, 15},
    GroupPriority{"authorization.k8s.io", "v1", 17600, 15},
    GroupPriority{"autoscaling", "v1", 17500, 15},
    GroupPriority{"autoscaling", "v2", 17500, 30},
    GroupPriority{"batch", "v1", 17400, 15},
    GroupPriority{"certificates.k8s.io", "v1", 17300, 15},
    GroupPriority{"networking.k8s.io", "v1", 17200, 15},
    GroupPriority{"policy", "v1", 17100, 15},
    GroupPriority{"rbac.authorization.k8s.io", "v1", 17000, 15},
    GroupPriority{"storage.k8s.io", "v1", 16800, 15},
    GroupPriority{"apiextensions.k8s.io", "v1", 16700, 15},
    GroupPriority{"admissionregistration.k8s.io", "v1", 16700, 15},
    GroupPriority{"scheduling.k8s.io", "v1", 16600, 15},
    GroupPriority{"coordination.k8s.io", "v1", 16500, 15},
    GroupPriority{"node.k8s.io", "v1", 16300, 15},
    GroupPriority{"discovery.k8s.io", "v1", 16200, 15},
    GroupPriority{"flowcontrol.apiserver.k8s.io", "v1", 16100, 21},
    GroupPriority{"resource.k8s.io", "v1", 15900, 15},
};

ApiRequest request_for(Verb verb, const Kind& kind, std::string_view namespace_, std::string_view name) {
  ApiRequest request;
  request.verb = verb;
  request.kind = &kind;
  request.namespace_ = namespace_;
  request.name = name;
  request.user.name = "system:apiserver";
  request.user.groups = {"system:masters", "system:authenticated"};
  request.user_agent = "kube-apiserver";
  return request;
}

// Makes `object` unless there is one of its name. With `update`, an existing one gets its content (its own metadata
// stays); equal bytes are not written.
Task<Result<void>> ensure(ApiServer& server, const Kind& kind, json::Value object, bool update, StopToken stop) {
  const std::string namespace_(meta_text(object, "namespace"));
  const std::string name(meta_text(object, "name"));
  const ObjectRef present = server.cache().get(kind, namespace_, name);
  if (present && !update) co_return Result<void>();
  ApiRequest request = request_for(present ? Verb::kUpdate : Verb::kCreate, kind, namespace_, present ? name : "");
  if (present) {
    json::Value changed = *present->document();
    for (auto& [key, value] : object.as_object()) {
      if (key != "metadata") changed[key] = std::move(value);
    }
    object = std::move(changed);
  }
  request.body = std::move(object);
  auto written = co_await server.handle(std::move(request), stop);
  if (!written && written.error().code() != Code::kAlreadyExists) {
    co_return written.error().while_doing(cat("reconciling ", kind.group_resource(), " ", name));
  }
  co_return Result<void>();
}

json::Value named(std::string_view name, std::string_view namespace_ = "") {
  json::Value object;
  object["metadata"]["name"] = name;
  if (!namespace_.empty()) object["metadata"]["namespace"] = namespace_;
  return object;
}

json::Value kubernetes_service(const ServerParts& parts) {
  json::Value service = named("kubernetes", "default");
  service["metadata"]["labels"]["component"] = "apiserver";
  service["metadata"]["labels"]["provider"] = "kubernetes";
  json::Value& spec = service["spec"];
  spec["type"] = "ClusterIP";
  spec["clusterIP"] = format_ipv4(parts.services.range().first);
  spec["sessionAffinity"] = "None";
  json::Value port = api_port(443);
  port["targetPort"] = parts.options.advertise_port;
  spec["ports"] = json::Array{std::move(port)};
  return service;
}

json::Value service_cidr(const ServerParts& parts) {
  json::Value cidr = named("kubernetes");
  cidr["spec"]["cidrs"] = json::Array{json::Value(parts.services.range().cidr)};
  return cidr;
}

json::Value priority_class(const PriorityRow& row) {
  json::Value object = named(row.name);
  object["value"] = row.value;
  object["description"] = row.description;
  return object;
}

json::Value api_service(const GroupPriority& row) {
  json::Value object = named(cat(row.version, ".", row.group));
  object["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"] = "onstart";
  json::Value& spec = object["spec"];
  spec["group"] = row.group;
  spec["version"] = row.version;
  spec["groupPriorityMinimum"] = row.group_priority;
  spec["versionPriority"] = row.version_priority;
  return object;
}

// Someone may keep a suggested object as they like it by turning its annotation off.
bool is_left_alone(const WatchCache& cache, const BootstrapObject& object) {
  if (object.mandatory) return false;
  const ObjectRef present = cache.get(*object.kind, "", meta_text(object.document, "name"));
  if (!present) return false;
  const json::Document document = present->document();
  return text_at(*document, {"metadata", "annotations", kAutoUpdate}) != "true";
}

}  // namespace

Task<Result<void>> reconcile_bootstrap(ApiServer& server, ServerParts& parts, StopToken stop) {
  for (std::string_view name : kNamespaces) {
    auto done = co_await ensure(server, kinds::namespaces(), named(name), false, stop);
    if (!done) co_return done;
  }
  // The rest at once: their writes share commits.
  auto cached = co_await parts.cache.wait_current(stop);
  if (!cached) co_return cached;
  io::TaskScope scope(stop);
  const StopToken token = scope.token();
  scope.spawn(ensure(server, kinds::services(), kubernetes_service(parts), false, token));
  // A machine without a network has only its loopback address: the Service has no endpoint then.
  const bool update = !parts.options.endpoints_kept;
  std::vector<ApiAddress> here(1, ApiAddress{parts.options.advertise_address, parts.options.advertise_port});
  KubernetesEndpoints endpoints = kubernetes_endpoints(std::move(here));
  if (endpoints.endpoints.is_object()) {
    scope.spawn(ensure(server, kinds::endpoints(), std::move(endpoints.endpoints), update, token));
    scope.spawn(ensure(server, kinds::endpoint_slices(), std::move(endpoints.slice), update, token));
  }
  scope.spawn(ensure(server, kinds::service_cidrs(), service_cidr(parts), false, token));
  for (const PriorityRow& row : kPriorities) {
    scope.spawn(ensure(server, kinds::priority_classes(), priority_class(row), false, token));
  }
  for (BootstrapObject& object : flow_control_objects()) {
    if (is_left_alone(parts.cache, object)) continue;
    scope.spawn(ensure(server, *object.kind, std::move(object.document), true, token));
  }
  for (const GroupPriority& row : kGroupPriorities) {
    scope.spawn(ensure(server, kinds::api_services(), api_service(row), false, token));
  }
  co_return co_await scope.join();
}

}  // namespace kayak::api
