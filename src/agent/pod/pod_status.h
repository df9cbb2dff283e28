// pod_status.h: the PodStatus that the API shows for a pod, from what is known here. Pure.
// Source: core/v1 PodStatus, PodCondition, ContainerStatus; kubelet's reasons and messages.
#pragma once

#include <string>
#include <vector>

#include "agent/pod/pod_plan.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::agent {

struct StatusInputs {
  const json::Value* pod = nullptr;  // as the API has it: spec, and the status so far (conditions are kept up)
  std::vector<std::string> host_ips;
  Instant now;
  WallTime wall;
};

// The whole status object. Conditions keep their lastTransitionTime unless their status changes; conditions of others
// (readiness gates, DisruptionTarget) stay as they are.
json::Value pod_status(const PodFacts& facts, const StatusInputs& inputs);

// "kayak://<id>", "" for none.
std::string container_id_text(const std::string& id);

}  // namespace kayak::agent
