// Every field of a PodSpec has a place in the table, and refused ones keep a pod from starting.
#include "agent/runtime/pod_fields.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/strings.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using test::js;
using test::pod_with;
using test::pod_with_container;

struct SchemaField {
  std::string name, type;  // type: the message's short name, else empty
};

// Messages of core/v1 as JSON has them, from the shared fact table; inline messages flattened.
std::map<std::string, std::vector<SchemaField>> read_fact_table(std::istream& in) {
  const std::string core = "k8s.io.api.core.v1.";
  std::map<std::string, std::vector<SchemaField>> raw;
  std::string line;
  while (std::getline(in, line)) {
    const std::vector<std::string_view> cells = split(line, '\t');
    if (cells.size() < 6 || cells[0] != "k8s.io.api.core.v1") continue;
    SchemaField field;
    field.name = cells[2];
    if (cells[4].substr(0, core.size()) == core) field.type = cells[4].substr(core.size());
    raw[std::string(cells[1])].push_back(field);
  }
  std::map<std::string, std::vector<SchemaField>> flat;
  for (const auto& [message, fields] : raw) {
    for (const SchemaField& field : fields) {
      if (!field.name.empty()) {
        flat[message].push_back(field);
        continue;
      }
      for (const SchemaField& inner : raw[field.type]) flat[message].push_back(inner);
    }
  }
  return flat;
}

TEST_CASE("pod fields: every field of the schema is honoured, harmless or refused") {
  std::ifstream file("../shared/api/fields.tsv");
  if (!file) {
    WARN("skipped: ../shared/api/fields.tsv is not there");
    return;
  }
  const auto schema = read_fact_table(file);
  REQUIRE(schema.count("PodSpec") == 1);
  std::set<std::string> seen;
  std::vector<std::string> todo = {"PodSpec"};
  std::size_t checked = 0;
  while (!todo.empty()) {
    const std::string message = todo.back();
    todo.pop_back();
    if (!seen.insert(message).second) continue;
    CAPTURE(message);
    REQUIRE(schema.count(message) == 1);
    for (const SchemaField& field : schema.at(message)) {
      CAPTURE(field.name);
      const auto rule = pod_field_rule(message, field.name);
      REQUIRE(rule.has_value());
      ++checked;
      if (!rule->child.empty()) {
        CHECK(rule->child == field.type);
        todo.push_back(field.type);
      } else if (rule->treatment == Treatment::kHonoured) {
        CHECK(field.type.empty());  // an honoured message names its own row
      }
    }
  }
  CHECK(checked > 150);
  // And the other way round: nothing in the table that the schema does not know.
  for (const PodFieldsRow& row : pod_fields()) {
    CAPTURE(row.message);
    REQUIRE(schema.count(std::string(row.message)) == 1);
    CHECK(seen.count(std::string(row.message)) == 1);
    for (const std::string_view column : {row.honoured, row.harmless, row.refused}) {
      for (const std::string_view item : split(column, ' ')) {
        if (item.empty()) continue;
        const std::string name(item.substr(0, item.find_first_of(":=")));
        CAPTURE(name);
        bool known = false;
        for (const SchemaField& field : schema.at(std::string(row.message))) known = known || field.name == name;
        CHECK(known);
      }
    }
  }
}

TEST_CASE("pod fields: what keeps a pod from starting") {
  struct Row {
    std::string spec, refused;
  };
  for (const Row& row : {
           Row{"{'containers':[{'name':'c','image':'i'}]}", ""},
           Row{"{'containers':[{'name':'c','livenessProbe':{'exec':{'command':['x']}}}]}",
               "spec.containers[0].livenessProbe"},
           Row{"{'initContainers':[{'name':'i','restartPolicy':'Always'}]}", "spec.initContainers[0].restartPolicy"},
           Row{"{'containers':[{'name':'c','stdin':false,'tty':false}]}", ""},
           Row{"{'containers':[{'name':'c','tty':true}]}", "spec.containers[0].tty"},
           Row{"{'volumes':[{'name':'v','configMap':{'name':'x'}}]}", "spec.volumes[0].configMap"},
           Row{"{'volumes':[{'name':'v','emptyDir':{}},{'name':'h','hostPath':{'path':'/x','type':''}}]}", ""},
           Row{"{'volumes':[{'name':'v','emptyDir':{'medium':'Memory'}}]}", ""},
           Row{"{'volumes':[{'name':'v','emptyDir':{'medium':'HugePages'}}]}", "spec.volumes[0].emptyDir.medium"},
           Row{"{'hostUsers':true}", ""},
           Row{"{'hostUsers':false}", "spec.hostUsers"},
           Row{"{'os':{'name':'linux'}}", ""},
           Row{"{'os':{'name':'windows'}}", "spec.os.name"},
           Row{"{'tolerations':[{'key':'a'}],'affinity':{'nodeAffinity':{}},'schedulerName':'s'}", ""},
           Row{"{'containers':[{'name':'c','ports':[{'containerPort':80}]}]}", ""},
           Row{"{'containers':[{'name':'c','ports':[{'containerPort':80,'hostPort':80}]}]}",
               "spec.containers[0].ports[0].hostPort"},
           Row{"{'hostNetwork':true,'containers':[{'name':'c','ports':[{'containerPort':80,'hostPort':80}]}]}", ""},
           Row{"{'containers':[{'name':'c','volumeMounts':[{'name':'v','mountPath':'/v','mountPropagation':'None'}]}]}",
               ""},
           Row{"{'containers':[{'name':'c','volumeMounts':[{'name':'v','mountPath':'/v','subPath':'a'}]}]}",
               "spec.containers[0].volumeMounts[0].subPath"},
           Row{"{'securityContext':{'seccompProfile':{'type':'RuntimeDefault'}}}", ""},
           Row{"{'securityContext':{'seccompProfile':{'type':'Localhost','localhostProfile':'x.json'}}}",
               "spec.securityContext.seccompProfile.type,spec.securityContext.seccompProfile.localhostProfile"},
           Row{"{'containers':[{'name':'c','env':[{'name':'A','valueFrom':{'fileKeyRef':{'key':'k'}}}]}]}",
               "spec.containers[0].env[0].valueFrom.fileKeyRef"},
           Row{"{'fieldOfTheFuture':1}", "spec.fieldOfTheFuture"},
       }) {
    CAPTURE(row.spec);
    CHECK(join(refused_fields(pod_with(row.spec)), ",") == row.refused);
  }
}

TEST_CASE("pod fields: the refusal names reason and field") {
  RuntimeOptions options;
  CHECK_FALSE(check_pod_fields(pod_with_container(""), options).has_value());
  const auto refusal =
      check_pod_fields(pod_with_container("'lifecycle':{'preStop':{'exec':{'command':['x']}}}"), options);
  REQUIRE(refusal.has_value());
  CHECK(refusal->reason == "CreateContainerConfigError");
  CHECK(refusal->message == "this version of kayak does not support spec.containers[0].lifecycle yet");

  json::Value odd = pod_with_container("");
  odd["metadata"]["uid"] = "../../etc";
  CHECK(check_pod_fields(odd, options).has_value());
  odd["metadata"]["uid"] = "";
  CHECK(check_pod_fields(odd, options).has_value());
}

TEST_CASE("pod fields: sysctls (CVE-2022-0811)") {
  struct Row {
    std::string extra, name, value, message;
  };
  for (const Row& row : {
           Row{"", "net.ipv4.ip_unprivileged_port_start", "80", ""},
           Row{"", "net.ipv4.ping_group_range", "0 1000", ""},
           Row{"", "kernel.shm_rmid_forced", "1", ""},
           Row{"", "kernel.msgmax", "1", "forbidden sysctl: \"kernel.msgmax\" not allowlisted"},
           Row{"", "net.core.somaxconn", "1", ""},  // allowed by the options below
           Row{"", "kernel.core_pattern", "|/evil", "forbidden sysctl: \"kernel.core_pattern\" not allowlisted"},
           Row{"", "kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil",
               "forbidden sysctl: \"kernel.shm_rmid_forced\" has a value that is not acceptable"},
           Row{"", "net/../kernel/core_pattern", "1",
               "forbidden sysctl: \"net/../kernel/core_pattern\" not allowlisted"},
           Row{"'hostNetwork':true,", "net.ipv4.tcp_syncookies", "1",
               "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"},
           Row{"'hostIPC':true,", "kernel.shm_rmid_forced", "1",
               "forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled"},
       }) {
    CAPTURE(row.name, row.value);
    const json::Value pod = pod_with("{" + row.extra + "'securityContext':{'sysctls':[{'name':'" + row.name +
                                     "','value':'" + row.value + "'}]}}");
    const auto refusal = check_sysctls(pod, {"net.core.*"});
    CHECK((refusal ? refusal->message : "") == row.message);
    if (refusal) CHECK(refusal->reason == "SysctlForbidden");
  }
}

TEST_CASE("pod fields: a full host name that does not fit") {
  RuntimeOptions options;
  const std::string sub = "a-subdomain-that-is-rather-long-for-a-name";
  const auto refusal = check_pod_fields(pod_with("{'subdomain':'" + sub + "','setHostnameAsFQDN':true}"), options);
  REQUIRE(refusal.has_value());
  CHECK(refusal->message ==
        "Failed to construct FQDN from Pod hostname and cluster domain, FQDN web." + sub +
            ".default.svc.cluster.local is too long (64 characters is the max, 72 characters requested)");
}

}  // namespace
}  // namespace kayak::agent
