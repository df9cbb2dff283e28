// topology_spread.cc: keeps a pod's matching pods evenly over zones, nodes or whatever a node label names.
// Source: kube-scheduler plugin PodTopologySpread.
#include <algorithm>
#include <array>
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

// Pods of one owner are spread a little over nodes and zones even when nobody asks. (Upstream selects them by the
// services and sets that select the pod; the owner says the same without looking at all of them.)
const std::array<SpreadConstraint, 2>& default_constraints() {
  static const std::array<SpreadConstraint, 2> kConstraints = [] {
    std::array<SpreadConstraint, 2> made;
    made[0].topology_key = kHostname;
    made[0].max_skew = 3;
    made[1].topology_key = kZone;
    made[1].max_skew = 5;
    for (SpreadConstraint& constraint : made) constraint.hard = false;
    return made;
  }();
  return kConstraints;
}

std::int64_t counted_pods(const Cycle& cycle, const SpreadConstraint& constraint, const NodeInfo& node) {
  if (!cycle.spread_by_default) return matching_pods(cycle, constraint, node);
  if (cycle.owners_spread == nullptr) return 0;
  auto count = cycle.owners_spread->find(&node);
  return count == cycle.owners_spread->end() ? 0 : count->second;
}

void add_soft(Cycle& cycle, std::span<const SpreadConstraint> constraints) {
  for (const SpreadConstraint& constraint : constraints) {
    if (constraint.hard) continue;
    SpreadState state;
    state.constraint = &constraint;
    cycle.soft_spread.push_back(std::move(state));
  }
}

void count_domains(const Cycle& cycle, SpreadState& state) {
  auto count = [&](const NodeInfo& node) {
    const std::string* value = label_of(node, state.constraint->topology_key);
    auto domain = value == nullptr ? state.domains.end() : state.domains.find(*value);
    if (domain != state.domains.end() && counts_as_eligible(cycle, *state.constraint, node)) {
      domain->second += counted_pods(cycle, *state.constraint, node);
    }
  };
  if (!cycle.spread_by_default) {
    for (const NodeInfo* node : cycle.snapshot.nodes()) {
      if (!node->pods.empty()) count(*node);
    }
  } else if (cycle.owners_spread != nullptr) {
    for (const auto& [node, pods] : *cycle.owners_spread) {
      if (node->present) count(*node);
    }
  }
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
  if (!cycle.pod.spread.empty()) {
    add_soft(cycle, cycle.pod.spread);
  } else if (!cycle.pod.owner_uid.empty()) {
    cycle.spread_by_default = true;
    cycle.owners_spread = cycle.snapshot.spread_of(cycle.pod.owner_uid);
    if (cycle.owners_spread != nullptr) add_soft(cycle, default_constraints());
  }
  if (cycle.soft_spread.empty()) return false;
  // The domains that can be chosen; by default a node without a zone still counts by its name.
  for (const NodeInfo* node : nodes) {
    if (!cycle.spread_by_default && !has_all_keys(cycle.soft_spread, *node)) continue;
    for (SpreadState& state : cycle.soft_spread) {
      if (state.constraint->topology_key == kHostname) continue;  // counted at the node itself
      if (const std::string* value = label_of(*node, state.constraint->topology_key)) state.domains[*value] = 0;
    }
  }
  for (SpreadState& state : cycle.soft_spread) {
    const bool per_node = state.constraint->topology_key == kHostname;
    const std::size_t size = per_node ? nodes.size() : state.domains.size();
    state.weight = std::log(static_cast<double>(size + 2));
    if (!state.domains.empty()) count_domains(cycle, state);
  }
  return true;
}

std::int64_t score_spread(const Cycle& cycle, const NodeInfo& node) {
  // -1: a node that lacks a label cannot be compared; it is told apart when scores are normalized.
  if (!cycle.spread_by_default && !has_all_keys(cycle.soft_spread, node)) return -1;
  double score = 0;
  for (const SpreadState& state : cycle.soft_spread) {
    const std::string* value = label_of(node, state.constraint->topology_key);
    if (value == nullptr) continue;
    const bool per_node = state.constraint->topology_key == kHostname;
    const std::int64_t there =
        per_node ? counted_pods(cycle, *state.constraint, node) : state.domains.find(*value)->second;
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
