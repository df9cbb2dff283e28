// validate_custom.cc: the rules of custom resource definitions, but for their schemas, and of API services.
// Source: apiextensions-apiserver pkg/apis/apiextensions/validation, kube-aggregator
// pkg/apis/apiregistration/validation (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"
#include "io/http.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxSelectableFields = 8;
constexpr std::size_t kMaxDeprecationWarning = 256;
constexpr std::string_view kApprovedAnnotation = "api-approved.kubernetes.io";

// What versions have alike is said of the spec, as upstream keeps it there: `member` of the first version when all
// are the same, else null.
const json::Value* shared_member(const Checked& versions, std::string_view member) {
  if (versions.size() == 0) return nullptr;
  const json::Array& list = versions.value().as_array();
  const json::Value* first = list[0].find(member);
  const bool same = std::all_of(list.begin(), list.end(),
                                [&](const json::Value& version) { return same_value(version.find(member), first); });
  return same ? first : nullptr;
}

// ---- names

void check_label_text(const Checked& field) {
  const Messages faults = field.text().empty() ? Messages() : dns1035_label(field.text());
  if (!faults.empty()) field.invalid(join(faults, ","));
}

void check_kind_text(const Checked& field) {
  const Messages faults = field.text().empty() ? Messages() : dns1035_label(to_lower(field.text()));
  if (!faults.empty()) field.invalid(cat("may have mixed case, but should otherwise match: ", join(faults, ",")));
}

void check_names(const Checked& names) {
  check_label_text(names["plural"]);
  check_label_text(names["singular"]);
  const Checked kind = names["kind"];
  const Checked list_kind = names["listKind"];
  check_kind_text(kind);
  check_kind_text(list_kind);
  const auto check_each = [](const Checked& name) {
    const Messages faults = dns1035_label(name.text());
    if (!faults.empty()) name.invalid(join(faults, ","));
  };
  each_item(names["shortNames"], check_each);
  if (!kind.text().empty() && kind.text() == list_kind.text()) {
    list_kind.invalid("kind and listKind may not be the same");
  }
  each_item(names["categories"], check_each);
}

void check_group(const Checked& group) {
  if (group.text().empty()) return group.required();
  if (const Messages faults = dns1123_subdomain(group.text()); !faults.empty()) {
    return group.invalid(join(faults, ","));
  }
  if (group.text().find('.') == std::string_view::npos) group.invalid("should be a domain with at least one dot");
}

// ---- versions

void check_simple_path(const Checked& path, std::string_view text) {
  if (!text.starts_with('.')) path.invalid("must be a simple json path starting with .");
}

void check_column(const Checked& column) {
  if (column["name"].text().empty()) column["name"].required();
  const Checked type = column["type"];
  constexpr std::string_view kTypes = "must be one of boolean,date,integer,number,string";
  if (type.text().empty()) {
    type.required(kTypes);
  } else if (!contains({"boolean", "date", "integer", "number", "string"}, type.text())) {
    type.invalid(kTypes);
  }
  const Checked format = column["format"];
  if (!format.text().empty() &&
      !contains({"int32", "int64", "float", "double", "byte", "date", "date-time", "password"}, format.text())) {
    format.invalid("must be one of byte,date,date-time,double,float,int32,int64,password");
  }
  const Checked path = column.as("JSONPath", column["jsonPath"].get());
  if (path.text().empty()) {
    path.required();
  } else {
    check_simple_path(path, path.text());
  }
}

struct ScalePath {
  std::string_view member, name, prefix, words;
};
constexpr ScalePath kScalePaths[] = {
    {"specReplicasPath", "scale.specReplicasPath", ".spec.", "should be a json path under .spec"},
    {"statusReplicasPath", "scale.statusReplicasPath", ".status.", "should be a json path under .status"}};

void check_subresources(const Checked& subresources) {
  const Checked scale = subresources["scale"];
  if (!scale.present()) return;
  const auto check = [](const Checked& path, bool is_under, std::string_view words) {
    const std::size_t before = path.errors().size();
    check_simple_path(path, path.text());
    if (path.errors().size() == before && !is_under) path.invalid(words);
  };
  for (const ScalePath& row : kScalePaths) {
    const Checked path = subresources.as(row.name, scale[row.member].get());
    if (path.text().empty()) {
      path.required();
    } else {
      check(path, path.text().starts_with(row.prefix), row.words);
    }
  }
  const Checked selector = subresources.as("scale.labelSelectorPath", scale["labelSelectorPath"].get());
  if (selector.text().empty()) return;
  check(selector, selector.text().starts_with(".spec.") || selector.text().starts_with(".status."),
        "should be a json path under either .spec or .status");
}

void check_deprecation(const Checked& version) {
  const Checked warning = version["deprecationWarning"];
  if (!warning.present()) return;
  const std::string_view text = warning.text();
  if (!version["deprecated"].flag()) return warning.invalid("can only be set for deprecated versions");
  if (text.size() > kMaxDeprecationWarning) warning.invalid("must be <= 256 characters long");
  if (text.empty()) warning.invalid("must not be an empty string");
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = next_code_point(text.substr(at));
    if (c.value < 0x20 || (c.value >= 0x7f && c.value <= 0xa0)) {
      return warning.invalid(
          cat("must only contain printable UTF-8 characters; non-printable character found at index ", at));
    }
    at += c.size;
  }
}

// The schema that ".spec.a.b" names; null when there is none.
const json::Value* schema_at(const json::Value& root, std::string_view path) {
  const json::Value* schema = &root;
  for (const std::string_view name : split(path.substr(1), '.')) {
    const json::Value* next = schema->at({"properties", name});
    if (next == nullptr) return nullptr;
    schema = next;
  }
  return schema;
}

void check_selectable_fields(const Checked& fields, const json::Value* schema) {
  if (fields.size() == 0) return;
  const json::Value* root = schema == nullptr ? nullptr : schema->find("openAPIV3Schema");
  if (root == nullptr) {
    return fields.invalid("", "may only be set when `version.schema.openAPIV3Schema` is not included");
  }
  std::size_t unique = 0;
  const Repeats repeated(fields, "jsonPath");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Checked entry = fields.item(i);
    const Checked path = entry["jsonPath"];
    if (path.text().empty()) {
      path.required();
      continue;
    }
    const json::Value* found = path.text().starts_with('.') ? schema_at(*root, path.text()) : nullptr;
    if (path.text() == ".metadata" || path.text().starts_with(".metadata.")) {
      path.invalid("must not point to fields in metadata");
    } else if (found == nullptr) {
      path.invalid("is an invalid path: does not refer to a valid field");
      continue;
    }
    const json::Value* type = found == nullptr ? nullptr : found->find("type");
    if (type == nullptr || !contains({"string", "boolean", "integer"}, type->string_or())) {
      path.invalid(
          "must point to a field of type string, boolean or integer. Enum string fields and strings with "
          "formats are allowed.");
    }
    if (repeated[i]) {
      path.duplicate();
    } else {
      ++unique;
    }
  }
  if (unique > kMaxSelectableFields) {
    fields.errors().push_back(field::too_many(fields.path(), unique, kMaxSelectableFields));
  }
}

bool has_status(const Checked& version) {
  const Checked subresources = version["subresources"];
  return subresources["status"].present();
}

// What all versions share is checked once, as the spec's.
struct Shared {
  const json::Value *schema, *subresources, *columns, *selectable;
};

void check_version(const Checked& version, const Shared& shared) {
  const Checked name = version["name"];
  if (const Messages faults = dns1035_label(name.text()); !faults.empty()) name.invalid(name.text(), join(faults, ","));
  check_deprecation(version);
  const Checked schema = version["schema"];
  if (shared.schema == nullptr && schema.present()) check_custom_schema(schema, has_status(version));
  if (shared.subresources == nullptr) check_subresources(version["subresources"]);
  if (shared.columns == nullptr) each_item(version["additionalPrinterColumns"], check_column);
  if (shared.selectable == nullptr) check_selectable_fields(version["selectableFields"], schema.get());
}

void check_versions(const Checked& spec, const Shared& shared) {
  const Checked versions = spec["versions"];
  if (shared.schema == nullptr || shared.schema->find("openAPIV3Schema") == nullptr) {
    each_item(versions, [](const Checked& version) {
      const Checked schema = version["schema"];
      if (!schema["openAPIV3Schema"].present()) schema["openAPIV3Schema"].required();
    });
  }
  bool unique = true;
  std::size_t stored = 0;
  const Repeats repeated(versions, "name");
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const Checked version = versions.item(i);
    if (version["storage"].flag()) ++stored;
    unique = unique && !repeated[i];
    check_version(version, shared);
  }
  if (!unique) versions.invalid("must contain unique version names");
  if (stored != 1) versions.invalid("must have exactly one version marked as storage version");
}

// What all versions have alike.
void check_shared(const Checked& spec, const Shared& shared) {
  const Checked versions = spec["versions"];
  bool any_status = false;
  each_item(versions, [&](const Checked& version) { any_status = any_status || has_status(version); });
  if (shared.schema != nullptr) check_custom_schema(spec.as("validation", shared.schema), any_status);
  if (shared.subresources != nullptr) check_subresources(spec.as("subresources", shared.subresources));
  if (shared.columns != nullptr) each_item(spec.as("additionalPrinterColumns", shared.columns), check_column);
  if (shared.selectable != nullptr) {
    const json::Value* schema = versions.size() == 0 ? nullptr : versions.value().as_array()[0].find("schema");
    check_selectable_fields(spec.as("selectableFields", shared.selectable), schema);
  }
}

// ---- conversion

void check_conversion(const Checked& conversion, bool known_versions) {
  if (!conversion.present()) return;
  const Checked strategy = conversion["strategy"];
  if (strategy.text().empty()) {
    strategy.required();
  } else {
    check_choice(strategy, {"None", "Webhook"});
  }
  const Checked webhook = conversion["webhook"];
  const Checked client = conversion.as("webhookClientConfig", webhook["clientConfig"].get());
  const Checked versions = conversion.as("conversionReviewVersions", webhook["conversionReviewVersions"].get());
  if (strategy.text() == "Webhook") {
    if (client.present()) {
      check_webhook_client(client);
    } else {
      client.required("required when strategy is set to Webhook");
    }
    return check_review_versions(versions, known_versions, "");
  }
  constexpr std::string_view kUnused = "should not be set when strategy is not set to Webhook";
  if (client.present()) client.forbidden(kUnused);
  if (versions.size() > 0) versions.forbidden(kUnused);
}

// ---- the whole

void check_spec(const Checked& spec, bool known_versions) {
  check_group(spec["group"]);
  const Checked scope = spec["scope"];
  if (scope.text().empty()) {
    scope.required();
  } else {
    check_choice(scope, {"Cluster", "Namespaced"});
  }
  const Checked versions = spec["versions"];
  const Shared shared{shared_member(versions, "schema"), shared_member(versions, "subresources"),
                      shared_member(versions, "additionalPrinterColumns"), shared_member(versions, "selectableFields")};
  check_versions(spec, shared);
  const Checked names = spec["names"];
  for (const std::string_view member : {"plural", "singular", "kind", "listKind"}) {
    if (names[member].text().empty()) names[member].required();
  }
  check_names(names);
  check_shared(spec, shared);
  const Checked conversion = spec["conversion"];
  const Checked strategy = conversion["strategy"];
  if (conversion.present() && strategy.text() != "None" && spec["preserveUnknownFields"].flag()) {
    strategy.invalid("must be None if spec.preserveUnknownFields is true");
  }
  check_conversion(conversion, known_versions);
}

// Versions that were ever stored must stay, or their objects could not be read.
void check_stored_versions(const Checked& root) {
  const Checked status = root["status"];
  const Checked stored = status["storedVersions"];
  if (stored.size() == 0) return stored.invalid("must have at least one stored version");
  const Checked spec = root["spec"];
  const Checked versions = spec["versions"];
  const auto lists = [](const Checked& list, std::string_view member, std::string_view wanted) {
    bool found = false;
    each_item(list, [&](const Checked& item) {
      found = found || (member.empty() ? item.text() : item[member].text()) == wanted;
    });
    return found;
  };
  each_item(versions, [&](const Checked& version) {
    const std::string_view name = version["name"].text();
    if (version["storage"].flag() && !lists(stored, "", name)) {
      stored.invalid(cat("must have the storage version ", name));
    }
  });
  each_item(stored, [&](const Checked& version) {
    const std::string_view name = version.text();
    if (lists(versions, "name", name)) return;
    version.invalid(cat("missing from spec.versions; ", name,
                        " was previously a storage version, and must remain in spec.versions until a storage migration "
                        "ensures no data remains persisted in ",
                        name, " and removes ", name, " from status.storedVersions"));
  });
}

// ---- groups of the Kubernetes project

enum class Approval : std::uint8_t { kMissing, kBypassed, kApproved, kInvalid };
Approval approval_of(const json::Value& object) {
  const json::Value* annotation = object.at({"metadata", "annotations", kApprovedAnnotation});
  const std::string_view text = annotation == nullptr ? std::string_view() : annotation->string_or();
  if (text.empty()) return Approval::kMissing;
  if (text.starts_with("unapproved")) return Approval::kBypassed;
  return io::parse_url(text) ? Approval::kApproved : Approval::kInvalid;
}

void check_approval(const Checked& root, const json::Value* old) {
  const Checked spec = root["spec"];
  const std::string_view group = spec["group"].text();
  const auto belongs_to = [&](std::string_view domain) { return group == domain || group.ends_with(cat(".", domain)); };
  if (!belongs_to("k8s.io") && !belongs_to("kubernetes.io")) return;
  const Approval approval = approval_of(root.value());
  if (old != nullptr && approval_of(*old) == approval) return;
  const Checked metadata = root["metadata"];
  const Checked annotations = metadata["annotations"];
  const Checked annotation = annotations.entry(kApprovedAnnotation);
  const std::string must = cat("protected groups must have approval annotation ", quote(kApprovedAnnotation));
  constexpr std::string_view kSee = ", see https://github.com/kubernetes/enhancements/pull/1111";
  if (approval == Approval::kMissing) annotation.required(cat(must, kSee));
  if (approval == Approval::kInvalid) {
    annotation.invalid(cat(must, " with either a URL or a reason starting with \"unapproved\"", kSee));
  }
}

void check_preserve(const Checked& root, const json::Value* old) {
  const json::Value* before = old == nullptr ? nullptr : old->at({"spec", "preserveUnknownFields"});
  if (before != nullptr && before->bool_or(false)) return;
  const Checked spec = root["spec"];
  const Checked preserve = spec["preserveUnknownFields"];
  if (preserve.flag()) {
    preserve.invalid(
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead");
  }
}

void check_definition(const Checked& root, const json::Value* old, bool known_versions) {
  check_spec(root["spec"], known_versions);
  const Checked status = root["status"];
  check_names(status["acceptedNames"]);
  check_stored_versions(root);
  check_approval(root, old);
  check_preserve(root, old);
}

void create_definition(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  const Checked spec = root["spec"];
  const Checked names = spec["names"];
  if (name.text() != cat(names["plural"].text(), ".", spec["group"].text())) {
    name.invalid("must be spec.names.plural+\".\"+spec.group");
  }
  check_definition(root, nullptr, true);
}

bool is_established(const json::Value& definition) { return has_condition(definition, "Established", "True"); }

bool had_known_review(const json::Value& old) {
  const json::Value* versions = old.at({"spec", "conversion", "webhook", "conversionReviewVersions"});
  if (versions == nullptr || !versions->is_array() || versions->as_array().empty()) return true;
  const json::Array& list = versions->as_array();
  return std::any_of(list.begin(), list.end(), [](const json::Value& version) {
    return contains({"v1", "v1beta1"}, version.string_or());
  });
}

void update_definition(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_definition(root, &old, had_known_review(old));
  const Checked spec = root["spec"];
  const Checked names = spec["names"];
  if (is_established(old)) {
    check_immutable(spec["scope"], old.at({"spec", "scope"}));
    check_immutable(names["kind"], old.at({"spec", "names", "kind"}));
  }
  check_immutable(spec["group"], old.at({"spec", "group"}));
  check_immutable(names["plural"], old.at({"spec", "names", "plural"}));
}

void update_definition_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_names(status["acceptedNames"]);
}

// ---- API services

void check_local_service(const Checked& spec) {
  const Checked bundle = spec["caBundle"];
  std::string bytes;
  if (!bundle.text().empty() && base64_decode(bundle.text(), &bytes)) {
    bundle.invalid(cat(bytes.size(), " bytes"), "local APIServices may not have a caBundle");
  }
  const Checked insecure = spec["insecureSkipTLSVerify"];
  if (insecure.flag()) insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
}

void check_remote_service(const Checked& spec, const Checked& service) {
  for (const std::string_view member : {"namespace", "name"}) {
    if (service[member].text().empty()) service[member].required();
  }
  const Checked port = service["port"];
  const Messages faults = port_number(port.number());
  if (!faults.empty()) port.invalid(port.number(), cat("port is not valid: ", join(faults, ", ")));
  const Checked insecure = spec["insecureSkipTLSVerify"];
  if (insecure.flag() && !spec["caBundle"].text().empty()) insecure.invalid("may not be true if caBundle is present");
}

void create_api_service(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  const Checked spec = root["spec"];
  const Checked group = spec["group"];
  const Checked version = spec["version"];
  const std::string wanted = cat(version.text(), ".", group.text());
  if (path_segment_name(name.text()).empty() && name.text() != wanted) {
    name.invalid(cat("must be `spec.version+\".\"+spec.group`: ", quote(wanted)));
  }
  if (group.text().empty() && version.text() != "v1") {
    group.required("only v1 may have an empty group and it better be legacy kube");
  }
  if (!group.text().empty()) check_name(group, dns1123_subdomain);
  check_name(version, dns1035_label);
  const auto check_priority = [](const Checked& priority, std::int64_t max) {
    if (priority.number() > 0 && priority.number() <= max) return;
    priority.invalid(priority.number(), cat("must be positive and less than ", max));
  };
  check_priority(spec["groupPriorityMinimum"], 20000);
  check_priority(spec["versionPriority"], 1000);
  const Checked service = spec["service"];
  if (service.present()) {
    check_remote_service(spec, service);
  } else {
    check_local_service(spec);
  }
}

void update_api_service(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_api_service(object, errors);
}

void update_api_service_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  each_item(status["conditions"], [](const Checked& condition) {
    check_choice(condition["status"], {"True", "False", "Unknown"});
  });
}

}  // namespace

std::vector<Row> custom_rows() {
  constexpr std::string_view kExtensions = "apiextensions.k8s.io", kRegistration = "apiregistration.k8s.io";
  return {
      {kExtensions, "customresourcedefinitions", "", dns1123_subdomain, create_definition, update_definition},
      {kExtensions, "customresourcedefinitions", "status", nullptr, nullptr, update_definition_status},
      {kRegistration, "apiservices", "", path_segment_name, create_api_service, update_api_service},
      {kRegistration, "apiservices", "status", nullptr, nullptr, update_api_service_status},
  };
}

}  // namespace kayak::api::validation
