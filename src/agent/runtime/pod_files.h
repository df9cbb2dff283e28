// pod_files.h: host name, /etc/hosts and /etc/resolv.conf of a pod. Pure.
// Source: Kubernetes docs "DNS for Services and Pods", "Adding entries to Pod /etc/hosts"; resolv.conf(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace kayak::agent {

struct PodHostname {
  std::string hostname;  // what the UTS namespace says; at most 64 bytes
  std::string domain;    // "sub.ns.svc.cluster.local" or empty
  std::string short_name;
};
PodHostname pod_hostname(const json::Value& pod, std::string_view cluster_domain);

// `node_hosts`: the node's own file, the base for hostNetwork pods.
std::string pod_hosts_file(const json::Value& pod, const PodHostname& name, const std::vector<std::string>& pod_ips,
                           std::string_view node_hosts);

struct DnsInputs {
  std::string_view node_resolv_conf;
  std::vector<std::string> cluster_dns;  // empty: ClusterFirst falls back to the node's
  std::string_view cluster_domain;
};
std::string pod_resolv_conf(const json::Value& pod, const DnsInputs& in);
// Does this resolv.conf name only resolvers that a pod cannot reach (127.0.0.0/8, ::1)?
bool only_loopback_resolvers(std::string_view resolv_conf);

}  // namespace kayak::agent
