// Tests of the OpenAPI documents: every reference leads somewhere, kubectl's needs are met, caching is weak.
#include "api/openapi.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "base/json.h"
#include "base/strings.h"

using namespace kayak;

namespace {

bool not_metrics(const api::Kind& kind) { return kind.group != "metrics.k8s.io"; }
bool not_proxy(const api::Kind&, const api::SubresourceRow& row) { return row.name != "proxy"; }

api::OpenApiSource source() { return {not_metrics, not_proxy, "v1.36.0+test"}; }

json::Value read(std::string_view text) {
  json::ReadOptions options;
  options.max_nodes = 10'000'000;
  Result<json::Value> value = json::read(text, options);
  if (!value) FAIL(value.error().message());
  return *std::move(value);
}

void collect_refs(const json::Value& value, std::set<std::string>* refs) {
  if (value.is_array()) {
    for (const json::Value& item : value.as_array()) collect_refs(item, refs);
  }
  if (!value.is_object()) return;
  for (const auto& [key, member] : value.as_object()) {
    if (key == "$ref" && member.is_string()) refs->insert(member.as_string());
    collect_refs(member, refs);
  }
}

// The names a document defines, as references spell them.
std::set<std::string> names_of(const json::Value* map, std::string_view prefix) {
  std::set<std::string> out;
  REQUIRE(map);
  for (const auto& [key, value] : map->as_object()) out.insert(cat(prefix, key));
  return out;
}

std::vector<std::string> parameter_names(const json::Value& operation) {
  std::vector<std::string> out;
  if (const json::Value* all = operation.find("parameters")) {
    for (const json::Value& one : all->as_array()) {
      if (const json::Value* name = one.find("name")) out.emplace_back(name->string_or());
    }
  }
  return out;
}

bool has(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// The length-delimited fields of a protobuf message; the test needs no others.
std::multimap<int, std::string_view> fields_of(std::string_view bytes) {
  std::multimap<int, std::string_view> out;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; at < bytes.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.size()) {
    const std::uint64_t tag = varint();
    if ((tag & 7) == 0) {
      varint();
      continue;
    }
    REQUIRE((tag & 7) == 2);
    const std::uint64_t size = varint();
    REQUIRE(size <= bytes.size() - at);
    out.emplace(static_cast<int>(tag >> 3), bytes.substr(at, size));
    at += size;
  }
  return out;
}

std::string_view one(const std::multimap<int, std::string_view>& fields, int number) {
  const auto at = fields.find(number);
  return at == fields.end() ? std::string_view() : at->second;
}

}  // namespace

TEST_CASE("OpenAPI v2: complete and what kubectl looks for") {
  api::OpenApi openapi(source());
  const api::OpenApiRef document = openapi.v2_json();
  const json::Value v2 = read(document->body);
  std::set<std::string> defined = names_of(v2.find("definitions"), "#/definitions/");
  defined.merge(names_of(v2.find("parameters"), "#/parameters/"));
  std::set<std::string> refs;
  collect_refs(v2, &refs);
  for (const std::string& ref : refs) {
    CAPTURE(ref);
    CHECK(defined.count(ref) == 1);
  }

  const json::Value* deployment = v2.at({"definitions", "io.k8s.api.apps.v1.Deployment"});
  REQUIRE(deployment);
  CHECK(json::write(*deployment->find("x-kubernetes-group-version-kind")) ==
        R"([{"group":"apps","kind":"Deployment","version":"v1"}])");
  const json::Value* containers = v2.at({"definitions", "io.k8s.api.core.v1.PodSpec", "properties", "containers"});
  REQUIRE(containers);
  CHECK(json::write(*containers->find("items")) == R"({"$ref":"#/definitions/io.k8s.api.core.v1.Container"})");
  CHECK(containers->find("x-kubernetes-list-type")->string_or() == "map");
  CHECK(json::write(*containers->find("x-kubernetes-list-map-keys")) == R"(["name"])");
  CHECK(containers->find("x-kubernetes-patch-merge-key")->string_or() == "name");
  CHECK(containers->find("x-kubernetes-patch-strategy")->string_or() == "merge");
  CHECK(json::write(*v2.at({"definitions", "io.k8s.api.core.v1.PodSpec", "required"})) == R"(["containers"])");
  CHECK(json::write(*v2.at({"definitions", "io.k8s.api.core.v1.Container", "properties", "imagePullPolicy", "enum"})) ==
        R"(["Always","IfNotPresent","Never"])");
  CHECK(json::write(*v2.at({"definitions", "io.k8s.api.core.v1.ServicePort", "properties", "protocol", "default"})) ==
        R"("TCP")");
  // Fields of inline messages appear among the message's own.
  CHECK(v2.at({"definitions", "io.k8s.api.core.v1.Probe", "properties", "httpGet"}));
  CHECK(json::write(*v2.at({"definitions", "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "format"})) ==
        R"("int-or-string")");

  const json::Value* patch = v2.at({"paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"});
  REQUIRE(patch);
  for (const std::string_view name : {"dryRun", "fieldManager", "fieldValidation", "force"}) {
    CAPTURE(name);
    CHECK(has(parameter_names(*patch), name));
  }
  CHECK(patch->find("x-kubernetes-action")->string_or() == "patch");
  CHECK(json::write(*patch->find("x-kubernetes-group-version-kind")) ==
        R"({"group":"apps","kind":"Deployment","version":"v1"})");
}

TEST_CASE("OpenAPI: paths are those that are served, operation names unique") {
  api::OpenApi openapi(source());
  const api::OpenApiRef document = openapi.v2_json();
  const json::Value v2 = read(document->body);
  const json::Value& paths = *v2.find("paths");
  for (const std::string_view path :
       {"/api/v1/pods", "/api/v1/namespaces/{namespace}/pods/{name}/log", "/api/v1/namespaces/{name}/finalize",
        "/api/v1/namespaces/{namespace}/pods/{name}/binding",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews"}) {
    CAPTURE(path);
    CHECK(paths.find(path));
  }
  CHECK(!paths.find("/api/v1/namespaces/{namespace}/pods/{name}/proxy"));
  CHECK(!paths.find("/apis/metrics.k8s.io/v1beta1/nodes"));
  std::set<std::string> ids;
  for (const auto& [path, item] : paths.as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      const json::Value* id = operation.find("operationId");
      if (!id) continue;
      CAPTURE(path, method, id->as_string());
      CHECK(ids.insert(id->as_string()).second);
    }
  }
  CHECK(ids.count("listAppsV1NamespacedDeployment") == 1);
  CHECK(ids.count("listAppsV1DeploymentForAllNamespaces") == 1);
  CHECK(ids.count("deleteCoreV1CollectionNamespacedPod") == 1);
  CHECK(ids.count("readCoreV1NamespacedPodLog") == 1);
}

TEST_CASE("OpenAPI v3: an index of documents, each complete in itself") {
  api::OpenApi openapi(source());
  const json::Value index = read(openapi.v3_index().body);
  const json::Object& paths = index.find("paths")->as_object();
  CHECK(paths.find("api/v1"));
  CHECK(paths.find("apis/apps/v1"));
  CHECK(!paths.find("apis/metrics.k8s.io/v1beta1"));
  for (const auto& [path, entry] : paths) {
    CAPTURE(path);
    const api::OpenApiRef document = openapi.v3_document(path);
    REQUIRE(document);
    CHECK(entry.find("serverRelativeURL")->string_or() == cat("/openapi/v3/", path, "?hash=", document->etag));
    const json::Value v3 = read(document->body);
    const std::set<std::string> defined = names_of(v3.at({"components", "schemas"}), "#/components/schemas/");
    std::set<std::string> refs;
    collect_refs(v3, &refs);
    for (const std::string& ref : refs) {
      CAPTURE(ref);
      CHECK(defined.count(ref) == 1);
    }
    CHECK(!v3.find("paths")->as_object().empty());
  }
  CHECK(!openapi.v3_document("apis/none/v1"));

  const api::OpenApiRef apps = openapi.v3_document("apis/apps/v1");
  const json::Value v3 = read(apps->body);
  const json::Value* patch = v3.at({"paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"});
  REQUIRE(patch);
  CHECK(has(parameter_names(*patch), "fieldValidation"));
  CHECK(has(parameter_names(*patch), "dryRun"));
  CHECK(json::write(*v3.at({"components", "schemas", "io.k8s.api.apps.v1.Deployment", "properties", "spec",
                            "allOf"})) == R"([{"$ref":"#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}])");
}

TEST_CASE("OpenAPI v2 as gnostic protobuf says what the JSON says") {
  api::OpenApi openapi(source());
  const api::OpenApiRef json_document = openapi.v2_json();
  const api::OpenApiRef document = openapi.v2_protobuf();
  const json::Value v2 = read(json_document->body);
  const auto top = fields_of(document->body);
  CHECK(one(top, 1) == "2.0");
  CHECK(one(fields_of(one(top, 2)), 2) == "v1.36.0+test");
  const auto definitions = fields_of(one(top, 9));
  CHECK(definitions.count(1) == v2.find("definitions")->as_object().size());
  const auto paths = fields_of(one(top, 8));
  CHECK(paths.count(2) == v2.find("paths")->as_object().size());
  bool found = false;
  for (const auto& [number, bytes] : definitions) {
    const auto named = fields_of(bytes);
    if (one(named, 1) != "io.k8s.api.core.v1.PodSpec") continue;
    found = true;
    const auto schema = fields_of(one(named, 2));
    CHECK(one(schema, 19) == "containers");
    CHECK(one(fields_of(one(schema, 22)), 1) == "object");
    const auto properties = fields_of(one(schema, 25));
    CHECK(properties.count(1) ==
          v2.at({"definitions", "io.k8s.api.core.v1.PodSpec", "properties"})->as_object().size());
    const auto first = fields_of(properties.begin()->second);
    CHECK(one(first, 1) == "activeDeadlineSeconds");
    CHECK(one(fields_of(one(first, 2)), 2) == "int64");
  }
  CHECK(found);
  for (const auto& [number, bytes] : paths) {
    const auto named = fields_of(bytes);
    if (one(named, 1) != "/api/v1/namespaces/{namespace}/pods/{name}") continue;
    const auto patch = fields_of(one(fields_of(one(named, 2)), 8));
    std::vector<std::string> names, extensions;
    for (auto [at, end] = patch.equal_range(8); at != end; ++at) {
      const auto parameter = fields_of(one(fields_of(at->second), 1));
      names.emplace_back(one(fields_of(one(fields_of(one(parameter, 2)), 3)), 4));
    }
    CHECK(has(names, "dryRun"));
    CHECK(has(names, "fieldValidation"));
    for (auto [at, end] = patch.equal_range(13); at != end; ++at) {
      const auto extension = fields_of(at->second);
      extensions.push_back(cat(one(extension, 1), "=", one(fields_of(one(extension, 2)), 2)));
    }
    CHECK(has(extensions, R"(x-kubernetes-group-version-kind={"group":"","kind":"Pod","version":"v1"})"));
  }
}

TEST_CASE("OpenAPI documents are kept only while somebody holds them") {
  api::OpenApi openapi(source());
  api::OpenApiRef held = openapi.v3_document("apis/apps/v1");
  CHECK(openapi.v3_document("apis/apps/v1") == held);
  const std::weak_ptr<const api::OpenApiDocument> watched = held;
  const std::string etag = held->etag;
  held.reset();
  CHECK(watched.expired());
  CHECK(openapi.v3_document("apis/apps/v1")->etag == etag);
  // Another set of kinds is another document.
  api::OpenApi everything({nullptr, nullptr, "v1.36.0+test"});
  CHECK(everything.v2_json()->etag != openapi.v2_json()->etag);
  CHECK(everything.v3_etag("apis/batch/v1") == openapi.v3_etag("apis/batch/v1"));
  CHECK(everything.v3_etag("api/v1") != openapi.v3_etag("api/v1"));
}
