// descriptions_test.cc: what `kubectl explain` prints: every message and field of the API is described, in sentences.
#include <algorithm>
#include <catch2/catch.hpp>

#include "api/openapi.h"
#include "api/schema.h"
#include "base/json.h"
#include "base/strings.h"

using namespace kayak;

namespace {

// What is wrong with a description; empty when nothing is.
std::string_view fault_of(std::string_view text) {
  if (text.empty()) return "missing";
  if (text.front() < 'A' || text.front() > 'Z') return "starts without a capital letter";
  if (text.back() != '.') return "ends without a period";
  if (text.find("  ") != std::string_view::npos) return "has two spaces in a row";
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
  return printable ? "" : "has characters beyond ASCII";
}

}  // namespace

TEST_CASE("what a description must look like") {
  struct Row {
    std::string_view text, want;
  };
  for (const Row& row :
       {Row{"Name of the pod.", ""}, Row{"", "missing"}, Row{"name of the pod.", "starts without a capital letter"},
        Row{"Name of the pod", "ends without a period"}, Row{"Name  of the pod.", "has two spaces in a row"},
        Row{"Name of the pod \xe2\x80\x93 short.", "has characters beyond ASCII"}}) {
    CAPTURE(row.text);
    CHECK(fault_of(row.text) == row.want);
  }
}

TEST_CASE("every message and field is described") {
  std::size_t fields = 0;
  for (const api::Message* message : api::all_messages()) {
    CAPTURE(message->name);
    CHECK(fault_of(message->description) == "");
    for (const api::Field& field : message->fields) {
      // The members of an inline message appear by themselves; its own comment is for readers of the .proto file.
      CAPTURE(field.json_name, field.number);
      CHECK(fault_of(field.description) == "");
      ++fields;
    }
  }
  CHECK(fields > 1000);
}

TEST_CASE("OpenAPI publishes the descriptions") {
  api::OpenApi openapi({nullptr, nullptr, "v1.36.0+test"});
  const api::OpenApiRef document = openapi.v3_document("api/v1");
  REQUIRE(document);
  json::ReadOptions options;
  options.max_nodes = 10'000'000;
  const Result<json::Value> v3 = json::read(document->body, options);
  REQUIRE(v3);
  const auto check = [](const json::Value& schema) {
    const json::Value* text = schema.find("description");
    CHECK(fault_of(text ? text->string_or() : "") == "");
  };
  std::size_t definitions = 0;
  for (const auto& [name, schema] : v3->at({"components", "schemas"})->as_object()) {
    if (!name.starts_with("io.k8s.api.core.v1.") && !name.starts_with("io.k8s.apimachinery.")) continue;
    CAPTURE(name);
    check(schema);
    ++definitions;
    const json::Value* properties = schema.find("properties");
    if (!properties) continue;
    for (const auto& [field, property] : properties->as_object()) {
      CAPTURE(field);
      check(property);
    }
  }
  CHECK(definitions > 200);
}
