// schedule_one.cc: filter, score, choose.
#include "sched/schedule_one.h"

#include <algorithm>

namespace kayak::sched {

namespace {

// Nodes that required affinity names by metadata.name (a DaemonSet's pods do): only those need a look.
// False when the pod does not bind itself to names.
bool named_nodes(const PodInfo& pod, std::vector<std::string>* names) {
  if (!pod.affinity.has_required) return false;
  for (const NodeTerm& term : pod.affinity.required) {
    bool named = false;
    for (const api::Requirement& requirement : term.names) {
      if (requirement.key != "metadata.name" || requirement.op != api::Requirement::Op::kIn) continue;
      names->insert(names->end(), requirement.values.begin(), requirement.values.end());
      named = true;
    }
    if (!named) return false;
  }
  return true;
}

struct Search {
  Cycle& cycle;
  Diagnosis& why_not;
  std::vector<const NodeInfo*> fitting;

  void look_at(const NodeInfo& node) {
    for (const FilterPlugin& plugin : filter_plugins()) {
      Verdict verdict = plugin.filter(cycle, node);
      if (verdict.fits()) continue;
      for (std::string& reason : verdict.reasons) ++why_not.reasons[std::move(reason)];
      why_not.cured_by |= plugin.cured_by;
      if (!verdict.unresolvable) why_not.resolvable.push_back(node.spec.name);
      return;
    }
    fitting.push_back(&node);
  }
};

std::vector<std::int64_t> total_scores(Cycle& cycle, const std::vector<const NodeInfo*>& nodes) {
  std::vector<std::int64_t> totals(nodes.size()), scores(nodes.size());
  for (const ScorePlugin& plugin : score_plugins()) {
    if (plugin.prepare != nullptr && !plugin.prepare(cycle, nodes)) continue;
    for (std::size_t i = 0; i < nodes.size(); ++i) scores[i] = plugin.score(cycle, *nodes[i]);
    if (plugin.normalize != nullptr) plugin.normalize(cycle, nodes, scores);
    for (std::size_t i = 0; i < nodes.size(); ++i) totals[i] += plugin.weight * scores[i];
  }
  return totals;
}

// The best; among equals one at random, so that equal nodes fill alike.
std::size_t choose(const std::vector<std::int64_t>& totals, Random& random) {
  std::size_t best = 0;
  std::uint64_t equals = 1;
  for (std::size_t i = 1; i < totals.size(); ++i) {
    if (totals[i] > totals[best]) {
      best = i;
      equals = 1;
    } else if (totals[i] == totals[best] && random.below(++equals) == 0) {
      best = i;
    }
  }
  return best;
}

}  // namespace

std::size_t enough_nodes(std::size_t all) {
  constexpr std::size_t kAlwaysAll = 100;
  if (all <= kAlwaysAll) return all;
  const std::size_t per_cent = std::max<std::size_t>(5, 50 - std::min<std::size_t>(45, all / 125));
  return std::max(kAlwaysAll, all * per_cent / 100);
}

std::string Diagnosis::message() const {
  if (nodes == 0) return "no nodes available to schedule pods";
  std::string text = cat("0/", nodes, " nodes are available:");
  if (!before_filters.empty()) return cat(text, " ", before_filters, ".");
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(cat(count, " ", reason));
  std::sort(parts.begin(), parts.end());
  if (!parts.empty()) text += cat(" ", join(parts, ", "), ".");
  return text;
}

Decision schedule_one(const Snapshot& snapshot, const PodInfo& pod, Cursor& cursor, Random& random) {
  Decision decision;
  const std::vector<NodeInfo*>& nodes = snapshot.nodes();
  decision.why_not.nodes = nodes.size();
  if (nodes.empty()) {
    decision.why_not.cured_by = kNodeAdded;
    return decision;
  }
  if (!pod.refused.empty()) {
    decision.why_not.before_filters = cat("pod asks for ", pod.refused, ", which this scheduler does not support");
    return decision;
  }
  Cycle cycle{snapshot, pod};
  for (const FilterPlugin& plugin : filter_plugins()) {
    if (plugin.prepare != nullptr) plugin.prepare(cycle);
  }
  Search search{cycle, decision.why_not, {}};
  std::vector<std::string> names;
  if (named_nodes(pod, &names)) {
    for (const NodeInfo* node : nodes) {
      if (std::find(names.begin(), names.end(), node->spec.name) != names.end()) {
        search.look_at(*node);
      } else {
        ++decision.why_not.reasons["node(s) didn't satisfy plugin(s) [NodeAffinity]"];
        decision.why_not.cured_by |= kNodeAdded;
      }
    }
  } else {
    const std::size_t enough = enough_nodes(nodes.size());
    std::size_t looked = 0;
    while (looked < nodes.size() && search.fitting.size() < enough) {
      search.look_at(*nodes[(cursor.next + looked++) % nodes.size()]);
    }
    cursor.next = (cursor.next + looked) % nodes.size();
  }
  if (search.fitting.empty()) return decision;
  if (search.fitting.size() == 1) {
    decision.node = search.fitting.front()->spec.name;
    return decision;
  }
  const std::vector<std::int64_t> totals = total_scores(cycle, search.fitting);
  decision.node = search.fitting[choose(totals, random)]->spec.name;
  return decision;
}

}  // namespace kayak::sched
