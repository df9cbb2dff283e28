// validation_kind_warnings_test.cc: what the kinds outside the core group accept with a warning.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "api/validation/validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;

namespace {

struct Row {
  const char *group, *resource, *object;
  std::vector<std::string> on_create, on_update;  // of an update that changes nothing
};

#define POD \
  R"({"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Always","containers":[{"name":"c","image":"i"}]}})"

}  // namespace

TEST_CASE("warnings of kinds outside the core group") {
  const std::string reserved =
      "metadata.name: names ending with \".static.k8s.io\" are reserved for static manifest-based configurations and "
      "cannot be managed via the API";
  const std::string tokens =
      "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
      "logging of tokens in volume attributes";
  const std::string arch = "deprecated since v1.14; use \"kubernetes.io/arch\" instead";
  const std::string ambiguous =
      "spec.ingress[0].from[0].ipBlock.cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be "
      "\"10.0.0.0/8\" or \"10.0.0.1/32\"?)";
  const std::string address =
      "endpoints[0].addresses[0]: IPv6 address \"fd00::0001\" should be in RFC 5952 canonical format (\"fd00::1\")";
  const std::string limit =
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
  const std::string driver = "spec.driver: driver names should be lowercase; \"D.io\" contains uppercase characters";
  const std::string ingress =
      "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
  const Row rows[] = {
      {"admissionregistration.k8s.io",
       "validatingwebhookconfigurations",
       R"({"metadata":{"name":"a.static.k8s.io"}})",
       {reserved},
       {reserved}},
      {"storage.k8s.io",
       "csidrivers",
       R"({"metadata":{"name":"a"},"spec":{"tokenRequests":[{"audience":"x"}]}})",
       {tokens},
       {}},
      {"storage.k8s.io", "csidrivers", R"({"metadata":{"name":"a"},"spec":{}})", {}, {}},
      {"storage.k8s.io",
       "storageclasses",
       R"({"metadata":{"name":"a"},"provisioner":"p","allowedTopologies":[{"matchLabelExpressions":[)"
       R"({"key":"beta.kubernetes.io/arch","values":["x"]}]}]})",
       {"allowedTopologies[0].matchLabelExpressions[0].key: " + arch},
       {"allowedTopologies[0].matchLabelExpressions[0].key: " + arch}},
      {"node.k8s.io",
       "runtimeclasses",
       R"({"metadata":{"name":"a"},"handler":"h","scheduling":{"nodeSelector":{"beta.kubernetes.io/arch":"x"}}})",
       {"scheduling.nodeSelector: " + arch},
       {"scheduling.nodeSelector: " + arch}},
      {"networking.k8s.io",
       "networkpolicies",
       R"({"metadata":{"name":"a","namespace":"d"},"spec":{"podSelector":{},"ingress":[{"from":[)"
       R"({"ipBlock":{"cidr":"10.0.0.1/8"}}]}]}})",
       {},
       {ambiguous}},
      {"networking.k8s.io",
       "ingresses",
       R"({"metadata":{"name":"a","namespace":"d","annotations":{"kubernetes.io/ingress.class":"x"}},"spec":{)"
       R"("defaultBackend":{"service":{"name":"s","port":{"number":80}}}}})",
       {ingress},
       {}},
      {"discovery.k8s.io",
       "endpointslices",
       R"({"metadata":{"name":"a","namespace":"d"},"addressType":"FQDN","endpoints":[{"addresses":["a.b"]}]})",
       {"spec.addressType: FQDN endpoints are deprecated"},
       {}},
      {"discovery.k8s.io",
       "endpointslices",
       R"({"metadata":{"name":"a","namespace":"d"},"addressType":"IPv6","endpoints":[{"addresses":["fd00::0001"]}]})",
       {},
       {address}},
      {"resource.k8s.io",
       "resourceslices",
       R"({"metadata":{"name":"a"},"spec":{"driver":"D.io","allNodes":true,"pool":{"name":"p",)"
       R"("resourceSliceCount":1,"generation":0}}})",
       {driver},
       {driver}},
      {"apps",
       "statefulsets",
       R"({"metadata":{"name":"a","namespace":"d"},"spec":{"revisionHistoryLimit":-1,"selector":{"matchLabels":)"
       R"({"a":"b"}},"template":)" POD "}}",
       {limit},
       {limit}},
      {"apps",
       "daemonsets",
       R"({"metadata":{"name":"a.b","namespace":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":)" POD
       "}}",
       {},
       {}},
      {"apiextensions.k8s.io",
       "customresourcedefinitions",
       R"({"metadata":{"name":"foos.a.io"},"spec":{"group":"a.io","scope":"Cluster","names":{"plural":"foos",)"
       R"("singular":"foo","kind":"Foo","listKind":"FooList"},"versions":[{"name":"v1","served":true,"storage":true,)"
       R"("schema":{"openAPIV3Schema":{"type":"object","properties":{"a":{"type":"string","format":"date-time"},)"
       R"("b":{"type":"string","format":"strange"},"c":{"type":"integer","format":"int32"}}}}}]},)"
       R"("status":{"storedVersions":["v1"]}})",
       {"unrecognized format \"strange\""},
       {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.object);
    const Kind* kind = find_kind(row.group, "v1", row.resource);
    REQUIRE(kind != nullptr);
    const json::Value object = test::stored_object(*kind, row.object);
    std::vector<std::string> warnings;
    const field::ErrorList errors = validation::validate_create(*kind, object, warnings);
    // Ranges and addresses that are odd are refused in new objects, and kept with a warning in old ones.
    if (!row.on_create.empty() || row.on_update.empty()) CHECK(field::aggregate(errors) == "[]");
    CHECK(warnings == row.on_create);
    warnings.clear();
    CHECK(field::aggregate(validation::validate_update(*kind, "", object, object, warnings)) == "[]");
    CHECK(warnings == row.on_update);
  }
}

TEST_CASE("a cron job's time zone belongs in its own field") {
  const Kind* kind = find_kind("batch", "v1", "cronjobs");
  const json::Value object = test::stored_object(
      *kind, R"({"metadata":{"name":"a","namespace":"d"},"spec":{"schedule":"TZ=UTC * * * * *","jobTemplate":{"spec":)"
             R"({"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}})");
  std::vector<std::string> warnings;
  CHECK(validation::validate_update(*kind, "", object, object, warnings).empty());
  CHECK(warnings ==
        std::vector<std::string>{"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
                                 "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
                                 "details"});
}
