// validate_crd_schema.cc: the rules of a custom resource's OpenAPI schema: that it is structural, and what its
// extensions may say. Rules in CEL are looked at only for being there, and defaults not for their values: both need the
// engine that runs the schema.
// Source: apiextensions-apiserver pkg/apis/apiextensions/validation, pkg/apiserver/schema (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

enum class Level : std::uint8_t { kRoot, kItem, kField };

bool is_schema(const Checked& value) { return value.present() && value.value().is_object(); }
bool has_text(const Checked& schema, std::string_view member) { return !schema[member].text().empty(); }

// ---- what no structural schema has

// The members that cannot be kept at all; "" when there are none here or below.
std::string_view unsupported_member(const Checked& schema) {
  for (const std::string_view member : {"id", "$schema", "$ref"}) {
    if (has_text(schema, member)) return member == "$schema" ? "schema" : member;
  }
  for (const std::string_view member : {"patternProperties", "dependencies", "definitions"}) {
    if (schema[member].size() > 0) return member;
  }
  if (schema["additionalItems"].present()) return "additionalItems";
  std::string_view found;
  const auto look = [&found](const Checked& below) {
    if (found.empty() && is_schema(below)) found = unsupported_member(below);
  };
  look(schema["items"]);
  look(schema["additionalProperties"]);
  each_entry(schema["properties"], [&](std::string_view, const Checked& property) { look(property); });
  return found;
}

// anyOf: [{type: integer}, {type: string}], which x-kubernetes-int-or-string may carry.
bool is_int_or_string_pattern(const Checked& any_of) {
  if (any_of.size() != 2) return false;
  const auto is_only_type = [&](std::size_t i, std::string_view type) {
    const Checked schema = any_of.item(i);
    return schema.size() == 1 && schema["type"].text() == type;
  };
  return is_only_type(0, "integer") && is_only_type(1, "string");
}

struct Forbidden {
  std::string_view member, words;
};
constexpr Forbidden kNestedForbidden[] = {
    {"default", "must be undefined to be structural"},
    {"title", "must be empty to be structural"},
    {"description", "must be empty to be structural"},
    {"nullable", "must be false to be structural"},
    {"x-kubernetes-preserve-unknown-fields", "must be false to be structural"},
    {"x-kubernetes-embedded-resource", "must be false to be structural"},
    {"x-kubernetes-int-or-string", "must be false to be structural"},
    {"x-kubernetes-list-map-keys", "must be empty to be structural"},
    {"x-kubernetes-list-type", "must be undefined to be structural"},
    {"x-kubernetes-map-type", "must be undefined to be structural"},
    {"x-kubernetes-validations", "must be empty to be structural"},
};

// Whether a member says something: false, "" and empty lists do not.
bool says_something(const Checked& member) {
  if (!member.present()) return false;
  const json::Value& value = member.value();
  if (value.is_bool()) return value.as_bool();
  if (value.is_string() || value.is_array()) return !member.empty();
  return true;
}

void check_value_rules(const Checked& schema, bool skip_any_of, bool skip_first_all_of);

// A schema inside allOf, anyOf, oneOf or not: it may only limit values, as the shape is said outside.
void check_nested(const Checked& schema, bool skip_any_of) {
  if (!is_schema(schema)) return;
  check_value_rules(schema, skip_any_of, false);
  check_nested(schema["items"], false);
  const Checked properties = schema["properties"];
  each_entry(properties, [](std::string_view, const Checked& property) { check_nested(property, false); });
  if (has_text(schema, "type")) schema["type"].forbidden("must be empty to be structural");
  const Checked additional = schema["additionalProperties"];
  if (additional.present()) additional.forbidden("must be undefined to be structural");
  for (const Forbidden& row : kNestedForbidden) {
    const Checked member = schema[row.member];
    const bool is_default = row.member == "default";
    if (is_default ? member.present() : says_something(member)) member.forbidden(row.words);
  }
  const Checked metadata = properties.entry("metadata");
  if (metadata.present()) metadata.forbidden("must not be specified in a nested context");
}

void check_value_rules(const Checked& schema, bool skip_any_of, bool skip_first_all_of) {
  if (!skip_any_of) {
    each_item(schema["anyOf"], [](const Checked& nested) { check_nested(nested, false); });
  }
  const Checked all_of = schema["allOf"];
  for (std::size_t i = 0; i < all_of.size(); ++i) check_nested(all_of.item(i), skip_first_all_of && i == 0);
  each_item(schema["oneOf"], [](const Checked& nested) { check_nested(nested, false); });
  check_nested(schema["not"], false);
}

// ---- the shape

void check_extensions(const Checked& schema) {
  if (!schema["x-kubernetes-int-or-string"].flag()) return;
  for (const std::string_view member : {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"}) {
    const Checked other = schema[member];
    if (other.flag()) other.invalid("must be false if x-kubernetes-int-or-string is true");
  }
}

void check_type(const Checked& schema, Level level) {
  const Checked type = schema["type"];
  const bool embedded = schema["x-kubernetes-embedded-resource"].flag();
  constexpr std::string_view kEmbedded = "must be object if x-kubernetes-embedded-resource is true";
  if (embedded && type.text() != "object") {
    if (type.text().empty()) {
      type.required(kEmbedded);
    } else {
      type.invalid(kEmbedded);
    }
  } else if (type.text().empty() && !schema["x-kubernetes-int-or-string"].flag() &&
             !schema["x-kubernetes-preserve-unknown-fields"].flag()) {
    type.required(level == Level::kRoot   ? "must not be empty at the root"
                  : level == Level::kItem ? "must not be empty for specified array items"
                                          : "must not be empty for specified object fields");
  }
  const Checked additional = schema["additionalProperties"];
  if (embedded && additional.present()) {
    additional.forbidden("must not be used if x-kubernetes-embedded-resource is set");
  }
  if (level == Level::kRoot && !type.text().empty() && type.text() != "object") {
    type.invalid("must be object at the root");
  }
}

// Of the root, metadata is known: only the limits of names may be said.
void check_root_metadata(const Checked& metadata) {
  const Checked properties = metadata["properties"];
  bool only_names = true;
  each_entry(properties, [&](std::string_view name, const Checked&) {
    only_names = only_names && (name == "name" || name == "generateName");
  });
  bool more = !only_names;
  each_entry(metadata, [&](std::string_view member, const Checked& value) {
    const bool known = contains({"type", "properties", "default"}, member);
    more = more || (!known && says_something(value));
  });
  if (more) {
    metadata.forbidden(
        "must not specify anything other than name and generateName, but metadata is implicitly specified");
  }
}

void check_object_members(const Checked& schema, Level level) {
  const bool embedded = schema["x-kubernetes-embedded-resource"].flag();
  const Checked properties = schema["properties"];
  const bool is_resource = level == Level::kRoot || embedded;
  for (const std::string_view name : {"kind", "apiVersion"}) {
    const Checked property = properties.entry(name);
    const Checked type = property["type"];
    if (is_resource && property.present() && type.text() != "string") type.invalid(type.text(), "must be string");
  }
  const Checked metadata = properties.entry("metadata");
  if (metadata.present()) {
    const Checked type = metadata["type"];
    if (is_resource && type.text() != "object") type.invalid(type.text(), "must be object");
    if (level == Level::kRoot) check_root_metadata(metadata);
  }
  if (embedded && !schema["x-kubernetes-preserve-unknown-fields"].flag() && properties.size() == 0) {
    properties.required(
        "must not be empty if x-kubernetes-embedded-resource is true without "
        "x-kubernetes-preserve-unknown-fields");
  }
}

void check_structure(const Checked& schema, Level level) {
  const Checked items = schema["items"];
  if (schema["type"].text() == "array" && !items.present()) items.required("must be specified");
  if (is_schema(items)) check_structure(items, Level::kItem);
  each_entry(schema["properties"],
             [](std::string_view, const Checked& property) { check_structure(property, Level::kField); });
  const Checked additional = schema["additionalProperties"];
  if (additional.present() && level == Level::kRoot) additional.forbidden("must not be used at the root");
  if (is_schema(additional)) check_structure(additional, Level::kField);
  check_extensions(schema);
  const Checked all_of = schema["allOf"];
  const Checked first = all_of.item(0);
  check_value_rules(schema, is_int_or_string_pattern(schema["anyOf"]), is_int_or_string_pattern(first["anyOf"]));
  check_type(schema, level);
  check_object_members(schema, level);
}

// ---- what nested schemas name must be there outside

void check_complete_nested(const Checked& nested, const Checked& schema);

void check_complete(const Checked& holder, const Checked& schema) {
  const auto check = [&](const Checked& nested) {
    if (is_schema(nested)) check_complete_nested(nested, schema);
  };
  check(holder["not"]);
  for (const std::string_view member : {"allOf", "anyOf", "oneOf"}) each_item(holder[member], check);
}

void check_complete_nested(const Checked& nested, const Checked& schema) {
  if (!is_schema(schema)) return schema.required(cat("because it is defined in ", nested.path().text()));
  check_complete(nested, schema);
  const Checked nested_items = nested["items"];
  if (is_schema(nested_items)) check_complete_nested(nested_items, schema["items"]);
  const Checked properties = schema["properties"];
  each_entry(nested["properties"], [&](std::string_view name, const Checked& property) {
    check_complete_nested(property, properties.entry(name));
  });
}

// ---- each schema by itself

struct Place {
  bool is_root = false;
  bool inside_metadata = false;         // of the resource, or of an embedded one
  std::string_view no_default_because;  // "": a default may be set
};

void check_plain_members(const Checked& schema, const Place& place) {
  const Checked type = schema["type"];
  if (!type.text().empty() && !contains({"array", "boolean", "integer", "number", "object", "string"}, type.text())) {
    type.not_supported({"array", "boolean", "integer", "number", "object", "string"});
  }
  if (schema["default"].present() && !place.no_default_because.empty()) {
    schema["default"].forbidden(cat("must not be set ", place.no_default_because));
  }
  for (const std::string_view member :
       {"id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"}) {
    if (says_something(schema[member])) schema[member].forbidden(cat(member, " is not supported"));
  }
  if (type.text() == "null") type.forbidden("type cannot be set to null, use nullable as an alternative");
  const Checked items = schema["items"];
  if (items.present() && items.value().is_array()) {
    items.forbidden("items must be a schema object and not an array");
  }
  if (place.inside_metadata && schema["x-kubernetes-embedded-resource"].flag()) {
    schema["x-kubernetes-embedded-resource"].forbidden("must not be used inside of resource meta");
  }
  if (schema["uniqueItems"].flag()) {
    schema["uniqueItems"].forbidden("uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
  }
}

void check_required_type(const Checked& schema, std::string_view wanted, std::string_view because) {
  const Checked type = schema["type"];
  if (type.text() == wanted) return;
  const std::string words = cat("must be ", wanted, " if ", because, " is specified");
  if (type.text().empty()) {
    type.required(words);
  } else {
    type.invalid(words);
  }
}

void check_list_keys(const Checked& schema) {
  const Checked keys = schema["x-kubernetes-list-map-keys"];
  const Checked items = schema["items"];
  const Checked properties = items["properties"];
  bool unknown = false;  // the whole list is shown: once is enough
  const Repeats repeated(keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys.item(i).text();
    const Checked property = properties.entry(key);
    if (!property.present()) {
      if (!unknown) keys.invalid("entries must all be names of item properties");
      unknown = true;
    } else if (contains({"array", "object"}, property["type"].text())) {
      property["type"].invalid(items["type"].value(),
                               "must be a scalar type if parent array's x-kubernetes-list-type is map");
    }
  }
  if (repeated.any()) keys.invalid("must not contain duplicate entries");
}

void check_map_list(const Checked& schema) {
  const Checked keys = schema["x-kubernetes-list-map-keys"];
  const Checked items = schema["items"];
  if (keys.size() == 0) keys.required("must not be empty if x-kubernetes-list-type is map");
  if (!items.present()) return items.required("must have a schema if x-kubernetes-list-type is map");
  if (!is_schema(items)) return items.invalid("must only have a single schema if x-kubernetes-list-type is map");
  const Checked type = items["type"];
  if (type.text() != "object") {
    return type.invalid(type.text(), "must be object if parent array's x-kubernetes-list-type is map");
  }
  check_list_keys(schema);
}

void check_set_items(const Checked& items) {
  constexpr std::string_view kAtomic = "must be atomic as item of a list with x-kubernetes-list-type=set";
  const Checked list_type = items["x-kubernetes-list-type"];
  const Checked map_type = items["x-kubernetes-map-type"];
  if (items["type"].text() == "array" && list_type.present() && list_type.text() != "atomic") {
    list_type.invalid(kAtomic);
  }
  if (items["type"].text() == "object" && map_type.text() != "atomic") {
    map_type.invalid(list_type.value(), kAtomic);
  }
}

// Items of sets and maps are told apart by their values, so that none may be missing.
void check_item_values(const Checked& schema, std::string_view list_type) {
  const Checked items = schema["items"];
  if (!is_schema(items)) return;
  if (items["nullable"].flag()) {
    items["nullable"].forbidden(cat("cannot be nullable when x-kubernetes-list-type is ", list_type));
  }
  if (list_type != "map") return;
  const Checked properties = items["properties"];
  const Checked required = items["required"];
  each_item(schema["x-kubernetes-list-map-keys"], [&](const Checked& key) {
    const Checked property = properties.entry(key.text());
    if (!property.present()) return;
    bool is_required = false;
    each_item(required, [&](const Checked& name) { is_required = is_required || name.text() == key.text(); });
    if (!is_required && !property["default"].present()) {
      property["default"].required(
          "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property");
    }
    if (property["nullable"].flag()) {
      property["nullable"].forbidden("this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
  });
}

void check_collections(const Checked& schema) {
  const Checked preserve = schema["x-kubernetes-preserve-unknown-fields"];
  if (preserve.present() && !preserve.flag()) preserve.invalid("must be true or undefined");
  const Checked map_type = schema["x-kubernetes-map-type"];
  if (map_type.present()) {
    check_required_type(schema, "object", "x-kubernetes-map-type");
    check_choice(map_type, {"atomic", "granular"});
  }
  const Checked list_type = schema["x-kubernetes-list-type"];
  const Checked items = schema["items"];
  if (list_type.present()) {
    check_required_type(schema, "array", "x-kubernetes-list-type");
    if (schema["type"].text() == "array" && list_type.text() == "set" && is_schema(items)) check_set_items(items);
    check_choice(list_type, {"atomic", "set", "map"});
  }
  constexpr std::string_view kMap = "must be map if x-kubernetes-list-map-keys is non-empty";
  if (schema["x-kubernetes-list-map-keys"].size() > 0 && list_type.text() != "map") {
    if (list_type.present()) {
      list_type.invalid(kMap);
    } else {
      list_type.required(kMap);
    }
  }
  if (list_type.text() == "map") check_map_list(schema);
  if (contains({"set", "map"}, list_type.text())) check_item_values(schema, list_type.text());
}

bool has_newline(std::string_view text) { return text.find_first_of("\r\n") != std::string_view::npos; }

void check_cel_rule(const Checked& rule) {
  const Checked expression = rule["rule"];
  const Checked message = rule["message"];
  const std::string_view trimmed_rule = trim(expression.text()), trimmed_message = trim(message.text());
  if (trimmed_rule.empty()) {
    expression.required("rule is not specified");
  } else if (!message.text().empty() && trimmed_message.empty()) {
    message.invalid("must be non-empty if specified");
  } else if (has_newline(trimmed_message)) {
    message.invalid("must not contain line breaks");
  } else if (has_newline(trimmed_rule) && trimmed_message.empty()) {
    message.required("message must be specified if rule contains line breaks");
  }
  const Checked message_expression = rule["messageExpression"];
  if (!message_expression.text().empty() && trim(message_expression.text()).empty()) {
    message_expression.required("messageExpression must be non-empty if specified");
  }
  const Checked reason = rule["reason"];
  if (reason.present()) {
    check_choice(reason, {"FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"});
  }
  const Checked path = rule["fieldPath"];
  if (!path.text().empty() && trim(path.text()).empty()) path.invalid("must be non-empty if specified");
  if (has_newline(path.text())) path.invalid("must not contain line breaks");
}

void check_each_schema(const Checked& schema, const Place& place);

void check_properties(const Checked& schema, const Place& place) {
  const bool is_resource = place.is_root || schema["x-kubernetes-embedded-resource"].flag();
  each_entry(schema["properties"], [&](std::string_view name, const Checked& property) {
    Place below = place;
    below.is_root = false;
    const bool is_meta = contains({"metadata", "kind", "apiVersion"}, name);
    const std::string because = cat("in top-level ", name);
    if (is_resource && is_meta) {
      below.inside_metadata = true;
      if (place.is_root) below.no_default_because = because;
    }
    check_each_schema(property, below);
  });
}

void check_each_schema(const Checked& schema, const Place& place) {
  check_plain_members(schema, place);
  Place below = place;
  below.is_root = false;
  const Checked additional = schema["additionalProperties"];
  const bool allows = additional.present() && (is_schema(additional) || additional.flag());
  if (additional.present() && schema["properties"].size() > 0 && (!allows || is_schema(additional))) {
    additional.forbidden("additionalProperties and properties are mutual exclusive");
  }
  if (is_schema(additional)) {
    Place inside = below;
    if (place.inside_metadata) inside.no_default_because = "inside additionalProperties applying to object metadata";
    check_each_schema(additional, inside);
  }
  check_properties(schema, place);
  const auto check_below = [&](const Checked& nested) {
    if (is_schema(nested)) check_each_schema(nested, below);
  };
  check_below(schema["not"]);
  for (const std::string_view member : {"allOf", "oneOf", "anyOf"}) each_item(schema[member], check_below);
  check_below(schema["items"]);
  check_collections(schema);
  each_item(schema["x-kubernetes-validations"], check_cel_rule);
}

// ---- the root

// With a status subresource the root may only say what a plain object says.
void check_root_members(const Checked& holder, const Checked& root) {
  constexpr std::string_view kWords =
      "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength "
      "Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
      "XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is "
      "enabled";
  bool done = false;
  each_entry(root, [&](std::string_view member, const Checked& value) {
    if (done) return;
    const bool allowed = contains({"description",
                                   "type",
                                   "format",
                                   "title",
                                   "maximum",
                                   "exclusiveMaximum",
                                   "minimum",
                                   "exclusiveMinimum",
                                   "maxLength",
                                   "minLength",
                                   "pattern",
                                   "maxItems",
                                   "minItems",
                                   "uniqueItems",
                                   "multipleOf",
                                   "required",
                                   "items",
                                   "properties",
                                   "externalDocs",
                                   "example",
                                   "x-kubernetes-preserve-unknown-fields",
                                   "x-kubernetes-validations"},
                                  member);
    if (member == "type" && value.text() != "object") {
      holder.as("openAPIV3Schema.type", value.get())
          .invalid(
              "only \"object\" is allowed as the type at the root of the schema if the status subresource is "
              "enabled");
      done = true;
    } else if (!allowed && says_something(value)) {
      root.invalid(kWords);
      done = true;
    }
  });
}

// Structural faults come in the order of their texts.
void check_structural(const Checked& root) {
  const std::size_t before = root.errors().size();
  check_structure(root, Level::kRoot);
  check_complete(root, root);
  std::sort(root.errors().begin() + static_cast<std::ptrdiff_t>(before), root.errors().end(),
            [](const field::Error& a, const field::Error& b) { return a.message() < b.message(); });
}

}  // namespace

void check_custom_schema(const Checked& schema, bool has_status) {
  const Checked root = schema["openAPIV3Schema"];
  if (!is_schema(root)) return;
  const std::size_t before = root.errors().size();
  if (has_status) check_root_members(schema, root);
  if (root["nullable"].flag()) root["nullable"].forbidden("nullable cannot be true at the root");
  const std::string_view unsupported = unsupported_member(root);
  if (unsupported.empty()) check_structural(root);
  Place place;
  place.is_root = true;
  check_each_schema(root, place);
  if (!unsupported.empty() && root.errors().size() == before) {
    root.invalid("", cat("OpenAPIV3Schema '", unsupported, "' is not supported"));
  }
}

}  // namespace kayak::api::validation
