// sandbox.cc: a pod's place on its node.
#include "agent/runtime/sandbox.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "agent/runtime/mounts.h"
#include "agent/runtime/pod_doc.h"
#include "agent/runtime/volumes.h"
#include "base/files.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::int64_t kShmBytes = 64 << 20;

// What every pod with a network of its own gets, unless it says otherwise: low ports and ping without privileges.
constexpr std::pair<std::string_view, std::string_view> kDefaultSysctls[] = {
    {"net.ipv4.ip_unprivileged_port_start", "0"}, {"net.ipv4.ping_group_range", "0 2147483647"}};

Result<void> write_plain(const std::string& path, std::string_view content) {
  return replace_file(path, content, 0644);
}

std::string node_resolv_conf(const RuntimeOptions& options) {
  const std::string path = options.resolv_conf.empty() ? "/etc/resolv.conf" : options.resolv_conf;
  const Result<std::string> text = read_file(path, 64 << 10);
  if (!text) return std::string();
  // A stub resolver on 127.0.0.53 cannot be reached from a pod: systemd-resolved keeps the real list elsewhere.
  if (options.resolv_conf.empty() && only_loopback_resolvers(*text)) {
    if (const Result<std::string> upstream = read_file("/run/systemd/resolve/resolv.conf", 64 << 10)) return *upstream;
  }
  return *text;
}

bool same_sysctl(std::string_view written, std::string_view name) {
  return written.size() == name.size() && std::equal(written.begin(), written.end(), name.begin(),
                                                     [](char a, char b) { return (a == '/' ? '.' : a) == b; });
}

}  // namespace

PodPaths pod_paths(const RuntimeOptions& options, std::string_view uid, std::string_view namespace_,
                   std::string_view name) {
  PodPaths out;
  out.run = cat(options.run_dir, "/pods/", uid);
  out.shim = cat(options.run_dir, "/shim/", uid);
  out.kubelet = cat(options.kubelet_dir, "/pods/", uid);
  out.logs = cat(options.pod_log_dir, "/", namespace_, "_", name, "_", uid);
  return out;
}

json::Value to_json(const SandboxRecord& record) {
  json::Value out;
  out["uid"] = record.uid;
  out["namespace"] = record.namespace_;
  out["name"] = record.name;
  out["bootId"] = record.boot_id;
  out["hostname"] = record.hostname;
  out["cgroup"] = record.cgroup;
  out["hostNetwork"] = record.host_network;
  out["hostIPC"] = record.host_ipc;
  out["sharedPID"] = record.shared_pid;
  out["complete"] = record.complete;
  json::Array ips, volumes;
  for (const std::string& ip : record.ips) ips.emplace_back(ip);
  for (const VolumePath& volume : record.volumes) {
    json::Value item;
    item["name"] = volume.name;
    item["path"] = volume.host_path;
    volumes.push_back(std::move(item));
  }
  out["ips"] = std::move(ips);
  out["created"] = record.created.microseconds;
  out["volumes"] = std::move(volumes);
  return out;
}

Result<SandboxRecord> sandbox_from_json(const json::Value& value) {
  SandboxRecord out;
  out.uid = text_at(value, {"uid"});
  out.namespace_ = text_at(value, {"namespace"});
  out.name = text_at(value, {"name"});
  if (!is_path_segment(out.uid) || !is_path_segment(out.namespace_) || !is_path_segment(out.name)) {
    return Error(Code::kCorrupt, "a sandbox record without uid, namespace or name");
  }
  out.boot_id = text_at(value, {"bootId"});
  out.hostname = text_at(value, {"hostname"});
  out.cgroup = text_at(value, {"cgroup"});
  out.host_network = bool_at(value, {"hostNetwork"});
  out.host_ipc = bool_at(value, {"hostIPC"});
  out.shared_pid = bool_at(value, {"sharedPID"});
  out.complete = bool_at(value, {"complete"});
  out.ips = strings(value.find("ips"));
  if (const json::Value* created = value.find("created")) out.created.microseconds = created->int_or(0);
  for (const json::Value& item : items(value.find("volumes"))) {
    VolumePath volume;
    volume.name = text_at(item, {"name"});
    volume.host_path = text_at(item, {"path"});
    out.volumes.push_back(std::move(volume));
  }
  return out;
}

Result<void> save_record(const PodPaths& paths, const SandboxRecord& record) {
  return replace_file(paths.run + "/sandbox.json", json::write(to_json(record)), 0600);
}

std::string machine_boot_id() {
  const Result<std::string> id = read_file("/proc/sys/kernel/random/boot_id", 64);
  return id ? std::string(trim(*id)) : std::string();
}

SandboxPaths sandbox_paths(const PodPaths& paths, const SandboxRecord& record) {
  SandboxPaths out;
  if (!record.host_network) {
    out.net_ns = paths.run + "/net";
    out.uts_ns = paths.run + "/uts";
  }
  if (!record.host_ipc) out.ipc_ns = paths.run + "/ipc";
  if (record.shared_pid) out.pid_ns = paths.run + "/pid";
  out.shm = record.host_ipc ? "/dev/shm" : paths.run + "/shm";
  out.hosts = paths.kubelet + "/etc-hosts";
  out.hostname = paths.kubelet + "/hostname";
  out.resolv_conf = paths.kubelet + "/resolv.conf";
  return out;
}

std::vector<std::string> sandbox_helper_args(const json::Value& pod, const PodPaths& paths, const SandboxRecord& record,
                                             const std::vector<std::string>& init_groups) {
  std::vector<std::string> out = {"sandbox", paths.run};
  if (!record.host_network) {
    out.insert(out.end(), {"net", "uts", cat("hostname=", record.hostname)});
  }
  if (!record.host_ipc) out.insert(out.end(), {"ipc", cat("shm=", kShmBytes)});
  if (record.shared_pid) {
    out.push_back("pid");
    for (const std::string& file : init_groups) out.push_back(cat("cgroup=", file));
  }
  const json::Array& wanted = items(pod.at({"spec", "securityContext", "sysctls"}));
  for (const json::Value& sysctl : wanted) {
    std::string name(text_at(sysctl, {"name"}));
    std::replace(name.begin(), name.end(), '/', '.');
    out.push_back(cat("sysctl=", name, "=", text_at(sysctl, {"value"})));
  }
  for (const auto& [name, value] : kDefaultSysctls) {
    const bool set = std::any_of(wanted.begin(), wanted.end(), [name = name](const json::Value& sysctl) {
      return same_sysctl(text_at(sysctl, {"name"}), name);
    });
    if (!set && !record.host_network) out.push_back(cat("default-sysctl=", name, "=", value));
  }
  return out;
}

Result<void> prepare_sandbox(const json::Value& pod, const PodPaths& paths, const Cgroups& cgroups,
                             const RuntimeOptions& options, SandboxRecord& record) {
  for (const std::string* path : {&paths.run, &paths.shim}) {
    if (Result<void> made = make_directories(*path, 0700); !made) return made.error();
  }
  if (Result<void> saved = save_record(paths, record); !saved) return saved.error();
  // Readable by log shippers and tools that do not run as root.
  for (const std::string* path : {&paths.kubelet, &paths.logs}) {
    if (Result<void> made = make_directories(*path, 0755); !made) return made.error();
  }
  if (Result<void> made = cgroups.make_pod(record.cgroup, pod_limits(pod, options.pod_pids_limit)); !made)
    return made.error();
  Result<std::vector<VolumePath>> volumes = prepare_volumes(pod, paths.kubelet);
  if (!volumes) return volumes.error();
  record.volumes = std::move(*volumes);
  return Result<void>();
}

Result<void> write_pod_files(const json::Value& pod, const PodPaths& paths, const RuntimeOptions& options,
                             const SandboxRecord& record) {
  const PodHostname name = pod_hostname(pod, options.cluster_domain);
  const Result<std::string> node_hosts = read_file("/etc/hosts", 1 << 20);
  const std::string hosts = pod_hosts_file(pod, name, record.ips, node_hosts ? *node_hosts : std::string());
  if (Result<void> written = write_plain(paths.kubelet + "/etc-hosts", hosts); !written) return written.error();
  if (Result<void> written = write_plain(paths.kubelet + "/hostname", record.hostname + "\n"); !written)
    return written.error();
  const std::string node_resolv = node_resolv_conf(options);
  DnsInputs dns;
  dns.node_resolv_conf = node_resolv;
  dns.cluster_dns = options.cluster_dns;
  dns.cluster_domain = options.cluster_domain;
  return write_plain(paths.kubelet + "/resolv.conf", pod_resolv_conf(pod, dns));
}

bool sandbox_alive(const PodPaths& paths, const SandboxRecord& record) {
  if (!record.complete || record.boot_id != machine_boot_id()) return false;
  const SandboxPaths pins = sandbox_paths(paths, record);
  for (const std::string* pin : {&pins.net_ns, &pins.uts_ns, &pins.ipc_ns, &pins.pid_ns}) {
    if (!pin->empty() && !is_namespace(*pin)) return false;
  }
  return true;
}

void end_shim(const std::string& directory) {
  const Result<std::string> text = read_file(directory + "/lock", 64);
  std::int64_t pid = 0;
  if (!text || !parse_int64(trim(*text), &pid) || pid < 2) return;
  const Result<std::string> name = read_file(cat("/proc/", pid, "/comm"), 64);
  if (name && trim(*name) == "kayak-shim") ::kill(static_cast<pid_t>(pid), SIGKILL);
}

Result<void> remove_sandbox_files(const PodPaths& paths, const std::string& cgroup, const Cgroups& cgroups,
                                  bool keep_logs) {
  end_shim(paths.shim);
  // The control group first: whatever still runs (pid 1 of a shared namespace, too) dies with it.
  if (!cgroup.empty()) {
    if (Result<void> removed = cgroups.remove_tree(cgroup); !removed) return removed.error();
  }
  std::vector<const std::string*> trees = {&paths.shim, &paths.kubelet};
  if (!keep_logs) trees.push_back(&paths.logs);
  trees.push_back(&paths.run);  // last: it holds the record
  for (const std::string* tree : trees) {
    if (Result<void> removed = remove_tree(*tree); !removed) return removed.error();
  }
  return Result<void>();
}

}  // namespace kayak::agent
