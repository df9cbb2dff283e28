// volumes.cc: claims, their volumes and classes, as requirements on nodes.
#include "sched/volumes.h"

#include "client/fields.h"

namespace kayak::sched {

using client::array_at;
using client::has;
using client::text_at;

namespace {

std::vector<NodeTerm> node_terms(const json::Value& document, client::Path path) {
  std::vector<NodeTerm> terms;
  for (const json::Value& term : array_at(document, path)) terms.push_back(read_node_term(term));
  return terms;
}

bool binds_late(const json::Value& claim, const VolumeObjects& objects) {
  const api::ObjectRef storage_class = objects.storage_class(std::string(text_at(claim, {"spec", "storageClassName"})));
  return storage_class && text_at(*storage_class->document(), {"volumeBindingMode"}) == "WaitForFirstConsumer";
}

// Empty when the claim does not forbid all nodes.
std::string add_claim(const PodInfo& pod, const std::string& name, const VolumeObjects& objects, VolumeNeeds& needs) {
  const api::ObjectRef claim = objects.claim(pod.namespace_, name);
  if (!claim) return cat("persistentvolumeclaim ", quote(name), " not found");
  if (claim->header().deleting) return cat("persistentvolumeclaim ", quote(name), " is being deleted");
  const json::Document document = claim->document();
  const std::string volume_name(text_at(*document, {"spec", "volumeName"}));
  if (text_at(*document, {"status", "phase"}) == "Lost") {
    return cat("persistentvolumeclaim ", quote(name), " bound to non-existent persistentvolume ", quote(volume_name));
  }
  if (text_at(*document, {"status", "phase"}) != "Bound" || volume_name.empty()) {
    if (!binds_late(*document, objects)) return "pod has unbound immediate PersistentVolumeClaims";
    needs.to_bind.push_back(name);
    // Topologies the class allows.
    const api::ObjectRef storage_class =
        objects.storage_class(std::string(text_at(*document, {"spec", "storageClassName"})));
    const json::Document class_document = storage_class->document();
    std::vector<NodeTerm> terms;
    for (const json::Value& topology : array_at(*class_document, {"allowedTopologies"})) {
      NodeTerm term;
      for (const json::Value& expression : array_at(topology, {"matchLabelExpressions"})) {
        api::Requirement requirement;
        requirement.key = text_at(expression, {"key"});
        for (const json::Value& value : array_at(expression, {"values"})) {
          requirement.values.emplace_back(value.string_or());
        }
        term.labels.add(std::move(requirement));
        term.empty = false;
      }
      terms.push_back(std::move(term));
    }
    if (!terms.empty()) needs.any.push_back(std::move(terms));
    return std::string();
  }
  const api::ObjectRef volume = objects.volume(volume_name);
  if (!volume) return cat("persistentvolume ", quote(volume_name), " not found");
  const json::Document volume_document = volume->document();
  if (has(*volume_document, {"spec", "nodeAffinity", "required"})) {
    needs.any.push_back(node_terms(*volume_document, {"spec", "nodeAffinity", "required", "nodeSelectorTerms"}));
  }
  return std::string();
}

}  // namespace

VolumeNeeds volume_needs(const PodInfo& pod, const VolumeObjects& objects) {
  VolumeNeeds needs;
  for (const std::string& name : pod.claims) {
    needs.refused = add_claim(pod, name, objects, needs);
    if (!needs.refused.empty()) break;
  }
  return needs;
}

}  // namespace kayak::sched
