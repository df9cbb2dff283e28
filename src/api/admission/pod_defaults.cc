// pod_defaults.cc: what a pod gets from the cluster: its priority, its service account, its patience with sick nodes.
// Source: Kubernetes docs, "Pod Priority and Preemption", "Taints and Tolerations".
#include "api/admission/admission.h"
#include "api/document.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::int64_t kTolerationSeconds = 300;

bool is_pod_write(const AdmissionRequest& request, Verb verb) {
  return request.kind.group.empty() && request.kind.plural == "pods" && request.subresource.empty() &&
         request.verb == verb;
}

struct Priority {
  std::string class_name;
  std::int64_t value = 0;
  std::string preemption = "PreemptLowerPriority";
};

Priority priority_of_class(const ObjectRef& found) {
  const json::Document document = found->document();
  Priority priority;
  priority.class_name = found->name();
  if (const json::Value* value = document->find("value")) priority.value = value->int_or(0);
  const std::string_view preemption = text_at(*document, {"preemptionPolicy"});
  if (!preemption.empty()) priority.preemption = preemption;
  return priority;
}

// The class marked as the default of the cluster; of several (which validation prevents) the lowest.
Priority default_priority(const WatchCache& cache) {
  Priority chosen;
  bool found = false;
  auto look = [&](const ObjectRef& object) {
    const json::Document document = object->document();
    const json::Value* is_default = document->find("globalDefault");
    if (is_default != nullptr && is_default->bool_or(false)) {
      Priority candidate = priority_of_class(object);
      if (!found || candidate.value < chosen.value) chosen = std::move(candidate);
      found = true;
    }
    return true;
  };
  cache.visit(kinds::priority_classes(), ObjectFilter(), "", look);
  return chosen;
}

void keep_from_old(json::Value& spec, const json::Value& old, std::string_view name) {
  const json::Value* before = old.at({"spec", name});
  if (spec.find(name) == nullptr && before != nullptr) spec[name] = *before;
}

bool tolerates(const json::Value& spec, std::string_view taint) {
  const json::Value* tolerations = spec.find("tolerations");
  if (tolerations == nullptr || !tolerations->is_array()) return false;
  for (const json::Value& toleration : tolerations->as_array()) {
    const std::string_view key = text_at(toleration, {"key"});
    const std::string_view effect = text_at(toleration, {"effect"});
    if ((key == taint || key.empty()) && (effect == "NoExecute" || effect.empty())) return true;
  }
  return false;
}

}  // namespace

Result<void> pod_priority(const AdmissionRequest& request, json::Value* object, const json::Value* old) {
  if (is_pod_write(request, Verb::kUpdate)) {
    json::Value& spec = (*object)["spec"];
    keep_from_old(spec, *old, "priority");
    keep_from_old(spec, *old, "preemptionPolicy");
    return Result<void>();
  }
  if (!is_pod_write(request, Verb::kCreate)) return Result<void>();
  json::Value& spec = (*object)["spec"];
  const std::string class_name(text_at(spec, {"priorityClassName"}));
  Priority priority;
  if (class_name.empty()) {
    priority = default_priority(request.parts.cache);
  } else {
    const ObjectRef found = request.parts.cache.get(kinds::priority_classes(), "", class_name);
    if (!found) {
      return forbidden(request.kind, meta_text(*object, "name"),
                       cat("no PriorityClass with name ", class_name, " was found"));
    }
    priority = priority_of_class(found);
  }
  if (const json::Value* sent = spec.find("priority"); sent != nullptr && sent->is_int()) {
    if (sent->as_int() != priority.value) {
      return forbidden(request.kind, meta_text(*object, "name"),
                       cat("the integer value of priority (", sent->as_int(),
                           ") must not be provided in pod spec; priority admission controller computed ",
                           priority.value, " from the given PriorityClass name"));
    }
  }
  const std::string sent_preemption(text_at(spec, {"preemptionPolicy"}));
  if (!sent_preemption.empty() && sent_preemption != priority.preemption) {
    return forbidden(request.kind, meta_text(*object, "name"),
                     cat("the string value of PreemptionPolicy (", sent_preemption,
                         ") must not be provided in pod spec; priority admission controller computed ",
                         priority.preemption, " from the given PriorityClass name"));
  }
  if (!priority.class_name.empty()) spec["priorityClassName"] = priority.class_name;
  spec["priority"] = priority.value;
  spec["preemptionPolicy"] = priority.preemption;
  return Result<void>();
}

Result<void> priority_class_rules(const AdmissionRequest& request, const json::Value* object, const json::Value*) {
  if (request.kind.group != "scheduling.k8s.io" || request.kind.plural != "priorityclasses") return Result<void>();
  if (request.verb == Verb::kDelete) {
    if (request.name != "system-node-critical" && request.name != "system-cluster-critical") return Result<void>();
    return forbidden(request.kind, request.name, "this is a system priority class and cannot be deleted");
  }
  const json::Value* is_default = object->find("globalDefault");
  if (is_default == nullptr || !is_default->bool_or(false)) return Result<void>();
  const Priority present = default_priority(request.parts.cache);
  if (present.class_name.empty() || present.class_name == meta_text(*object, "name")) return Result<void>();
  return forbidden(
      request.kind, meta_text(*object, "name"),
      cat("PriorityClass ", present.class_name, " is already marked as default. Only one default can exist"));
}

Result<void> default_service_account(const AdmissionRequest& request, json::Value* object, const json::Value*) {
  if (!is_pod_write(request, Verb::kCreate)) return Result<void>();
  // A mirror pod is the node's, not an account's.
  if (object->at({"metadata", "annotations", "kubernetes.io/config.mirror"}) != nullptr) return Result<void>();
  json::Value& spec = (*object)["spec"];
  if (text_at(spec, {"serviceAccountName"}).empty()) spec["serviceAccountName"] = "default";
  spec["serviceAccount"] = json::Value(text_at(spec, {"serviceAccountName"}));
  return Result<void>();
}

Result<void> default_tolerations(const AdmissionRequest& request, json::Value* object, const json::Value*) {
  if (!is_pod_write(request, Verb::kCreate) && !is_pod_write(request, Verb::kUpdate)) return Result<void>();
  json::Value& spec = (*object)["spec"];
  for (std::string_view taint : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    if (tolerates(spec, taint)) continue;
    json::Value& list = spec["tolerations"];
    if (!list.is_array()) list = json::Array();
    json::Object toleration;
    toleration.set("key", taint);
    toleration.set("operator", "Exists");
    toleration.set("effect", "NoExecute");
    toleration.set("tolerationSeconds", kTolerationSeconds);
    list.as_array().emplace_back(std::move(toleration));
  }
  return Result<void>();
}

}  // namespace kayak::api
