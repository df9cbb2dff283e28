// validation_pod_update_test.cc: what an update of a pod or of its status may change.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_updates;

namespace {

const char* kPod = R"({"metadata":{"name":"p","namespace":"default"},"spec":{
  "serviceAccountName":"default","containers":[{"name":"c","image":"i"}]},"status":{"phase":"Running","qosClass":
  "BestEffort"}})";

const std::string kMayNot =
    "spec: Forbidden: pod updates may not change fields other than "
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)\n";

}  // namespace

TEST_CASE("pod updates: what may change") {
  const std::string required = "requiredDuringSchedulingIgnoredDuringExecution";
  const auto node_affinity = [&](const std::string& terms) {
    return cat(R"(spec.affinity = {"nodeAffinity":{")", required, R"(":{"nodeSelectorTerms":[)", terms, "]}}}");
  };
  const std::string zone = R"({"matchExpressions":[{"key":"z","operator":"In","values":["a"]}]})";
  const std::string zone_and_disk = R"({"matchExpressions":[{"key":"z","operator":"In","values":["a"]},)"
                                    R"({"key":"d","operator":"Exists"}]})";
  check_updates(
      kinds::pods(), "", kPod,
      {
          {"", "", ""},
          {"", R"(metadata.labels = {"a":"b"})", ""},
          {"", R"(spec.containers[0].image = "j")", ""},
          {"", R"(spec.tolerations = [{"key":"k","operator":"Exists"}])", ""},
          {R"(spec.tolerations = [{"key":"k","operator":"Exists","effect":"NoExecute","tolerationSeconds":5}])",
           R"(spec.tolerations[0].tolerationSeconds = 9)", ""},
          {R"(spec.tolerations = [{"key":"k","operator":"Exists"}])", "spec.tolerations = -",
           "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"},
          {"", "spec.activeDeadlineSeconds = 9", ""},
          {"spec.activeDeadlineSeconds = 9", "spec.activeDeadlineSeconds = 5", ""},
          {"spec.activeDeadlineSeconds = 9", "spec.activeDeadlineSeconds = 10",
           "spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"},
          {"spec.activeDeadlineSeconds = 9", "spec.activeDeadlineSeconds = -",
           "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"},
          {"spec.terminationGracePeriodSeconds = -1", "spec.terminationGracePeriodSeconds = 1", ""},
          {"", R"(spec.containers[1] = {"name":"d","image":"i"})",
           "spec.containers: Forbidden: pod updates may not add or remove containers"},
          {R"(spec.schedulingGates = [{"name":"a"},{"name":"b"}])", R"(spec.schedulingGates = [{"name":"b"}])", ""},
          {R"(spec.schedulingGates = [{"name":"a"}])", R"(spec.schedulingGates = [{"name":"a"},{"name":"c"}])",
           "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'"},
          {R"(spec.schedulingGates = [{"name":"a"}])", R"(spec.nodeSelector = {"z":"a"})", ""},
          {R"(spec.schedulingGates = [{"name":"a"}]
              spec.nodeSelector = {"z":"a"})",
           R"(spec.nodeSelector = {"z":"b"})",
           "spec.nodeSelector: Invalid value: {\"z\":\"b\"}: only additions to spec.nodeSelector are allowed (no "
           "mutations or deletions)"},
          {R"(spec.schedulingGates = [{"name":"a"}])", node_affinity(zone), ""},
          {cat("spec.schedulingGates = [{\"name\":\"a\"}]\n", node_affinity(zone)), node_affinity(zone_and_disk), ""},
          {cat("spec.schedulingGates = [{\"name\":\"a\"}]\n", node_affinity(zone_and_disk)), node_affinity(zone),
           cat("spec.affinity.nodeAffinity.", required, ".nodeSelectorTerms[0]: Invalid value: ", zone,
               ": only additions are allowed (no mutations or deletions)")},
      });
}

TEST_CASE("pod updates: what may not change, with the difference") {
  check_updates(
      kinds::pods(), "", kPod,
      {
          {"", R"(spec.nodeSelector = {"z":"a"})", cat(kMayNot, "+ nodeSelector: {\"z\":\"a\"}\n")},
          {"", R"(spec.containers[0].command = ["a"]
                  spec.containers[0].image = "j"
                  spec.dnsPolicy = "Default")",
           cat(kMayNot, "+ containers[0].command: [\"a\"]\n- dnsPolicy: \"ClusterFirst\"\n+ dnsPolicy: \"Default\"\n")},
          {"spec.terminationGracePeriodSeconds = 5", "spec.terminationGracePeriodSeconds = 1",
           cat(kMayNot, "- terminationGracePeriodSeconds: 5\n+ terminationGracePeriodSeconds: 1\n")},
          {"", R"(spec.nodeName = "n")", cat(kMayNot, "+ nodeName: \"n\"\n")},
          {R"(metadata.annotations = {"container.apparmor.security.beta.kubernetes.io/c":"unconfined"})",
           R"(metadata.annotations = {"kubernetes.io/config.mirror":"x"})",
           "[metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror "
           "pod annotation is set, metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: "
           "may not remove or update AppArmor annotations, metadata.annotations[kubernetes.io/config.mirror]: "
           "Forbidden: may not add mirror pod annotation]"},
      });
}

TEST_CASE("pod status updates") {
  const char* never = R"(spec.restartPolicy = "Never"
    status.containerStatuses = [{"name":"c","image":"i","imageID":"","ready":false,"restartCount":0,
    "state":{"terminated":{"exitCode":0}}}])";
  std::string ended(never);
  for (char& c : ended) c = c == '\n' ? ' ' : c;
  ended.replace(ended.find("    status."), 4, "\n");
  const std::string running =
      R"(status.containerStatuses = [{"name":"c","image":"i","imageID":"","ready":false,"restartCount":1,)"
      R"("state":{"running":{}}}])";
  check_updates(
      kinds::pods(), "status", kPod,
      {
          {"", R"(status.podIP = "10.0.0.1"
                  status.podIPs = [{"ip":"10.0.0.1"}])",
           ""},
          {"", R"(status.podIPs = [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}])",
           "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]: may specify no more than one "
           "IP "
           "for each IP family"},
          {"", R"(status.podIPs = [{"ip":"x"}])",
           "status.podIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
          {"", R"(status.hostIP = "10.0.0.1"
                  status.hostIPs = [{"ip":"10.0.0.2"}])",
           "status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"},
          {"", R"(status.qosClass = "Burstable")", "status.qosClass: Invalid value: \"Burstable\": field is immutable"},
          {"", R"(status.conditions = [{"type":"Ready","status":"True"},{"type":"a.b/c","status":"True"}])", ""},
          {"", R"(status.conditions = [{"type":"/x","status":"True"}])",
           "status.conditions[0].Type: Invalid value: \"/x\": prefix part must be non-empty"},
          {"", R"(status.conditions = [{"type":"Ready","status":"True","observedGeneration":-1}])",
           "status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer"},
          {"", R"(status.nominatedNodeName = "n")", ""},
          {R"(spec.nodeName = "n")", R"(status.nominatedNodeName = "m")",
           "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"},
          {"", R"(status.containerStatuses = [{"name":"c","user":{"linux":{"uid":-1,"gid":0}},
                  "allocatedResourcesStatus":[{"name":"a.b/gpu","resources":[{"resourceID":"x","health":"Odd"}]}]}])",
           "[status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, "
           "inclusive, "
           "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"a.b/gpu\": must match one "
           "of the "
           "container's resource requests, "
           "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: "
           "Unsupported value: \"Odd\": supported values: \"Healthy\", \"Unhealthy\", \"Unknown\"]"},
          {"", R"(status.resourceClaimStatuses = [{"name":"x"}])",
           "status.resourceClaimStatuses[0].name: Invalid value: \"x\": must match the name of an entry in "
           "`spec.resourceClaims`"},
          {ended, running,
           "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
          {cat(ended, "\nspec.restartPolicy = \"Always\""), running, ""},
          {cat(ended, "\nspec.containers[0].restartPolicy = \"Always\""), running, ""},
          {cat(ended,
               "\nspec.containers[0].restartPolicy = \"Never\"\nspec.containers[0].restartPolicyRules = "
               R"([{"action":"Restart","exitCodes":{"operator":"In","values":[0]}}])"),
           running, ""},
          {cat(ended,
               "\nspec.containers[0].restartPolicy = \"Never\"\nspec.containers[0].restartPolicyRules = "
               R"([{"action":"Restart","exitCodes":{"operator":"In","values":[7]}}])"),
           running, "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
      });
}

TEST_CASE("ephemeral containers are only added") {
  const char* one = R"(spec.ephemeralContainers = [{"name":"e","image":"i"}])";
  check_updates(
      kinds::pods(), "ephemeralcontainers", kPod,
      {
          {"", one, ""},
          {one, R"(spec.ephemeralContainers = [{"name":"f","image":"i"},{"name":"e","image":"i"}])", ""},
          {one, "spec.ephemeralContainers = -",
           "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"},
          {one, R"(spec.ephemeralContainers[0].image = "j")",
           "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be changed\n- image: "
           "\"i\"\n+ image: \"j\"\n"},
          {R"(metadata.annotations = {"kubernetes.io/config.mirror":"x"}
              spec.nodeName = "n")",
           one, ": Forbidden: static pods do not support ephemeral containers"},
      });
}
