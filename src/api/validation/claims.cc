// claims.cc: PersistentVolumeClaims, alone and inside other objects.
// Source: kubernetes pkg/apis/core/validation ValidatePersistentVolumeClaimSpec,
// ValidatePersistentVolumeClaimTemplate (v1.36).
#include "api/validation/claims.h"

#include "api/validation/pods.h"
#include "api/validation/read.h"
#include "api/validation/validation.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// A dataSource or a dataSourceRef.
void check_source(const json::Value& spec, const char* name, const field::Path& parent, bool allow_any_group,
                  field::ErrorList& errors) {
  const json::Value* source = get(spec, name);
  if (source == nullptr) return;
  const field::Path path = parent.child(name);
  require_text(*source, "name", path, errors);
  require_text(*source, "kind", path, errors);
  const std::string_view group = text(*source, "apiGroup"), kind = text(*source, "kind");
  if (group.empty()) {
    if (kind != "PersistentVolumeClaim") {
      errors.push_back(field::invalid(path, json::Value(kind),
                                      "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
    }
  } else if (!allow_any_group) {
    check_text(group, dns1123_subdomain, path.child("apiGroup"), errors);
  }
  const std::string_view space = text(*source, "namespace");
  if (!space.empty()) check_text(space, dns1123_label, path.child("namespace"), errors);
}

void check_sources(const json::Value& spec, const field::Path& path, bool allow_any_group, field::ErrorList& errors) {
  check_source(spec, "dataSource", path, allow_any_group, errors);
  check_source(spec, "dataSourceRef", path, allow_any_group, errors);
  const json::Value *source = get(spec, "dataSource"), *reference = get(spec, "dataSourceRef");
  if (source == nullptr || reference == nullptr) return;
  const json::Value shown = path.child("dataSource").text();  // upstream shows the path as the value
  if (!text(*reference, "namespace").empty()) {
    errors.push_back(field::invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified"));
    return;
  }
  for (const char* name : {"apiGroup", "kind", "name"}) {
    if (text(*source, name) == text(*reference, name)) continue;
    errors.push_back(field::invalid(path, shown, "must match dataSourceRef"));
    return;
  }
}

}  // namespace

void check_access_modes(const json::Value& spec, std::string_view missing, const field::Path& path,
                        field::ErrorList& errors) {
  constexpr std::string_view kModes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"};
  const auto modes = list(spec, "accessModes");
  const field::Path own = path.child("accessModes");
  if (modes.empty()) errors.push_back(field::required(own, missing));
  bool once_pod = false, other = false;
  for (const json::Value& mode : modes) {
    if (!one_of(mode.string_or(), kModes)) {
      errors.push_back(field::not_supported(own, mode, kModes));
    } else if (mode.string_or() == "ReadWriteOncePod") {
      once_pod = true;
    } else {
      other = true;
    }
  }
  if (once_pod && other) {
    errors.push_back(field::forbidden(own, "may not use ReadWriteOncePod with other access modes"));
  }
}

void check_claim_spec(const json::Value& spec, const field::Path& path, field::ErrorList& errors,
                      bool allow_any_group) {
  constexpr std::string_view kVolumeModes[] = {"Block", "Filesystem"};
  check_access_modes(spec, "at least 1 access mode is required", path, errors);
  validate_label_selector(get(spec, "selector"), path.child("selector"), errors);
  const field::Path storage_path = path.child("resources").key("storage");
  const json::Value* storage = get(part(part(spec, "resources"), "requests"), "storage");
  if (storage == nullptr) {
    errors.push_back(field::required(storage_path, ""));
  } else {
    check_positive_quantity(*storage, storage_path, errors);
  }
  for (const char* name : {"storageClassName", "volumeAttributesClassName"}) {
    const std::string_view value = text(spec, name);
    if (!value.empty()) check_text(value, dns1123_subdomain, path.child(name), errors);
  }
  const json::Value* mode = get(spec, "volumeMode");
  if (mode != nullptr && !one_of(mode->string_or(), kVolumeModes)) {
    errors.push_back(field::not_supported(path.child("volumeMode"), *mode, kVolumeModes));
  }
  check_sources(spec, path, allow_any_group, errors);
}

void check_claim_template(const json::Value& claim, const field::Path& path, field::ErrorList& errors) {
  const json::Value& meta = part(claim, "metadata");
  const field::Path own = path.child("metadata");
  validate_annotations(get(meta, "annotations"), own.child("annotations"), errors);
  validate_labels(get(meta, "labels"), own.child("labels"), errors);
  for (const auto& [name, value] : members(&meta)) {
    if (name == "labels" || name == "annotations" || value.is_null()) continue;
    errors.push_back(field::forbidden(own.child(name), "cannot be set"));
  }
  check_claim_spec(part(claim, "spec"), path.child("spec"), errors);
}

}  // namespace kayak::api::validation
