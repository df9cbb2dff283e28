// bootstrap_flowcontrol.cc: the rows of flow control, and their documents.
#include "api/bootstrap_flowcontrol.h"

#include <array>
#include <string_view>

#include "base/strings.h"

namespace kayak::api {

namespace {

struct LevelRow {
  std::string_view name;
  bool mandatory, exempt, queues;
  int shares, lendable_percent;
  int queue_count, hand_size, queue_length;
};
constexpr std::array kLevels = {
    LevelRow{"exempt", true, true, false, 0, 0, 0, 0, 0},
    LevelRow{"catch-all", true, false, false, 5, 0, 0, 0, 0},
    LevelRow{"system", false, false, true, 30, 33, 64, 6, 50},
    LevelRow{"node-high", false, false, true, 40, 25, 64, 6, 50},
    LevelRow{"leader-election", false, false, true, 10, 0, 16, 4, 50},
    LevelRow{"workload-high", false, false, true, 40, 50, 128, 6, 50},
    LevelRow{"workload-low", false, false, true, 100, 90, 128, 6, 50},
    LevelRow{"global-default", false, false, true, 20, 50, 128, 6, 50},
};

// Which requests a schema is about.
enum class Match : std::uint8_t { kAll, kProbes, kLeases, kNodes };

struct SchemaRow {
  std::string_view name;
  bool mandatory;
  std::string_view level;
  int precedence;
  std::string_view distinguisher;  // "", "ByUser", "ByNamespace"
  std::string_view groups, users;  // comma separated
  bool system_accounts;            // the service accounts of kube-system
  Match match;
};
constexpr std::array kSchemas = {
    SchemaRow{"exempt", true, "exempt", 1, "", "system:masters", "", false, Match::kAll},
    SchemaRow{"catch-all", true, "catch-all", 10000, "ByUser", "system:unauthenticated,system:authenticated", "", false,
              Match::kAll},
    SchemaRow{"probes", false, "exempt", 2, "", "system:unauthenticated,system:authenticated", "", false,
              Match::kProbes},
    SchemaRow{"system-leader-election", false, "leader-election", 100, "ByUser", "",
              "system:kube-controller-manager,system:kube-scheduler", true, Match::kLeases},
    SchemaRow{"system-node-high", false, "node-high", 400, "ByUser", "system:nodes", "", false, Match::kNodes},
    SchemaRow{"system-nodes", false, "system", 500, "ByUser", "system:nodes", "", false, Match::kAll},
    SchemaRow{"kube-controller-manager", false, "workload-high", 800, "ByNamespace", "",
              "system:kube-controller-manager", false, Match::kAll},
    SchemaRow{"kube-scheduler", false, "workload-high", 800, "ByNamespace", "", "system:kube-scheduler", false,
              Match::kAll},
    SchemaRow{"kube-system-service-accounts", false, "workload-high", 900, "ByNamespace", "", "", true, Match::kAll},
    SchemaRow{"service-accounts", false, "workload-low", 9000, "ByUser", "system:serviceaccounts", "", false,
              Match::kAll},
    SchemaRow{"global-default", false, "global-default", 9900, "ByUser", "system:unauthenticated,system:authenticated",
              "", false, Match::kAll},
};

json::Array texts(std::string_view list) {
  json::Array out;
  for (std::string_view item : split(list, ',')) out.emplace_back(item);
  return out;
}

json::Value named(std::string_view name) {
  json::Value document;
  document["metadata"]["name"] = name;
  document["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "true";
  return document;
}

json::Value level_document(const LevelRow& row) {
  json::Value document = named(row.name);
  json::Value& spec = document["spec"];
  spec["type"] = row.exempt ? "Exempt" : "Limited";
  json::Value& part = spec[row.exempt ? "exempt" : "limited"];
  part["nominalConcurrencyShares"] = row.shares;
  part["lendablePercent"] = row.lendable_percent;
  if (row.exempt) return document;
  json::Value& response = part["limitResponse"];
  response["type"] = row.queues ? "Queue" : "Reject";
  if (row.queues) {
    response["queuing"]["queues"] = row.queue_count;
    response["queuing"]["handSize"] = row.hand_size;
    response["queuing"]["queueLengthLimit"] = row.queue_length;
  }
  return document;
}

json::Array subjects_of(const SchemaRow& row) {
  json::Array subjects;
  auto add = [&](std::string_view kind, std::string_view member, std::string_view list) {
    if (list.empty()) return;
    for (std::string_view name : split(list, ',')) {
      json::Value subject;
      subject["kind"] = kind;
      subject[member]["name"] = name;
      subjects.push_back(std::move(subject));
    }
  };
  add("Group", "group", row.groups);
  add("User", "user", row.users);
  if (row.system_accounts) {
    json::Value subject;
    subject["kind"] = "ServiceAccount";
    subject["serviceAccount"]["namespace"] = "kube-system";
    subject["serviceAccount"]["name"] = "*";
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

json::Value resource_rule(std::string_view verbs, std::string_view groups, std::string_view resources,
                          bool cluster_scope) {
  json::Value rule;
  rule["verbs"] = texts(verbs);
  rule["apiGroups"] = texts(groups);
  rule["resources"] = texts(resources);
  if (cluster_scope) rule["clusterScope"] = true;
  rule["namespaces"] = texts("*");
  return rule;
}

json::Value path_rule(std::string_view verbs, std::string_view paths) {
  json::Value rule;
  rule["verbs"] = texts(verbs);
  rule["nonResourceURLs"] = texts(paths);
  return rule;
}

json::Value rules_of(const SchemaRow& row) {
  json::Value rules;
  rules["subjects"] = subjects_of(row);
  switch (row.match) {
    case Match::kAll:
      rules["resourceRules"] = json::Array{resource_rule("*", "*", "*", true)};
      rules["nonResourceRules"] = json::Array{path_rule("*", "*")};
      break;
    case Match::kProbes:
      rules["nonResourceRules"] = json::Array{path_rule("get", "/healthz,/readyz,/livez")};
      break;
    case Match::kLeases:
      rules["resourceRules"] = json::Array{resource_rule("get,create,update", "coordination.k8s.io", "leases", false)};
      break;
    case Match::kNodes:
      rules["resourceRules"] = json::Array{resource_rule("*", "", "nodes,nodes/status", true),
                                           resource_rule("*", "coordination.k8s.io", "leases", false)};
      break;
  }
  return rules;
}

json::Value schema_document(const SchemaRow& row) {
  json::Value document = named(row.name);
  json::Value& spec = document["spec"];
  spec["priorityLevelConfiguration"]["name"] = row.level;
  spec["matchingPrecedence"] = row.precedence;
  if (!row.distinguisher.empty()) spec["distinguisherMethod"]["type"] = row.distinguisher;
  spec["rules"] = json::Array{rules_of(row)};
  return document;
}

}  // namespace

std::vector<BootstrapObject> flow_control_objects() {
  std::vector<BootstrapObject> objects;
  for (const LevelRow& row : kLevels) {
    objects.push_back(BootstrapObject{&kinds::priority_level_configurations(), level_document(row), row.mandatory});
  }
  for (const SchemaRow& row : kSchemas) {
    objects.push_back(BootstrapObject{&kinds::flow_schemas(), schema_document(row), row.mandatory});
  }
  return objects;
}

}  // namespace kayak::api
