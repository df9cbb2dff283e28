// defaults_other.cc: defaults of networking, discovery, rbac, scheduling, storage, admissionregistration,
// apiextensions, apiregistration, authentication, flowcontrol and resource. Source: Kubernetes v1.36 SetDefaults_* of
// these groups.
#include <cctype>

#include "api/defaults_impl.h"
#include "api/messages.h"
#include "base/strings.h"

namespace kayak::api::defaults {
namespace {

using namespace messages;

constexpr FieldDefault kFields[] = {
    {&networking_v1_NetworkPolicyPort, "protocol", R"("TCP")"},
    {&networking_v1_IngressClassParametersReference, "scope", R"("Cluster")"},
    {&discovery_v1_EndpointPort, "name", R"("")"},
    {&discovery_v1_EndpointPort, "protocol", R"("TCP")"},
    {&scheduling_v1_PriorityClass, "preemptionPolicy", R"("PreemptLowerPriority")"},
    {&storage_v1_StorageClass, "reclaimPolicy", R"("Delete")"},
    {&storage_v1_StorageClass, "volumeBindingMode", R"("Immediate")"},
    {&storage_v1_CSIDriverSpec, "attachRequired", "true"},
    {&storage_v1_CSIDriverSpec, "podInfoOnMount", "false"},
    {&storage_v1_CSIDriverSpec, "storageCapacity", "false"},
    {&storage_v1_CSIDriverSpec, "fsGroupPolicy", R"("ReadWriteOnceWithFSType")"},
    {&storage_v1_CSIDriverSpec, "volumeLifecycleModes", R"(["Persistent"])"},
    {&storage_v1_CSIDriverSpec, "requiresRepublish", "false"},
    {&storage_v1_CSIDriverSpec, "seLinuxMount", "false"},
    {&admissionregistration_v1_ValidatingWebhook, "failurePolicy", R"("Fail")"},
    {&admissionregistration_v1_ValidatingWebhook, "matchPolicy", R"("Equivalent")"},
    {&admissionregistration_v1_ValidatingWebhook, "namespaceSelector", "{}"},
    {&admissionregistration_v1_ValidatingWebhook, "objectSelector", "{}"},
    {&admissionregistration_v1_ValidatingWebhook, "timeoutSeconds", "10"},
    {&admissionregistration_v1_MutatingWebhook, "failurePolicy", R"("Fail")"},
    {&admissionregistration_v1_MutatingWebhook, "matchPolicy", R"("Equivalent")"},
    {&admissionregistration_v1_MutatingWebhook, "namespaceSelector", "{}"},
    {&admissionregistration_v1_MutatingWebhook, "objectSelector", "{}"},
    {&admissionregistration_v1_MutatingWebhook, "timeoutSeconds", "10"},
    {&admissionregistration_v1_MutatingWebhook, "reinvocationPolicy", R"("Never")"},
    {&admissionregistration_v1_ServiceReference, "port", "443"},
    {&admissionregistration_v1_Rule, "scope", R"("*")"},
    {&admissionregistration_v1_ValidatingAdmissionPolicySpec, "failurePolicy", R"("Fail")"},
    {&admissionregistration_v1_MutatingAdmissionPolicySpec, "failurePolicy", R"("Fail")"},
    {&admissionregistration_v1_MatchResources, "matchPolicy", R"("Equivalent")"},
    {&admissionregistration_v1_MatchResources, "namespaceSelector", "{}"},
    {&admissionregistration_v1_MatchResources, "objectSelector", "{}"},
    {&apiextensions_v1_ServiceReference, "port", "443"},
    {&apiregistration_v1_ServiceReference, "port", "443"},
    {&authentication_v1_TokenRequestSpec, "expirationSeconds", "3600"},
    {&flowcontrol_v1_FlowSchemaSpec, "matchingPrecedence", "1000"},
    {&flowcontrol_v1_LimitedPriorityLevelConfiguration, "nominalConcurrencyShares", "30"},
    {&flowcontrol_v1_LimitedPriorityLevelConfiguration, "lendablePercent", "0"},
    {&flowcontrol_v1_ExemptPriorityLevelConfiguration, "nominalConcurrencyShares", "0"},
    {&flowcontrol_v1_ExemptPriorityLevelConfiguration, "lendablePercent", "0"},
    {&flowcontrol_v1_QueuingConfiguration, "queues", "64"},
    {&flowcontrol_v1_QueuingConfiguration, "handSize", "8"},
    {&flowcontrol_v1_QueuingConfiguration, "queueLengthLimit", "50"},
    {&resource_v1_ExactDeviceRequest, "allocationMode", R"("ExactCount")"},
    {&resource_v1_DeviceSubRequest, "allocationMode", R"("ExactCount")"},
};

void network_policy(Node& policy) {
  Node spec = policy.make_child("spec");
  if (spec.has("policyTypes")) return;
  json::Array types = {"Ingress"};
  if (spec.has("egress")) types.emplace_back("Egress");
  spec.set("policyTypes", std::move(types));
}

constexpr std::string_view kRbacGroup = "rbac.authorization.k8s.io";

void role_ref(Node& binding) {
  std::optional<Node> ref = binding.child("roleRef");
  if (ref) ref->set_default("apiGroup", kRbacGroup);
}

void rbac_subject(Node& subject) {
  const std::string_view kind = subject.text("kind");
  if (kind == "User" || kind == "Group") subject.set_default("apiGroup", kRbacGroup);
}

void device_count(Node& request) {
  const std::string_view mode = request.text("allocationMode");
  if (mode.empty() || mode == "ExactCount") request.set_default("count", 1);
}

void taint_time(Node& taint) {
  if (taint.now()) taint.set_pointer("timeAdded", format_time(*taint.now()));
}

void crd_versions(Node& definition, Node& spec) {
  Node status = definition.make_child("status");
  if (status.has("storedVersions")) return;
  json::Array stored;
  spec.for_each("versions", [&](Node version) {
    if (version.has("storage")) stored.emplace_back(version.text("name"));
  });
  if (!stored.empty()) status.set("storedVersions", std::move(stored));
}

void custom_resource_definition(Node& definition) {
  Node spec = definition.make_child("spec");
  if (std::optional<Node> names = spec.child("names")) {
    if (names->has("kind")) {
      names->set_default("singular", to_lower(names->text("kind")));
      names->set_default("listKind", cat(names->text("kind"), "List"));
    }
  }
  if (!spec.is_set("conversion")) spec.make_child("conversion").set("strategy", "None");
  crd_versions(definition, spec);
}

constexpr RuleDefault kRules[] = {
    {&networking_v1_NetworkPolicy, network_policy},
    {&rbac_v1_RoleBinding, role_ref},
    {&rbac_v1_ClusterRoleBinding, role_ref},
    {&rbac_v1_Subject, rbac_subject},
    {&resource_v1_ExactDeviceRequest, device_count},
    {&resource_v1_DeviceSubRequest, device_count},
    {&resource_v1_DeviceTaint, taint_time},
    {&apiextensions_v1_CustomResourceDefinition, custom_resource_definition},
};

}  // namespace

constinit const Table kOtherDefaults = {kFields, kRules};

}  // namespace kayak::api::defaults
