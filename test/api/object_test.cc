// object_test.cc: stored texts as objects: headers, splicing, other revisions.
#include "api/object.h"

#include <catch2/catch.hpp>

#include "api/json_scan.h"

using namespace kayak;
using namespace kayak::api;

namespace {

ObjectRef stored(const Kind& kind, std::string text, store::Revision revision) {
  auto object = Object::from_stored(kind, std::make_shared<const std::string>(std::move(text)), revision);
  INFO((object ? "" : object.error().message()));
  REQUIRE(object.ok());
  return *object;
}

std::string emitted(const Object& object, bool as_item) {
  std::vector<io::Slice> slices;
  object.append_json(slices, as_item);
  std::string text;
  for (const io::Slice& slice : slices) text.append(slice.bytes);
  return text;
}

}  // namespace

TEST_CASE("the resourceVersion is spliced in where upstream's encoder has it") {
  struct Row {
    std::string text, whole, item;
  };
  const std::string head = R"({"kind":"ConfigMap","apiVersion":"v1",)";
  for (
      const Row& row : {
          Row{head + R"("metadata":{"name":"a","namespace":"d","uid":"u","creationTimestamp":null},"data":{"k":"v"}})",
              head +
                  R"("metadata":{"name":"a","namespace":"d","uid":"u","resourceVersion":"7","creationTimestamp":null},"data":{"k":"v"}})",
              R"({"metadata":{"name":"a","namespace":"d","uid":"u","resourceVersion":"7","creationTimestamp":null},"data":{"k":"v"}})"},
          Row{head + R"("metadata":{"name":"a"}})", head + R"("metadata":{"name":"a","resourceVersion":"7"}})",
              R"({"metadata":{"name":"a","resourceVersion":"7"}})"},
          Row{head + R"("metadata":{}})", head + R"("metadata":{"resourceVersion":"7"}})",
              R"({"metadata":{"resourceVersion":"7"}})"},
      }) {
    CAPTURE(row.text);
    const ObjectRef object = stored(kinds::config_maps(), row.text, 7);
    CHECK(emitted(*object, false) == row.whole);
    CHECK(emitted(*object, true) == row.item);
    CHECK(json::write(*object->document()) == row.whole);
    const ObjectRef later = Object::at_revision(object, 12);
    std::string moved = row.whole;
    moved.replace(moved.find("\"7\""), 3, "\"12\"");
    CHECK(emitted(*later, false) == moved);
    CHECK(json::write(*later->document()) == moved);
  }
}

TEST_CASE("an object that is not stored has no resourceVersion") {
  const std::string text = R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","uid":"u"}})";
  const ObjectRef object = stored(kinds::config_maps(), text, 0);
  CHECK(emitted(*object, false) == text);
  CHECK(object->document()->at({"metadata", "resourceVersion"}) == nullptr);
}

TEST_CASE("a resourceVersion that another writer left in the text is dropped") {
  const ObjectRef object =
      stored(kinds::config_maps(),
             R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"3"}})", 9);
  CHECK(emitted(*object, false) ==
        R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"9"}})");
}

TEST_CASE("the header holds what look-ups and selectors need") {
  const ObjectRef pod = stored(
      kinds::pods(),
      R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"n","uid":"u1","creationTimestamp":null,)"
      R"("deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"b":"2","a":"x\"y"},"ownerReferences":[{"apiVersion":)"
      R"("apps/v1","kind":"ReplicaSet","name":"r","uid":"u2","controller":true,"blockOwnerDeletion":true}],)"
      R"("finalizers":["f/1","f/2"]},"spec":{"containers":[{"name":"spec"}],"restartPolicy":"Always","nodeName":)"
      R"("node-1","hostNetwork":true},"status":{"phase":"Running","podIP":"10.0.0.1"}})",
      5);
  const ObjectHeader& header = pod->header();
  CHECK(header.name == "p");
  CHECK(header.namespace_ == "n");
  CHECK(header.uid == "u1");
  CHECK(header.deleting);
  REQUIRE(header.labels.size() == 2);
  CHECK(header.labels[0] == std::pair<std::string, std::string>("a", "x\"y"));
  REQUIRE(header.owners.size() == 1);
  CHECK(header.owners[0].kind == "ReplicaSet");
  CHECK(header.owners[0].controller);
  CHECK(header.finalizers == std::vector<std::string>{"f/1", "f/2"});
  struct Row {
    std::string_view field, value;
  };
  for (const Row& row :
       {Row{"metadata.name", "p"}, Row{"metadata.namespace", "n"}, Row{"spec.nodeName", "node-1"},
        Row{"spec.hostNetwork", "true"}, Row{"status.phase", "Running"}, Row{"status.podIP", "10.0.0.1"},
        Row{"spec.restartPolicy", "Always"}, Row{"status.nominatedNodeName", ""}, Row{"no.such", ""}}) {
    CAPTURE(row.field);
    CHECK(field_value(*pod, row.field) == row.value);
  }
}

TEST_CASE("field values that are not plain strings") {
  const ObjectRef node =
      stored(kinds::nodes(), R"({"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"spec":{}})", 1);
  CHECK(field_value(*node, "spec.unschedulable") == "false");
  const ObjectRef set = stored(
      kinds::replica_sets(),
      R"({"kind":"ReplicaSet","apiVersion":"apps/v1","metadata":{"name":"r","namespace":"d"},"status":{"replicas":3}})",
      1);
  CHECK(field_value(*set, "status.replicas") == "3");
  const ObjectRef event =
      stored(kinds::events(),
             R"({"kind":"Event","apiVersion":"v1","metadata":{"name":"e","namespace":"d"},"involvedObject":{"kind":)"
             R"("Pod","name":"we\"b"},"reason":"Pulled","source":{"component":"kubelet"},"type":"Normal"})",
             1);
  CHECK(field_value(*event, "involvedObject.name") == "we\"b");
  CHECK(field_value(*event, "source") == "kubelet");
  CHECK(field_value(*event, "reason") == "Pulled");
  const ObjectRef new_event =
      stored(kinds::events(),
             R"({"kind":"Event","apiVersion":"v1","metadata":{"name":"e","namespace":"d"},"involvedObject":{},)"
             R"("source":{},"reportingComponent":"ctl"})",
             1);
  CHECK(field_value(*new_event, "source") == "ctl");
}

TEST_CASE("texts that are no objects are refused") {
  for (const char* text : {"", "{", "[]", "null", R"({"kind":"ConfigMap"})", R"({"metadata":{"name":"a")",
                           R"({"kind":"ConfigMap","metadata":7})", R"({"kind":"x","metadata":{"name":"a"})"}) {
    CAPTURE(text);
    auto object = Object::from_stored(kinds::config_maps(), std::make_shared<const std::string>(text), 1);
    REQUIRE_FALSE(object.ok());
    CHECK(object.error().code() == Code::kCorrupt);
  }
}

TEST_CASE("a document is parsed once while someone holds it") {
  const ObjectRef object =
      stored(kinds::config_maps(), R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}})", 3);
  const json::Document first = object->document();
  CHECK(object->document().get() == first.get());
}

TEST_CASE("escapes of JSON strings") {
  struct Row {
    std::string raw, text;
  };
  for (const Row& row : {Row{"plain", "plain"}, Row{R"(a\"b\\c\/d)", "a\"b\\c/d"}, Row{R"(\n\t\r\b\f)", "\n\t\r\b\f"},
                         Row{R"(\u003c\u00e9\u20ac)", "<\xc3\xa9\xe2\x82\xac"},
                         Row{R"(\ud83d\ude00)", "\xf0\x9f\x98\x80"}, Row{R"(\ud83d!)", "\xef\xbf\xbd!"}}) {
    CHECK(unescape_json(row.raw) == row.text);
  }
}
