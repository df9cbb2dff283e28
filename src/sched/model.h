// model.h: the fields of pods and nodes that scheduling looks at, taken out of their documents once.
// Owns no document; placed pods keep a reference to the API's shared object for their labels.
// Source: core/v1 PodSpec, NodeSpec, NodeStatus; scheduler framework types (resource requests, host ports, affinity).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/object.h"
#include "api/selector.h"
#include "base/json.h"

namespace kayak::sched {

// CPU in thousandths, the rest in units (bytes).
struct Resources {
  std::int64_t milli_cpu = 0, memory = 0, ephemeral_storage = 0;
  std::vector<std::pair<std::string, std::int64_t>> others;  // extended resources and huge pages, sorted by name

  void add(const Resources& more);
  void subtract(const Resources& less);
  void raise_to(const Resources& floor);  // the maximum of each
  std::int64_t other(std::string_view name) const;
  bool is_zero() const;
};

struct Taint {
  std::string key, value, effect;
};
struct Toleration {
  std::string key, op, value, effect;
  bool tolerates(const Taint& taint) const;
};
bool tolerated(const std::vector<Toleration>& tolerations, const Taint& taint);

struct HostPort {
  std::string ip, protocol;  // ip "" or "0.0.0.0": all addresses
  std::int32_t port = 0;
  bool conflicts(const HostPort& other) const;
};

// One term of a node selector: all of its requirements must hold. A term without any matches no node.
struct NodeTerm {
  api::LabelSelector labels;
  std::vector<api::Requirement> names;  // on metadata.name
  bool empty = true;
  bool matches(std::string_view node_name, const api::LabelPairs& node_labels) const;
};
NodeTerm read_node_term(const json::Value& term);  // a core/v1 NodeSelectorTerm
struct PreferredNodeTerm {
  std::int64_t weight = 0;
  NodeTerm term;
};
struct NodeAffinity {
  api::LabelSelector node_selector;  // spec.nodeSelector
  bool has_required = false;
  std::vector<NodeTerm> required;  // any of them
  std::vector<PreferredNodeTerm> preferred;
  bool matches(std::string_view node_name, const api::LabelPairs& node_labels) const;
};

// One term of inter-pod affinity: which pods, and which node label makes two nodes the same place.
struct PodTerm {
  api::LabelSelector pods;
  std::vector<std::string> namespaces;
  bool has_namespace_selector = false;
  api::LabelSelector namespace_selector;
  std::string topology_key;
};
struct WeightedPodTerm {
  std::int64_t weight = 0;
  PodTerm term;
};
struct PodAffinity {
  std::vector<PodTerm> required, required_anti;
  std::vector<WeightedPodTerm> preferred, preferred_anti;
  bool empty() const {
    return required.empty() && required_anti.empty() && preferred.empty() && preferred_anti.empty();
  }
};

struct SpreadConstraint {
  std::int64_t max_skew = 1;
  std::int64_t min_domains = 1;
  std::string topology_key;
  bool hard = true;  // DoNotSchedule
  bool honor_affinity = true, honor_taints = false;
  api::LabelSelector pods;
};

// What a pod needs of a node.
struct PodInfo {
  std::string namespace_, name, uid, node_name, scheduler_name, owner_uid;
  std::int64_t priority = 0;
  std::uint64_t fingerprint = 0;  // another one when spec or labels differ; status does not count
  bool may_preempt = true;
  bool gated = false;  // schedulingGates are left
  api::LabelPairs labels;
  Resources requests;
  std::int64_t scored_cpu = 0, scored_memory = 0;  // with defaults for containers that ask for nothing
  std::vector<HostPort> ports;
  std::vector<Toleration> tolerations;
  NodeAffinity affinity;
  PodAffinity pod_affinity;
  std::vector<SpreadConstraint> spread;
  std::vector<std::string> claims;                  // names of PersistentVolumeClaims
  std::vector<std::vector<NodeTerm>> volume_nodes;  // of each list a node must match one term; from the claims' volumes
  std::string refused;  // a field that is not built yet and changes where the pod may run; empty: none
};
PodInfo read_pod(const api::Object& pod);

// What a pod on a node takes and forbids there.
struct PlacedPod {
  api::ObjectRef pod;
  Resources requests;
  std::int64_t scored_cpu = 0, scored_memory = 0;
  std::int64_t priority = 0;
  WallTime started{};
  bool terminating = false;
  std::vector<HostPort> ports;
  std::unique_ptr<PodAffinity> affinity;  // null: none
};

struct NodeSpec {
  std::string name;
  api::LabelPairs labels;
  std::vector<Taint> taints;
  bool unschedulable = false;
  Resources allocatable;
  std::int64_t max_pods = 0;
  bool operator==(const NodeSpec& other) const;
};
NodeSpec read_node(const api::Object& node);
Resources read_resources(const json::Object& list);
// The effective requests of a pod: containers, init containers, sidecars, overhead, pod level.
// Source: component-helpers resource.PodRequests.
Resources pod_requests(const json::Value& pod);

}  // namespace kayak::sched
