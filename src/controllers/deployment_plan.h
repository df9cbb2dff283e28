// deployment_plan.h: what a Deployment does next with its ReplicaSets, and its status. Pure.
// Source: kube-controller-manager pkg/controller/deployment and its util (rolling, recreate, progress, sync).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controllers/common.h"

namespace kayak::controllers {

inline constexpr std::string_view kHashLabel = "pod-template-hash";
inline constexpr std::string_view kRevision = "deployment.kubernetes.io/revision";
inline constexpr std::string_view kRevisionHistory = "deployment.kubernetes.io/revision-history";
inline constexpr std::string_view kDesiredReplicas = "deployment.kubernetes.io/desired-replicas";
inline constexpr std::string_view kMaxReplicas = "deployment.kubernetes.io/max-replicas";

// The fields of one of its ReplicaSets.
struct SetFacts {
  ObjectRef object;
  json::Document document;
  std::string name;
  std::int64_t replicas = 0;                                            // spec
  std::int64_t current = 0, ready = 0, available = 0, terminating = 0;  // status
  std::int64_t generation = 0, observed_generation = 0, revision = 0;
  std::optional<std::int64_t> desired_annotation, max_annotation;
  WallTime created{};
  bool deleting = false;
};
SetFacts read_set_facts(const ObjectRef& replica_set);

struct DeploymentFacts {
  json::Document document;  // the newest that this reconcile knows
  std::string name;
  std::int64_t replicas = 1, generation = 0;
  bool paused = false, deleting = false, recreate = false;
  std::int64_t max_surge = 0, max_unavailable = 0;  // resolved to numbers
  std::int64_t min_ready_seconds = 0;
  std::optional<std::int64_t> progress_deadline_seconds, revision_history_limit;
  std::int64_t collision_count = 0;
  // Empty when there is none: the store may hold what a person wrote there.
  const json::Value& spec() const;
  json::Value status() const;  // {} when absent
};
DeploymentFacts read_deployment_facts(json::Document document);

// An int or percentage of `total`. Upstream rounds surge up and unavailability down; when both come out as 0,
// unavailability is 1, or nothing could ever move.
std::int64_t scaled_value(const json::Value* value, std::int64_t total, bool round_up, std::int64_t fallback);
void resolve_fenceposts(const json::Value* max_surge, const json::Value* max_unavailable, std::int64_t replicas,
                        std::int64_t* surge, std::int64_t* unavailable);

// The two templates make the same pods: equal but for the hash label.
bool same_template(const json::Value& a, const json::Value& b);
// The set that has the deployment's template now (the oldest, should there be several); -1: none.
int find_new_set(const DeploymentFacts& deployment, std::vector<SetFacts>& sets);
// Stable for a template and collision count, of letters and digits that spell no words.
std::string template_hash(const json::Value& pod_template, std::int64_t collision_count);

// A wanted change of one set's size.
struct Resize {
  std::size_t set = 0;  // index into the sets given
  std::int64_t replicas = 0;
  bool operator==(const Resize&) const = default;
};

// How large the new set may be now (it never shrinks here).
std::int64_t new_set_replicas(const DeploymentFacts& deployment, const std::vector<SetFacts>& all, std::int64_t own);
// Old sets (oldest first in time) to shrink in a rolling update: unhealthy pods first, then as availability allows.
std::vector<Resize> shrink_old_sets(const DeploymentFacts& deployment, const std::vector<SetFacts>& old_sets,
                                    const std::optional<SetFacts>& new_set);
// When the deployment's own size changes in the middle of a rollout each set gets its share.
std::vector<Resize> scale_in_proportion(const DeploymentFacts& deployment, const std::vector<SetFacts>& sets);
// The size of the deployment has changed since its sets were last scaled.
bool is_scaling_event(const DeploymentFacts& deployment, const std::vector<SetFacts>& sets);
// Old sets beyond the history limit that may be deleted, oldest revision first.
std::vector<std::size_t> sets_to_clean_up(const DeploymentFacts& deployment, const std::vector<SetFacts>& old_sets);

// ---- status

json::Value deployment_condition(std::string_view type, std::string_view status, std::string_view reason,
                                 std::string message, WallTime now);
// Counts and the Available condition; other conditions as they were.
json::Value deployment_status(const DeploymentFacts& deployment, const std::vector<SetFacts>& all,
                              const std::optional<SetFacts>& new_set, WallTime now);
// The same with Progressing and ReplicaFailure.
json::Value rollout_status(const DeploymentFacts& deployment, const std::vector<SetFacts>& all,
                           const std::optional<SetFacts>& new_set, WallTime now);
bool is_complete(const DeploymentFacts& deployment, const json::Value& status);
// When to look again whether progress has timed out; nullopt: no need.
std::optional<Duration> progress_check(const DeploymentFacts& deployment, const json::Value& status, WallTime now);

// ---- annotations of the new set

// Brings the annotations of a set up to date with its deployment. `revision`: its number if that is higher than the
// one it has. With `is_new` also the desired and max replicas. True when something changed.
bool annotate_new_set(const DeploymentFacts& deployment, json::Value& set, std::int64_t revision, bool is_new);
bool annotate_replicas(const DeploymentFacts& deployment, json::Value& set);

}  // namespace kayak::controllers
