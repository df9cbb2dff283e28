// validation_pod_test.cc: a row for each rule of a pod's spec, with upstream's words.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::InvalidRow;
using kayak::test::kKey;
using kayak::test::kLabel;
using kayak::test::kSubdomain;
using kayak::test::kValue;

namespace {

const char* kPod = R"({"metadata":{"name":"p","namespace":"default"},"spec":{
  "serviceAccountName":"default","containers":[{"name":"c","image":"i"}]}})";

void check_pods(const std::vector<InvalidRow>& rows) { check_creates(kinds::pods(), kPod, rows); }

}  // namespace

TEST_CASE("pods: fields of the spec") {
  check_pods({
      {"", ""},
      {R"(spec.restartPolicy = "Sometimes")",
       "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""},
      {R"(spec.dnsPolicy = "Mine")",
       "spec.dnsPolicy: Unsupported value: \"Mine\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", "
       "\"Default\", \"None\""},
      {R"(spec.dnsPolicy = "None")",
       "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
      {R"(spec.dnsPolicy = "None"
          spec.dnsConfig = {"searches":["a.b"]})",
       "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"},
      {R"(spec.dnsConfig = {"nameservers":["1.1.1.1"],"searches":["a_b.c.","."],"options":[{"name":"ndots"}]})", ""},
      {R"(spec.dnsConfig = {"nameservers":["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]})",
       "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\"]: must not have "
       "more than 3 nameservers"},
      {R"(spec.dnsConfig = {"options":[{"value":"x"}]})",
       "spec.dnsConfig.options[0]: Required value: must not be empty"},
      {R"(spec.nodeSelector = {"a":"b c"})", cat("spec.nodeSelector: Invalid value: \"b c\": ", kValue)},
      {R"(spec.nodeName = "A")", cat("spec.nodeName: Invalid value: \"A\": ", kSubdomain)},
      {R"(spec.serviceAccountName = "A")", cat("spec.serviceAccountName: Invalid value: \"A\": ", kSubdomain)},
      {R"(spec.priorityClassName = "A")", cat("spec.priorityClassName: Invalid value: \"A\": ", kSubdomain)},
      {R"(spec.runtimeClassName = "A")", cat("spec.runtimeClassName: Invalid value: \"A\": ", kSubdomain)},
      {R"(spec.hostname = "A")", cat("spec.hostname: Invalid value: \"A\": ", kLabel)},
      {R"(spec.subdomain = "a.b")", "spec.subdomain: Invalid value: \"a.b\": must not contain dots"},
      {R"(spec.hostnameOverride = "a.b")", ""},
      {R"(spec.hostnameOverride = "a"
          spec.hostNetwork = true
          spec.setHostnameAsFQDN = true)",
       "[spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true, spec.hostnameOverride: "
       "Forbidden: may not be specified when hostNetwork is true]"},
      {"spec.activeDeadlineSeconds = 0",
       "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"},
      {R"(spec.preemptionPolicy = "Yes")",
       "spec.preemptionPolicy: Unsupported value: \"Yes\": supported values: \"PreemptLowerPriority\", \"Never\""},
      {R"(spec.readinessGates = [{"conditionType":"-"}])",
       cat("spec.readinessGates[0].conditionType: Invalid value: \"-\": ", kKey)},
      {R"(spec.schedulingGates = [{"name":"a.b/c"},{"name":"a.b/c"}])",
       "spec.schedulingGates[1]: Duplicate value: \"a.b/c\""},
      {R"(spec.schedulingGates = [{"name":"g"}]
          spec.nodeName = "n")",
       "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"},
      {R"(spec.hostAliases = [{"ip":"x","hostnames":["A"]}])",
       cat("[spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or "
           "2001:db8::ffff)"
           ", spec.hostAliases[0].hostnames[0]: Invalid value: \"A\": ",
           kSubdomain, "]")},
      {R"(spec.hostNetwork = true
          spec.containers[0].ports = [{"containerPort":80}])",
       ""},
      {R"(spec.hostNetwork = true
          spec.containers[0].ports = [{"containerPort":80,"hostPort":81}])",
       "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is "
       "true"},
      {R"(spec.hostUsers = false
          spec.hostPID = true
          spec.hostNetwork = true)",
       "[spec.hostNetwork: Forbidden: when `hostUsers` is false, spec.HostPID: Forbidden: when `hostUsers` is false]"},
      {R"(spec.overhead = {"cpu":"1"})", ""},
      {R"(spec.overhead = {"pods":"1"})",
       "spec.overhead.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers"},
      {R"(spec.ephemeralContainers = [{"name":"e","image":"i"}])",
       "spec.ephemeralContainers: Forbidden: cannot be set on create"},
      {"spec.containers = -", "spec.containers: Required value"},
  });
}

TEST_CASE("pods: containers") {
  check_pods({
      {"spec.containers[0].name = -", "spec.containers[0].name: Required value"},
      {R"(spec.containers[0].name = "A")", cat("spec.containers[0].name: Invalid value: \"A\": ", kLabel)},
      {R"(spec.containers[1] = {"name":"c","image":"i"})", "spec.containers[1].name: Duplicate value: \"c\""},
      {"spec.containers[0].image = -", "spec.containers[0].image: Required value"},
      {R"(spec.containers[0].image = " i ")",
       "spec.containers[0].image: Invalid value: \" i \": must not have leading or trailing whitespace"},
      {R"(spec.containers[0].imagePullPolicy = "Maybe")",
       "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", "
       "\"IfNotPresent\", \"Never\""},
      {R"(spec.containers[0].terminationMessagePolicy = "Maybe")",
       "spec.containers[0].terminationMessagePolicy: Unsupported value: \"Maybe\": supported values: \"File\", "
       "\"FallbackToLogsOnError\""},
      {R"(spec.containers[0].ports = [{"containerPort":80,"name":"http"},{"containerPort":0,"name":"http"}])",
       "[spec.containers[0].ports[1].name: Duplicate value: \"http\", spec.containers[0].ports[1].containerPort: "
       "Required value]"},
      {R"(spec.containers[0].ports = [{"containerPort":70000,"hostPort":-1,"protocol":"ICMP"}])",
       "[spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive, "
       "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive, "
       "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", "
       "\"UDP\"]"},
      {R"(spec.containers[0].ports = [{"containerPort":80,"name":"1"}])",
       "spec.containers[0].ports[0].name: Invalid value: \"1\": must contain at least one letter (a-z)"},
      {R"(spec.containers[0].ports = [{"containerPort":80,"hostPort":80},{"containerPort":81,"hostPort":80}])",
       "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""},
      {R"(spec.containers[0].restartPolicy = "Always")", ""},
      {R"(spec.containers[0].restartPolicyRules = [{"action":"Restart","exitCodes":{"operator":"In","values":[1]}}])",
       "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"},
      {R"(spec.containers[0].restartPolicy = "Never"
          spec.containers[0].restartPolicyRules = [{"action":"Eat"}])",
       "[spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"Eat\": supported values: \"Restart\", "
       "\"RestartAllContainers\", spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be "
       "specified]"},
      {R"(spec.containers[0].resizePolicy = [{"resourceName":"disk","restartPolicy":"NotRequired"}])",
       "spec.containers[0].resizePolicy: Unsupported value: \"disk\": supported values: \"cpu\", \"memory\""},
  });
}

TEST_CASE("pods: init and ephemeral containers") {
  check_pods({
      {R"(spec.initContainers = [{"name":"i","image":"x"},{"name":"s","image":"x","restartPolicy":"Always",
          "readinessProbe":{"exec":{"command":["true"]}},"lifecycle":{"preStop":{"exec":{"command":["true"]}}}}])",
       ""},
      {R"(spec.initContainers = [{"name":"c","image":"x"}])", "spec.initContainers[0].name: Duplicate value: \"c\""},
      {R"(spec.initContainers = [{"name":"i","image":"x","lifecycle":{},"startupProbe":{"exec":{"command":["a"]}}}])",
       "[spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without "
       "restartPolicy=Always, spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers "
       "without restartPolicy=Always]"},
      {R"(spec.initContainers = [{"name":"i","image":"x","restartPolicy":"Rarely"}])",
       "spec.initContainers[0].restartPolicy: Unsupported value: \"Rarely\": supported values: \"Always\", \"Never\", "
       "\"OnFailure\""},
      {R"(spec.ephemeralContainers = [{"name":"c","image":"x","targetContainerName":"z","ports":[{"containerPort":1}],
          "volumeMounts":[{"name":"v","mountPath":"/v","subPath":"a"}]}]
          spec.volumes = [{"name":"v","emptyDir":{}}])",
       "[spec.ephemeralContainers[0].name: Duplicate value: \"c\", spec.ephemeralContainers[0].targetContainerName: "
       "Not "
       "found: \"z\", spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container, "
       "spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container, "
       "spec.ephemeralContainers: Forbidden: cannot be set on create]"},
  });
}

TEST_CASE("pods: environment") {
  const std::string subdomain =
      cat("spec.containers[0].env[0].valueFrom.secretKeyRef.name: Invalid value: \"\": ", kSubdomain);
  check_pods({
      {R"(spec.containers[0].env = [{"name":"A b","value":"c"},{"name":"N","valueFrom":{"fieldRef":
          {"fieldPath":"metadata.labels['a.b/c']"}}}])",
       ""},
      {R"(spec.containers[0].env = [{"name":""}])", "spec.containers[0].env[0].name: Required value"},
      {R"(spec.containers[0].env = [{"name":"a=b"}])",
       "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of "
       "printable ASCII characters other than '='"},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{}}])",
       "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, "
       "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"},
      {R"(spec.containers[0].env = [{"name":"a","value":"x","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"}}}])",
       "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"},
          "secretKeyRef":{"name":"s","key":"k"}}}])",
       "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a "
       "time"},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"secretKeyRef":{"key":""}}}])",
       cat("[", subdomain, ", spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value]")},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"fieldRef":{"fieldPath":"spec.containers"}}}])",
       "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.containers\": error converting "
       "fieldPath: field label not supported: spec.containers"},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"fieldRef":{"fieldPath":"status.phase"}}}])",
       "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: "
       "\"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", "
       "\"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\""},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu",
          "divisor":"2"}}}])",
       "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's "
       "values 1m and 1 are supported with the cpu resource"},
      {R"(spec.containers[0].env = [{"name":"a","valueFrom":{"fileKeyRef":{"volumeName":"v","path":"a","key":"K"}}}])",
       "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\""},
      {R"(spec.containers[0].envFrom = [{"prefix":"P_","secretRef":{"name":"s"}}])", ""},
      {R"(spec.containers[0].envFrom = [{}])",
       "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"},
  });
}

TEST_CASE("pods: resources") {
  check_pods({
      {R"(spec.containers[0].resources = {"requests":{"cpu":"500m","memory":"1Gi"},"limits":{"cpu":"1"}})", ""},
      {R"(spec.containers[0].resources = {"requests":{"cpu":"2"},"limits":{"cpu":"1"}})",
       "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"},
      {R"(spec.containers[0].resources = {"limits":{"cpu":"-1"}})",
       "[spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0, "
       "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0]"},
      {R"(spec.containers[0].resources = {"limits":{"disk":"1"},"requests":{"disk":"1"}})",
       "[spec.containers[0].resources.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully "
       "qualified, spec.containers[0].resources.limits[disk]: Invalid value: \"disk\": must be a standard resource for "
       "containers, spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a standard resource "
       "type or fully qualified, spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a "
       "standard resource for containers]"},
      {R"(spec.containers[0].resources = {"requests":{"a.b/gpu":"1"}})",
       "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"},
      {R"(spec.containers[0].resources = {"requests":{"a.b/gpu":"1"},"limits":{"a.b/gpu":"2"}})",
       "spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to a.b/gpu limit of 2"},
      {R"(spec.containers[0].resources = {"limits":{"a.b/gpu":"1500m"}})",
       "[spec.containers[0].resources.limits[a.b/gpu]: Invalid value: \"1500m\": must be an integer, "
       "spec.containers[0].resources.requests[a.b/gpu]: Invalid value: \"1500m\": must be an integer]"},
      {R"(spec.containers[0].resources = {"limits":{"hugepages-2Mi":"3Mi"}})",
       "[spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer "
       "multiple of hugepages-2Mi, spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi "
       "is "
       "not positive integer multiple of hugepages-2Mi, spec.containers[0].resources: Forbidden: HugePages require cpu "
       "or memory]"},
      {R"(spec.containers[0].resources = {"claims":[{"name":"x"}]})",
       "spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims "
       "which is empty"},
      {R"(spec.resourceClaims = [{"name":"x","resourceClaimName":"c"}]
          spec.containers[0].resources = {"claims":[{"name":"x"}]})",
       ""},
      {R"(spec.resourceClaims = [{"name":"x"}])",
       "spec.resourceClaims[0]: Invalid value: {\"name\":\"x\"}: must specify one of: `resourceClaimName`, "
       "`resourceClaimTemplateName`"},
      {R"(spec.resources = {"requests":{"cpu":"1"}}
          spec.containers[0].resources = {"requests":{"cpu":"2"}})",
       "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container "
       "requests "
       "of 2"},
      {R"(spec.resources = {"requests":{"pods":"1"}})",
       "spec.resources.requests[pods]: Unsupported value: \"pods\": supported values: \"cpu\", \"hugepages-\", "
       "\"memory\""},
  });
}

TEST_CASE("pods: volumes and mounts") {
  check_pods({
      {R"(spec.volumes = [{"name":"v"},{"name":"c","configMap":{"name":"m","items":[{"key":"k","path":"a/b"}]}}]
          spec.containers[0].volumeMounts = [{"name":"v","mountPath":"/v","subPath":"x"},{"name":"c","mountPath":"/c"}])",
       ""},
      {R"(spec.volumes = [{"name":"A"}])", cat("spec.volumes[0].name: Invalid value: \"A\": ", kLabel)},
      {R"(spec.volumes = [{"name":"v"},{"name":"v"}])", "spec.volumes[1].name: Duplicate value: \"v\""},
      {R"(spec.volumes = [{"name":"v","emptyDir":{},"hostPath":{"path":"/"}}])",
       "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"},
      {R"(spec.volumes = [{"name":"v","hostPath":{"path":"/a/../b","type":"Pipe"}}])",
       "[spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..', "
       "spec.volumes[0].hostPath.type: Unsupported value: \"Pipe\": supported values: \"\", \"BlockDevice\", "
       "\"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"]"},
      {R"(spec.volumes = [{"name":"v","secret":{"defaultMode":512,"items":[{"key":"","path":"/a"}]}}])",
       "[spec.volumes[0].secret.secretName: Required value, spec.volumes[0].secret.defaultMode: Invalid value: 512: "
       "must "
       "be a number between 0 and 0777 (octal), both inclusive, spec.volumes[0].secret.items[0].key: Required value, "
       "spec.volumes[0].secret.items[0].path: Invalid value: \"/a\": must be a relative path]"},
      {R"(spec.volumes = [{"name":"v","persistentVolumeClaim":{"claimName":""}}])",
       "spec.volumes[0].persistentVolumeClaim.claimName: Required value"},
      {R"(spec.volumes = [{"name":"v","nfs":{"server":"s","path":"a"}}])",
       "spec.volumes[0].nfs.path: Invalid value: \"a\": must be an absolute path"},
      {R"(spec.volumes = [{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t",
          "expirationSeconds":5}},{"secret":{"name":"s","items":[{"key":"k","path":"p"}]},
          "configMap":{"name":"m","items":[{"key":"k","path":"p"}]}}]}}])",
       "[spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify "
       "a "
       "duration less than 10 minutes, spec.volumes[0].projected: Invalid value: \"m\": conflicting duplicate paths, "
       "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source]"},
      {R"(spec.serviceAccountName = -
          spec.volumes = [{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}])",
       "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
       "serviceAccountName is not set"},
      {R"(spec.volumes = [{"name":"v","downwardAPI":{"items":[{"path":"p"}]}}])",
       "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"},
      {R"(spec.volumes = [{"name":"v","csi":{"driver":"-x"}}])",
       cat("spec.volumes[0].csi.driver: Invalid value: \"-x\": ", kSubdomain)},
      {R"(spec.volumes = [{"name":"v","iscsi":{"targetPortal":"p","iqn":"x","lun":300}}])",
       "[spec.volumes[0].iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa, "
       "spec.volumes[0].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive]"},
      {R"(spec.volumes = [{"name":"v","iscsi":{"targetPortal":"p","iqn":"iqn.2001-04.com.example:storage","lun":0}}])",
       ""},
      {R"(spec.volumes = [{"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],
          "resources":{"requests":{"storage":"1Gi"}}}}}}])",
       ""},
      {R"(spec.volumes = [{"name":"v","ephemeral":{"volumeClaimTemplate":{"metadata":{"name":"x"},"spec":{}}}},
          {"name":"w","persistentVolumeClaim":{"claimName":"p-v"}}])",
       "[spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set, "
       "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is "
       "required, spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value, "
       "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that gets "
       "created for an ephemeral volume]"},
      {R"(spec.volumes = [{"name":"v","image":{"pullPolicy":"Always"}}])",
       "spec.volumes[0].image.reference: Required value"},
      {R"(spec.containers[0].volumeMounts = [{"name":"v","mountPath":""}])",
       "[spec.containers[0].volumeMounts[0].name: Not found: \"v\", spec.containers[0].volumeMounts[0].mountPath: "
       "Required value]"},
      {R"(spec.volumes = [{"name":"v"}]
          spec.containers[0].volumeMounts = [{"name":"v","mountPath":"/v"},{"name":"v","mountPath":"/v","subPath":"../x",
          "mountPropagation":"Bidirectional"}])",
       "[spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique, "
       "spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..', "
       "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only "
       "to privileged containers]"},
      {R"(spec.volumes = [{"name":"v"}]
          spec.containers[0].volumeMounts = [{"name":"v","mountPath":"/v","recursiveReadOnly":"Enabled"}])",
       "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"},
      {R"(spec.volumes = [{"name":"v"}]
          spec.containers[0].volumeDevices = [{"name":"v","devicePath":"/dev/x"}])",
       "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of "
       "PersistentVolumeClaim or Ephemeral for block mode"},
  });
}

TEST_CASE("pods: probes and hooks") {
  check_pods({
      {R"(spec.containers[0].livenessProbe = {"httpGet":{"port":"http"}})", ""},
      {R"(spec.containers[0].livenessProbe = {})",
       "spec.containers[0].livenessProbe: Required value: must specify a handler type"},
      {R"(spec.containers[0].livenessProbe = {"exec":{},"tcpSocket":{"port":1}})",
       "[spec.containers[0].livenessProbe.exec.command: Required value, spec.containers[0].livenessProbe.tcpSocket: "
       "Forbidden: may not specify more than 1 handler type]"},
      {R"(spec.containers[0].livenessProbe = {"grpc":{"port":0},"successThreshold":2,"periodSeconds":-1})",
       "[spec.containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive, "
       "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0, "
       "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1]"},
      {R"(spec.containers[0].readinessProbe = {"tcpSocket":{"port":1},"terminationGracePeriodSeconds":1})",
       "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for "
       "readinessProbes"},
      {R"(spec.containers[0].startupProbe = {"httpGet":{"port":0,"scheme":"FTP","httpHeaders":[{"name":"a b","value":""}]}})",
       "[spec.containers[0].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive, "
       "spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", "
       "\"HTTPS\", spec.containers[0].startupProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header "
       "must "
       "consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
       "'[-A-Za-z0-9]+')]"},
      {R"(spec.containers[0].lifecycle = {"preStop":{"sleep":{"seconds":31}}})",
       "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
       "terminationGracePeriodSeconds (30)"},
      {R"(spec.containers[0].lifecycle = {"postStart":{}})",
       "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type"},
      {R"(spec.containers[0].lifecycle = {"stopSignal":"SIGTERM"})",
       "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"},
      {R"(spec.os = {"name":"linux"}
          spec.containers[0].lifecycle = {"stopSignal":"SIGRTMIN+3"})",
       ""},
      {R"(spec.os = {"name":"windows"}
          spec.containers[0].lifecycle = {"stopSignal":"SIGHUP"})",
       "spec.containers[0].lifecycle.stopSignal: Unsupported value: \"SIGHUP\": supported values: \"SIGKILL\", "
       "\"SIGTERM\""},
  });
}

TEST_CASE("pods: security") {
  check_pods({
      {R"(spec.securityContext = {"runAsUser":-1,"fsGroup":1,"fsGroupChangePolicy":"Never"})",
       "[spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive, "
       "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"Never\": supported values: \"Always\", "
       "\"OnRootMismatch\"]"},
      {R"(spec.shareProcessNamespace = true
          spec.hostPID = true)",
       "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both "
       "be enabled"},
      {R"(spec.securityContext = {"sysctls":[{"name":"net.ipv4.ip_forward","value":"1"},{"name":"a..b","value":""}]}
          spec.hostNetwork = true)",
       "[spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.ip_forward\": may not be specified when "
       "'hostNetwork' is true, spec.securityContext.sysctls[1].name: Invalid value: \"a..b\": must have at most 253 "
       "characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$]"},
      {R"(spec.securityContext = {"seccompProfile":{"type":"Localhost"}})",
       "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is "
       "Localhost"},
      {R"(spec.securityContext = {"appArmorProfile":{"type":"Mine"}})",
       "spec.securityContext.appArmorProfile.type: Unsupported value: \"Mine\": supported values: \"Localhost\", "
       "\"RuntimeDefault\", \"Unconfined\""},
      {R"(spec.containers[0].securityContext = {"privileged":true,"allowPrivilegeEscalation":false})",
       "spec.containers[0].securityContext: Invalid value: {\"privileged\":true,\"allowPrivilegeEscalation\":false}: "
       "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"},
      {R"(spec.containers[0].securityContext = {"procMount":"Unmasked"})",
       "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use "
       "`Unmasked`"},
      {R"(spec.os = {"name":"plan9"})",
       "spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""},
      {R"(spec.os = {"name":"linux"}
          spec.securityContext = {"windowsOptions":{}})",
       "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"},
      {R"(spec.os = {"name":"windows"}
          spec.hostIPC = true
          spec.securityContext = {"runAsUser":1}
          spec.containers[0].securityContext = {"privileged":true})",
       "[spec.hostIPC: Forbidden: cannot be set for a windows pod, spec.securityContext.runAsUser: Forbidden: cannot "
       "be "
       "set for a windows pod, spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows "
       "pod]"},
      {R"(spec.securityContext = {"windowsOptions":{"runAsUserName":"a\\b\\c"}})",
       "spec.securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName cannot "
       "contain "
       "more than one backslash"},
      {R"(metadata.annotations = {"kubernetes.io/config.mirror":"x"})",
       "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod "
       "annotation is set"},
      {R"(metadata.annotations = {"controller.kubernetes.io/pod-deletion-cost":"03"})",
       "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"03\": must be a 32bit "
       "integer"},
      {R"(metadata.annotations = {"container.apparmor.security.beta.kubernetes.io/z":"bad"})",
       "[metadata.annotations[container.apparmor.security.beta.kubernetes.io/z]: Invalid value: \"z\": container not "
       "found, metadata.annotations[container.apparmor.security.beta.kubernetes.io/z]: Invalid value: \"bad\": invalid "
       "AppArmor profile name: \"bad\"]"},
      {R"(metadata.annotations = {"seccomp.security.alpha.kubernetes.io/pod":"unconfined"}
          spec.securityContext = {"seccompProfile":{"type":"RuntimeDefault"}})",
       "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"},
  });
}

TEST_CASE("pods: scheduling") {
  check_pods({
      {R"(spec.tolerations = [{"operator":"Exists"},{"key":"k","operator":"Gt","value":"5"}])", ""},
      {R"(spec.tolerations = [{"operator":"Equal","tolerationSeconds":1}])",
       "[spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which "
       "means \"match all values and all keys\", spec.tolerations[0].effect: Invalid value: \"\": effect must be "
       "'NoExecute' when `tolerationSeconds` is set]"},
      {R"(spec.tolerations = [{"key":"k","operator":"Exists","value":"v","effect":"Nope"}])",
       "[spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists', "
       "spec.tolerations[0].effect: Unsupported value: \"Nope\": supported values: \"NoSchedule\", "
       "\"PreferNoSchedule\", \"NoExecute\"]"},
      {R"(spec.tolerations = [{"key":"k","operator":"Like"}])",
       "spec.tolerations[0].operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\""},
      {R"(spec.affinity = {"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[]}}})",
       "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: "
       "must have at least one node selector term"},
      {R"(spec.affinity = {"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
          {"matchExpressions":[{"key":"k","operator":"Gt","values":[]}],"matchFields":[{"key":"x","operator":"In",
          "values":["a"]}]}]}}})",
       "[spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
       ".matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt', "
       "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0]"
       ".key: Invalid value: \"x\": not a valid field selector key]"},
      {R"(spec.affinity = {"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,
          "preference":{"matchExpressions":[{"key":"k","operator":"Exists"}]}}]}})",
       "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must "
       "be "
       "in the range 1-100"},
      {R"(spec.affinity = {"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":""}]}})",
       cat("[spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: "
           "can not be empty, spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: "
           "Invalid value: \"\": name part must be non-empty, "
           "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "
           "\"\": ",
           kKey, "]")},
      {R"(spec.affinity = {"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"k",
          "matchLabelKeys":["a"]}]}})",
       "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: "
       "must "
       "not be specified when labelSelector is not set"},
      {R"(spec.topologySpreadConstraints = [{"maxSkew":0,"topologyKey":"","whenUnsatisfiable":"Cry","minDomains":1}])",
       "[spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero, "
       "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty, "
       "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Cry\": supported values: "
       "\"DoNotSchedule\", \"ScheduleAnyway\", spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can "
       "only "
       "use minDomains if whenUnsatisfiable=DoNotSchedule, not Cry]"},
      {R"(spec.topologySpreadConstraints = [{"maxSkew":1,"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule"},
          {"maxSkew":2,"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule"}])",
       "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, DoNotSchedule}\""},
  });
}

TEST_CASE("templates and replication controllers") {
  const char* base = R"({"metadata":{"name":"r","namespace":"default"},"spec":{"selector":{"a":"b"},"template":{
    "metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":" i "}]}}}})";
  const Kind& kind = *find_kind("", "v1", "replicationcontrollers");
  check_creates(
      kind, base,
      {
          {"", ""},
          {R"(spec.selector = {"a":"c"})",
           "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
          {"spec.replicas = -1", "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
          {R"(spec.template.metadata.labels = {"a":"b","c":"d e"})",
           cat("[metadata.labels: Invalid value: \"d e\": ", kValue,
               ", spec.template.labels: Invalid value: \"d e\": ", kValue, "]")},
          {R"(spec.template.spec.restartPolicy = "Never")",
           "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""},
          {"spec.template.spec.activeDeadlineSeconds = 5",
           "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not "
           "Supported"},
          {R"(spec.template.spec.hostNetwork = true
              spec.template.spec.containers[0].ports = [{"containerPort":80}])",
           ""},
          {R"(spec.template.spec.ephemeralContainers = [{"name":"e","image":"i"}])",
           "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"},
      });
}
