// validation_warnings_test.cc: what is accepted with a warning.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "api/validation/validation.h"
#include "api/validation/warnings.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;

namespace {

const char* kPod = R"({"metadata":{"name":"p","namespace":"default"},"spec":{
  "serviceAccountName":"default","containers":[{"name":"c","image":"i"}]}})";
const char* kDeployment =
    R"({"metadata":{"name":"d","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},
  "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})";

json::Value object_of(const Kind& kind, const char* base, std::string_view change) {
  const Result<json::Value> read = json::read(base);
  REQUIRE(read);
  return test::stored_object(kind, json::write(test::changed(*read, change)));
}

}  // namespace

TEST_CASE("warnings of a new object") {
  struct Row {
    const Kind& kind;
    const char* base;
    const char* change;
    std::vector<std::string> warnings;
  };
  const Kind &pods = kinds::pods(), &deployments = kinds::deployments();
  for (
      const Row& row : {
          Row{pods, kPod, "", {}},
          Row{pods,
              kPod,
              R"(metadata.name = "a.b")",
              {"metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS "
               "label "
               "is recommended: [must not contain dots]"}},
          Row{deployments,
              kDeployment,
              R"(metadata.name = "a.b")",
              {"metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS "
               "label is recommended: [must not contain dots]"}},
          Row{pods,
              kPod,
              R"(spec.nodeSelector = {"beta.kubernetes.io/os":"linux"})",
              {"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"}},
          Row{deployments,
              kDeployment,
              R"(spec.template.spec.volumes = [{"name":"v","gitRepo":{"repository":"r"}}])",
              {"spec.template.spec.volumes[0].gitRepo: deprecated in v1.11"}},
          Row{pods,
              kPod,
              R"(spec.containers[0].env = [{"name":"A","value":"1"},{"name":"A","value":"2"}])",
              {"spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply"}},
          Row{pods, kPod, R"(spec.containers[0].env = [{"name":"A","value":"1"},{"name":"A","value":"$(A)2"}])", {}},
          Row{pods,
              kPod,
              R"(spec.containers[0].ports = [{"containerPort":80,"name":"a"},{"containerPort":80,"name":"b"}])",
              {"spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"}},
          Row{pods,
              kPod,
              R"(spec.containers[0].resources = {"limits":{"memory":"100m"}})",
              {"spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an "
               "integer",
               "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an "
               "integer"}},
          Row{pods,
              kPod,
              R"(spec.topologySpreadConstraints = [{"maxSkew":1,"topologyKey":"z",
                              "whenUnsatisfiable":"DoNotSchedule"}])",
              {"spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"}},
          Row{pods,
              kPod,
              R"(spec.imagePullSecrets = [{"name":"s"},{"name":"s"}])",
              {"spec.imagePullSecrets[1].name: duplicate name \"s\""}},
          Row{pods,
              kPod,
              R"(spec.hostAliases = [{"ip":"fd00::0001","hostnames":["a"]},{"ip":"fd00::2","hostnames":["b"]}])",
              {"spec.hostAliases[0].ip: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format "
               "(\"fd00::1\")"}},
          // A pod's own is 1 by now, as defaulting leaves it.
          Row{pods, kPod, "spec.terminationGracePeriodSeconds = -1", {}},
          Row{deployments,
              kDeployment,
              "spec.template.spec.terminationGracePeriodSeconds = -1",
              {"spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will "
               "be "
               "treated as 1"}},
      }) {
    CAPTURE(row.change);
    std::vector<std::string> warnings;
    const json::Value object = object_of(row.kind, row.base, row.change);
    const field::ErrorList errors = validation::validate_create(row.kind, object, warnings);
    CHECK(errors.empty());
    CHECK(warnings == row.warnings);
  }
}

TEST_CASE("an update warns of a template only when it changes") {
  const Kind& kind = kinds::deployments();
  const char* deprecated = R"(spec.template.spec.nodeSelector = {"beta.kubernetes.io/os":"linux"})";
  const json::Value plain = object_of(kind, kDeployment, ""), warned = object_of(kind, kDeployment, deprecated);
  std::vector<std::string> warnings;
  validation::validate_update(kind, "", warned, warned, warnings);
  CHECK(warnings.empty());
  validation::validate_update(kind, "", warned, plain, warnings);
  CHECK(warnings.size() == 1);
}

TEST_CASE("an object with errors has no warnings") {
  std::vector<std::string> warnings;
  const json::Value pod = object_of(kinds::pods(), kPod, "metadata.name = \"a.b\"\nspec.containers[0].image = -");
  CHECK(validation::validate_create(kinds::pods(), pod, warnings).size() == 1);
  CHECK(warnings.empty());
}

TEST_CASE("warnings of the core group") {
  struct Row {
    const Kind& kind;
    const char* object;
    std::vector<std::string> on_create, on_update;  // of an update that changes nothing
  };
  const Kind &services = kinds::services(), &volumes = kinds::persistent_volumes();
  const std::string retired =
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
      "is to use dynamic provisioning.";
  const std::string old_class =
      "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" "
      "attribute instead";
  const std::string external = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
  const std::string fraction =
      "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer";
  for (
      const Row& row : {
          Row{services, R"({"spec":{"type":"ClusterIP","clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]}})", {}, {}},
          Row{services,
              R"({"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"sessionAffinity":"ClientIP"}})",
              {"spec.SessionAffinity is ignored for headless services"},
              {"spec.SessionAffinity is ignored for headless services"}},
          Row{services, R"({"spec":{"type":"NodePort","externalIPs":["192.0.2.1"]}})", {external}, {external}},
          Row{services,
              R"({"spec":{"type":"NodePort","clusterIP":"fd00::0001","clusterIPs":["fd00::0001"]}})",
              {"spec.clusterIPs[0]: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format (\"fd00::1\")"},
              {"spec.clusterIPs[0]: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format "
               "(\"fd00::1\")"}},
          Row{services,
              R"({"metadata":{"annotations":{"service.kubernetes.io/topology-aware-hints":"auto"}},)"
              R"("spec":{"type":"ExternalName","externalName":"a.b"}})",
              {"annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
               "service.kubernetes.io/topology-mode instead"},
              {"annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
               "service.kubernetes.io/topology-mode instead"}},
          Row{services,
              R"({"spec":{"type":"ClusterIP","externalName":"a.b","trafficDistribution":"PreferClose"}})",
              {"spec.externalName is ignored when spec.type is not \"ExternalName\"",
               "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""},
              {"spec.externalName is ignored when spec.type is not \"ExternalName\"",
               "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""}},
          Row{volumes,
              R"({"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"c"}},)"
              R"("spec":{"persistentVolumeReclaimPolicy":"Recycle","storageos":{},"nodeAffinity":{"required":)"
              R"({"nodeSelectorTerms":[{"matchExpressions":[{"key":"beta.kubernetes.io/os","operator":"Exists"}]}]}}}})",
              {old_class, retired,
               "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is "
               "deprecated since v1.14; use \"kubernetes.io/os\" instead",
               "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"},
              {old_class, retired,
               "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is "
               "deprecated since v1.14; use \"kubernetes.io/os\" instead",
               "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"}},
          Row{kinds::persistent_volume_claims(),
              R"({"spec":{"resources":{"requests":{"storage":"1500m"}}}})",
              {fraction},
              {fraction}},
          Row{kinds::nodes(),
              R"({"spec":{"externalID":"x","podCIDRs":["10.0.0.1/8"]}})",
              {"spec.externalID: this field is deprecated, and is unused by Kubernetes",
               "spec.podCIDRs[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or "
               "\"10.0.0.1/32\"?)"},
              {"spec.externalID: this field is deprecated, and is unused by Kubernetes",
               "spec.podCIDRs[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or "
               "\"10.0.0.1/32\"?)"}},
          Row{*find_kind("", "v1", "resourcequotas"),
              R"({"spec":{"hard":{"cpu":"2","limits.cpu":"1","requests.storage":"1Gi","limits.storage":"1Gi"}}})",
              {"ResourceQuota cpu (2) should be less than limits.cpu (1)"},
              {}},
          Row{kinds::endpoints(),
              R"({"subsets":[{"addresses":[{"ip":"fd00::0001"}]}]})",
              {"subsets[0].addresses[0].ip: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format "
               "(\"fd00::1\")"},
              {"subsets[0].addresses[0].ip: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format "
               "(\"fd00::1\")"}},
          Row{kinds::service_accounts(),
              R"({"metadata":{"annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}}})",
              {"metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
               "namespaces to isolate access to mounted secrets"},
              {}},
      }) {
    CAPTURE(row.object);
    const Result<json::Value> object = json::read(row.object);
    REQUIRE(object);
    std::vector<std::string> created, updated;
    validation::warn_create(row.kind, *object, created);
    CHECK(created == row.on_create);
    validation::warn_update(row.kind, *object, *object, updated);
    CHECK(updated == row.on_update);
  }
}
