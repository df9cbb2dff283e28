// node_info.cc: see node_info.h.
#include "agent/node/node_info.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>

#include "base/files.h"
#include "base/quantity.h"
#include "base/strings.h"
#include "base/version.h"

namespace kayak::agent {

namespace {

constexpr int kMaxImages = 50;  // as upstream's nodeStatusMaxImages
constexpr std::int64_t kMaxPods = 110;

std::string first_line(const std::string& path) {
  Result<std::string> text = read_file(path, 64 * 1024);
  return text ? std::string(trim(text->substr(0, text->find('\n')))) : "";
}

// "MemTotal:  123 kB" of /proc/meminfo, in bytes.
std::uint64_t meminfo(const std::string& text, std::string_view key) {
  const std::size_t at = text.find(cat(key, ":"));
  if (at == std::string::npos) return 0;
  std::uint64_t value = 0;
  for (std::size_t i = at + key.size() + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] >= '0' && text[i] <= '9') value = value * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  return value * 1024;
}

std::string os_image(const std::string& root) {
  Result<std::string> text = read_file(root + "/etc/os-release", 64 * 1024);
  if (!text) return "Linux";
  for (std::string_view line : split(*text, '\n')) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (line.substr(0, kKey.size()) != kKey) continue;
    line.remove_prefix(kKey.size());
    if (line.size() >= 2 && line.front() == '"') line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return "Linux";
}

std::string go_architecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.rfind("arm", 0) == 0) return "arm";
  return machine;
}

std::pair<std::string, std::string> split_pair(const std::string& text) {
  const std::size_t equals = text.find('=');
  return equals == std::string::npos ? std::pair(text, std::string())
                                     : std::pair(text.substr(0, equals), text.substr(equals + 1));
}

json::Value resources(const MachineInfo& machine) {
  json::Value list = json::Value(json::Object());
  list["cpu"] = std::to_string(machine.cpus);
  list["ephemeral-storage"] = cat(machine.disk_bytes / 1024, "Ki");
  list["memory"] = cat(machine.memory_bytes / 1024, "Ki");
  list["pods"] = std::to_string(kMaxPods);
  for (const char* key : {"ephemeral-storage", "memory"}) {
    if (Result<Quantity> q = Quantity::parse(list.find(key)->as_string())) list[key] = q->to_string();
  }
  return list;
}

json::Value condition(const char* type, bool value, const std::string& reason, const std::string& message,
                      const json::Value* existing, WallTime now) {
  json::Value c = json::Value(json::Object());
  const char* status = value ? "True" : "False";
  c["type"] = type;
  c["status"] = status;
  c["lastHeartbeatTime"] = format_time(now);
  c["lastTransitionTime"] = format_time(now);
  c["reason"] = reason;
  c["message"] = message;
  for (const json::Value& old : existing && existing->is_array() ? existing->as_array() : json::Array()) {
    const json::Value* old_type = old.find("type");
    const json::Value* old_status = old.find("status");
    const json::Value* since = old.find("lastTransitionTime");
    if (old_type && old_status && since && old_type->string_or() == type && old_status->string_or() == status) {
      c["lastTransitionTime"] = *since;
    }
  }
  return c;
}

// Problem detectors and cloud controllers have conditions on a Node, too.
void keep_conditions_of_others(const json::Value* existing, json::Array& conditions) {
  const auto type_of = [](const json::Value& condition) {
    const json::Value* type = condition.find("type");
    return type ? std::string(type->string_or()) : std::string();
  };
  for (const json::Value& old : existing && existing->is_array() ? existing->as_array() : json::Array()) {
    const bool ours = std::any_of(conditions.begin(), conditions.end(),
                                  [&](const json::Value& condition) { return type_of(condition) == type_of(old); });
    if (!ours) conditions.push_back(old);
  }
}

}  // namespace

MachineInfo read_machine_info(const std::string& root, const std::string& data_dir) {
  MachineInfo info;
  utsname names{};
  ::uname(&names);
  info.hostname = to_lower(names.nodename);
  info.kernel_version = names.release;
  info.architecture = go_architecture(names.machine);
  info.machine_id = first_line(root + "/etc/machine-id");
  info.system_uuid = to_lower(first_line(root + "/sys/class/dmi/id/product_uuid"));
  if (info.system_uuid.empty()) info.system_uuid = info.machine_id;
  info.boot_id = first_line(root + "/proc/sys/kernel/random/boot_id");
  info.os_image = os_image(root);
  cpu_set_t set;
  CPU_ZERO(&set);
  info.cpus = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  if (Result<std::string> text = read_file(root + "/proc/meminfo", 64 * 1024)) {
    info.memory_bytes = meminfo(*text, "MemTotal");
    info.swap_bytes = meminfo(*text, "SwapTotal");
  }
  struct statvfs disk {};
  if (::statvfs(data_dir.c_str(), &disk) == 0)
    info.disk_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  return info;
}

MachinePressure read_pressure(const std::string& root, const std::string& data_dir) {
  MachinePressure pressure;
  if (Result<std::string> text = read_file(root + "/proc/meminfo", 64 * 1024)) {
    pressure.memory = meminfo(*text, "MemAvailable") < (100ull << 20);
  }
  struct statvfs disk {};
  if (::statvfs(data_dir.c_str(), &disk) == 0) {
    pressure.disk = disk.f_bavail * 10 < disk.f_blocks || (disk.f_files > 0 && disk.f_favail * 20 < disk.f_files);
  }
  std::int64_t limit = 0;
  if (parse_int64(first_line(root + "/proc/sys/kernel/pid_max"), &limit)) {
    // "0.10 0.20 0.30 1/234 5678": running/total threads.
    const std::string load = first_line(root + "/proc/loadavg");
    const std::size_t slash = load.find('/');
    std::int64_t threads = 0;
    if (slash != std::string::npos &&
        parse_int64(load.substr(slash + 1, load.find(' ', slash) - slash - 1), &threads)) {
      pressure.pids = threads * 10 > limit * 9;
    }
  }
  return pressure;
}

json::Value node_labels(const NodeConfig& config, const MachineInfo& machine) {
  json::Value labels = json::Value(json::Object());
  labels["beta.kubernetes.io/arch"] = machine.architecture;
  labels["beta.kubernetes.io/os"] = "linux";
  labels["kubernetes.io/arch"] = machine.architecture;
  labels["kubernetes.io/hostname"] = config.name;
  labels["kubernetes.io/os"] = "linux";
  if (config.control_plane) labels["node-role.kubernetes.io/control-plane"] = "true";
  for (const std::string& text : config.labels) {
    const auto [key, value] = split_pair(text);
    labels[key] = value;
  }
  return labels;
}

json::Value make_node(const NodeConfig& config, const MachineInfo& machine) {
  json::Value node = json::Value(json::Object());
  node["kind"] = "Node";
  node["apiVersion"] = "v1";
  node["metadata"]["name"] = config.name;
  node["metadata"]["labels"] = node_labels(config, machine);
  json::Array taints;
  for (const std::string& text : config.taints) {
    const std::size_t colon = text.rfind(':');
    const auto [key, value] = split_pair(text.substr(0, colon));
    json::Value taint = json::Value(json::Object());
    taint["key"] = key;
    if (!value.empty()) taint["value"] = value;
    taint["effect"] = text.substr(colon + 1);
    taints.push_back(std::move(taint));
  }
  if (!taints.empty()) node["spec"]["taints"] = json::Value(std::move(taints));
  return node;
}

json::Value node_status(const NodeConfig& config, const MachineInfo& machine, const MachinePressure& pressure,
                        const std::vector<NodeImage>& images, const json::Value* existing,
                        const std::string& ready_problem, WallTime now) {
  json::Value status = json::Value(json::Object());
  status["capacity"] = resources(machine);
  status["allocatable"] = resources(machine);
  json::Array conditions;
  conditions.push_back(pressure.memory ? condition("MemoryPressure", true, "KubeletHasInsufficientMemory",
                                                   "kubelet has insufficient memory available", existing, now)
                                       : condition("MemoryPressure", false, "KubeletHasSufficientMemory",
                                                   "kubelet has sufficient memory available", existing, now));
  conditions.push_back(pressure.disk ? condition("DiskPressure", true, "KubeletHasDiskPressure",
                                                 "kubelet has disk pressure", existing, now)
                                     : condition("DiskPressure", false, "KubeletHasNoDiskPressure",
                                                 "kubelet has no disk pressure", existing, now));
  conditions.push_back(pressure.pids ? condition("PIDPressure", true, "KubeletHasInsufficientPID",
                                                 "kubelet has insufficient PID available", existing, now)
                                     : condition("PIDPressure", false, "KubeletHasSufficientPID",
                                                 "kubelet has sufficient PID available", existing, now));
  conditions.push_back(ready_problem.empty()
                           ? condition("Ready", true, "KubeletReady", "kubelet is posting ready status", existing, now)
                           : condition("Ready", false, "KubeletNotReady", ready_problem, existing, now));
  if (!config.runtime_holes.empty()) {
    conditions.push_back(condition("RuntimeHasKnownHoles", true, "OldRuntimeVersion",
                                   cat(config.runtime_version, " is older than the fixes of ",
                                       join(config.runtime_holes, ", "), "; distributions may have closed them"),
                                   existing, now));
  }
  keep_conditions_of_others(existing, conditions);
  status["conditions"] = json::Value(std::move(conditions));
  json::Array addresses;
  auto add_address = [&addresses](const char* type, const std::string& address) {
    json::Value entry = json::Value(json::Object());
    entry["type"] = type;
    entry["address"] = address;
    addresses.push_back(std::move(entry));
  };
  for (const std::string& ip : config.ips) add_address("InternalIP", ip);
  add_address("Hostname", machine.hostname.empty() ? config.name : machine.hostname);
  status["addresses"] = json::Value(std::move(addresses));
  json::Value& info = status["nodeInfo"];
  info["machineID"] = machine.machine_id;
  info["systemUUID"] = machine.system_uuid;
  info["bootID"] = machine.boot_id;
  info["kernelVersion"] = machine.kernel_version;
  info["osImage"] = machine.os_image;
  info["containerRuntimeVersion"] = config.runtime_version;
  info["kubeletVersion"] = kVersion;
  info["kubeProxyVersion"] = "";
  info["operatingSystem"] = "linux";
  info["architecture"] = machine.architecture;
  info["swap"]["capacity"] = static_cast<std::int64_t>(machine.swap_bytes);
  std::vector<NodeImage> sorted = images;
  std::sort(sorted.begin(), sorted.end(), [](const NodeImage& a, const NodeImage& b) { return a.size > b.size; });
  json::Array list;
  for (const NodeImage& image : sorted) {
    if (list.size() >= kMaxImages) break;
    json::Value entry = json::Value(json::Object());
    json::Array image_names;
    for (const std::string& name : image.names) image_names.emplace_back(name);
    entry["names"] = json::Value(std::move(image_names));
    entry["sizeBytes"] = static_cast<std::int64_t>(image.size);
    list.push_back(std::move(entry));
  }
  if (!list.empty()) status["images"] = json::Value(std::move(list));
  return status;
}

}  // namespace kayak::agent
