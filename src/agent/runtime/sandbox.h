// sandbox.h: what a pod has on its node besides containers: directories, files, namespaces, control group. Values and
// blocking steps; containers.cc puts them in order. All of it is found again by its path, so that a crash at any moment
// leaves something that can be removed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/cgroups.h"
#include "agent/runtime/oci_config.h"
#include "agent/runtime/pod_files.h"
#include "agent/runtime/runtime.h"

namespace kayak::agent {

// Where things of one pod are.
struct PodPaths {
  std::string run;      // <run_dir>/pods/<uid>: pinned namespaces, shm, sandbox.json, a directory per container
  std::string shim;     // <run_dir>/shim/<uid>
  std::string kubelet;  // <kubelet_dir>/pods/<uid>
  std::string logs;     // <pod_log_dir>/<ns>_<name>_<uid>
};
PodPaths pod_paths(const RuntimeOptions& options, std::string_view uid, std::string_view namespace_,
                   std::string_view name);

// What is kept of a sandbox in <run>/sandbox.json.
struct SandboxRecord {
  std::string uid, namespace_, name;
  std::string boot_id;  // of the machine's run that made it
  std::string hostname;
  std::string cgroup;
  bool host_network = false, host_ipc = false, shared_pid = false;
  bool complete = false;  // false while it is being made
  std::vector<std::string> ips;
  WallTime created;
  std::vector<VolumePath> volumes;
};
json::Value to_json(const SandboxRecord& record);
Result<SandboxRecord> sandbox_from_json(const json::Value& value);
Result<void> save_record(const PodPaths& paths, const SandboxRecord& record);
std::string machine_boot_id();

SandboxPaths sandbox_paths(const PodPaths& paths, const SandboxRecord& record);
// Arguments of `kayak-shim sandbox`. Pure.
std::vector<std::string> sandbox_helper_args(const json::Value& pod, const PodPaths& paths, const SandboxRecord& record,
                                             const std::vector<std::string>& init_groups);

// Directories, control group and volumes; fills the record's volumes.
Result<void> prepare_sandbox(const json::Value& pod, const PodPaths& paths, const Cgroups& cgroups,
                             const RuntimeOptions& options, SandboxRecord& record);
// hosts, hostname and resolv.conf, once the addresses are known.
Result<void> write_pod_files(const json::Value& pod, const PodPaths& paths, const RuntimeOptions& options,
                             const SandboxRecord& record);
// Are its namespaces still there?
bool sandbox_alive(const PodPaths& paths, const SandboxRecord& record);
// Kills the shim whose directory this is, when it still runs.
void end_shim(const std::string& directory);
// Everything but containers. Ok for what is not there.
Result<void> remove_sandbox_files(const PodPaths& paths, const std::string& cgroup, const Cgroups& cgroups,
                                  bool keep_logs);

}  // namespace kayak::agent
