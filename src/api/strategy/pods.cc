// pods.cc: what a pod is given when it is created, and what its status may not lose.
// Source: core/v1 PodSpec, PodStatus; shared fact table strategy.tsv, row pods.
#include <algorithm>
#include <array>
#include <map>

#include "api/document.h"
#include "api/strategy/strategy.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::string_view kAppArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/";

void for_each_container(const json::Value& pod, const std::function<void(const json::Value&)>& visit) {
  for (std::string_view list : {"containers", "initContainers"}) {
    const json::Value* containers = pod.at({"spec", list});
    if (containers == nullptr || !containers->is_array()) continue;
    for (const json::Value& container : containers->as_array()) visit(container);
  }
}

using Totals = std::map<std::string, Quantity, std::less<>>;

// Adds the positive cpu and memory quantities of a resource list; which of them there were.
std::vector<std::string_view> add_resources(const json::Value* list, Totals& totals) {
  std::vector<std::string_view> found;
  if (list == nullptr || !list->is_object()) return found;
  for (const auto& [name, value] : list->as_object()) {
    if (name != "cpu" && name != "memory") continue;
    Result<Quantity> quantity = Quantity::parse(value.string_or("0"));
    if (!quantity || quantity->sign() <= 0) continue;
    found.push_back(name);
    totals[name] = totals[name] + *quantity;
  }
  return found;
}

void add_condition(json::Value& pod, std::string_view type, std::string_view status, std::string_view reason,
                   std::string_view message, WallTime now) {
  json::Value& conditions = pod["status"]["conditions"];
  if (!conditions.is_array()) conditions = json::Array();
  json::Object condition;
  condition.set("type", type);
  condition.set("status", status);
  condition.set("lastTransitionTime", format_time(now));
  condition.set("reason", reason);
  condition.set("message", message);
  conditions.as_array().emplace_back(std::move(condition));
}

void add_expression(json::Value& selector, std::string_view key, std::string_view op, std::string_view value) {
  json::Value& expressions = selector["matchExpressions"];
  if (!expressions.is_array()) expressions = json::Array();
  json::Object expression;
  expression.set("key", key);
  expression.set("operator", op);
  expression.set("values", json::Array{json::Value(value)});
  expressions.as_array().emplace_back(std::move(expression));
}

// matchLabelKeys and mismatchLabelKeys of a term become expressions on the pod's own values of these labels.
void merge_label_keys(json::Value& term, const json::Value& pod) {
  struct Row {
    std::string_view keys, op;
  };
  for (const Row& row : {Row{"matchLabelKeys", "In"}, Row{"mismatchLabelKeys", "NotIn"}}) {
    const json::Value* keys = term.find(row.keys);
    if (keys == nullptr || !keys->is_array() || term.find("labelSelector") == nullptr) continue;
    const json::Array names = keys->as_array();
    for (const json::Value& name : names) {
      const json::Value* value = pod.at({"metadata", "labels", name.string_or()});
      if (value != nullptr) add_expression(term["labelSelector"], name.string_or(), row.op, value->string_or());
    }
  }
}

void merge_all_label_keys(json::Value& pod) {
  const json::Value source = pod;
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    if (pod.at({"spec", "affinity", kind}) == nullptr) continue;
    json::Value& affinity = pod["spec"]["affinity"][kind];
    if (json::Value* terms = affinity.find("requiredDuringSchedulingIgnoredDuringExecution");
        terms != nullptr && terms->is_array()) {
      for (json::Value& term : terms->as_array()) merge_label_keys(term, source);
    }
    if (json::Value* terms = affinity.find("preferredDuringSchedulingIgnoredDuringExecution");
        terms != nullptr && terms->is_array()) {
      for (json::Value& weighted : terms->as_array()) {
        if (json::Value* term = weighted.find("podAffinityTerm")) merge_label_keys(*term, source);
      }
    }
  }
  if (json::Value* constraints = pod["spec"].find("topologySpreadConstraints");
      constraints != nullptr && constraints->is_array()) {
    for (json::Value& constraint : constraints->as_array()) merge_label_keys(constraint, source);
  }
}

// The annotation that came before the field still counts where the field is not set.
void copy_apparmor(json::Value& pod) {
  const json::Value* annotations = meta_find(pod, "annotations");
  if (annotations == nullptr || !annotations->is_object()) return;
  std::vector<std::pair<std::string, std::string>> profiles;
  for (const auto& [key, value] : annotations->as_object()) {
    if (key.starts_with(kAppArmorAnnotation)) {
      profiles.emplace_back(key.substr(kAppArmorAnnotation.size()), value.string_or());
    }
  }
  for (const auto& [name, value] : profiles) {
    json::Object profile;
    if (value == "runtime/default") {
      profile.set("type", "RuntimeDefault");
    } else if (value == "unconfined") {
      profile.set("type", "Unconfined");
    } else if (value.starts_with("localhost/")) {
      profile.set("type", "Localhost");
      profile.set("localhostProfile", value.substr(10));
    } else {
      continue;
    }
    for (std::string_view list : {"containers", "initContainers"}) {
      json::Value* containers = pod["spec"].find(list);
      if (containers == nullptr || !containers->is_array()) continue;
      for (json::Value& container : containers->as_array()) {
        if (text_at(container, {"name"}) != name) continue;
        if (container.at({"securityContext", "appArmorProfile"}) != nullptr) continue;
        container["securityContext"]["appArmorProfile"] = profile;
      }
    }
  }
}

}  // namespace

std::string_view pod_qos_class(const json::Value& pod) {
  Totals requests, limits;
  bool guaranteed = true;
  if (const json::Value* resources = pod.at({"spec", "resources"});
      resources != nullptr && resources->is_object() && !resources->as_object().empty()) {
    add_resources(resources->find("requests"), requests);
    guaranteed = add_resources(resources->find("limits"), limits).size() == 2;
  } else {
    auto add = [&](const json::Value& container) {
      add_resources(container.at({"resources", "requests"}), requests);
      if (add_resources(container.at({"resources", "limits"}), limits).size() != 2) guaranteed = false;
    };
    for_each_container(pod, add);
  }
  if (requests.empty() && limits.empty()) return "BestEffort";
  if (guaranteed && requests.size() == limits.size()) {
    const bool equal = std::all_of(requests.begin(), requests.end(), [&](const auto& request) {
      const auto limit = limits.find(request.first);
      return limit != limits.end() && limit->second == request.second;
    });
    if (equal) return "Guaranteed";
  }
  return "Burstable";
}

void prepare_pod_create(WriteContext& context, json::Value& pod) {
  json::Object status;
  status.set("phase", "Pending");
  status.set("qosClass", pod_qos_class(pod));
  pod["status"] = std::move(status);
  const json::Value* gates = pod.at({"spec", "schedulingGates"});
  if (gates != nullptr && gates->is_array() && !gates->as_array().empty()) {
    add_condition(pod, "PodScheduled", "False", "SchedulingGated",
                  "Scheduling is blocked due to non-empty scheduling gates", context.now);
  }
  merge_all_label_keys(pod);
  copy_apparmor(pod);
}

void prepare_pod_status(WriteContext&, json::Value& pod, const json::Value& old) {
  json::Value& status = pod["status"];
  const json::Value* old_status = old.find("status");
  if (old_status == nullptr) return;
  if (text_at(status, {"qosClass"}).empty()) copy_member(status, *old_status, "qosClass");
  const json::Value* observed = status.find("observedGeneration");
  if (observed == nullptr || observed->int_or(0) == 0) copy_member(status, *old_status, "observedGeneration");
}

}  // namespace kayak::api
