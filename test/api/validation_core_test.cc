// validation_core_test.cc: a row for each rule of the core group's other kinds, with upstream's words.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::check_updates;

namespace {

const Kind& core_kind(const char* plural) { return *find_kind("", "v1", plural); }

const std::string kKey =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const std::string kSubdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const std::string kName =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const char* kBadIp = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

// As it is after the server has given it its addresses.
const char* kService = R"({"metadata":{"name":"s","namespace":"default"},"spec":{"type":"ClusterIP",
  "clusterIP":"10.43.0.9","clusterIPs":["10.43.0.9"],"ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack",
  "ports":[{"port":80}]}})";
const char* kBalancer = R"({"metadata":{"name":"s","namespace":"default"},"spec":{"type":"LoadBalancer",
  "clusterIP":"10.43.0.9","clusterIPs":["10.43.0.9"],"ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack",
  "ports":[{"port":80}]}})";

}  // namespace

TEST_CASE("config maps and secrets") {
  const std::string big(1024 * 1024 + 1, 'x');
  const char* map = R"({"metadata":{"name":"a","namespace":"default"},"data":{"k":"v"}})";
  check_creates(
      kinds::config_maps(), map,
      {
          {R"(binaryData = {"b":"AAAA"})", ""},
          {R"(data = {"a/b":""})", cat("data[a/b]: Invalid value: \"a/b\": ", kKey)},
          {R"(data = {"..":""})", "data[..]: Invalid value: \"..\": must not be '..'"},
          {R"(binaryData = {"k":"AAAA"})", "data[k]: Invalid value: \"k\": duplicate of key present in binaryData"},
          {cat("data = {\"k\":\"", big, "\"}"), ": Too long: may not be more than 1048576 bytes"},
      });
  check_updates(
      kinds::config_maps(), "", map,
      {
          {"", R"(data = {"k":"w"})", ""},
          {"immutable = true", R"(metadata.labels = {"a":"b"})", ""},
          {"immutable = true", R"(data = {"k":"w"})", "data: Forbidden: field is immutable when `immutable` is set"},
          {"immutable = true", "immutable = -", "immutable: Forbidden: field is immutable when `immutable` is set"},
      });
  const char* secret = R"({"metadata":{"name":"a","namespace":"default"}})";
  check_creates(
      kinds::secrets(), secret,
      {
          {R"(data = {"k":"AAAA"})", ""},
          {R"(data = {"k k":"AAAA"})", cat("data[k k]: Invalid value: \"k k\": ", kKey)},
          {R"(type = "kubernetes.io/tls")", "[data[tls.crt]: Required value, data[tls.key]: Required value]"},
          {R"(type = "kubernetes.io/basic-auth")", "[data[username]: Required value, data[password]: Required value]"},
          {R"(type = "kubernetes.io/ssh-auth")", "data[ssh-privatekey]: Required value"},
          {R"(type = "kubernetes.io/service-account-token")",
           "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
          {R"(type = "kubernetes.io/dockerconfigjson")", "data[.dockerconfigjson]: Required value"},
          {R"(type = "kubernetes.io/dockerconfigjson"
              data = {".dockerconfigjson":"e30="})",
           ""},
          {R"(type = "kubernetes.io/dockerconfigjson"
              data = {".dockerconfigjson":"MQ=="})",
           "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": json: cannot unmarshal into Go "
           "value "
           "of type map[string]interface {}"},
      });
  check_updates(
      kinds::secrets(), "", secret,
      {
          {"", R"(data = {"k":"AAAA"})", ""},
          {"", R"(type = "a/b")", "type: Invalid value: \"a/b\": field is immutable"},
          {"immutable = true", R"(data = {"k":"AAAA"})", "data: Forbidden: field is immutable when `immutable` is set"},
      });
}

TEST_CASE("services") {
  check_creates(
      kinds::services(), kService,
      {
          {"", ""},
          {R"(metadata.name = "1a")", ""},
          {"spec.ports = -", "spec.ports: Required value"},
          {R"(spec.ports = [{"port":80},{"port":81,"name":"a"}])", "spec.ports[0].name: Required value"},
          {R"(spec.ports = [{"port":80,"name":"a"},{"port":81,"name":"a"}])",
           "spec.ports[1].name: Duplicate value: \"a\""},
          {R"(spec.ports = [{"port":80,"name":"a"},{"port":80,"name":"b"}])",
           "spec.ports[1]: Duplicate value: {\"protocol\":\"TCP\",\"port\":80}"},
          {R"(spec.ports = [{"port":80,"name":"a"},{"port":80,"name":"b","protocol":"UDP"}])", ""},
          {R"(spec.ports = [{"port":0,"targetPort":"-","protocol":"X","appProtocol":"/"}])",
           cat("[spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].protocol: "
               "Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\", spec.ports[0].targetPort: "
               "Invalid "
               "value: \"-\": must contain at least one letter (a-z), spec.ports[0].targetPort: Invalid value: \"-\": "
               "must "
               "not begin or end with a hyphen, spec.ports[0].appProtocol: Invalid value: \"/\": prefix part must be "
               "non-empty, spec.ports[0].appProtocol: Invalid value: \"/\": name part must be non-empty, "
               "spec.ports[0].appProtocol: Invalid value: \"/\": ",
               kName, "]")},
          {R"(spec.ports = [{"port":80,"nodePort":30000}])",
           "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
          {R"(spec.type = "Fast")",
           "spec.type: Unsupported value: \"Fast\": supported values: \"ClusterIP\", \"ExternalName\", "
           "\"LoadBalancer\", "
           "\"NodePort\""},
          {R"(spec.sessionAffinity = "Sticky")",
           "spec.sessionAffinity: Unsupported value: \"Sticky\": supported values: \"ClientIP\", \"None\""},
          {R"(spec.sessionAffinity = "ClientIP"
              spec.sessionAffinityConfig = {"clientIP":{"timeoutSeconds":0}})",
           "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than "
           "86400"},
          {R"(spec.externalIPs = ["127.0.0.1","x"])",
           cat("[spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, "
               "::1/128), spec.externalIPs[1]: Invalid value: \"x\": ",
               kBadIp, "]")},
          {R"(spec.clusterIPs = ["10.43.0.8"])",
           "spec.clusterIPs: Invalid value: [\"10.43.0.8\"]: first value must match `clusterIP`"},
          {R"(spec.clusterIPs = ["10.43.0.9","10.43.0.8"])",
           "spec.clusterIPs: Invalid value: [\"10.43.0.9\",\"10.43.0.8\"]: may specify no more than one IP for each IP "
           "family"},
          {R"(spec.ipFamilies = ["IPv6","IPv5"])",
           "[spec.ipFamilies[1]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\", "
           "spec.clusterIPs[0]: "
           "Invalid value: \"10.43.0.9\": expected an IPv6 value as indicated by `ipFamilies[0]`]"},
          {R"(spec.loadBalancerClass = "a/b")",
           "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"},
          {R"(spec.loadBalancerSourceRanges = ["10.0.0.0/8"])",
           "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"},
          {R"(spec.externalTrafficPolicy = "Local")",
           "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"},
          {R"(spec.healthCheckNodePort = 30000)",
           "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
           "`externalTrafficPolicy` is 'Local'"},
          {R"(spec.internalTrafficPolicy = "Near")",
           "spec.internalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\""},
          {R"(spec.trafficDistribution = "Far")",
           "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", "
           "\"PreferSameZone\", "
           "\"PreferSameNode\""},
          {R"(spec = {"type":"ExternalName","externalName":"a.example.com."})", ""},
          {R"(spec = {"type":"ExternalName"})", "spec.externalName: Required value"},
          {R"(spec.type = "ExternalName"
              spec.externalName = "a_b")",
           cat("[spec.clusterIPs: Forbidden: may not be set for ExternalName services, spec.ipFamilies: Forbidden: may "
               "not "
               "be set for ExternalName services, spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName "
               "services, spec.externalName: Invalid value: \"a_b\": ",
               kSubdomain, "]")},
          {R"(spec.clusterIP = "None"
              spec.clusterIPs = ["None"]
              spec.ports = -)",
           ""},
          {R"(spec.type = "NodePort"
              spec.clusterIP = "None"
              spec.clusterIPs = ["None"])",
           "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"},
      });
  check_creates(kinds::services(), kBalancer,
                {
                    {"", ""},
                    {R"(spec.loadBalancerSourceRanges = ["10.0.0.0"])",
                     "spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. "
                     "10.9.8.0/24 or 2001:db8::/64)"},
                    {R"(spec.externalTrafficPolicy = "Local")", "spec.healthCheckNodePort: Required value"},
                });
}

TEST_CASE("service updates") {
  check_updates(
      kinds::services(), "", kService,
      {
          {"", "spec.ports[0].port = 81", ""},
          {"", R"(spec.clusterIP = "10.43.0.8"
                  spec.clusterIPs = ["10.43.0.8"])",
           "spec.clusterIPs[0]: Invalid value: [\"10.43.0.8\"]: may not change once set"},
          {"", R"(spec.clusterIP = "fd00::1"
                  spec.clusterIPs = ["fd00::1"]
                  spec.ipFamilies = ["IPv6"])",
           "[spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: may not change once set, spec.ipFamilies[0]: Invalid "
           "value: "
           "[\"IPv6\"]: may not change once set]"},
          {"", R"(spec = {"type":"ExternalName","externalName":"a.b"})", ""},
          {R"(spec.clusterIPs = ["10.43.0.9","fd00::1"]
              spec.ipFamilies = ["IPv4","IPv6"]
              spec.ipFamilyPolicy = "PreferDualStack")",
           R"(spec.clusterIPs = ["10.43.0.9"]
              spec.ipFamilies = ["IPv4"])",
           "[spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the "
           "secondary clusterIP, spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' "
           "when releasing the secondary ipFamily]"},
      });
  check_updates(kinds::services(), "", kBalancer,
                {{R"(spec.loadBalancerClass = "a/b")", R"(spec.loadBalancerClass = "a/c")",
                  "spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set"}});
  check_updates(kinds::services(), "status", kService,
                {{"", R"(status.loadBalancer.ingress = [{"ip":"1.2.3.4"}])",
                  "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"}});
  check_updates(kinds::services(), "status", kBalancer,
                {
                    {"", R"(status.loadBalancer.ingress = [{"ip":"1.2.3.4","ipMode":"VIP"},{"hostname":"a.b"}])", ""},
                    {"", R"(status.loadBalancer.ingress = [{"hostname":"1.2.3.4","ipMode":"VIP"}])",
                     "[status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set, "
                     "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an "
                     "IP address]"},
                });
}

TEST_CASE("endpoints") {
  const char* base = R"({"metadata":{"name":"e","namespace":"default"},"subsets":[{"addresses":[{"ip":"10.0.0.1"}],
    "ports":[{"port":80}]}]})";
  check_creates(
      kinds::endpoints(), base,
      {
          {"", ""},
          {R"(subsets[0] = {})", "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"},
          {R"(subsets[0].addresses[0].ip = "169.254.1.1")",
           "subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range "
           "(169.254.0.0/16, fe80::/10)"},
          {R"(subsets[0].ports = [{"port":80},{"port":81,"name":"b"}])", "subsets[0].ports[0].name: Required value"},
      });
  check_updates(kinds::endpoints(), "", base,
                {{R"(subsets[0].addresses[0].ip = "0.0.0.0")", R"(metadata.labels = {"a":"b"})", ""}});
}

TEST_CASE("namespaces and nodes") {
  check_creates(core_kind("namespaces"), R"({"metadata":{"name":"n"}})",
                {{R"(spec.finalizers = ["mine"])",
                  "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully "
                  "qualified"}});
  check_updates(
      core_kind("namespaces"), "status", R"({"metadata":{"name":"n"},"status":{"phase":"Active"}})",
      {{"", R"(status.phase = "Terminating")",
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"}});
  check_updates(
      core_kind("namespaces"), "finalize", R"({"metadata":{"name":"n"}})",
      {{"", R"(spec.finalizers = ["a.b/c"])", ""},
       {"", R"(spec.finalizers = ["mine"])",
        "spec.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully "
        "qualified"}});
  const char* node = R"({"metadata":{"name":"n"},"spec":{"podCIDR":"10.42.0.0/24","podCIDRs":["10.42.0.0/24"],
    "providerID":"a://b"},"status":{"capacity":{"cpu":"4","a.b/gpu":"1"}}})";
  check_creates(
      kinds::nodes(), node,
      {
          {"", ""},
          {R"(spec.taints = [{"key":"k","effect":"NoSchedule"},{"key":"k","effect":"NoSchedule","value":"v"}])",
           "metadata.taints[1]: Duplicate value: {\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}: taints "
           "must be "
           "unique by key and effect pair"},
          {R"(spec.taints = [{"key":"k"}])", "metadata.taints[0].effect: Required value"},
          {R"(status.capacity = {"pods":"1500m"})",
           "[status.capacity.pods: Invalid value: \"1500m\": must be an integer, status.allocatable.pods: Invalid "
           "value: "
           "\"1500m\": must be an integer]"},
          {R"(status.declaredFeatures = ["Alpha","Beta/sub"])", ""},
          {R"(status.declaredFeatures = ["Beta","Alpha","Alpha"])",
           "[status.declaredFeatures[1]: Invalid value: \"Alpha\": list must be sorted alphabetically, "
           "status.declaredFeatures[2]: Duplicate value: \"Alpha\"]"},
          {R"(spec.podCIDRs = ["10.42.0.0/24","10.43.0.0/24"])",
           "spec.podCIDRs: Invalid value: [\"10.42.0.0/24\",\"10.43.0.0/24\"]: may specify no more than one CIDR for "
           "each "
           "IP family"},
      });
  check_updates(kinds::nodes(), "", node,
                {
                    {"", "spec.unschedulable = true", ""},
                    {"", R"(spec.podCIDR = "10.44.0.0/24"
                            spec.podCIDRs = ["10.44.0.0/24"])",
                     "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"},
                    {"", R"(spec.providerID = "a://c")",
                     "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"},
                });
}

TEST_CASE("persistent volumes") {
  const char* base = R"({"metadata":{"name":"v"},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],
    "hostPath":{"path":"/v"}}})";
  const Kind& kind = kinds::persistent_volumes();
  check_creates(
      kind, base,
      {
          {"", ""},
          {"spec.accessModes = -", "spec.accessModes: Required value"},
          {R"(spec.accessModes = ["ReadWriteOncePod","ReadWriteOnce"])",
           "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"},
          {"spec.capacity = -",
           "[spec.capacity: Required value, spec.capacity: Unsupported value: null: supported values: \"storage\"]"},
          {R"(spec.capacity = {"storage":"0"})",
           "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"},
          {"spec.hostPath = -", "spec: Required value: must specify a volume type"},
          {R"(spec.nfs = {"server":"s","path":"/p"})", "spec.nfs: Forbidden: may not specify more than 1 volume type"},
          {R"(spec.persistentVolumeReclaimPolicy = "Burn")",
           "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", "
           "\"Recycle\", "
           "\"Retain\""},
          {R"(spec.persistentVolumeReclaimPolicy = "Recycle"
              spec.hostPath.path = "/")",
           "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"},
          {R"(spec.hostPath = -
              spec.local = {"path":"/l"})",
           "spec.nodeAffinity: Required value: Local volume requires node affinity"},
          {R"(spec.volumeAttributesClassName = "")",
           "[spec.volumeAttributesClassName: Required value: an empty string is disallowed, spec.csi: Required value: "
           "has "
           "to be specified when using volumeAttributesClassName]"},
      });
  check_updates(
      kind, "", base,
      {
          {"", R"(spec.capacity = {"storage":"2Gi"})", ""},
          {"", R"(spec.hostPath.path = "/w")",
           "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n- "
           "hostPath.path: \"/v\"\n+ hostPath.path: \"/w\"\n"},
          {R"(spec.nodeAffinity = {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"beta.kubernetes.io/os","operator":"Exists"}]}]}})",
           R"(spec.nodeAffinity = {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/os","operator":"Exists"}]}]}})",
           ""},
          {R"(spec.nodeAffinity = {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}})",
           "spec.nodeAffinity = -",
           "nodeAffinity: Invalid value: null: field is immutable, except for updating from beta label to GA"},
      });
}

TEST_CASE("persistent volume claims") {
  const char* base = R"({"metadata":{"name":"c","namespace":"default"},"spec":{"accessModes":["ReadWriteOnce"],
    "resources":{"requests":{"storage":"1Gi"}}}})";
  const Kind& kind = kinds::persistent_volume_claims();
  check_creates(
      kind, base,
      {
          {"", ""},
          {"spec.resources = -", "spec.resources[storage]: Required value"},
          {R"(spec.resources.requests = {"storage":"-1"})",
           "spec.resources[storage]: Invalid value: \"-1\": must be greater than zero"},
          {R"(spec.storageClassName = "A")", cat("spec.storageClassName: Invalid value: \"A\": ", kSubdomain)},
          {R"(spec.volumeMode = "Tape")",
           "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\""},
          {R"(spec.dataSource = {"kind":"Pod","name":"p"})",
           "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default "
           "apiGroup"},
          {R"(spec.dataSource = {"kind":"PersistentVolumeClaim","name":"p"}
              spec.dataSourceRef = {"kind":"PersistentVolumeClaim","name":"q"})",
           "spec: Invalid value: \"spec.dataSource\": must match dataSourceRef"},
      });
  const std::string immutable =
      "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
      "bound claims\n";
  const std::string bound = "status.phase = \"Bound\"\nspec.volumeName = \"v\"";
  check_updates(
      kind, "", base,
      {
          {"", R"(spec.volumeName = "v")", ""},
          {"", R"(spec.storageClassName = "fast")", ""},
          {R"(spec.storageClassName = "slow")", R"(spec.storageClassName = "fast")",
           cat(immutable, "- storageClassName: \"slow\"\n+ storageClassName: \"fast\"\n")},
          {"", R"(spec.resources.requests.storage = "2Gi")",
           cat(immutable, "- resources.requests.storage: \"1Gi\"\n+ resources.requests.storage: \"2Gi\"\n")},
          {bound, R"(spec.resources.requests.storage = "2Gi")", ""},
          {cat(bound, "\nstatus.capacity = {\"storage\":\"1Gi\"}"), R"(spec.resources.requests.storage = "512Mi")",
           "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"},
          {bound, R"(spec.volumeName = "w")", cat(immutable, "- volumeName: \"v\"\n+ volumeName: \"w\"\n")},
      });
}

TEST_CASE("quotas and limit ranges") {
  const Kind& quotas = core_kind("resourcequotas");
  const char* quota = R"({"metadata":{"name":"q","namespace":"default"},"spec":{"hard":{"pods":"5"}}})";
  check_creates(
      quotas, quota,
      {
          {R"(spec.hard = {"cpu":"1","requests.storage":"1Gi","count/deployments.apps":"3","requests.hugepages-2Mi":"2Mi"})",
           ""},
          {R"(spec.hard = {"storage":"1"})",
           "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota"},
          {R"(spec.hard = {"pods":"1500m"})", "spec.hard[pods]: Invalid value: \"1500m\": must be an integer"},
          {R"(spec.scopes = ["Nice"])", "spec.scopes: Invalid value: [\"Nice\"]: unsupported scope"},
          {R"(spec.scopes = ["BestEffort","NotBestEffort"])",
           "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"},
          {R"(spec.scopes = ["BestEffort"]
              spec.hard = {"cpu":"1"})",
           "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"},
          {R"(spec.scopeSelector = {"matchExpressions":[{"scopeName":"PriorityClass","operator":"In"}]})",
           "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is "
           "'In' "
           "or 'NotIn' for scope selector"},
      });
  check_updates(
      quotas, "", quota,
      {
          {"", R"(spec.hard = {"pods":"6"})", ""},
          {"", R"(spec.scopes = ["Terminating"])", "spec.scopes: Invalid value: [\"Terminating\"]: field is immutable"},
      });
  check_creates(
      core_kind("limitranges"),
      R"({"metadata":{"name":"l","namespace":"default"},"spec":{"limits":[{"type":"Container","max":{"cpu":"2"}}]}})",
      {
          {"", ""},
          {R"(spec.limits[0].type = "Nice")",
           "spec.limits[0].type: Invalid value: \"Nice\": must be a standard limit type or fully qualified"},
          {R"(spec.limits[1] = {"type":"Container"})", "spec.limits[1].type: Duplicate value: \"Container\""},
          {R"(spec.limits[0].min = {"cpu":"3"})",
           "[spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2, "
           "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": min value 3 is greater than default request "
           "value 2, "
           "spec.limits[0].default[cpu]: Invalid value: \"3\": min value 3 is greater than default value 2]"},
          {R"(spec.limits[0] = {"type":"Pod","default":{"cpu":"1"}})",
           "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"},
          {R"(spec.limits[0] = {"type":"PersistentVolumeClaim"})",
           "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither "
           "was "
           "provided"},
          {R"(spec.limits[0] = {"type":"Pod","min":{"cpu":"1"},"max":{"cpu":"2"},"maxLimitRequestRatio":{"cpu":"3"}})",
           "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = "
           "2.000000"},
      });
}

TEST_CASE("events of both groups") {
  const char* old_event =
      R"({"metadata":{"name":"Any_Name","namespace":"default"},"involvedObject":{"namespace":"default"}})";
  check_creates(
      kinds::events(), old_event,
      {
          {"", ""},
          {R"(involvedObject.namespace = "other")",
           "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"},
          {"involvedObject.namespace = -", ""},
          {R"(eventTime = "2024-01-01T00:00:00.000000Z")",
           cat("[reportingController: Required value, reportingController: Invalid value: \"\": name part must be "
               "non-empty, reportingController: Invalid value: \"\": ",
               kName, ", reportingInstance: Required value, action: Required value, reason: Required value]")},
      });
  const char* event = R"({"metadata":{"name":"e","namespace":"default"},"regarding":{"namespace":"default"},
    "eventTime":"2024-01-01T00:00:00.000000Z","reportingController":"a.b/c","reportingInstance":"i","action":"A",
    "reason":"R","type":"Normal"})";
  const Kind& strict = *find_kind("events.k8s.io", "v1", "events");
  check_creates(strict, event,
                {
                    {"", ""},
                    {R"(metadata.name = "Any_Name")", cat("metadata.name: Invalid value: \"Any_Name\": ", kSubdomain)},
                    {"eventTime = null", "eventTime: Required value"},
                    {R"(type = "Odd")", "type: Invalid value: \"\": has invalid value: Odd"},
                    {"deprecatedCount = 2", "count: Invalid value: \"\": needs to be unset"},
                    {R"(series = {"count":1,"lastObservedTime":"2024-01-01T00:00:00.000000Z"})",
                     "series.count: Invalid value: \"\": should be at least 2"},
                });
  check_updates(
      strict, "", event,
      {
          {"", R"(series = {"count":2,"lastObservedTime":"2024-01-01T00:00:00.000000Z"})", ""},
          {"", R"(reason = "S")", "reason: Invalid value: \"S\": field is immutable"},
          {"", R"(reportingController = "a.b/d")", "reportingController: Invalid value: \"a.b/d\": field is immutable"},
      });
}
