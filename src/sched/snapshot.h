// snapshot.h: what the scheduler knows of the cluster: nodes, the pods on them, what they take. Always current, as
// everything happens on one loop: it is changed by informer events and by assuming placements.
// Owns extracted fields only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sched/model.h"

namespace kayak::sched {

struct NodeInfo {
  NodeSpec spec;
  bool present = false;  // false: pods name this node, but there is none
  Resources requested;
  std::int64_t scored_cpu = 0, scored_memory = 0;
  std::vector<PlacedPod> pods;
  int with_affinity = 0;       // pods that have any inter-pod term
  int with_anti_affinity = 0;  // pods that have required anti-affinity terms
};

class Snapshot {
 public:
  void set_node(NodeSpec spec);
  void remove_node(const std::string& name);
  // Puts a pod on its node, replacing what was known of the same uid.
  void place(const std::string& node_name, PlacedPod pod);
  bool remove(const std::string& uid);                       // false when it is not placed
  const std::string* node_of(const std::string& uid) const;  // null when it is not placed
  // On which nodes the pods of one controlling owner run, and how many on each; null when there are none.
  using Spread = std::unordered_map<const NodeInfo*, std::int64_t>;
  const Spread* spread_of(const std::string& owner_uid) const;

  const std::vector<NodeInfo*>& nodes() const { return present_; }  // in order of name
  NodeInfo* find(const std::string& name);
  std::size_t placed() const { return placed_.size(); }
  // How many nodes hold pods with required anti-affinity or any affinity: the rest need no look.
  int nodes_with_affinity() const { return nodes_with_affinity_; }

  void set_namespace(const std::string& name, api::LabelPairs labels) { namespaces_[name] = std::move(labels); }
  void remove_namespace(const std::string& name) { namespaces_.erase(name); }
  const api::LabelPairs& namespace_labels(const std::string& name) const;

 private:
  void add_to(NodeInfo& node, PlacedPod pod);
  PlacedPod take_from(NodeInfo& node, const std::string& uid);
  void drop_if_unused(const std::string& name);

  std::unordered_map<std::string, std::unique_ptr<NodeInfo>> nodes_;
  std::vector<NodeInfo*> present_;
  std::unordered_map<std::string, std::string> placed_;  // pod uid to node name
  std::unordered_map<std::string, api::LabelPairs> namespaces_;
  std::unordered_map<std::string, Spread> by_owner_;
  int nodes_with_affinity_ = 0;
};

PlacedPod placed(const PodInfo& info, api::ObjectRef pod);

}  // namespace kayak::sched
