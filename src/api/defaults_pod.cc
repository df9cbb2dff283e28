// defaults_pod.cc: defaults of pods, pod templates and what is in them.
// Source: Kubernetes v1.36 pkg/apis/core/v1 SetDefaults_Pod, _PodSpec, _Container, _Probe, _Volume and the volume
// sources.
#include <algorithm>
#include <map>
#include <string>

#include "api/defaults_impl.h"
#include "api/messages.h"
#include "base/quantity.h"

namespace kayak::api::defaults {
namespace {

using namespace messages;

constexpr FieldDefault kFields[] = {
    {&core_v1_PodSpec, "dnsPolicy", R"("ClusterFirst")"},
    {&core_v1_PodSpec, "restartPolicy", R"("Always")"},
    {&core_v1_PodSpec, "securityContext", "{}"},
    {&core_v1_PodSpec, "terminationGracePeriodSeconds", "30"},
    {&core_v1_PodSpec, "schedulerName", R"("default-scheduler")"},
    {&core_v1_Container, "terminationMessagePath", R"("/dev/termination-log")"},
    {&core_v1_Container, "terminationMessagePolicy", R"("File")"},
    {&core_v1_EphemeralContainerCommon, "terminationMessagePath", R"("/dev/termination-log")"},
    {&core_v1_EphemeralContainerCommon, "terminationMessagePolicy", R"("File")"},
    {&core_v1_Probe, "timeoutSeconds", "1"},
    {&core_v1_Probe, "periodSeconds", "10"},
    {&core_v1_Probe, "successThreshold", "1"},
    {&core_v1_Probe, "failureThreshold", "3"},
    {&core_v1_HTTPGetAction, "path", R"("/")"},
    {&core_v1_HTTPGetAction, "scheme", R"("HTTP")"},
    {&core_v1_ObjectFieldSelector, "apiVersion", R"("v1")"},
    {&core_v1_SecretVolumeSource, "defaultMode", "420"},  // 0644
    {&core_v1_ConfigMapVolumeSource, "defaultMode", "420"},
    {&core_v1_DownwardAPIVolumeSource, "defaultMode", "420"},
    {&core_v1_ProjectedVolumeSource, "defaultMode", "420"},
    {&core_v1_ServiceAccountTokenProjection, "expirationSeconds", "3600"},
    {&core_v1_HostPathVolumeSource, "type", R"("")"},
    {&core_v1_PersistentVolumeClaimSpec, "volumeMode", R"("Filesystem")"},
};

// The deprecated alias and the name are one field inside upstream.
void service_account_alias(Node& spec) {
  spec.set_default("serviceAccountName", spec.text("serviceAccount"));
  if (spec.text("serviceAccount") != spec.text("serviceAccountName")) {
    spec.set("serviceAccount", spec.text("serviceAccountName"));
  }
}

// "latest" when there is neither a tag nor a digest; "" when there is only a digest, or no image.
std::string_view tag_of(std::string_view image) {
  if (image.empty()) return {};
  const std::size_t digest = image.find('@');
  const std::string_view name = image.substr(0, digest);
  const std::size_t colon = name.rfind(':');
  const std::size_t slash = name.rfind('/');
  const bool has_tag = colon != name.npos && (slash == name.npos || colon > slash);
  if (has_tag) return name.substr(colon + 1);
  return digest == image.npos ? "latest" : "";
}

void image_pull_policy(Node& container) {
  container.set_default("imagePullPolicy", tag_of(container.text("image")) == "latest" ? "Always" : "IfNotPresent");
}

void image_volume_pull_policy(Node& source) {
  source.set_default("pullPolicy", tag_of(source.text("reference")) == "latest" ? "Always" : "IfNotPresent");
}

void volume_without_source(Node& volume) {
  const bool has_source = std::any_of(volume.object().begin(), volume.object().end(), [](const json::Member& member) {
    return member.first != "name" && !member.second.is_null();
  });
  if (!has_source) volume.set("emptyDir", json::Object());
}

// ---- rules of pods that do not hold for templates

constexpr std::string_view kContainerLists[] = {"containers", "initContainers"};

void requests_from_limits(Node& container) {
  std::optional<Node> resources = container.child("resources");
  if (!resources || !resources->has("limits")) return;
  const json::Object limits = resources->get("limits")->as_object();
  Node requests = resources->make_child("requests");
  for (const auto& [name, limit] : limits) requests.set_pointer(name, limit);
}

void host_ports(Node& container) {
  container.for_each("ports", [](Node port) {
    if (const json::Value* number = port.get("containerPort")) port.set_default("hostPort", *number);
  });
}

using Quantities = std::map<std::string, Quantity, std::less<>>;

void add_to(Quantities& sums, const Quantities& more) {
  for (const auto& [name, quantity] : more) sums[name] = sums[name] + quantity;
}
void raise_to(Quantities& most, const Quantities& other) {
  for (const auto& [name, quantity] : other) {
    const auto [at, added] = most.emplace(name, quantity);
    if (!added && at->second < quantity) at->second = quantity;
  }
}
Quantities quantities_of(const Node& container, std::string_view which) {
  Quantities out;
  const std::optional<Node> resources = container.child("resources");
  const std::optional<Node> list = resources ? resources->child(which) : std::nullopt;
  if (!list) return out;
  for (const auto& [name, text] : list->object()) {
    if (const Result<Quantity> quantity = Quantity::parse(text.string_or())) out[name] = *quantity;
  }
  return out;
}

// What the pod needs at its busiest: all containers and sidecars together, or one init container beside the sidecars
// started before it.
Quantities effective(const Node& spec, std::string_view which) {
  Quantities running, sidecars, starting;
  spec.for_each("containers", [&](Node container) { add_to(running, quantities_of(container, which)); });
  spec.for_each("initContainers", [&](Node container) {
    Quantities own = quantities_of(container, which);
    if (container.text("restartPolicy") == "Always") {
      add_to(running, own);
      add_to(sidecars, own);
      own = sidecars;
    } else {
      add_to(own, sidecars);
    }
    raise_to(starting, own);
  });
  raise_to(running, starting);
  return running;
}

bool is_hugepages(std::string_view resource) { return resource.starts_with("hugepages-"); }
bool is_pod_level(std::string_view resource) {
  return resource == "cpu" || resource == "memory" || is_hugepages(resource);
}

// Pod-level resources that are given in part are completed from the containers, then from the limits.
void pod_level_resources(Node& spec) {
  std::optional<Node> resources = spec.child("resources");
  if (!resources) return;
  for (const auto& [name, quantity] : effective(spec, "limits")) {
    if (is_hugepages(name)) resources->make_child("limits").set_pointer(name, quantity.to_string());
  }
  if (!resources->has("limits")) return;
  for (const auto& [name, quantity] : effective(spec, "requests")) {
    if (is_pod_level(name) && !is_hugepages(name)) {
      resources->make_child("requests").set_pointer(name, quantity.to_string());
    }
  }
  const json::Object limits = resources->get("limits")->as_object();
  for (const auto& [name, limit] : limits) {
    if (is_pod_level(name)) resources->make_child("requests").set_pointer(name, limit);
  }
}

void pod(Node& pod) {
  std::optional<Node> spec = pod.child("spec");
  if (!spec) return;
  for (const std::string_view list : kContainerLists) {
    spec->for_each(list, [](Node container) { requests_from_limits(container); });
  }
  pod_level_resources(*spec);
  spec->set_pointer("enableServiceLinks", true);
  // Not a default, but made here as upstream makes it: on the way in, of pods and not of their templates.
  const json::Value* grace = spec->get("terminationGracePeriodSeconds");
  if (grace != nullptr && grace->int_or(0) < 0) spec->set("terminationGracePeriodSeconds", 1);
  if (!spec->has("hostNetwork")) return;
  for (const std::string_view list : kContainerLists) {
    spec->for_each(list, [](Node container) { host_ports(container); });
  }
}

constexpr RuleDefault kRules[] = {
    {&core_v1_Pod, pod},
    {&core_v1_PodSpec, service_account_alias},
    {&core_v1_Container, image_pull_policy},
    {&core_v1_EphemeralContainerCommon, image_pull_policy},
    {&core_v1_ImageVolumeSource, image_volume_pull_policy},
    {&core_v1_Volume, volume_without_source},
};

}  // namespace

constinit const Table kPodDefaults = {kFields, kRules};

}  // namespace kayak::api::defaults
