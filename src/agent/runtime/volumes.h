// volumes.h: the volumes of a pod on its node: emptyDir and hostPath. Blocking: for the pool.
// Source: core/v1 EmptyDirVolumeSource, HostPathVolumeSource.
#pragma once

#include <string>
#include <vector>

#include "agent/runtime/oci_config.h"
#include "base/json.h"
#include "base/result.h"

namespace kayak::agent {

// Makes what is missing below `pod_directory`/volumes and tells where each volume is. Idempotent.
// Errors: Invalid with upstream's "hostPath type check failed: ..." , Io, NoSpace.
Result<std::vector<VolumePath>> prepare_volumes(const json::Value& pod, const std::string& pod_directory);

}  // namespace kayak::agent
