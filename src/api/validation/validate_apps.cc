// validate_apps.cc: the rules of deployments, replica sets, stateful sets, daemon sets and controller revisions.
// Source: kubernetes pkg/apis/apps/validation (v1.36).
#include "api/validation/claims.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// What the four kinds say about a missing, empty or unusable selector differs in words only.
struct SelectorWords {
  std::string_view empty, unusable;
};
constexpr SelectorWords kDeploymentWords = {"empty selector is invalid for deployment", "invalid label selector"};
constexpr SelectorWords kStatefulSetWords = {"empty selector is invalid for statefulset", ""};

// False when it cannot select anything at all, so that comparing it with the template would say nothing.
bool check_selector(const Checked& spec, const SelectorWords& words) {
  const Checked selector = spec["selector"];
  if (!selector.present()) {
    selector.required();
  } else {
    check_label_selector(selector);
    if (selector_is_empty(selector.value())) selector.invalid(words.empty);
  }
  const Checked pod_template = spec["template"];
  const Checked metadata = pod_template["metadata"];
  const Checked labels = metadata["labels"];
  switch (selector_matches(selector.get(), labels.get())) {
    case SelectorMatch::kInvalid:
      selector.invalid(words.unusable);
      return false;
    case SelectorMatch::kNo:
      labels.invalid("`selector` does not match template `labels`");
      return true;
    case SelectorMatch::kYes:
      return true;
  }
  return true;
}

void check_template_always_restarts(const Checked& spec, std::string_view kind) {
  const Checked pod_template = spec["template"];
  const Checked pod = pod_template["spec"];
  check_choice(pod["restartPolicy"], {"Always"});
  const Checked deadline = pod["activeDeadlineSeconds"];
  if (deadline.present()) deadline.forbidden(cat("activeDeadlineSeconds in ", kind, " is not Supported"));
}

void check_template(const Checked& spec) {
  const Checked pod_template = spec["template"];
  validate_pod_template_spec(object_at(spec.value(), "template"), pod_template.path(), spec.errors());
}

void check_counters(const Checked& status, Choices counters) {
  for (const std::string_view counter : counters) check_non_negative(status[counter]);
}

void check_not_above_replicas(const Checked& status, Choices counters) {
  const Checked replicas = status["replicas"];
  for (const std::string_view counter : counters) {
    check_at_most(status[counter], replicas, "cannot be greater than status.replicas");
  }
}

void check_collisions(const Checked& status, const json::Value& old) {
  const json::Value* before = old.at({"status", "collisionCount"});
  const Checked count = status["collisionCount"];
  if (before == nullptr || count.number() >= before->int_or(0)) return;
  count.invalid(count.number(), "cannot be decremented");
}

// ---- deployments and replica sets

// A rolling update's limit that is not there counts as 0, and is shown so.
const json::Value& shown_limit(const Checked& limit) {
  static const json::Value zero(0);
  return limit.present() ? limit.value() : zero;
}

void check_deployment_strategy(const Checked& strategy) {
  const Checked rolling = strategy["rollingUpdate"];
  const Checked type = strategy["type"];
  if (type.text() == "Recreate") {
    if (rolling.present()) rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  if (type.text() != "RollingUpdate") return strategy.not_supported({"Recreate", "RollingUpdate"});
  if (!rolling.present()) return rolling.required("this should be defaulted and never be nil");
  const Checked unavailable = rolling["maxUnavailable"];
  const Checked surge = rolling["maxSurge"];
  check_int_or_percent(unavailable);
  check_int_or_percent(surge);
  if (int_or_percent_value(unavailable) == 0 && int_or_percent_value(surge) == 0) {
    unavailable.invalid(shown_limit(unavailable), "may not be 0 when `maxSurge` is 0");
  }
  check_at_most_100_percent(unavailable);
}

void check_replica_template(const Checked& spec) {
  if (!check_selector(spec, kDeploymentWords)) return;
  check_template(spec);
  check_template_always_restarts(spec, "ReplicaSet");
}

void check_deployment_spec(const Checked& spec) {
  check_non_negative(spec["replicas"]);
  check_replica_template(spec);
  check_deployment_strategy(spec["strategy"]);
  const Checked ready = spec["minReadySeconds"];
  check_non_negative(ready);
  check_non_negative(spec["revisionHistoryLimit"]);
  const Checked deadline = spec["progressDeadlineSeconds"];
  check_non_negative(deadline);
  if (deadline.present() && deadline.number() <= ready.number()) {
    deadline.invalid("must be greater than minReadySeconds");
  }
}

void create_deployment(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_deployment_spec(root["spec"]);
}

void update_deployment(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_deployment_spec(spec);
  check_immutable(spec["selector"], old.at({"spec", "selector"}));
}

void update_deployment_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_counters(status, {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                          "unavailableReplicas", "terminatingReplicas", "collisionCount"});
  check_not_above_replicas(status, {"updatedReplicas", "readyReplicas", "availableReplicas"});
  check_at_most(status["availableReplicas"], status["readyReplicas"], "cannot be greater than readyReplicas");
  check_collisions(status, old);
}

void check_replica_set_spec(const Checked& spec) {
  check_non_negative(spec["replicas"]);
  check_non_negative(spec["minReadySeconds"]);
  check_replica_template(spec);
}

void create_replica_set(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_replica_set_spec(root["spec"]);
}

void update_replica_set(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_replica_set_spec(spec);
  check_immutable(spec["selector"], old.at({"spec", "selector"}));
}

void update_replica_set_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_counters(status, {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                          "observedGeneration", "terminatingReplicas"});
  check_not_above_replicas(status, {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"});
  check_at_most(status["availableReplicas"], status["readyReplicas"], "cannot be greater than readyReplicas");
}

// ---- stateful sets

void check_stateful_rolling_update(const Checked& rolling) {
  check_non_negative(rolling["partition"]);
  const Checked unavailable = rolling["maxUnavailable"];
  if (!unavailable.present()) return;
  check_int_or_percent(unavailable);
  if (int_or_percent_value(unavailable) == 0) unavailable.invalid("cannot be 0");
  check_at_most_100_percent(unavailable);
}

void check_stateful_strategy(const Checked& spec) {
  const Checked management = spec["podManagementPolicy"];
  if (management.text().empty()) {
    management.required();
  } else if (!contains({"OrderedReady", "Parallel"}, management.text())) {
    management.invalid("must be 'OrderedReady' or 'Parallel'");
  }
  const Checked strategy = spec["updateStrategy"];
  const Checked type = strategy["type"];
  const Checked rolling = strategy["rollingUpdate"];
  if (type.text().empty()) {
    strategy.required();
  } else if (type.text() == "OnDelete") {
    if (rolling.present()) rolling.invalid("only allowed for updateStrategy 'RollingUpdate'");
  } else if (type.text() != "RollingUpdate") {
    strategy.invalid("must be 'RollingUpdate' or 'OnDelete'");
  } else if (rolling.present()) {
    check_stateful_rolling_update(rolling);
  }
}

// The template as its pods will be: with a volume for each claim template, and without host names, which the
// controller sets.
json::Value template_with_claims(const json::Value& spec) {
  json::Value made = object_at(spec, "template");
  json::Value& pod = made["spec"];
  if (!pod.is_object()) return made;
  pod.as_object().erase("subdomain");
  pod.as_object().erase("hostname");
  const json::Value* claims = spec.find("volumeClaimTemplates");
  if (claims == nullptr || !claims->is_array()) return made;
  json::Array volumes;
  Seen names;
  for (const json::Value& claim : claims->as_array()) {
    const json::Value* name = claim.at({"metadata", "name"});
    const std::string_view text = name == nullptr ? std::string_view() : name->string_or();
    if (!names.add(text)) continue;
    json::Value volume;
    volume["name"] = text;
    volume["persistentVolumeClaim"]["claimName"] = text;
    volumes.push_back(std::move(volume));
  }
  if (const json::Value* own = pod.find("volumes"); own != nullptr && own->is_array()) {
    for (const json::Value& volume : own->as_array()) {
      const json::Value* name = volume.find("name");
      if (name == nullptr || !names.has(name->string_or())) volumes.push_back(volume);
    }
  }
  pod["volumes"] = std::move(volumes);
  return made;
}

void check_stateful_template(const Checked& spec, bool was_wrong) {
  const Checked pod_template = spec["template"];
  const Checked pod = pod_template["spec"];
  const bool differs =
      spec["volumeClaimTemplates"].size() > 0 || !pod["subdomain"].text().empty() || !pod["hostname"].text().empty();
  if (differs && !was_wrong) {
    const json::Value made = template_with_claims(spec.value());
    validate_pod_template_spec(made, pod_template.path(), spec.errors());
  } else if (!was_wrong) {
    check_template(spec);
  }
  // Upstream looks at them twice, the second time at a place that does not exist.
  const Checked metadata = pod_template["metadata"];
  validate_labels(metadata["labels"].get(), pod_template.path().child("labels"), spec.errors());
  validate_annotations(metadata["annotations"].get(), pod_template.path().child("annotations"), spec.errors());
}

struct StatefulSetOptions {
  bool is_update = false;      // the service's name and the claims cannot change: wrong old ones are kept
  bool skip_template = false;  // the old object was wrong already
};

void check_stateful_set_spec(const Checked& spec, StatefulSetOptions options) {
  check_stateful_strategy(spec);
  const Checked retention = spec["persistentVolumeClaimRetentionPolicy"];
  if (retention.present()) {
    check_choice(retention["whenDeleted"], {"Retain", "Delete"});
    check_choice(retention["whenScaled"], {"Retain", "Delete"});
  }
  if (!options.is_update) {
    each_item(spec["volumeClaimTemplates"], [](const Checked& claim) {
      const Checked claim_spec = claim["spec"];
      check_claim_spec(object_at(claim.value(), "spec"), claim_spec.path(), claim.errors());
    });
  }
  check_non_negative(spec["replicas"]);
  check_non_negative(spec["minReadySeconds"]);
  const Checked ordinals = spec["ordinals"];
  check_non_negative(ordinals["start"]);
  const Checked service = spec["serviceName"];
  if (!options.is_update && !service.text().empty()) check_name(service, dns1123_label);
  if (check_selector(spec, kStatefulSetWords)) check_stateful_template(spec, options.skip_template);
  check_template_always_restarts(spec, "StatefulSet");
}

void create_stateful_set(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_stateful_set_spec(root["spec"], StatefulSetOptions());
}

bool same_but_for_mutable(const json::Value& spec, const json::Value& old) {
  const auto differs = [](const json::Value& a, const json::Value& b) {
    for (const auto& [key, value] : a.as_object()) {
      const bool is_mutable = contains({"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
                                        "persistentVolumeClaimRetentionPolicy", "minReadySeconds"},
                                       key);
      if (!is_mutable && !same_value(&value, b.find(key))) return true;
    }
    return false;
  };
  return !differs(spec, old) && !differs(old, spec);
}

void update_stateful_set(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  StatefulSetOptions options;
  options.is_update = true;
  field::ErrorList found;
  const Checked tried(object, found);
  check_stateful_set_spec(tried["spec"], options);
  if (!found.empty()) {
    field::ErrorList before;
    const Checked old_root(old, before);
    check_stateful_set_spec(old_root["spec"], options);
    if (!before.empty()) {
      found.clear();
      options.skip_template = true;
      check_stateful_set_spec(tried["spec"], options);
    }
  }
  field::append(errors, std::move(found));
  if (!same_but_for_mutable(object_at(object, "spec"), object_at(old, "spec"))) {
    root["spec"].forbidden(
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
  }
}

void update_stateful_set_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_counters(status, {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
                          "observedGeneration", "collisionCount"});
  check_not_above_replicas(status, {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"});
  check_at_most(status["availableReplicas"], status["readyReplicas"], "cannot be greater than status.readyReplicas");
  check_collisions(status, old);
}

// ---- daemon sets

void check_daemon_rolling_update(const Checked& rolling) {
  if (!rolling.present()) return rolling.required();
  const Checked unavailable = rolling["maxUnavailable"];
  const Checked surge = rolling["maxSurge"];
  check_int_or_percent(unavailable);
  check_int_or_percent(surge);
  check_at_most_100_percent(unavailable);
  check_at_most_100_percent(surge);
  const bool has_unavailable = int_or_percent_value(unavailable) != 0;
  const bool has_surge = int_or_percent_value(surge) != 0;
  if (has_unavailable && has_surge) surge.invalid("may not be set when maxUnavailable is non-zero");
  if (!has_unavailable && !has_surge) unavailable.required("cannot be 0 when maxSurge is 0");
}

void check_daemon_set_spec(const Checked& spec) {
  const Checked selector = spec["selector"];
  check_label_selector(selector);
  const Checked pod_template = spec["template"];
  const Checked metadata = pod_template["metadata"];
  const Checked labels = metadata["labels"];
  if (selector_matches(selector.get(), labels.get()) == SelectorMatch::kNo) {
    labels.invalid("`selector` does not match template `labels`");
  }
  if (selector.present() && selector_is_empty(selector.value())) {
    selector.invalid("empty selector is invalid for daemonset");
  }
  check_template(spec);
  check_template_always_restarts(spec, "DaemonSet");
  check_non_negative(spec["minReadySeconds"]);
  const Checked strategy = spec["updateStrategy"];
  const Checked type = strategy["type"];
  if (type.text() == "RollingUpdate") {
    check_daemon_rolling_update(strategy["rollingUpdate"]);
  } else if (type.text() != "OnDelete") {
    strategy.not_supported({"RollingUpdate", "OnDelete"});
  }
  check_non_negative(spec["revisionHistoryLimit"]);
}

void create_daemon_set(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_daemon_set_spec(root["spec"]);
}

void update_daemon_set(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_immutable(spec["selector"], old.at({"spec", "selector"}));
  check_daemon_set_spec(spec);
}

void update_daemon_set_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_counters(status, {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
                          "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
                          "collisionCount"});
  check_collisions(status, old);
}

// ---- controller revisions

void create_controller_revision(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_non_negative(root["revision"]);
  const Checked data = root["data"];
  if (!data.present()) {
    data.required("data is mandatory");
  } else if (!data.value().is_object()) {
    data.required("data must be a valid JSON object");
  }
}

void update_controller_revision(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_non_negative(root["revision"]);
  check_immutable(root["data"], old.find("data"));
}

}  // namespace

std::vector<Row> apps_rows() {
  return {
      {"apps", "deployments", "", dns1123_subdomain, create_deployment, update_deployment},
      {"apps", "deployments", "status", nullptr, nullptr, update_deployment_status},
      {"apps", "replicasets", "", dns1123_subdomain, create_replica_set, update_replica_set},
      {"apps", "replicasets", "status", nullptr, nullptr, update_replica_set_status},
      {"apps", "statefulsets", "", dns1123_label, create_stateful_set, update_stateful_set},
      {"apps", "statefulsets", "status", nullptr, nullptr, update_stateful_set_status},
      {"apps", "daemonsets", "", dns1123_subdomain, create_daemon_set, update_daemon_set},
      {"apps", "daemonsets", "status", nullptr, nullptr, update_daemon_set_status},
      {"apps", "controllerrevisions", "", dns1123_subdomain, create_controller_revision, update_controller_revision},
  };
}

}  // namespace kayak::api::validation
