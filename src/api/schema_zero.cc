// schema_zero.cc: what upstream's JSON encoder does with zero values, and small facts about types.
// Source: Go encoding/json (omitempty, omitzero); the MarshalJSON methods of the special types.
#include <algorithm>

#include "api/schema_impl.h"

namespace kayak::api::detail {

namespace {

json::Value zero_scalar(FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return false;
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kDouble:
      return 0;
    case FieldType::kString:
      return "";
    case FieldType::kBytes:
    case FieldType::kMessage:
      break;
  }
  return nullptr;
}

void add_zero_members(const Message& message, json::Object* out) {
  for (const Field& field : message.fields) {
    json::Value zero;
    if (field.is_inline) {
      add_zero_members(*field.message, out);
    } else if (zero_member(field, &zero)) {
      out->members().push_back({std::string(field.json_name), std::move(zero)});
    }
  }
}

}  // namespace

json::Value zero_of(const Message& message) {
  switch (message.form) {
    case JsonForm::kObject: {
      json::Object out;
      add_zero_members(message, &out);
      return out;
    }
    case JsonForm::kDuration:
      return "0s";
    case JsonForm::kQuantity:
      return "0";
    case JsonForm::kIntOrString:
      return 0;
    case JsonForm::kJsonSchemaOrBool:
      return false;
    default:
      return nullptr;
  }
}

bool zero_member(const Field& field, json::Value* zero) {
  if (field.omitzero) return false;
  if (field.label == FieldLabel::kOptional && !field.pointer && field.type == FieldType::kMessage) {
    *zero = zero_of(*field.message);  // omitempty has no effect on a struct
    return true;
  }
  if (field.omitempty) return false;
  const bool scalar = field.label == FieldLabel::kOptional && !field.pointer;
  *zero = scalar ? zero_scalar(field.type) : json::Value();
  return true;
}

json::Value zero_element(const Field& field) {
  if (field.type == FieldType::kMessage) return zero_of(*field.message);
  if (field.type == FieldType::kBytes) return "";
  return zero_scalar(field.type);
}

bool leaves_out(const Field& field, const json::Value& value) {
  if (field.pointer || !field.omitempty) return false;
  if (field.label == FieldLabel::kRepeated) return value.is_array() && value.as_array().empty();
  if (field.label == FieldLabel::kMap) return value.is_object() && value.as_object().empty();
  switch (field.type) {
    case FieldType::kBool:
      return !value.bool_or(true);
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kDouble:
      return value.int_or(1) == 0;
    case FieldType::kString:
    case FieldType::kBytes:
      return value.is_string() && value.as_string().empty();
    case FieldType::kMessage:
      return false;
  }
  return false;
}

void sort_by_key(json::Object& map) {
  const auto by_key = [](const json::Member& a, const json::Member& b) { return a.first < b.first; };
  if (!std::is_sorted(map.begin(), map.end(), by_key)) std::sort(map.begin(), map.end(), by_key);
}

std::string go_type_of(const Message& message) {
  const std::size_t name = message.name.rfind('.');
  const std::size_t package =
      name == 0 || name == message.name.npos ? message.name.npos : message.name.rfind('.', name - 1);
  return std::string(message.name.substr(package == message.name.npos ? 0 : package + 1));
}

std::string element_go_type(const Field& field) {
  std::string_view type = field.go_type;
  if (field.label == FieldLabel::kRepeated && type.starts_with("[]")) return std::string(type.substr(2));
  if (field.label == FieldLabel::kMap) {
    if (type.starts_with("map[")) return std::string(type.substr(type.find(']') + 1));
    return field.type == FieldType::kMessage ? go_type_of(*field.message) : "string";
  }
  return std::string(type);
}

std::string_view json_type_name(const json::Value& value) {
  switch (value.type()) {
    case json::Type::kNull:
      return "null";
    case json::Type::kBool:
      return "bool";
    case json::Type::kInt:
    case json::Type::kNumber:
      return "number";
    case json::Type::kString:
      return "string";
    case json::Type::kArray:
      return "array";
    case json::Type::kObject:
      return "object";
  }
  return "";
}

}  // namespace kayak::api::detail
