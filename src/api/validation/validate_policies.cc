// validate_policies.cc: the rules of admission policies and their bindings. CEL expressions are looked at only for
// being there: what they say is for the engine that runs them. Source: kubernetes
// pkg/apis/admissionregistration/validation (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kGroup = "admissionregistration.k8s.io";
constexpr std::size_t kMaxAuditAnnotations = 20;
constexpr std::size_t kMaxAuditExpression = 5 * 1024;

void check_named_rule(const Checked& rule) {
  const Checked names = rule["resourceNames"];
  const Repeats repeated(names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Checked name = names.item(i);
    check_name(name, path_segment_name);
    if (repeated[i]) name.duplicate();
  }
  check_admission_rule(rule);
}

void check_param_kind(const Checked& kind) {
  const Checked version = kind["apiVersion"];
  const std::string_view text = version.text();
  const auto slashes = std::count(text.begin(), text.end(), '/');
  if (text.empty()) {
    version.required();
  } else if (slashes > 1) {
    version.invalid(cat("unexpected GroupVersion string: ", text));
  } else {
    const std::size_t slash = text.find('/');
    const std::string_view group = slash == std::string_view::npos ? std::string_view() : text.substr(0, slash);
    const std::string_view own = slash == std::string_view::npos ? text : text.substr(slash + 1);
    const Messages group_faults = group.empty() ? Messages() : dns1123_subdomain(group);
    if (!group_faults.empty()) version.invalid(group, join(group_faults, ","));
    const Messages own_faults = dns1035_label(own);
    if (own.empty()) {
      version.invalid("version must be specified");
    } else if (!own_faults.empty()) {
      version.invalid(own, join(own_faults, ","));
    }
  }
  const Checked name = kind["kind"];
  if (name.text().empty()) return name.required();
  const Messages faults = dns1035_label(to_lower(name.text()));
  if (!faults.empty()) name.invalid(cat("may have mixed case, but should otherwise match: ", join(faults, ",")));
}

void check_match_resources(const Checked& match) {
  const Checked policy = match["matchPolicy"];
  if (!policy.present()) {
    policy.required();
  } else {
    check_choice(policy, {"Equivalent", "Exact"});
  }
  for (const std::string_view member : {"namespaceSelector", "objectSelector"}) {
    const Checked selector = match[member];
    if (selector.present()) {
      check_label_selector(selector);
    } else {
      selector.required();
    }
  }
  each_item(match["resourceRules"], check_named_rule);
  each_item(match["excludeResourceRules"], check_named_rule);
}

// A mutating policy never sees a deletion.
void check_mutating_operations(const Checked& match) {
  const Checked rules = match["resourceRules"];
  const Checked place = rules["operations"];
  each_item(rules, [&](const Checked& rule) {
    each_item(rule["operations"], [&](const Checked& operation) {
      constexpr std::string_view kOperations[] = {"*", "CONNECT", "CREATE", "UPDATE"};
      if (std::find(std::begin(kOperations), std::end(kOperations), operation.text()) != std::end(kOperations)) return;
      match.errors().push_back(field::not_supported(place.path(), operation.value(), kOperations));
    });
  });
}

bool is_cel_identifier(std::string_view name) {
  return c_identifier(name).empty() &&
         !contains({"true",     "false",   "null",      "in",       "as",  "break",  "const",
                    "continue", "else",    "for",       "function", "if",  "import", "let",
                    "loop",     "package", "namespace", "return",   "var", "void",   "while"},
                   name);
}

void check_variables(const Checked& variables) {
  each_item(variables, [](const Checked& variable) {
    const Checked name = variable["name"];
    if (trim(name.text()).empty()) {
      name.required("name is not specified");
    } else if (!is_cel_identifier(name.text())) {
      name.invalid("must be a valid CEL identifier");
    }
    const Checked expression = variable["expression"];
    if (trim(expression.text()).empty()) expression.required("expression is not specified");
  });
}

void check_validation_rule(const Checked& rule) {
  const Checked expression = rule["expression"];
  if (trim(expression.text()).empty()) expression.required("expression is not specified");
  const Checked message_expression = rule["messageExpression"];
  if (!message_expression.text().empty() && trim(message_expression.text()).empty()) {
    message_expression.invalid("must be non-empty if specified");
  }
  const Checked message = rule["message"];
  const std::string_view text = trim(message.text());
  if (!message.text().empty() && text.empty()) {
    message.invalid("must be non-empty if specified");
  } else if (text.find_first_of("\r\n") != std::string_view::npos) {
    message.invalid("must not contain line breaks");
  }
  const Checked reason = rule["reason"];
  if (reason.present()) check_choice(reason, {"Forbidden", "Invalid", "RequestEntityTooLarge"});
}

void check_audit_annotations(const Checked& annotations, std::string_view policy) {
  if (annotations.size() > kMaxAuditAnnotations) {
    annotations.invalid(cat("must not have more than ", kMaxAuditAnnotations, " auditAnnotations"));
  }
  const Repeats repeated(annotations, "key");
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    const Checked annotation = annotations.item(i);
    const Checked key = annotation["key"];
    if (policy.empty()) {
      key.invalid(key.text(), "requires metadata.name be non-empty");
    } else {
      const std::string full = cat(policy, "/", key.text());
      key.invalid_each(full, qualified_name(full));
    }
    const Checked expression = annotation["valueExpression"];
    const std::string_view text = trim(expression.text());
    if (text.empty()) {
      expression.required("valueExpression is not specified");
    } else if (text.size() > kMaxAuditExpression) {
      expression.required(cat("must not exceed ", kMaxAuditExpression, " bytes in length"));
    }
    if (repeated[i]) key.duplicate(key.text());
  }
}

// What both kinds of policies say first.
void check_policy(const Checked& spec, const json::Value* old_spec) {
  const Checked failure = spec["failurePolicy"];
  if (!failure.present()) {
    failure.required();
  } else {
    check_choice(failure, {"Fail", "Ignore"});
  }
  const Checked kind = spec["paramKind"];
  if (kind.present()) check_param_kind(kind);
  const Checked match = spec["matchConstraints"];
  if (!match.present()) {
    match.required();
  } else {
    check_match_resources(match);
    if (match["resourceRules"].size() == 0) match["resourceRules"].required();
  }
  const Checked conditions = spec["matchConditions"];
  const bool unchanged = old_spec != nullptr && same_value(kind.get(), old_spec->find("paramKind")) &&
                         same_value(conditions.get(), old_spec->find("matchConditions"));
  if (!unchanged) check_match_conditions(conditions);
  check_variables(spec["variables"]);
}

void check_validating_policy(const Checked& root, const json::Value* old_spec) {
  const Checked spec = root["spec"];
  check_policy(spec, old_spec);
  const Checked rules = spec["validations"];
  const Checked annotations = spec["auditAnnotations"];
  if (rules.size() == 0 && annotations.size() == 0) {
    constexpr std::string_view kOne = "validations or auditAnnotations must contain at least one item";
    rules.required(kOne);
    annotations.required(kOne);
    return;
  }
  each_item(rules, check_validation_rule);
  const Checked metadata = root["metadata"];
  check_audit_annotations(annotations, metadata["name"].text());
}

struct PatchType {
  std::string_view type, member, other;
};
constexpr PatchType kPatchTypes[] = {{"JSONPatch", "jsonPatch", "applyConfiguration"},
                                     {"ApplyConfiguration", "applyConfiguration", "jsonPatch"}};

void check_mutation(const Checked& mutation) {
  const Checked type = mutation["patchType"];
  if (type.text().empty()) return type.required();
  for (const PatchType& row : kPatchTypes) {
    if (row.type != type.text()) continue;
    const Checked patch = mutation[row.member];
    if (!patch.present()) {
      patch.required(cat("must be specified when patchType is ", row.type));
    } else if (trim(patch["expression"].text()).empty()) {
      patch["expression"].required();
    }
    const Checked other = mutation[row.other];
    if (other.present()) {
      other.invalid(cat("{", row.other, "}"), cat("must not be specified when patchType is ", row.type));
    }
    return;
  }
  type.not_supported({"ApplyConfiguration", "JSONPatch"});
}

void check_mutating_policy(const Checked& root, const json::Value* old_spec) {
  const Checked spec = root["spec"];
  check_policy(spec, old_spec);
  check_mutating_operations(spec["matchConstraints"]);
  const Checked mutations = spec["mutations"];
  if (mutations.size() == 0) mutations.required("mutations must contain at least one item");
  each_item(mutations, check_mutation);
  const Checked reinvocation = spec["reinvocationPolicy"];
  if (reinvocation.text().empty()) {
    reinvocation.required();
  } else {
    check_choice(reinvocation, {"IfNeeded", "Never"});
  }
}

using PolicyCheck = void (*)(const Checked& root, const json::Value* old_spec);
template <PolicyCheck kCheck>
void create_policy(const json::Value& object, field::ErrorList& errors) {
  kCheck(Checked(object, errors), nullptr);
}
template <PolicyCheck kCheck>
void update_policy(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  kCheck(Checked(object, errors), &object_at(old, "spec"));
}

void update_policy_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  const Checked checking = status["typeChecking"];
  each_item(checking["expressionWarnings"], [](const Checked& warning) {
    if (warning["warning"].text().empty()) warning["warning"].required();
    if (trim(warning["fieldRef"].text()).empty()) warning["fieldRef"].required();
  });
  check_conditions(status["conditions"]);
}

// ---- bindings

void check_param_ref(const Checked& reference) {
  if (!reference.present()) return;
  const Checked name = reference["name"];
  const Checked selector = reference["selector"];
  constexpr std::string_view kOne = "name and selector are mutually exclusive";
  const bool has_name = !name.text().empty();
  if (has_name) check_name(name, path_segment_name);
  if (has_name && selector.present()) name.forbidden(kOne);
  check_label_selector(selector);
  if (has_name && selector.present()) selector.forbidden(kOne);
  if (!has_name && !selector.present()) reference.required("one of name or selector must be specified");
  const Checked action = reference["parameterNotFoundAction"];
  if (action.text().empty()) {
    action.required();
  } else {
    check_choice(action, {"Deny", "Allow"});
  }
}

void check_policy_binding(const Checked& spec) {
  check_required_name(spec["policyName"], dns1123_subdomain);
  check_param_ref(spec["paramRef"]);
  const Checked match = spec["matchResources"];
  if (match.present()) check_match_resources(match);
}

void create_validating_binding(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_policy_binding(spec);
  const Checked actions = spec["validationActions"];
  bool denies = false, warns = false;
  const Repeats repeated(actions);
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const Checked action = actions.item(i);
    check_choice(action, {"Audit", "Deny", "Warn"});
    if (repeated[i]) action.duplicate();
    denies = denies || action.text() == "Deny";
    warns = warns || action.text() == "Warn";
  }
  if (denies && warns) {
    actions.invalid(
        "must not contain both Deny and Warn (repeating the same validation failure information in the "
        "API response and headers serves no purpose)");
  }
  if (actions.size() == 0) actions.required("at least one validation action is required");
}

void update_validating_binding(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_validating_binding(object, errors);
}

void create_mutating_binding(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_policy_binding(spec);
  check_mutating_operations(spec["matchResources"]);
}

void update_mutating_binding(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_mutating_binding(object, errors);
}

}  // namespace

std::vector<Row> policy_rows() {
  return {
      {kGroup, "validatingadmissionpolicies", "", dns1123_subdomain, create_policy<check_validating_policy>,
       update_policy<check_validating_policy>},
      {kGroup, "validatingadmissionpolicies", "status", nullptr, nullptr, update_policy_status},
      {kGroup, "mutatingadmissionpolicies", "", dns1123_subdomain, create_policy<check_mutating_policy>,
       update_policy<check_mutating_policy>},
      {kGroup, "validatingadmissionpolicybindings", "", dns1123_subdomain, create_validating_binding,
       update_validating_binding},
      {kGroup, "mutatingadmissionpolicybindings", "", dns1123_subdomain, create_mutating_binding,
       update_mutating_binding},
  };
}

}  // namespace kayak::api::validation
