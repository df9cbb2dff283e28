// Tests of the protobuf codec: golden objects both ways, merging, packing, limits, malformed bytes.
#include <catch2/catch.hpp>

#include "api/messages.h"
#include "api/schema.h"
#include "api/support_golden.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/yaml.h"

using namespace kayak;
using api::Message;
using namespace std::string_literals;

namespace {

std::string decoded(const Message& message, std::string_view bytes) {
  const Result<json::Value> value = api::decode_protobuf(message, bytes);
  return value ? json::write(*value) : "error: " + value.error().message();
}

std::string encoded_hex(const Message& message, std::string_view text) {
  Result<json::Value> value = json::read(text);
  REQUIRE(value);
  value = api::decode_json(message, *std::move(value));
  REQUIRE(value);
  return hex_encode(api::encode_protobuf(message, *value));
}

std::string field(int number, std::string_view content) {
  REQUIRE(content.size() < 128 * 128);
  std::string out(1, static_cast<char>(number << 3 | 2));
  if (content.size() >= 128) {
    out += static_cast<char>(content.size() % 128 | 0x80);
    out += static_cast<char>(content.size() / 128);
  } else {
    out += static_cast<char>(content.size());
  }
  return out.append(content);
}

}  // namespace

TEST_CASE("golden objects: protobuf to JSON and back, byte for byte") {
  for (const test::Golden& golden : test::golden_objects()) {
    CAPTURE(golden.name);
    const Message* message = api::find_message(golden.api_version, golden.kind);
    REQUIRE(message);
    const Result<json::Value> from_json = json::read(golden.json);
    REQUIRE(from_json);
    const Result<json::Value> canonical = api::decode_json(*message, *from_json);
    REQUIRE(canonical);
    if (!message->has_type_meta) {  // WatchEvent does not name itself, so it cannot be found by its envelope
      const std::string raw = api::encode_protobuf(*message, *canonical);
      CHECK(hex_encode(api::wrap_envelope("", "", raw)) == hex_encode(golden.pb));
      const Result<json::Value> back = api::decode_protobuf(*message, raw);
      REQUIRE(back);
      CHECK(json::write_pretty(*back) == golden.json);
      continue;
    }
    const Result<api::Enveloped> object = api::decode_envelope(golden.pb);
    if (!object) FAIL(object.error().message());
    CHECK(object->api_version == golden.api_version);
    CHECK(object->kind == golden.kind);
    CHECK(json::write_pretty(object->document) == golden.json);
    const std::string bytes = api::encode_envelope(golden.api_version, golden.kind, *message, *canonical);
    CHECK(hex_encode(bytes) == hex_encode(golden.pb));
  }
}

TEST_CASE("value fields are written even when zero, pointers and lists only when set") {
  CHECK(encoded_hex(api::messages::core_v1_ContainerPort, "{}") == "0a001000180022002a00");
  CHECK(encoded_hex(api::messages::core_v1_PodCondition, R"({"type":"R"})") == "0a015212001a0022002a0032003800");
  CHECK(encoded_hex(api::messages::apps_v1_DeploymentSpec, R"({"replicas":-1})").substr(0, 22) ==
        "08ffffffffffffffffff01");
  CHECK(encoded_hex(api::messages::core_v1_ConfigMapKeySelector, R"({"name":"n","key":"k","optional":false})") ==
        "0a030a016e12016b1800");
  CHECK(encoded_hex(api::messages::apiextensions_v1_JSONSchemaPropsOrBool, "true") == "0801");
}

TEST_CASE("protobuf reads in any order, merges, unpacks and skips") {
  using namespace api::messages;
  CHECK(decoded(core_v1_LocalObjectReference, field(9, "unknown") + "\x18\x01" + field(1, "n")) == R"({"name":"n"})");
  // The last scalar wins, messages merge.
  CHECK(decoded(core_v1_LocalObjectReference, field(1, "a") + field(1, "b")) == R"({"name":"b"})");
  CHECK(decoded(core_v1_Pod, field(1, field(1, "name")) + field(1, field(3, "ns"))) ==
        R"({"metadata":{"name":"name","namespace":"ns"},"spec":{"containers":null},"status":{}})");
  CHECK(decoded(core_v1_PodSecurityContext, field(4, "\x01\x02\x80\x01"s)) == R"({"supplementalGroups":[1,2,128]})");
  CHECK(decoded(core_v1_PodSecurityContext, "\x20\x01\x20\x02"s) == R"({"supplementalGroups":[1,2]})");
  // Maps: sorted, the last of equal keys, missing parts are zero.
}

TEST_CASE("protobuf maps: sorted, the last of equal keys, missing parts are zero") {
  const Message& message = api::messages::core_v1_ConfigMap;
  const auto entry = [](std::string_view key, std::string_view value) {
    return field(2, field(1, key) + field(2, value));
  };
  CHECK(decoded(message, entry("b", "1") + entry("a", "2") + entry("b", "3") + field(2, field(1, "c"))) ==
        R"({"metadata":{},"data":{"a":"2","b":"3","c":""}})");
}

TEST_CASE("a zero time behind a pointer is unset, as null is in JSON") {
  CHECK(decoded(api::messages::batch_v1_JobStatus, field(2, "")) == "{}");
  CHECK(decoded(api::messages::core_v1_PodCondition, field(4, "")) ==
        R"({"type":"","status":"","lastProbeTime":null,"lastTransitionTime":null})");
}

TEST_CASE("malformed protobuf is refused") {
  struct Row {
    std::string_view what;
    const Message& message;
    std::string bytes;
  };
  for (const Row& row : {
           Row{"cut tag", api::messages::core_v1_Pod, "\x8a"},
           Row{"cut length", api::messages::core_v1_Pod, "\x0a\x05xx"},
           Row{"huge length", api::messages::core_v1_Pod, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
           Row{"varint too long", api::messages::core_v1_Pod, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
           Row{"field number 0", api::messages::core_v1_Pod, std::string("\x02\x00", 2)},
           Row{"group", api::messages::core_v1_Pod, "\x0b\x0c"},
           Row{"wrong wire type", api::messages::core_v1_LocalObjectReference, "\x08\x01"},
           Row{"message as varint", api::messages::core_v1_Pod, "\x08\x01"},
           Row{"bad quantity", api::messages::core_v1_ResourceRequirements,
               field(1, field(1, "cpu") + field(2, field(1, "lots")))},
           Row{"time far off", api::messages::meta_v1_ObjectMeta, field(8, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
           Row{"raw that is no JSON", api::messages::apps_v1_ControllerRevision, field(2, field(1, "{x"))},
       }) {
    CAPTURE(row.what);
    CHECK(decoded(row.message, row.bytes).substr(0, 7) == "error: ");
  }
}

TEST_CASE("small protobuf cannot make a huge document") {
  // 200,000 empty containers of two bytes each.
  std::string spec;
  for (int i = 0; i < 200'000; ++i) spec += "\x12"s + '\0';
  CHECK(decoded(api::messages::core_v1_PodSpec, spec) == "error: protobuf message has more than 400000 values");
}

TEST_CASE("deeply nested protobuf is refused") {
  // JSONSchemaProps.not nests in itself.
  const Message& message = api::messages::apiextensions_v1_JSONSchemaProps;
  const int number = message.find("not")->number;
  for (const auto& [levels, fits] : {std::pair{200, true}, std::pair{300, false}}) {
    std::string bytes;
    for (int i = 0; i < levels; ++i) {
      std::string outer;
      const int tag = number << 3 | 2;
      if (tag >= 128) outer += static_cast<char>(tag % 128 | 0x80);
      outer += static_cast<char>(tag >= 128 ? tag / 128 : tag);
      std::size_t size = bytes.size();
      for (; size >= 128; size >>= 7) outer += static_cast<char>(size | 0x80);
      outer += static_cast<char>(size);
      bytes = outer + bytes;
    }
    CAPTURE(levels);
    CHECK((decoded(message, bytes).substr(0, 7) != "error: ") == fits);
  }
}

TEST_CASE("the envelope") {
  CHECK(hex_encode(api::wrap_envelope("v1", "Pod", "x")) ==
        "6b3873000a090a02763112"
        "03506f6412017"
        "81a002200");
  for (const std::string_view bad : {"", "k8s", "{}", "k8s\x01zz"}) {
    CAPTURE(bad);
    const auto result = api::decode_envelope(bad);
    REQUIRE(!result);
    CHECK(result.error().message() ==
          "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  const auto unknown = api::decode_envelope(api::wrap_envelope("example.com/v1", "Thing", ""));
  REQUIRE(!unknown);
  CHECK(unknown.error().message() == R"(no kind "Thing" is registered for version "example.com/v1")");
  const auto options = api::decode_envelope(api::wrap_envelope("apps/v1", "DeleteOptions", ""));
  REQUIRE(options);
  CHECK(json::write(options->document) == R"({"kind":"DeleteOptions","apiVersion":"apps/v1"})");
}
