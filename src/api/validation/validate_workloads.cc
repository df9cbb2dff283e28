// validate_workloads.cc: the rows of what runs and scales pods, and the rules of disruption budgets.
// Source: kubernetes pkg/apis/policy/validation (v1.36).
#include "api/validation/validate_groups.h"

namespace kayak::api::validation {

namespace {

void check_budget_spec(const Checked& spec) {
  const Checked min = spec["minAvailable"];
  const Checked max = spec["maxUnavailable"];
  if (min.present() && max.present()) spec.invalid("minAvailable and maxUnavailable cannot be both set");
  for (const Checked* limit : {&min, &max}) {
    if (!limit->present()) continue;
    check_int_or_percent(*limit);
    check_at_most_100_percent(*limit);
  }
  check_label_selector(spec["selector"]);
  const Checked unhealthy = spec["unhealthyPodEvictionPolicy"];
  if (unhealthy.present()) check_choice(unhealthy, {"AlwaysAllow", "IfHealthyBudget"});
}

void create_budget(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_budget_spec(root["spec"]);
}

void update_budget(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_budget(object, errors);
}

void update_budget_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  check_conditions(status["conditions"]);
  for (const std::string_view counter : {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"}) {
    check_non_negative(status[counter]);
  }
}

}  // namespace

void append_rows(std::vector<Row>& rows, const std::vector<Row>& more) {
  rows.insert(rows.end(), more.begin(), more.end());
}

std::vector<Row> workload_rows() {
  std::vector<Row> rows = {
      {"policy", "poddisruptionbudgets", "", path_segment_name, create_budget, update_budget},
      {"policy", "poddisruptionbudgets", "status", nullptr, nullptr, update_budget_status},
  };
  for (auto* group : {apps_rows, batch_rows, autoscaling_rows}) append_rows(rows, group());
  return rows;
}

}  // namespace kayak::api::validation
