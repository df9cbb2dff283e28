// replica_plan.h: what a ReplicaSet or ReplicationController does next about its pods, and its status. Pure.
// Source: kube-controller-manager pkg/controller/replicaset, controller.ActivePodsWithRanks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controllers/common.h"

namespace kayak::controllers {

// At most this many pods are made or deleted in one turn.
constexpr std::int64_t kBurstReplicas = 500;

struct ReplicaPlan {
  std::int64_t create = 0;
  std::vector<ObjectRef> remove;
};
// `active`: the active pods it owns; `related`: active pods of the same top owner, which decide which node is fullest.
ReplicaPlan plan_replicas(std::int64_t wanted, const std::vector<PodFacts>& active,
                          const std::vector<PodFacts>& related, WallTime now);

// True when `a` is to be deleted before `b`; `rank`: how many related pods its node holds.
struct RankedPod {
  const PodFacts* pod = nullptr;
  std::int64_t rank = 0;
};
bool deleted_before(const RankedPod& a, const RankedPod& b, WallTime now);

struct ReplicaCounts {
  std::int64_t replicas = 0, fully_labeled = 0, ready = 0, available = 0, terminating = 0;
  std::optional<Duration> next_available;  // when the next ready pod becomes available, as time goes by
};
ReplicaCounts count_replicas(const std::vector<PodFacts>& active, const api::LabelSelector& template_labels,
                             std::int64_t min_ready_seconds, WallTime now);

// The new status document. `failure`: what went wrong while managing pods, if anything did; `missing`: wanted minus
// present before that.
json::Value replica_status(const json::Value& old_status, const ReplicaCounts& counts, std::int64_t generation,
                           const std::optional<Error>& failure, std::int64_t missing, bool with_terminating,
                           WallTime now);

}  // namespace kayak::controllers
