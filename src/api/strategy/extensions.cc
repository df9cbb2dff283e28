// extensions.cc: rules in code of certificates, custom resource definitions, API services and endpoint slices.
// Source: shared fact table strategy.tsv.
#include <algorithm>

#include "api/document.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

json::Array conditions_of(const json::Value& object, bool decisions) {
  json::Array kept;
  const json::Value* conditions = object.at({"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return kept;
  for (const json::Value& condition : conditions->as_array()) {
    const std::string_view type = text_at(condition, {"type"});
    if ((type == "Approved" || type == "Denied") == decisions) kept.push_back(condition);
  }
  return kept;
}

void fill_condition_times(json::Array& conditions, const std::string& now) {
  for (json::Value& condition : conditions) {
    for (std::string_view name : {"lastUpdateTime", "lastTransitionTime"}) {
      if (text_at(condition, {name}).empty()) condition[name] = now;
    }
  }
}

std::string stored_version_of(const json::Value& crd) {
  const json::Value* versions = crd.at({"spec", "versions"});
  if (versions == nullptr || !versions->is_array()) return "";
  for (const json::Value& version : versions->as_array()) {
    const json::Value* storage = version.find("storage");
    if (storage != nullptr && storage->bool_or(false)) return std::string(text_at(version, {"name"}));
  }
  return "";
}

void drop_topology(json::Value& slice) {
  json::Value* endpoints = slice.find("endpoints");
  if (endpoints == nullptr || !endpoints->is_array()) return;
  for (json::Value& endpoint : endpoints->as_array()) erase_member(endpoint, "deprecatedTopology");
}

}  // namespace

void prepare_csr_create(WriteContext& context, json::Value& object) {
  json::Value& spec = object["spec"];
  spec["username"] = context.user.name;
  erase_member(spec, "uid");
  if (!context.user.uid.empty()) spec["uid"] = context.user.uid;
  json::Array groups;
  for (const std::string& group : context.user.groups) groups.emplace_back(group);
  spec["groups"] = std::move(groups);
  erase_member(spec, "extra");
}

void prepare_csr_update(WriteContext&, json::Value& object, const json::Value& old) {
  copy_member(object, old, "spec");
  copy_member(object, old, "status");
}

void prepare_csr_status(WriteContext& context, json::Value& object, const json::Value& old) {
  json::Array conditions = conditions_of(old, true);
  for (json::Value& condition : conditions_of(object, false)) conditions.push_back(std::move(condition));
  fill_condition_times(conditions, format_time(context.now));
  if (conditions.empty()) {
    erase_member(object["status"], "conditions");
  } else {
    object["status"]["conditions"] = std::move(conditions);
  }
}

void prepare_crd_create(WriteContext&, json::Value& object) {
  json::Object status;
  status.set("storedVersions", json::Array{json::Value(stored_version_of(object))});
  object["status"] = std::move(status);
}

void prepare_crd_update(WriteContext&, json::Value& object, const json::Value&) {
  const std::string stored = stored_version_of(object);
  json::Value& versions = object["status"]["storedVersions"];
  if (!versions.is_array()) versions = json::Array();
  auto& list = versions.as_array();
  if (std::find(list.begin(), list.end(), json::Value(stored)) == list.end()) list.emplace_back(stored);
}

void prepare_api_service_create(WriteContext& context, json::Value& object) {
  if (object.at({"spec", "service"}) != nullptr) return;
  json::Object condition;
  condition.set("type", "Available");
  condition.set("status", "True");
  condition.set("lastTransitionTime", format_time(context.now));
  condition.set("reason", "Local");
  condition.set("message", "Local APIServices are always available");
  object["status"]["conditions"] = json::Array{json::Value(std::move(condition))};
}

void prepare_endpoint_slice_create(WriteContext&, json::Value& object) { drop_topology(object); }

void prepare_endpoint_slice_update(WriteContext&, json::Value& object, const json::Value& old) {
  if (!same_member(object, old, "endpoints")) drop_topology(object);
}

}  // namespace kayak::api
