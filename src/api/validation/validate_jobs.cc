// validate_jobs.cc: the rules of a job's spec, of its own and in a cron job.
// Source: kubernetes pkg/apis/batch/validation, pkg/registry/batch/job (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxIndexedParallelism = 100'000;
constexpr std::int64_t kMaxFailedIndexes = 100'000;
// Above so many completions, failed indexes and parallelism are limited more, as the status would grow too long.
constexpr std::int64_t kManyCompletions = 100'000;
constexpr std::int64_t kMaxOfMany = 10'000;
constexpr std::size_t kMaxFailureRules = 20;
constexpr std::size_t kMaxExitCodes = 255;
constexpr std::size_t kMaxConditionPatterns = 20;
constexpr std::size_t kMaxSuccessRules = 20;
constexpr std::size_t kMaxSucceededIndexes = 64 * 1024;
constexpr std::size_t kMaxManagedBy = 63;

bool is_indexed(const Checked& spec) { return spec["completionMode"].text() == "Indexed"; }

void check_many_completions(const Checked& spec) {
  const Checked max_failed = spec["maxFailedIndexes"];
  const Checked parallelism = spec["parallelism"];
  const std::string words = cat("must be less than or equal to ", kMaxOfMany, " when completions are above ",
                                kManyCompletions, " and used with backoff limit per index");
  if (!max_failed.present()) {
    max_failed.required(cat("must be specified when completions is above ", kManyCompletions));
  }
  if (parallelism.number() > kMaxOfMany) parallelism.invalid(words);
  if (max_failed.number() > kMaxOfMany) max_failed.invalid(words);
}

void check_indexed(const Checked& spec) {
  const Checked completions = spec["completions"];
  const Checked parallelism = spec["parallelism"];
  const Checked max_failed = spec["maxFailedIndexes"];
  if (!completions.present()) completions.required("when completion mode is Indexed");
  if (parallelism.number() > kMaxIndexedParallelism) {
    parallelism.invalid(
        cat("must be less than or equal to ", kMaxIndexedParallelism, " when completion mode is Indexed"));
  }
  if (completions.present()) check_at_most(max_failed, completions, "must be less than or equal to completions");
  if (max_failed.number() > kMaxFailedIndexes) {
    max_failed.invalid(cat("must be less than or equal to ", kMaxFailedIndexes));
  }
  if (completions.number() > kManyCompletions && spec["backoffLimitPerIndex"].present()) check_many_completions(spec);
}

void check_completion_mode(const Checked& spec) {
  const Checked mode = spec["completionMode"];
  if (mode.present()) check_choice(mode, {"NonIndexed", "Indexed"});
  if (is_indexed(spec)) check_indexed(spec);
  if (mode.present() && mode.text() != "NonIndexed") return;
  for (const std::string_view member : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
    const Checked field = spec[member];
    if (field.present()) field.invalid("requires indexed completion mode");
  }
}

// ---- failure policy

bool names_container(const json::Value& spec, std::string_view name) {
  for (const std::string_view list : {"containers", "initContainers"}) {
    const json::Value* containers = spec.at({"template", "spec", list});
    if (containers == nullptr || !containers->is_array()) continue;
    for (const json::Value& container : containers->as_array()) {
      const json::Value* own = container.find("name");
      if (own != nullptr && own->string_or() == name) return true;
    }
  }
  return false;
}

void check_exit_code_values(const Checked& values, bool is_in) {
  if (values.size() == 0) {
    values.invalid(json::Value(json::Array()), "at least one value is required");
  } else if (values.size() > kMaxExitCodes) {
    return values.too_many(kMaxExitCodes);
  }
  bool ordered = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Checked value = values.item(i);
    if (is_in && value.number() == 0) value.invalid("must not be 0 for the In operator");
    bool repeated = false;
    for (std::size_t j = 0; j < i && !repeated; ++j) repeated = values.item(j).number() == value.number();
    if (repeated) value.duplicate();
    if (i > 0 && values.item(i - 1).number() > value.number()) ordered = false;
  }
  if (!ordered) values.invalid("must be ordered");
}

void check_exit_codes(const Checked& rule, const json::Value& spec) {
  const Checked op = rule["operator"];
  if (op.text().empty()) {
    op.required("valid values: [\"In\" \"NotIn\"]");
  } else {
    check_choice(op, {"In", "NotIn"});
  }
  const Checked container = rule["containerName"];
  if (container.present() && !names_container(spec, container.text())) {
    container.invalid("must be one of the container or initContainer names in the pod template");
  }
  check_exit_code_values(rule["values"], op.text() == "In");
}

void check_pod_conditions(const Checked& patterns) {
  if (patterns.size() > kMaxConditionPatterns) patterns.too_many(kMaxConditionPatterns);
  each_item(patterns, [](const Checked& pattern) {
    check_name(pattern["type"], qualified_name);
    const Checked status = pattern["status"];
    if (status.text().empty()) {
      status.required("valid values: [\"False\" \"True\" \"Unknown\"]");
    } else {
      check_choice(status, {"False", "True", "Unknown"});
    }
  });
}

void check_failure_rule(const Checked& rule, const json::Value& spec) {
  const Checked action = rule["action"];
  if (action.text().empty()) {
    action.required("valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
  } else if (action.text() == "FailIndex") {
    if (same_value(spec.find("backoffLimitPerIndex"), nullptr)) {
      action.invalid("requires the backoffLimitPerIndex to be set");
    }
  } else {
    check_choice(action, {"Count", "FailIndex", "FailJob", "Ignore"});
  }
  const Checked codes = rule["onExitCodes"];
  const Checked conditions = rule["onPodConditions"];
  if (codes.present()) check_exit_codes(codes, spec);
  if (conditions.size() > 0) check_pod_conditions(conditions);
  if (codes.present() && conditions.size() > 0) {
    rule.invalid_omitting_value("specifying both OnExitCodes and OnPodConditions is not supported");
  }
  if (!codes.present() && conditions.size() == 0) {
    rule.invalid_omitting_value("specifying one of OnExitCodes and OnPodConditions is required");
  }
}

void check_failure_policy(const Checked& policy, const json::Value& spec) {
  const Checked rules = policy["rules"];
  if (rules.size() > kMaxFailureRules) return rules.too_many(kMaxFailureRules);
  each_item(rules, [&](const Checked& rule) { check_failure_rule(rule, spec); });
}

// ---- success policy

void check_success_rule(const Checked& rule, std::int64_t completions) {
  const Checked count = rule["succeededCount"];
  const Checked indexes = rule["succeededIndexes"];
  if (!count.present() && !indexes.present()) {
    rule.required("at least one of succeededCount or succeededIndexes must be specified");
  }
  JobIndexes read;
  if (indexes.present()) {
    if (indexes.text().size() > kMaxSucceededIndexes) indexes.too_long(kMaxSucceededIndexes);
    read = read_job_indexes(indexes.text(), completions);
    if (!read.error.empty()) indexes.invalid(cat("error parsing succeededIndexes: ", read.error));
  }
  if (!count.present()) return;
  check_non_negative(count);
  if (count.number() > completions) {
    count.invalid(cat("must be less than or equal to ", completions, " (the number of specified completions)"));
  }
  if (indexes.present() && count.number() > read.count) {
    count.invalid(cat("must be less than or equal to ", read.count,
                      " (the number of indexes in the specified succeededIndexes field)"));
  }
}

void check_success_policy(const Checked& spec) {
  const Checked policy = spec["successPolicy"];
  if (!policy.present()) return;
  if (!is_indexed(spec)) return policy.invalid("requires indexed completion mode");
  const Checked rules = policy["rules"];
  if (rules.size() == 0) rules.required("at least one rules must be specified when the successPolicy is specified");
  if (rules.size() > kMaxSuccessRules) rules.too_many(kMaxSuccessRules);
  const std::int64_t completions = spec["completions"].number();
  each_item(rules, [&](const Checked& rule) { check_success_rule(rule, completions); });
}

void check_replacement_policy(const Checked& spec) {
  const Checked policy = spec["podReplacementPolicy"];
  if (!policy.present()) return;
  if (spec["podFailurePolicy"].present()) {
    check_choice(policy, {"Failed"});
  } else {
    check_choice(policy, {"Failed", "TerminatingOrFailed"});
  }
}

void check_restart_policy(const Checked& spec) {
  const Checked pod_template = spec["template"];
  const Checked pod = pod_template["spec"];
  const Checked policy = pod["restartPolicy"];
  if (policy.text().empty() || policy.text() == "Always") {
    policy.required("valid values: \"OnFailure\", \"Never\"");
  } else if (policy.text() != "OnFailure" && policy.text() != "Never") {
    policy.not_supported({"OnFailure", "Never"});
  } else if (spec["podFailurePolicy"].present() && policy.text() != "Never") {
    policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
  }
}

// ---- a job of its own

void check_label_is(const Checked& labels, std::string_view key, std::string_view wanted) {
  const Checked label = labels.entry(key);
  if (!label.present()) {
    label.required(cat("must be '", wanted, "'"));
  } else if (label.text() != wanted) {
    label.invalid(labels.value(), cat("must be '", wanted, "'"));
  }
}

constexpr std::string_view kUidLabel = "batch.kubernetes.io/controller-uid";
constexpr std::string_view kNameLabel = "batch.kubernetes.io/job-name";
constexpr std::string_view kOldUidLabel = "controller-uid";
constexpr std::string_view kOldNameLabel = "job-name";

// The selector and the labels that the server makes must be there untouched, or two jobs could share pods.
void check_generated_selector(const Checked& root, bool needs_prefixed_labels) {
  const Checked spec = root["spec"];
  const Checked selector = spec["selector"];
  if (spec["manualSelector"].flag() || !selector.present()) return;
  const Checked metadata = root["metadata"];
  const Checked uid = metadata["uid"];
  const std::string_view name = metadata["name"].text();
  if (uid.text().empty()) uid.required();
  const Checked pod_template = spec["template"];
  const Checked template_metadata = pod_template["metadata"];
  const Checked labels = template_metadata["labels"];
  json::Object expected;
  check_label_is(labels, kOldUidLabel, uid.text());
  check_label_is(labels, kOldNameLabel, name);
  if (needs_prefixed_labels) {
    check_label_is(labels, kUidLabel, uid.text());
    check_label_is(labels, kNameLabel, name);
    expected.set(kUidLabel, uid.text());
    expected.set(kNameLabel, name);
  }
  expected.set(kOldUidLabel, uid.text());
  expected.set(kOldNameLabel, name);
  const json::Value wanted(std::move(expected));
  if (selector_matches(selector.get(), &wanted) == SelectorMatch::kNo)
    selector.invalid("`selector` not auto-generated");
}

void check_job_with_selector(const Checked& spec) {
  check_job_spec(spec);
  const Checked selector = spec["selector"];
  if (!selector.present()) {
    selector.required();
  } else {
    check_label_selector(selector);
  }
  const Checked pod_template = spec["template"];
  const Checked metadata = pod_template["metadata"];
  const Checked labels = metadata["labels"];
  if (selector_matches(selector.get(), labels.get()) == SelectorMatch::kNo) {
    labels.invalid("`selector` does not match template `labels`");
  }
}

void check_job(const Checked& root, bool needs_prefixed_labels) {
  check_generated_selector(root, needs_prefixed_labels);
  const Checked spec = root["spec"];
  check_job_with_selector(spec);
  const std::int64_t completions = spec["completions"].number();
  if (!is_indexed(spec) || completions <= 0) return;
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  const std::string last_host = cat(name.text(), "-", completions - 1);
  if (!dns1123_label(last_host).empty()) {
    name.invalid(cat("will not able to create pod with invalid DNS label: ", last_host));
  }
}

void create_job(const json::Value& object, field::ErrorList& errors) { check_job(Checked(object, errors), true); }

// ---- changes

// What of a suspended job's template may still change, taken over from the new one.
json::Value with_mutable_template(const json::Value& wanted, json::Value old) {
  const auto take = [&wanted](json::Value& into, std::string_view section, std::string_view member) {
    const json::Value* from = wanted.at({section, member});
    if (from != nullptr) {
      into[section][member] = *from;
    } else if (json::Value* target = into.find(section); target != nullptr && target->is_object()) {
      target->as_object().erase(member);
    }
  };
  take(old, "metadata", "labels");
  take(old, "metadata", "annotations");
  for (const std::string_view member : {"nodeSelector", "tolerations", "schedulingGates"}) take(old, "spec", member);
  const json::Value* affinity = wanted.at({"spec", "affinity"});
  const json::Value* node_affinity = wanted.at({"spec", "affinity", "nodeAffinity"});
  if (affinity != nullptr || old.at({"spec", "affinity"}) != nullptr) {
    json::Value& kept = old["spec"]["affinity"];
    if (!kept.is_object()) kept = json::Object();
    if (node_affinity != nullptr) {
      kept["nodeAffinity"] = *node_affinity;
    } else {
      kept.as_object().erase("nodeAffinity");
    }
    if (affinity == nullptr && kept.as_object().empty()) old["spec"].as_object().erase("affinity");
  }
  return old;
}

// Containers that keep their place and name may have other resources.
void take_resources(const json::Value& wanted, json::Value* old, std::string_view list) {
  const json::Value* from = wanted.find(list);
  json::Value* into = old->find(list);
  if (from == nullptr || into == nullptr || !from->is_array() || !into->is_array()) return;
  if (from->as_array().size() != into->as_array().size()) return;
  for (std::size_t i = 0; i < from->as_array().size(); ++i) {
    const json::Value& container = from->as_array()[i];
    json::Value& old_container = into->as_array()[i];
    if (!same_value(container.find("name"), old_container.find("name"))) continue;
    if (const json::Value* resources = container.find("resources"); resources != nullptr) {
      old_container["resources"] = *resources;
    } else if (old_container.is_object()) {
      old_container.as_object().erase("resources");
    }
  }
}

void check_template_change(const Checked& spec, const json::Value& old) {
  const Checked pod_template = spec["template"];
  const json::Value& old_template = object_at(object_at(old, "spec"), "template");
  if (same_value(pod_template.get(), &old_template)) return;
  const json::Value* suspend = old.at({"spec", "suspend"});
  const json::Value* active = old.at({"status", "active"});
  const bool not_started = same_value(old.at({"status", "startTime"}), nullptr);
  const bool may_change = suspend != nullptr && suspend->bool_or(false) &&
                          (not_started || has_condition(old, "Suspended", "True")) &&
                          (active == nullptr || active->int_or(0) == 0);
  if (!may_change) return pod_template.invalid("field is immutable");
  json::Value allowed = with_mutable_template(pod_template.value(), old_template);
  // Upstream compares only the pods here and names the place with a dot inside.
  const Checked pod = pod_template["spec"];
  json::Value& allowed_pod = allowed["spec"];
  take_resources(pod.value(), &allowed_pod, "containers");
  take_resources(pod.value(), &allowed_pod, "initContainers");
  check_immutable(pod, &allowed_pod);
}

void check_completions_change(const Checked& spec, const json::Value& old) {
  const Checked completions = spec["completions"];
  const json::Value* before = old.at({"spec", "completions"});
  if (!is_indexed(spec)) return check_immutable(completions, before);
  if (same_value(completions.get(), before) || !completions.present()) return;
  if (completions.number() != spec["parallelism"].number()) {
    completions.invalid("can only be modified in tandem with spec.parallelism");
  }
}

void update_job(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const json::Value* old_labels = old.at({"spec", "template", "metadata", "labels"});
  const bool had_prefixed =
      old_labels != nullptr && old_labels->find(kNameLabel) != nullptr && old_labels->find(kUidLabel) != nullptr;
  check_job(root, had_prefixed);
  const Checked spec = root["spec"];
  check_completions_change(spec, old);
  const json::Value& old_spec = object_at(old, "spec");
  check_immutable(spec["selector"], old_spec.find("selector"));
  check_template_change(spec, old);
  for (const std::string_view member :
       {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"}) {
    check_immutable(spec[member], old_spec.find(member));
  }
}

void no_rules(const json::Value&, const json::Value&, field::ErrorList&) {}

}  // namespace

void check_job_spec(const Checked& spec) {
  for (const std::string_view member : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                                        "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"}) {
    check_non_negative(spec[member]);
  }
  const Checked per_index = spec["backoffLimitPerIndex"];
  if (spec["maxFailedIndexes"].present() && !per_index.present()) {
    per_index.required("when maxFailedIndexes is specified");
  }
  const Checked manager = spec["managedBy"];
  if (manager.present()) {
    check_domain_prefixed_path(manager);
    if (manager.text().size() > kMaxManagedBy) manager.too_long(kMaxManagedBy);
  }
  check_completion_mode(spec);
  const Checked failure_policy = spec["podFailurePolicy"];
  if (failure_policy.present()) check_failure_policy(failure_policy, spec.value());
  check_success_policy(spec);
  check_replacement_policy(spec);
  const Checked pod_template = spec["template"];
  validate_pod_template_spec(object_at(spec.value(), "template"), pod_template.path(), spec.errors());
  check_restart_policy(spec);
}

std::vector<Row> batch_rows() {
  return {
      {"batch", "jobs", "", dns1123_subdomain, create_job, update_job},
      {"batch", "jobs", "status", nullptr, nullptr, update_job_status},
      {"batch", "cronjobs", "", dns1123_subdomain, create_cron_job, update_cron_job},
      {"batch", "cronjobs", "status", nullptr, nullptr, no_rules},
  };
}

}  // namespace kayak::api::validation
