// pods.h: what the files of pod rules share: the spec under validation and what is known of it so far.
// Source: kubernetes pkg/apis/core/validation (v1.36).
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "api/validation/read.h"
#include "api/validation/validation.h"

namespace kayak::api::validation {

struct PodChecks {
  const json::Value& spec;
  const json::Value* pod_meta;  // null: the spec of a template
  field::ErrorList& errors;
  std::unordered_map<std::string_view, const json::Value*> volumes;  // those that are valid themselves, by name
  std::unordered_set<std::string_view> claims;                       // names of spec.resourceClaims

  bool is_pod() const { return pod_meta != nullptr; }
  bool host_users() const { return spec.find("hostUsers") == nullptr || flag(spec, "hostUsers"); }
  std::string_view os() const { return text(part(spec, "os"), "name"); }
  const json::Value* find_volume(std::string_view name) const;
};

// Visits init, then ordinary, then ephemeral containers with the path of each.
template <typename Visit>
void visit_containers(const json::Value& spec, const field::Path& path, Visit visit) {
  for (const char* name : {"initContainers", "containers", "ephemeralContainers"}) {
    const auto containers = list(spec, name);
    for (std::size_t i = 0; i < containers.size(); ++i) visit(containers[i], path.child(name).index(i));
  }
}

// pod_containers.cc
void check_containers(PodChecks& checks, const field::Path& path);
void check_init_containers(PodChecks& checks, const field::Path& path);
void check_ephemeral_containers(PodChecks& checks, const field::Path& path);
void check_file_keys(PodChecks& checks, const field::Path& path);
void check_pull_policy(const json::Value& holder, std::string_view name, const field::Path& path,
                       field::ErrorList& errors);
// A protocol of a container's or a service's port.
void check_protocol(std::string_view protocol, const field::Path& path, field::ErrorList& errors);
// env.valueFrom.fieldRef, and of a downward API file.
void check_field_selector(const json::Value& selector, bool of_volume, const field::Path& path,
                          field::ErrorList& errors);
void check_resource_selector(const json::Value& selector, bool of_volume, const field::Path& path,
                             field::ErrorList& errors);

// pod_probes.cc
void check_probes(const json::Value& container, const json::Value& spec, const field::Path& path,
                  field::ErrorList& errors);
void check_lifecycle(const json::Value& lifecycle, const json::Value& spec, const field::Path& path,
                     field::ErrorList& errors);
void check_port_number_or_name(const json::Value* port, const field::Path& path, field::ErrorList& errors);

// pod_volumes.cc
void check_volumes(PodChecks& checks, const field::Path& path);
void check_path_no_backsteps(std::string_view value, const field::Path& path, field::ErrorList& errors);
void check_local_path(std::string_view value, const field::Path& path, field::ErrorList& errors);  // relative, no ".."

// volume_sources.cc: one source of a pod's volume or of a persistent volume, by the member that holds it.
// Returns how many sources there are; more than one is an error already said.
int check_volume_sources(const json::Value& holder, std::string_view name, const json::Value* pod_meta,
                         const field::Path& path, field::ErrorList& errors);
int check_persistent_sources(const json::Value& spec, std::string_view name, const field::Path& path,
                             field::ErrorList& errors);

// pod_resources.cc
void check_resources(const json::Value& resources, bool of_pod, const std::unordered_set<std::string_view>& claims,
                     const field::Path& path, field::ErrorList& errors);
void check_pod_resources(PodChecks& checks, const field::Path& path);
void check_resource_claims(PodChecks& checks, const field::Path& path);
void check_resource_quantity(std::string_view resource, const json::Value& quantity, const field::Path& path,
                             field::ErrorList& errors);
void check_positive_quantity(const json::Value& quantity, const field::Path& path, field::ErrorList& errors);
void check_resource_name(std::string_view name, const field::Path& path, field::ErrorList& errors);
void check_container_resource_name(std::string_view name, const field::Path& path, field::ErrorList& errors);
bool is_standard_quota_resource(std::string_view name);
bool is_native_resource(std::string_view name);
bool is_overcommit_allowed(std::string_view name);

// pod_security.cc
void check_container_security(const json::Value& container, const PodChecks& checks, const field::Path& path,
                              field::ErrorList& errors);
void check_pod_security(PodChecks& checks, const field::Path& path);
void check_os(PodChecks& checks, const field::Path& path);
// Annotations that came before the fields of seccomp and AppArmor.
void check_pod_annotations(const json::Value& meta, const json::Value& spec, const field::Path& path,
                           field::ErrorList& errors);
void check_annotations_match_fields(const json::Value& meta, const json::Value& spec, const field::Path& path,
                                    field::ErrorList& errors);

// pod_scheduling.cc
void check_affinity(const json::Value& spec, const field::Path& path, field::ErrorList& errors);
void check_node_selector(const json::Value& selector, const field::Path& path, field::ErrorList& errors);
void check_tolerations(std::span<const json::Value> tolerations, const field::Path& path, field::ErrorList& errors);
void check_taint_effect(std::string_view effect, const field::Path& path, field::ErrorList& errors);
void check_topology_spread(const json::Value& spec, const field::Path& path, field::ErrorList& errors);

// pod_updates.cc
void validate_pod_update(const json::Value& pod, const json::Value& old, field::ErrorList& errors);
void validate_pod_status(const json::Value& pod, const json::Value& old, field::ErrorList& errors);
// What two values differ in, for people: a line per path, "-" before the old value and "+" before the new one.
std::string difference(const json::Value& before, const json::Value& after);

// validate_pods.cc: what a pod, but not a template, must keep besides its spec.
void validate_pod_object(const json::Value& pod, field::ErrorList& errors);

}  // namespace kayak::api::validation
