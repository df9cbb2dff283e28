// Tests of strategic merge patch: a row per directive and kind of list, refused patches among them.
#include <catch2/catch.hpp>

#include "api/messages.h"
#include "api/schema.h"
#include "base/json.h"
#include "base/strings.h"

using namespace kayak;
using api::Message;
using namespace api::messages;

namespace {

json::Value read(std::string_view text) {
  Result<json::Value> value = json::read(text);
  if (!value) FAIL(value.error().message() << " in " << text);
  return *std::move(value);
}

std::string merged(const Message& message, std::string_view original, std::string_view patch) {
  const Result<json::Value> result = api::strategic_merge(message, read(original), read(patch));
  return result ? json::write(*result) : "error: " + result.error().message();
}

struct Row {
  std::string_view what;
  const Message& message;
  std::string_view original, patch, result;
};

void check(const Row& row) {
  CAPTURE(row.what, row.original, row.patch);
  CHECK(merged(row.message, row.original, row.patch) == row.result);
}

}  // namespace

TEST_CASE("strategic merge of maps") {
  for (const Row& row : {
           Row{"scalars replace, null deletes, the rest stays", core_v1_PodSpec,
               R"({"nodeName":"a","hostname":"h","priority":1})",
               R"({"nodeName":"b","hostname":null,"subdomain":null})", R"({"nodeName":"b","priority":1})"},
           Row{"maps merge", meta_v1_ObjectMeta, R"({"labels":{"a":"1","b":"2"}})",
               R"({"labels":{"a":null,"c":"3","b":"4"}})", R"({"labels":{"b":"4","c":"3"}})"},
           Row{"nested maps merge", apps_v1_Deployment, R"({"spec":{"replicas":1,"paused":true}})",
               R"({"spec":{"replicas":2}})", R"({"spec":{"replicas":2,"paused":true}})"},
           Row{"a new map loses nulls and directives", core_v1_PodSpec, "{}",
               R"({"securityContext":{"runAsUser":1,"runAsGroup":null,"$retainKeys":["runAsUser"]}})",
               R"({"securityContext":{"runAsUser":1}})"},
           Row{"$patch replace", core_v1_PodSpec, R"({"securityContext":{"runAsUser":1,"fsGroup":2}})",
               R"({"securityContext":{"$patch":"replace","runAsUser":3}})", R"({"securityContext":{"runAsUser":3}})"},
           Row{"$patch delete", core_v1_PodSpec, R"({"securityContext":{"runAsUser":1}})",
               R"({"securityContext":{"$patch":"delete"}})", R"({"securityContext":{}})"},
           Row{"patchStrategy replace", policy_v1_PodDisruptionBudgetSpec, R"({"selector":{"matchLabels":{"a":"1"}}})",
               R"({"selector":{"matchLabels":{"b":"2"}}})", R"({"selector":{"matchLabels":{"b":"2"}}})"},
           Row{"$retainKeys drops the others", apps_v1_DeploymentSpec,
               R"({"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}})",
               R"({"strategy":{"$retainKeys":["type"],"type":"Recreate"}})", R"({"strategy":{"type":"Recreate"}})"},
           Row{"a value of another type replaces", core_v1_Probe, R"({"httpGet":{"port":80}})",
               R"({"httpGet":{"port":"http"}})", R"({"httpGet":{"port":"http"}})"},
           Row{"a CRD's schema merges through its unions", apiextensions_v1_JSONSchemaProps,
               R"({"items":{"type":"object","properties":{"a":{"type":"string"}}}})",
               R"({"items":{"properties":{"a":{"maxLength":3}}}})",
               R"({"items":{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}})"},
       }) {
    check(row);
  }
}

TEST_CASE("strategic merge of lists") {
  for (const Row& row : {
           Row{"objects merge by key, new ones come last", core_v1_PodSpec,
               R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]})",
               R"({"containers":[{"name":"b","image":"2"},{"name":"c","image":"3"}]})",
               R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"},{"name":"c","image":"3"}]})"},
           // As upstream: a new item has no place among the old ones, so nothing is put before it.
           Row{"lists inside merge too", core_v1_PodSpec,
               R"({"containers":[{"name":"a","env":[{"name":"X","value":"1"}],"args":["p","q"]}]})",
               R"({"containers":[{"name":"a","env":[{"name":"Y","value":"2"}],"args":["r"]}]})",
               R"({"containers":[{"name":"a","env":[{"name":"Y","value":"2"},{"name":"X","value":"1"}],)"
               R"("args":["r"]}]})"},
           Row{"keys can be numbers", core_v1_Container, R"({"ports":[{"containerPort":80,"name":"x"}]})",
               R"({"ports":[{"containerPort":80,"name":"y"},{"containerPort":81}]})",
               R"({"ports":[{"containerPort":80,"name":"y"},{"containerPort":81}]})"},
           Row{"$patch delete of an element", core_v1_PodSpec, R"({"containers":[{"name":"a"},{"name":"b"}]})",
               R"({"containers":[{"name":"a","$patch":"delete"},{"name":"none","$patch":"delete"}]})",
               R"({"containers":[{"name":"b"}]})"},
           Row{"$patch replace of a list", core_v1_PodSpec, R"({"containers":[{"name":"a"},{"name":"b"}]})",
               R"({"containers":[{"name":"c"},{"$patch":"replace"}]})", R"({"containers":[{"name":"c"}]})"},
           Row{"a list without strategy is replaced", core_v1_PodSpec, R"({"tolerations":[{"key":"a"}]})",
               R"({"tolerations":[{"key":"b"}]})", R"({"tolerations":[{"key":"b"}]})"},
           Row{"null deletes a list", core_v1_PodSpec, R"({"volumes":[{"name":"v"}]})", R"({"volumes":null})", "{}"},
           Row{"scalars are a set", meta_v1_ObjectMeta, R"({"finalizers":["a","b"]})", R"({"finalizers":["c","a"]})",
               R"({"finalizers":["c","a","b"]})"},
           Row{"$deleteFromPrimitiveList", meta_v1_ObjectMeta, R"({"finalizers":["a","b","c"]})",
               R"({"$deleteFromPrimitiveList/finalizers":["b","x"]})", R"({"finalizers":["a","c"]})"},
           Row{"$deleteFromPrimitiveList of nothing", meta_v1_ObjectMeta, "{}",
               R"({"$deleteFromPrimitiveList/finalizers":["b"]})", "{}"},
           Row{"$retainKeys in an element", core_v1_PodSpec, R"({"volumes":[{"name":"v","emptyDir":{}}]})",
               R"({"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]})",
               R"({"volumes":[{"name":"v","hostPath":{"path":"/x"}}]})"},
           Row{"an element marked for deletion in a new list", core_v1_PodSpec, "{}",
               R"({"volumes":[{"name":"a","$patch":"delete"},{"name":"b","emptyDir":null}]})",
               R"({"volumes":[{"name":"b"}]})"},
       }) {
    check(row);
  }
}

TEST_CASE("strategic merge keeps order") {
  for (const Row& row : {
           Row{"$setElementOrder rules", core_v1_PodSpec, R"({"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]})",
               R"({"$setElementOrder/containers":[{"name":"c"},{"name":"new"},{"name":"a"}],)"
               R"("containers":[{"name":"new","image":"i"}]})",
               R"({"containers":[{"name":"b"},{"name":"c"},{"name":"new","image":"i"},{"name":"a"}]})"},
           Row{"without items of its own", core_v1_PodSpec, R"({"containers":[{"name":"a"},{"name":"b"}]})",
               R"({"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]})",
               R"({"containers":[{"name":"b"},{"name":"a"}]})"},
           Row{"what kubectl sends for a changed image", core_v1_PodSpec,
               R"({"containers":[{"name":"a","image":"1","ports":[{"containerPort":80}]},{"name":"sidecar"}]})",
               R"({"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"a","image":"2"}]})",
               R"({"containers":[{"name":"a","image":"2","ports":[{"containerPort":80}]},{"name":"sidecar"}]})"},
           Row{"with a deletion", core_v1_PodSpec, R"({"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]})",
               R"({"$setElementOrder/containers":[{"name":"c"},{"name":"a"}],)"
               R"("containers":[{"name":"b","$patch":"delete"}]})",
               R"({"containers":[{"name":"c"},{"name":"a"}]})"},
           Row{"of scalars", meta_v1_ObjectMeta, R"({"finalizers":["a","b","c"]})",
               R"({"$setElementOrder/finalizers":["c","d","a"],"finalizers":["d"],)"
               R"("$deleteFromPrimitiveList/finalizers":["b"]})",
               R"({"finalizers":["c","d","a"]})"},
           Row{"of a list that is absent", core_v1_PodSpec, "{}",
               R"({"$setElementOrder/volumes":[{"name":"v"}],"volumes":[{"name":"v"}]})",
               R"({"volumes":[{"name":"v"}]})"},
           Row{"of nothing at all", core_v1_PodSpec, R"({"nodeName":"n"})", R"({"$setElementOrder/volumes":[]})",
               R"({"nodeName":"n"})"},
           Row{"beside a null", core_v1_PodSpec, R"({"volumes":[{"name":"v"}]})",
               R"({"$setElementOrder/volumes":[],"volumes":null})", "{}"},
       }) {
    check(row);
  }
}

TEST_CASE("patches that strategic merge refuses") {
  for (const Row& row : {
           Row{"no merge key", core_v1_PodSpec, R"({"containers":[{"name":"a"}]})",
               R"({"containers":[{"image":"x","args":["p",1,null]}]})",
               "error: map: map[args:[p 1 <nil>] image:x] does not contain declared merge key: name"},
           Row{"unknown directive", core_v1_PodSpec, "{}", R"({"$patch":"explode","nodeName":"n"})",
               "error: unknown patch type: explode in map: map[$patch:explode nodeName:n]"},
           Row{"unknown directive in a list", core_v1_PodSpec, R"({"containers":[{"name":"a"}]})",
               R"({"containers":[{"name":"a","$patch":"x"}]})",
               "error: unknown patch type: x in map: map[$patch:x name:a]"},
           Row{"merge directive in a list", core_v1_PodSpec, R"({"containers":[{"name":"a"}]})",
               R"({"containers":[{"$patch":"merge"}]})", "error: merging lists cannot yet be specified in the patch"},
           Row{"$retainKeys that is no list", apps_v1_DeploymentSpec, R"({"strategy":{"type":"Recreate"}})",
               R"({"strategy":{"$retainKeys":"type"}})", "error: invalid patch format of retainKeys"},
           Row{"a key that is not retained", apps_v1_DeploymentSpec, R"({"strategy":{"type":"Recreate"}})",
               R"({"strategy":{"$retainKeys":["type"],"rollingUpdate":{}}})",
               "error: invalid patch format of retainKeys"},
           Row{"$deleteFromPrimitiveList without a list", meta_v1_ObjectMeta, "{}",
               R"({"$deleteFromPrimitiveList":["a"]})", "error: invalid patch format of primitive list"},
           Row{"$setElementOrder that is no list", core_v1_PodSpec, "{}", R"({"$setElementOrder/containers":{}})",
               "error: invalid patch format of setElementOrder list"},
           Row{"$setElementOrder against the patch", meta_v1_ObjectMeta, R"({"finalizers":["a"]})",
               R"({"$setElementOrder/finalizers":["b","c"],"finalizers":["c","b"]})",
               "error: The order in patch list:\n[c b]\n doesn't match $setElementOrder list:\n[b c]\n"},
           Row{"lists of lists", meta_v1_ObjectMeta, R"({"finalizers":["a"]})", R"({"finalizers":[["b"]]})",
               "error: lists of lists are not supported"},
           Row{"mixed elements", core_v1_PodSpec, R"({"containers":[{"name":"a"}]})", R"({"containers":["b"]})",
               "error: list element types are not identical: [b]"},
           Row{"no object", core_v1_PodSpec, "{}", "[]", "error: invalid JSON document"},
           Row{"inside raw JSON", apps_v1_ControllerRevision, R"({"data":{"a":{"b":1}}})", R"({"data":{"a":{"b":2}}})",
               R"(error: unable to find api field in struct RawExtension for the json field "a")"},
       }) {
    check(row);
  }
}

TEST_CASE("a big patch of a big map takes no quadratic time") {
  json::Object original, patch;
  for (int i = 0; i < 60'000; ++i) {
    original.members().push_back({cat("key-", i), json::Value("old")});
    patch.members().push_back({cat("key-", i + 30'000), i % 2 ? json::Value() : json::Value("new")});
  }
  json::Value before = json::Object(), change = json::Object();
  before["data"] = std::move(original);
  change["data"] = std::move(patch);
  const Result<json::Value> result = api::strategic_merge(core_v1_ConfigMap, before, change);
  REQUIRE(result);
  CHECK(result->find("data")->as_object().size() == 60'000);  // 30,000 untouched, 15,000 changed, 15,000 added
}
