// pod_files.cc: the files that the node keeps for a pod.
#include "agent/runtime/pod_files.h"

#include <algorithm>

#include "agent/runtime/pod_doc.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::size_t kMaxNameservers = 3;  // resolvers read no more
constexpr std::size_t kMaxSearches = 32;    // upstream's limits since 1.28
constexpr std::size_t kMaxSearchBytes = 2048;

struct ResolvConf {
  std::vector<std::string> nameservers, searches, options;
};

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf out;
  for (const std::string_view raw : split(text, '\n')) {
    const std::string_view line = trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < line.size()) {
      const std::size_t start = line.find_first_not_of(" \t", at);
      if (start == std::string_view::npos) break;
      const std::size_t end = std::min(line.find_first_of(" \t", start), line.size());
      words.emplace_back(line.substr(start, end - start));
      at = end;
    }
    const std::string key = words.front();
    words.erase(words.begin());
    if (key == "nameserver" && !words.empty()) out.nameservers.push_back(words.front());
    if (key == "search" || key == "domain") out.searches = words;
    if (key == "options") out.options = words;
  }
  // "search ." says no search list at all.
  std::erase(out.searches, ".");
  return out;
}

void add_unique(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const std::string& item : from) {
    if (std::find(to.begin(), to.end(), item) == to.end()) to.push_back(item);
  }
}

// "ndots:5" replaces an earlier "ndots:1".
void set_option(std::vector<std::string>& options, const std::string& name, const std::string& value) {
  const std::string prefix = name + ":";
  std::erase_if(options,
                [&](const std::string& old) { return old == name || old.compare(0, prefix.size(), prefix) == 0; });
  options.push_back(value.empty() ? name : prefix + value);
}

std::string write_resolv_conf(ResolvConf conf) {
  if (conf.nameservers.size() > kMaxNameservers) conf.nameservers.resize(kMaxNameservers);
  if (conf.searches.size() > kMaxSearches) conf.searches.resize(kMaxSearches);
  std::string out;
  if (!conf.searches.empty()) {
    std::string line = conf.searches.front();
    for (std::size_t i = 1; i < conf.searches.size(); ++i) {
      if (line.size() + 1 + conf.searches[i].size() > kMaxSearchBytes) break;
      line += " " + conf.searches[i];
    }
    out += "search " + line + "\n";
  }
  for (const std::string& server : conf.nameservers) out += "nameserver " + server + "\n";
  if (!conf.options.empty()) out += "options " + join(conf.options, " ") + "\n";
  return out;
}

}  // namespace

PodHostname pod_hostname(const json::Value& pod, std::string_view cluster_domain) {
  constexpr std::size_t kMaxLabel = 63, kMaxUtsName = 64;
  PodHostname out;
  if (const std::string_view forced = text_at(pod, {"spec", "hostnameOverride"}); !forced.empty()) {
    out.hostname = out.short_name = forced.substr(0, kMaxUtsName);
    return out;
  }
  std::string_view name = text_at(pod, {"spec", "hostname"});
  if (name.empty()) {
    name = pod_name(pod).substr(0, kMaxLabel);
    while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.remove_suffix(1);
  }
  out.hostname = out.short_name = name;
  if (const std::string_view subdomain = text_at(pod, {"spec", "subdomain"}); !subdomain.empty()) {
    out.domain = cat(subdomain, ".", pod_namespace(pod), ".svc.", cluster_domain);
    const std::string full = cat(name, ".", out.domain);
    // A name that does not fit keeps the pod from starting upstream; check_pod refuses it with a message.
    if (bool_at(pod, {"spec", "setHostnameAsFQDN"}) && full.size() <= kMaxUtsName) out.hostname = full;
  }
  return out;
}

std::string pod_hosts_file(const json::Value& pod, const PodHostname& name, const std::vector<std::string>& pod_ips,
                           std::string_view node_hosts) {
  std::string out;
  if (host_network(pod)) {
    out = "# Kubernetes-managed hosts file (host network).\n";
    out += node_hosts;
    if (!out.empty() && out.back() != '\n') out += "\n";
  } else {
    out =
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n";
    for (const std::string& ip : pod_ips) {
      out += name.domain.empty() ? cat(ip, "\t", name.short_name, "\n")
                                 : cat(ip, "\t", name.short_name, ".", name.domain, "\t", name.short_name, "\n");
    }
  }
  const json::Array& aliases = items(pod.at({"spec", "hostAliases"}));
  if (!aliases.empty()) out += "\n# Entries added by HostAliases.\n";
  for (const json::Value& alias : aliases) {
    out += cat(text_at(alias, {"ip"}), "\t", join(strings(alias.find("hostnames")), "\t"), "\n");
  }
  return out;
}

std::string pod_resolv_conf(const json::Value& pod, const DnsInputs& in) {
  const std::string_view policy = text_at(pod, {"spec", "dnsPolicy"});
  const bool wants_cluster =
      policy == "ClusterFirstWithHostNet" || ((policy == "ClusterFirst" || policy.empty()) && !host_network(pod));
  ResolvConf conf;
  if (policy != "None") conf = parse_resolv_conf(in.node_resolv_conf);
  if (wants_cluster && !in.cluster_dns.empty()) {
    const std::vector<std::string> node_searches = conf.searches;
    conf.nameservers = in.cluster_dns;
    conf.searches = {cat(pod_namespace(pod), ".svc.", in.cluster_domain), cat("svc.", in.cluster_domain),
                     std::string(in.cluster_domain)};
    add_unique(conf.searches, node_searches);
    conf.options = {"ndots:5"};
  }
  if (const json::Value* extra = pod.at({"spec", "dnsConfig"}); extra != nullptr && extra->is_object()) {
    add_unique(conf.nameservers, strings(extra->find("nameservers")));
    add_unique(conf.searches, strings(extra->find("searches")));
    for (const json::Value& option : items(extra->find("options"))) {
      set_option(conf.options, std::string(text_at(option, {"name"})), std::string(text_at(option, {"value"})));
    }
  }
  return write_resolv_conf(std::move(conf));
}

bool only_loopback_resolvers(std::string_view resolv_conf) {
  const ResolvConf conf = parse_resolv_conf(resolv_conf);
  return !conf.nameservers.empty() &&
         std::all_of(conf.nameservers.begin(), conf.nameservers.end(),
                     [](const std::string& ip) { return ip.compare(0, 4, "127.") == 0 || ip == "::1"; });
}

}  // namespace kayak::agent
