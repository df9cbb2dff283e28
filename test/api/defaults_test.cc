// Tests of the defaults: a row per rule or condition, checked at one path of the result.
#include "api/defaults.h"

#include <catch2/catch.hpp>

#include "api/messages.h"
#include "api/support_golden.h"
#include "base/strings.h"

using namespace kayak;
using api::Message;
using namespace api::messages;

namespace {

json::Value decoded(const Message& message, std::string_view text) {
  Result<json::Value> value = json::read(text);
  if (!value) FAIL(value.error().message() << " in " << text);
  value = api::decode_json(message, *std::move(value));
  if (!value) FAIL(value.error().message() << " in " << text);
  return *std::move(value);
}

// The text at a path like "spec.ports.0.protocol"; "-" when absent. A '/' stands for a dot inside a key.
std::string at(const json::Value& document, std::string_view path) {
  const json::Value* here = &document;
  for (const std::string_view part : split(path, '.')) {
    std::string key(part);
    for (char& c : key) c = c == '/' ? '.' : c;
    std::int64_t index = 0;
    if (here->is_array() && parse_int64(key, &index)) {
      if (static_cast<std::size_t>(index) >= here->as_array().size()) return "-";
      here = &here->as_array()[static_cast<std::size_t>(index)];
    } else {
      here = here->find(key);
    }
    if (!here) return "-";
  }
  return json::write(*here);
}

struct Row {
  const Message& message;
  std::string_view input, path, expected;
};

void check(const Row& row) {
  CAPTURE(row.message.name, row.input, row.path);
  json::Value document = decoded(row.message, row.input);
  api::apply_defaults(row.message, document);
  CAPTURE(json::write(document));
  CHECK(at(document, row.path) == row.expected);
  // The result is canonical, and a second time changes nothing.
  const std::string once = json::write(document);
  CHECK(json::write(decoded(row.message, once)) == once);
  api::apply_defaults(row.message, document);
  CHECK(json::write(document) == once);
}

}  // namespace

TEST_CASE("defaults of pods") {
  for (const Row& row : {
           Row{core_v1_Pod, R"({})", "spec",
               R"({"containers":null,"restartPolicy":"Always","terminationGracePeriodSeconds":30,)"
               R"("dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler",)"
               R"("enableServiceLinks":true})"},
           Row{core_v1_Pod, R"({"spec":{"terminationGracePeriodSeconds":0,"enableServiceLinks":false}})",
               "spec.terminationGracePeriodSeconds", "0"},
           Row{core_v1_Pod, R"({"spec":{"terminationGracePeriodSeconds":-1}})", "spec.terminationGracePeriodSeconds",
               "1"},
           Row{core_v1_PodTemplate, R"({"template":{"spec":{"terminationGracePeriodSeconds":-1}}})",
               "template.spec.terminationGracePeriodSeconds", "-1"},
           Row{core_v1_Pod, R"({"spec":{"serviceAccountName":"a"}})", "spec.serviceAccount", R"("a")"},
           Row{core_v1_Pod, R"({"spec":{"serviceAccount":"a"}})", "spec.serviceAccountName", R"("a")"},
           Row{core_v1_Pod, R"({"spec":{"serviceAccount":"a","serviceAccountName":"b"}})", "spec.serviceAccount",
               R"("b")"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"name":"a","image":"x"}]}})", "spec.containers.0",
               R"({"name":"a","image":"x","resources":{},"terminationMessagePath":"/dev/termination-log",)"
               R"("terminationMessagePolicy":"File","imagePullPolicy":"Always"})"},
           Row{core_v1_Pod, R"({"spec":{"ephemeralContainers":[{"name":"a","image":"x:1"}]}})",
               "spec.ephemeralContainers.0",
               R"({"name":"a","image":"x:1","resources":{},"terminationMessagePath":"/dev/termination-log",)"
               R"("terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"})"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"ports":[{"containerPort":80}]}]}})",
               "spec.containers.0.ports.0", R"({"containerPort":80,"protocol":"TCP"})"},
           Row{core_v1_Pod, R"({"spec":{"hostNetwork":true,"containers":[{"ports":[{"containerPort":80}]}]}})",
               "spec.containers.0.ports.0.hostPort", "80"},
           Row{core_v1_Pod, R"({"spec":{"initContainers":[{"livenessProbe":{"grpc":{"port":1}}}]}})",
               "spec.initContainers.0.livenessProbe",
               R"({"grpc":{"port":1,"service":""},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,)"
               R"("failureThreshold":3})"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"readinessProbe":{"periodSeconds":7,"httpGet":{"port":80}}}]}})",
               "spec.containers.0.readinessProbe",
               R"({"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":7,)"
               R"("successThreshold":1,"failureThreshold":3})"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"lifecycle":{"preStop":{"httpGet":{"port":"p"}}}}]}})",
               "spec.containers.0.lifecycle.preStop.httpGet", R"({"path":"/","port":"p","scheme":"HTTP"})"},
           Row{core_v1_Pod,
               R"({"spec":{"containers":[{"env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"x"}}}]}]}})",
               "spec.containers.0.env.0.valueFrom.fieldRef.apiVersion", R"("v1")"},
           Row{core_v1_Pod,
               R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"1","memory":"1Gi"},)"
               R"("requests":{"cpu":"500m"}}}]}})",
               "spec.containers.0.resources.requests", R"({"cpu":"500m","memory":"1Gi"})"},
           Row{core_v1_Pod, R"({"spec":{"ephemeralContainers":[{"resources":{"limits":{"cpu":"1"}}}]}})",
               "spec.ephemeralContainers.0.resources.requests", "-"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"0.0001","memory":"1500u"}}}]}})",
               "spec.containers.0.resources.limits", R"({"cpu":"1m","memory":"2m"})"},
           // Pod-level resources given in part are completed.
           Row{core_v1_Pod,
               R"({"spec":{"resources":{"limits":{"cpu":"4","memory":"1Gi"}},"initContainers":[)"
               R"({"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},)"
               R"({"name":"i","resources":{"requests":{"cpu":"3"}}}],)"
               R"("containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}})",
               "spec.resources.requests", R"({"cpu":"4","memory":"1Gi"})"},
           Row{core_v1_Pod,
               R"({"spec":{"resources":{"requests":{"cpu":"1"}},"containers":[{"name":"c","resources":)"
               R"({"limits":{"hugepages-2Mi":"4Mi"}}},{"name":"d","resources":{"limits":{"hugepages-2Mi":"2Mi"}}}]}})",
               "spec.resources", R"({"limits":{"hugepages-2Mi":"6Mi"},"requests":{"cpu":"1","hugepages-2Mi":"6Mi"}})"},
           Row{core_v1_Pod, R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}})",
               "spec.resources", "-"},
       }) {
    check(row);
  }
}

TEST_CASE("image pull policy follows the tag") {
  struct TagRow {
    std::string_view image, policy;
  };
  for (const TagRow& row : {
           TagRow{"nginx", "Always"},
           TagRow{"nginx:latest", "Always"},
           TagRow{"nginx:1.27", "IfNotPresent"},
           TagRow{"localhost:5000/nginx", "Always"},
           TagRow{"localhost:5000/a/nginx:1", "IfNotPresent"},
           TagRow{"nginx@sha256:0123", "IfNotPresent"},
           TagRow{"nginx:latest@sha256:0123", "Always"},
           TagRow{"", "IfNotPresent"},
       }) {
    CAPTURE(row.image);
    json::Value pod =
        decoded(core_v1_Pod, cat(R"({"spec":{"containers":[{"name":"a","image":")", row.image,
                                 R"("}],"volumes":[{"name":"v","image":{"reference":")", row.image, R"("}}]}})"));
    api::apply_defaults(core_v1_Pod, pod);
    CHECK(at(pod, "spec.containers.0.imagePullPolicy") == quote(row.policy));
    CHECK(at(pod, "spec.volumes.0.image.pullPolicy") == quote(row.policy));
  }
}

TEST_CASE("defaults of volumes") {
  struct VolumeRow {
    std::string_view input, expected;
  };
  for (const VolumeRow& row : {
           VolumeRow{R"({"name":"v"})", R"({"name":"v","emptyDir":{}})"},
           VolumeRow{R"({"name":"v","secret":{"secretName":"s"}})",
                     R"({"name":"v","secret":{"secretName":"s","defaultMode":420}})"},
           VolumeRow{R"({"name":"v","configMap":{"name":"c","defaultMode":256}})",
                     R"({"name":"v","configMap":{"name":"c","defaultMode":256}})"},
           VolumeRow{R"({"name":"v","downwardAPI":{"items":[{"path":"p","fieldRef":{"fieldPath":"f"}}]}})",
                     R"({"name":"v","downwardAPI":{"items":[{"path":"p","fieldRef":{"apiVersion":"v1",)"
                     R"("fieldPath":"f"}}],"defaultMode":420}})"},
           VolumeRow{R"({"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}})",
                     R"({"name":"v","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3600,)"
                     R"("path":"t"}}],"defaultMode":420}})"},
           VolumeRow{R"({"name":"v","hostPath":{"path":"/"}})", R"({"name":"v","hostPath":{"path":"/","type":""}})"},
           VolumeRow{R"({"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{}}}})",
                     R"({"name":"v","ephemeral":{"volumeClaimTemplate":{"metadata":{},"spec":{"resources":{},)"
                     R"("volumeMode":"Filesystem"}}}})"},
           VolumeRow{R"({"name":"v","iscsi":{"targetPortal":"t","iqn":"i","lun":0}})",
                     R"({"name":"v","iscsi":{"targetPortal":"t","iqn":"i","lun":0,"iscsiInterface":"default"}})"},
           VolumeRow{R"({"name":"v","rbd":{"monitors":["m"],"image":"i"}})",
                     R"({"name":"v","rbd":{"monitors":["m"],"image":"i","pool":"rbd","user":"admin",)"
                     R"("keyring":"/etc/ceph/keyring"}})"},
           VolumeRow{R"({"name":"v","azureDisk":{"diskName":"d","diskURI":"u"}})",
                     R"({"name":"v","azureDisk":{"diskName":"d","diskURI":"u","cachingMode":"ReadWrite",)"
                     R"("fsType":"ext4","readOnly":false,"kind":"Shared"}})"},
       }) {
    check({core_v1_PodTemplate, cat(R"({"template":{"spec":{"volumes":[)", row.input, "]}}}"),
           "template.spec.volumes.0", row.expected});
  }
}

TEST_CASE("defaults of core kinds") {
  for (const Row& row : {
           Row{core_v1_Service, R"({"spec":{"ports":[{"port":80}]}})", "spec",
               R"({"ports":[{"protocol":"TCP","port":80,"targetPort":80}],"type":"ClusterIP",)"
               R"("sessionAffinity":"None","internalTrafficPolicy":"Cluster"})"},
           Row{core_v1_Service, R"({"spec":{"ports":[{"port":80,"targetPort":"","protocol":"UDP"}]}})", "spec.ports.0",
               R"({"protocol":"UDP","port":80,"targetPort":80})"},
           Row{core_v1_Service, R"({"spec":{"ports":[{"port":80,"targetPort":"web"}]}})", "spec.ports.0.targetPort",
               R"("web")"},
           Row{core_v1_Service, R"({"spec":{"sessionAffinity":"ClientIP"}})", "spec.sessionAffinityConfig",
               R"({"clientIP":{"timeoutSeconds":10800}})"},
           Row{core_v1_Service, R"({"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":5}}}})",
               "spec.sessionAffinityConfig", "-"},
           Row{core_v1_Service, R"({"spec":{"type":"NodePort"}})", "spec.externalTrafficPolicy", R"("Cluster")"},
           Row{core_v1_Service, R"({"spec":{"externalIPs":["192.0.2.1"]}})", "spec.externalTrafficPolicy",
               R"("Cluster")"},
           Row{core_v1_Service, R"({"spec":{"type":"ClusterIP"}})", "spec.externalTrafficPolicy", "-"},
           Row{core_v1_Service, R"({"spec":{"type":"LoadBalancer"}})", "spec.allocateLoadBalancerNodePorts", "true"},
           Row{core_v1_Service,
               R"({"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"a"},)"
               R"({"hostname":"b"}]}}})",
               "status.loadBalancer.ingress", R"([{"ip":"a","ipMode":"VIP"},{"hostname":"b"}])"},
           Row{core_v1_Service, R"({"spec":{"type":"ExternalName","internalTrafficPolicy":"Cluster"}})",
               "spec.internalTrafficPolicy", "-"},
           Row{core_v1_Endpoints, R"({"subsets":[{"ports":[{"port":1}]}]})", "subsets.0.ports.0.protocol", R"("TCP")"},
           Row{core_v1_Secret, R"({"stringData":{"a":"new","b":"x"},"data":{"a":"b2xk","c":"Yw=="}})", "data",
               R"({"a":"bmV3","b":"eA==","c":"Yw=="})"},
           Row{core_v1_Secret, R"({"stringData":{"a":"new"}})", "stringData", "-"},
           Row{core_v1_Secret, "{}", "type", R"("Opaque")"},
           Row{core_v1_Namespace, R"({"metadata":{"name":"n","labels":{"kubernetes.io/metadata.name":"x"}}})",
               "metadata.labels", R"({"kubernetes.io/metadata.name":"n"})"},
           Row{core_v1_Namespace, R"({"metadata":{"generateName":"n"}})", "metadata", R"({"generateName":"n"})"},
           Row{core_v1_Namespace, "{}", "status.phase", R"("Active")"},
           Row{core_v1_Node, R"({"status":{"capacity":{"cpu":"2"}}})", "status.allocatable", R"({"cpu":"2"})"},
           Row{core_v1_Node, R"({"status":{"capacity":{"cpu":"2"},"allocatable":{"cpu":"1"}}})",
               "status.allocatable.cpu", R"("1")"},
           Row{core_v1_PersistentVolume, "{}", "spec",
               R"({"persistentVolumeReclaimPolicy":"Retain","volumeMode":"Filesystem"})"},
           Row{core_v1_PersistentVolume, "{}", "status.phase", R"("Pending")"},
           Row{core_v1_PersistentVolumeClaim, "{}", "spec.volumeMode", R"("Filesystem")"},
           Row{core_v1_LimitRange,
               R"({"spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"cpu":"1","memory":"1Mi"}}]}})",
               "spec.limits.0",
               R"({"type":"Container","max":{"cpu":"2"},"min":{"cpu":"1","memory":"1Mi"},"default":{"cpu":"2"},)"
               R"("defaultRequest":{"cpu":"2","memory":"1Mi"}})"},
           Row{core_v1_LimitRange, R"({"spec":{"limits":[{"type":"Pod","max":{"cpu":"2"}}]}})", "spec.limits.0.default",
               "-"},
           Row{core_v1_ReplicationController, R"({"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}})",
               "spec.selector", R"({"a":"b"})"},
           Row{core_v1_ReplicationController, R"({"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}})",
               "metadata.labels", R"({"a":"b"})"},
           Row{core_v1_ReplicationController, "{}", "spec.replicas", "1"},
       }) {
    check(row);
  }
}

TEST_CASE("defaults of workloads") {
  for (const Row& row : {
           Row{apps_v1_Deployment, "{}", "spec.replicas", "1"},
           Row{apps_v1_Deployment, R"({"spec":{"replicas":0}})", "spec.replicas", "0"},
           Row{apps_v1_Deployment, "{}", "spec.strategy",
               R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}})"},
           Row{apps_v1_Deployment, R"({"spec":{"strategy":{"rollingUpdate":{"maxSurge":0}}}})", "spec.strategy",
               R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":0}})"},
           Row{apps_v1_Deployment, R"({"spec":{"strategy":{"type":"Recreate"}}})", "spec.strategy",
               R"({"type":"Recreate"})"},
           Row{apps_v1_Deployment, "{}", "spec.template.spec.enableServiceLinks", "-"},
           Row{apps_v1_Deployment,
               R"({"spec":{"template":{"spec":{"hostNetwork":true,"containers":[{"ports":[{"containerPort":1}],)"
               R"("resources":{"limits":{"cpu":"1"}}}]}}}})",
               "spec.template.spec.containers.0.ports.0.hostPort", "-"},
           Row{apps_v1_Deployment,
               R"({"spec":{"template":{"spec":{"containers":[{"resources":)"
               R"({"limits":{"cpu":"1"}}}]}}}})",
               "spec.template.spec.containers.0.resources.requests", "-"},
           Row{apps_v1_Deployment, "{}", "spec.progressDeadlineSeconds", "600"},
           Row{apps_v1_DaemonSet, "{}", "spec.updateStrategy",
               R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}})"},
           Row{apps_v1_DaemonSet, R"({"spec":{"updateStrategy":{"type":"OnDelete"}}})", "spec.updateStrategy",
               R"({"type":"OnDelete"})"},
           Row{apps_v1_StatefulSet, "{}", "spec.updateStrategy",
               R"({"type":"RollingUpdate","rollingUpdate":{"partition":0}})"},
           Row{apps_v1_StatefulSet, R"({"spec":{"updateStrategy":{"type":"RollingUpdate"}}})", "spec.updateStrategy",
               R"({"type":"RollingUpdate"})"},
           Row{apps_v1_StatefulSet, "{}", "spec.persistentVolumeClaimRetentionPolicy",
               R"({"whenDeleted":"Retain","whenScaled":"Retain"})"},
           Row{apps_v1_StatefulSet, R"({"spec":{"volumeClaimTemplates":[{"metadata":{"name":"d"}}]}})",
               "spec.volumeClaimTemplates.0",
               R"({"kind":"PersistentVolumeClaim","apiVersion":"v1","metadata":{"name":"d"},"spec":{"resources":{},)"
               R"("volumeMode":"Filesystem"},"status":{"phase":"Pending"}})"},
           Row{apps_v1_ReplicaSet, "{}", "spec.replicas", "1"},
           Row{batch_v1_Job, R"({"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}})", "metadata.labels",
               R"({"a":"b"})"},
           Row{batch_v1_Job, "{}", "spec.completions", "1"},
           Row{batch_v1_Job, R"({"spec":{"parallelism":2}})", "spec.completions", "-"},
           Row{batch_v1_Job, "{}", "spec.backoffLimit", "6"},
           Row{batch_v1_Job, R"({"spec":{"backoffLimitPerIndex":1}})", "spec.backoffLimit", "2147483647"},
           Row{batch_v1_Job, R"({"spec":{"backoffLimit":0}})", "spec.backoffLimit", "0"},
           Row{batch_v1_Job, "{}", "spec.podReplacementPolicy", R"("TerminatingOrFailed")"},
           Row{batch_v1_Job,
               R"({"spec":{"podFailurePolicy":{"rules":[{"action":"Ignore","onPodConditions":[{"type":"X"}]}]}}})",
               "spec.podFailurePolicy.rules.0.onPodConditions.0", R"({"type":"X","status":"True"})"},
           Row{batch_v1_Job, R"({"spec":{"podFailurePolicy":{"rules":[]}}})", "spec.podReplacementPolicy",
               R"("Failed")"},
           Row{batch_v1_CronJob, "{}", "spec.concurrencyPolicy", R"("Allow")"},
           Row{batch_v1_CronJob, R"({"spec":{"successfulJobsHistoryLimit":0}})", "spec.successfulJobsHistoryLimit",
               "0"},
           Row{batch_v1_CronJob, "{}", "spec.jobTemplate.spec.parallelism", "-"},
           Row{batch_v1_CronJob, "{}", "spec.jobTemplate.spec.template.spec.dnsPolicy", R"("ClusterFirst")"},
           Row{autoscaling_v1_HorizontalPodAutoscaler, "{}", "spec.minReplicas", "1"},
           Row{autoscaling_v2_HorizontalPodAutoscaler, "{}", "spec.metrics.0.resource.target.averageUtilization", "80"},
           Row{autoscaling_v2_HorizontalPodAutoscaler, "{}", "spec.behavior", "-"},
           Row{autoscaling_v2_HorizontalPodAutoscaler, R"({"spec":{"behavior":{}}})", "spec.behavior",
               R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[)"
               R"({"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]},)"
               R"("scaleDown":{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}})"},
       }) {
    check(row);
  }
}

TEST_CASE("defaults of other groups") {
  for (const Row& row : {
           Row{networking_v1_NetworkPolicy, "{}", "spec.policyTypes", R"(["Ingress"])"},
           Row{networking_v1_NetworkPolicy, R"({"spec":{"egress":[{"ports":[{"port":53}]}]}})", "spec.policyTypes",
               R"(["Ingress","Egress"])"},
           Row{networking_v1_NetworkPolicy, R"({"spec":{"egress":[{"ports":[{"port":53}]}]}})",
               "spec.egress.0.ports.0.protocol", R"("TCP")"},
           Row{networking_v1_IngressClass, R"({"spec":{"parameters":{"kind":"k","name":"n"}}})",
               "spec.parameters.scope", R"("Cluster")"},
           Row{discovery_v1_EndpointSlice, R"({"ports":[{"port":1}]})", "ports.0",
               R"({"name":"","protocol":"TCP","port":1})"},
           Row{rbac_v1_ClusterRoleBinding,
               R"({"roleRef":{"kind":"ClusterRole","name":"r"},"subjects":[{"kind":"User","name":"u"},)"
               R"({"kind":"ServiceAccount","name":"s"}]})",
               "subjects",
               R"([{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"u"},)"
               R"({"kind":"ServiceAccount","name":"s"}])"},
           Row{rbac_v1_RoleBinding, R"({"roleRef":{"kind":"Role","name":"r"}})", "roleRef.apiGroup",
               R"("rbac.authorization.k8s.io")"},
           Row{scheduling_v1_PriorityClass, "{}", "preemptionPolicy", R"("PreemptLowerPriority")"},
           Row{storage_v1_StorageClass, "{}", "volumeBindingMode", R"("Immediate")"},
           Row{storage_v1_CSIDriver, "{}", "spec",
               R"({"attachRequired":true,"podInfoOnMount":false,"volumeLifecycleModes":["Persistent"],)"
               R"("storageCapacity":false,"fsGroupPolicy":"ReadWriteOnceWithFSType","requiresRepublish":false,)"
               R"("seLinuxMount":false})"},
           Row{admissionregistration_v1_MutatingWebhookConfiguration,
               R"({"webhooks":[{"name":"w","clientConfig":{"service":{"namespace":"n","name":"s"}},)"
               R"("rules":[{"operations":["CREATE"]}]}]})",
               "webhooks.0",
               R"({"name":"w","clientConfig":{"service":{"namespace":"n","name":"s","port":443}},)"
               R"("rules":[{"operations":["CREATE"],"scope":"*"}],"failurePolicy":"Fail","matchPolicy":"Equivalent",)"
               R"("namespaceSelector":{},"objectSelector":{},"sideEffects":null,"timeoutSeconds":10,)"
               R"("admissionReviewVersions":null,"reinvocationPolicy":"Never"})"},
           Row{admissionregistration_v1_ValidatingAdmissionPolicy,
               R"({"spec":{"matchConstraints":{"resourceRules":[{"resources":["pods"]}]}}})", "spec",
               R"({"matchConstraints":{"namespaceSelector":{},"objectSelector":{},"resourceRules":[)"
               R"({"resources":["pods"],"scope":"*"}],"matchPolicy":"Equivalent"},"failurePolicy":"Fail"})"},
           Row{apiextensions_v1_CustomResourceDefinition,
               R"({"spec":{"names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1"},)"
               R"({"name":"v2","storage":true}]}})",
               "spec.names", R"({"plural":"things","singular":"thing","kind":"Thing","listKind":"ThingList"})"},
           Row{apiextensions_v1_CustomResourceDefinition, "{}", "spec.conversion", R"({"strategy":"None"})"},
           Row{apiextensions_v1_CustomResourceDefinition,
               R"({"spec":{"versions":[{"name":"v1"},{"name":"v2","storage":true}]}})", "status.storedVersions",
               R"(["v2"])"},
           Row{apiregistration_v1_APIService, R"({"spec":{"service":{"name":"s"}}})", "spec.service.port", "443"},
           Row{authentication_v1_TokenRequest, "{}", "spec.expirationSeconds", "3600"},
           Row{flowcontrol_v1_FlowSchema, "{}", "spec.matchingPrecedence", "1000"},
           Row{flowcontrol_v1_PriorityLevelConfiguration,
               R"({"spec":{"limited":{"limitResponse":{"type":"Queue","queuing":{"queues":16}}}}})", "spec.limited",
               R"({"nominalConcurrencyShares":30,"limitResponse":{"type":"Queue","queuing":{"queues":16,"handSize":8,)"
               R"("queueLengthLimit":50}},"lendablePercent":0})"},
           Row{flowcontrol_v1_PriorityLevelConfiguration, R"({"spec":{"exempt":{}}})", "spec.exempt",
               R"({"nominalConcurrencyShares":0,"lendablePercent":0})"},
           Row{resource_v1_ResourceClaim,
               R"({"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"c","tolerations":[{}]}},)"
               R"({"name":"b","firstAvailable":[{"name":"x","allocationMode":"All"}]}]}}})",
               "spec.devices.requests",
               R"([{"name":"a","exactly":{"deviceClassName":"c","allocationMode":"ExactCount","count":1,)"
               R"("tolerations":[{"operator":"Equal"}]}},{"name":"b","firstAvailable":[{"name":"x",)"
               R"("deviceClassName":"","allocationMode":"All"}]}])"},
       }) {
    check(row);
  }
}

TEST_CASE("a taint's time needs the present") {
  const std::string_view text = R"({"spec":{"devices":[{"name":"d","taints":[{"key":"k","effect":"NoSchedule"}]}]}})";
  json::Value slice = decoded(resource_v1_ResourceSlice, text);
  api::apply_defaults(resource_v1_ResourceSlice, slice);
  CHECK(at(slice, "spec.devices.0.taints.0.timeAdded") == "-");
  api::apply_defaults(resource_v1_ResourceSlice, slice, WallTime{1'708'387'200'500'000});
  CHECK(at(slice, "spec.devices.0.taints.0.timeAdded") == R"("2024-02-20T00:00:00Z")");
}

TEST_CASE("defaults keep golden objects canonical") {
  for (const test::Golden& golden : test::golden_objects()) {
    CAPTURE(golden.name);
    const Message* message = api::find_message(golden.api_version, golden.kind);
    REQUIRE(message);
    json::Value document = decoded(*message, golden.json);
    api::apply_defaults(*message, document);
    const std::string once = json::write(document);
    CHECK(json::write(decoded(*message, once)) == once);
    api::apply_defaults(*message, document);
    CHECK(json::write(document) == once);
  }
}

TEST_CASE("every default rule names a message and a field that exist") {
  // A walk over all messages with empty documents reaches every field row by itself.
  for (const Message* message : api::all_messages()) {
    if (message->form != api::JsonForm::kObject) continue;
    json::Value document = json::Object();
    api::canonicalize(*message, document);
    api::apply_defaults(*message, document);
    CHECK(document.is_object());
  }
}
