// pod_volumes.cc: a pod's list of volumes, and what paths in volumes may look like.
// Source: kubernetes pkg/apis/core/validation ValidateVolumes (v1.36).
#include <unordered_set>

#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// The claims that are made for this pod's generic ephemeral volumes.
std::unordered_set<std::string> created_claims(std::span<const json::Value> volumes, std::string_view pod) {
  std::unordered_set<std::string> claims;
  if (pod.empty()) return claims;
  for (const json::Value& volume : volumes) {
    if (get(volume, "ephemeral") != nullptr) claims.insert(cat(pod, "-", text(volume, "name")));
  }
  return claims;
}

}  // namespace

void check_volumes(PodChecks& checks, const field::Path& path) {
  const auto volumes = list(checks.spec, "volumes");
  if (volumes.empty()) return;
  const std::string_view pod = checks.pod_meta == nullptr ? "" : text(*checks.pod_meta, "name");
  const std::unordered_set<std::string> created = created_claims(volumes, pod);
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const json::Value& volume = volumes[i];
    const field::Path own = path.index(i);
    const std::string_view name = text(volume, "name");
    const std::size_t before = checks.errors.size();
    check_volume_sources(volume, name, checks.pod_meta, own, checks.errors);
    if (name.empty()) {
      checks.errors.push_back(field::required(own.child("name"), ""));
    } else if (const Messages messages = dns1123_label(name); !messages.empty()) {
      field::append_invalid(checks.errors, own.child("name"), json::Value(name), messages);
    }
    if (checks.find_volume(name) != nullptr) {
      checks.errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
    }
    if (checks.errors.size() == before) checks.volumes.emplace(name, &volume);
    const json::Value* claim = get(volume, "persistentVolumeClaim");
    if (claim == nullptr) continue;
    const std::string claim_name(text(*claim, "claimName"));
    if (created.count(claim_name) == 0) continue;
    checks.errors.push_back(field::invalid(own.child("persistentVolumeClaim").child("claimName"),
                                           json::Value(claim_name),
                                           "must not reference a PVC that gets created for an ephemeral volume"));
  }
}

void check_path_no_backsteps(std::string_view value, const field::Path& path, field::ErrorList& errors) {
  for (const std::string_view item : split(value, '/')) {
    if (item != "..") continue;
    errors.push_back(field::invalid(path, json::Value(value), "must not contain '..'"));
    return;
  }
}

void check_local_path(std::string_view value, const field::Path& path, field::ErrorList& errors) {
  if (value.starts_with('/')) errors.push_back(field::invalid(path, json::Value(value), "must be a relative path"));
  check_path_no_backsteps(value, path, errors);
}

}  // namespace kayak::api::validation
