// bundle.cc: a container's files.
#include "agent/runtime/bundle.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "agent/runtime/mounts.h"
#include "agent/runtime/pod_doc.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "shim/protocol.h"

namespace kayak::agent {
namespace {

constexpr std::size_t kMaxTerminationBytes = 4096;
constexpr std::size_t kMaxFallbackBytes = 2048, kMaxFallbackLines = 80;

std::string bundle_directory(const PodPaths& paths, std::string_view id) { return cat(paths.run, "/", id); }
std::string layer_directory(const RuntimeOptions& options, std::string_view id) {
  return cat(options.data_dir, "/containers/", id);
}

// <pod>_<namespace>_<container>-<id>.log: the names that log shippers parse.
std::string log_link_path(const RuntimeOptions& options, const BundleInputs& in) {
  if (options.container_log_dir.empty()) return std::string();
  return cat(options.container_log_dir, "/", in.sandbox.name, "_", in.sandbox.namespace_, "_", in.spec.name, "-", in.id,
             ".log");
}

Result<void> make_root(const BundleInputs& in, const std::string& root) {
  const std::string layer = layer_directory(in.options, in.id);
  for (const std::string& path : {layer + "/fs", layer + "/work", root}) {
    if (Result<void> made = make_directories(path, 0755); !made) return made.error();
  }
  std::vector<std::string> layers = in.spec.image.layers;
  if (layers.empty()) {  // an image without layers still has a root
    layers.push_back(layer + "/empty");
    if (Result<void> made = make_directories(layers.back(), 0755); !made) return made.error();
  }
  return mount_overlay(layers, layer + "/fs", layer + "/work", root);
}

Result<void> make_termination_file(const BundleInputs& in, ContainerRecord& record) {
  const std::string directory = cat(in.paths.kubelet, "/containers/", in.spec.name);
  if (Result<void> made = make_directories(directory, 0755); !made) return made.error();
  record.termination_file = cat(directory, "/", in.id.substr(0, 8));
  // Whatever user the container runs as may write it.
  if (Result<void> made = replace_file(record.termination_file, "", 0666); !made) return made.error();
  return ::chmod(record.termination_file.c_str(), 0666) == 0 ? Result<void>()
                                                             : error_from_errno(errno, record.termination_file);
}

// With a read-only root the image's volumes are directories of their own; else they are part of the writable layer.
Result<std::vector<VolumePath>> image_volumes(const BundleInputs& in, const json::Value& container) {
  std::vector<VolumePath> out;
  if (!bool_at(container, {"securityContext", "readOnlyRootFilesystem"})) return out;
  for (const std::string& path : in.spec.image.config.volumes) {
    VolumePath volume;
    volume.name = path;
    volume.host_path = cat(layer_directory(in.options, in.id), "/volumes/", out.size());
    if (Result<void> made = make_directories(volume.host_path, 0755); !made) return made.error();
    out.push_back(std::move(volume));
  }
  return out;
}

Result<json::Value> make_config(const BundleInputs& in, const json::Value& container, const std::string& root,
                                const ContainerRecord& record) {
  const NodeCapacity node{static_cast<std::int64_t>(::sysconf(_SC_NPROCESSORS_ONLN)) * 1000,
                          static_cast<std::int64_t>(in.host.memory_capacity_bytes)};
  Result<EnvList> env = container_env(*in.spec.pod, container, in.spec.env, node);
  if (!env) return env.error();
  const std::string passwd = read_in_root(root, "etc/passwd", kMaxUserFileBytes);
  const std::string group = read_in_root(root, "etc/group", kMaxUserFileBytes);
  const UserInputs user_inputs{*in.spec.pod, container, in.spec.image.config.user, passwd, group};
  Result<ProcessUser> user = resolve_user(user_inputs);
  if (!user) return user.error();
  Result<std::vector<VolumePath>> volumes = image_volumes(in, container);
  if (!volumes) return volumes.error();
  HostFacts host = in.host;
  if (is_privileged(container)) host.devices = host_devices();
  const SandboxPaths sandbox = sandbox_paths(in.paths, in.sandbox);
  const OciInputs oci{*in.spec.pod,
                      container,
                      in.spec.image.config,
                      sandbox,
                      host,
                      in.sandbox.hostname,
                      std::move(*env),
                      std::move(*user),
                      in.sandbox.volumes,
                      std::move(*volumes),
                      record.termination_file,
                      root,
                      record.cgroup};
  return make_oci_config(oci);
}

// What the shim needs to know, in the order of shim::SpecField.
std::string shim_spec(const BundleInputs& in, const std::string& bundle, const ContainerRecord& record) {
  std::string out;
  for (const std::string& field :
       {std::string("1"), cat(record.attempt), in.runtime, in.options.run_dir + "/runc", bundle, record.log_path,
        cat(in.options.log_max_bytes), cat(in.options.log_max_files), in.kill_group}) {
    out += field + '\0';
  }
  return out;
}

Result<void> write_bundle(const BundleInputs& in, const json::Value& container, ContainerRecord& record) {
  const std::string bundle = bundle_directory(in.paths, in.id);
  const std::string root = bundle + "/rootfs";
  if (Result<void> made = make_directories(bundle, 0700); !made) return made.error();
  // The record first: what follows is found by it after a crash.
  if (Result<void> saved = replace_file(bundle + "/container.json", json::write(to_json(record)), 0600); !saved)
    return saved.error();
  if (Result<void> made = make_root(in, root); !made) return made.error();
  Result<json::Value> config = make_config(in, container, root, record);
  if (!config) return config.error();
  if (Result<void> written = replace_file(bundle + "/config.json", json::write(*config), 0600); !written)
    return written.error();

  const std::string log_directory = record.log_path.substr(0, record.log_path.rfind('/'));
  if (Result<void> made = make_directories(log_directory, 0755); !made) return made.error();
  if (!record.log_link.empty()) {
    if (Result<void> made = make_directories(in.options.container_log_dir, 0755); !made) return made.error();
    ::unlink(record.log_link.c_str());
    if (::symlink(record.log_path.c_str(), record.log_link.c_str()) != 0)
      return error_from_errno(errno, cat("linking ", record.log_link));
  }
  const std::string spec = shim_spec(in, bundle, record);
  if (spec.size() >= shim::kMaxSpecBytes) return Error(Code::kInvalid, "the paths of this container are too long");
  const std::string shim_directory = cat(in.paths.shim, "/", in.id);
  if (Result<void> made = make_directories(shim_directory, 0700); !made) return made.error();
  return replace_file(shim_directory + "/spec", spec, 0600);
}

}  // namespace

json::Value to_json(const ContainerRecord& record) {
  json::Value out;
  out["id"] = record.id;
  out["name"] = record.name;
  out["init"] = record.init;
  out["attempt"] = std::int64_t{record.attempt};
  out["image"] = record.image;
  out["imageId"] = record.image_id;
  out["memo"] = record.memo;
  out["logPath"] = record.log_path;
  out["logLink"] = record.log_link;
  out["cgroup"] = record.cgroup;
  out["terminationFile"] = record.termination_file;
  out["fallbackToLogs"] = record.fallback_to_logs;
  out["stopSignal"] = record.stop_signal;
  out["created"] = record.created.microseconds;
  return out;
}

Result<ContainerRecord> container_from_json(const json::Value& value) {
  const auto number = [&](std::string_view key) {
    const json::Value* found = value.find(key);
    return found != nullptr ? found->int_or(0) : 0;
  };
  ContainerRecord out;
  out.id = text_at(value, {"id"});
  out.name = text_at(value, {"name"});
  if (!is_path_segment(out.id) || !is_path_segment(out.name))
    return Error(Code::kCorrupt, "a container record without id or name");
  out.init = bool_at(value, {"init"});
  out.attempt = static_cast<std::uint32_t>(number("attempt"));
  out.image = text_at(value, {"image"});
  out.image_id = text_at(value, {"imageId"});
  out.memo = text_at(value, {"memo"});
  out.log_path = text_at(value, {"logPath"});
  out.log_link = text_at(value, {"logLink"});
  out.cgroup = text_at(value, {"cgroup"});
  out.termination_file = text_at(value, {"terminationFile"});
  out.fallback_to_logs = bool_at(value, {"fallbackToLogs"});
  out.stop_signal = static_cast<int>(number("stopSignal"));
  out.created.microseconds = number("created");
  return out;
}

int parse_signal(std::string_view text) {
  constexpr int kRtMin = 34, kLast = 64;
  std::int64_t number = 0;
  if (parse_int64(text, &number)) return number >= 1 && number <= kLast ? static_cast<int>(number) : SIGTERM;
  if (text.substr(0, 3) == "SIG") text.remove_prefix(3);
  if (text.substr(0, 6) == "RTMIN+" && parse_int64(text.substr(6), &number) && number >= 0 && kRtMin + number <= kLast)
    return static_cast<int>(kRtMin + number);
  if (text.substr(0, 6) == "RTMAX-" && parse_int64(text.substr(6), &number) && number >= 0 && kLast - number >= kRtMin)
    return static_cast<int>(kLast - number);
  constexpr std::pair<std::string_view, int> kNames[] = {
      {"HUP", SIGHUP},       {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ILL", SIGILL},   {"TRAP", SIGTRAP},
      {"ABRT", SIGABRT},     {"IOT", SIGABRT},  {"BUS", SIGBUS},     {"FPE", SIGFPE},   {"KILL", SIGKILL},
      {"USR1", SIGUSR1},     {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},   {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},
      {"TERM", SIGTERM},     {"CHLD", SIGCHLD}, {"CONT", SIGCONT},   {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
      {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
      {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"POLL", SIGIO},
      {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"RTMIN", kRtMin},   {"RTMAX", kLast}};
  for (const auto& [name, signal] : kNames) {
    if (name == text) return signal;
  }
  return SIGTERM;
}

Result<ContainerRecord> make_bundle(const BundleInputs& in) {
  constexpr std::size_t kMaxMemoBytes = 4096;
  ContainerRecord record;
  const json::Value* container = find_container(*in.spec.pod, in.spec.name, &record.init);
  if (container == nullptr) return Error(Code::kInvalid, cat("the pod has no container ", quote(in.spec.name)));
  if (in.spec.memo.size() > kMaxMemoBytes) return Error(Code::kInvalid, "the memo of a container is too long");
  record.id = in.id;
  record.name = in.spec.name;
  record.attempt = in.spec.attempt;
  record.image = text_at(*container, {"image"});
  record.image_id = in.spec.image.reference;
  record.memo = in.spec.memo;
  record.log_path = cat(in.paths.logs, "/", in.spec.name, "/", in.spec.attempt, ".log");
  record.log_link = log_link_path(in.options, in);
  record.cgroup = cat(in.sandbox.cgroup, "/", in.id);
  record.fallback_to_logs = text_at(*container, {"terminationMessagePolicy"}) == "FallbackToLogsOnError";
  record.stop_signal = parse_signal(in.spec.image.config.stop_signal);
  record.created = in.now;
  Result<void> made = make_termination_file(in, record);
  if (made) made = write_bundle(in, *container, record);
  if (made) return record;
  static_cast<void>(remove_tree(cat(in.paths.shim, "/", in.id)));
  static_cast<void>(remove_bundle(in.options, in.paths, record));
  return made.error();
}

Result<void> remove_bundle(const RuntimeOptions& options, const PodPaths& paths, const ContainerRecord& record) {
  for (const std::string& tree : {bundle_directory(paths, record.id), layer_directory(options, record.id)}) {
    if (Result<void> removed = remove_tree(tree); !removed) return removed.error();
  }
  if (!record.termination_file.empty()) ::unlink(record.termination_file.c_str());
  if (!record.log_link.empty()) ::unlink(record.log_link.c_str());
  if (record.log_path.empty()) return Result<void>();
  // The log and what was rotated away from it.
  const std::size_t slash = record.log_path.rfind('/');
  const std::string directory = record.log_path.substr(0, slash), base = record.log_path.substr(slash + 1);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), ::closedir);
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name == base || name.substr(0, base.size() + 1) == base + ".")
      ::unlinkat(::dirfd(listing.get()), entry->d_name, 0);
  }
  return Result<void>();
}

std::string termination_message(const ContainerRecord& record, int exit_code) {
  const auto tail_of = [](const std::string& path, std::size_t bytes) {
    std::string out;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return out;
    out.resize(std::min<std::size_t>(bytes, static_cast<std::size_t>(info.st_size)));
    const ssize_t n = ::pread(fd.get(), out.data(), out.size(), info.st_size - static_cast<off_t>(out.size()));
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  };
  std::string message = tail_of(record.termination_file, kMaxTerminationBytes);
  if (!message.empty() || exit_code == 0 || !record.fallback_to_logs) return message;
  // The log's last lines, without "TIME STREAM TAG ".
  const std::string log = tail_of(record.log_path, 2 * kMaxFallbackBytes + kMaxFallbackLines * 48);
  std::vector<std::string_view> lines = split(log, '\n');
  if (!lines.empty() && log.size() >= 2 * kMaxFallbackBytes) lines.erase(lines.begin());  // cut in its middle
  if (lines.size() > kMaxFallbackLines + 1) lines.erase(lines.begin(), lines.end() - (kMaxFallbackLines + 1));
  for (std::string_view line : lines) {
    std::string_view tag;
    for (int i = 0; i < 3; ++i) {
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos) break;
      tag = line.substr(0, space);
      line.remove_prefix(space + 1);
    }
    if (tag.empty()) continue;
    message += line;
    if (tag == "F") message += '\n';
  }
  if (message.size() > kMaxFallbackBytes) message.erase(0, message.size() - kMaxFallbackBytes);
  return message;
}

std::vector<HostDevice> host_devices(const std::string& root) {
  std::vector<HostDevice> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(root.c_str()), ::closedir);
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name.front() == '.' || name == "pts" || name == "shm" || name == "fd" || name == "mqueue" || name == "console")
      continue;
    const std::string path = cat(root, "/", name);
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      std::vector<HostDevice> below = host_devices(path);
      out.insert(out.end(), std::make_move_iterator(below.begin()), std::make_move_iterator(below.end()));
      continue;
    }
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) continue;
    HostDevice device;
    device.path = path;
    device.type = S_ISCHR(info.st_mode) ? 'c' : 'b';
    device.major = static_cast<std::int64_t>(major(info.st_rdev));
    device.minor = static_cast<std::int64_t>(minor(info.st_rdev));
    device.mode = info.st_mode & 07777;
    device.uid = info.st_uid;
    device.gid = info.st_gid;
    out.push_back(std::move(device));
  }
  return out;
}

HostFacts read_host_facts(const Cgroups& cgroups, const RuntimeOptions& options) {
  HostFacts out;
  out.arch = native_arch();
  out.cgroup_v2 = cgroups.v2();
  out.swap_accounting = cgroups.swap_accounting();
  out.memory_capacity_bytes = options.memory_capacity_bytes;
  if (out.memory_capacity_bytes == 0) {
    out.memory_capacity_bytes =
        static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  const Result<std::string> status = read_file("/proc/self/status", 64 << 10);
  std::uint64_t bounding = 0;
  for (const std::string_view line : split(status ? std::string_view(*status) : std::string_view(), '\n')) {
    if (line.substr(0, 7) != "CapBnd:") continue;
    for (const char c : trim(line.substr(7)))
      bounding = bounding << 4 | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  for (int i = 0; !capability_name(i).empty(); ++i) {
    if ((bounding >> i & 1) != 0) out.capabilities.emplace_back(capability_name(i));
  }
  if (std::find(out.capabilities.begin(), out.capabilities.end(), "CAP_SYS_RESOURCE") == out.capabilities.end()) {
    const Result<std::string> own = read_file("/proc/self/oom_score_adj", 64);
    std::int64_t value = 0;
    if (own && parse_int64(trim(*own), &value)) out.min_oom_score_adj = static_cast<int>(value);
  }
  for (long cpu = 0; cpu < ::sysconf(_SC_NPROCESSORS_CONF); ++cpu) {
    const std::string path = cat("/sys/devices/system/cpu/cpu", cpu, "/thermal_throttle");
    if (file_exists(path)) out.extra_masked_paths.push_back(path);
  }
  return out;
}

}  // namespace kayak::agent
