// deployment_plan.cc: sizes of ReplicaSets during rollouts and scaling, template identity, annotations.
#include "controllers/deployment_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace kayak::controllers {

const json::Value& DeploymentFacts::spec() const {
  static const json::Value kNothing = json::Object();
  const json::Value* spec = document->find("spec");
  return spec == nullptr ? kNothing : *spec;
}

using client::array_at;
using client::has;
using client::int_at;
using client::text_at;

namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int32_t>::max();  // as good as unset

std::optional<std::int64_t> annotation_number(const json::Value& document, std::string_view name) {
  std::int64_t number = 0;
  if (!parse_int64(text_at(document, {"metadata", "annotations", name}), &number)) return std::nullopt;
  return number;
}

std::optional<std::int64_t> maybe_int(const json::Value& document, client::Path path) {
  if (!has(document, path)) return std::nullopt;
  return int_at(document, path);
}

std::int64_t sum(const std::vector<SetFacts>& sets, std::int64_t SetFacts::*field) {
  return std::accumulate(sets.begin(), sets.end(), std::int64_t{0},
                         [field](std::int64_t total, const SetFacts& set) { return total + set.*field; });
}

json::Value without_hash(const json::Value& pod_template) {
  json::Value copy = pod_template;
  json::Value* metadata = copy.find("metadata");
  if (metadata == nullptr || !metadata->is_object()) return copy;
  if (json::Value* labels = metadata->find("labels"); labels != nullptr && labels->is_object()) {
    labels->as_object().erase(kHashLabel);
    if (labels->as_object().empty()) metadata->as_object().erase("labels");
  }
  // Present or not says nothing here.
  const json::Value* created = metadata->find("creationTimestamp");
  if (created != nullptr && created->is_null()) metadata->as_object().erase("creationTimestamp");
  if (metadata->as_object().empty()) copy.as_object().erase("metadata");
  return copy;
}

// Annotations that speak of the deployment itself and are not handed on.
bool stays_with_deployment(std::string_view name) {
  return name == "kubectl.kubernetes.io/last-applied-configuration" || name == kRevision || name == kRevisionHistory ||
         name == kDesiredReplicas || name == kMaxReplicas || name == "deprecated.deployment.rollback.to";
}

bool set_annotation(json::Value& document, std::string_view name, const std::string& value) {
  json::Value& slot = document["metadata"]["annotations"][name];
  if (slot.is_string() && slot.as_string() == value) return false;
  slot = value;
  return true;
}

}  // namespace

json::Value DeploymentFacts::status() const {
  const json::Value* status = document->find("status");
  return status != nullptr && status->is_object() ? *status : json::Value(json::Object());
}

SetFacts read_set_facts(const ObjectRef& object) {
  SetFacts facts;
  facts.object = object;
  facts.document = object->document();
  const json::Value& document = *facts.document;
  facts.name = object->name();
  facts.replicas = int_at(document, {"spec", "replicas"}, 1);
  facts.current = int_at(document, {"status", "replicas"});
  facts.ready = int_at(document, {"status", "readyReplicas"});
  facts.available = int_at(document, {"status", "availableReplicas"});
  facts.terminating = int_at(document, {"status", "terminatingReplicas"});
  facts.generation = int_at(document, {"metadata", "generation"});
  facts.observed_generation = int_at(document, {"status", "observedGeneration"});
  facts.revision = annotation_number(document, kRevision).value_or(0);
  facts.desired_annotation = annotation_number(document, kDesiredReplicas);
  facts.max_annotation = annotation_number(document, kMaxReplicas);
  facts.created = client::time_at(document, {"metadata", "creationTimestamp"});
  facts.deleting = object->header().deleting;
  return facts;
}

DeploymentFacts read_deployment_facts(json::Document document) {
  DeploymentFacts facts;
  facts.document = std::move(document);
  const json::Value& doc = *facts.document;
  facts.name = text_at(doc, {"metadata", "name"});
  facts.generation = int_at(doc, {"metadata", "generation"});
  facts.deleting = has(doc, {"metadata", "deletionTimestamp"});
  facts.replicas = int_at(doc, {"spec", "replicas"}, 1);
  facts.paused = client::bool_at(doc, {"spec", "paused"});
  facts.min_ready_seconds = int_at(doc, {"spec", "minReadySeconds"});
  facts.recreate = text_at(doc, {"spec", "strategy", "type"}) == "Recreate";
  facts.progress_deadline_seconds = maybe_int(doc, {"spec", "progressDeadlineSeconds"});
  if (facts.progress_deadline_seconds == kNoLimit) facts.progress_deadline_seconds.reset();
  facts.revision_history_limit = maybe_int(doc, {"spec", "revisionHistoryLimit"});
  if (facts.revision_history_limit == kNoLimit) facts.revision_history_limit.reset();
  facts.collision_count = int_at(doc, {"status", "collisionCount"});
  if (!facts.recreate) {
    resolve_fenceposts(doc.at({"spec", "strategy", "rollingUpdate", "maxSurge"}),
                       doc.at({"spec", "strategy", "rollingUpdate", "maxUnavailable"}), facts.replicas,
                       &facts.max_surge, &facts.max_unavailable);
    facts.max_unavailable = std::min(facts.max_unavailable, facts.replicas);
  }
  return facts;
}

std::int64_t scaled_value(const json::Value* value, std::int64_t total, bool round_up, std::int64_t fallback) {
  if (value == nullptr || value->is_null()) return fallback;
  if (value->is_int()) return value->as_int();
  std::string_view text = value->string_or();
  std::int64_t percent = 0;
  if (text.empty() || text.back() != '%' || !parse_int64(text.substr(0, text.size() - 1), &percent)) return fallback;
  return round_up ? (percent * total + 99) / 100 : percent * total / 100;
}

void resolve_fenceposts(const json::Value* max_surge, const json::Value* max_unavailable, std::int64_t replicas,
                        std::int64_t* surge, std::int64_t* unavailable) {
  *surge = scaled_value(max_surge, replicas, true, 0);
  *unavailable = scaled_value(max_unavailable, replicas, false, 0);
  if (*surge == 0 && *unavailable == 0) *unavailable = 1;
}

bool same_template(const json::Value& a, const json::Value& b) { return without_hash(a) == without_hash(b); }

int find_new_set(const DeploymentFacts& deployment, std::vector<SetFacts>& sets) {
  std::stable_sort(sets.begin(), sets.end(), [](const SetFacts& a, const SetFacts& b) {
    return a.created != b.created ? a.created < b.created : a.name < b.name;
  });
  const json::Value* wanted = deployment.spec().find("template");
  for (std::size_t i = 0; wanted != nullptr && i < sets.size(); ++i) {
    const json::Value* own = sets[i].document->at({"spec", "template"});
    if (own != nullptr && same_template(*own, *wanted)) return static_cast<int>(i);
  }
  return -1;
}

std::string template_hash(const json::Value& pod_template, std::int64_t collision_count) {
  std::string text = json::write(without_hash(pod_template));
  if (collision_count > 0) text += cat("\n", collision_count);
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string name;
  for (const char digit : std::to_string(hash)) name += kAlphabet[static_cast<unsigned char>(digit) % kAlphabet.size()];
  return name;
}

std::int64_t new_set_replicas(const DeploymentFacts& deployment, const std::vector<SetFacts>& all, std::int64_t own) {
  if (deployment.recreate) return deployment.replicas;
  const std::int64_t room = deployment.replicas + deployment.max_surge - sum(all, &SetFacts::replicas);
  if (room <= 0) return own;
  return own + std::min(room, deployment.replicas - own);
}

std::vector<Resize> shrink_old_sets(const DeploymentFacts& deployment, const std::vector<SetFacts>& old_sets,
                                    const std::optional<SetFacts>& new_set) {
  const std::int64_t new_replicas = new_set ? new_set->replicas : 0;
  const std::int64_t new_available = new_set ? new_set->available : 0;
  const std::int64_t old_replicas = sum(old_sets, &SetFacts::replicas);
  const std::int64_t min_available = deployment.replicas - deployment.max_unavailable;
  // The new set's own missing pods count against what may be taken away.
  const std::int64_t most = old_replicas + new_replicas - min_available - (new_replicas - new_available);
  if (old_replicas == 0 || most <= 0) return {};

  std::vector<std::size_t> order(old_sets.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return old_sets[a].created < old_sets[b].created; });
  std::vector<std::int64_t> sizes;
  for (const SetFacts& set : old_sets) sizes.push_back(set.replicas);
  // Pods that are not available serve nobody: they go first.
  std::int64_t taken = 0;
  for (const std::size_t i : order) {
    const SetFacts& set = old_sets[i];
    const std::int64_t unhealthy = std::max<std::int64_t>(0, sizes[i] - set.available);
    const std::int64_t count = std::min(most - taken, unhealthy);
    sizes[i] -= count;
    taken += count;
  }
  std::int64_t spare = sum(old_sets, &SetFacts::available) + new_available - min_available;
  for (const std::size_t i : order) {
    const std::int64_t count = std::clamp<std::int64_t>(spare, 0, sizes[i]);
    sizes[i] -= count;
    spare -= count;
  }
  std::vector<Resize> changes;
  for (const std::size_t i : order) {
    if (sizes[i] != old_sets[i].replicas) changes.push_back(Resize{i, sizes[i]});
  }
  return changes;
}

namespace {

// The set's share of a changed total; whole pods, and never beyond what is left to give.
std::int64_t proportion(const DeploymentFacts& deployment, const SetFacts& set, std::int64_t to_add,
                        std::int64_t added) {
  if (set.replicas == 0 || to_add == 0 || to_add == added) return 0;
  std::int64_t fraction = -set.replicas;
  if (deployment.replicas != 0) {
    std::int64_t total_before = set.max_annotation.value_or(0);
    // A set from before the annotation: judge by what the deployment had.
    if (total_before == 0) total_before = int_at(*deployment.document, {"status", "replicas"});
    if (total_before == 0) return 0;
    const auto total = static_cast<double>(deployment.replicas + deployment.max_surge);
    const double size = static_cast<double>(set.replicas) * total / static_cast<double>(total_before);
    fraction = std::llround(size) - set.replicas;
  }
  const std::int64_t allowed = to_add - added;
  return to_add > 0 ? std::min(fraction, allowed) : std::max(fraction, allowed);
}

}  // namespace

std::vector<Resize> scale_in_proportion(const DeploymentFacts& deployment, const std::vector<SetFacts>& sets) {
  const std::int64_t allowed = deployment.replicas > 0 ? deployment.replicas + deployment.max_surge : 0;
  const std::int64_t to_add = allowed - sum(sets, &SetFacts::replicas);
  std::vector<std::size_t> order(sets.size());
  std::iota(order.begin(), order.end(), 0);
  // Largest first; among equals the newer one grows and the older one shrinks first.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (sets[a].replicas != sets[b].replicas) return sets[a].replicas > sets[b].replicas;
    return to_add > 0 ? sets[a].created > sets[b].created : sets[a].created < sets[b].created;
  });
  std::vector<Resize> changes;
  std::int64_t added = 0;
  for (const std::size_t i : order) {
    const std::int64_t share = to_add == 0 ? 0 : proportion(deployment, sets[i], to_add, added);
    added += share;
    changes.push_back(Resize{i, sets[i].replicas + share});
  }
  // What rounding left over goes to the largest.
  if (!changes.empty() && to_add != 0) {
    changes.front().replicas = std::max<std::int64_t>(0, changes.front().replicas + to_add - added);
  }
  return changes;
}

bool is_scaling_event(const DeploymentFacts& deployment, const std::vector<SetFacts>& sets) {
  return std::any_of(sets.begin(), sets.end(), [&](const SetFacts& set) {
    return set.replicas > 0 && set.desired_annotation && *set.desired_annotation != deployment.replicas;
  });
}

std::vector<std::size_t> sets_to_clean_up(const DeploymentFacts& deployment, const std::vector<SetFacts>& old_sets) {
  if (!deployment.revision_history_limit) return {};
  std::vector<std::size_t> cleanable;
  for (std::size_t i = 0; i < old_sets.size(); ++i) {
    if (!old_sets[i].deleting) cleanable.push_back(i);
  }
  const std::int64_t excess = static_cast<std::int64_t>(cleanable.size()) - *deployment.revision_history_limit;
  if (excess <= 0) return {};
  std::stable_sort(cleanable.begin(), cleanable.end(), [&](std::size_t a, std::size_t b) {
    if (old_sets[a].revision != old_sets[b].revision) return old_sets[a].revision < old_sets[b].revision;
    return old_sets[a].created < old_sets[b].created;
  });
  cleanable.resize(static_cast<std::size_t>(excess));
  std::erase_if(cleanable, [&](std::size_t i) {
    const SetFacts& set = old_sets[i];
    return set.current != 0 || set.replicas != 0 || set.generation > set.observed_generation;
  });
  return cleanable;
}

bool annotate_replicas(const DeploymentFacts& deployment, json::Value& set) {
  const bool desired = set_annotation(set, kDesiredReplicas, cat(deployment.replicas));
  const bool most = set_annotation(set, kMaxReplicas, cat(deployment.replicas + deployment.max_surge));
  return desired || most;
}

bool annotate_new_set(const DeploymentFacts& deployment, json::Value& set, std::int64_t revision, bool is_new) {
  bool changed = false;
  for (const auto& [name, value] : client::object_at(*deployment.document, {"metadata", "annotations"})) {
    if (!stays_with_deployment(name)) changed |= set_annotation(set, name, std::string(value.string_or()));
  }
  const std::string before(text_at(set, {"metadata", "annotations", kRevision}));
  std::int64_t old_revision = 0;
  const bool readable = before.empty() || parse_int64(before, &old_revision);
  if (readable && old_revision < revision) {
    changed |= set_annotation(set, kRevision, cat(revision));
    if (old_revision > 0) {
      // A set that is rolled back to remembers the numbers it had, newest last, within 2000 characters.
      std::string history(text_at(set, {"metadata", "annotations", kRevisionHistory}));
      history += history.empty() ? before : cat(",", before);
      while (history.size() > 2000 && history.find(',') != std::string::npos) history.erase(0, history.find(',') + 1);
      changed |= set_annotation(set, kRevisionHistory, history);
    }
  }
  if (is_new) changed |= annotate_replicas(deployment, set);
  return changed;
}

}  // namespace kayak::controllers
