// validation_warnings_test.cc: what is accepted with a warning.
#include <catch2/catch.hpp>

#include "api/support_validation.h"
#include "api/validation/validation.h"
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
