// pod_affinity.cc: inter-pod affinity and anti-affinity, as a filter and as a score.
// Source: kube-scheduler plugin InterPodAffinity.
#include <algorithm>

#include "sched/plugins.h"

namespace kayak::sched {

namespace {

// A required affinity term of a pod that is already placed also draws matching newcomers, with this weight.
constexpr std::int64_t kRequiredWeight = 1;

bool term_matches(const Snapshot& snapshot, const PodTerm& term, const std::string& namespace_,
                  const api::LabelPairs& labels) {
  const bool named = std::find(term.namespaces.begin(), term.namespaces.end(), namespace_) != term.namespaces.end();
  if (!named &&
      !(term.has_namespace_selector && term.namespace_selector.matches(snapshot.namespace_labels(namespace_)))) {
    return false;
  }
  return term.pods.matches(labels);
}

bool matches_incoming(const Cycle& cycle, const PodTerm& term) {
  return term_matches(cycle.snapshot, term, cycle.pod.namespace_, cycle.pod.labels);
}

bool matches_placed(const Cycle& cycle, const PodTerm& term, const PlacedPod& other) {
  return term_matches(cycle.snapshot, term, other.pod->namespace_(), other.pod->header().labels);
}

void count(PlaceCounts& counts, const NodeInfo& node, const PodTerm& term, std::int64_t amount) {
  const std::string* value = label_of(node, term.topology_key);
  if (value != nullptr) counts[Place{term.topology_key, *value}] += amount;
}

std::int64_t at(const PlaceCounts& counts, const NodeInfo& node, std::string_view key) {
  const std::string* value = label_of(node, key);
  if (value == nullptr) return 0;
  auto place = counts.find(Place{key, *value});
  return place == counts.end() ? 0 : place->second;
}

template <typename Terms>
bool all_match(const Cycle& cycle, const Terms& terms, const PlacedPod& other) {
  return std::all_of(terms.begin(), terms.end(),
                     [&](const PodTerm& term) { return matches_placed(cycle, term, other); });
}

// What pods on `node` that forbid neighbours say of the newcomer.
void count_existing_anti(Cycle& cycle, const NodeInfo& node) {
  if (node.with_anti_affinity == 0) return;
  for (const PlacedPod& other : node.pods) {
    if (!other.affinity) continue;
    for (const PodTerm& term : other.affinity->required_anti) {
      if (matches_incoming(cycle, term)) count(cycle.existing_anti, node, term, 1);
    }
  }
}

void count_own_terms(Cycle& cycle, const NodeInfo& node) {
  const PodAffinity& own = cycle.pod.pod_affinity;
  for (const PlacedPod& other : node.pods) {
    if (!own.required.empty() && all_match(cycle, own.required, other)) {
      for (const PodTerm& term : own.required) count(cycle.affinity, node, term, 1);
    }
    for (const PodTerm& term : own.required_anti) {
      if (matches_placed(cycle, term, other)) count(cycle.anti_affinity, node, term, 1);
    }
  }
}

Verdict refuse(const char* reason, bool unresolvable) {
  Verdict verdict;
  verdict.reasons.emplace_back(reason);
  verdict.unresolvable = unresolvable;
  return verdict;
}

bool has_all_affine(const Cycle& cycle, const NodeInfo& node) {
  bool found = true;
  for (const PodTerm& term : cycle.pod.pod_affinity.required) {
    if (label_of(node, term.topology_key) == nullptr) return false;
    found &= at(cycle.affinity, node, term.topology_key) > 0;
  }
  // The first of a group that wants to be with its own kind may start anywhere.
  return found || (cycle.affinity.empty() && cycle.self_affine);
}

}  // namespace

void prepare_pod_affinity(Cycle& cycle) {
  const PodAffinity& own = cycle.pod.pod_affinity;
  const bool own_terms = !own.required.empty() || !own.required_anti.empty();
  cycle.check_affinity = own_terms || cycle.snapshot.nodes_with_affinity() > 0;
  if (!cycle.check_affinity) return;
  for (const NodeInfo* node : cycle.snapshot.nodes()) {
    count_existing_anti(cycle, *node);
    if (own_terms) count_own_terms(cycle, *node);
  }
  cycle.self_affine = std::all_of(own.required.begin(), own.required.end(),
                                  [&](const PodTerm& term) { return matches_incoming(cycle, term); });
}

Verdict filter_pod_affinity(const Cycle& cycle, const NodeInfo& node) {
  if (!cycle.check_affinity) return Verdict();
  if (!has_all_affine(cycle, node)) return refuse("node(s) didn't match pod affinity rules", true);
  for (const PodTerm& term : cycle.pod.pod_affinity.required_anti) {
    if (at(cycle.anti_affinity, node, term.topology_key) > 0) {
      return refuse("node(s) didn't match pod anti-affinity rules", false);
    }
  }
  for (const auto& [place, amount] : cycle.existing_anti) {
    const std::string* value = amount > 0 ? label_of(node, place.key) : nullptr;
    if (value != nullptr && *value == place.value) {
      return refuse("node(s) didn't satisfy existing pods anti-affinity rules", false);
    }
  }
  return Verdict();
}

bool prepare_pod_affinity_score(Cycle& cycle, std::span<const NodeInfo* const>) {
  const PodAffinity& own = cycle.pod.pod_affinity;
  const bool own_terms = !own.preferred.empty() || !own.preferred_anti.empty();
  if (!own_terms && cycle.snapshot.nodes_with_affinity() == 0) return false;
  PlaceCounts& score = cycle.affinity_score;
  for (const NodeInfo* node : cycle.snapshot.nodes()) {
    if (!own_terms && node->with_affinity == 0) continue;
    for (const PlacedPod& other : node->pods) {
      for (const auto& [weight, term] : own.preferred) {
        if (matches_placed(cycle, term, other)) count(score, *node, term, weight);
      }
      for (const auto& [weight, term] : own.preferred_anti) {
        if (matches_placed(cycle, term, other)) count(score, *node, term, -weight);
      }
      if (!other.affinity) continue;
      for (const PodTerm& term : other.affinity->required) {
        if (matches_incoming(cycle, term)) count(score, *node, term, kRequiredWeight);
      }
      for (const auto& [weight, term] : other.affinity->preferred) {
        if (matches_incoming(cycle, term)) count(score, *node, term, weight);
      }
      for (const auto& [weight, term] : other.affinity->preferred_anti) {
        if (matches_incoming(cycle, term)) count(score, *node, term, -weight);
      }
    }
  }
  return !score.empty();
}

std::int64_t score_pod_affinity(const Cycle& cycle, const NodeInfo& node) {
  std::int64_t score = 0;
  for (const auto& [place, amount] : cycle.affinity_score) {
    const std::string* value = label_of(node, place.key);
    if (value != nullptr && *value == place.value) score += amount;
  }
  return score;
}

}  // namespace kayak::sched
