// replica_plan.cc: how many pods to make, which to delete first, and the counts in the status.
#include "controllers/replica_plan.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace kayak::controllers {

namespace {

int phase_order(const std::string& phase) {
  if (phase == "Pending") return 0;
  if (phase == "Unknown" || phase.empty()) return 1;
  return 2;
}

// Ages are compared by their order of magnitude, so that which of two pods of about the same age goes is a matter of
// chance (their uids) and not always the younger one.
int magnitude(WallTime since, WallTime now) {
  const std::int64_t seconds = (now - since).count() / 1'000'000'000;
  return seconds <= 0 ? -1 : static_cast<int>(std::log2(static_cast<double>(seconds)));
}

// Negative: `a` goes first. Younger goes first; one without a time goes first.
int by_age(WallTime a, WallTime b, WallTime now, const PodFacts& pa, const PodFacts& pb) {
  const bool no_a = a == WallTime(), no_b = b == WallTime();
  if (no_a != no_b) return no_a ? -1 : 1;
  if (a == b) return 0;
  const int ma = magnitude(a, now), mb = magnitude(b, now);
  if (ma != mb) return ma < mb ? -1 : 1;
  return pa.object->uid() < pb.object->uid() ? -1 : 1;
}

}  // namespace

bool deleted_before(const RankedPod& a, const RankedPod& b, WallTime now) {
  const PodFacts &pa = *a.pod, &pb = *b.pod;
  if (pa.node.empty() != pb.node.empty()) return pa.node.empty();
  if (phase_order(pa.phase) != phase_order(pb.phase)) return phase_order(pa.phase) < phase_order(pb.phase);
  if (pa.ready != pb.ready) return !pa.ready;
  if (pa.deletion_cost != pb.deletion_cost) return pa.deletion_cost < pb.deletion_cost;
  if (a.rank != b.rank) return a.rank > b.rank;
  if (pa.ready && pb.ready && pa.ready_since != pb.ready_since) {
    return by_age(pa.ready_since, pb.ready_since, now, pa, pb) < 0;
  }
  if (pa.restarts != pb.restarts) return pa.restarts > pb.restarts;
  if (pa.created != pb.created) return by_age(pa.created, pb.created, now, pa, pb) < 0;
  return pa.object->uid() < pb.object->uid();  // a total order, so that the same pods are chosen again
}

ReplicaPlan plan_replicas(std::int64_t wanted, const std::vector<PodFacts>& active,
                          const std::vector<PodFacts>& related, WallTime now) {
  ReplicaPlan plan;
  const auto present = static_cast<std::int64_t>(active.size());
  if (present < wanted) {
    plan.create = std::min(wanted - present, kBurstReplicas);
    return plan;
  }
  const std::int64_t excess = std::min(present - wanted, kBurstReplicas);
  if (excess == 0) return plan;
  std::map<std::string, std::int64_t> on_node;
  for (const PodFacts& pod : related) ++on_node[pod.node];
  std::vector<RankedPod> ranked;
  for (const PodFacts& pod : active) ranked.push_back(RankedPod{&pod, on_node[pod.node]});
  if (excess < present) {
    std::sort(ranked.begin(), ranked.end(),
              [now](const RankedPod& a, const RankedPod& b) { return deleted_before(a, b, now); });
  }
  for (std::int64_t i = 0; i < excess; ++i) plan.remove.push_back(ranked[static_cast<std::size_t>(i)].pod->object);
  return plan;
}

ReplicaCounts count_replicas(const std::vector<PodFacts>& active, const api::LabelSelector& template_labels,
                             std::int64_t min_ready_seconds, WallTime now) {
  ReplicaCounts counts;
  for (const PodFacts& pod : active) {
    ++counts.replicas;
    counts.fully_labeled += template_labels.matches(pod.object->header().labels) ? 1 : 0;
    counts.ready += pod.ready ? 1 : 0;
    if (pod.available(now, min_ready_seconds)) {
      ++counts.available;
    } else if (pod.ready) {
      const Duration wait = pod.ready_since + std::chrono::seconds(min_ready_seconds) - now;
      if (!counts.next_available || wait < *counts.next_available) counts.next_available = wait;
    }
  }
  return counts;
}

json::Value replica_status(const json::Value& old_status, const ReplicaCounts& counts, std::int64_t generation,
                           const std::optional<Error>& failure, std::int64_t missing, bool with_terminating,
                           WallTime now) {
  json::Value status = json::Value(json::Object());
  status["replicas"] = counts.replicas;
  auto set = [&status](const char* field, std::int64_t value) {
    if (value != 0) status[field] = value;
  };
  set("fullyLabeledReplicas", counts.fully_labeled);
  set("readyReplicas", counts.ready);
  set("availableReplicas", counts.available);
  if (with_terminating) status["terminatingReplicas"] = counts.terminating;
  set("observedGeneration", generation);
  json::Array conditions = client::array_at(old_status, {"conditions"});
  const bool has_failure = client::item_with(conditions, "type", "ReplicaFailure") != nullptr;
  if (failure && !has_failure) {
    json::Value condition;
    condition["type"] = "ReplicaFailure";
    condition["status"] = "True";
    condition["lastTransitionTime"] = format_time(now);
    condition["reason"] = missing > 0 ? "FailedCreate" : "FailedDelete";
    condition["message"] = failure->message();
    conditions.push_back(std::move(condition));
  } else if (!failure) {
    remove_condition(conditions, "ReplicaFailure");
  }
  if (!conditions.empty()) status["conditions"] = std::move(conditions);
  return status;
}

}  // namespace kayak::controllers
