// plugins.cc: the tables. The order of filters is the order they run in; the first refusal is the node's reason.
#include "sched/plugins.h"

#include <algorithm>

namespace kayak::sched {

namespace {

constexpr std::uint16_t kNodeChange = kNodeAdded | kNodeLabels;

constexpr std::array kFilterPlugins = {
    FilterPlugin{"NodeUnschedulable", nullptr, filter_node_unschedulable, kNodeAdded | kNodeTaints},
    FilterPlugin{"NodeName", nullptr, filter_node_name, kNodeAdded},
    FilterPlugin{"TaintToleration", nullptr, filter_taints, kNodeAdded | kNodeTaints},
    FilterPlugin{"NodeAffinity", nullptr, filter_node_affinity, kNodeChange},
    FilterPlugin{"NodePorts", nullptr, filter_node_ports, kNodeAdded | kPodGone},
    FilterPlugin{"NodeResourcesFit", nullptr, filter_resources, kNodeAdded | kNodeAllocatable | kPodGone},
    FilterPlugin{"VolumeBinding", nullptr, filter_volumes, kNodeChange | kVolumes},
    FilterPlugin{"PodTopologySpread", prepare_spread, filter_spread,
                 kNodeChange | kNodeTaints | kPodPlaced | kPodGone | kPodLabels},
    FilterPlugin{"InterPodAffinity", prepare_pod_affinity, filter_pod_affinity,
                 kNodeChange | kPodPlaced | kPodGone | kPodLabels},
};

constexpr std::array kScorePlugins = {
    ScorePlugin{"TaintToleration", 3, nullptr, score_taints, normalize_down},
    ScorePlugin{"NodeAffinity", 2, prepare_node_affinity_score, score_node_affinity, normalize_up},
    ScorePlugin{"PodTopologySpread", 2, prepare_spread_score, score_spread, normalize_spread},
    ScorePlugin{"InterPodAffinity", 2, prepare_pod_affinity_score, score_pod_affinity, normalize_range},
    ScorePlugin{"NodeResourcesFit", 1, nullptr, score_least_allocated, nullptr},
    ScorePlugin{"NodeResourcesBalancedAllocation", 1, nullptr, score_balanced, nullptr},
};

}  // namespace

std::span<const FilterPlugin> filter_plugins() { return kFilterPlugins; }
std::span<const ScorePlugin> score_plugins() { return kScorePlugins; }

const std::string* label_of(const NodeInfo& node, std::string_view key) {
  const api::LabelPairs& labels = node.spec.labels;
  auto place = std::lower_bound(labels.begin(), labels.end(), key, [](const auto& a, auto b) { return a.first < b; });
  return place != labels.end() && place->first == key ? &place->second : nullptr;
}

}  // namespace kayak::sched
