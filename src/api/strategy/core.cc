// core.cc: rules in code of the other core/v1 kinds: namespaces, volumes and claims, secrets, accounts, limits.
// Source: shared fact table strategy.tsv.
#include "api/document.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::string_view kNameLabel = "kubernetes.io/metadata.name";

void force_name_label(json::Value& object) {
  json::Value& labels = metadata_of(object)["labels"];
  if (!labels.is_object()) labels = json::Object();
  labels[kNameLabel] = json::Value(meta_text(object, "name"));
}

// A claim names its source in one of two fields; the other follows.
void level_data_source(json::Value& claim) {
  json::Value& spec = claim["spec"];
  const json::Value* source = spec.find("dataSource");
  const json::Value* reference = spec.find("dataSourceRef");
  if (reference == nullptr && source != nullptr) {
    const std::string_view group = text_at(*source, {"apiGroup"});
    const std::string_view kind = text_at(*source, {"kind"});
    const bool known = (group.empty() && kind == "PersistentVolumeClaim") ||
                       (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot");
    if (!known) {
      erase_member(spec, "dataSource");
    } else {
      const json::Value copy = *source;
      spec["dataSourceRef"] = copy;
    }
  } else if (source == nullptr && reference != nullptr && text_at(*reference, {"namespace"}).empty()) {
    json::Value copy = *reference;
    erase_member(copy, "namespace");
    spec["dataSource"] = std::move(copy);
  }
}

void reduce_secrets(json::Value& account) {
  json::Value* secrets = account.find("secrets");
  if (secrets == nullptr || !secrets->is_array()) return;
  for (json::Value& secret : secrets->as_array()) {
    json::Object only_name;
    const std::string name(text_at(secret, {"name"}));
    if (!name.empty()) only_name.set("name", name);
    secret = std::move(only_name);
  }
}

}  // namespace

void prepare_namespace_create(WriteContext&, json::Value& object) {
  json::Object status;
  status.set("phase", "Active");
  object["status"] = std::move(status);
  json::Value& finalizers = object["spec"]["finalizers"];
  if (!finalizers.is_array()) finalizers = json::Array();
  bool has = false;
  for (const json::Value& finalizer : finalizers.as_array()) has = has || finalizer.string_or() == "kubernetes";
  if (!has) finalizers.as_array().emplace_back("kubernetes");
  force_name_label(object);
}

void prepare_namespace_update(WriteContext&, json::Value& object, const json::Value& old) {
  copy_member(object, old, "spec");  // finalizers go through the finalize subresource alone
  force_name_label(object);
}

void prepare_namespace_finalize(WriteContext&, json::Value& object, const json::Value&) { force_name_label(object); }

void prepare_limit_range_create(WriteContext& context, json::Value& object) {
  if (meta_text(object, "name").empty()) metadata_of(object)["name"] = context.parts.context.random.uuid4();
}

void prepare_volume_create(WriteContext& context, json::Value& object) {
  json::Object status;
  status.set("phase", "Pending");
  status.set("lastPhaseTransitionTime", format_time(context.now));
  object["status"] = std::move(status);
}

void prepare_volume_status(WriteContext& context, json::Value& object, const json::Value& old) {
  json::Value& status = object["status"];
  const std::string_view before = text_at(old, {"status", "lastPhaseTransitionTime"});
  const std::string_view now = text_at(status, {"lastPhaseTransitionTime"});
  const bool same_phase = text_at(status, {"phase"}) == text_at(old, {"status", "phase"});
  if (same_phase && now.empty() && !before.empty()) {
    status["lastPhaseTransitionTime"] = json::Value(before);
  } else if (!same_phase && (now.empty() || now == before)) {
    status["lastPhaseTransitionTime"] = format_time(context.now);
  }
}

void prepare_claim_create(WriteContext&, json::Value& object) { level_data_source(object); }
void prepare_claim_update(WriteContext&, json::Value& object, const json::Value&) { level_data_source(object); }

void prepare_secret_update(WriteContext&, json::Value& object, const json::Value& old) {
  if (text_at(object, {"type"}).empty()) copy_member(object, old, "type");
}

void prepare_service_account_create(WriteContext&, json::Value& object) { reduce_secrets(object); }
void prepare_service_account_update(WriteContext&, json::Value& object, const json::Value&) { reduce_secrets(object); }

}  // namespace kayak::api
