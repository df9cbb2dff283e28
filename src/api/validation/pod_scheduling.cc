// pod_scheduling.cc: affinity, tolerations and topology spread.
// Source: kubernetes pkg/apis/core/validation validateAffinity, ValidateTolerations,
// validateTopologySpreadConstraints (v1.36).
#include <unordered_map>

#include "api/validation/checked.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kNotOperator = "not a valid selector operator";

void check_expression(const json::Value& expression, bool any_value, const field::Path& path,
                      field::ErrorList& errors) {
  const std::string_view op = text(expression, "operator");
  const auto values = list(expression, "values");
  if (op == "In" || op == "NotIn") {
    if (values.empty()) {
      errors.push_back(field::required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
    }
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!values.empty()) {
      errors.push_back(
          field::forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
  } else if (op == "Gt" || op == "Lt") {
    if (values.size() != 1) {
      errors.push_back(
          field::required(path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"));
    }
  } else {
    errors.push_back(field::invalid(path.child("operator"), json::Value(op), kNotOperator));
  }
  check_text(text(expression, "key"), qualified_name, path.child("key"), errors);
  if (any_value) return;
  for (std::size_t i = 0; i < values.size(); ++i) {
    check_text(values[i].string_or(), label_value, path.child("values").index(i), errors);
  }
}

void check_field_expression(const json::Value& expression, const field::Path& path, field::ErrorList& errors) {
  const std::string_view op = text(expression, "operator"), key = text(expression, "key");
  const auto values = list(expression, "values");
  if (op != "In" && op != "NotIn") {
    errors.push_back(field::invalid(path.child("operator"), json::Value(op), kNotOperator));
  } else if (values.size() != 1) {
    errors.push_back(field::required(
        path.child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
  }
  if (key != "metadata.name") {
    errors.push_back(field::invalid(path.child("key"), json::Value(key), "not a valid field selector key"));
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    check_text(values[i].string_or(), dns1123_subdomain, path.child("values").index(i), errors);
  }
}

void check_node_term(const json::Value& term, bool any_value, const field::Path& path, field::ErrorList& errors) {
  const auto expressions = list(term, "matchExpressions");
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    check_expression(expressions[i], any_value, path.child("matchExpressions").index(i), errors);
  }
  const auto fields = list(term, "matchFields");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    check_field_expression(fields[i], path.child("matchFields").index(i), errors);
  }
}

void check_weight(const json::Value& term, const field::Path& path, field::ErrorList& errors) {
  const std::int64_t weight = number(term, "weight");
  if (weight >= 1 && weight <= 100) return;
  errors.push_back(field::invalid(path.child("weight"), weight, "must be in the range 1-100"));
}

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

void check_node_affinity(const json::Value& affinity, const field::Path& path, field::ErrorList& errors) {
  if (const json::Value* required = get(affinity, kRequired)) {
    check_node_selector(*required, path.child(kRequired), errors);
  }
  const auto preferred = list(affinity, kPreferred);
  for (std::size_t i = 0; i < preferred.size(); ++i) {
    const field::Path own = path.child(kPreferred).index(i);
    check_weight(preferred[i], own, errors);
    // A value that no label can have only makes this preference useless.
    check_node_term(part(preferred[i], "preference"), true, own.child("preference"), errors);
  }
}

std::vector<std::string_view> texts(const json::Value& value, const char* name) {
  std::vector<std::string_view> out;
  for (const json::Value& item : list(value, name)) out.push_back(item.string_or());
  return out;
}

bool contains(const std::vector<std::string_view>& items, std::string_view item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

void check_label_keys(const json::Value& term, const char* name, const field::Path& path, field::ErrorList& errors) {
  const std::vector<std::string_view> keys = texts(term, name);
  if (keys.empty()) return;
  const field::Path own = path.child(name);
  if (get(term, "labelSelector") == nullptr) {
    errors.push_back(field::forbidden(own, "must not be specified when labelSelector is not set"));
    return;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) check_text(keys[i], qualified_name, own.index(i), errors);
}

// A key given both in matchLabelKeys and in the selector. The keys have been merged into the selector already, so that
// such a key is there twice.
void check_merged_keys(const json::Value& term, const field::Path& path, field::ErrorList& errors) {
  const std::vector<std::string_view> keys = texts(term, "matchLabelKeys");
  const json::Value* selector = get(term, "labelSelector");
  if (keys.empty() || selector == nullptr) return;
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < keys.size(); ++i) places.emplace(keys[i], i);
  Seen seen;
  for (const auto& [key, value] : members(*selector, "matchLabels")) seen.add(key);
  for (const json::Value& expression : list(*selector, "matchExpressions")) {
    const std::string_view key = text(expression, "key");
    const auto at = places.find(key);
    if (at != places.end() && seen.has(key)) {
      errors.push_back(
          field::invalid(path.index(at->second), json::Value(key), "exists in both matchLabelKeys and labelSelector"));
    }
    seen.add(key);
  }
}

void check_pod_term(const json::Value& term, const field::Path& path, field::ErrorList& errors) {
  validate_label_selector(get(term, "labelSelector"), path.child("labelSelector"), errors);
  validate_label_selector(get(term, "namespaceSelector"), path.child("namespaceSelector"), errors);
  for (const json::Value& name : list(term, "namespaces")) {
    check_text(name.string_or(), dns1123_label, path.child("namespace"), errors);
  }
  check_label_keys(term, "matchLabelKeys", path, errors);
  check_label_keys(term, "mismatchLabelKeys", path, errors);
  check_merged_keys(term, path, errors);
  const std::vector<std::string_view> keys = texts(term, "matchLabelKeys"), others = texts(term, "mismatchLabelKeys");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!contains(others, keys[i])) continue;
    errors.push_back(field::invalid(path.child("matchLabelKeys").index(i), json::Value(keys[i]),
                                    "exists in both matchLabelKeys and mismatchLabelKeys"));
  }
  const std::string_view topology = text(term, "topologyKey");
  if (topology.empty()) errors.push_back(field::required(path.child("topologyKey"), "can not be empty"));
  check_text(topology, qualified_name, path.child("topologyKey"), errors);
}

void check_pod_affinity(const json::Value& affinity, const field::Path& path, field::ErrorList& errors) {
  const auto required = list(affinity, kRequired);
  for (std::size_t i = 0; i < required.size(); ++i) {
    check_pod_term(required[i], path.child(kRequired).index(i), errors);
  }
  const auto preferred = list(affinity, kPreferred);
  for (std::size_t i = 0; i < preferred.size(); ++i) {
    const field::Path own = path.child(kPreferred).index(i);
    check_weight(preferred[i], own, errors);
    check_pod_term(part(preferred[i], "podAffinityTerm"), own.child("podAffinityTerm"), errors);
  }
}

void check_decimal(std::string_view value, const field::Path& path, field::ErrorList& errors) {
  std::int64_t parsed = 0;
  std::string_view digits = value;
  if (digits.starts_with('-')) digits.remove_prefix(1);
  const bool zero_first = digits.size() > 1 && digits.front() == '0';
  const bool decimal = !digits.empty() && !zero_first && value != "-0" &&
                       std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!decimal) {
    errors.push_back(field::invalid(path, json::Value(value), "must be a valid decimal integer in canonical form"));
  }
  if (parse_int64(value, &parsed)) return;
  errors.push_back(field::invalid(
      path, json::Value(value),
      cat("strconv.ParseInt: parsing ", quote(value), ": ", decimal ? "value out of range" : "invalid syntax")));
}

void check_toleration_value(const json::Value& toleration, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kOperators[] = {"Equal", "Exists"};
  const std::string_view op = text(toleration, "operator"), value = text(toleration, "value");
  const auto invalid = [&](std::string_view why) {
    errors.push_back(field::invalid(path.child("operator"), json::Value(value), why));
  };
  if (op.empty() || op == "Equal") {
    const Messages messages = label_value(value);
    if (!messages.empty()) invalid(join(messages, ";"));
  } else if (op == "Exists") {
    if (!value.empty()) invalid("value must be empty when `operator` is 'Exists'");
  } else if (op == "Lt" || op == "Gt") {
    check_decimal(value, path.child("value"), errors);
  } else {
    errors.push_back(field::not_supported(path.child("operator"), json::Value(op), kOperators));
  }
}

// ---- topology spread

void check_min_domains(const json::Value& constraint, const field::Path& path, field::ErrorList& errors) {
  const json::Value* domains = get(constraint, "minDomains");
  if (domains == nullptr) return;
  const std::string_view action = text(constraint, "whenUnsatisfiable");
  if (domains->int_or(0) <= 0) {
    errors.push_back(field::invalid(path.child("minDomains"), *domains, "must be greater than zero"));
  }
  if (action != "DoNotSchedule") {
    errors.push_back(field::invalid(path.child("minDomains"), *domains,
                                    cat("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ", action)));
  }
}

}  // namespace

void check_node_selector(const json::Value& selector, const field::Path& path, field::ErrorList& errors) {
  const auto terms = list(selector, "nodeSelectorTerms");
  const field::Path own = path.child("nodeSelectorTerms");
  if (terms.empty()) errors.push_back(field::required(own, "must have at least one node selector term"));
  for (std::size_t i = 0; i < terms.size(); ++i) check_node_term(terms[i], false, own.index(i), errors);
}

void check_affinity(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* affinity = get(spec, "affinity");
  if (affinity == nullptr) return;
  if (const json::Value* node = get(*affinity, "nodeAffinity")) {
    check_node_affinity(*node, path.child("nodeAffinity"), errors);
  }
  for (const char* name : {"podAffinity", "podAntiAffinity"}) {
    if (const json::Value* pod = get(*affinity, name)) check_pod_affinity(*pod, path.child(name), errors);
  }
}

void check_taint_effect(std::string_view effect, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kEffects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
  if (one_of(effect, kEffects)) return;
  errors.push_back(field::not_supported(path, json::Value(effect), kEffects));
}

void check_tolerations(std::span<const json::Value> tolerations, const field::Path& path, field::ErrorList& errors) {
  for (std::size_t i = 0; i < tolerations.size(); ++i) {
    const json::Value& toleration = tolerations[i];
    const field::Path own = path.index(i);
    const std::string_view key = text(toleration, "key"), op = text(toleration, "operator");
    const std::string_view effect = text(toleration, "effect");
    if (!key.empty()) {
      check_text(key, qualified_name, own.child("key"), errors);
    } else if (op != "Exists") {
      errors.push_back(
          field::invalid(own.child("operator"), json::Value(op),
                         "operator must be Exists when `key` is empty, which means \"match all values and all keys\""));
    }
    if (get(toleration, "tolerationSeconds") != nullptr && effect != "NoExecute") {
      errors.push_back(field::invalid(own.child("effect"), json::Value(effect),
                                      "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    check_toleration_value(toleration, own, errors);
    if (!effect.empty()) check_taint_effect(effect, own.child("effect"), errors);
  }
}

void check_topology_spread(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kActions[] = {"DoNotSchedule", "ScheduleAnyway"};
  constexpr std::string_view kPolicies[] = {"Honor", "Ignore"};
  const auto constraints = list(spec, "topologySpreadConstraints");
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    const json::Value& constraint = constraints[i];
    const field::Path own = path.index(i);
    const std::string_view key = text(constraint, "topologyKey"), action = text(constraint, "whenUnsatisfiable");
    const std::int64_t skew = number(constraint, "maxSkew");
    if (skew <= 0) errors.push_back(field::invalid(own.child("maxSkew"), skew, "must be greater than zero"));
    if (key.empty()) errors.push_back(field::required(own.child("topologyKey"), "can not be empty"));
    if (!one_of(action, kActions)) {
      errors.push_back(field::not_supported(own.child("whenUnsatisfiable"), json::Value(action), kActions));
    }
    for (const json::Value& later : constraints.subspan(i + 1)) {
      if (text(later, "topologyKey") != key || text(later, "whenUnsatisfiable") != action) continue;
      errors.push_back(
          field::duplicate(own.child("{topologyKey, whenUnsatisfiable}"), cat("{", key, ", ", action, "}")));
      break;
    }
    check_min_domains(constraint, own, errors);
    for (const char* name : {"nodeAffinityPolicy", "nodeTaintsPolicy"}) {
      const json::Value* policy = get(constraint, name);
      if (policy == nullptr || one_of(policy->string_or(), kPolicies)) continue;
      errors.push_back(field::not_supported(own.child(name), *policy, kPolicies));
    }
    check_label_keys(constraint, "matchLabelKeys", own, errors);
    check_merged_keys(constraint, own, errors);
    validate_label_selector(get(constraint, "labelSelector"), own.child("labelSelector"), errors);
  }
}

}  // namespace kayak::api::validation
