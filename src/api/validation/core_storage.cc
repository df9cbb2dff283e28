// core_storage.cc: persistent volumes and claims.
// Source: kubernetes pkg/apis/core/validation ValidatePersistentVolume, ValidatePersistentVolumeClaim and their updates
// (v1.36).
#include "api/validation/claims.h"
#include "api/validation/core.h"
#include "api/validation/pods.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kBetaClass = "volume.beta.kubernetes.io/storage-class";

Quantity quantity_of(const json::Value* text) {
  const Result<Quantity> quantity = Quantity::parse(text == nullptr ? "0" : text->string_or("0"));
  return quantity ? *quantity : Quantity();
}

void check_basic_quantity(const json::Value& quantity, const field::Path& path, field::ErrorList& errors) {
  const std::int64_t value = quantity_of(&quantity).value();
  if (value < 0) errors.push_back(field::invalid(path, value, "must be a valid resource quantity"));
}

// ---- volumes

void check_capacity(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kStorage[] = {"storage"};
  const auto capacity = members(spec, "capacity");
  if (capacity.empty()) errors.push_back(field::required(path, ""));
  if (capacity.size() != 1 || capacity[0].first != "storage") {
    errors.push_back(field::not_supported(path, or_nothing(spec.find("capacity")), kStorage));
  }
  for (const auto& [name, quantity] : capacity) {
    check_basic_quantity(quantity, path.key(name), errors);
    check_positive_quantity(quantity, path.key(name), errors);
  }
}

void check_volume_affinity(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* affinity = get(spec, "nodeAffinity");
  if (affinity == nullptr) {
    if (get(spec, "local") != nullptr) {
      errors.push_back(field::required(path, "Local volume requires node affinity"));
    }
    return;
  }
  const json::Value* required = get(*affinity, "required");
  if (required == nullptr) {
    errors.push_back(field::required(path.child("required"), "must specify required node constraints"));
  } else {
    check_node_selector(*required, path.child("required"), errors);
  }
}

bool is_root(std::string_view path) { return path.starts_with('/') && path.find_first_not_of("/.") == path.npos; }

void check_volume_classes(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const std::string_view storage = text(spec, "storageClassName");
  if (!storage.empty()) check_text(storage, dns1123_subdomain, path.child("storageClassName"), errors);
  const json::Value* attributes = get(spec, "volumeAttributesClassName");
  if (attributes == nullptr) return;
  const field::Path own = path.child("volumeAttributesClassName");
  if (attributes->string_or().empty()) {
    errors.push_back(field::required(own, "an empty string is disallowed"));
  } else {
    check_text(attributes->string_or(), dns1123_subdomain, own, errors);
  }
  if (get(spec, "csi") == nullptr) {
    errors.push_back(field::required(path.child("csi"), "has to be specified when using volumeAttributesClassName"));
  }
}

// The source of a volume: its spec without all that is not one.
json::Value source_of(const json::Value& spec) {
  constexpr std::string_view kOthers[] = {
      "capacity",     "accessModes", "claimRef",     "persistentVolumeReclaimPolicy", "storageClassName",
      "mountOptions", "volumeMode",  "nodeAffinity", "volumeAttributesClassName",
  };
  json::Object source;
  for (const auto& [name, value] : members(&spec)) {
    if (!one_of(name, kOthers)) source.set(name, value);
  }
  return source;
}

void check_source_update(const json::Value& spec, const json::Value& old, field::ErrorList& errors) {
  json::Value now = source_of(spec);
  const json::Value before = source_of(old);
  const json::Value* csi = get(before, "csi");
  if (csi != nullptr && get(*csi, "controllerExpandSecretRef") == nullptr && get(now, "csi") != nullptr) {
    now["csi"].as_object().erase("controllerExpandSecretRef");  // may be added once
  }
  if (now == before) return;
  errors.push_back(
      field::forbidden(field::Path("spec.persistentvolumesource"),
                       cat("spec.persistentvolumesource is immutable after creation\n", difference(before, now))));
}

std::string_view ga_label(std::string_view beta) {
  struct Row {
    std::string_view beta, ga;
  };
  constexpr Row kRows[] = {
      {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
      {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
      {"beta.kubernetes.io/os", "kubernetes.io/os"},
      {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
      {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
  };
  for (const Row& row : kRows) {
    if (row.beta == beta) return row.ga;
  }
  return {};
}

// `old` with the beta labels that `now` has replaced by their GA names.
json::Value with_ga_labels(json::Value old, const json::Value& now) {
  json::Value* terms = old.find("required");
  terms = terms == nullptr ? nullptr : terms->find("nodeSelectorTerms");
  if (terms == nullptr || !terms->is_array()) return old;
  const auto now_terms = list(part(now, "required"), "nodeSelectorTerms");
  for (std::size_t t = 0; t < terms->as_array().size() && t < now_terms.size(); ++t) {
    json::Value* expressions = terms->as_array()[t].find("matchExpressions");
    const auto now_expressions = list(now_terms[t], "matchExpressions");
    if (expressions == nullptr || !expressions->is_array()) continue;
    for (std::size_t e = 0; e < expressions->as_array().size() && e < now_expressions.size(); ++e) {
      json::Value& expression = expressions->as_array()[e];
      const std::string_view ga = ga_label(text(expression, "key"));
      if (!ga.empty() && ga == text(now_expressions[e], "key")) expression["key"] = json::Value(ga);
    }
  }
  return old;
}

// ---- claims

void forbid_change(const json::Value& claim, const json::Value& old, field::ErrorList& errors) {
  const json::Value* now = get(part(claim, "spec"), "volumeAttributesClassName");
  const json::Value* before = get(part(old, "spec"), "volumeAttributesClassName");
  if (before == nullptr || same(now, before)) return;
  const field::Path path("spec.volumeAttributesClassName");
  if (now == nullptr) {
    errors.push_back(field::forbidden(path, "update from non-nil value to nil is forbidden"));
  } else if (now->string_or().empty()) {
    errors.push_back(field::forbidden(path, "update from non-nil value to an empty string is forbidden"));
  }
}

std::string_view beta_class(const json::Value& claim) {
  return text(part(part(claim, "metadata"), "annotations"), kBetaClass);
}

// The new spec with what may change put back, to be compared with the old one.
json::Value claim_without_changes(const json::Value& claim, const json::Value& old, field::ErrorList& errors) {
  json::Value spec = part(claim, "spec");
  const json::Value& before = part(old, "spec");
  if (text(before, "volumeName").empty()) spec.as_object().erase("volumeName");
  const json::Value *now_class = get(spec, "storageClassName"), *old_class = get(before, "storageClassName");
  const std::string_view annotation = beta_class(old), now_annotation = beta_class(claim);
  const bool from_nothing = old_class == nullptr && now_class != nullptr;
  const bool matches = from_nothing && (annotation.empty() || now_class->string_or() == annotation);
  const bool upgrade = matches && !annotation.empty() && (now_annotation.empty() || now_annotation == annotation);
  if (!upgrade && annotation != now_annotation) {
    errors.push_back(field::invalid(field::Path("metadata.annotations").child(kBetaClass), json::Value(now_annotation),
                                    "field is immutable"));
  }
  if (matches) spec.as_object().erase("storageClassName");
  if (text(part(claim, "status"), "phase") != "Bound") return spec;
  const json::Value* storage = get(part(part(before, "resources"), "requests"), "storage");
  if (get(part(spec, "resources"), "requests") != nullptr && storage != nullptr) {
    spec["resources"]["requests"]["storage"] = *storage;
  }
  if (get(spec, "volumeAttributesClassName") != nullptr) {
    if (const json::Value* attributes = get(before, "volumeAttributesClassName")) {
      spec["volumeAttributesClassName"] = *attributes;
    } else {
      spec.as_object().erase("volumeAttributesClassName");
    }
  }
  return spec;
}

void check_size_change(const json::Value& claim, const json::Value& old, field::ErrorList& errors) {
  const auto size = [](const json::Value& object) {
    return quantity_of(get(part(part(part(object, "spec"), "resources"), "requests"), "storage"));
  };
  const Quantity now = size(claim);
  if (now >= size(old) || now > quantity_of(get(part(part(old, "status"), "capacity"), "storage"))) return;
  errors.push_back(
      field::forbidden(field::Path("spec.resources.requests.storage"), "field can not be less than status.capacity"));
}

void check_claim_resource(std::string_view name, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kStorage[] = {"storage"};
  const Messages messages = qualified_name(name);
  if (!messages.empty()) {
    field::append_invalid(errors, path, json::Value(name), messages);
  } else if (is_native_resource(name) && name != "storage") {
    errors.push_back(field::not_supported(path, json::Value(name), kStorage));
  }
}

}  // namespace

void validate_volume(const json::Value& volume, field::ErrorList& errors) {
  constexpr std::string_view kPolicies[] = {"Delete", "Recycle", "Retain"};
  constexpr std::string_view kModes[] = {"Block", "Filesystem"};
  const json::Value& spec = part(volume, "spec");
  const field::Path path("spec"), policy_path = path.child("persistentVolumeReclaimPolicy");
  check_access_modes(spec, "", path, errors);
  check_capacity(spec, path.child("capacity"), errors);
  const std::string_view policy = text(spec, "persistentVolumeReclaimPolicy");
  if (!policy.empty() && !one_of(policy, kPolicies)) {
    errors.push_back(field::not_supported(policy_path, json::Value(policy), kPolicies));
  }
  check_volume_affinity(spec, path.child("nodeAffinity"), errors);
  check_persistent_sources(spec, text(part(volume, "metadata"), "name"), path, errors);
  if (policy == "Recycle" && is_root(text(part(spec, "hostPath"), "path"))) {
    errors.push_back(field::forbidden(policy_path, "may not be 'recycle' for a hostPath mount of '/'"));
  }
  const json::Value* mode = get(spec, "volumeMode");
  if (mode != nullptr && !one_of(mode->string_or(), kModes)) {
    errors.push_back(field::not_supported(path.child("volumeMode"), *mode, kModes));
  }
  check_volume_classes(spec, path, errors);
}

void validate_volume_update(const json::Value& volume, const json::Value& old, field::ErrorList& errors) {
  const json::Value &spec = part(volume, "spec"), &before = part(old, "spec");
  if (spec == before) return;
  validate_volume(volume, errors);
  check_source_update(spec, before, errors);
  validate_immutable(spec.find("volumeMode"), before.find("volumeMode"), field::Path("volumeMode"), errors);
  const json::Value *affinity = get(spec, "nodeAffinity"), *old_affinity = get(before, "nodeAffinity");
  if (old_affinity != nullptr && (affinity == nullptr || !(with_ga_labels(*old_affinity, *affinity) == *affinity))) {
    errors.push_back(field::invalid(field::Path("nodeAffinity"), or_nothing(affinity),
                                    "field is immutable, except for updating from beta label to GA"));
  }
  if (get(before, "volumeAttributesClassName") != nullptr && get(spec, "volumeAttributesClassName") == nullptr) {
    errors.push_back(field::forbidden(field::Path("spec.volumeAttributesClassName"),
                                      "update from non-nil value to nil is forbidden"));
  }
}

void validate_claim(const json::Value& claim, field::ErrorList& errors) {
  check_claim_spec(part(claim, "spec"), field::Path("spec"), errors);
}

void validate_claim_update(const json::Value& claim, const json::Value& old, field::ErrorList& errors) {
  const json::Value &spec = part(claim, "spec"), &old_spec = part(old, "spec");
  if (spec == old_spec && beta_class(claim) == beta_class(old)) return;
  const bool had_group = !text(part(old_spec, "dataSource"), "apiGroup").empty() ||
                         !text(part(old_spec, "dataSourceRef"), "apiGroup").empty();
  check_claim_spec(spec, field::Path("spec"), errors, had_group);
  const json::Value kept = claim_without_changes(claim, old, errors);
  if (const std::string changes = difference(old_spec, kept); !changes.empty()) {
    errors.push_back(field::forbidden(
        field::Path("spec"),
        cat("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
            "claims\n",
            changes)));
  }
  check_size_change(claim, old, errors);
  validate_immutable(spec.find("volumeMode"), old_spec.find("volumeMode"), field::Path("volumeMode"), errors);
  forbid_change(claim, old, errors);
}

void validate_claim_status(const json::Value& claim, const json::Value&, field::ErrorList& errors) {
  constexpr std::string_view kStates[] = {
      "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
      "NodeResizeInfeasible",       "NodeResizePending",
  };
  const json::Value& status = part(claim, "status");
  for (const auto& [name, quantity] : members(status, "capacity")) {
    check_basic_quantity(quantity, field::Path("status.capacity").key(name), errors);
  }
  const field::Path states_path("status.allocatedResourceStatus");
  for (const auto& [name, state] : members(status, "allocatedResourceStatuses")) {
    check_claim_resource(name, states_path, errors);
    if (!one_of(state.string_or(), kStates)) errors.push_back(field::not_supported(states_path, name, kStates));
  }
  const field::Path allocated("status.allocatedResources");
  for (const auto& [name, quantity] : members(status, "allocatedResources")) {
    check_claim_resource(name, allocated, errors);
    check_basic_quantity(quantity, allocated.key(name), errors);
  }
}

}  // namespace kayak::api::validation
