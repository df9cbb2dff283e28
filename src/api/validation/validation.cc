// validation.cc: the search for an object's row, and the rules that every object and many kinds share.
// Source: apimachinery pkg/api/validation (objectmeta.go), pkg/apis/meta/v1/validation; apiserver registry/rest
// (BeforeCreate, BeforeUpdate).
#include "api/validation/validation.h"

#include <unordered_set>

#include "api/document.h"
#include "api/validation/read.h"
#include "api/validation/warnings.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kAnnotationBytes = 256 * 1024;  // all keys and values together
constexpr std::size_t kManagerBytes = 128;
constexpr std::size_t kSubresourceBytes = 256;
constexpr std::string_view kImmutable = "field is immutable";
constexpr std::string_view kOrphan = "orphan";
constexpr std::string_view kForeground = "foregroundDeletion";

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  for (auto* part : {pod_rows, core_rows, workload_rows, cluster_rows, access_rows}) {
    const std::vector<Row> more = part();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

const Row* find_row(const Kind& kind, std::string_view subresource) {
  static const std::vector<Row> rows = all_rows();
  for (const Row& row : rows) {
    if (row.resource == kind.plural && row.subresource == subresource && row.group == kind.group) return &row;
  }
  return nullptr;
}

// A finalizer without a domain is one of Kubernetes' own. Kinds that came later than the core never checked this.
bool has_standard_finalizers(const Kind& kind) {
  return kind.group != "apiextensions.k8s.io" && kind.group != "apiregistration.k8s.io";
}

void check_standard_finalizers(const json::Value& meta, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kStandard[] = {"kubernetes", kOrphan, kForeground};
  const auto finalizers = list(meta, "finalizers");
  for (std::size_t i = 0; i < finalizers.size(); ++i) {
    const std::string_view finalizer = finalizers[i].string_or();
    if (finalizer.find('/') != std::string_view::npos || one_of(finalizer, kStandard)) continue;
    errors.push_back(field::invalid(path.child("finalizers").index(i), finalizers[i],
                                    "name is neither a standard finalizer name nor is it fully qualified"));
  }
}

void check_finalizers(const json::Value& meta, const field::Path& path, field::ErrorList& errors) {
  bool orphan = false, foreground = false;
  for (const json::Value& finalizer : list(meta, "finalizers")) {
    check_text(finalizer.string_or(), qualified_name, path.child("finalizers"), errors);
    orphan = orphan || finalizer.string_or() == kOrphan;
    foreground = foreground || finalizer.string_or() == kForeground;
  }
  if (!orphan || !foreground) return;
  errors.push_back(field::invalid(path.child("finalizers"), *meta.find("finalizers"),
                                  cat("finalizer ", kOrphan, " and ", kForeground, " cannot be both set")));
}

void check_owner(const json::Value& owner, const field::Path& path, field::ErrorList& errors) {
  const std::string_view version = text(owner, "apiVersion");
  if (version.empty() || version.ends_with('/')) {
    errors.push_back(field::invalid(path.child("apiVersion"), json::Value(version), "version must not be empty"));
  }
  for (const char* name : {"kind", "name", "uid"}) {
    if (text(owner, name).empty()) errors.push_back(field::invalid(path.child(name), "", "must not be empty"));
  }
  if (version == "v1" && text(owner, "kind") == "Event") {
    errors.push_back(field::invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
  }
}

void check_owners(const json::Value& meta, const field::Path& path, field::ErrorList& errors) {
  std::string first_controller;
  for (const json::Value& owner : list(meta, "ownerReferences")) {
    check_owner(owner, path.child("ownerReferences"), errors);
    if (!flag(owner, "controller")) continue;
    const std::string controller = cat(text(owner, "kind"), "/", text(owner, "name"));
    if (!first_controller.empty()) {
      errors.push_back(
          field::invalid(path.child("ownerReferences"), *meta.find("ownerReferences"),
                         cat("Only one reference can have Controller set to true. Found \"true\" in references for ",
                             first_controller, " and ", controller)));
    } else {
      first_controller = controller;
    }
  }
}

void check_managed_fields(const json::Value& meta, const field::Path& parent, field::ErrorList& errors) {
  const auto entries = list(meta, "managedFields");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const json::Value& entry = entries[i];
    const auto path = [&] { return parent.child("managedFields").index(i); };
    const std::string_view operation = text(entry, "operation");
    if (operation != "Apply" && operation != "Update") {
      errors.push_back(
          field::invalid(path().child("operation"), json::Value(operation), "must be `Apply` or `Update`"));
    }
    const std::string_view type = text(entry, "fieldsType");
    if (!type.empty() && type != "FieldsV1") {
      errors.push_back(field::invalid(path().child("fieldsType"), json::Value(type), "must be `FieldsV1`"));
    }
    if (text(entry, "manager").size() > kManagerBytes) {
      errors.push_back(field::too_long(path().child("manager"), kManagerBytes));
    }
    if (text(entry, "subresource").size() > kSubresourceBytes) {
      errors.push_back(field::too_long(path().child("subresource"), kSubresourceBytes));
    }
  }
}

void check_namespace(const json::Value& meta, bool namespaced, const field::Path& path, field::ErrorList& errors) {
  const std::string_view name = text(meta, "namespace");
  if (!namespaced) {
    if (!name.empty()) errors.push_back(field::forbidden(path.child("namespace"), "not allowed on this type"));
  } else if (name.empty()) {
    errors.push_back(field::required(path.child("namespace"), ""));
  } else {
    check_text(name, dns1123_label, path.child("namespace"), errors);
  }
}

void check_name(const json::Value& meta, NameRule rule, const field::Path& path, field::ErrorList& errors) {
  const std::string_view prefix = text(meta, "generateName");
  if (!prefix.empty()) {
    const Messages messages = rule == path_segment_name ? path_segment_prefix(prefix) : name_prefix(rule, prefix);
    field::append_invalid(errors, path.child("generateName"), json::Value(prefix), messages);
  }
  const std::string_view name = text(meta, "name");
  if (name.empty()) {
    errors.push_back(field::required(path.child("name"), "name or generateName is required"));
  } else {
    check_text(name, rule, path.child("name"), errors);
  }
}

void check_no_new_finalizers(const json::Value& meta, const json::Value& old, const field::Path& path,
                             field::ErrorList& errors) {
  std::vector<std::string> added;
  std::unordered_set<std::string_view> before;
  for (const json::Value& finalizer : list(old, "finalizers")) before.insert(finalizer.string_or());
  for (const json::Value& finalizer : list(meta, "finalizers")) {
    if (before.count(finalizer.string_or()) == 0) {
      added.push_back(quote(finalizer.string_or()));
    }
  }
  if (added.empty()) return;
  std::sort(added.begin(), added.end());
  errors.push_back(field::forbidden(path.child("finalizers"),
                                    cat("no new finalizers can be added if the object is being deleted, found new "
                                        "finalizers []string{",
                                        join(added, ", "), "}")));
}

}  // namespace

bool same(const json::Value* a, const json::Value* b) {
  const auto empty = [](const json::Value* value) {
    if (value == nullptr || value->is_null()) return true;
    return (value->is_array() && value->as_array().empty()) || (value->is_object() && value->as_object().empty());
  };
  if (empty(a) || empty(b)) {
    // An empty struct behind a pointer is not nil, but an empty list is: only the document's shape tells them apart,
    // and canonical documents drop empty lists, so that an object here is a struct.
    const bool has_a = a != nullptr && a->is_object(), has_b = b != nullptr && b->is_object();
    return empty(a) && empty(b) && has_a == has_b;
  }
  return *a == *b;
}

void validate_labels(const json::Value* labels, const field::Path& path, field::ErrorList& errors) {
  for (const auto& [key, value] : members(labels)) {
    check_text(key, qualified_name, path, errors);
    check_text(value.string_or(), label_value, path, errors);
  }
}

void validate_annotations(const json::Value* annotations, const field::Path& path, field::ErrorList& errors) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : members(annotations)) {
    bytes += key.size() + value.string_or().size();
    const bool lower = std::none_of(key.begin(), key.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    const Messages messages = lower ? qualified_name(key) : qualified_name(to_lower(key));
    if (!messages.empty()) field::append_invalid(errors, path, key, messages);
  }
  if (bytes > kAnnotationBytes) errors.push_back(field::too_long(path, kAnnotationBytes));
}

void validate_label_selector(const json::Value* selector, const field::Path& path, field::ErrorList& errors) {
  if (selector == nullptr || !selector->is_object()) return;
  if (const json::Value* labels = get(*selector, "matchLabels")) {
    validate_labels(labels, path.child("matchLabels"), errors);
  }
  const auto expressions = list(*selector, "matchExpressions");
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    const json::Value& expression = expressions[i];
    const field::Path own = path.child("matchExpressions").index(i);
    const std::string_view op = text(expression, "operator");
    const auto values = list(expression, "values");
    if (op == "In" || op == "NotIn") {
      if (values.empty()) {
        errors.push_back(field::required(own.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!values.empty()) {
        errors.push_back(field::forbidden(own.child("values"),
                                          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      }
    } else {
      errors.push_back(field::invalid(own.child("operator"), json::Value(op), "not a valid selector operator"));
    }
    check_text(text(expression, "key"), qualified_name, own.child("key"), errors);
    for (std::size_t v = 0; v < values.size(); ++v) {
      check_text(values[v].string_or(), label_value, own.child("values").index(v), errors);
    }
  }
}

void validate_non_negative(const json::Value* value, const field::Path& path, field::ErrorList& errors) {
  if (value == nullptr || value->int_or(0) >= 0) return;
  errors.push_back(field::invalid(path, *value, "must be greater than or equal to 0"));
}

void validate_immutable(const json::Value* value, const json::Value* old, const field::Path& path,
                        field::ErrorList& errors) {
  if (!same(value, old)) errors.push_back(field::invalid(path, or_nothing(value), kImmutable));
}

namespace {

void check_meta(const json::Value& meta, bool namespaced, NameRule name, const field::Path& path,
                field::ErrorList& errors) {
  check_name(meta, name == nullptr ? dns1123_subdomain : name, path, errors);
  check_namespace(meta, namespaced, path, errors);
  validate_non_negative(meta.find("generation"), path.child("generation"), errors);
  if (const json::Value* labels = get(meta, "labels")) validate_labels(labels, path.child("labels"), errors);
  if (const json::Value* annotations = get(meta, "annotations")) {
    validate_annotations(annotations, path.child("annotations"), errors);
  }
  check_owners(meta, path, errors);
  check_finalizers(meta, path, errors);
  check_managed_fields(meta, path, errors);
}

void check_meta_update(const json::Value& meta, const json::Value& old, const field::Path& path,
                       field::ErrorList& errors) {
  if (get(old, "deletionTimestamp") != nullptr) check_no_new_finalizers(meta, old, path, errors);
  if (number(meta, "generation") < number(old, "generation")) {
    errors.push_back(field::invalid(path.child("generation"), number(meta, "generation"), "must not be decremented"));
  }
  for (const char* name :
       {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    if (!same(meta, old, name)) validate_immutable(get(meta, name), get(old, name), path.child(name), errors);
  }
  if (const json::Value* labels = get(meta, "labels")) validate_labels(labels, path.child("labels"), errors);
  if (const json::Value* annotations = get(meta, "annotations")) {
    validate_annotations(annotations, path.child("annotations"), errors);
  }
  check_owners(meta, path, errors);
  check_managed_fields(meta, path, errors);
}

}  // namespace

void validate_object_meta(const json::Value* meta, bool namespaced, NameRule name, const field::Path& path,
                          field::ErrorList& errors) {
  check_meta(or_nothing(meta), namespaced, name, path, errors);
  check_standard_finalizers(or_nothing(meta), path, errors);
}

void validate_object_meta_update(const json::Value& meta, const json::Value& old, const field::Path& path,
                                 field::ErrorList& errors) {
  check_meta_update(meta, old, path, errors);
  check_standard_finalizers(meta, path, errors);
}

field::ErrorList validate_create(const Kind& kind, const json::Value& object, std::vector<std::string>& warnings) {
  field::ErrorList errors;
  const field::Path path("metadata");
  const json::Value& meta = part(object, "metadata");
  const Row* row = find_row(kind, "");
  check_meta(meta, kind.namespaced, row == nullptr ? nullptr : row->name, path, errors);
  if (has_standard_finalizers(kind)) check_standard_finalizers(meta, path, errors);
  if (row != nullptr && row->create != nullptr) row->create(object, errors);
  // A name is one segment of a path, whatever else its kind allows: upstream looks when all else is well.
  if (errors.empty()) check_text(text(meta, "name"), path_segment_name, path.child("name"), errors);
  if (errors.empty()) warn_create(kind, object, warnings);
  return errors;
}

field::ErrorList validate_update(const Kind& kind, std::string_view subresource, const json::Value& object,
                                 const json::Value& old, std::vector<std::string>& warnings) {
  field::ErrorList errors;
  const field::Path path("metadata");
  const json::Value& meta = part(object, "metadata");
  check_meta_update(meta, part(old, "metadata"), path, errors);
  if (has_standard_finalizers(kind)) check_standard_finalizers(meta, path, errors);
  // A scale is a change of its object by the object's own rules.
  const Row* row = find_row(kind, subresource == "scale" ? "" : subresource);
  if (row != nullptr && row->update != nullptr) row->update(object, old, errors);
  if (errors.empty() && subresource.empty()) warn_update(kind, object, old, warnings);
  return errors;
}

}  // namespace kayak::api::validation
