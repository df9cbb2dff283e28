// workloads.cc: rules in code of apps and batch.
// Source: shared fact table strategy.tsv.
#include "api/document.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// apps/v1 keeps the counter of daemon set templates, a field of older versions, in an annotation.
constexpr std::string_view kTemplateGeneration = "deprecated.daemonset.template.generation";

std::int64_t template_generation(const json::Value& object) {
  const json::Value* text = object.at({"metadata", "annotations", kTemplateGeneration});
  std::int64_t value = 0;
  if (text != nullptr) parse_int64(text->string_or(), &value);
  return value;
}

void set_template_generation(json::Value& object, std::int64_t value) {
  json::Value& annotations = metadata_of(object)["annotations"];
  if (!annotations.is_object()) annotations = json::Object();
  annotations[kTemplateGeneration] = std::to_string(value);
}

}  // namespace

void prepare_daemon_set_create(WriteContext&, json::Value& object) {
  set_template_generation(object, std::max<std::int64_t>(template_generation(object), 1));
}

void prepare_daemon_set_update(WriteContext&, json::Value& object, const json::Value& old) {
  const json::Value* now = object.at({"spec", "template"});
  const json::Value* before = old.at({"spec", "template"});
  const bool changed = now == nullptr || before == nullptr ? now != before : !(*now == *before);
  set_template_generation(object, template_generation(old) + (changed ? 1 : 0));
}

void prepare_stateful_set_create(WriteContext&, json::Value& object) {
  if (object.at({"spec", "updateStrategy", "rollingUpdate", "maxUnavailable"}) != nullptr) {
    erase_member(object["spec"]["updateStrategy"]["rollingUpdate"], "maxUnavailable");
  }
}

void prepare_job_create(WriteContext&, json::Value& object) {
  json::Value& spec = object["spec"];
  if (const json::Value* manual = spec.find("manualSelector"); manual != nullptr && manual->bool_or(false)) return;
  const std::string uid(meta_text(object, "uid"));
  const std::string name(meta_text(object, "name"));
  json::Value& labels = spec["template"]["metadata"]["labels"];
  if (!labels.is_object()) labels = json::Object();
  struct Row {
    std::string_view key;
    const std::string& value;
  };
  for (const Row& row : {Row{"controller-uid", uid}, Row{"job-name", name},
                         Row{"batch.kubernetes.io/controller-uid", uid}, Row{"batch.kubernetes.io/job-name", name}}) {
    if (labels.find(row.key) == nullptr) labels[row.key] = row.value;
  }
  json::Value& selector = spec["selector"]["matchLabels"];
  if (!selector.is_object()) selector = json::Object();
  if (selector.find("batch.kubernetes.io/controller-uid") == nullptr) {
    selector["batch.kubernetes.io/controller-uid"] = uid;
  }
}

}  // namespace kayak::api
