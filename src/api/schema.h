// schema.h: the API as data: messages and fields as tables, and the one engine that works on any of them.
// Built-in tables come from src/api/schema/*.proto by the generator (tools/schemagen); a CRD's OpenAPI schema compiles
// into the same structs later, so nothing here assumes static storage.
// A document in memory is a json::Value. A *canonical* document has its members in schema order, omitempty zero values
// dropped, scalars in upstream's canonical text; json::write of it is byte for byte what upstream's encoder gives.
// Source: Kubernetes API definitions v1.36 (field numbers, JSON names, markers).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kayak::api {

enum class FieldType : std::uint8_t { kBool, kInt32, kInt64, kDouble, kString, kBytes, kMessage };
enum class FieldLabel : std::uint8_t { kOptional, kRepeated, kMap };  // map keys are always strings
enum class ListType : std::uint8_t { kUnset, kAtomic, kSet, kMap };
// How a message reads and writes as JSON.
enum class JsonForm : std::uint8_t {
  kObject,
  kTime,
  kMicroTime,
  kDuration,
  kQuantity,
  kIntOrString,
  kRawExtension,
  kFieldsV1,
  kJson,
  kJsonSchemaOrBool,
  kJsonSchemaOrArray,
  kJsonSchemaOrStringArray,
  kVerbs /* a bare list, as ExtraValue */
};

struct Message;
struct Enum {
  std::string_view name;
  std::span<const std::string_view> values;
  bool closed = false;  // carries the enum marker
};
struct Field {
  std::string_view json_name;    // empty: the message's fields appear inline
  std::string_view description;  // what `kubectl explain` prints
  std::int32_t number = 0;       // protobuf; 0: JSON only
  FieldType type = FieldType::kString;
  FieldLabel label = FieldLabel::kOptional;
  const Message* message = nullptr;  // of kMessage (value type for kMap)
  const Enum* enumeration = nullptr;
  bool omitempty = false, omitzero = false, pointer = false, required = false, is_inline = false;
  bool patch_merge = false, patch_replace = false, patch_retain_keys = false;  // patchStrategy
  bool atomic = false;                                                         // mapType or structType atomic
  ListType list_type = ListType::kUnset;
  std::string_view merge_key;  // patchMergeKey
  std::span<const std::string_view> list_map_keys;
  std::string_view default_json;  // marker default, JSON text; empty: none
  std::string_view go_type;       // for messages: "int32", "[]v1.Container"
};
struct Message {
  std::string_view name;  // "k8s.io.api.core.v1.PodSpec"
  std::string_view description;
  JsonForm form = JsonForm::kObject;
  bool has_type_meta = false;  // JSON starts with kind, apiVersion
  bool atomic = false;
  std::span<const Field> fields;                        // in JSON order
  const Field* find(std::string_view json_name) const;  // looks through inline messages
  std::string_view short_name() const;                  // "PodSpec"
};

// All built-in messages, by full name; null when unknown.
const Message* find_message(std::string_view full_name);
// The message of a kind as documents name it: ("apps/v1", "Deployment"). Meta kinds (Status, DeleteOptions, ...) are
// found under every group version. Null when unknown.
const Message* find_message(std::string_view api_version, std::string_view kind);
std::span<const Message* const> all_messages();

// What strict decoding reports; upstream's wording: unknown field "spec.foo", duplicate field "spec.foo".
struct DecodeIssues {
  std::vector<std::string> unknown;     // JSON paths
  std::vector<std::string> duplicates;  // JSON paths (from the reader)
};

// Any JSON value into a canonical document of `message`: unknown members dropped and reported, types checked, scalars
// canonical. Errors: BadRequest with Go's wording ("json: cannot unmarshal string into Go struct field
// DeploymentSpec.spec.replicas of type int32").
Result<json::Value> decode_json(const Message& message, json::Value input, DecodeIssues* issues = nullptr);
// Puts a document that code has built or changed into canonical form (order, zero values). Trusted input: unknown
// members are dropped silently, and so are values of wrong types, which only another writer of the store leaves.
void canonicalize(const Message& message, json::Value& document);
// A canonical document from and to protobuf wire bytes (no envelope). Errors: BadRequest (malformed).
Result<json::Value> decode_protobuf(const Message& message, std::string_view bytes);
std::string encode_protobuf(const Message& message, const json::Value& document);
// With upstream's envelope: 6b 38 73 00 + runtime.Unknown {typeMeta, raw}.
struct Enveloped {
  std::string api_version, kind;
  json::Value document;
};
Result<Enveloped> decode_envelope(std::string_view bytes);
std::string encode_envelope(std::string_view api_version, std::string_view kind, const Message& message,
                            const json::Value& document);
// The envelope around bytes that encode_protobuf has made.
std::string wrap_envelope(std::string_view api_version, std::string_view kind, std::string_view raw);
// One event of a protobuf watch, without the length that frames it: WatchEvent has no envelope of its own there, its
// object has one.
std::string encode_watch_event(std::string_view type, std::string_view object_envelope);

// Strategic merge patch with all directives ($patch, $retainKeys, $setElementOrder/x, $deleteFromPrimitiveList/x).
// Errors: BadRequest, Invalid with upstream's wording.
Result<json::Value> strategic_merge(const Message& message, const json::Value& original, const json::Value& patch);

}  // namespace kayak::api
