// validate_pending.cc: the kind groups whose rules are not written yet: the common rules, and names that are not DNS
// subdomains.
#include "api/validation/validation.h"

namespace kayak::api::validation {

std::vector<Row> workload_rows() {
  return {
      {"apps", "statefulsets", "", dns1123_label},
      {"policy", "poddisruptionbudgets", "", path_segment_name},
  };
}

std::vector<Row> cluster_rows() {
  return {
      {"networking.k8s.io", "ipaddresses", "", path_segment_name},
  };
}

std::vector<Row> access_rows() {
  return {
      {"apiregistration.k8s.io", "apiservices", "", path_segment_name},
      {"certificates.k8s.io", "certificatesigningrequests", "", path_segment_name},
      {"rbac.authorization.k8s.io", "clusterroles", "", path_segment_name},
      {"rbac.authorization.k8s.io", "clusterrolebindings", "", path_segment_name},
      {"rbac.authorization.k8s.io", "roles", "", path_segment_name},
      {"rbac.authorization.k8s.io", "rolebindings", "", path_segment_name},
  };
}

}  // namespace kayak::api::validation
