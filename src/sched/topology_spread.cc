// topology_spread.cc: keeps a pod's matching pods evenly over zones, nodes or whatever a node label names.
// Source: kube-scheduler plugin PodTopologySpread.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sched/plugins.h"

namespace kayak::sched {

namespace {

constexpr std::string_view kHostname = "kubernetes.io/hostname";
constexpr std::string_view kZone = "topology.kubernetes.io/zone";

bool counts_as_eligible(const Cycle& cycle, const SpreadConstraint& constraint, const NodeInfo& node) {
  if (constraint.honor_affinity && !cycle.pod.affinity.matches(node.spec.name, node.spec.labels)) return false;
  return !constraint.honor_taints || filter_taints(cycle, node).fits();
}

std::int64_t matching_pods(const Cycle& cycle, const SpreadConstraint& constraint, const NodeInfo& node) {
  return std::count_if(node.pods.begin(), node.pods.end(), [&](const PlacedPod& other) {
    return !other.terminating && other.pod->namespace_() == cycle.pod.namespace_ &&
           constraint.pods.matches(other.pod->header().labels);
  });
}

bool has_all_keys(const std::vector<SpreadState>& states, const NodeInfo& node) {
  return std::all_of(states.begin(), states.end(), [&](const SpreadState& state) {
    return label_of(node, state.constraint->topology_key) != nullptr;
  });
}

Verdict refuse(const char* reason, bool unresolvable) {
  Verdict verdict;
  verdict.reasons.emplace_back(reason);
  verdict.unresolvable = unresolvable;
  return verdict;
}

// Pods of one owner are spread a little over nodes and zones even when nobody asks.
std::vector<SpreadConstraint> default_constraints(const PodInfo& pod) {
  std::vector<SpreadConstraint> constraints;
  if (pod.owner_uid.empty() || pod.labels.empty()) return constraints;
  for (const auto& [key, max_skew] : {std::pair(kHostname, 3), std::pair(kZone, 5)}) {
    SpreadConstraint constraint;
    constraint.topology_key = key;
    constraint.max_skew = max_skew;
    constraint.hard = false;
    // Labels of one owner's pods that its selector cannot be made of.
    api::LabelPairs labels;
    for (const auto& label : pod.labels) {
      if (label.first != "statefulset.kubernetes.io/pod-name" && label.first != "apps.kubernetes.io/pod-index" &&
          label.first != "batch.kubernetes.io/job-completion-index") {
        labels.push_back(label);
      }
    }
    constraint.pods = api::LabelSelector::equals(labels);
    constraints.push_back(std::move(constraint));
  }
  return constraints;
}

}  // namespace

void prepare_spread(Cycle& cycle) {
  for (const SpreadConstraint& constraint : cycle.pod.spread) {
    if (!constraint.hard) continue;
    SpreadState state;
    state.constraint = &constraint;
    state.self = constraint.pods.matches(cycle.pod.labels);
    cycle.hard_spread.push_back(std::move(state));
  }
  if (cycle.hard_spread.empty()) return;
  for (const NodeInfo* node : cycle.snapshot.nodes()) {
    if (!has_all_keys(cycle.hard_spread, *node)) continue;
    for (SpreadState& state : cycle.hard_spread) {
      if (!counts_as_eligible(cycle, *state.constraint, *node)) continue;
      state.domains[*label_of(*node, state.constraint->topology_key)] += matching_pods(cycle, *state.constraint, *node);
    }
  }
  for (SpreadState& state : cycle.hard_spread) {
    state.smallest = std::numeric_limits<std::int32_t>::max();
    for (const auto& [value, count] : state.domains) state.smallest = std::min(state.smallest, count);
    if (static_cast<std::int64_t>(state.domains.size()) < state.constraint->min_domains) state.smallest = 0;
  }
}

Verdict filter_spread(const Cycle& cycle, const NodeInfo& node) {
  for (const SpreadState& state : cycle.hard_spread) {
    const std::string* value = label_of(node, state.constraint->topology_key);
    if (value == nullptr) {
      return refuse("node(s) didn't match pod topology spread constraints (missing required label)", true);
    }
    auto domain = state.domains.find(*value);
    const std::int64_t there = domain == state.domains.end() ? 0 : domain->second;
    if (there + (state.self ? 1 : 0) - state.smallest > state.constraint->max_skew) {
      return refuse("node(s) didn't match pod topology spread constraints", false);
    }
  }
  return Verdict();
}

bool prepare_spread_score(Cycle& cycle, std::span<const NodeInfo* const> nodes) {
  if (cycle.pod.spread.empty()) cycle.default_spread = default_constraints(cycle.pod);
  const auto& constraints = cycle.pod.spread.empty() ? cycle.default_spread : cycle.pod.spread;
  for (const SpreadConstraint& constraint : constraints) {
    if (constraint.hard) continue;
    SpreadState state;
    state.constraint = &constraint;
    cycle.soft_spread.push_back(std::move(state));
  }
  if (cycle.soft_spread.empty()) return false;
  const bool by_default = cycle.pod.spread.empty();
  // The domains that can be chosen; with defaults a node without a zone still counts by its name.
  for (const NodeInfo* node : nodes) {
    if (!by_default && !has_all_keys(cycle.soft_spread, *node)) continue;
    for (SpreadState& state : cycle.soft_spread) {
      if (const std::string* value = label_of(*node, state.constraint->topology_key)) state.domains[*value] = 0;
    }
  }
  for (SpreadState& state : cycle.soft_spread) {
    const bool per_node = state.constraint->topology_key == kHostname;
    const std::size_t size = per_node ? nodes.size() : state.domains.size();
    state.weight = std::log(static_cast<double>(size + 2));
    if (per_node || state.domains.empty()) continue;  // counted at the node itself
    for (const NodeInfo* node : cycle.snapshot.nodes()) {
      if (node->pods.empty() || !counts_as_eligible(cycle, *state.constraint, *node)) continue;
      const std::string* value = label_of(*node, state.constraint->topology_key);
      auto domain = value == nullptr ? state.domains.end() : state.domains.find(*value);
      if (domain != state.domains.end()) domain->second += matching_pods(cycle, *state.constraint, *node);
    }
  }
  return true;
}

std::int64_t score_spread(const Cycle& cycle, const NodeInfo& node) {
  // -1: a node that lacks a label cannot be compared; it is told apart when scores are normalized.
  if (!cycle.pod.spread.empty() && !has_all_keys(cycle.soft_spread, node)) return -1;
  double score = 0;
  for (const SpreadState& state : cycle.soft_spread) {
    const std::string* value = label_of(node, state.constraint->topology_key);
    if (value == nullptr) continue;
    const bool per_node = state.constraint->topology_key == kHostname;
    const std::int64_t there =
        per_node ? matching_pods(cycle, *state.constraint, node) : state.domains.find(*value)->second;
    score += static_cast<double>(there) * state.weight + static_cast<double>(state.constraint->max_skew - 1);
  }
  return std::llround(score);
}

void normalize_spread(const Cycle&, std::span<const NodeInfo* const>, std::span<std::int64_t> scores) {
  std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = 0;
  for (const std::int64_t score : scores) {
    if (score < 0) continue;
    low = std::min(low, score);
    high = std::max(high, score);
  }
  for (std::int64_t& score : scores) {
    if (score < 0) {
      score = 0;
    } else {
      score = high == 0 ? kMaxScore : kMaxScore * (high + low - score) / high;
    }
  }
}

}  // namespace kayak::sched
