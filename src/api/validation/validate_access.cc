// validate_access.cc: the rows of who may do what and of what extends the API, and the rules of RBAC.
// Source: kubernetes pkg/apis/rbac/validation (v1.36).
#include "api/validation/validate_groups.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

void check_policy_rule(const Checked& rule, bool namespaced) {
  if (rule["verbs"].size() == 0) rule["verbs"].required("verbs must contain at least one value");
  const Checked paths = rule["nonResourceURLs"];
  if (paths.size() > 0) {
    if (namespaced) paths.invalid("namespaced rules cannot apply to non-resource URLs");
    if (rule["apiGroups"].size() + rule["resources"].size() + rule["resourceNames"].size() > 0) {
      paths.invalid("rules cannot apply to both regular resources and non-resource URLs");
    }
    return;
  }
  if (rule["apiGroups"].size() == 0) rule["apiGroups"].required("resource rules must supply at least one api group");
  if (rule["resources"].size() == 0) rule["resources"].required("resource rules must supply at least one resource");
}

void create_role(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  each_item(root["rules"], [](const Checked& rule) { check_policy_rule(rule, true); });
}

void update_role(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_role(object, errors);
}

void create_cluster_role(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  each_item(root["rules"], [](const Checked& rule) { check_policy_rule(rule, false); });
  const Checked aggregation = root["aggregationRule"];
  if (!aggregation.present()) return;
  const Checked selectors = aggregation["clusterRoleSelectors"];
  if (selectors.size() == 0) {
    selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil");
  }
  each_item(selectors, [](const Checked& selector) {
    check_label_selector(selector);
    if (selector_matches(selector.get(), nullptr) == SelectorMatch::kInvalid) {
      // Upstream shows the selector that it could not make.
      selector.invalid(json::Value(), "invalid label selector.");
    }
  });
}

void update_cluster_role(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_cluster_role(object, errors);
}

void check_rbac_group(const Checked& field) {
  if (field.text() != kGroup) field.not_supported({kGroup});
}

void check_subject(const Checked& subject, bool namespaced) {
  const Checked name = subject["name"];
  if (name.text().empty()) name.required();
  const Checked kind = subject["kind"];
  const Checked group = subject["apiGroup"];
  if (kind.text() == "ServiceAccount") {
    if (!name.text().empty()) check_name(name, dns1123_subdomain);
    if (!group.text().empty()) group.not_supported({""});
    const Checked name_space = subject["namespace"];
    if (!namespaced && name_space.text().empty()) name_space.required();
  } else if (kind.text() == "User" || kind.text() == "Group") {
    check_rbac_group(group);
  } else {
    kind.not_supported({"ServiceAccount", "User", "Group"});
  }
}

void check_binding(const Checked& root, bool namespaced) {
  const Checked role = root["roleRef"];
  check_rbac_group(role["apiGroup"]);
  if (namespaced) {
    check_choice(role["kind"], {"Role", "ClusterRole"});
  } else {
    check_choice(role["kind"], {"ClusterRole"});
  }
  check_required_name(role["name"], path_segment_name);
  each_item(root["subjects"], [&](const Checked& subject) { check_subject(subject, namespaced); });
}

template <bool kNamespaced>
void create_binding(const json::Value& object, field::ErrorList& errors) {
  check_binding(Checked(object, errors), kNamespaced);
}

template <bool kNamespaced>
void update_binding(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_binding(root, kNamespaced);
  if (!same_member(object, old, {"roleRef"})) root["roleRef"].invalid("cannot change roleRef");
}

}  // namespace

std::vector<Row> access_rows() {
  std::vector<Row> rows = {
      {kGroup, "roles", "", path_segment_name, create_role, update_role},
      {kGroup, "clusterroles", "", path_segment_name, create_cluster_role, update_cluster_role},
      {kGroup, "rolebindings", "", path_segment_name, create_binding<true>, update_binding<true>},
      {kGroup, "clusterrolebindings", "", path_segment_name, create_binding<false>, update_binding<false>},
  };
  for (auto* group : {certificate_rows, webhook_rows, policy_rows, custom_rows, flow_control_rows, device_rows}) {
    append_rows(rows, group());
  }
  return rows;
}

}  // namespace kayak::api::validation
