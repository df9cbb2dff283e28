// Environment, users, resources and files of a pod: the pure inputs of a container.
#include <catch2/catch.hpp>

#include "agent/runtime/env.h"
#include "agent/runtime/pod_files.h"
#include "agent/runtime/resources.h"
#include "agent/runtime/users.h"
#include "base/strings.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using test::js;
using test::pod_with;
using test::pod_with_container;

TEST_CASE("env: $(VAR) expansion") {
  const EnvList env = {{"A", "1"}, {"B", "two"}, {"EMPTY", ""}};
  struct Row {
    std::string in, out;
  };
  for (const Row& row : {Row{"", ""}, Row{"plain", "plain"}, Row{"$(A)", "1"}, Row{"x$(A)y$(B)z", "x1ytwoz"},
                         Row{"$(NO)", "$(NO)"}, Row{"$$(A)", "$(A)"}, Row{"$$$(A)", "$1"}, Row{"$$$$(A)", "$$(A)"},
                         Row{"$A", "$A"}, Row{"$", "$"}, Row{"a$", "a$"}, Row{"$(A", "$(A"}, Row{"$(EMPTY)", ""},
                         Row{"$()", "$()"}, Row{"$($(A))", "$($(A))"}, Row{"100$", "100$"}, Row{"$$", "$"}}) {
    CAPTURE(row.in);
    CHECK(expand(row.in, env) == row.out);
  }
}

std::string env_text(const std::string& container, const EnvInputs& inputs) {
  const json::Value pod = pod_with_container(container);
  NodeCapacity node;
  node.milli_cpu = 4000;
  node.memory_bytes = 8LL << 30;
  const auto env = container_env(pod, pod.at({"spec", "containers"})->as_array()[0], inputs, node);
  if (!env) return "error: " + env.error().message();
  std::vector<std::string> out;
  for (const auto& [name, value] : *env) out.push_back(name + "=" + value);
  return join(out, " ");
}

TEST_CASE("env: sources") {
  EnvInputs inputs;
  inputs.config_maps["default/cm"] = test::shared(js("{'data':{'k':'v','bad=name':'x'}}"));
  inputs.secrets["default/s"] = test::shared(js("{'data':{'pw':'c2VjcmV0'}}"));
  inputs.services = {{"KUBERNETES_SERVICE_HOST", "10.43.0.1"}, {"X", "service"}};
  inputs.pod_ips = {"10.42.0.7", "fd00::7"};
  inputs.host_ips = {"192.168.1.5"};
  const std::string links = " KUBERNETES_SERVICE_HOST=10.43.0.1 X=service";
  struct Row {
    std::string container, out;
  };
  for (const Row& row : {
           Row{"'env':[{'name':'A','value':'1'},{'name':'B','value':'$(A)$(X)$(C)'},{'name':'C','value':'3'}]",
               "A=1 B=1service$(C) C=3" + links},
           Row{"'env':[{'name':'X','value':'mine'}]", "X=mine KUBERNETES_SERVICE_HOST=10.43.0.1"},
           Row{"'env':[{'name':'A','value':'1'},{'name':'A','value':'2'}]", "A=2" + links},
           Row{"'env':[{'name':'N','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}},"
               "{'name':'L','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels['app']'}}}]",
               "N=web L=web" + links},
           Row{"'env':[{'name':'I','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}},"
               "{'name':'S','valueFrom':{'fieldRef':{'fieldPath':'status.podIPs'}}},"
               "{'name':'H','valueFrom':{'fieldRef':{'fieldPath':'status.hostIP'}}}]",
               "I=10.42.0.7 S=10.42.0.7,fd00::7 H=192.168.1.5" + links},
           Row{"'env':[{'name':'I','valueFrom':{'fieldRef':{'fieldPath':'status.phase'}}}]",
               "error: unsupported fieldPath: status.phase"},
           Row{"'envFrom':[{'prefix':'P_','configMapRef':{'name':'cm'}},{'secretRef':{'name':'s'}}]",
               "P_k=v pw=secret" + links},
           Row{"'envFrom':[{'configMapRef':{'name':'gone','optional':true}}]",
               "KUBERNETES_SERVICE_HOST=10.43.0.1 X=service"},
           Row{"'envFrom':[{'configMapRef':{'name':'gone'}}]", "error: configmap \"gone\" not found"},
           Row{"'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'pw'}}}]", "A=secret" + links},
           Row{"'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'no'}}}]",
               "error: couldn't find key no in Secret default/s"},
           Row{"'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'no','optional':true}}}]",
               "KUBERNETES_SERVICE_HOST=10.43.0.1 X=service"},
           Row{"'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'t','key':'no'}}}]",
               "error: secret \"t\" not found"},
           Row{"'resources':{'limits':{'cpu':'1500m'},'requests':{'memory':'64Mi'}},'env':["
               "{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu'}}},"
               "{'name':'B','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'1m'}}},"
               "{'name':'C','valueFrom':{'resourceFieldRef':{'resource':'requests.memory','divisor':'1Mi'}}},"
               "{'name':'D','valueFrom':{'resourceFieldRef':{'resource':'limits.memory','divisor':'1Gi'}}}]",
               "A=2 B=1500 C=64 D=8" + links},
       }) {
    CAPTURE(row.container);
    std::string container = row.container;
    const std::size_t quoted = container.find("labels['app']");
    if (quoted != std::string::npos) {
      // The helper's quotes are JSON's: put the label's own in by their escape.
      container.replace(quoted, 13, "labels[\\u0027app\\u0027]");
    }
    CHECK(env_text(container, inputs) == row.out);
  }
}

TEST_CASE("env: what must be fetched") {
  const auto refs =
      env_references(js("{'envFrom':[{'configMapRef':{'name':'a','optional':true}}],'env':[{'name':'x','valueFrom':"
                        "{'configMapKeyRef':{'name':'a','key':'k'}}},{'name':'y','valueFrom':{'secretKeyRef':{'name':'"
                        "a','key':'k'}}}]}"));
  REQUIRE(refs.size() == 2);
  CHECK(refs[0].kind == EnvReference::Kind::kConfigMap);
  CHECK_FALSE(refs[0].optional);
  CHECK(refs[1].kind == EnvReference::Kind::kSecret);
}

const std::string kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n# "
    "note\nbroken\nnginx:x:101:102:n:/:/bin/false\nweb:x:1000:1000::/home/web:/bin/sh\n"
    "huge:x:99999999999:1::/:\n";
const std::string kGroup = "root:x:0:root\nnginx:x:102:\nlogs:x:4:nginx,web\nvideo:x:44:web\n";

std::string user_text(const std::string& image_user, const std::string& pod_sc, const std::string& container_sc) {
  const json::Value pod = pod_with("{'securityContext':{" + pod_sc + "},'containers':[{'name':'c','securityContext':{" +
                                   container_sc + "}}]}");
  const UserInputs in{pod, pod.at({"spec", "containers"})->as_array()[0], image_user, kPasswd, kGroup};
  const auto user = resolve_user(in);
  if (!user) return "error: " + user.error().message();
  std::vector<std::string> gids;
  for (const std::uint32_t gid : user->additional_gids) gids.push_back(std::to_string(gid));
  return cat(user->uid, ":", user->gid, " ", join(gids, ","));
}

TEST_CASE("users: who a container runs as") {
  const std::string who = "(pod: \"web_default(u-1)\", container: c)";
  struct Row {
    std::string image, pod, container, out;
  };
  for (const Row& row : {
           Row{"", "", "", "0:0 0"},
           Row{"nginx", "", "", "101:102 4,102"},
           Row{"nginx:logs", "", "", "101:4 4"},
           Row{"101", "", "", "101:102 4,102"},
           Row{"5000", "", "", "5000:0 0"},
           Row{"5000:6000", "", "", "5000:6000 6000"},
           Row{"nobody", "", "", "error: unable to find user nobody: no matching entries in passwd file"},
           Row{"nginx:none", "", "", "error: unable to find group none: no matching entries in group file"},
           Row{"huge", "", "", "error: unable to find user huge: no matching entries in passwd file"},
           Row{"nginx", "'runAsUser':1000", "", "1000:1000 4,44,1000"},
           Row{"nginx", "'runAsUser':1000,'runAsGroup':7", "", "1000:7 4,7,44"},
           Row{"nginx", "'runAsUser':1000", "'runAsUser':0", "0:0 0"},
           Row{"", "'supplementalGroups':[9,4,9],'fsGroup':2000", "", "0:0 0,4,9,2000"},
           Row{"web", "'supplementalGroupsPolicy':'Strict','supplementalGroups':[9]", "", "1000:1000 9,1000"},
           Row{"", "'runAsNonRoot':true", "", "error: container has runAsNonRoot and image will run as root " + who},
           Row{"0", "'runAsNonRoot':true", "", "error: container has runAsNonRoot and image will run as root " + who},
           Row{"nginx", "'runAsNonRoot':true", "",
               "error: container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is "
               "non-root " +
                   who},
           Row{"101", "'runAsNonRoot':true", "", "101:102 4,102"},
           Row{"nginx", "'runAsNonRoot':true", "'runAsUser':1000", "1000:1000 4,44,1000"},
           Row{"nginx", "'runAsNonRoot':true,'runAsUser':0", "",
               "error: container has runAsNonRoot and the container's runAsUser breaks non-root policy " + who},
           Row{"", "'runAsNonRoot':true", "'runAsNonRoot':false", "0:0 0"},
       }) {
    CAPTURE(row.image, row.pod, row.container);
    CHECK(user_text(row.image, row.pod, row.container) == row.out);
  }
}

TEST_CASE("users: hostile passwd files are read with limits (CVE-2026-47262)") {
  const json::Value pod = pod_with_container("");
  const json::Value& container = pod.at({"spec", "containers"})->as_array()[0];
  std::string group;
  for (int i = 0; i < 100'000; ++i) group += cat("g", i, ":x:", i + 10, ":root\n");
  const UserInputs in{pod, container, "", "root:x:0:0::/:\n", group};
  const auto user = resolve_user(in);
  REQUIRE(user.ok());
  CHECK(user->additional_gids.size() <= 257);

  const std::string line = std::string(3 << 20, 'a') + "\nlate:x:7:7::/:\n";
  const UserInputs beyond{pod, container, "late", line, ""};
  CHECK_FALSE(resolve_user(beyond).ok());
}

TEST_CASE("resources: QoS, cgroup numbers and oom scores") {
  struct Row {
    std::string resources;
    QosClass qos;
    CgroupLimits container, pod;
    int oom;
  };
  const auto limits = [](std::int64_t shares, std::int64_t quota, std::int64_t memory, std::int64_t pids) {
    CgroupLimits out;
    out.cpu_shares = shares;
    out.cpu_quota_micros = quota;
    out.memory_bytes = memory;
    out.pids = pids;
    return out;
  };
  const std::int64_t mi = 1 << 20;
  for (const Row& row : {
           Row{"{}", QosClass::kBestEffort, limits(2, -1, -1, -1), limits(2, -1, -1, 50), 1000},
           Row{"{'requests':{'cpu':'0'}}", QosClass::kBestEffort, limits(2, -1, -1, -1), limits(2, -1, -1, 50), 1000},
           Row{"{'limits':{'cpu':'500m','memory':'64Mi'},'requests':{'cpu':'500m','memory':'64Mi'}}",
               QosClass::kGuaranteed, limits(512, 50000, 64 * mi, -1), limits(512, 50000, 64 * mi, 50), -997},
           Row{"{'limits':{'cpu':1,'memory':'64Mi'}}", QosClass::kGuaranteed, limits(1024, 100000, 64 * mi, -1),
               limits(2, 100000, 64 * mi, 50), -997},
           Row{"{'requests':{'cpu':'100m','memory':'512Mi'}}", QosClass::kBurstable, limits(102, -1, -1, -1),
               limits(102, -1, -1, 50), 500},
           Row{"{'limits':{'cpu':'1m'}}", QosClass::kBurstable, limits(2, 1000, -1, -1), limits(2, 1000, -1, 50), 999},
       }) {
    CAPTURE(row.resources);
    const json::Value pod = pod_with_container("'resources':" + row.resources);
    const json::Value& container = pod.at({"spec", "containers"})->as_array()[0];
    CHECK(qos_class(pod) == row.qos);
    CHECK((container_limits(container) == row.container));
    CHECK((pod_limits(pod, 50) == row.pod));
    CHECK(oom_score_adj(pod, container, 1024 * mi) == row.oom);
  }
  CHECK(cpu_weight(2) == 1);
  CHECK(cpu_weight(1024) == 39);
  CHECK(cpu_weight(262144) == 10000);
}

TEST_CASE("resources: a pod is the sum of its containers or the peak of its init containers") {
  const json::Value pod = pod_with(
      "{'initContainers':[{'name':'i','resources':{'requests':{'cpu':'2'},'limits':{'cpu':'3'}}}],"
      "'containers':[{'name':'a','resources':{'requests':{'cpu':'500m'},'limits':{'cpu':'1'}}},"
      "{'name':'b','resources':{'requests':{'cpu':'250m'},'limits':{'cpu':'1'}}}]}");
  CHECK(pod_limits(pod, -1).cpu_shares == 2048);
  CHECK(pod_limits(pod, -1).cpu_quota_micros == 300000);
  const json::Value open = pod_with("{'containers':[{'name':'a','resources':{'limits':{'cpu':'1'}}},{'name':'b'}]}");
  CHECK(pod_limits(open, -1).cpu_quota_micros == -1);
}

TEST_CASE("pod files: host names") {
  struct Row {
    std::string spec, hostname, domain;
  };
  for (const Row& row : {Row{"{}", "web", ""}, Row{"{'hostname':'h'}", "h", ""},
                         Row{"{'hostname':'h','subdomain':'s'}", "h", "s.default.svc.cluster.local"},
                         Row{"{'subdomain':'s','setHostnameAsFQDN':true}", "web.s.default.svc.cluster.local",
                             "s.default.svc.cluster.local"},
                         Row{"{'hostnameOverride':'other.example','hostname':'h'}", "other.example", ""}}) {
    CAPTURE(row.spec);
    const PodHostname name = pod_hostname(pod_with(row.spec), "cluster.local");
    CHECK(name.hostname == row.hostname);
    CHECK(name.domain == row.domain);
  }
  json::Value pod = pod_with("{}");
  pod["metadata"]["name"] = std::string(62, 'a') + "-b";
  CHECK(pod_hostname(pod, "cluster.local").hostname == std::string(62, 'a'));
}

TEST_CASE("pod files: hosts") {
  const json::Value pod =
      pod_with("{'hostname':'h','subdomain':'s','hostAliases':[{'ip':'1.2.3.4','hostnames':['a','b']}]}");
  CHECK(pod_hosts_file(pod, pod_hostname(pod, "cluster.local"), {"10.42.0.5"}, "unused") ==
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
        "10.42.0.5\th.s.default.svc.cluster.local\th\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n");
  const json::Value host = pod_with("{'hostNetwork':true}");
  CHECK(pod_hosts_file(host, pod_hostname(host, "cluster.local"), {"192.168.1.5"}, "127.0.0.1 localhost") ==
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n");
}

TEST_CASE("pod files: resolv.conf") {
  DnsInputs in;
  in.node_resolv_conf = "# made by dhcp\nnameserver 192.168.1.1\nsearch lan\noptions ndots:1 edns0\n";
  in.cluster_dns = {"10.43.0.10"};
  in.cluster_domain = "cluster.local";
  const std::string cluster =
      "search default.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.43.0.10\noptions ndots:5\n";
  const std::string node = "search lan\nnameserver 192.168.1.1\noptions ndots:1 edns0\n";
  struct Row {
    std::string spec, out;
  };
  for (const Row& row :
       {Row{"{'dnsPolicy':'ClusterFirst'}", cluster}, Row{"{}", cluster}, Row{"{'dnsPolicy':'Default'}", node},
        Row{"{'dnsPolicy':'ClusterFirst','hostNetwork':true}", node},
        Row{"{'dnsPolicy':'ClusterFirstWithHostNet','hostNetwork':true}", cluster},
        Row{"{'dnsPolicy':'None','dnsConfig':{'nameservers':['1.1.1.1'],'searches':['x.y'],'options':[{'name':'edns0'},"
            "{'name':'ndots','value':'2'}]}}",
            "search x.y\nnameserver 1.1.1.1\noptions edns0 ndots:2\n"},
        Row{"{'dnsConfig':{'options':[{'name':'ndots','value':'2'}]}}",
            "search default.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.43.0.10\noptions "
            "ndots:2\n"}}) {
    CAPTURE(row.spec);
    CHECK(pod_resolv_conf(pod_with(row.spec), in) == row.out);
  }
  in.cluster_dns.clear();
  CHECK(pod_resolv_conf(pod_with("{}"), in) == node);
  CHECK(only_loopback_resolvers("nameserver 127.0.0.53\noptions edns0\n"));
  CHECK_FALSE(only_loopback_resolvers("nameserver 127.0.0.53\nnameserver 1.1.1.1\n"));
  CHECK_FALSE(only_loopback_resolvers(""));
}

}  // namespace
}  // namespace kayak::agent
