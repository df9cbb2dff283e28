// validation_cluster_test.cc: the rules of networking, discovery, storage, scheduling, coordination and node, a row
// each.
#include <catch2/catch.hpp>

#include "api/kind.h"
#include "api/support_validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::check_updates;
using kayak::test::kLabel;
using kayak::test::kSubdomain;

namespace {

const Kind& kind_of(const char* group, const char* plural) {
  const Kind* kind = find_kind(group, "v1", plural);
  REQUIRE(kind != nullptr);
  return *kind;
}
const Kind& networking(const char* plural) { return kind_of("networking.k8s.io", plural); }
const Kind& storage(const char* plural) { return kind_of("storage.k8s.io", plural); }

const std::string kPort = "must be between 1 and 65535, inclusive";
const std::string kImmutable = ": field is immutable";

}  // namespace

TEST_CASE("network policies") {
  const char* policy =
      R"({"metadata":{"name":"a","namespace":"d"},"spec":{"podSelector":{},)"
      R"("ingress":[{"ports":[{"port":80}],"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}]}]}})";
  const std::string from = "spec.ingress[0].from[0]";
  const std::string port = "spec.ingress[0].ports[0]";
  check_creates(
      networking("networkpolicies"), policy,
      {
          {"", ""},
          {R"(spec.ingress[0].from[0] = {"podSelector":{},"namespaceSelector":{}})", ""},
          {R"(spec.ingress[0].ports[0] = {"port":"http","protocol":"SCTP"})", ""},
          {R"(spec.policyTypes = ["Ingress","Other"])",
           "spec.policyTypes[1]: Unsupported value: \"Other\": supported values: \"Ingress\", \"Egress\""},
          {R"(spec.policyTypes = ["Ingress","Egress","Ingress"])",
           "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more than two "
           "policyTypes"},
          {"spec.ingress[0].from[0] = {}", from + ": Required value: must specify a peer"},
          {R"(spec.ingress[0].from[0].podSelector = {})",
           from + ": Forbidden: may not specify both ipBlock and another peer"},
          {R"(spec.ingress[0].from[0].ipBlock = {"cidr":""})", from + ".ipBlock.cidr: Required value"},
          {R"(spec.ingress[0].from[0].ipBlock = {"cidr":"10.0.0.0/8","except":["11.0.0.0/16"]})",
           from + ".ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"},
          {R"(spec.ingress[0].from[0].ipBlock = {"cidr":"10.0.0.0/8","except":["10.0.0.0/8"]})",
           from + ".ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"},
          {R"(spec.ingress[0].ports[0] = {"port":0,"protocol":"X"})",
           "[" + port + ".protocol: Unsupported value: \"X\": supported values: \"TCP\", \"UDP\", \"SCTP\", " + port +
               ".port: Invalid value: 0: " + kPort + "]"},
          {R"(spec.ingress[0].ports[0] = {"port":80,"endPort":79})",
           port + ".endPort: Invalid value: 80: must be greater than or equal to `port`"},
          {R"(spec.ingress[0].ports[0] = {"endPort":79})",
           port + ".endPort: Invalid value: 79: may not be specified when `port` is not specified"},
          {R"(spec.ingress[0].ports[0] = {"port":"http","endPort":79})",
           port + ".endPort: Invalid value: 79: may not be specified when `port` is non-numeric"},
      });
  check_updates(
      networking("networkpolicies"), "", policy,
      {
          {"", R"(spec.podSelector = {"matchLabels":{"a":"b"}})", ""},
          // A range that was accepted once stays.
          {R"(spec.ingress[0].from[0].ipBlock = {"cidr":"010.0.0.0/8"})", R"(spec.ingress[0].ports = [])", ""},
      });
}

TEST_CASE("ingresses") {
  const char* ingress =
      R"({"metadata":{"name":"a","namespace":"d"},"spec":{"rules":[{"host":"a.example.com","http":)"
      R"({"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]}})";
  const std::string rule = "spec.rules[0]";
  const std::string path = rule + ".http.paths[0]";
  const Kind& kind = networking("ingresses");
  check_creates(
      kind, ingress,
      {
          {"", ""},
          {R"(spec.rules[0].host = "*.example.com")", ""},
          {R"(spec = {"defaultBackend":{"resource":{"apiGroup":"x.io","kind":"K","name":"n"}}})", ""},
          {R"(spec.tls = [{"hosts":["a.example.com"],"secretName":"s"}])", ""},
          {"spec = {}", "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
          {R"(spec.rules[0].host = "1.2.3.4")",
           rule + ".host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"},
          {R"(spec.rules[0].host = "A")", rule + ".host: Invalid value: \"A\": " + kSubdomain},
          {"spec.rules[0].http.paths = []", rule + ".http.paths: Required value"},
          {"spec.rules[0].http.paths[0].pathType = -", path + ".pathType: Required value: pathType must be specified"},
          {R"(spec.rules[0].http.paths[0].pathType = "Other")",
           path + ".pathType: Unsupported value: \"Other\": supported values: \"Exact\", \"ImplementationSpecific\", "
                  "\"Prefix\""},
          {R"(spec.rules[0].http.paths[0].path = "a//b/..")",
           "[" + path + ".path: Invalid value: \"a//b/..\": must be an absolute path, " + path +
               ".path: Invalid value: \"a//b/..\": must not contain '//', " + path +
               ".path: Invalid value: \"a//b/..\": cannot end with '/..']"},
          {"spec.rules[0].http.paths[0].backend = {}",
           path + ".backend: Invalid value: \"\": resource or service backend is required"},
          {R"(spec.rules[0].http.paths[0].backend.resource = {"kind":"K","name":"n"})",
           path + ".backend: Invalid value: \"\": cannot set both resource and service backends"},
          {R"(spec.rules[0].http.paths[0].backend.service = {"name":"S","port":{"number":80,"name":"x"}})",
           "[" + path + ".backend.service.name: Invalid value: \"S\": " + kLabel + ", " + path +
               ".backend: Invalid value: \"\": cannot set both port name & port number]"},
          {R"(spec.rules[0].http.paths[0].backend.service = {"name":"s","port":{}})",
           path + ".backend: Required value: port name or number is required"},
          {R"(spec.tls = [{"hosts":["A"],"secretName":"S"}])",
           "[spec.tls[0].hosts[0]: Invalid value: \"A\": " + kSubdomain +
               ", spec.tls[0].secretName: Invalid value: \"S\": " + kSubdomain + "]"},
          {R"(metadata.annotations = {"kubernetes.io/ingress.class":"x"}
              spec.ingressClassName = "y")",
           "annotations.kubernetes.io/ingress.class: Invalid value: \"x\": must match `ingressClassName` when both are "
           "specified"},
      });
  check_updates(
      kind, "", ingress,
      {
          {"", R"(spec.ingressClassName = "x")", ""},
          {R"(spec.tls = [{"secretName":"S"}])", R"(spec.ingressClassName = "x")", ""},
          {"spec.rules[0].host = \"*.a.b\"\nspec.rules[0].http.paths = []", R"(spec.ingressClassName = "x")", ""},
      });
  check_updates(
      kind, "status", ingress,
      {
          {"", R"(status.loadBalancer.ingress = [{"ip":"1.2.3.4"},{"hostname":"a.b"}])", ""},
          {"", R"(status.loadBalancer.ingress = [{"hostname":"1.2.3.4"}])",
           "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP "
           "address"},
      });
}

TEST_CASE("ingress classes") {
  const char* ingress_class = R"({"metadata":{"name":"a"},"spec":{"controller":"example.com/c",)"
                              R"("parameters":{"kind":"K","name":"n","scope":"Namespace","namespace":"d"}}})";
  const Kind& kind = networking("ingressclasses");
  check_creates(
      kind, ingress_class,
      {
          {"", ""},
          {"spec.parameters = -", ""},
          {"spec.controller = -", "spec.controller: Required value"},
          {R"(spec.controller = "x")",
           "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"},
          {R"(spec.controller = "a.b/c d")",
           "spec.controller: Invalid value: \"c d\": Invalid path (regex used for validation is "
           "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"},
          {"spec.parameters.namespace = -",
           "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"},
          {R"(spec.parameters.scope = "Cluster")",
           "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"},
          {R"(spec.parameters.scope = "Other")",
           "spec.parameters.scope: Unsupported value: \"Other\": supported values: \"Cluster\", \"Namespace\""},
          {R"(spec.parameters.kind = "a/b")", "spec.parameters.kind: Invalid value: \"a/b\": may not contain '/'"},
      });
  check_updates(kind, "", ingress_class,
                {
                    {"", "spec.parameters = -", ""},
                    {"", R"(spec.controller = "example.com/d")",
                     "spec.controller: Invalid value: \"example.com/d\"" + kImmutable},
                });
}

TEST_CASE("addresses and ranges of services") {
  const char* address = R"({"metadata":{"name":"10.0.0.1"},"spec":{"parentRef":{"resource":"services","name":"a"}}})";
  const Kind& addresses = networking("ipaddresses");
  check_creates(
      addresses, address,
      {
          {"", ""},
          {R"(metadata.name = "fd00::1")", ""},
          {R"(metadata.name = "fd00::0001")",
           "metadata.name: Invalid value: \"fd00::0001\": must be in canonical form (\"fd00::1\")"},
          {"spec.parentRef = -", "spec.parentRef: Required value"},
          {R"(spec.parentRef = {})", "[spec.parentRef.resource: Required value, spec.parentRef.name: Required value]"},
          {R"(spec.parentRef.group = "A")", "spec.parentRef.group: Invalid value: \"A\": " + kSubdomain},
      });
  check_updates(addresses, "", address,
                {{"", R"(metadata.labels = {"a":"b"})", ""},
                 {"", R"(spec.parentRef.name = "b")",
                  "spec.parentRef: Invalid value: {\"resource\":\"services\",\"name\":\"b\"}" + kImmutable}});

  const char* range = R"({"metadata":{"name":"a"},"spec":{"cidrs":["10.0.0.0/16"]}})";
  check_creates(
      kinds::service_cidrs(), range,
      {
          {"", ""},
          {R"(spec.cidrs = ["10.0.0.0/16","fd00::/112"])", ""},
          {"spec.cidrs = []", "spec.cidrs: Required value: at least one CIDR required"},
          {R"(spec.cidrs = ["10.0.0.0/16","10.1.0.0/16"])",
           "spec.cidrs: Invalid value: [\"10.0.0.0/16\",\"10.1.0.0/16\"]: may specify no more than one IP for "
           "each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"},
          {R"(spec.cidrs = ["a","b","c"])",
           "spec.cidrs: Invalid value: {\"cidrs\":[\"a\",\"b\",\"c\"]}: may only hold up to 2 values"},
      });
  check_updates(
      kinds::service_cidrs(), "", range,
      {
          {"", R"(spec.cidrs = ["10.0.0.0/16","fd00::/112"])", ""},
          {"", R"(spec.cidrs = ["10.1.0.0/16"])", "spec.cidrs[0]: Invalid value: \"10.1.0.0/16\"" + kImmutable},
          {"", "spec.cidrs = []", "spec.cidrs: Invalid value: null" + kImmutable},
      });
}

TEST_CASE("endpoint slices") {
  const char* slice = R"({"metadata":{"name":"a","namespace":"d"},"addressType":"IPv4",)"
                      R"("endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"name":"a","port":80,"protocol":"TCP"}]})";
  const std::string first = "endpoints[0].addresses[0]: Invalid value: ";
  check_creates(
      kinds::endpoint_slices(), slice,
      {
          {"", ""},
          {"addressType = \"IPv6\"\nendpoints[0].addresses = [\"fd00::1\"]", ""},
          {"addressType = \"FQDN\"\nendpoints[0].addresses = [\"a.b\"]", ""},
          {"addressType = -", "addressType: Required value"},
          {R"(addressType = "X")",
           "addressType: Unsupported value: \"X\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""},
          {"endpoints[0].addresses = []", "endpoints[0].addresses: Required value: must contain at least 1 address"},
          {R"(endpoints[0].addresses = ["fd00::1"])",
           "endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address"},
          {R"(endpoints[0].addresses = ["127.0.0.1"])",
           first + "\"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"},
          {R"(endpoints[0].addresses = ["169.254.0.1"])",
           first + "\"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
          {R"(endpoints[0].addresses = ["0.0.0.0"])", first + "\"0.0.0.0\": may not be unspecified (0.0.0.0)"},
          {"addressType = \"FQDN\"\nendpoints[0].addresses = [\"a\"]",
           first + "\"a\": should be a domain with at least two segments separated by dots"},
          {R"(endpoints[0].hostname = "A")", "endpoints[0].hostname: Invalid value: \"A\": " + kLabel},
          {R"(endpoints[0].nodeName = "A")", "endpoints[0].nodeName: Invalid value: \"A\": " + kSubdomain},
          {R"(endpoints[0].hints.forZones = [{"name":"a"},{"name":"a"}])",
           "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\""},
          {R"(ports = [{"name":"a","protocol":"TCP"},{"name":"a","protocol":"X"}])",
           "[ports[1].name: Duplicate value: \"a\", ports[1].protocol: Unsupported value: \"X\": supported values: "
           "\"SCTP\", \"TCP\", \"UDP\"]"},
      });
  check_updates(kinds::endpoint_slices(), "", slice,
                {
                    {"", R"(endpoints[0].addresses = ["10.0.0.2"])", ""},
                    {"", "addressType = \"IPv6\"\nendpoints = []", "addressType: Invalid value: \"IPv6\"" + kImmutable},
                    // What was accepted once stays.
                    {R"(endpoints[0].addresses = ["127.0.0.1"])", R"(metadata.labels = {"a":"b"})", ""},
                });
}

TEST_CASE("priority classes, leases and runtime classes") {
  const char* priority = R"({"metadata":{"name":"a"},"value":5})";
  check_creates(
      kinds::priority_classes(), priority,
      {
          {"", ""},
          {"metadata.name = \"system-node-critical\"\nvalue = 2000001000", ""},
          {"value = 1000000001", "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
          {R"(metadata.name = "system-x")",
           "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
           "error: system-x is not a known system priority class"},
          {R"(metadata.name = "system-node-critical")",
           "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
           "error: value of system-node-critical PriorityClass must be 2000001000"},
          {R"(preemptionPolicy = "Other")",
           "preemptionPolicy: Unsupported value: \"Other\": supported values: \"PreemptLowerPriority\", \"Never\""},
      });
  check_updates(kinds::priority_classes(), "", priority,
                {
                    {"", "globalDefault = true", ""},
                    {"", "value = 6", "value: Forbidden: may not be changed in an update."},
                    {"", R"(preemptionPolicy = "Never")", "preemptionPolicy: Invalid value: \"Never\"" + kImmutable},
                });

  const char* lease = R"({"metadata":{"name":"a","namespace":"d"},"spec":{"leaseDurationSeconds":15}})";
  check_creates(
      kinds::leases(), lease,
      {
          {"", ""},
          {"spec.leaseDurationSeconds = 0", "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"},
          {"spec.leaseTransitions = -1",
           "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"},
          {R"(spec.strategy = "Other")",
           "spec.strategy.strategy: Unsupported value: \"Other\": supported values: \"OldestEmulationVersion\""},
          {R"(spec.preferredHolder = "x")",
           "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"},
      });
  check_updates(
      kinds::leases(), "", lease,
      {{"", R"(spec.holderIdentity = "x")", ""},
       {"", "spec.leaseDurationSeconds = -1", "spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0"}});

  const Kind& runtimes = kind_of("node.k8s.io", "runtimeclasses");
  const char* runtime = R"({"metadata":{"name":"a"},"handler":"runc","scheduling":{"nodeSelector":{"a":"b"},)"
                        R"("tolerations":[{"key":"a","operator":"Exists"}]}})";
  check_creates(runtimes, runtime,
                {
                    {"", ""},
                    {"handler = -", "handler: Required value"},
                    {R"(handler = "A")", "handler: Invalid value: \"A\": " + kLabel},
                    {R"(scheduling.tolerations = [{"key":"a","operator":"Exists"},{"key":"a","operator":"Exists"}])",
                     "scheduling.tolerations[1]: Duplicate value: {\"key\":\"a\",\"operator\":\"Exists\"}"},
                });
  check_updates(
      runtimes, "", runtime,
      {{"", "scheduling = -", ""}, {"", R"(handler = "crun")", "handler: Invalid value: \"crun\"" + kImmutable}});
}

TEST_CASE("storage classes") {
  const char* storage_class = R"({"metadata":{"name":"a"},"provisioner":"example.com/p"})";
  const std::string key =
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
      "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
      "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  check_creates(
      storage("storageclasses"), storage_class,
      {
          {"", ""},
          {R"(allowedTopologies = [{"matchLabelExpressions":[{"key":"zone","values":["a","b"]}]}])", ""},
          {"provisioner = -", "provisioner: Required value"},
          {R"(provisioner = "A/-b")", "provisioner: Invalid value: \"a/-b\": " + key},
          {R"(parameters = {"":"x"})", "parameters: Invalid value: \"\": field can not be empty."},
          {R"(reclaimPolicy = "Other")",
           "reclaimPolicy: Unsupported value: \"Other\": supported values: \"Delete\", \"Retain\""},
          {R"(volumeBindingMode = "Other")",
           "volumeBindingMode: Unsupported value: \"Other\": supported values: \"Immediate\", "
           "\"WaitForFirstConsumer\""},
          {R"(allowedTopologies = [{"matchLabelExpressions":[{"key":"zone"},{"key":"zone","values":["a","a"]}]}])",
           "[allowedTopologies[0].matchLabelExpressions[0].values: Required value, "
           "allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: \"a\", "
           "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"zone\"]"},
          {R"(allowedTopologies = [{"matchLabelExpressions":[{"key":"z","values":["a","b"]}]},)"
           R"({"matchLabelExpressions":[{"key":"z","values":["b","a"]}]}])",
           "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""},
      });
  check_updates(storage("storageclasses"), "", storage_class,
                {
                    {"", "allowVolumeExpansion = true", ""},
                    {"", R"(provisioner = "other")", "provisioner: Invalid value: \"other\"" + kImmutable},
                    {"", R"(reclaimPolicy = "Retain")", "reclaimPolicy: Invalid value: \"Retain\"" + kImmutable},
                    {"", R"(parameters = {"a":"b"})", "parameters: Invalid value: {\"a\":\"b\"}" + kImmutable},
                });

  const char* attributes = R"({"metadata":{"name":"a"},"driverName":"example.com","parameters":{"a":"b"}})";
  check_creates(storage("volumeattributesclasses"), attributes,
                {
                    {"", ""},
                    {"driverName = -", "driverName: Required value"},
                    {"parameters = -", "parameters: Required value: must contain at least one key/value pair"},
                });
  check_updates(storage("volumeattributesclasses"), "", attributes,
                {
                    {"", R"(metadata.labels = {"a":"b"})", ""},
                    {"", R"(driverName = "other")", "driverName: Forbidden: updates to driverName are forbidden."},
                    {"", R"(parameters = {"a":"c"})", "parameters: Forbidden: updates to parameters are forbidden."},
                });
}

TEST_CASE("CSI drivers, nodes, attachments and capacities") {
  const char* driver = R"({"metadata":{"name":"a.example.com"},"spec":{}})";
  check_creates(
      storage("csidrivers"), driver,
      {
          {"", ""},
          {R"(spec.tokenRequests = [{"audience":"a","expirationSeconds":600}])", ""},
          {R"(spec.fsGroupPolicy = "Other")",
           "spec.fsGroupPolicy: Unsupported value: \"Other\": supported values: \"File\", \"None\", "
           "\"ReadWriteOnceWithFSType\""},
          {R"(spec.volumeLifecycleModes = ["Other"])",
           "spec.volumeLifecycleModes: Unsupported value: \"Other\": supported values: \"Persistent\", \"Ephemeral\""},
          {R"(spec.tokenRequests = [{"audience":"a","expirationSeconds":599},{"audience":"a"}])",
           "[spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 "
           "minutes, spec.tokenRequests[1].audience: Duplicate value: \"a\"]"},
          {"spec.nodeAllocatableUpdatePeriodSeconds = 9",
           "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"},
          {"spec.serviceAccountTokenInSecrets = true",
           "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no "
           "tokenRequests are specified"},
      });
  check_updates(storage("csidrivers"), "", driver,
                {
                    {"", "spec.podInfoOnMount = true", ""},
                    {"", "spec.attachRequired = false", "spec.attachedRequired: Invalid value: false" + kImmutable},
                    {"", R"(spec.volumeLifecycleModes = ["Ephemeral"])",
                     "spec.volumeLifecycleModes: Invalid value: [\"Ephemeral\"]" + kImmutable},
                });

  const char* node =
      R"({"metadata":{"name":"a"},"spec":{"drivers":[{"name":"d.io","nodeID":"n","topologyKeys":["k"]}]}})";
  check_creates(
      storage("csinodes"), node,
      {
          {"", ""},
          {R"(spec.drivers[0].nodeID = "")", "spec.drivers[0].nodeID: Required value"},
          {R"(spec.drivers[0].topologyKeys = ["k","k"])", "spec.drivers[0]: Duplicate value: \"k\""},
          {"spec.drivers[0].allocatable.count = -1",
           "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"},
          {R"(spec.drivers[1] = {"name":"d.io","nodeID":"n"})", "spec.drivers[1].name: Duplicate value: \"d.io\""},
      });
  check_updates(
      storage("csinodes"), "", node,
      {
          {"", "spec.drivers[0].allocatable.count = 5", ""},
          {"", "spec.drivers = []", ""},
          {"", R"(spec.drivers[0].nodeID = "m")",
           "spec.drivers: Invalid value: {\"name\":\"d.io\",\"nodeID\":\"m\",\"topologyKeys\":[\"k\"]}" + kImmutable},
      });

  const char* attachment = R"({"metadata":{"name":"a"},"spec":{"attacher":"d.io","nodeName":"n",)"
                           R"("source":{"persistentVolumeName":"pv"}}})";
  check_creates(
      storage("volumeattachments"), attachment,
      {
          {"", ""},
          {"spec.attacher = -", "spec.attacher: Required value"},
          {"spec.source = {}",
           "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"},
          {R"(spec.nodeName = "A")", "spec.nodeName: Invalid value: \"A\": " + kSubdomain},
      });
  check_updates(storage("volumeattachments"), "status", attachment,
                {
                    {"", "status.attached = true", ""},
                    {"", "status = {\"attached\":true,\"attachError\":{\"errorCode\":-1}}",
                     "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"},
                });
  check_updates(storage("volumeattachments"), "", attachment,
                {{"", R"(spec.nodeName = "m")",
                  "spec: Invalid value: {\"attacher\":\"d.io\",\"source\":{\"persistentVolumeName\":\"pv\"},"
                  "\"nodeName\":\"m\"}" +
                      kImmutable}});

  const char* capacity = R"({"metadata":{"name":"a","namespace":"d"},"storageClassName":"s","capacity":"1Gi"})";
  check_creates(storage("csistoragecapacities"), capacity,
                {
                    {"", ""},
                    {R"(storageClassName = "S")", "storageClassName: Invalid value: \"S\": " + kSubdomain},
                    {R"(capacity = "-1")", "capacity: Invalid value: \"-1\": must be greater than or equal to 0"},
                });
  check_updates(storage("csistoragecapacities"), "", capacity,
                {{"", R"(capacity = "2Gi")", ""},
                 {"", R"(storageClassName = "t")", "storageClassName: Invalid value: \"t\"" + kImmutable},
                 {"", "nodeTopology = {}", "nodeTopology: Invalid value: {}" + kImmutable}});
}
