// oci_config.cc: the OCI runtime configuration of one container.
#include "agent/runtime/oci_config.h"

#include <algorithm>

#include "agent/runtime/pod_doc.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::string_view kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr std::string_view kCapabilityNames[] = {"CAP_CHOWN",
                                                 "CAP_DAC_OVERRIDE",
                                                 "CAP_DAC_READ_SEARCH",
                                                 "CAP_FOWNER",
                                                 "CAP_FSETID",
                                                 "CAP_KILL",
                                                 "CAP_SETGID",
                                                 "CAP_SETUID",
                                                 "CAP_SETPCAP",
                                                 "CAP_LINUX_IMMUTABLE",
                                                 "CAP_NET_BIND_SERVICE",
                                                 "CAP_NET_BROADCAST",
                                                 "CAP_NET_ADMIN",
                                                 "CAP_NET_RAW",
                                                 "CAP_IPC_LOCK",
                                                 "CAP_IPC_OWNER",
                                                 "CAP_SYS_MODULE",
                                                 "CAP_SYS_RAWIO",
                                                 "CAP_SYS_CHROOT",
                                                 "CAP_SYS_PTRACE",
                                                 "CAP_SYS_PACCT",
                                                 "CAP_SYS_ADMIN",
                                                 "CAP_SYS_BOOT",
                                                 "CAP_SYS_NICE",
                                                 "CAP_SYS_RESOURCE",
                                                 "CAP_SYS_TIME",
                                                 "CAP_SYS_TTY_CONFIG",
                                                 "CAP_MKNOD",
                                                 "CAP_LEASE",
                                                 "CAP_AUDIT_WRITE",
                                                 "CAP_AUDIT_CONTROL",
                                                 "CAP_SETFCAP",
                                                 "CAP_MAC_OVERRIDE",
                                                 "CAP_MAC_ADMIN",
                                                 "CAP_SYSLOG",
                                                 "CAP_WAKE_ALARM",
                                                 "CAP_BLOCK_SUSPEND",
                                                 "CAP_AUDIT_READ",
                                                 "CAP_PERFMON",
                                                 "CAP_BPF",
                                                 "CAP_CHECKPOINT_RESTORE"};

constexpr std::string_view kMaskedPaths[] = {"/proc/acpi",
                                             "/proc/asound",
                                             "/proc/interrupts",
                                             "/proc/kcore",
                                             "/proc/keys",
                                             "/proc/latency_stats",
                                             "/proc/sched_debug",
                                             "/proc/scsi",
                                             "/proc/timer_list",
                                             "/proc/timer_stats",
                                             "/sys/devices/virtual/powercap",
                                             "/sys/firmware"};
constexpr std::string_view kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger"};

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

json::Array to_array(const std::vector<std::string>& texts) {
  json::Array out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

const json::Value* security_context(const OciInputs& in, std::string_view field) {
  return in.container.at({"securityContext", field});
}

// ---- process

// The container's words replace the image's: a command replaces entrypoint and cmd, args alone replace cmd.
Result<std::vector<std::string>> process_args(const OciInputs& in) {
  std::vector<std::string> out;
  const std::vector<std::string> command = strings(in.container.find("command"));
  const std::vector<std::string> args = strings(in.container.find("args"));
  if (!command.empty()) {
    for (const std::string& word : command) out.push_back(expand(word, in.env));
  } else {
    out = in.image.entrypoint;
    if (args.empty()) out.insert(out.end(), in.image.cmd.begin(), in.image.cmd.end());
  }
  for (const std::string& word : args) out.push_back(expand(word, in.env));
  if (out.empty()) return Error(Code::kInvalid, "no command specified");
  return out;
}

void put_env(std::vector<std::string>& env, std::string variable) {
  const std::string name = variable.substr(0, variable.find('='));
  for (std::string& old : env) {
    if (old.compare(0, old.find('='), name) == 0) {
      old = std::move(variable);
      return;
    }
  }
  env.push_back(std::move(variable));
}

std::vector<std::string> process_env(const OciInputs& in) {
  std::vector<std::string> env = {std::string(kDefaultPath), cat("HOSTNAME=", in.hostname)};
  for (const std::string& variable : in.image.env) put_env(env, variable);
  for (const auto& [name, value] : in.env) put_env(env, cat(name, "=", value));
  return env;
}

// CVE-2024-21626: a working directory must not reach through the runtime's own descriptors.
Result<std::string> working_directory(const OciInputs& in) {
  std::string_view wanted = text_at(in.container, {"workingDir"});
  if (wanted.empty()) wanted = in.image.working_dir;
  std::string path = clean_path(wanted);
  for (const std::string_view refused : {"/proc", "/dev/fd"}) {
    if (path == refused || path.compare(0, refused.size() + 1, cat(refused, "/")) == 0) {
      return Error(Code::kInvalid,
                   cat("working directory ", quote(wanted), " is not allowed: it lies below ", refused));
    }
  }
  return path;
}

// "NET_ADMIN", "CAP_NET_ADMIN", "net_admin" -> CAP_NET_ADMIN.
std::string canonical_capability(std::string_view name) {
  std::string out;
  for (const char c : name) out.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return out.compare(0, 4, "CAP_") == 0 ? out : "CAP_" + out;
}

Result<std::vector<std::string>> capabilities(const OciInputs& in) {
  if (is_privileged(in.container)) return in.host.capabilities;
  const std::vector<std::string> add = strings(in.container.at({"securityContext", "capabilities", "add"}));
  const std::vector<std::string> drop = strings(in.container.at({"securityContext", "capabilities", "drop"}));
  const auto all = [](const std::string& name) { return iequals(name, "ALL"); };
  std::vector<std::string> out = default_capabilities();
  if (std::any_of(add.begin(), add.end(), all)) out = in.host.capabilities;
  if (std::any_of(drop.begin(), drop.end(), all)) out.clear();
  for (const std::string& name : add) {
    if (all(name)) continue;
    const std::string capability = canonical_capability(name);
    if (std::find(std::begin(kCapabilityNames), std::end(kCapabilityNames), capability) == std::end(kCapabilityNames)) {
      return Error(Code::kInvalid, cat("unknown capability ", quote(name), " in securityContext.capabilities.add"));
    }
    if (!contains(in.host.capabilities, capability)) {
      return Error(Code::kInvalid,
                   cat("capability ", capability, " cannot be given: kayak does not hold it on this node"));
    }
    if (!contains(out, capability)) out.push_back(capability);
  }
  for (const std::string& name : drop) std::erase(out, canonical_capability(name));
  // Of the default ones, what we do not hold ourselves is left out.
  std::erase_if(out, [&](const std::string& name) { return !contains(in.host.capabilities, name); });
  return out;
}

json::Value process_user(const ProcessUser& user) {
  json::Value out;
  out["uid"] = std::int64_t{user.uid};
  out["gid"] = std::int64_t{user.gid};
  json::Array gids;
  for (const std::uint32_t gid : user.additional_gids) gids.emplace_back(std::int64_t{gid});
  out["additionalGids"] = std::move(gids);
  return out;
}

Result<json::Value> process(const OciInputs& in, const std::vector<std::string>& capability_names) {
  Result<std::vector<std::string>> args = process_args(in);
  if (!args) return args.error();
  Result<std::string> cwd = working_directory(in);
  if (!cwd) return cwd.error();
  json::Value out;
  out["user"] = process_user(in.user);
  out["args"] = to_array(*args);
  out["env"] = to_array(process_env(in));
  out["cwd"] = std::move(*cwd);
  // Inheritable and ambient stay empty (CVE-2022-24769).
  for (const std::string_view set : {"bounding", "effective", "permitted"}) {
    out["capabilities"][set] = to_array(capability_names);
  }
  const json::Value* escalation = security_context(in, "allowPrivilegeEscalation");
  out["noNewPrivileges"] = escalation != nullptr && !escalation->bool_or(true);
  // Always set: otherwise the score of the shim would be inherited.
  out["oomScoreAdj"] =
      std::max(oom_score_adj(in.pod, in.container, in.host.memory_capacity_bytes), in.host.min_oom_score_adj);
  return out;
}

// ---- mounts

json::Value mount(std::string destination, std::string_view type, std::string_view source, std::string_view options) {
  json::Value out;
  out["destination"] = std::move(destination);
  out["type"] = type;
  out["source"] = source;
  json::Array list;
  for (const std::string_view option : split(options, ',')) list.emplace_back(option);
  out["options"] = std::move(list);
  return out;
}

json::Value bind_mount(std::string destination, std::string_view source, bool read_only) {
  return mount(std::move(destination), "bind", source, read_only ? "rbind,rprivate,ro" : "rbind,rprivate,rw");
}

struct Mounts {
  std::vector<std::pair<std::string, json::Value>> list;  // by destination
  bool has(std::string_view destination) const {
    return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == destination; });
  }
  void add(const std::string& destination, json::Value value) { list.emplace_back(destination, std::move(value)); }
};

const VolumePath* find_volume(const std::vector<VolumePath>& volumes, std::string_view name) {
  for (const VolumePath& volume : volumes) {
    if (volume.name == name) return &volume;
  }
  return nullptr;
}

Result<void> add_volume_mounts(const OciInputs& in, Mounts& mounts) {
  for (const json::Value& item : items(in.container.find("volumeMounts"))) {
    const std::string_view name = text_at(item, {"name"});
    const VolumePath* volume = find_volume(in.volumes, name);
    if (volume == nullptr) return Error(Code::kInvalid, cat("volume ", quote(name), " is not mounted on the node"));
    const std::string destination = clean_path(text_at(item, {"mountPath"}));
    if (destination == "/") return Error(Code::kInvalid, cat("volume ", quote(name), " cannot be mounted at /"));
    if (mounts.has(destination)) return Error(Code::kInvalid, cat("two volumes are mounted at ", destination));
    mounts.add(destination, bind_mount(destination, volume->host_path, bool_at(item, {"readOnly"})));
  }
  for (const VolumePath& volume : in.image_volumes) {
    const std::string destination = clean_path(volume.name);
    // CVE-2022-23648: clean_path keeps it inside; the root itself is never replaced.
    if (destination != "/" && !mounts.has(destination))
      mounts.add(destination, bind_mount(destination, volume.host_path, false));
  }
  return Result<void>();
}

void add_pod_files(const OciInputs& in, Mounts& mounts) {
  const json::Value* setting = security_context(in, "readOnlyRootFilesystem");
  const bool read_only = setting != nullptr && setting->bool_or(false);
  const auto add = [&](const std::string& destination, const std::string& source, bool ro) {
    if (!source.empty() && !mounts.has(destination)) mounts.add(destination, bind_mount(destination, source, ro));
  };
  add("/dev/shm", in.sandbox.shm, false);
  add("/etc/hostname", in.sandbox.hostname, read_only);
  add("/etc/hosts", in.sandbox.hosts, read_only);
  add("/etc/resolv.conf", in.sandbox.resolv_conf, read_only);
  const std::string_view log = text_at(in.container, {"terminationMessagePath"});
  if (!log.empty()) add(clean_path(log), in.termination_log, false);
}

Result<json::Value> all_mounts(const OciInputs& in) {
  const bool privileged = is_privileged(in.container);
  const std::string_view sys = privileged ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro";
  json::Array out;
  out.push_back(mount("/proc", "proc", "proc", "nosuid,noexec,nodev"));
  out.push_back(mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"));
  out.push_back(mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"));
  out.push_back(mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"));
  out.push_back(mount("/sys", "sysfs", "sysfs", sys));
  out.push_back(
      mount("/sys/fs/cgroup", "cgroup", "cgroup", cat("nosuid,noexec,nodev,relatime,", privileged ? "rw" : "ro")));

  Mounts mounts;
  if (Result<void> added = add_volume_mounts(in, mounts); !added) return added.error();
  add_pod_files(in, mounts);
  // Parents before children, else as listed: a mount must not hide one below it.
  const auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
  std::stable_sort(mounts.list.begin(), mounts.list.end(),
                   [&](const auto& a, const auto& b) { return depth(a.first) < depth(b.first); });
  // A volume at one of the engine's own places replaces it.
  std::erase_if(out, [&](const json::Value& item) { return mounts.has(item.find("destination")->string_or()); });
  for (auto& [destination, value] : mounts.list) out.push_back(std::move(value));
  return json::Value(std::move(out));
}

// ---- linux

void add_namespace(json::Array& list, std::string_view type, const std::string& path) {
  json::Value out;
  out["type"] = type;
  if (!path.empty()) out["path"] = path;
  list.push_back(std::move(out));
}

json::Array namespaces(const OciInputs& in) {
  json::Array out;
  add_namespace(out, "mount", "");
  if (!bool_at(in.pod, {"spec", "hostPID"})) add_namespace(out, "pid", in.sandbox.pid_ns);
  if (!in.sandbox.net_ns.empty()) add_namespace(out, "network", in.sandbox.net_ns);
  if (!in.sandbox.ipc_ns.empty()) add_namespace(out, "ipc", in.sandbox.ipc_ns);
  if (!in.sandbox.uts_ns.empty()) add_namespace(out, "uts", in.sandbox.uts_ns);
  if (in.host.cgroup_v2 && !is_privileged(in.container)) add_namespace(out, "cgroup", "");
  return out;
}

json::Value resources(const OciInputs& in) {
  const CgroupLimits limits = container_limits(in.container);
  json::Value out;
  // Everything is denied; the runtime adds the harmless ones (null, zero, full, random, urandom, tty, ptmx, pts).
  json::Value rule;
  rule["allow"] = is_privileged(in.container);
  rule["access"] = "rwm";
  json::Array rules;
  rules.push_back(std::move(rule));
  out["devices"] = std::move(rules);
  out["cpu"]["shares"] = limits.cpu_shares;
  if (limits.cpu_quota_micros > 0) {
    out["cpu"]["quota"] = limits.cpu_quota_micros;
    out["cpu"]["period"] = kCpuPeriodMicros;
  }
  if (limits.memory_bytes > 0) {
    out["memory"]["limit"] = limits.memory_bytes;
    // No swap beyond the limit: memory and swap together are the limit itself.
    if (in.host.cgroup_v2 || in.host.swap_accounting) out["memory"]["swap"] = limits.memory_bytes;
  }
  if (limits.pids > 0) out["pids"]["limit"] = limits.pids;
  // One process of a container killed for memory takes the whole container with it, as upstream on v2.
  if (in.host.cgroup_v2) out["unified"]["memory.oom.group"] = "1";
  return out;
}

json::Array devices(const OciInputs& in) {
  json::Array out;
  if (!is_privileged(in.container)) return out;
  for (const HostDevice& device : in.host.devices) {
    json::Value item;
    item["path"] = device.path;
    item["type"] = std::string(1, device.type);
    item["major"] = device.major;
    item["minor"] = device.minor;
    item["fileMode"] = std::int64_t{device.mode};
    item["uid"] = std::int64_t{device.uid};
    item["gid"] = std::int64_t{device.gid};
    out.push_back(std::move(item));
  }
  return out;
}

bool seccomp_unconfined(const OciInputs& in) {
  std::string_view type = text_at(in.container, {"securityContext", "seccompProfile", "type"});
  if (type.empty()) type = text_at(in.pod, {"spec", "securityContext", "seccompProfile", "type"});
  return type == "Unconfined";
}

json::Value linux_part(const OciInputs& in, const std::vector<std::string>& capability_names) {
  json::Value out;
  out["resources"] = resources(in);
  out["cgroupsPath"] = in.cgroup_path;
  out["namespaces"] = namespaces(in);
  if (json::Array list = devices(in); !list.empty()) out["devices"] = std::move(list);
  if (is_privileged(in.container)) return out;
  if (!seccomp_unconfined(in)) out["seccomp"] = default_seccomp_profile(in.host.arch, capability_names);
  if (text_at(in.container, {"securityContext", "procMount"}) != "Unmasked") {
    json::Array masked, readonly;
    for (const std::string_view path : kMaskedPaths) masked.emplace_back(path);
    for (const std::string& path : in.host.extra_masked_paths) masked.emplace_back(path);
    for (const std::string_view path : kReadonlyPaths) readonly.emplace_back(path);
    out["maskedPaths"] = std::move(masked);
    out["readonlyPaths"] = std::move(readonly);
  }
  return out;
}

}  // namespace

Result<json::Value> make_oci_config(const OciInputs& in) {
  Result<std::vector<std::string>> capability_names = capabilities(in);
  if (!capability_names) return capability_names.error();
  Result<json::Value> process_part = process(in, *capability_names);
  if (!process_part) return process_part.error();
  Result<json::Value> mounts = all_mounts(in);
  if (!mounts) return mounts.error();

  json::Value out;
  out["ociVersion"] = "1.0.2";
  out["process"] = std::move(*process_part);
  out["root"]["path"] = in.rootfs;
  const json::Value* read_only = security_context(in, "readOnlyRootFilesystem");
  out["root"]["readonly"] = read_only != nullptr && read_only->bool_or(false);
  out["mounts"] = std::move(*mounts);
  out["linux"] = linux_part(in, *capability_names);
  return out;  // no annotations: what a pod says there never reaches the runtime (CVE-2024-3154)
}

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> kDefault = {
      "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
      "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
      "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
      "CAP_KILL",    "CAP_AUDIT_WRITE"};
  return kDefault;
}

std::string_view capability_name(int number) {
  return number >= 0 && number < static_cast<int>(std::size(kCapabilityNames)) ? kCapabilityNames[number]
                                                                               : std::string_view();
}

bool is_privileged(const json::Value& container) { return bool_at(container, {"securityContext", "privileged"}); }

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  std::string out;
  for (const std::string_view part : parts) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

}  // namespace kayak::agent
