// kind.cc: look-ups in the table of served kinds (kind_table.cc).
#include "api/kind.h"

#include "base/assert.h"
#include "base/strings.h"

namespace kayak::api {

std::string Kind::api_version() const { return group.empty() ? std::string(version) : cat(group, "/", version); }

std::string Kind::group_resource() const { return group.empty() ? std::string(plural) : cat(plural, ".", group); }

const SubresourceRow* Kind::subresource(std::string_view name) const {
  for (const SubresourceRow& row : subresources) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const Kind* find_kind(std::string_view group, std::string_view version, std::string_view plural) {
  for (const Kind& row : all_kinds()) {
    if (row.plural == plural && row.group == group && row.version == version) return &row;
  }
  return nullptr;
}

const Kind* find_kind_by_name(std::string_view group, std::string_view version, std::string_view kind) {
  for (const Kind& row : all_kinds()) {
    if (row.kind == kind && row.group == group && row.version == version) return &row;
  }
  return nullptr;
}

namespace kinds {
namespace {
// The table is constant, so a missing row is a mistake in this file.
const Kind& must_find(std::string_view group, std::string_view version, std::string_view plural) {
  const Kind* kind = find_kind(group, version, plural);
  ASSERT(kind);
  return *kind;
}
}  // namespace

#define KAYAK_KIND(function, group, version, plural)             \
  const Kind& function() {                                       \
    static const Kind& kind = must_find(group, version, plural); \
    return kind;                                                 \
  }
KAYAK_KIND(pods, "", "v1", "pods")
KAYAK_KIND(nodes, "", "v1", "nodes")
KAYAK_KIND(namespaces, "", "v1", "namespaces")
KAYAK_KIND(services, "", "v1", "services")
KAYAK_KIND(endpoints, "", "v1", "endpoints")
KAYAK_KIND(endpoint_slices, "discovery.k8s.io", "v1", "endpointslices")
KAYAK_KIND(events, "", "v1", "events")
KAYAK_KIND(leases, "coordination.k8s.io", "v1", "leases")
KAYAK_KIND(config_maps, "", "v1", "configmaps")
KAYAK_KIND(secrets, "", "v1", "secrets")
KAYAK_KIND(service_accounts, "", "v1", "serviceaccounts")
KAYAK_KIND(deployments, "apps", "v1", "deployments")
KAYAK_KIND(replica_sets, "apps", "v1", "replicasets")
KAYAK_KIND(daemon_sets, "apps", "v1", "daemonsets")
KAYAK_KIND(stateful_sets, "apps", "v1", "statefulsets")
KAYAK_KIND(jobs, "batch", "v1", "jobs")
KAYAK_KIND(priority_classes, "scheduling.k8s.io", "v1", "priorityclasses")
KAYAK_KIND(api_services, "apiregistration.k8s.io", "v1", "apiservices")
KAYAK_KIND(flow_schemas, "flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
KAYAK_KIND(priority_level_configurations, "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")
KAYAK_KIND(service_cidrs, "networking.k8s.io", "v1", "servicecidrs")
KAYAK_KIND(ip_addresses, "networking.k8s.io", "v1", "ipaddresses")
KAYAK_KIND(persistent_volumes, "", "v1", "persistentvolumes")
KAYAK_KIND(persistent_volume_claims, "", "v1", "persistentvolumeclaims")
#undef KAYAK_KIND

}  // namespace kinds
}  // namespace kayak::api
