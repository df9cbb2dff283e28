// cgroups.cc: control groups of pods.
#include "agent/runtime/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::string_view kWantedV2 = "cpuset cpu io memory pids hugetlb";

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::vector<std::string> subdirectories(const std::string& path) {
  std::vector<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    const std::string child = cat(path, "/", entry->d_name);
    struct stat info {};
    if (::lstat(child.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) out.emplace_back(entry->d_name);
  }
  return out;
}

Result<void> put(const std::string& path, std::string_view value) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("opening ", path));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return error_from_errno(errno, cat("writing ", value, " to ", path));
  }
  return Result<void>();
}

std::string text_of(const std::string& path) {
  const Result<std::string> text = read_file(path, 1 << 20);
  return text ? std::string(trim(*text)) : std::string();
}

std::uint64_t number_of(const std::string& path) {
  std::int64_t value = 0;
  return parse_int64(text_of(path), &value) && value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

// The number after `key` in a file of "key number" lines.
std::uint64_t keyed_number(const std::string& path, std::string_view key) {
  const std::string text = text_of(path);
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.substr(0, space) != key) continue;
    std::int64_t value = 0;
    return parse_int64(trim(line.substr(space + 1)), &value) && value > 0 ? static_cast<std::uint64_t>(value) : 0;
  }
  return 0;
}

void kill_all(const std::string& procs_file) {
  const std::string text = text_of(procs_file);
  for (const std::string_view line : split(text, '\n')) {
    std::int64_t pid = 0;
    if (parse_int64(line, &pid) && pid > 1) ::kill(static_cast<pid_t>(pid), SIGKILL);
  }
}

std::uint64_t count_lines(const std::string& text) {
  return text.empty() ? 0 : static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n') + 1);
}

constexpr std::string_view kMemoryAdvice =
    "the memory controller of cgroups is off: add cgroup_enable=memory cgroup_memory=1 to the kernel command line (on "
    "a "
    "Raspberry Pi: /boot/firmware/cmdline.txt) and restart the machine";

}  // namespace

Result<Cgroups> Cgroups::open(std::string root, std::string parent) {
  Cgroups out;
  out.root_ = std::move(root);
  out.parent_ = std::move(parent);
  out.v2_ = file_exists(out.root_ + "/cgroup.controllers");
  if (out.v2_) {
    Hierarchy hierarchy;
    hierarchy.directory = out.root_;
    out.hierarchies_.push_back(hierarchy);
    const std::string controllers = " " + text_of(out.root_ + "/cgroup.controllers") + " ";
    if (controllers.find(" memory ") == std::string::npos) return Error(Code::kUnavailable, std::string(kMemoryAdvice));
    out.swap_ = true;
    return out;
  }
  for (const std::string& name : subdirectories(out.root_)) {
    const std::string directory = cat(out.root_, "/", name);
    // Also name=systemd and, in hybrid set-ups, "unified": without controllers, but the runtime puts containers there.
    if (!file_exists(directory + "/cgroup.procs")) continue;
    // Controllers mounted together have one directory, and links to it that are not listed here.
    Hierarchy hierarchy;
    hierarchy.directory = directory;
    hierarchy.controllers = cat(",", name, ",");
    out.hierarchies_.push_back(std::move(hierarchy));
  }
  if (out.hierarchies_.empty()) return Error(Code::kUnavailable, cat("no cgroups are mounted at ", out.root_));
  const Hierarchy* memory = out.with("memory");
  if (memory == nullptr) return Error(Code::kUnavailable, std::string(kMemoryAdvice));
  out.swap_ = file_exists(memory->directory + "/memory.memsw.limit_in_bytes");
  return out;
}

const Cgroups::Hierarchy* Cgroups::with(std::string_view controller) const {
  if (v2_) return &hierarchies_.front();
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.controllers.find(cat(",", controller, ",")) != std::string::npos) return &hierarchy;
  }
  return nullptr;
}

std::string Cgroups::pod_path(QosClass qos, std::string_view pod_uid) const {
  const std::string_view tier = qos == QosClass::kGuaranteed  ? ""
                                : qos == QosClass::kBurstable ? "/burstable"
                                                              : "/besteffort";
  return cat("/", parent_, tier, "/pod", pod_uid);
}

Result<void> Cgroups::make_group(const Hierarchy& hierarchy, const std::string& path) const {
  std::string directory = hierarchy.directory;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty()) continue;
    if (v2_) {
      // Children get a controller only when their parent passes it on; those that cannot be are left out one by one.
      for (const std::string_view controller : split(kWantedV2, ' '))
        static_cast<void>(put(directory + "/cgroup.subtree_control", cat("+", controller)));
    }
    const std::string above = directory;
    directory += cat("/", part);
    const bool made = ::mkdir(directory.c_str(), 0755) == 0;
    if (!made && errno != EEXIST) return error_from_errno(errno, cat("making control group ", directory));
    if (hierarchy.controllers.find(",cpuset,") != std::string::npos) {
      // A new cpuset is empty, and no process may enter it.
      for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
        if (text_of(directory + file).empty()) {
          if (Result<void> filled = put(directory + file, text_of(above + file)); !filled) return filled.error();
        }
      }
    }
  }
  return Result<void>();
}

Result<void> Cgroups::make_pod(const std::string& path, const CgroupLimits& limits) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (Result<void> made = make_group(hierarchy, path); !made) return made.error();
  }
  // Best-effort pods together get what others leave.
  if (path.find("/besteffort/") != std::string::npos) {
    const std::string tier = path.substr(0, path.find("/besteffort/")) + "/besteffort";
    if (const Hierarchy* cpu = with("cpu")) {
      static_cast<void>(put(cat(cpu->directory, tier, v2_ ? "/cpu.weight" : "/cpu.shares"), v2_ ? "1" : "2"));
    }
  }
  return set_limits(path, limits);
}

Result<void> Cgroups::set_limits(const std::string& path, const CgroupLimits& limits) const {
  std::vector<std::pair<std::string, std::string>> settings;
  const auto add = [&](std::string_view controller, std::string_view file, std::string value) {
    const Hierarchy* hierarchy = with(controller);
    if (hierarchy != nullptr) settings.emplace_back(cat(hierarchy->directory, path, "/", file), std::move(value));
  };
  if (v2_) {
    add("cpu", "cpu.weight", cat(cpu_weight(limits.cpu_shares)));
    add("cpu", "cpu.max",
        limits.cpu_quota_micros > 0 ? cat(limits.cpu_quota_micros, " ", kCpuPeriodMicros)
                                    : cat("max ", kCpuPeriodMicros));
    add("memory", "memory.max", limits.memory_bytes > 0 ? cat(limits.memory_bytes) : "max");
    add("pids", "pids.max", limits.pids > 0 ? cat(limits.pids) : "max");
  } else {
    add("cpu", "cpu.shares", cat(limits.cpu_shares));
    if (limits.cpu_quota_micros > 0) {
      add("cpu", "cpu.cfs_period_us", cat(kCpuPeriodMicros));
      add("cpu", "cpu.cfs_quota_us", cat(limits.cpu_quota_micros));
    }
    if (limits.memory_bytes > 0) add("memory", "memory.limit_in_bytes", cat(limits.memory_bytes));
    if (limits.pids > 0) add("pids", "pids.max", cat(limits.pids));
  }
  for (const auto& [file, value] : settings) {
    if (!file_exists(file)) continue;  // the kernel was built without this one
    if (Result<void> written = put(file, value); !written) return written.error();
  }
  return Result<void>();
}

// Deepest first. A group whose last process has just been killed stays busy for a moment.
Result<void> Cgroups::remove_directory(const std::string& directory) const {
  if (!is_directory(directory)) return Result<void>();
  for (const std::string& name : subdirectories(directory)) {
    if (Result<void> removed = remove_directory(cat(directory, "/", name)); !removed) return removed.error();
  }
  constexpr int kTries = 200;
  constexpr timespec kPause = {0, 5'000'000};
  for (int i = 0; i < kTries; ++i) {
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return Result<void>();
    if (errno != EBUSY) break;
    kill_all(directory + "/cgroup.procs");
    ::nanosleep(&kPause, nullptr);
  }
  return error_from_errno(errno, cat("removing control group ", directory));
}

Result<void> Cgroups::remove_tree(const std::string& path) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (Result<void> removed = remove_directory(hierarchy.directory + path); !removed) return removed.error();
  }
  return Result<void>();
}

Result<std::vector<std::string>> Cgroups::join_files(const std::string& path) const {
  std::vector<std::string> out;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (Result<void> made = make_group(hierarchy, path); !made) return made.error();
    out.push_back(cat(hierarchy.directory, path, "/cgroup.procs"));
  }
  return out;
}

std::string Cgroups::procs_file(const std::string& path) const {
  const Hierarchy* hierarchy = with("memory");
  return cat(hierarchy != nullptr ? hierarchy->directory : root_, path, "/cgroup.procs");
}

bool Cgroups::oom_killed(const std::string& path) const {
  const Hierarchy* memory = with("memory");
  if (memory == nullptr) return false;
  return keyed_number(cat(memory->directory, path, v2_ ? "/memory.events" : "/memory.oom_control"), "oom_kill") > 0;
}

Result<UsageStats> Cgroups::stats(const std::string& path) const {
  UsageStats out;
  const Hierarchy* memory = with("memory");
  const Hierarchy* cpu = v2_ ? memory : with("cpuacct");
  if (memory == nullptr || !is_directory(memory->directory + path))
    return Error(Code::kNotFound, cat("no control group ", path));
  const std::string in = memory->directory + path;
  std::uint64_t inactive = 0;
  if (v2_) {
    out.cpu_usage_nanoseconds = keyed_number(in + "/cpu.stat", "usage_usec") * 1000;
    out.memory_usage_bytes = number_of(in + "/memory.current");
    inactive = keyed_number(in + "/memory.stat", "inactive_file");
    out.memory_rss_bytes = keyed_number(in + "/memory.stat", "anon");
    out.processes = number_of(in + "/pids.current");
  } else {
    if (cpu != nullptr) out.cpu_usage_nanoseconds = number_of(cat(cpu->directory, path, "/cpuacct.usage"));
    out.memory_usage_bytes = number_of(in + "/memory.usage_in_bytes");
    inactive = keyed_number(in + "/memory.stat", "total_inactive_file");
    out.memory_rss_bytes = keyed_number(in + "/memory.stat", "total_rss");
    const Hierarchy* pids = with("pids");
    out.processes = pids != nullptr ? number_of(cat(pids->directory, path, "/pids.current"))
                                    : count_lines(text_of(in + "/cgroup.procs"));
  }
  out.memory_working_set_bytes = out.memory_usage_bytes > inactive ? out.memory_usage_bytes - inactive : 0;
  return out;
}

std::vector<std::string> Cgroups::pods() const {
  std::vector<std::string> out;
  for (const Hierarchy& hierarchy : hierarchies_) {
    for (const std::string_view tier : {"", "/burstable", "/besteffort"}) {
      const std::string path = cat("/", parent_, tier);
      for (const std::string& name : subdirectories(hierarchy.directory + path)) {
        const std::string pod = cat(path, "/", name);
        if (name.compare(0, 3, "pod") == 0 && std::find(out.begin(), out.end(), pod) == out.end()) out.push_back(pod);
      }
    }
  }
  return out;
}

}  // namespace kayak::agent
