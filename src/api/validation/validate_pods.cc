// validate_pods.cc: pods, podtemplates and replicationcontrollers: the rows, and what is neither a field of a spec nor
// an update of a pod.
// Source: kubernetes pkg/apis/core/validation (v1.36).
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

void create_pod(const json::Value& pod, field::ErrorList& errors) {
  const json::Value &meta = part(pod, "metadata"), &spec = part(pod, "spec");
  const field::Path path("spec");
  validate_pod_object(pod, errors);
  if (!list(spec, "ephemeralContainers").empty()) {
    errors.push_back(field::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
  }
  if (!text(spec, "nodeName").empty() && !list(spec, "schedulingGates").empty()) {
    errors.push_back(
        field::forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared"));
  }
  check_annotations_match_fields(meta, spec, path, errors);
}

// Existing ones stay as they are; their order may change.
void update_ephemeral(const json::Value& pod, const json::Value& old, field::ErrorList& errors) {
  const json::Value* annotations = get(part(old, "metadata"), "annotations");
  if (annotations != nullptr && annotations->find("kubernetes.io/config.mirror") != nullptr) {
    errors = {field::forbidden(field::Path(""), "static pods do not support ephemeral containers")};
    return;
  }
  validate_pod_object(pod, errors);
  const field::Path path("spec.ephemeralContainers");
  const auto now = list(part(pod, "spec"), "ephemeralContainers");
  for (const json::Value& before : list(part(old, "spec"), "ephemeralContainers")) {
    const std::string_view name = text(before, "name");
    const auto kept = std::find_if(now.begin(), now.end(),
                                   [&](const json::Value& container) { return text(container, "name") == name; });
    const std::string what = cat("existing ephemeral containers ", quote(name));
    if (kept == now.end()) {
      errors.push_back(field::forbidden(path, cat(what, " may not be removed\n")));
    } else if (const std::string changes = difference(before, *kept); !changes.empty()) {
      errors.push_back(field::forbidden(path, cat(what, " may not be changed\n", changes)));
    }
  }
}

void create_template(const json::Value& object, field::ErrorList& errors) {
  validate_pod_template_spec(part(object, "template"), field::Path("template"), errors);
}

void update_template(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  if (!same(object, old, "template")) create_template(object, errors);
}

// ---- replication controllers

bool matches(const json::Value& selector, const json::Value& labels) {
  for (const auto& [key, value] : members(&selector)) {
    const json::Value* label = labels.find(key);
    if (label == nullptr || !(*label == value)) return false;
  }
  return true;
}

void check_controller_template(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* pod_template = get(spec, "template");
  if (pod_template == nullptr) return errors.push_back(field::required(path, ""));
  const json::Value& labels = part(part(*pod_template, "metadata"), "labels");
  if (!matches(part(spec, "selector"), labels)) {
    errors.push_back(
        field::invalid(path.child("metadata").child("labels"), labels, "`selector` does not match template `labels`"));
  }
  validate_pod_template_spec(*pod_template, path, errors);
  constexpr std::string_view kAlways[] = {"Always"};
  const json::Value& pod_spec = part(*pod_template, "spec");
  const std::string_view restart = text(pod_spec, "restartPolicy");
  if (restart != "Always") {
    errors.push_back(field::not_supported(path.child("spec").child("restartPolicy"), json::Value(restart), kAlways));
  }
  if (get(pod_spec, "activeDeadlineSeconds") != nullptr) {
    errors.push_back(field::forbidden(path.child("spec").child("activeDeadlineSeconds"),
                                      "activeDeadlineSeconds in ReplicationController is not Supported"));
  }
}

void create_controller(const json::Value& object, field::ErrorList& errors) {
  const json::Value& spec = part(object, "spec");
  const field::Path path("spec");
  validate_non_negative(spec.find("minReadySeconds"), path.child("minReadySeconds"), errors);
  if (members(spec, "selector").empty()) errors.push_back(field::required(path.child("selector"), ""));
  if (get(spec, "replicas") == nullptr) errors.push_back(field::required(path.child("replicas"), ""));
  validate_non_negative(spec.find("replicas"), path.child("replicas"), errors);
  check_controller_template(spec, path.child("template"), errors);
}

void update_controller(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  if (!same(object, old, "spec")) create_controller(object, errors);
}

void update_controller_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const json::Value& status = part(object, "status");
  const field::Path path("status");
  for (const char* name :
       {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"}) {
    validate_non_negative(status.find(name), path.child(name), errors);
  }
  const auto at_most = [&](const char* name, const char* most, const char* why) {
    const std::int64_t count = number(status, name);
    if (count > number(status, most)) errors.push_back(field::invalid(path.child(name), count, why));
  };
  at_most("fullyLabeledReplicas", "replicas", "cannot be greater than status.replicas");
  at_most("readyReplicas", "replicas", "cannot be greater than status.replicas");
  at_most("availableReplicas", "replicas", "cannot be greater than status.replicas");
  at_most("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
}

}  // namespace

void validate_pod_object(const json::Value& pod, field::ErrorList& errors) {
  const json::Value &meta = part(pod, "metadata"), &spec = part(pod, "spec");
  const field::Path path("spec");
  if (get(meta, "annotations") != nullptr) {
    check_pod_annotations(meta, spec, field::Path("metadata.annotations"), errors);
  }
  validate_pod_spec(spec, &meta, path, errors);
  if (!text(spec, "serviceAccountName").empty()) return;
  const auto volumes = list(spec, "volumes");
  for (std::size_t v = 0; v < volumes.size(); ++v) {
    const auto sources = list(part(volumes[v], "projected"), "sources");
    for (std::size_t s = 0; s < sources.size(); ++s) {
      if (get(sources[s], "serviceAccountToken") == nullptr) continue;
      errors.push_back(field::forbidden(
          path.child("volumes").index(v).child("projected").child("sources").index(s).child("serviceAccountToken"),
          "must not be specified when serviceAccountName is not set"));
    }
  }
}

void validate_pod_template_spec(const json::Value& pod_template, const field::Path& path, field::ErrorList& errors) {
  const json::Value &meta = part(pod_template, "metadata"), &spec = part(pod_template, "spec");
  // Upstream names these places without "metadata".
  if (const json::Value* labels = get(meta, "labels")) validate_labels(labels, path.child("labels"), errors);
  if (const json::Value* annotations = get(meta, "annotations")) {
    validate_annotations(annotations, path.child("annotations"), errors);
    check_pod_annotations(meta, spec, path.child("annotations"), errors);
  }
  const field::Path own = path.child("spec");
  validate_pod_spec(spec, nullptr, own, errors);
  check_annotations_match_fields(meta, spec, own, errors);
  if (list(spec, "ephemeralContainers").empty()) return;
  errors.push_back(
      field::forbidden(own.child("ephemeralContainers"), "ephemeral containers not allowed in pod template"));
}

std::vector<Row> pod_rows() {
  return {
      {"", "pods", "", nullptr, create_pod, validate_pod_update},
      {"", "pods", "status", nullptr, nullptr, validate_pod_status},
      {"", "pods", "ephemeralcontainers", nullptr, nullptr, update_ephemeral},
      {"", "podtemplates", "", nullptr, create_template, update_template},
      {"", "replicationcontrollers", "", nullptr, create_controller, update_controller},
      {"", "replicationcontrollers", "status", nullptr, nullptr, update_controller_status},
  };
}

}  // namespace kayak::api::validation
