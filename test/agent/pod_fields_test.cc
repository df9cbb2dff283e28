// Every field of a PodSpec has a place in the table, and refused ones keep a pod from starting.
#include "agent/runtime/pod_fields.h"

#include <catch2/catch.hpp>
#include <set>

#include "api/schema.h"
#include "base/strings.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using test::js;
using test::pod_with;
using test::pod_with_container;

const std::string kCore = "k8s.io.api.core.v1.";

// The fields of a message as its JSON shows them: those of inline messages in their place.
std::vector<const api::Field*> json_fields(const api::Message& message) {
  std::vector<const api::Field*> fields;
  for (const api::Field& field : message.fields) {
    if (!field.is_inline) {
      fields.push_back(&field);
      continue;
    }
    for (const api::Field* inner : json_fields(*field.message)) fields.push_back(inner);
  }
  return fields;
}

// A message of core/v1 is walked into; other types (quantities, times, selectors) are values here.
std::string core_message(const api::Field& field) {
  const bool core = field.type == api::FieldType::kMessage && field.message->name.substr(0, kCore.size()) == kCore;
  return core ? std::string(field.message->short_name()) : "";
}

const api::Message& core(std::string_view message) {
  const api::Message* found = api::find_message(cat(kCore, message));
  REQUIRE(found != nullptr);
  return *found;
}

TEST_CASE("pod fields: every field of the schema is honoured, harmless or refused") {
  std::set<std::string> seen;
  std::vector<std::string> todo = {"PodSpec"};
  std::size_t checked = 0;
  while (!todo.empty()) {
    const std::string message = todo.back();
    todo.pop_back();
    if (!seen.insert(message).second) continue;
    CAPTURE(message);
    for (const api::Field* field : json_fields(core(message))) {
      CAPTURE(field->json_name);
      const auto rule = pod_field_rule(message, field->json_name);
      REQUIRE(rule.has_value());
      ++checked;
      if (!rule->child.empty()) {
        CHECK(rule->child == core_message(*field));
        todo.push_back(core_message(*field));
      } else if (rule->treatment == Treatment::kHonoured) {
        CHECK(core_message(*field).empty());  // an honoured message names its own row
      }
    }
  }
  CHECK(checked > 150);
  // And the other way round: nothing in the table that the schema does not know.
  for (const PodFieldsRow& row : pod_fields()) {
    CAPTURE(row.message);
    CHECK(seen.count(std::string(row.message)) == 1);
    for (const std::string_view column : {row.honoured, row.harmless, row.refused}) {
      for (const std::string_view item : split(column, ' ')) {
        if (item.empty()) continue;
        const std::string_view name = item.substr(0, item.find_first_of(":="));
        CAPTURE(name);
        CHECK(core(row.message).find(name) != nullptr);
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
           Row{"{'imagePullSecrets':[{'name':'registry'}]}", ""},
           // Security 16 (CVE-2024-10220, CVE-2025-1767), 18 (CVE-2023-2431).
           Row{"{'volumes':[{'name':'v','gitRepo':{'repository':'r'}}]}", "spec.volumes[0].gitRepo"},
           Row{"{'securityContext':{'seccompProfile':{'type':'Localhost','localhostProfile':''}}}",
               "spec.securityContext.seccompProfile.type"},
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
