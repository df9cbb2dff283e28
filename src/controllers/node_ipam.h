// node_ipam.h: which part of the cluster's pod addresses a node gets. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kayak::controllers {

// The first /24 of `cluster_cidr` (IPv4) that overlaps none of `taken`; the whole range when it is a /24 or smaller.
// Errors: Invalid (not a range), NoSpace (every part is taken).
Result<std::string> next_pod_cidr(const std::string& cluster_cidr, const std::vector<std::string>& taken);

}  // namespace kayak::controllers
