// openapi_gnostic.cc: parts of an OpenAPI 2.0 document in gnostic's protobuf, which kubectl reads instead of JSON.
// Extensions and defaults travel as text in YAML, which JSON is.
// Source: google/gnostic openapiv2/OpenAPIv2.proto (field numbers).
#include "api/openapi_impl.h"

namespace kayak::api::openapi {
namespace {

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_text(std::string& out, int number, const json::Value* text) {
  if (text && !text->string_or().empty()) append_field(out, number, text->string_or());
}

void append_texts(std::string& out, int number, const json::Value* list) {
  if (!list || !list->is_array()) return;
  for (const json::Value& text : list->as_array()) append_field(out, number, text.string_or());
}

void append_bool(std::string& out, int number, const json::Value* value) {
  if (!value || !value->bool_or(false)) return;
  append_varint(out, static_cast<std::uint64_t>(number) << 3);
  out += '\1';
}

// Any {2: yaml}
std::string any(const json::Value& value) {
  std::string out;
  append_field(out, 2, json::write(value));
  return out;
}

void append_anys(std::string& out, int number, const json::Value* list) {
  if (!list || !list->is_array()) return;
  for (const json::Value& value : list->as_array()) append_field(out, number, any(value));
}

void append_extensions(std::string& out, int number, const json::Value& of) {
  for (const auto& [key, value] : of.as_object()) {
    if (key.starts_with("x-")) append_field(out, number, gnostic_named(key, any(value)));
  }
}

// {1: message} where a union holds one.
std::string wrapped(int number, std::string_view message) {
  std::string out;
  append_field(out, number, message);
  return out;
}

// The part that header, query and path parameters share. Path parameters lack allow_empty_value, so that from `type` on
// their numbers are one lower.
std::string simple_parameter(const json::Value& parameter, bool in_path) {
  const int shift = in_path ? -1 : 0;
  std::string out;
  append_bool(out, 1, parameter.find("required"));
  append_text(out, 2, parameter.find("in"));
  append_text(out, 3, parameter.find("description"));
  append_text(out, 4, parameter.find("name"));
  append_text(out, 6 + shift, parameter.find("type"));
  append_text(out, 7 + shift, parameter.find("format"));
  append_bool(out, 20 + shift, parameter.find("uniqueItems"));
  append_extensions(out, 23 + shift, parameter);
  return out;
}

std::string body_parameter(const json::Value& parameter) {
  std::string out;
  append_text(out, 1, parameter.find("description"));
  append_text(out, 2, parameter.find("name"));
  append_text(out, 3, parameter.find("in"));
  append_bool(out, 4, parameter.find("required"));
  if (const json::Value* schema = parameter.find("schema")) append_field(out, 5, gnostic_schema(*schema));
  return out;
}

// ParametersItem: a parameter or a reference.
void append_parameters(std::string& out, int number, const json::Value* parameters) {
  if (!parameters || !parameters->is_array()) return;
  for (const json::Value& parameter : parameters->as_array()) {
    if (const json::Value* ref = parameter.find("$ref")) {
      append_field(out, number, wrapped(2, wrapped(1, ref->string_or())));
    } else {
      append_field(out, number, wrapped(1, gnostic_parameter(parameter)));
    }
  }
}

std::string responses(const json::Value& all) {
  std::string out;
  for (const auto& [code, response] : all.as_object()) {
    std::string body;
    append_text(body, 1, response.find("description"));
    if (const json::Value* schema = response.find("schema")) append_field(body, 2, wrapped(1, gnostic_schema(*schema)));
    append_field(out, 1, gnostic_named(code, wrapped(1, body)));
  }
  return out;
}

std::string operation(const json::Value& operation) {
  std::string out;
  append_texts(out, 1, operation.find("tags"));
  append_text(out, 3, operation.find("description"));
  append_text(out, 5, operation.find("operationId"));
  append_texts(out, 6, operation.find("produces"));
  append_texts(out, 7, operation.find("consumes"));
  append_parameters(out, 8, operation.find("parameters"));
  if (const json::Value* all = operation.find("responses")) append_field(out, 9, responses(*all));
  append_texts(out, 10, operation.find("schemes"));
  append_extensions(out, 13, operation);
  return out;
}

}  // namespace

void append_field(std::string& out, int number, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(number) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

std::string gnostic_named(std::string_view name, std::string_view value) {
  std::string out;
  append_field(out, 1, name);
  append_field(out, 2, value);
  return out;
}

std::string gnostic_parameter(const json::Value& parameter) {
  const json::Value* in = parameter.find("in");
  const std::string_view place = in ? in->string_or() : "";
  if (place == "body") return wrapped(1, body_parameter(parameter));
  const bool in_path = place == "path";
  return wrapped(2, wrapped(in_path ? 4 : 3, simple_parameter(parameter, in_path)));
}

std::string gnostic_schema(const json::Value& schema) {
  std::string out;
  append_text(out, 1, schema.find("$ref"));
  append_text(out, 2, schema.find("format"));
  append_text(out, 4, schema.find("description"));
  if (const json::Value* value = schema.find("default")) append_field(out, 5, any(*value));
  append_texts(out, 19, schema.find("required"));
  append_anys(out, 20, schema.find("enum"));
  if (const json::Value* value = schema.find("additionalProperties")) {
    append_field(out, 21, wrapped(1, gnostic_schema(*value)));
  }
  if (const json::Value* type = schema.find("type")) append_field(out, 22, wrapped(1, type->string_or()));
  if (const json::Value* items = schema.find("items")) append_field(out, 23, wrapped(1, gnostic_schema(*items)));
  if (const json::Value* properties = schema.find("properties")) {
    std::string all;
    for (const auto& [name, property] : properties->as_object()) {
      append_field(all, 1, gnostic_named(name, gnostic_schema(property)));
    }
    append_field(out, 25, all);
  }
  append_extensions(out, 31, schema);
  return out;
}

std::string gnostic_path_item(const json::Value& item) {
  constexpr std::pair<std::string_view, int> kMethods[] = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  std::string out;
  for (const auto& [method, number] : kMethods) {
    if (const json::Value* found = item.find(method)) append_field(out, number, operation(*found));
  }
  append_parameters(out, 9, item.find("parameters"));
  return out;
}

}  // namespace kayak::api::openapi
