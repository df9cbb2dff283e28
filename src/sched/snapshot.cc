// snapshot.cc: keeps sums and counts of nodes in step with the pods on them.
#include "sched/snapshot.h"

#include <algorithm>

namespace kayak::sched {

namespace {
bool name_before(const NodeInfo* node, const std::string& name) { return node->spec.name < name; }

const std::string* owner_of(const PlacedPod& pod) {
  for (const api::OwnerReference& owner : pod.pod->header().owners) {
    if (owner.controller) return &owner.uid;
  }
  return nullptr;
}
}  // namespace

PlacedPod placed(const PodInfo& info, api::ObjectRef pod) {
  PlacedPod result;
  result.pod = std::move(pod);
  result.requests = info.requests;
  result.scored_cpu = info.scored_cpu;
  result.scored_memory = info.scored_memory;
  result.priority = info.priority;
  result.terminating = result.pod->header().deleting;
  result.ports = info.ports;
  if (!info.pod_affinity.empty()) result.affinity = std::make_unique<PodAffinity>(info.pod_affinity);
  return result;
}

void Snapshot::set_node(NodeSpec spec) {
  std::unique_ptr<NodeInfo>& slot = nodes_[spec.name];
  if (!slot) slot = std::make_unique<NodeInfo>();
  if (!slot->present) {
    slot->present = true;
    present_.insert(std::lower_bound(present_.begin(), present_.end(), spec.name, name_before), slot.get());
  }
  slot->spec = std::move(spec);
}

void Snapshot::remove_node(const std::string& name) {
  auto place = nodes_.find(name);
  if (place == nodes_.end() || !place->second->present) return;
  present_.erase(std::find(present_.begin(), present_.end(), place->second.get()));
  place->second->present = false;
  drop_if_unused(name);
}

void Snapshot::drop_if_unused(const std::string& name) {
  auto place = nodes_.find(name);
  if (place != nodes_.end() && !place->second->present && place->second->pods.empty()) nodes_.erase(place);
}

NodeInfo* Snapshot::find(const std::string& name) {
  auto place = nodes_.find(name);
  return place == nodes_.end() ? nullptr : place->second.get();
}

void Snapshot::add_to(NodeInfo& node, PlacedPod pod) {
  node.requested.add(pod.requests);
  node.scored_cpu += pod.scored_cpu;
  node.scored_memory += pod.scored_memory;
  if (pod.affinity) {
    if (node.with_affinity++ == 0) ++nodes_with_affinity_;
    if (!pod.affinity->required_anti.empty()) ++node.with_anti_affinity;
  }
  if (const std::string* owner = owner_of(pod)) ++by_owner_[*owner][&node];
  node.pods.push_back(std::move(pod));
}

PlacedPod Snapshot::take_from(NodeInfo& node, const std::string& uid) {
  auto place =
      std::find_if(node.pods.begin(), node.pods.end(), [&](const PlacedPod& pod) { return pod.pod->uid() == uid; });
  ASSERT(place != node.pods.end());
  PlacedPod pod = std::move(*place);
  node.pods.erase(place);
  node.requested.subtract(pod.requests);
  node.scored_cpu -= pod.scored_cpu;
  node.scored_memory -= pod.scored_memory;
  if (pod.affinity) {
    if (--node.with_affinity == 0) --nodes_with_affinity_;
    if (!pod.affinity->required_anti.empty()) --node.with_anti_affinity;
  }
  if (const std::string* owner = owner_of(pod)) {
    auto spread = by_owner_.find(*owner);
    auto count = spread->second.find(&node);
    if (--count->second == 0) spread->second.erase(count);
    if (spread->second.empty()) by_owner_.erase(spread);
  }
  return pod;
}

const Snapshot::Spread* Snapshot::spread_of(const std::string& owner_uid) const {
  auto place = by_owner_.find(owner_uid);
  return place == by_owner_.end() ? nullptr : &place->second;
}

void Snapshot::place(const std::string& node_name, PlacedPod pod) {
  remove(pod.pod->uid());
  std::unique_ptr<NodeInfo>& slot = nodes_[node_name];
  if (!slot) {
    slot = std::make_unique<NodeInfo>();
    slot->spec.name = node_name;
  }
  placed_[pod.pod->uid()] = node_name;
  add_to(*slot, std::move(pod));
}

bool Snapshot::remove(const std::string& uid) {
  auto place = placed_.find(uid);
  if (place == placed_.end()) return false;
  const std::string node_name = place->second;
  placed_.erase(place);
  take_from(*nodes_.at(node_name), uid);
  drop_if_unused(node_name);
  return true;
}

const std::string* Snapshot::node_of(const std::string& uid) const {
  auto place = placed_.find(uid);
  return place == placed_.end() ? nullptr : &place->second;
}

const api::LabelPairs& Snapshot::namespace_labels(const std::string& name) const {
  static const api::LabelPairs kNone;
  auto place = namespaces_.find(name);
  return place == namespaces_.end() ? kNone : place->second;
}

}  // namespace kayak::sched
