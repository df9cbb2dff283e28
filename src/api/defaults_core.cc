// defaults_core.cc: defaults of core/v1 kinds other than pods.
// Source: Kubernetes v1.36 pkg/apis/core/v1 SetDefaults_*, conversion of Secret.
#include "api/defaults_impl.h"
#include "api/messages.h"
#include "base/strings.h"

namespace kayak::api::defaults {
namespace {

using namespace messages;

constexpr FieldDefault kFields[] = {
    {&core_v1_EndpointPort, "protocol", R"("TCP")"},
    {&core_v1_Secret, "type", R"("Opaque")"},
    {&core_v1_ReplicationControllerSpec, "replicas", "1"},
};

bool one_of(std::string_view value, std::initializer_list<std::string_view> values) {
  for (const std::string_view one : values) {
    if (value == one) return true;
  }
  return false;
}

void session_affinity(Node& spec) {
  spec.set_default("sessionAffinity", "None");
  if (spec.text("sessionAffinity") == "None") spec.erase("sessionAffinityConfig");
  if (spec.text("sessionAffinity") != "ClientIP") return;
  constexpr std::int64_t kThreeHours = 10800;  // seconds
  spec.make_child("sessionAffinityConfig").make_child("clientIP").set_pointer("timeoutSeconds", kThreeHours);
}

void service(Node& service) {
  Node spec = service.make_child("spec");
  session_affinity(spec);
  spec.set_default("type", "ClusterIP");
  const std::string type(spec.text("type"));
  spec.for_each("ports", [](Node port) {
    port.set_default("protocol", "TCP");
    const json::Value* number = port.get("port");
    if (number && !port.has("targetPort")) port.set("targetPort", *number);
  });
  const bool reachable_from_outside =
      one_of(type, {"NodePort", "LoadBalancer"}) || (type == "ClusterIP" && spec.has("externalIPs"));
  if (reachable_from_outside) spec.set_default("externalTrafficPolicy", "Cluster");
  if (one_of(type, {"ClusterIP", "NodePort", "LoadBalancer"})) spec.set_pointer("internalTrafficPolicy", "Cluster");
  if (type == "ExternalName") spec.erase("internalTrafficPolicy");
  if (type != "LoadBalancer") return;
  spec.set_pointer("allocateLoadBalancerNodePorts", true);
  const std::optional<Node> status = service.child("status");
  const std::optional<Node> balancer = status ? status->child("loadBalancer") : std::nullopt;
  if (!balancer) return;
  balancer->for_each("ingress", [](Node ingress) {
    if (ingress.has("ip")) ingress.set_pointer("ipMode", "VIP");
  });
}

// stringData is for writing only: it goes into data, base64-coded, and overrides what is there.
void secret(Node& secret) {
  const std::optional<Node> texts = secret.child("stringData");
  if (texts) {
    const json::Object copy = texts->object();
    Node data = secret.make_child("data");
    for (const auto& [key, text] : copy) data.set(key, base64_encode(text.string_or()));
  }
  secret.erase("stringData");
}

void namespace_(Node& object) {
  const std::optional<Node> metadata = object.child("metadata");
  if (metadata && metadata->has("name")) {
    Node with_name = *metadata;
    const std::string name(with_name.text("name"));
    Node labels = with_name.make_child("labels");
    if (labels.text("kubernetes.io/metadata.name") != name) labels.set("kubernetes.io/metadata.name", name);
  }
  object.make_child("status").set_default("phase", "Active");
}

void node(Node& node) {
  std::optional<Node> status = node.child("status");
  if (!status || !status->has("capacity") || status->is_set("allocatable")) return;
  status->set("allocatable", *status->get("capacity"));
}

void persistent_volume(Node& volume) {
  Node spec = volume.make_child("spec");
  spec.set_default("persistentVolumeReclaimPolicy", "Retain");
  spec.set_pointer("volumeMode", "Filesystem");
  volume.make_child("status").set_default("phase", "Pending");
}

void persistent_volume_claim(Node& claim) { claim.make_child("status").set_default("phase", "Pending"); }

void fill_from(Node& item, std::string_view list, std::string_view source) {
  const std::optional<Node> from = item.child(source);
  if (!from || from->object().empty()) return;
  const json::Object values = from->object();
  Node into = item.make_child(list);
  for (const auto& [name, quantity] : values) into.set_pointer(name, quantity);
}

void limit_range_item(Node& item) {
  if (item.text("type") != "Container") return;
  fill_from(item, "default", "max");
  fill_from(item, "defaultRequest", "default");
  fill_from(item, "defaultRequest", "min");
}

// Selector and labels follow the template's labels.
void replication_controller(Node& controller) {
  std::optional<Node> spec = controller.child("spec");
  const std::optional<Node> pod_template = spec ? spec->child("template") : std::nullopt;
  const std::optional<Node> metadata = pod_template ? pod_template->child("metadata") : std::nullopt;
  if (!metadata || !metadata->has("labels")) return;
  const json::Value labels = *metadata->get("labels");
  spec->set_default("selector", labels);
  controller.make_child("metadata").set_default("labels", labels);
}

constexpr RuleDefault kRules[] = {
    {&core_v1_Service, service},
    {&core_v1_Secret, secret},
    {&core_v1_Namespace, namespace_},
    {&core_v1_Node, node},
    {&core_v1_PersistentVolume, persistent_volume},
    {&core_v1_PersistentVolumeClaim, persistent_volume_claim},
    {&core_v1_LimitRangeItem, limit_range_item},
    {&core_v1_ReplicationController, replication_controller},
};

}  // namespace

constinit const Table kCoreDefaults = {kFields, kRules};

}  // namespace kayak::api::defaults
