// scores.cc: how well a node that fits suits a pod, by node affinity, taints and free resources; normalizing.
#include <algorithm>
#include <cmath>

#include "sched/plugins.h"

namespace kayak::sched {

bool prepare_node_affinity_score(Cycle& cycle, std::span<const NodeInfo* const>) {
  return !cycle.pod.affinity.preferred.empty();
}

std::int64_t score_node_affinity(const Cycle& cycle, const NodeInfo& node) {
  std::int64_t score = 0;
  for (const PreferredNodeTerm& preferred : cycle.pod.affinity.preferred) {
    if (preferred.term.matches(node.spec.name, node.spec.labels)) score += preferred.weight;
  }
  return score;
}

// How many soft taints the pod does not tolerate: fewer is better.
std::int64_t score_taints(const Cycle& cycle, const NodeInfo& node) {
  return std::count_if(node.spec.taints.begin(), node.spec.taints.end(), [&](const Taint& taint) {
    return taint.effect == "PreferNoSchedule" && !tolerated(cycle.pod.tolerations, taint);
  });
}

std::int64_t score_least_allocated(const Cycle& cycle, const NodeInfo& node) {
  std::int64_t score = 0, parts = 0;
  auto add = [&](std::int64_t taken, std::int64_t total) {
    if (total <= 0) return;
    ++parts;
    if (taken <= total) score += (total - taken) * kMaxScore / total;
  };
  add(node.scored_cpu + cycle.pod.scored_cpu, node.spec.allocatable.milli_cpu);
  add(node.scored_memory + cycle.pod.scored_memory, node.spec.allocatable.memory);
  return parts == 0 ? 0 : score / parts;
}

// Nodes whose CPU and memory would fill up evenly score high.
std::int64_t score_balanced(const Cycle& cycle, const NodeInfo& node) {
  const Resources& room = node.spec.allocatable;
  if (room.milli_cpu <= 0 || room.memory <= 0) return 0;
  // A pod that asks for nothing leaves the balance as it is.
  if (cycle.pod.requests.milli_cpu == 0 && cycle.pod.requests.memory == 0) return 0;
  const auto part = [](std::int64_t taken, std::int64_t total) {
    return std::min(1.0, static_cast<double>(taken) / static_cast<double>(total));
  };
  const double cpu = part(node.requested.milli_cpu + cycle.pod.requests.milli_cpu, room.milli_cpu);
  const double memory = part(node.requested.memory + cycle.pod.requests.memory, room.memory);
  // The standard deviation of two values.
  return static_cast<std::int64_t>((1 - std::abs(cpu - memory) / 2) * static_cast<double>(kMaxScore));
}

void normalize_up(const Cycle&, std::span<const NodeInfo* const>, std::span<std::int64_t> scores) {
  const std::int64_t best = *std::max_element(scores.begin(), scores.end());
  if (best == 0) return;
  for (std::int64_t& score : scores) score = score * kMaxScore / best;
}

void normalize_down(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores) {
  normalize_up(cycle, nodes, scores);
  for (std::int64_t& score : scores) score = kMaxScore - score;
}

void normalize_range(const Cycle&, std::span<const NodeInfo* const>, std::span<std::int64_t> scores) {
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const std::int64_t floor = *low, range = *high - *low;
  for (std::int64_t& score : scores) score = range == 0 ? 0 : (score - floor) * kMaxScore / range;
}

}  // namespace kayak::sched
