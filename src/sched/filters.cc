// filters.cc: the filters that look at one node alone.
#include <algorithm>

#include "sched/plugins.h"

namespace kayak::sched {

namespace {
Verdict refuse(const char* reason, bool unresolvable = false) {
  Verdict verdict;
  verdict.reasons.emplace_back(reason);
  verdict.unresolvable = unresolvable;
  return verdict;
}
}  // namespace

Verdict filter_node_unschedulable(const Cycle& cycle, const NodeInfo& node) {
  if (!node.spec.unschedulable) return Verdict();
  if (tolerated(cycle.pod.tolerations, Taint{"node.kubernetes.io/unschedulable", "", "NoSchedule"})) return Verdict();
  return refuse("node(s) were unschedulable", true);
}

Verdict filter_node_name(const Cycle& cycle, const NodeInfo& node) {
  if (cycle.pod.node_name.empty() || cycle.pod.node_name == node.spec.name) return Verdict();
  return refuse("node(s) didn't match the requested node name", true);
}

Verdict filter_taints(const Cycle& cycle, const NodeInfo& node) {
  for (const Taint& taint : node.spec.taints) {
    if (taint.effect != "NoSchedule" && taint.effect != "NoExecute") continue;
    if (!tolerated(cycle.pod.tolerations, taint)) return refuse("node(s) had untolerated taint(s)", true);
  }
  return Verdict();
}

Verdict filter_node_affinity(const Cycle& cycle, const NodeInfo& node) {
  if (cycle.pod.affinity.matches(node.spec.name, node.spec.labels)) return Verdict();
  return refuse("node(s) didn't match Pod's node affinity/selector", true);
}

Verdict filter_node_ports(const Cycle& cycle, const NodeInfo& node) {
  if (cycle.pod.ports.empty()) return Verdict();
  for (const PlacedPod& other : node.pods) {
    for (const HostPort& taken : other.ports) {
      for (const HostPort& wanted : cycle.pod.ports) {
        if (wanted.conflicts(taken)) return refuse("node(s) didn't have free ports for the requested pod ports");
      }
    }
  }
  return Verdict();
}

Verdict filter_resources(const Cycle& cycle, const NodeInfo& node) {
  Verdict verdict;
  const Resources& wanted = cycle.pod.requests;
  const Resources& room = node.spec.allocatable;
  // More than the empty node has: no preemption can help.
  bool beyond_node = false;
  auto check = [&](std::int64_t amount, std::int64_t taken, std::int64_t total, std::string_view name) {
    if (amount <= 0 || amount <= total - taken) return;
    verdict.reasons.push_back(cat("Insufficient ", name));
    beyond_node |= amount > total;
  };
  if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.spec.max_pods)
    verdict.reasons.emplace_back("Too many pods");
  check(wanted.milli_cpu, node.requested.milli_cpu, room.milli_cpu, "cpu");
  check(wanted.memory, node.requested.memory, room.memory, "memory");
  check(wanted.ephemeral_storage, node.requested.ephemeral_storage, room.ephemeral_storage, "ephemeral-storage");
  for (const auto& [name, amount] : wanted.others) check(amount, node.requested.other(name), room.other(name), name);
  verdict.unresolvable = beyond_node;
  return verdict;
}

Verdict filter_volumes(const Cycle& cycle, const NodeInfo& node) {
  for (const std::vector<NodeTerm>& terms : cycle.pod.volume_nodes) {
    const bool reachable = std::any_of(terms.begin(), terms.end(), [&](const NodeTerm& term) {
      return term.matches(node.spec.name, node.spec.labels);
    });
    if (!reachable) return refuse("node(s) didn't match PersistentVolume's node affinity", true);
  }
  return Verdict();
}

}  // namespace kayak::sched
