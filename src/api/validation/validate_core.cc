// validate_core.cc: the core group but for pods, and events.k8s.io: the rows, and the kinds whose rules are few.
// Source: kubernetes pkg/apis/core/validation (v1.36); shared fact table strategy.tsv.
#include <string>
#include <unordered_set>

#include "api/validation/core.h"
#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxData = 1024 * 1024;  // all values of a config map or a secret together
constexpr std::string_view kSealed = "field is immutable when `immutable` is set";

// Bytes that a value of base64 text stands for.
std::size_t decoded_size(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  return text.size() / 4 * 3 - padding;
}

void check_key(const std::string& key, const char* member, field::ErrorList& errors) {
  const Messages messages = config_map_key(key);
  if (!messages.empty()) field::append_invalid(errors, field::Path(member).key(key), key, messages);
}

// An object that was sealed keeps its data, and the seal.
void check_seal(const json::Value& object, const json::Value& old, std::initializer_list<const char*> members,
                field::ErrorList& errors) {
  if (!flag(old, "immutable")) return;
  if (!flag(object, "immutable")) errors.push_back(field::forbidden(field::Path("immutable"), kSealed));
  for (const char* name : members) {
    if (!same(object, old, name)) errors.push_back(field::forbidden(field::Path(name), kSealed));
  }
}

// ---- config maps

void config_map(const json::Value& object, field::ErrorList& errors) {
  std::size_t bytes = 0;
  const json::Value& binary = part(object, "binaryData");
  for (const auto& [key, value] : members(object, "data")) {
    check_key(key, "data", errors);
    if (binary.find(key) != nullptr) {
      errors.push_back(field::invalid(field::Path("data").key(key), key, "duplicate of key present in binaryData"));
    }
    bytes += value.string_or().size();
  }
  for (const auto& [key, value] : members(&binary)) {
    check_key(key, "binaryData", errors);
    bytes += decoded_size(value.string_or());
  }
  if (bytes > kMaxData) errors.push_back(field::too_long(field::Path(""), kMaxData));
}

void config_map_update(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  check_seal(object, old, {"data", "binaryData"}, errors);
  config_map(object, errors);
}

// ---- secrets

void check_json_secret(const json::Value& data, const char* key, field::ErrorList& errors) {
  const json::Value* value = get(data, key);
  const field::Path path = field::Path("data").key(key);
  if (value == nullptr) return errors.push_back(field::required(path, ""));
  std::string bytes;
  base64_decode(value->string_or(), &bytes);
  const Result<json::Value> read = json::read(bytes);
  if (read && (read->is_object() || read->is_null())) return;
  const std::string why =
      read ? "json: cannot unmarshal into Go value of type map[string]interface {}" : read.error().message();
  errors.push_back(field::invalid(path, "<secret contents redacted>", why));
}

void check_secret_type(const json::Value& secret, field::ErrorList& errors) {
  constexpr std::string_view kAccount = "kubernetes.io/service-account.name";
  const std::string_view type = text(secret, "type");
  const json::Value& data = part(secret, "data");
  const auto require = [&](const char* key) {
    if (data.find(key) == nullptr) errors.push_back(field::required(field::Path("data").key(key), ""));
  };
  if (type == "kubernetes.io/service-account-token") {
    if (!text(part(part(secret, "metadata"), "annotations"), kAccount).empty()) return;
    errors.push_back(field::required(field::Path("metadata.annotations").key(kAccount), ""));
  } else if (type == "kubernetes.io/dockercfg") {
    check_json_secret(data, ".dockercfg", errors);
  } else if (type == "kubernetes.io/dockerconfigjson") {
    check_json_secret(data, ".dockerconfigjson", errors);
  } else if (type == "kubernetes.io/basic-auth") {
    if (data.find("username") != nullptr || data.find("password") != nullptr) return;
    require("username");
    require("password");
  } else if (type == "kubernetes.io/ssh-auth") {
    if (text(data, "ssh-privatekey").empty()) {
      errors.push_back(field::required(field::Path("data").key("ssh-privatekey"), ""));
    }
  } else if (type == "kubernetes.io/tls") {
    require("tls.crt");
    require("tls.key");
  }
}

void secret(const json::Value& object, field::ErrorList& errors) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : members(object, "data")) {
    check_key(key, "data", errors);
    bytes += decoded_size(value.string_or());
  }
  if (bytes > kMaxData) errors.push_back(field::too_long(field::Path("data"), kMaxData));
  check_secret_type(object, errors);
}

void secret_update(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  if (!same(object, old, "type")) {
    validate_immutable(object.find("type"), old.find("type"), field::Path("type"), errors);
  }
  check_seal(object, old, {"data"}, errors);
  secret(object, errors);
}

// ---- namespaces

void check_finalizer(const json::Value& finalizer, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kStandard[] = {"kubernetes", "orphan", "foregroundDeletion"};
  const std::string_view name = finalizer.string_or();
  check_text(name, qualified_name, path, errors);
  if (name.find('/') != name.npos || one_of(name, kStandard)) return;
  errors.push_back(
      field::invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"));
}

void namespace_create(const json::Value& object, field::ErrorList& errors) {
  for (const json::Value& finalizer : list(part(object, "spec"), "finalizers")) {
    check_finalizer(finalizer, field::Path("spec.finalizers"), errors);
  }
}

void namespace_finalize(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const auto finalizers = list(part(object, "spec"), "finalizers");
  for (std::size_t i = 0; i < finalizers.size(); ++i) {
    check_finalizer(finalizers[i], field::Path("spec.finalizers").index(i), errors);
  }
}

void namespace_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const std::string_view phase = text(part(object, "status"), "phase");
  const bool deleting = get(part(object, "metadata"), "deletionTimestamp") != nullptr;
  if (phase == (deleting ? "Terminating" : "Active")) return;
  errors.push_back(field::invalid(field::Path("status.Phase"), json::Value(phase),
                                  deleting ? "may only be 'Terminating' if `deletionTimestamp` is not empty"
                                           : "may only be 'Active' if `deletionTimestamp` is empty"));
}

// ---- nodes

void check_taints(const json::Value& node, field::ErrorList& errors) {
  const auto taints = list(part(node, "spec"), "taints");
  const field::Path path("metadata.taints");  // where upstream says they are
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < taints.size(); ++i) {
    const field::Path own = path.index(i);
    const std::string_view key = text(taints[i], "key"), effect = text(taints[i], "effect");
    check_text(key, qualified_name, own.child("key"), errors);
    const Messages messages = label_value(text(taints[i], "value"));
    if (!messages.empty()) {
      errors.push_back(field::invalid(own.child("value"), json::Value(text(taints[i], "value")), join(messages, ";")));
    }
    if (effect.empty()) {
      errors.push_back(field::required(own.child("effect"), ""));
    } else {
      check_taint_effect(effect, own.child("effect"), errors);
    }
    if (seen.insert(cat(key, ":", effect)).second) continue;  // a key that holds a colon is an error already
    field::Error twice = field::duplicate(own, taints[i]);
    twice.detail = "taints must be unique by key and effect pair";
    errors.push_back(std::move(twice));
  }
}

void check_node_resources(const json::Value& node, field::ErrorList& errors) {
  const json::Value& status = part(node, "status");
  for (const char* kind : {"capacity", "allocatable"}) {
    for (const auto& [resource, quantity] : members(status, kind)) {
      check_resource_quantity(resource, quantity, field::Path("status").child(kind).child(resource), errors);
    }
  }
}

void check_pod_ranges(const json::Value& node, field::ErrorList& errors) {
  const json::Value& spec = part(node, "spec");
  const auto ranges = list(spec, "podCIDRs");
  const field::Path path("spec.podCIDRs");
  int of_family[2] = {0, 0};
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    field::append(errors, valid_legacy_cidr(path.index(i), ranges[i].string_or()));
    IpRange range;
    if (parse_cidr(ranges[i].string_or(), &range)) ++of_family[range.address.v6 ? 1 : 0];
  }
  if (ranges.size() > 1 && (of_family[0] != 1 || of_family[1] != 1)) {
    errors.push_back(
        field::invalid(path, *spec.find("podCIDRs"), "may specify no more than one CIDR for each IP family"));
  }
}

// "MyFeature" or "MyFeature/mySub": the first segment starts with a capital.
bool is_feature_name(std::string_view name) {
  const std::vector<std::string_view> segments = split(name, '/');
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return name.front() >= 'A' && name.front() <= 'Z' &&
         std::all_of(segments.begin(), segments.end(), [&](std::string_view segment) {
           return !segment.empty() && std::all_of(segment.begin(), segment.end(), is_word);
         });
}

void check_features(const json::Value& node, field::ErrorList& errors) {
  constexpr std::size_t kMaxName = 253;
  const auto features = list(part(node, "status"), "declaredFeatures");
  const field::Path path("status.declaredFeatures");
  for (std::size_t i = 0; i < features.size(); ++i) {
    const std::string_view name = features[i].string_or();
    if (name.size() > kMaxName) {
      errors.push_back(field::invalid(path.index(i), features[i],
                                      cat("invalid feature name ", quote(name), ": ", max_length_message(kMaxName))));
    } else if (name.empty() || !is_feature_name(name)) {
      errors.push_back(field::invalid(
          path.index(i), features[i],
          cat("invalid feature name ", quote(name),
              ": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature "
              "or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes")));
    }
    if (i == 0) continue;
    const std::string_view before = features[i - 1].string_or();
    if (before == name) errors.push_back(field::duplicate(path.index(i), features[i]));
    if (before > name) {
      errors.push_back(field::invalid(path.index(i), features[i], "list must be sorted alphabetically"));
    }
  }
}

void node_create(const json::Value& node, field::ErrorList& errors) {
  check_taints(node, errors);
  check_node_resources(node, errors);
  check_features(node, errors);
  check_pod_ranges(node, errors);
}

void node_update(const json::Value& node, const json::Value& old, field::ErrorList& errors) {
  check_node_resources(node, errors);
  check_features(node, errors);
  const auto addresses = list(part(node, "status"), "addresses");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto before = addresses.first(i);
    if (std::find(before.begin(), before.end(), addresses[i]) == before.end()) continue;
    errors.push_back(field::duplicate(field::Path("status.addresses").index(i), addresses[i]));
  }
  const json::Value &spec = part(node, "spec"), &before = part(old, "spec");
  if (!list(before, "podCIDRs").empty() && !same(spec, before, "podCIDRs")) {
    errors.push_back(field::forbidden(field::Path("spec.podCIDRs"),
                                      "node updates may not change podCIDR except from \"\" to valid"));
  }
  const std::string_view provider = text(before, "providerID");
  if (!provider.empty() && provider != text(spec, "providerID")) {
    errors.push_back(field::forbidden(field::Path("spec.providerID"),
                                      "node updates may not change providerID except from \"\" to valid"));
  }
  check_taints(node, errors);
  if (text(spec, "externalID") != text(before, "externalID")) {
    errors.push_back(field::forbidden(field::Path("spec.externalID"), "may not be updated"));
  }
}

}  // namespace

std::vector<Row> core_rows() {
  return {
      {"", "configmaps", "", nullptr, config_map, config_map_update},
      {"", "endpoints", "", nullptr, validate_endpoints, validate_endpoints_update},
      {"", "events", "", path_segment_name, validate_core_event, validate_core_event_update},
      {"events.k8s.io", "events", "", nullptr, validate_event, validate_event_update},
      {"", "limitranges", "", nullptr, validate_limit_range, validate_limit_range_update},
      {"", "namespaces", "", dns1123_label, namespace_create, nullptr},
      {"", "namespaces", "status", nullptr, nullptr, namespace_status},
      {"", "namespaces", "finalize", nullptr, nullptr, namespace_finalize},
      {"", "nodes", "", nullptr, node_create, node_update},
      {"", "nodes", "status", nullptr, nullptr, node_update},
      {"", "persistentvolumeclaims", "", nullptr, validate_claim, validate_claim_update},
      {"", "persistentvolumeclaims", "status", nullptr, nullptr, validate_claim_status},
      {"", "persistentvolumes", "", nullptr, validate_volume, validate_volume_update},
      {"", "resourcequotas", "", nullptr, validate_quota, validate_quota_update},
      {"", "resourcequotas", "status", nullptr, nullptr, validate_quota_status},
      {"", "secrets", "", nullptr, secret, secret_update},
      {"", "services", "", dns1123_label, validate_service, validate_service_update},
      {"", "services", "status", nullptr, nullptr, validate_service_status},
  };
}

}  // namespace kayak::api::validation
