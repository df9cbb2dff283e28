// validation_meta_test.cc: the rules of every object's metadata, and the Status of an object that breaks several.
#include <catch2/catch.hpp>

#include "api/status.h"
#include "api/support_validation.h"
#include "api/validation/validation.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::check_updates;
using kayak::test::kKey;
using kayak::test::kLabel;
using kayak::test::kSubdomain;
using kayak::test::kValue;

namespace {

const char* kConfigMap = R"({"metadata":{"name":"a","namespace":"default"}})";
const char* kNamespace = R"({"metadata":{"name":"a"}})";

}  // namespace

TEST_CASE("names and namespaces") {
  check_creates(
      kinds::config_maps(), kConfigMap,
      {
          {"", ""},
          {R"(metadata.name = "a.b-c")", ""},
          {"metadata.name = -", "metadata.name: Required value: name or generateName is required"},
          {R"(metadata.name = "A_b")", cat("metadata.name: Invalid value: \"A_b\": ", kSubdomain)},
          {R"(metadata.generateName = "a-")", ""},
          {R"(metadata.generateName = "-")", cat("metadata.generateName: Invalid value: \"-\": ", kSubdomain)},
          {"metadata.namespace = -", "metadata.namespace: Required value"},
          {R"(metadata.namespace = "a.b")", "metadata.namespace: Invalid value: \"a.b\": must not contain dots"},
          {"metadata.generation = -1", "metadata.generation: Invalid value: -1: must be greater than or equal to 0"},
      });
  check_creates(kinds::namespaces(), kNamespace,
                {
                    {"", ""},
                    {R"(metadata.name = "a.b")", "metadata.name: Invalid value: \"a.b\": must not contain dots"},
                    // The name is also the value of a label.
                    {R"(metadata.name = "-a")", cat("[metadata.name: Invalid value: \"-a\": ", kLabel,
                                                    ", metadata.labels: Invalid value: \"-a\": ", kValue, "]")},
                    {R"(metadata.namespace = "x")", "metadata.namespace: Forbidden: not allowed on this type"},
                });
  const Kind& event = kinds::events();
  const std::string base = R"({"metadata":{"name":"Any_name","namespace":"default"},"involvedObject":{}})";
  check_creates(event, base,
                {
                    {"", ""},
                    {R"(metadata.name = "a/b")", "metadata.name: Invalid value: \"a/b\": may not contain '/'"},
                    {R"(metadata.name = "..")", "metadata.name: Invalid value: \"..\": may not be '..'"},
                });
}

TEST_CASE("labels, annotations and finalizers") {
  const std::string big(256 * 1024, 'x');
  check_creates(
      kinds::config_maps(), kConfigMap,
      {
          {R"(metadata.labels = {"app.kubernetes.io/name":"x","empty":""})", ""},
          {R"(metadata.labels = {"/x":"y"})", "metadata.labels: Invalid value: \"/x\": prefix part must be non-empty"},
          {R"(metadata.labels = {"-x":"y"})", cat("metadata.labels: Invalid value: \"-x\": ", kKey)},
          {R"(metadata.labels = {"x":"-y"})", cat("metadata.labels: Invalid value: \"-y\": ", kValue)},
          {cat(R"(metadata.labels = {"x":")", std::string(64, 'y'), R"("})"),
           cat("metadata.labels: Invalid value: \"", std::string(64, 'y'), "\": must be no more than 63 bytes")},
          {R"(metadata.annotations = {"Upper.Example.com/x":"any text"})", ""},
          {R"(metadata.annotations = {"a b":""})", cat("metadata.annotations: Invalid value: \"a b\": ", kKey)},
          {cat(R"(metadata.annotations = {"x":")", big, R"("})"),
           "metadata.annotations: Too long: may not be more than 262144 bytes"},
          {R"(metadata.finalizers = ["example.com/x","foregroundDeletion"])", ""},
          {R"(metadata.finalizers = ["mine"])",
           "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully "
           "qualified"},
          {R"(metadata.finalizers = ["orphan","foregroundDeletion"])",
           "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and "
           "foregroundDeletion cannot be both set"},
          {R"(metadata.managedFields = [{"operation":"Eat","fieldsType":"V2"}])",
           "[metadata.managedFields[0].operation: Invalid value: \"Eat\": must be `Apply` or `Update`, "
           "metadata.managedFields[0].fieldsType: Invalid value: \"V2\": must be `FieldsV1`]"},
      });
}

TEST_CASE("owners") {
  const std::string owner = R"({"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"u","controller":true})";
  const std::string other = R"({"apiVersion":"v1","kind":"Node","name":"n","uid":"v","controller":true})";
  check_creates(
      kinds::config_maps(), kConfigMap,
      {
          {cat("metadata.ownerReferences = [", owner, "]"), ""},
          {R"(metadata.ownerReferences = [{"apiVersion":"","kind":"","name":"","uid":""}])",
           "[metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty, "
           "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty, "
           "metadata.ownerReferences.name: Invalid value: \"\": must not be empty, "
           "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty]"},
          {R"(metadata.ownerReferences = [{"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}])",
           "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"e\","
           "\"uid\":\"u\"}: /v1, Kind=Event is disallowed from being an owner"},
          {cat("metadata.ownerReferences = [", owner, ",", other, "]"),
           cat("metadata.ownerReferences: Invalid value: [",
               R"({"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r",)",
               R"("uid":"u","controller":true},{"apiVersion":"v1","kind":"Node","name":"n","uid":"v","controller":true}])",
               ": Only one reference can have Controller set to true. Found \"true\" in references for ReplicaSet/r "
               "and "
               "Node/n")},
      });
}

TEST_CASE("metadata that an update may not change") {
  check_updates(
      kinds::config_maps(), "", kConfigMap,
      {
          {"", R"(metadata.labels = {"a":"b"})", ""},
          {R"(metadata.uid = "u")", R"(metadata.uid = "v")", "metadata.uid: Invalid value: \"v\": field is immutable"},
          {"", R"(metadata.creationTimestamp = "2020-01-01T00:00:00Z")",
           "metadata.creationTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable"},
          {"", R"(metadata.deletionTimestamp = "2020-01-01T00:00:00Z")",
           "metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable"},
          {"", "metadata.deletionGracePeriodSeconds = 3",
           "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable"},
          {"metadata.generation = 5", "metadata.generation = 4",
           "metadata.generation: Invalid value: 4: must not be decremented"},
          {R"(metadata.deletionTimestamp = "2020-01-01T00:00:00Z"
              metadata.finalizers = ["a.io/a","a.io/b"])",
           R"(metadata.finalizers = ["a.io/b"])", ""},
          {R"(metadata.deletionTimestamp = "2020-01-01T00:00:00Z"
              metadata.finalizers = ["a.io/a"])",
           R"(metadata.finalizers = ["a.io/a","a.io/c","a.io/b"])",
           "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new "
           "finalizers []string{\"a.io/b\", \"a.io/c\"}"},
      });
}

TEST_CASE("label selectors") {
  struct Row {
    const char* selector;
    std::string errors;
  };
  for (const Row& row : {
           Row{R"({"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"Exists"}]})", ""},
           Row{R"({"matchLabels":{"a":"-"}})", cat("s.matchLabels: Invalid value: \"-\": ", kValue)},
           Row{R"({"matchExpressions":[{"key":"c","operator":"In"}]})",
               "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"},
           Row{R"({"matchExpressions":[{"key":"c","operator":"Exists","values":["x"]}]})",
               "s.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
               "'DoesNotExist'"},
           Row{R"({"matchExpressions":[{"key":"c","operator":"Is"}]})",
               "s.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator"},
           Row{R"({"matchExpressions":[{"key":"-","operator":"In","values":["x","-"]}]})",
               cat("[s.matchExpressions[0].key: Invalid value: \"-\": ", kKey,
                   ", s.matchExpressions[0].values[1]: Invalid value: \"-\": ", kValue, "]")},
       }) {
    CAPTURE(row.selector);
    const auto selector = json::read(row.selector);
    REQUIRE(selector);
    field::ErrorList errors;
    validation::validate_label_selector(&*selector, field::Path("s"), errors);
    CHECK((errors.empty() ? "" : field::aggregate(errors)) == row.errors);
  }
}

TEST_CASE("several errors make one status with a cause for each") {
  const json::Value object = test::stored_object(
      kinds::config_maps(), R"({"metadata":{"name":"a","labels":{"a":"b c"},"finalizers":["mine"]}})");
  std::vector<std::string> warnings;
  const field::ErrorList errors = validation::validate_create(kinds::config_maps(), object, warnings);
  const json::Value status = status_document(invalid(kinds::config_maps(), "a", errors));
  CHECK(status.find("code")->int_or(0) == 422);
  CHECK(status.find("reason")->string_or() == "Invalid");
  const std::string wrong_label = cat("Invalid value: \"b c\": ", kValue);
  const std::string wrong_finalizer =
      "Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified";
  CHECK(status.find("message")->string_or() ==
        cat("ConfigMap \"a\" is invalid: [metadata.namespace: Required value, metadata.labels: ", wrong_label,
            ", metadata.finalizers[0]: ", wrong_finalizer, "]"));
  json::Array causes = status.at({"details", "causes"})->as_array();
  REQUIRE(causes.size() == 3);
  CHECK(json::write(causes[0]) ==
        R"({"reason":"FieldValueRequired","message":"Required value","field":"metadata.namespace"})");
  CHECK(causes[1].find("message")->string_or() == wrong_label);
  CHECK(causes[2].find("reason")->string_or() == "FieldValueInvalid");
}
