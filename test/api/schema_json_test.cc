// Tests of decode_json and canonicalize: golden objects, Go's error wording, strict reports, canonical scalars.
#include <catch2/catch.hpp>

#include "api/messages.h"
#include "api/schema.h"
#include "api/support_golden.h"
#include "base/json.h"

using namespace kayak;
using api::DecodeIssues;
using api::Message;

namespace {

json::Value read(std::string_view text) {
  Result<json::Value> value = json::read(text);
  if (!value) FAIL(value.error().message() << " in " << text);
  return *std::move(value);
}

// The canonical text, or the error's message.
std::string decoded(const Message& message, std::string_view text, DecodeIssues* issues = nullptr) {
  Result<json::Value> value = api::decode_json(message, read(text), issues);
  return value ? json::write(*value) : value.error().message();
}

}  // namespace

TEST_CASE("golden objects decode to themselves") {
  for (const test::Golden& golden : test::golden_objects()) {
    CAPTURE(golden.name);
    const Message* message = api::find_message(golden.api_version, golden.kind);
    REQUIRE(message);
    DecodeIssues issues;
    const Result<json::Value> value = api::decode_json(*message, read(golden.json), &issues);
    REQUIRE(value);
    CHECK(issues.unknown.empty());
    CHECK(json::write_pretty(*value) == golden.json);
    json::Value again = *value;
    api::canonicalize(*message, again);
    CHECK(json::write_pretty(again) == golden.json);
  }
}

TEST_CASE("what another writer of the store got wrong is dropped when the object changes") {
  struct Row {
    std::string_view input, canonical;
  };
  for (const Row& row : {
           Row{R"({"metadata":{"name":"a","labels":7},"spec":5,"status":[]})",
               R"({"metadata":{"name":"a"},"spec":{"containers":null},"status":{}})"},
           Row{R"({"metadata":{"name":"a"},"spec":{"containers":{},"nodeName":[],"priority":"x"}})",
               R"({"metadata":{"name":"a"},"spec":{"containers":null},"status":{}})"},
       }) {
    CAPTURE(row.input);
    json::Value document = read(row.input);
    api::canonicalize(api::messages::core_v1_Pod, document);
    CHECK(json::write(document) == row.canonical);
  }
}

TEST_CASE("zero values and order are upstream's") {
  struct Row {
    const Message& message;
    std::string_view input, canonical;
  };
  for (const Row& row : {
           Row{api::messages::apps_v1_Deployment, "{}",
               R"({"metadata":{},"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":null}},)"
               R"("strategy":{}},"status":{}})"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":[{"name":"a"}]},"kind":"Pod","apiVersion":"v1"})",
               R"({"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":[{"name":"a","resources":{}}]},)"
               R"("status":{}})"},
           // omitempty drops zero scalars and empty lists, never a pointer that is set.
           Row{api::messages::core_v1_PodSpec,
               R"({"containers":[],"hostNetwork":false,"nodeName":"","tolerations":[],"priority":0,)"
               R"("enableServiceLinks":false})",
               R"({"containers":[],"priority":0,"enableServiceLinks":false})"},
           Row{api::messages::core_v1_Probe, R"({"periodSeconds":0,"httpGet":{"port":"http"},"exec":null})",
               R"({"httpGet":{"port":"http"}})"},
           Row{api::messages::core_v1_ServicePort, R"({"port":80})", R"({"port":80,"targetPort":0})"},
           Row{api::messages::core_v1_PodCondition, R"({"type":"Ready","status":"True"})",
               R"({"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":null})"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"labels":{"b":"2","a":"1"},"creationTimestamp":null})",
               R"({"labels":{"a":"1","b":"2"}})"},
           Row{api::messages::core_v1_Event, R"({"metadata":{"name":"e"}})",
               R"({"metadata":{"name":"e"},"involvedObject":{},"source":{},"firstTimestamp":null,)"
               R"("lastTimestamp":null,"eventTime":null,"reportingComponent":"","reportingInstance":""})"},
           Row{api::messages::core_v1_ConfigMap, R"({"data":{"k":null}})", R"({"metadata":{},"data":{"k":""}})"},
           Row{api::messages::core_v1_PodList, R"({"items":[]})", R"({"metadata":{},"items":[]})"},
           Row{api::messages::core_v1_PodList, R"({"items":null})", R"({"metadata":{},"items":null})"},
       }) {
    CAPTURE(row.message.name, row.input);
    CHECK(decoded(row.message, row.input) == row.canonical);
    CHECK(decoded(row.message, row.canonical) == row.canonical);
  }
}

TEST_CASE("wrong types are told in Go's words") {
  struct Row {
    const Message& message;
    std::string_view input, error;
  };
  for (const Row& row : {
           Row{api::messages::apps_v1_Deployment, R"({"spec":{"replicas":"3"}})",
               "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"},
           Row{api::messages::apps_v1_Deployment, R"({"spec":{"replicas":3000000000}})",
               "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type "
               "int32"},
           Row{api::messages::apps_v1_Deployment, R"({"spec":{"replicas":1.5}})",
               "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"},
           Row{api::messages::apps_v1_Deployment, "[]",
               "json: cannot unmarshal array into Go value of type v1.Deployment"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":{}}})",
               "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":["a"]}})",
               "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":[{"args":["x",1]}]}})",
               "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":[{"imagePullPolicy":1}]}})",
               "json: cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of type "
               "v1.PullPolicy"},
           Row{api::messages::core_v1_ConfigMap, R"({"metadata":{"annotations":{"a":true}}})",
               "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.annotations of type string"},
           Row{api::messages::core_v1_ConfigMap, R"({"metadata":{"labels":["a"]}})",
               "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type "
               "map[string]string"},
           Row{api::messages::core_v1_Service, R"({"spec":{"ports":[{"targetPort":true}]}})",
               "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32"},
           Row{api::messages::core_v1_Pod, R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}})",
               "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
           Row{api::messages::core_v1_Secret, R"({"data":{"a":"not base64!"}})", "illegal base64 data at input byte 3"},
           Row{api::messages::core_v1_Secret, R"({"data":{"a":"YWI"}})", "illegal base64 data at input byte 0"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"creationTimestamp":"yesterday"})",
               R"(parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006")"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"creationTimestamp":"2024-13-01T00:00:00Z"})",
               R"(parsing time "2024-13-01T00:00:00Z": month out of range)"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"creationTimestamp":"2024-02-30T00:00:00Z"})",
               R"(parsing time "2024-02-30T00:00:00Z": day out of range)"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"creationTimestamp":"2024-02-20T00:00:00"})",
               R"(parsing time "2024-02-20T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00")"},
           Row{api::messages::coordination_v1_Lease, R"({"spec":{"renewTime":"2024-02-20T00:00:00Z"}})",
               R"(parsing time "2024-02-20T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as )"
               R"(".000000")"},
           Row{api::messages::apiextensions_v1_JSONSchemaProps, R"({"additionalProperties":1})",
               "boolean or JSON schema expected"},
           // The first of several is told, and a scalar's own complaint before any of them.
           Row{api::messages::apps_v1_DeploymentSpec, R"({"paused":1,"replicas":"3"})",
               "json: cannot unmarshal number into Go struct field DeploymentSpec.paused of type bool"},
           Row{api::messages::core_v1_Container, R"({"name":1,"resources":{"limits":{"cpu":"lots"}}})",
               "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
       }) {
    CAPTURE(row.message.name, row.input);
    CHECK(decoded(row.message, row.input) == row.error);
  }
}

TEST_CASE("unknown members are dropped and named") {
  DecodeIssues issues;
  const std::string text = decoded(
      api::messages::core_v1_Pod,
      R"({"foo":1,"metadata":{"name":"p","Name":"q"},"spec":{"containers":[{"name":"a"},{"nam":"b","env":[{"x":1}]}],)"
      R"("securityContext":{"y":{}}}})",
      &issues);
  CHECK(text == R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","resources":{}},)"
                R"({"name":"","env":[{"name":""}],"resources":{}}],"securityContext":{}},"status":{}})");
  CHECK(issues.unknown == std::vector<std::string>{"foo", "metadata.Name", "spec.containers[1].nam",
                                                   "spec.containers[1].env[0].x", "spec.securityContext.y"});
}

TEST_CASE("unknown members inside a schema's unions stay unnamed, as upstream") {
  DecodeIssues issues;
  CHECK(decoded(api::messages::apiextensions_v1_JSONSchemaProps,
                R"({"items":{"type":"string","tpye":1},"properties":{"a":{"bad":1}}})",
                &issues) == R"({"items":{"type":"string"},"properties":{"a":{}}})");
  CHECK(issues.unknown == std::vector<std::string>{"properties.a.bad"});
}

TEST_CASE("scalars become canonical") {
  struct Row {
    const Message& message;
    std::string_view input, canonical;
  };
  for (const Row& row : {
           Row{api::messages::core_v1_ResourceRequirements, R"({"limits":{"memory":"1024Mi","cpu":0.5,"pods":"1e3"}})",
               R"({"limits":{"cpu":"500m","memory":"1Gi","pods":"1e3"}})"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"deletionTimestamp":"2024-02-20T02:00:00.75+02:00"})",
               R"({"deletionTimestamp":"2024-02-20T00:00:00Z"})"},
           Row{api::messages::meta_v1_ObjectMeta, R"({"creationTimestamp":"0001-01-01T00:00:00Z"})", "{}"},
           Row{api::messages::coordination_v1_LeaseSpec, R"({"renewTime":"2024-02-20T02:00:00.000001+02:00"})",
               R"({"renewTime":"2024-02-20T00:00:00.000001Z"})"},
           Row{api::messages::core_v1_ServicePort, R"({"port":1,"targetPort":"80"})",
               R"({"port":1,"targetPort":"80"})"},
           Row{api::messages::core_v1_Secret, R"({"data":{"a":"YW\nI="}})", R"({"metadata":{},"data":{"a":"YWI="}})"},
           Row{api::messages::apiextensions_v1_JSONSchemaProps,
               R"({"default":{"b":1,"a":[1.50,null]},"multipleOf":0.10,"maximum":1e3,"additionalProperties":false})",
               R"({"default":{"b":1,"a":[1.50,null]},"maximum":1000,"multipleOf":0.1,"additionalProperties":false})"},
           Row{api::messages::apps_v1_ControllerRevision, R"({"data":{"z":1,"a":2},"revision":1})",
               R"({"metadata":{},"data":{"z":1,"a":2},"revision":1})"},
           Row{api::messages::metrics_v1beta1_NodeMetrics, R"({"window":"90s","timestamp":null,"usage":null})",
               R"({"metadata":{},"timestamp":null,"window":"1m30s","usage":null})"},
       }) {
    CAPTURE(row.message.name, row.input);
    CHECK(decoded(row.message, row.input) == row.canonical);
  }
}

TEST_CASE("durations keep every nanosecond") {
  struct Row {
    std::string_view input, canonical;
  };
  for (const Row& row : {
           Row{"1654865h59m8.589517654s", "1654865h59m8.589517654s"},
           Row{"1.5h", "1h30m0s"},
           Row{"90s", "1m30s"},
           Row{"0", "0s"},
           Row{"-1.5ms", "-1.5ms"},
           Row{"1us", "1\u00b5s"},
           Row{"100ns", "100ns"},
           Row{".5s", "500ms"},
           Row{"9223372036854775807ns", "2562047h47m16.854775807s"},
       }) {
    json::Value value = json::Object();
    value["window"] = row.input;
    CAPTURE(row.input);
    const Result<json::Value> decoded = api::decode_json(api::messages::metrics_v1beta1_NodeMetrics, value);
    REQUIRE(decoded);
    CHECK(decoded->find("window")->as_string() == row.canonical);
  }
  for (const std::string_view bad : {"", "1", "s", "1x", "1s-", ".s", "9223372036854775808ns"}) {
    json::Value value = json::Object();
    value["window"] = bad;
    CAPTURE(bad);
    CHECK(!api::decode_json(api::messages::metrics_v1beta1_NodeMetrics, value));
  }
}
