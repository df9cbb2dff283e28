// kind.h: the table of served kinds: a row per resource of each group version.
// Source: shared fact table kinds.tsv (Kubernetes v1.36 GA).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "api/schema.h"

namespace kayak::api {

struct SubresourceRow {
  std::string_view name;                  // "status", "scale", "log"
  std::string_view group, version, kind;  // of its body
  std::string_view verbs;                 // "get,patch,update"
};

struct Kind {
  std::string_view group, version, kind, list_kind, plural, singular;
  std::string_view short_names, categories;  // comma separated
  bool namespaced = false;
  std::string_view verbs;  // comma separated, as discovery lists them
  std::span<const SubresourceRow> subresources;
  std::string_view storage_prefix;   // "/registry/pods"; empty: not stored
  std::string_view storage_version;  // apiVersion written to the store: "v1", "apps/v1", "autoscaling/v2"
  std::string_view storage_version_hash;
  std::string_view field_selectors;  // comma separated
  bool generation = false;           // metadata.generation counts spec changes
  bool has_status = false;
  const Message* message = nullptr;

  std::string api_version() const;                                 // "v1", "apps/v1"
  std::string group_resource() const;                              // "pods", "deployments.apps": as messages name it
  const SubresourceRow* subresource(std::string_view name) const;  // null when there is none
};

std::span<const Kind> all_kinds();
// Null when not served.
const Kind* find_kind(std::string_view group, std::string_view version, std::string_view plural);
const Kind* find_kind_by_name(std::string_view group, std::string_view version, std::string_view kind);

// The kinds our own components use, by name, so that call sites read well: kinds::pods().
namespace kinds {
const Kind& pods();
const Kind& nodes();
const Kind& namespaces();
const Kind& services();
const Kind& endpoints();
const Kind& endpoint_slices();
const Kind& events();  // core/v1
const Kind& leases();
const Kind& config_maps();
const Kind& secrets();
const Kind& service_accounts();
const Kind& deployments();
const Kind& replica_sets();
const Kind& daemon_sets();
const Kind& stateful_sets();
const Kind& jobs();
const Kind& priority_classes();
const Kind& api_services();
const Kind& flow_schemas();
const Kind& priority_level_configurations();
const Kind& service_cidrs();
const Kind& ip_addresses();
const Kind& persistent_volumes();
const Kind& persistent_volume_claims();
}  // namespace kinds

}  // namespace kayak::api
