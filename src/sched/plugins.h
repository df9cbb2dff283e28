// plugins.h: the tables of filters and scores, and what they share during the look for one pod's node.
// A new plugin is a row in plugins.cc and a function in a file of its own.
// Source: scheduler framework, default plugins and their weights (kube-scheduler v1.36).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sched/snapshot.h"

namespace kayak::sched {

// A node label as a place: its key's number among the pod's terms and its value.
struct Place {
  std::string_view key, value;  // both live as long as the cycle: in the pod's terms and the node's labels
  bool operator==(const Place&) const = default;
};
struct PlaceHash {
  std::size_t operator()(const Place& place) const {
    return std::hash<std::string_view>()(place.key) * 31 + std::hash<std::string_view>()(place.value);
  }
};
using PlaceCounts = std::unordered_map<Place, std::int64_t, PlaceHash>;

struct SpreadState {
  const SpreadConstraint* constraint = nullptr;
  bool self = false;  // the pod counts itself
  std::unordered_map<std::string_view, std::int64_t> domains;
  std::int64_t smallest = 0;
  double weight = 0;  // of a soft constraint
};

// Prepared once per pod, read once per node.
struct Cycle {
  const Snapshot& snapshot;
  const PodInfo& pod;
  // Inter-pod affinity.
  bool check_affinity = false;
  PlaceCounts existing_anti, affinity, anti_affinity, affinity_score;
  bool self_affine = false;  // the pod matches its own affinity terms
  // Topology spread.
  std::vector<SpreadState> hard_spread, soft_spread;
  bool spread_by_default = false;  // soft_spread is not the pod's own wish: it counts pods of the same owner
  const Snapshot::Spread* owners_spread = nullptr;
};

// Why a node does not fit. Unresolvable: removing pods from it would not help.
struct Verdict {
  std::vector<std::string> reasons;  // empty: it fits
  bool unresolvable = false;
  bool fits() const { return reasons.empty(); }
};

// What may let a pod through that a plugin turned down; a mask.
enum Change : std::uint16_t {
  kNodeAdded = 1,
  kNodeAllocatable = 2,
  kNodeLabels = 4,
  kNodeTaints = 8,
  kPodPlaced = 16,
  kPodGone = 32,
  kPodLabels = 64,
  kVolumes = 128,
  kAnyChange = 0xffff
};

struct FilterPlugin {
  std::string_view name;
  void (*prepare)(Cycle& cycle);  // may be null
  Verdict (*filter)(const Cycle& cycle, const NodeInfo& node);
  std::uint16_t cured_by;  // mask of Change
};
struct ScorePlugin {
  std::string_view name;
  std::int64_t weight;
  bool (*prepare)(Cycle& cycle, std::span<const NodeInfo* const> nodes);  // false: nothing to score; may be null
  std::int64_t (*score)(const Cycle& cycle, const NodeInfo& node);
  void (*normalize)(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores);
};

std::span<const FilterPlugin> filter_plugins();
std::span<const ScorePlugin> score_plugins();
constexpr std::int64_t kMaxScore = 100;

const std::string* label_of(const NodeInfo& node, std::string_view key);  // null when absent

// filters.cc
Verdict filter_node_unschedulable(const Cycle& cycle, const NodeInfo& node);
Verdict filter_node_name(const Cycle& cycle, const NodeInfo& node);
Verdict filter_taints(const Cycle& cycle, const NodeInfo& node);
Verdict filter_node_affinity(const Cycle& cycle, const NodeInfo& node);
Verdict filter_node_ports(const Cycle& cycle, const NodeInfo& node);
Verdict filter_resources(const Cycle& cycle, const NodeInfo& node);
Verdict filter_volumes(const Cycle& cycle, const NodeInfo& node);
// pod_affinity.cc
void prepare_pod_affinity(Cycle& cycle);
Verdict filter_pod_affinity(const Cycle& cycle, const NodeInfo& node);
bool prepare_pod_affinity_score(Cycle& cycle, std::span<const NodeInfo* const> nodes);
std::int64_t score_pod_affinity(const Cycle& cycle, const NodeInfo& node);
// topology_spread.cc
void prepare_spread(Cycle& cycle);
Verdict filter_spread(const Cycle& cycle, const NodeInfo& node);
bool prepare_spread_score(Cycle& cycle, std::span<const NodeInfo* const> nodes);
std::int64_t score_spread(const Cycle& cycle, const NodeInfo& node);
void normalize_spread(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores);
// scores.cc
bool prepare_node_affinity_score(Cycle& cycle, std::span<const NodeInfo* const> nodes);
std::int64_t score_node_affinity(const Cycle& cycle, const NodeInfo& node);
std::int64_t score_taints(const Cycle& cycle, const NodeInfo& node);
std::int64_t score_least_allocated(const Cycle& cycle, const NodeInfo& node);
std::int64_t score_balanced(const Cycle& cycle, const NodeInfo& node);
void normalize_up(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores);
void normalize_down(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores);
void normalize_range(const Cycle& cycle, std::span<const NodeInfo* const> nodes, std::span<std::int64_t> scores);

}  // namespace kayak::sched
