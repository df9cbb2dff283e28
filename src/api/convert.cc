// convert.cc: the two pairs of versions that share a storage.
#include "api/convert.h"

#include <array>

#include "api/decode.h"
#include "api/document.h"
#include "api/schema.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// ---- Event: the same facts under other names.

struct Renamed {
  std::string_view core, events;
};
constexpr std::array kEventNames = {
    Renamed{"involvedObject", "regarding"},
    Renamed{"message", "note"},
    Renamed{"source", "deprecatedSource"},
    Renamed{"firstTimestamp", "deprecatedFirstTimestamp"},
    Renamed{"lastTimestamp", "deprecatedLastTimestamp"},
    Renamed{"count", "deprecatedCount"},
    Renamed{"reportingComponent", "reportingController"},
};

void rename_event(json::Value& document, bool to_core) {
  for (json::Member& member : document.as_object().members()) {
    for (const Renamed& row : kEventNames) {
      if (member.first == (to_core ? row.events : row.core)) {
        member.first = to_core ? row.core : row.events;
        break;
      }
    }
  }
}

// ---- HorizontalPodAutoscaler: v1 knows one metric; it keeps the others in annotations.

constexpr std::string_view kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr std::string_view kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr std::string_view kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr std::string_view kBehavior = "autoscaling.alpha.kubernetes.io/behavior";

// One number of a metric: where v2 nests it and what v1 calls it.
struct MetricField {
  std::string_view source;       // "object", "pods", ...
  std::string_view group, name;  // v2: <source>.<group>.<name>, or <source>.<name> when group is empty
  std::string_view flat;         // v1: <source>.<flat>
};
constexpr std::array kSpecFields = {
    MetricField{"object", "", "describedObject", "target"},
    MetricField{"object", "metric", "name", "metricName"},
    MetricField{"object", "target", "value", "targetValue"},
    MetricField{"object", "metric", "selector", "selector"},
    MetricField{"object", "target", "averageValue", "averageValue"},
    MetricField{"pods", "metric", "name", "metricName"},
    MetricField{"pods", "target", "averageValue", "targetAverageValue"},
    MetricField{"pods", "metric", "selector", "selector"},
    MetricField{"resource", "", "name", "name"},
    MetricField{"resource", "target", "averageUtilization", "targetAverageUtilization"},
    MetricField{"resource", "target", "averageValue", "targetAverageValue"},
    MetricField{"containerResource", "", "name", "name"},
    MetricField{"containerResource", "target", "averageUtilization", "targetAverageUtilization"},
    MetricField{"containerResource", "target", "averageValue", "targetAverageValue"},
    MetricField{"containerResource", "", "container", "container"},
    MetricField{"external", "metric", "name", "metricName"},
    MetricField{"external", "metric", "selector", "metricSelector"},
    MetricField{"external", "target", "value", "targetValue"},
    MetricField{"external", "target", "averageValue", "targetAverageValue"},
};
constexpr std::array kStatusFields = {
    MetricField{"object", "", "describedObject", "target"},
    MetricField{"object", "metric", "name", "metricName"},
    MetricField{"object", "current", "value", "currentValue"},
    MetricField{"object", "metric", "selector", "selector"},
    MetricField{"object", "current", "averageValue", "averageValue"},
    MetricField{"pods", "metric", "name", "metricName"},
    MetricField{"pods", "current", "averageValue", "currentAverageValue"},
    MetricField{"pods", "metric", "selector", "selector"},
    MetricField{"resource", "", "name", "name"},
    MetricField{"resource", "current", "averageUtilization", "currentAverageUtilization"},
    MetricField{"resource", "current", "averageValue", "currentAverageValue"},
    MetricField{"containerResource", "", "name", "name"},
    MetricField{"containerResource", "current", "averageUtilization", "currentAverageUtilization"},
    MetricField{"containerResource", "current", "averageValue", "currentAverageValue"},
    MetricField{"containerResource", "", "container", "container"},
    MetricField{"external", "metric", "name", "metricName"},
    MetricField{"external", "metric", "selector", "metricSelector"},
    MetricField{"external", "current", "value", "currentValue"},
    MetricField{"external", "current", "averageValue", "currentAverageValue"},
};

json::Value flatten(const json::Value& metric, std::span<const MetricField> fields) {
  json::Value flat;
  flat["type"] = json::Value(text_at(metric, {"type"}));
  for (const MetricField& field : fields) {
    const json::Value* value = field.group.empty() ? metric.at({field.source, field.name})
                                                   : metric.at({field.source, field.group, field.name});
    if (value != nullptr) flat[field.source][field.flat] = *value;
  }
  return flat;
}

// What kind of target the numbers of a metric mean.
std::string_view target_type(const json::Value& target) {
  if (target.find("averageUtilization") != nullptr) return "Utilization";
  return target.find("averageValue") != nullptr ? "AverageValue" : "Value";
}

json::Value nest(const json::Value& flat, std::span<const MetricField> fields, bool spec) {
  json::Value metric;
  metric["type"] = json::Value(text_at(flat, {"type"}));
  for (const MetricField& field : fields) {
    const json::Value* value = flat.at({field.source, field.flat});
    if (value == nullptr) continue;
    json::Value& source = metric[field.source];
    (field.group.empty() ? source[field.name] : source[field.group][field.name]) = *value;
  }
  if (spec) {
    for (auto& [name, source] : metric.as_object()) {
      if (json::Value* target = source.find("target"); target != nullptr && target->is_object()) {
        (*target)["type"] = json::Value(target_type(*target));
      }
    }
  }
  return metric;
}

bool is_cpu_utilization(const json::Value& metric, std::string_view numbers) {
  return text_at(metric, {"type"}) == "Resource" && text_at(metric, {"resource", "name"}) == "cpu" &&
         metric.at({"resource", numbers, "averageUtilization"}) != nullptr;
}

void annotate(json::Value& document, std::string_view key, json::Value value) {
  json::Value& annotations = metadata_of(document)["annotations"];
  if (!annotations.is_object()) annotations = json::Object();
  annotations[key] = json::write(value);
}

// Metrics of v2 to the one number that v1 has, and an annotation for the rest.
void split_metrics(json::Value& document, std::string_view section, std::string_view list, std::string_view numbers,
                   std::string_view v1_name, std::string_view annotation, std::span<const MetricField> fields) {
  json::Value& part = document[section];
  const json::Value* metrics = part.find(list);
  if (metrics == nullptr || !metrics->is_array()) return;
  json::Array others;
  json::Value utilization;
  for (const json::Value& metric : metrics->as_array()) {
    if (is_cpu_utilization(metric, numbers)) {
      utilization = *metric.at({"resource", numbers, "averageUtilization"});
    } else {
      others.push_back(flatten(metric, fields));
    }
  }
  erase_member(part, list);
  if (!utilization.is_null()) part[v1_name] = utilization;
  if (!others.empty()) annotate(document, annotation, std::move(others));
}

void hpa_to_v1(json::Value& document) {
  split_metrics(document, "spec", "metrics", "target", "targetCPUUtilizationPercentage", kMetrics, kSpecFields);
  split_metrics(document, "status", "currentMetrics", "current", "currentCPUUtilizationPercentage", kCurrentMetrics,
                kStatusFields);
  if (const json::Value* conditions = document.at({"status", "conditions"});
      conditions != nullptr && conditions->is_array() && !conditions->as_array().empty()) {
    annotate(document, kConditions, *conditions);
  }
  if (document.find("status") != nullptr) erase_member(document["status"], "conditions");
  if (const json::Value* behavior = document.at({"spec", "behavior"})) annotate(document, kBehavior, *behavior);
  erase_member(document["spec"], "behavior");
}

// The value of an annotation of ours, which leaves the object with it. Null when absent or unreadable.
json::Value take_annotation(json::Value& document, std::string_view key) {
  const json::Value* text = document.at({"metadata", "annotations", key});
  if (text == nullptr) return json::Value();
  Result<json::Value> value = json::read(text->string_or());
  erase_member(metadata_of(document)["annotations"], key);
  if (metadata_of(document)["annotations"].as_object().empty()) erase_meta(document, "annotations");
  return value ? std::move(*value) : json::Value();
}

json::Array nest_all(const json::Value& flat, std::span<const MetricField> fields, bool spec) {
  json::Array metrics;
  if (!flat.is_array()) return metrics;
  for (const json::Value& metric : flat.as_array()) metrics.push_back(nest(metric, fields, spec));
  return metrics;
}

void hpa_to_v2(json::Value& document) {
  json::Array metrics = nest_all(take_annotation(document, kMetrics), kSpecFields, true);
  json::Value& spec = document["spec"];
  if (const json::Value* utilization = spec.find("targetCPUUtilizationPercentage")) {
    json::Value metric;
    metric["type"] = "Resource";
    metric["resource"]["name"] = "cpu";
    metric["resource"]["target"]["type"] = "Utilization";
    metric["resource"]["target"]["averageUtilization"] = *utilization;
    metrics.push_back(std::move(metric));
    erase_member(spec, "targetCPUUtilizationPercentage");
  }
  if (!metrics.empty()) spec["metrics"] = std::move(metrics);
  json::Value behavior = take_annotation(document, kBehavior);
  if (behavior.is_object()) document["spec"]["behavior"] = std::move(behavior);
  json::Array current = nest_all(take_annotation(document, kCurrentMetrics), kStatusFields, false);
  json::Value conditions = take_annotation(document, kConditions);
  json::Value* status = document.find("status");
  if (status == nullptr) return;
  if (const json::Value* utilization = status->find("currentCPUUtilizationPercentage")) {
    json::Value metric;
    metric["type"] = "Resource";
    metric["resource"]["name"] = "cpu";
    metric["resource"]["current"]["averageUtilization"] = *utilization;
    current.push_back(std::move(metric));
    erase_member(*status, "currentCPUUtilizationPercentage");
  }
  if (!current.empty()) (*status)["currentMetrics"] = std::move(current);
  if (conditions.is_array()) (*status)["conditions"] = std::move(conditions);
}

}  // namespace

json::Value convert(const Kind& from, const Kind& to, json::Value document) {
  if (&from == &to) return document;
  ASSERT(from.kind == to.kind);
  if (from.kind == "Event") {
    rename_event(document, to.group.empty());
  } else if (from.kind == "HorizontalPodAutoscaler") {
    if (to.version == "v1") {
      hpa_to_v1(document);
    } else {
      hpa_to_v2(document);
    }
  }
  // Annotations hold what clients wrote: read leniently, never trusted to be of the schema.
  Result<json::Value> canonical = decode_json(*to.message, document);
  if (canonical) document = std::move(*canonical);
  set_type(document, to.api_version(), to.kind);
  return document;
}

json::Document document_as(const Object& object, const Kind& kind) {
  json::Document document = object.document();
  if (&object.kind() == &kind) return document;
  return std::make_shared<const json::Value>(convert(object.kind(), kind, *document));
}

}  // namespace kayak::api
