// validate_autoscaling.cc: the rules of horizontal pod autoscalers, in their storage version, v2.
// Source: kubernetes pkg/apis/autoscaling/validation, pkg/registry/autoscaling (v1.36).
#include "api/validation/pods.h"
#include "api/validation/validate_groups.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxPeriodSeconds = 1800;
constexpr std::int64_t kMaxStabilizationSeconds = 3600;

// What an old object had wrong, a new one may keep.
struct Options {
  std::int64_t min_replicas_bound = 1;
  bool target_needs_group = true, target_version_free = false;
  bool object_version_free = false;
};

// Why an apiVersion is none, or "": "a/b/c".
std::string api_version_fault(std::string_view version, bool needs_group) {
  const auto slashes = std::count(version.begin(), version.end(), '/');
  if (slashes > 1) return cat("unexpected GroupVersion string: ", version);
  const bool has_group = slashes == 1 && !version.starts_with('/');
  return needs_group && !has_group ? "apiVersion must specify API group" : "";
}

void check_reference(const Checked& reference, bool needs_group, bool version_free) {
  check_required_name(reference["kind"], path_segment_name);
  check_required_name(reference["name"], path_segment_name);
  if (version_free) return;
  const Checked version = reference["apiVersion"];
  if (const std::string fault = api_version_fault(version.text(), needs_group); !fault.empty()) {
    version.invalid(version.text(), fault);
  }
}

// ---- metrics

void check_positive(const Checked& quantity) {
  if (quantity.present() && quantity_sign(quantity) != 1) quantity.invalid("must be positive");
}

void check_target(const Checked& target) {
  const Checked type = target["type"];
  if (type.text().empty()) type.required("must specify a metric target type");
  if (!contains({"Utilization", "Value", "AverageValue"}, type.text())) {
    type.invalid(type.text(), "must be either Utilization, Value, or AverageValue");
  }
  check_positive(target["value"]);
  check_positive(target["averageValue"]);
  const Checked utilization = target["averageUtilization"];
  if (utilization.present() && utilization.number() < 1) utilization.invalid("must be greater than 0");
}

void check_identifier(const Checked& source) {
  const Checked metric = source["metric"];
  const Checked name = metric["name"];
  if (name.text().empty()) {
    name.required("must specify a metric name");
  } else {
    check_name(name, path_segment_name);
  }
}

void check_object_metric(const Checked& source, const Options& options) {
  check_reference(source["describedObject"], false, options.object_version_free);
  check_identifier(source);
  const Checked target = source["target"];
  check_target(target);
  if (!target["value"].present() && !target["averageValue"].present()) {
    target["averageValue"].required("must set either a target value or averageValue");
  }
}

void check_external_metric(const Checked& source) {
  check_identifier(source);
  const Checked target = source["target"];
  check_target(target);
  const bool has_value = target["value"].present(), has_average = target["averageValue"].present();
  if (!has_value && !has_average) {
    target["averageValue"].required("must set either a target value for metric or a per-pod target");
  }
  if (has_value && has_average) {
    target["value"].forbidden("may not set both a target value for metric and a per-pod target");
  }
}

void check_pods_metric(const Checked& source) {
  check_identifier(source);
  const Checked target = source["target"];
  check_target(target);
  if (!target["averageValue"].present()) {
    target["averageValue"].required("must specify a positive target averageValue");
  }
}

void check_resource_target(const Checked& source) {
  const Checked target = source["target"];
  check_target(target);
  const bool has_utilization = target["averageUtilization"].present(), has_average = target["averageValue"].present();
  if (!has_utilization && !has_average) {
    target["averageUtilization"].required("must set either a target raw value or a target utilization");
  }
  if (has_utilization && has_average) {
    target["averageValue"].forbidden("may not set both a target raw value and a target utilization");
  }
}

void check_resource_metric(const Checked& source) {
  const Checked name = source["name"];
  if (name.text().empty()) name.required("must specify a resource name");
  check_resource_target(source);
}

void check_container_resource_metric(const Checked& source) {
  const Checked name = source["name"];
  if (name.text().empty()) {
    name.required("must specify a resource name");
  } else {
    check_container_resource_name(name.text(), name.path(), name.errors());
  }
  const Checked container = source["container"];
  if (container.text().empty()) {
    container.required("must specify a container");
  } else {
    check_name(container, dns1123_label);
  }
  check_resource_target(source);
}

struct MetricSource {
  std::string_view type, member;
};
// In the order in which they are looked for.
constexpr MetricSource kSources[] = {{"Object", "object"},
                                     {"External", "external"},
                                     {"Pods", "pods"},
                                     {"Resource", "resource"},
                                     {"ContainerResource", "containerResource"}};
constexpr std::string_view kSourceTypes[] = {"ContainerResource", "External", "Object", "Pods", "Resource"};

void check_source(const Checked& source, std::string_view type, const Options& options) {
  if (type == "Object") return check_object_metric(source, options);
  if (type == "External") return check_external_metric(source);
  if (type == "Pods") return check_pods_metric(source);
  if (type == "Resource") return check_resource_metric(source);
  check_container_resource_metric(source);
}

void check_metric(const Checked& metric, const Options& options) {
  const Checked type = metric["type"];
  if (type.text().empty()) type.required("must specify a metric source type");
  std::string_view expected;
  std::size_t present = 0;
  for (const MetricSource& row : kSources) {
    if (row.type == type.text()) expected = row.member;
    const Checked source = metric[row.member];
    if (source.present() && ++present == 1) check_source(source, row.type, options);
  }
  if (expected.empty()) {
    // Upstream looks twice.
    type.not_supported(kSourceTypes);
    type.not_supported(kSourceTypes);
  } else if (!metric[expected].present()) {
    metric[expected].required("must populate information for the given metric source");
  }
  if (present == 1) return;
  for (const MetricSource& row : kSources) {
    if (row.member == expected || !metric[row.member].present()) continue;
    metric[row.member].forbidden("must populate the given metric source only");
  }
}

void check_metrics(const Checked& spec, const Options& options) {
  const Checked metrics = spec["metrics"];
  bool scales_from_zero = false;
  each_item(metrics, [&](const Checked& metric) {
    check_metric(metric, options);
    scales_from_zero = scales_from_zero || contains({"Object", "External"}, metric["type"].text());
  });
  const Checked min = spec["minReplicas"];
  if (min.present() && min.number() == 0 && !scales_from_zero) {
    metrics.forbidden("must specify at least one Object or External metric to support scaling to zero replicas");
  }
}

// ---- behavior

void check_scaling_policy(const Checked& policy) {
  const Checked type = policy["type"];
  if (!contains({"Pods", "Percent"}, type.text())) type.not_supported({"Percent", "Pods"});
  const Checked value = policy["value"];
  if (value.number() <= 0) value.invalid(value.number(), "must be greater than zero");
  const Checked period = policy["periodSeconds"];
  if (period.number() <= 0) period.invalid(period.number(), "must be greater than zero");
  if (period.number() > kMaxPeriodSeconds) {
    period.invalid(cat("must be less than or equal to ", kMaxPeriodSeconds));
  }
}

void check_scaling_rules(const Checked& rules) {
  if (!rules.present()) return;
  const Checked window = rules["stabilizationWindowSeconds"];
  if (window.number() < 0) window.invalid("must be greater than or equal to zero");
  if (window.number() > kMaxStabilizationSeconds) {
    window.invalid(cat("must be less than or equal to ", kMaxStabilizationSeconds));
  }
  const Checked select = rules["selectPolicy"];
  if (select.present()) check_choice(select, {"Disabled", "Max", "Min"});
  const Checked policies = rules["policies"];
  if (policies.size() == 0) policies.required("must specify at least one Policy");
  each_item(policies, check_scaling_policy);
  const Checked tolerance = rules["tolerance"];
  if (tolerance.present() && quantity_sign(tolerance) < 0) {
    tolerance.invalid("must be greater than or equal to 0");
  }
}

void check_spec(const Checked& spec, const Options& options) {
  const Checked min = spec["minReplicas"];
  const Checked max = spec["maxReplicas"];
  if (min.present() && min.number() < options.min_replicas_bound) {
    min.invalid(cat("must be greater than or equal to ", options.min_replicas_bound));
  }
  if (max.number() == 0) {
    max.required("must be set and greater than 0");
  } else if (max.number() < 0) {
    max.invalid("must be greater than or equal to 1");
  }
  if (min.present() && max.number() < min.number()) {
    max.invalid(max.number(), "must be greater than or equal to `minReplicas`");
  }
  check_reference(spec["scaleTargetRef"], options.target_needs_group, options.target_version_free);
  check_metrics(spec, options);
  const Checked behavior = spec["behavior"];
  check_scaling_rules(behavior["scaleUp"]);
  check_scaling_rules(behavior["scaleDown"]);
}

bool scales_replication_controller(const Checked& spec) {
  const Checked target = spec["scaleTargetRef"];
  return target["kind"].text() == "ReplicationController";
}

void create_autoscaler(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  Options options;
  options.target_needs_group = !scales_replication_controller(spec);
  check_spec(spec, options);
}

bool has_wrong_object_version(const json::Value& autoscaler) {
  const json::Value* metrics = autoscaler.at({"spec", "metrics"});
  if (metrics == nullptr || !metrics->is_array()) return false;
  for (const json::Value& metric : metrics->as_array()) {
    const json::Value* object = metric.at({"object", "describedObject"});
    const json::Value* version = object == nullptr ? nullptr : object->find("apiVersion");
    if (version != nullptr && !api_version_fault(version->string_or(), false).empty()) return true;
  }
  return false;
}

void update_autoscaler(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  Options options;
  const json::Value* old_min = old.at({"spec", "minReplicas"});
  if (old_min != nullptr && old_min->int_or(1) == 0) options.min_replicas_bound = 0;
  if (same_member(object, old, {"spec", "scaleTargetRef", "apiVersion"}) &&
      same_member(object, old, {"spec", "scaleTargetRef", "kind"})) {
    options.target_version_free = true;
  } else {
    options.target_needs_group = !scales_replication_controller(spec);
  }
  options.object_version_free = has_wrong_object_version(old);
  check_spec(spec, options);
}

void update_autoscaler_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_non_negative(status["currentReplicas"]);
  check_non_negative(status["desiredReplicas"]);
}

}  // namespace

std::vector<Row> autoscaling_rows() {
  return {
      {"autoscaling", "horizontalpodautoscalers", "", dns1123_subdomain, create_autoscaler, update_autoscaler},
      {"autoscaling", "horizontalpodautoscalers", "status", nullptr, nullptr, update_autoscaler_status},
  };
}

}  // namespace kayak::api::validation
