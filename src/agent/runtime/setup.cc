// setup.cc: what the runtime needs before its first pod: the container runtime's program, the shim's, control groups;
// and the removal of everything.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "agent/runtime/containers.h"
#include "agent/runtime/mounts.h"
#include "agent/runtime/pod_doc.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/process.h"
#include "shim/blob.h"

namespace kayak::agent {
namespace {

constexpr std::string_view kProgramPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : std::string();
  for (const std::string_view directory : split(kProgramPath, ':')) {
    const std::string path = cat(directory, "/", name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return std::string();
}

Result<std::string> find_runtime(const std::string& wanted) {
  const std::vector<std::string> names =
      wanted.empty() ? std::vector<std::string>{"runc", "crun"} : std::vector<std::string>{wanted};
  for (const std::string& name : names) {
    if (const std::string path = find_program(name); !path.empty()) return path;
  }
  return Error(Code::kNotFound, cat("no container runtime: ", join(names, " and "), names.size() > 1 ? " are" : " is",
                                    " not installed (Debian: apt install runc)"));
}

// Written when it differs; running shims keep the file they were started from.
Result<std::string> install_shim(const std::string& data_dir) {
  const std::string directory = data_dir + "/bin", path = directory + "/kayak-shim";
  if (Result<void> made = make_directories(directory, 0755); !made) return made.error();
  const Result<std::string> there = read_file(path);
  if (!there || *there != shim::shim_program()) {
    if (Result<void> written = write_file_atomic(path, shim::shim_program(), 0755); !written) return written.error();
  }
  return path;
}

// "runc version 1.1.5+ds1", "crun version 1.8.1".
RuntimeInfo parse_version(std::string_view output) {
  RuntimeInfo info;
  const std::string_view first = output.substr(0, output.find('\n'));
  const std::size_t at = first.find(" version ");
  info.name = first.substr(0, at);
  if (at != std::string_view::npos) info.version = trim(first.substr(at + 9));
  return info;
}

// The three numbers that a version starts with, as one that compares.
std::int64_t version_number(std::string_view version) {
  std::int64_t out = 0;
  const std::vector<std::string_view> parts = split(version.substr(0, version.find_first_not_of("0123456789.")), '.');
  for (std::size_t i = 0; i < 3; ++i) {
    std::int64_t part = 0;
    if (i < parts.size()) static_cast<void>(parse_int64(parts[i], &part));
    out = out * 1000 + part;
  }
  return out;
}

void add_known_holes(RuntimeInfo& info) {
  struct Row {
    std::string_view name, cve;
    std::int64_t fixed_in;
  };
  constexpr Row kRows[] = {{"runc", "CVE-2024-21626", 1'001'012},
                           {"runc", "CVE-2025-31133", 1'002'008},
                           {"crun", "CVE-2025-24965", 1'020'000}};
  for (const Row& row : kRows) {
    if (row.name == info.name && version_number(info.version) < row.fixed_in) info.known_holes.emplace_back(row.cve);
  }
}

Result<RuntimeSetup> prepare(RuntimeOptions options) {
  RuntimeSetup out;
  if (Result<std::string> found = find_runtime(options.runtime); found) {
    out.runtime_program = *found;
  } else {
    return found.error();
  }
  Result<Cgroups> cgroups = Cgroups::open("/sys/fs/cgroup", options.cgroup_parent);
  if (!cgroups) return cgroups.error();
  out.cgroups = std::move(*cgroups);
  // Traversed by containers whose root file system lies below: not for others to look into.
  for (const std::string& path : {options.run_dir, options.run_dir + "/pods", options.run_dir + "/shim",
                                  options.run_dir + "/runc", options.data_dir}) {
    if (Result<void> made = make_directories(path, 0700); !made) return made.error();
  }
  Result<std::string> shim = install_shim(options.data_dir);
  if (!shim) return shim.error();
  out.shim_program = std::move(*shim);
  out.host = read_host_facts(out.cgroups, options);
  out.options = std::move(options);
  return out;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    out.push_back(entry.path().filename().string());
  return out;
}

}  // namespace

Task<Result<RuntimeSetup>> set_up_runtime(Context context, RuntimeOptions options) {
  auto work = [options] { return prepare(options); };
  Result<RuntimeSetup> setup = co_await context.loop.offload(std::move(work));
  if (!setup) co_return setup.error();
  io::SpawnOptions ask;
  ask.program = setup->runtime_program;
  ask.args.push_back("--version");
  Result<io::RunOutput> version = co_await io::run_program(context, std::move(ask));
  if (!version) co_return version.error().while_doing("asking the container runtime for its version");
  setup->info = parse_version(version->out);
  add_known_holes(setup->info);
  if (!setup->info.known_holes.empty()) {
    context.log.warn("this container runtime's version has known holes; distributions may have closed them",
                     {{"runtime", setup->info.name},
                      {"version", setup->info.version},
                      {"cves", join(setup->info.known_holes, " ")}});
  }
  co_return std::move(*setup);
}

Result<void> remove_all_pods(const RuntimeOptions& options, const Cgroups& cgroups) {
  // Shims first: they would write exits and logs while everything goes.
  for (const std::string& pod : names_in(options.run_dir + "/shim")) end_shim(cat(options.run_dir, "/shim/", pod));
  if (Result<void> removed = cgroups.remove_parent(); !removed) return removed.error();
  for (const std::string& pod : names_in(options.run_dir + "/pods")) {
    if (!is_path_segment(pod)) continue;
    for (const std::string& name : names_in(cat(options.run_dir, "/pods/", pod))) {
      const Result<std::string> text =
          read_file(cat(options.run_dir, "/pods/", pod, "/", name, "/container.json"), 1 << 20);
      const Result<json::Value> document = text ? json::read(*text) : Result<json::Value>(text.error());
      const std::string link(document ? text_at(*document, {"logLink"}) : std::string_view());
      if (!link.empty()) ::unlink(link.c_str());
    }
    const std::string kubelet = cat(options.kubelet_dir, "/pods/", pod);
    if (Result<void> removed = remove_tree(kubelet); !removed) return removed.error();
  }
  for (const std::string& tree : {options.run_dir + "/pods", options.run_dir + "/shim", options.run_dir + "/runc",
                                  options.data_dir + "/containers"}) {
    if (Result<void> removed = remove_tree(tree); !removed) return removed.error();
  }
  return Result<void>();
}

Task<Result<void>> remove_everything(Context context, RuntimeOptions options) {
  auto work = [options]() -> Result<void> {
    Result<Cgroups> cgroups = Cgroups::open("/sys/fs/cgroup", options.cgroup_parent);
    if (!cgroups) return cgroups.error();
    return remove_all_pods(options, *cgroups);
  };
  Result<void> removed = co_await context.loop.offload(std::move(work));
  co_return removed;
}

}  // namespace kayak::agent
