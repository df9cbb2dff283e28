// managed_fields_test.cc: who owns which field after creations and updates.
#include "api/managed_fields.h"

#include <catch2/catch.hpp>

#include "api/field_set.h"
#include "api/kind.h"

using namespace kayak;
using namespace kayak::api;

namespace {

json::Value canonical(const Kind& kind, const std::string& text) {
  auto read = json::read(text);
  REQUIRE(read.ok());
  auto document = decode_json(*kind.message, std::move(*read));
  INFO((document ? "" : document.error().message()));
  REQUIRE(document.ok());
  return *document;
}

json::Value after_update(const Kind& kind, const json::Value& before, const std::string& text,
                         const std::string& manager, std::int64_t second, const std::string& subresource = "",
                         std::vector<std::string_view> reset = {}) {
  json::Value after = canonical(kind, text);
  ManagedUpdate update;
  update.manager = manager;
  update.api_version = kind.api_version();
  update.subresource = subresource;
  update.now = WallTime{second * 1'000'000};
  update.reset_fields = reset;
  update_managed_fields(*kind.message, before, after, update);
  return after;
}

std::string managed(const json::Value& document) {
  const json::Value* list = document.at({"metadata", "managedFields"});
  return list == nullptr ? "" : json::write(*list);
}

const json::Value& entry(const json::Value& document, std::size_t index) {
  const json::Value* list = document.at({"metadata", "managedFields"});
  REQUIRE(list != nullptr);
  REQUIRE(list->as_array().size() > index);
  return list->as_array()[index];
}

}  // namespace

TEST_CASE("a creation owns all that it sent") {
  const Kind& kind = kinds::config_maps();
  const json::Value made = after_update(
      kind, canonical(kind, "{}"),
      R"({"metadata":{"name":"a","namespace":"d","labels":{"x":"1"},"finalizers":["k/f"]},"data":{"k":"v","l":""}})",
      "kubectl", 0);
  CHECK(
      managed(made) ==
      R"([{"manager":"kubectl","operation":"Update","apiVersion":"v1","time":"1970-01-01T00:00:00Z","fieldsType":"FieldsV1",)"
      R"("fieldsV1":{"f:data":{".":{},"f:k":{},"f:l":{}},"f:metadata":{"f:finalizers":{".":{},"v:\"k/f\"":{}},)"
      R"("f:labels":{".":{},"f:x":{}}}}}])");
}

TEST_CASE("a created deployment's fields are those that upstream records") {
  const Kind& kind = kinds::deployments();
  const json::Value made = after_update(
      kind, canonical(kind, "{}"),
      R"({"metadata":{"name":"w","labels":{"app":"w"}},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"w"}},)"
      R"("strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"}},)"
      R"("template":{"metadata":{"labels":{"app":"w"}},"spec":{"containers":[{"name":"c","image":"i","ports":)"
      R"([{"containerPort":8080,"protocol":"TCP"},{"containerPort":443,"protocol":"TCP"}],"args":["a","b"]}]}}}})",
      "kubectl-create", 0);
  CHECK(json::write(*entry(made, 0).find("fieldsV1")) ==
        R"({"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},)"
        R"("f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},)"
        R"("f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":)"
        R"({"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{".":{},)"
        R"("k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}},)"
        R"("k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},)"
        R"("f:resources":{}}}}}}})");
}

TEST_CASE("an update takes what it changes and forgets what is gone") {
  const Kind& kind = kinds::config_maps();
  const json::Value made = after_update(kind, canonical(kind, "{}"), R"({"data":{"a":"1","b":"1","c":"1"}})", "one", 0);
  json::Value sent = made;
  sent["data"] = json::Object();
  sent["data"]["a"] = "1";
  sent["data"]["b"] = "2";
  const json::Value changed = after_update(kind, made, json::write(sent), "two", 60);
  REQUIRE(changed.at({"metadata", "managedFields"})->as_array().size() == 2);
  CHECK(json::write(*entry(changed, 0).find("fieldsV1")) == R"({"f:data":{".":{},"f:a":{}}})");
  CHECK(entry(changed, 0).find("time")->as_string() == "1970-01-01T00:00:00Z");
  CHECK(entry(changed, 1).find("manager")->as_string() == "two");
  CHECK(json::write(*entry(changed, 1).find("fieldsV1")) == R"({"f:data":{"f:b":{}}})");
}

TEST_CASE("nothing changed: nothing is written, times included") {
  const Kind& kind = kinds::config_maps();
  const json::Value made = after_update(kind, canonical(kind, "{}"), R"({"data":{"a":"1"}})", "one", 0);
  CHECK(after_update(kind, made, json::write(made), "two", 60) == made);
  CHECK(after_update(kind, made, R"({"data":{"a":"1"}})", "two", 60) == made);  // sent without managedFields
}

TEST_CASE("managedFields sent by a client") {
  const Kind& kind = kinds::config_maps();
  const json::Value made = after_update(kind, canonical(kind, "{}"), R"({"data":{"a":"1"}})", "one", 0);
  const json::Value reset =
      after_update(kind, made, R"({"metadata":{"managedFields":[{}]},"data":{"a":"1"}})", "two", 1);
  CHECK(managed(reset).empty());
  const json::Value kept = after_update(
      kind, made, R"({"metadata":{"managedFields":[{"operation":"nonsense"}]},"data":{"a":"1"}})", "two", 1);
  CHECK(managed(kept) == managed(made));
  const json::Value on_status =
      after_update(kind, made, R"({"metadata":{"managedFields":[{}]},"data":{"a":"1"}})", "two", 1, "status");
  CHECK(managed(on_status) == managed(made));
}

TEST_CASE("fields that an endpoint throws away are nobody's") {
  const Kind& kind = kinds::replica_sets();
  const json::Value made = after_update(kind, canonical(kind, "{}"),
                                        R"({"spec":{"replicas":1},"status":{"replicas":1}})", "one", 0, "", {"status"});
  CHECK(json::write(*entry(made, 0).find("fieldsV1")).find("f:status") == std::string::npos);
  const json::Value status =
      after_update(kind, made, R"({"spec":{"replicas":9},"status":{"replicas":2}})", "ctl", 1, "status", {"spec"});
  REQUIRE(status.at({"metadata", "managedFields"})->as_array().size() == 2);
  CHECK(entry(status, 1).find("subresource")->as_string() == "status");
  CHECK(json::write(*entry(status, 1).find("fieldsV1")) == R"({"f:status":{"f:replicas":{}}})");
}

TEST_CASE("the oldest of more than ten updaters become one") {
  const Kind& kind = kinds::config_maps();
  json::Value now = canonical(kind, "{}");
  for (int i = 0; i < 14; ++i) {
    json::Value sent = now;
    sent["data"]["k" + std::to_string(i)] = "v";
    now = after_update(kind, now, json::write(sent), "m" + std::to_string(i), i * 60);
  }
  const json::Array& list = now.at({"metadata", "managedFields"})->as_array();
  CHECK(list.size() == 10);
  CHECK(list[0].find("manager")->as_string() == "ancient-changes");
  CHECK(list[9].find("manager")->as_string() == "m13");
}

TEST_CASE("managers of clients that name none") {
  struct Row {
    std::string agent, manager;
  };
  for (const Row& row : {Row{"kubectl/v1.32.0 (linux/amd64)", "kubectl"}, Row{"", "unknown"}, Row{"/x", "unknown"},
                         Row{"a\nb/1", "ab"}, Row{std::string(300, 'x'), std::string(128, 'x')}}) {
    CHECK(manager_from_user_agent(row.agent) == row.manager);
  }
}

TEST_CASE("field sets") {
  auto set = [](const std::string& text) { return FieldSet::from_json(*json::read(text)); };
  CHECK(set("{}").empty());
  CHECK(set(R"({".":{}})").empty());  // nobody owns the whole object
  CHECK(json::write(set(R"({"f:b":{},"f:a":{".":{},"f:c":{}}})").to_json()) == R"({"f:a":{".":{},"f:c":{}},"f:b":{}})");
  FieldSet a = set(R"({"f:a":{".":{},"f:x":{},"f:y":{}}})");
  CHECK(a.has({"f:a", "f:x"}));
  CHECK_FALSE(a.has({"f:b"}));
  a.subtract(set(R"({"f:a":{"f:x":{}}})"));
  CHECK(json::write(a.to_json()) == R"({"f:a":{".":{},"f:y":{}}})");
  a.unite(set(R"({"f:a":{"f:z":{}},"f:q":{}})"));
  CHECK(json::write(a.to_json()) == R"({"f:a":{".":{},"f:y":{},"f:z":{}},"f:q":{}})");
  CHECK(a.intersects(set(R"({"f:q":{}})")));
  CHECK_FALSE(a.intersects(set(R"({"f:a":{"f:w":{}}})")));
  a.erase_below("a");
  CHECK(json::write(a.to_json()) == R"({"f:q":{}})");
}
