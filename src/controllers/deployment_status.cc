// deployment_status.cc: a Deployment's counts and conditions, and whether its rollout progresses.
#include <algorithm>

#include "controllers/deployment_plan.h"

namespace kayak::controllers {

using client::array_at;
using client::int_at;
using client::text_at;

namespace {

bool is_progressing(const json::Value& before, const json::Value& after) {
  const auto number = [](const json::Value& status, const char* field) { return int_at(status, {field}); };
  const auto old_pods = [&](const json::Value& status) {
    return number(status, "replicas") - number(status, "updatedReplicas");
  };
  return number(after, "updatedReplicas") > number(before, "updatedReplicas") || old_pods(after) < old_pods(before) ||
         number(after, "readyReplicas") > number(before, "readyReplicas") ||
         number(after, "availableReplicas") > number(before, "availableReplicas");
}

bool is_timed_out(const DeploymentFacts& deployment, const json::Value* condition, WallTime now) {
  if (!deployment.progress_deadline_seconds || condition == nullptr) return false;
  const std::string_view reason = text_at(*condition, {"reason"});
  if (reason == "NewReplicaSetAvailable") return false;
  if (reason == "ProgressDeadlineExceeded") return true;
  const WallTime since = client::time_at(*condition, {"lastUpdateTime"});
  return since + std::chrono::seconds(*deployment.progress_deadline_seconds) < now;
}

// A failure of the new set, or else of any.
const json::Value* replica_failure(const std::vector<SetFacts>& all, const std::optional<SetFacts>& new_set) {
  auto failure_of = [](const SetFacts& set) {
    return client::item_with(array_at(*set.document, {"status", "conditions"}), "type", "ReplicaFailure");
  };
  const json::Value* failure = new_set ? failure_of(*new_set) : nullptr;
  for (std::size_t i = 0; failure == nullptr && i < all.size(); ++i) failure = failure_of(all[i]);
  return failure;
}

}  // namespace

json::Value deployment_condition(std::string_view type, std::string_view status, std::string_view reason,
                                 std::string message, WallTime now) {
  json::Value condition;
  condition["type"] = type;
  condition["status"] = status;
  condition["lastUpdateTime"] = format_time(now);
  condition["lastTransitionTime"] = format_time(now);
  condition["reason"] = reason;
  condition["message"] = std::move(message);
  return condition;
}

json::Value deployment_status(const DeploymentFacts& deployment, const std::vector<SetFacts>& all,
                              const std::optional<SetFacts>& new_set, WallTime now) {
  std::int64_t wanted = 0, current = 0, ready = 0, available = 0, terminating = 0;
  for (const SetFacts& set : all) {
    wanted += set.replicas;
    current += set.current;
    ready += set.ready;
    available += set.available;
    terminating += set.terminating;
  }
  json::Value status = json::Value(json::Object());
  auto set = [&status](const char* field, std::int64_t value) {
    if (value != 0) status[field] = value;
  };
  set("observedGeneration", deployment.generation);
  set("replicas", current);
  set("updatedReplicas", new_set ? new_set->current : 0);
  set("readyReplicas", ready);
  set("availableReplicas", available);
  set("unavailableReplicas", std::max<std::int64_t>(0, wanted - available));
  status["terminatingReplicas"] = terminating;
  json::Array conditions = array_at(*deployment.document, {"status", "conditions"});
  if (available >= deployment.replicas - deployment.max_unavailable) {
    set_condition(conditions,
                  deployment_condition("Available", "True", "MinimumReplicasAvailable",
                                       "Deployment has minimum availability.", now),
                  true);
  } else {
    set_condition(conditions,
                  deployment_condition("Available", "False", "MinimumReplicasUnavailable",
                                       "Deployment does not have minimum availability.", now),
                  true);
  }
  status["conditions"] = std::move(conditions);
  set("collisionCount", deployment.collision_count);
  return status;
}

bool is_complete(const DeploymentFacts& deployment, const json::Value& status) {
  return int_at(status, {"updatedReplicas"}) == deployment.replicas &&
         int_at(status, {"replicas"}) == deployment.replicas &&
         int_at(status, {"availableReplicas"}) == deployment.replicas &&
         int_at(status, {"observedGeneration"}) >= deployment.generation;
}

json::Value rollout_status(const DeploymentFacts& deployment, const std::vector<SetFacts>& all,
                           const std::optional<SetFacts>& new_set, WallTime now) {
  json::Value status = deployment_status(deployment, all, new_set, now);
  json::Array conditions = std::move(status["conditions"].as_array());
  const json::Value old_status = deployment.status();
  const json::Value* known = client::item_with(array_at(old_status, {"conditions"}), "type", "Progressing");
  const std::string subject =
      new_set ? cat("ReplicaSet ", quote(new_set->name)) : cat("Deployment ", quote(deployment.name));
  if (!deployment.progress_deadline_seconds) remove_condition(conditions, "Progressing");
  const bool was_complete = int_at(status, {"replicas"}) == int_at(status, {"updatedReplicas"}) && known != nullptr &&
                            text_at(*known, {"reason"}) == "NewReplicaSetAvailable";
  if (deployment.progress_deadline_seconds && !was_complete) {
    if (is_complete(deployment, status)) {
      set_condition(conditions,
                    deployment_condition("Progressing", "True", "NewReplicaSetAvailable",
                                         cat(subject, " has successfully progressed."), now),
                    true);
    } else if (is_progressing(old_status, status)) {
      // Always anew: its update time is what the deadline counts from.
      set_condition(
          conditions,
          deployment_condition("Progressing", "True", "ReplicaSetUpdated", cat(subject, " is progressing."), now),
          false);
    } else if (is_timed_out(deployment, known, now)) {
      set_condition(conditions,
                    deployment_condition("Progressing", "False", "ProgressDeadlineExceeded",
                                         cat(subject, " has timed out progressing."), now),
                    true);
    }
  }
  if (const json::Value* failure = replica_failure(all, new_set)) {
    json::Value condition =
        deployment_condition("ReplicaFailure", text_at(*failure, {"status"}), text_at(*failure, {"reason"}),
                             std::string(text_at(*failure, {"message"})), now);
    condition["lastTransitionTime"] = text_at(*failure, {"lastTransitionTime"});
    set_condition(conditions, std::move(condition), true);
  } else {
    remove_condition(conditions, "ReplicaFailure");
  }
  status["conditions"] = std::move(conditions);
  return status;
}

std::optional<Duration> progress_check(const DeploymentFacts& deployment, const json::Value& status, WallTime now) {
  const json::Value* known =
      client::item_with(array_at(*deployment.document, {"status", "conditions"}), "type", "Progressing");
  if (!deployment.progress_deadline_seconds || known == nullptr || is_complete(deployment, status)) return std::nullopt;
  if (text_at(*known, {"reason"}) == "ProgressDeadlineExceeded") return std::nullopt;
  const WallTime since = client::time_at(*known, {"lastUpdateTime"});
  const Duration left = since + std::chrono::seconds(*deployment.progress_deadline_seconds) - now;
  // One second later, as times are written in whole seconds.
  return std::max<Duration>(left, Duration(0)) + std::chrono::seconds(1);
}

}  // namespace kayak::controllers
