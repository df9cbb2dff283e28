// openapi_schema.cc: messages as OpenAPI schemas.
// Source: kube-openapi pkg/generators (extensions, formats, names), the OpenAPISchemaType of the special types.
#include <algorithm>

#include "api/openapi_impl.h"
#include "api/schema_tables.h"
#include "base/strings.h"

namespace kayak::api::openapi {
namespace {

json::Value typed(std::string_view type, std::string_view format = {}) {
  json::Object out;
  out.set("type", type);
  if (!format.empty()) out.set("format", format);
  return out;
}

json::Value one_of(std::initializer_list<std::string_view> types) {
  json::Array choices;
  for (const std::string_view type : types) choices.push_back(typed(type));
  return choices;
}

// The parts of a special type's schema beside its description.
json::Value special(JsonForm form, Version version) {
  switch (form) {
    case JsonForm::kTime:
    case JsonForm::kMicroTime:
      return typed("string", "date-time");
    case JsonForm::kDuration:
      return typed("string");
    case JsonForm::kQuantity: {
      if (version == Version::kV2) return typed("string");
      json::Object out;
      out.set("oneOf", one_of({"string", "number"}));
      return out;
    }
    case JsonForm::kIntOrString: {
      if (version == Version::kV2) return typed("string", "int-or-string");
      json::Object out;
      out.set("format", "int-or-string");
      out.set("oneOf", one_of({"integer", "string"}));
      return out;
    }
    case JsonForm::kRawExtension:
    case JsonForm::kFieldsV1:
      return typed("object");
    default:
      return json::Object();  // anything
  }
}

bool is_inlined(const Message& message) { return message.form == JsonForm::kVerbs; }

json::Value scalar(const Field& field) {
  switch (field.type) {
    case FieldType::kBool:
      return typed("boolean");
    case FieldType::kInt32:
      return typed("integer", "int32");
    case FieldType::kInt64:
      return typed("integer", "int64");
    case FieldType::kDouble:
      return typed("number", "double");
    case FieldType::kBytes:
      return typed("string", "byte");
    default:
      break;
  }
  json::Value out = typed("string");
  if (field.enumeration && field.enumeration->closed) {
    std::vector<std::string_view> values(field.enumeration->values.begin(), field.enumeration->values.end());
    std::sort(values.begin(), values.end());
    json::Array list;
    for (const std::string_view value : values) list.emplace_back(value);
    out["enum"] = std::move(list);
  }
  return out;
}

// A reference with other words beside it needs allOf in version 3, where a $ref stands alone.
json::Value wrapped_reference(const Message& message, Version version, bool value_struct) {
  json::Value ref = reference(message, version);
  if (version == Version::kV2) return ref;
  json::Object out;
  json::Array all;
  all.push_back(std::move(ref));
  out.set("allOf", std::move(all));
  if (value_struct && message.form == JsonForm::kObject) out.set("default", json::Object());
  return out;
}

// One value of the field: itself, a list element, a map value.
json::Value element(const Field& field, Version version) {
  if (field.type != FieldType::kMessage) return scalar(field);
  if (is_inlined(*field.message)) {
    json::Value out = typed("array");
    out["items"] = typed("string");
    return out;
  }
  return wrapped_reference(*field.message, version, !field.pointer);
}

std::string patch_strategy(const Field& field) {
  std::vector<std::string> parts;
  if (field.patch_merge) parts.emplace_back("merge");
  if (field.patch_replace) parts.emplace_back("replace");
  if (field.patch_retain_keys) parts.emplace_back("retainKeys");
  return join(parts, ",");
}

void add_extensions(const Field& field, json::Value& out) {
  switch (field.list_type) {
    case ListType::kUnset:
      break;
    case ListType::kAtomic:
      out["x-kubernetes-list-type"] = "atomic";
      break;
    case ListType::kSet:
      out["x-kubernetes-list-type"] = "set";
      break;
    case ListType::kMap: {
      json::Array keys;
      for (const std::string_view key : field.list_map_keys) keys.emplace_back(key);
      out["x-kubernetes-list-map-keys"] = std::move(keys);
      out["x-kubernetes-list-type"] = "map";
      break;
    }
  }
  if (field.atomic) out["x-kubernetes-map-type"] = "atomic";
  if (!field.merge_key.empty()) out["x-kubernetes-patch-merge-key"] = field.merge_key;
  if (const std::string strategy = patch_strategy(field); !strategy.empty()) {
    out["x-kubernetes-patch-strategy"] = strategy;
  }
}

json::Value property(const Field& field, Version version) {
  json::Value out;
  switch (field.label) {
    case FieldLabel::kOptional:
      out = element(field, version);
      break;
    case FieldLabel::kRepeated:
      out = typed("array");
      out["items"] = element(field, version);
      break;
    case FieldLabel::kMap:
      out = typed("object");
      out["additionalProperties"] = element(field, version);
      break;
  }
  if (!field.description.empty()) out["description"] = field.description;
  if (!field.default_json.empty()) {
    if (Result<json::Value> value = json::read(field.default_json)) out["default"] = *std::move(value);
  }
  add_extensions(field, out);
  return out;
}

void add_properties(const Message& message, Version version, json::Object* properties, json::Array* required) {
  for (const Field& field : message.fields) {
    if (field.is_inline) {
      add_properties(*field.message, version, properties, required);
      continue;
    }
    properties->set(field.json_name, property(field, version));
    if (field.required) required->emplace_back(field.json_name);
  }
}

json::Value text_property(std::string_view description) {
  json::Value out = typed("string");
  out["description"] = description;
  return out;
}

json::Value group_version_kind(std::string_view api_version, std::string_view kind) {
  const std::size_t slash = api_version.find('/');
  json::Object out;
  out.set("group", slash == api_version.npos ? "" : api_version.substr(0, slash));
  out.set("kind", kind);
  out.set("version", slash == api_version.npos ? api_version : api_version.substr(slash + 1));
  return out;
}

// The group versions under which documents name a message.
json::Array group_version_kinds(const Message& message) {
  json::Array out;
  const std::string_view package = message.name.substr(0, message.name.rfind('.'));
  const std::string_view kind = message.short_name();
  const bool everywhere = kind == "DeleteOptions" || kind == "WatchEvent";  // part of every group version
  if (!message.has_type_meta && !everywhere) return out;
  for (const auto& row : detail::kGroupVersionPackages) {
    const bool own = row.package == package;
    const bool meta = package == "k8s.io.apimachinery.pkg.apis.meta.v1";
    if (everywhere ? row.package != package || meta : own) out.push_back(group_version_kind(row.group_version, kind));
  }
  const auto key = [](const json::Value& v) {
    return cat(v.find("group")->string_or(), "/", v.find("version")->string_or());
  };
  std::sort(out.begin(), out.end(), [&](const json::Value& a, const json::Value& b) { return key(a) < key(b); });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

std::string definition_name(const Message& message) {
  std::string_view rest = message.name;
  std::string out = "io.k8s";
  if (rest.starts_with("k8s.io.")) rest.remove_prefix(7);
  out += cat(".", rest);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

json::Value reference(const Message& message, Version version) {
  json::Object out;
  out.set("$ref", cat(version == Version::kV2 ? "#/definitions/" : "#/components/schemas/", definition_name(message)));
  return out;
}

json::Value definition(const Message& message, Version version) {
  json::Value out;
  if (message.form != JsonForm::kObject) {
    out = special(message.form, version);
    if (!message.description.empty()) out["description"] = message.description;
    return out;
  }
  out = typed("object");
  if (!message.description.empty()) out["description"] = message.description;
  json::Object properties;
  json::Array required;
  if (message.has_type_meta) {
    properties.set("apiVersion", text_property("The version of the schema of this object, as group/version. The server "
                                               "converts between the versions that it serves."));
    properties.set("kind", text_property("The kind of this object, in CamelCase. It cannot be changed."));
  }
  add_properties(message, version, &properties, &required);
  std::sort(properties.members().begin(), properties.members().end(),
            [](const json::Member& a, const json::Member& b) { return a.first < b.first; });
  if (!properties.empty()) out["properties"] = std::move(properties);
  if (!required.empty()) {
    std::sort(required.begin(), required.end(),
              [](const json::Value& a, const json::Value& b) { return a.as_string() < b.as_string(); });
    out["required"] = std::move(required);
  }
  if (json::Array kinds = group_version_kinds(message); !kinds.empty()) {
    out["x-kubernetes-group-version-kind"] = std::move(kinds);
  }
  if (message.atomic) out["x-kubernetes-map-type"] = "atomic";
  return out;
}

namespace {

void reach(const Message& message, std::set<const Message*>* seen) {
  if (message.form != JsonForm::kObject) {  // the insides of special types are nobody's business
    if (!is_inlined(message)) seen->insert(&message);
    return;
  }
  if (!seen->insert(&message).second) return;
  const auto into = [seen](const Message& outer, const auto& self) -> void {
    for (const Field& field : outer.fields) {
      if (!field.message) continue;
      if (field.is_inline) {
        self(*field.message, self);
      } else {
        reach(*field.message, seen);
      }
    }
  };
  into(message, into);
}

}  // namespace

std::vector<const Message*> reachable(const std::vector<const Message*>& roots) {
  std::set<const Message*> seen;
  for (const Message* root : roots) reach(*root, &seen);
  std::vector<const Message*> out(seen.begin(), seen.end());
  std::sort(out.begin(), out.end(),
            [](const Message* a, const Message* b) { return definition_name(*a) < definition_name(*b); });
  return out;
}

}  // namespace kayak::api::openapi
