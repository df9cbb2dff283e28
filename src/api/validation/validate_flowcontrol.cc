// validate_flowcontrol.cc: the rules of flow schemas and priority levels.
// Source: kubernetes pkg/apis/flowcontrol/validation (v1.36).
#include <cmath>

#include "api/bootstrap_flowcontrol.h"
#include "api/defaults.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kGroup = "flowcontrol.apiserver.k8s.io";
constexpr std::string_view kExempt = "exempt";
constexpr std::int64_t kMaxPrecedence = 10'000;
constexpr std::int64_t kMaxQueues = 10'000'000;
// What a hand of queues may take of a request's 64 hash bits, so that the hands stay nearly equally likely.
constexpr int kMaxHashBits = 60;

std::string_view name_of(const Checked& root) {
  const Checked metadata = root["metadata"];
  return metadata["name"].text();
}

// The spec that the mandatory object of this name must have; null when none is mandatory.
const json::Value* mandatory_spec(const Kind& kind, std::string_view name) {
  static const std::vector<BootstrapObject> objects = [] {
    std::vector<BootstrapObject> made;
    for (BootstrapObject& object : flow_control_objects()) {
      if (!object.mandatory) continue;
      apply_defaults(*object.kind, object.document, WallTime());
      canonicalize(*object.kind->message, object.document);
      made.push_back(std::move(object));
    }
    return made;
  }();
  for (const BootstrapObject& object : objects) {
    if (object.kind == &kind && object.document.at({"metadata", "name"})->string_or() == name) {
      return object.document.find("spec");
    }
  }
  return nullptr;
}

bool has_wildcard(const Checked& list) {
  bool found = false;
  each_item(list, [&](const Checked& item) { found = found || item.text() == "*"; });
  return found;
}

// "*" stands alone.
void check_wildcard_alone(const Checked& list, std::string_view what) {
  if (list.size() > 1 && has_wildcard(list)) {
    list.invalid(cat("if '*' is present, must not specify other ", what));
  }
}

// ---- flow schemas

struct SubjectKind {
  std::string_view kind, member;
};
constexpr SubjectKind kSubjectKinds[] = {{"ServiceAccount", "serviceAccount"}, {"User", "user"}, {"Group", "group"}};

void check_service_account(const Checked& account) {
  const Checked name = account["name"];
  if (name.text().empty()) {
    name.required();
  } else if (name.text() != "*") {
    check_name(name, dns1123_subdomain);
  }
  const Checked name_space = account["namespace"];
  if (name_space.text().empty()) {
    name_space.required("must specify namespace for service account");
  } else {
    check_name(name_space, dns1123_label);
  }
}

void check_flow_subject(const Checked& subject) {
  const Checked kind = subject["kind"];
  if (!contains({"ServiceAccount", "User", "Group"}, kind.text())) {
    return kind.not_supported({"Group", "ServiceAccount", "User"});
  }
  for (const SubjectKind& row : kSubjectKinds) {
    if (row.kind != kind.text()) continue;
    const Checked member = subject[row.member];
    if (!member.present()) {
      member.required(cat(row.member, " is required when subject kind is '", row.kind, "'"));
    } else if (row.kind == "ServiceAccount") {
      check_service_account(member);
    } else if (member["name"].text().empty()) {
      member["name"].required();
    }
  }
  for (const SubjectKind& row : kSubjectKinds) {
    const Checked member = subject[row.member];
    if (row.kind != kind.text() && member.present()) {
      member.forbidden(cat(row.member, " is forbidden when subject kind is not '", row.kind, "'"));
    }
  }
}

void check_verbs(const Checked& verbs) {
  constexpr std::string_view kVerbs[] = {"create", "delete", "deletecollection", "get",  "list",
                                         "patch",  "proxy",  "update",           "watch"};
  if (verbs.size() == 0) return verbs.required("verbs must contain at least one value");
  if (has_wildcard(verbs)) return check_wildcard_alone(verbs, "verbs");
  bool known = true;
  each_item(verbs, [&](const Checked& verb) {
    known = known && std::find(std::begin(kVerbs), std::end(kVerbs), verb.text()) != std::end(kVerbs);
  });
  if (!known) verbs.not_supported(kVerbs);
}

std::string_view path_fault(std::string_view path) {
  if (path.empty()) return "must not be empty";
  if (path == "/") return "";
  if (!path.starts_with('/')) return "must start with slash";
  if (path.find(' ') != std::string_view::npos) return "must not contain white-space";
  if (path.find("//") != std::string_view::npos) return "must not contain double slash";
  const auto wildcards = std::count(path.begin(), path.end(), '*');
  if (wildcards > 1 || (wildcards == 1 && !path.ends_with("/*"))) return "wildcard can only do suffix matching";
  return "";
}

void check_path_rule(const Checked& rule) {
  check_verbs(rule["verbs"]);
  const Checked paths = rule["nonResourceURLs"];
  if (paths.size() == 0) return paths.required("nonResourceURLs must contain at least one value");
  if (has_wildcard(paths)) return check_wildcard_alone(paths, "non-resource URLs");
  each_item(paths, [](const Checked& path) {
    const std::string_view fault = path_fault(path.text());
    if (!fault.empty()) path.invalid(fault);
  });
}

void check_resource_rule(const Checked& rule) {
  check_verbs(rule["verbs"]);
  const Checked groups = rule["apiGroups"];
  if (groups.size() == 0) groups.required("resource rules must supply at least one api group");
  check_wildcard_alone(groups, "api groups");
  const Checked resources = rule["resources"];
  if (resources.size() == 0) resources.required("resource rules must supply at least one resource");
  check_wildcard_alone(resources, "resources");
  const Checked namespaces = rule["namespaces"];
  if (namespaces.size() == 0 && !rule["clusterScope"].flag()) {
    return namespaces.required("resource rules that are not cluster scoped must supply at least one namespace");
  }
  if (has_wildcard(namespaces)) return check_wildcard_alone(namespaces, "namespaces");
  each_item(namespaces, [](const Checked& name) {
    for (const std::string& message : dns1123_label(name.text())) {
      name.invalid(cat("each member of this list must be '*' or a DNS-1123 label; ", message));
    }
  });
}

void check_flow_rule(const Checked& rule) {
  const Checked subjects = rule["subjects"];
  if (subjects.size() == 0) subjects.required("subjects must contain at least one value");
  each_item(subjects, check_flow_subject);
  const Checked resources = rule["resourceRules"];
  const Checked paths = rule["nonResourceRules"];
  if (resources.size() == 0 && paths.size() == 0) {
    rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
  }
  each_item(resources, check_resource_rule);
  each_item(paths, check_path_rule);
}

void check_flow_conditions(const Checked& root) {
  const Checked status = root["status"];
  const Checked conditions = status["conditions"];
  const Repeats repeated(conditions, "type");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Checked condition = conditions.item(i);
    const Checked type = condition["type"];
    if (repeated[i]) type.duplicate(type.text());
    if (type.text().empty()) type.required();
  }
}

void create_flow_schema(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked precedence = spec["matchingPrecedence"];
  if (precedence.number() <= 0) precedence.invalid(precedence.number(), "must be a positive value");
  if (precedence.number() > kMaxPrecedence) precedence.invalid(cat("must not be greater than ", kMaxPrecedence));
  if (precedence.number() == 1 && name_of(root) != kExempt) {
    precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
  }
  const Checked method = spec["distinguisherMethod"];
  if (method.present() && !contains({"ByNamespace", "ByUser"}, method["type"].text())) {
    constexpr std::string_view kMethods[] = {"ByNamespace", "ByUser"};
    errors.push_back(field::not_supported(method.path().child("type"), method.value(), kMethods));
  }
  const Checked level = spec["priorityLevelConfiguration"];
  const Checked name = level["name"];
  if (name.text().empty()) {
    name.required("must reference a priority level");
  } else {
    check_name(name, dns1123_subdomain);
  }
  each_item(spec["rules"], check_flow_rule);
  const json::Value* fixed = mandatory_spec(kinds::flow_schemas(), name_of(root));
  if (fixed != nullptr && !same_value(fixed, spec.get())) {
    spec.invalid(cat("spec of '", name_of(root), "' must equal the fixed value"));
  }
  check_flow_conditions(root);
}

void update_flow_schema(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_flow_schema(object, errors);
}

void update_flow_status(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  check_flow_conditions(Checked(object, errors));
}

// ---- priority levels

void check_shares(const Checked& shares) {
  if (shares.number() < 0) shares.invalid("must be a non-negative integer");
}

void check_lendable(const Checked& percent) {
  if (percent.number() < 0 || percent.number() > 100) percent.invalid("must be between 0 and 100, inclusive");
}

void check_queuing(const Checked& queuing) {
  const Checked length = queuing["queueLengthLimit"];
  if (length.number() <= 0) length.invalid(length.number(), "must be positive");
  const Checked queues = queuing["queues"];
  if (queues.number() <= 0) {
    queues.invalid(queues.number(), "must be positive");
  } else if (queues.number() > kMaxQueues) {
    queues.invalid(cat("must not be greater than ", kMaxQueues));
  }
  const Checked hand = queuing["handSize"];
  if (hand.number() <= 0) return hand.invalid(hand.number(), "must be positive");
  if (hand.number() > queues.number()) {
    return hand.invalid(cat("should not be greater than queues (", queues.number(), ")"));
  }
  const double bits = std::ceil(std::log2(static_cast<double>(queues.number())) * static_cast<double>(hand.number()));
  if (bits > kMaxHashBits) {
    hand.invalid(cat("required entropy bits of deckSize ", queues.number(), " and handSize ", hand.number(),
                     " should not be greater than ", kMaxHashBits));
  }
}

void check_limit_response(const Checked& response) {
  const Checked type = response["type"];
  const Checked queuing = response["queuing"];
  if (type.text() == "Reject") {
    if (queuing.present()) queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
  } else if (type.text() != "Queue") {
    type.not_supported({"Queue", "Reject"});
  } else if (queuing.present()) {
    check_queuing(queuing);
  } else {
    queuing.required("must not be empty if limited.limitResponse.type is Limited");
  }
}

void check_limited(const Checked& limited) {
  check_shares(limited["nominalConcurrencyShares"]);
  check_limit_response(limited["limitResponse"]);
  check_lendable(limited["lendablePercent"]);
  const Checked borrowing = limited["borrowingLimitPercent"];
  if (borrowing.number() < 0) borrowing.invalid("if specified, must be a non-negative integer");
}

void check_level_spec(const Checked& spec, std::string_view name) {
  const Checked type = spec["type"];
  const Checked limited = spec["limited"];
  const Checked exempt = spec["exempt"];
  if ((name == kExempt) != (type.text() == "Exempt")) {
    type.invalid(type.text(), "must be 'Exempt' if and only if `name` is 'exempt'");
  }
  if (type.text() == "Exempt") {
    if (limited.present()) limited.forbidden("must be nil if the type is not Limited");
    check_shares(exempt["nominalConcurrencyShares"]);
    check_lendable(exempt["lendablePercent"]);
  } else if (type.text() == "Limited") {
    if (exempt.present()) exempt.forbidden("must be nil if the type is Limited");
    if (limited.present()) {
      check_limited(limited);
    } else {
      limited.required("must not be empty when type is Limited");
    }
  } else {
    type.not_supported({"Exempt", "Limited"});
  }
}

void check_mandatory_level(const Checked& spec, std::string_view name) {
  const json::Value* fixed = mandatory_spec(kinds::priority_level_configurations(), name);
  if (fixed == nullptr) return;
  if (name != kExempt) {
    if (!same_value(fixed, spec.get())) spec.invalid(cat("spec of '", name, "' must equal the fixed value"));
    return;
  }
  if (!same_member(*fixed, spec.value(), {"type"}) || spec["limited"].present()) {
    spec.invalid(cat("spec of '", name, "' except the 'spec.exempt' field must equal the fixed value"));
  }
}

void create_priority_level(const json::Value& object, field::ErrorList& errors) {
  constexpr std::string_view kZeroShares = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
  const Checked root(object, errors);
  const Checked metadata = root["metadata"];
  const Checked annotations = metadata["annotations"];
  if (annotations[kZeroShares].present()) annotations.forbidden(cat("annotation '", kZeroShares, "' is forbidden"));
  const Checked spec = root["spec"];
  check_level_spec(spec, name_of(root));
  check_mandatory_level(spec, name_of(root));
  check_flow_conditions(root);
}

void update_priority_level(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_priority_level(object, errors);
}

}  // namespace

std::vector<Row> flow_control_rows() {
  return {
      {kGroup, "flowschemas", "", dns1123_subdomain, create_flow_schema, update_flow_schema},
      {kGroup, "flowschemas", "status", nullptr, nullptr, update_flow_status},
      {kGroup, "prioritylevelconfigurations", "", dns1123_subdomain, create_priority_level, update_priority_level},
      {kGroup, "prioritylevelconfigurations", "status", nullptr, nullptr, update_flow_status},
  };
}

}  // namespace kayak::api::validation
