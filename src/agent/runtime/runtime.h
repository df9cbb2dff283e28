// runtime.h: the container runtime as the pod lifecycle sees it: sandboxes and containers, values in, Tasks out.
// Owns (behind the interface) pod namespaces, mounts, cgroups, the shim of each pod and its containers. Leaves to
// others: what to run and when (pod lifecycle), images (src/agent/images), the API.
// Order of calls for a pod: check_pod, create_sandbox, per container create_container and start_container, then events
// arrive; stop_container, remove_container; remove_sandbox last. Every call is idempotent in its effect: after a crash
// `adopt` tells what is there, and repeating a removal is fine. Calls for different pods run side by side; the caller
// makes one call at a time for one container (stop_container may run beside a start of another).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/image_config.h"
#include "base/json.h"
#include "io/loop.h"
#include "net/net.h"

namespace kayak::agent {

// Why a pod or container is not run, in the words that end up in a container's waiting state.
struct Refusal {
  std::string reason;   // e.g. CreateContainerConfigError
  std::string message;  // names the field
};

struct SandboxSpec {
  json::Document pod;                 // as the API has it (defaulted, with uid); not kept after the call
  std::vector<std::string> host_ips;  // of the node, first is primary: downward API, /etc/hosts of hostNetwork pods
};

enum class ContainerState : std::uint8_t {
  kCreated,  // made, not started (or being started)
  kRunning,
  kExited,
};

// One container of a pod, living or dead, as the runtime knows it.
struct ContainerStatus {
  std::string id;  // 64 hex digits; new for each attempt
  std::string pod_uid, name;
  bool init = false;          // from spec.initContainers
  std::uint32_t attempt = 0;  // 0 for the first start in this pod: the restart count
  ContainerState state = ContainerState::kCreated;
  std::string image, image_id;          // as given in ContainerSpec
  WallTime created, started, finished;  // zero when not reached
  int exit_code = 0;                    // 0..255; 128 + signal when killed by one; 137 when unknown
  int signal = 0;                       // that killed it, or 0
  // Terminated reason: Completed, Error, OOMKilled, ContainerStatusUnknown (nobody saw its end), StartError.
  std::string reason;
  std::string message;   // the termination message, or why it did not start
  std::string log_path;  // absolute, of the current log file
  std::string memo;      // as given in ContainerSpec
};

struct SandboxStatus {
  std::string pod_uid, namespace_, name;
  bool ready = false;  // false: its namespaces or its network are gone (reboot); remove it and make a new one
  bool host_network = false;
  std::vector<std::string> ips;  // of the pod; the node's for hostNetwork
  WallTime created;
  std::vector<ContainerStatus> containers;  // in order of creation
};

// What the environment of a container may refer to beyond its pod. The caller fetches what env_references names.
struct EnvInputs {
  // "namespace/name" of ConfigMaps and Secrets; null or missing: it does not exist.
  std::map<std::string, json::Document> config_maps, secrets;
  // Service link variables in order, e.g. {"KUBERNETES_SERVICE_HOST", "10.43.0.1"}.
  std::vector<std::pair<std::string, std::string>> services;
  std::vector<std::string> pod_ips, host_ips;
};

struct ContainerSpec {
  json::Document pod;  // not kept after the call
  std::string name;    // of one of its containers or init containers
  std::uint32_t attempt = 0;
  LocalImage image;
  EnvInputs env;
  std::string memo;  // opaque to the runtime, given back in ContainerStatus; at most 4 KiB
};

struct RuntimeEvent {
  enum class Type : std::uint8_t {
    kContainerExited,  // container(id) has the outcome; its log is complete
    kSandboxLost,      // the pod's namespaces died under it; its containers are reported as exited, too
  };
  Type type = Type::kContainerExited;
  std::string pod_uid;
  std::string container_id;  // empty for kSandboxLost
};

// Of one container or of a whole pod. Source: stats/v1alpha1; cgroup v1 and v2 files.
struct UsageStats {
  WallTime time;
  std::uint64_t cpu_usage_nanoseconds = 0;     // cumulative
  std::uint64_t memory_usage_bytes = 0;        // with page cache
  std::uint64_t memory_working_set_bytes = 0;  // usage without inactive file pages
  std::uint64_t memory_rss_bytes = 0;
  std::uint64_t processes = 0;
};
struct PodStats {
  UsageStats pod;
  std::vector<std::pair<std::string, UsageStats>> containers;  // by container id, running ones
};

struct RuntimeInfo {
  std::string name;     // "runc"
  std::string version;  // "1.1.5+ds1"
  std::vector<std::string>
      known_holes;  // CVE ids that this version's number says are open (distributions backport fixes)
};

struct RuntimeOptions {
  std::string run_dir = "/run/kayak";                     // pods/, shim/, runc/: gone after a reboot
  std::string data_dir = "/var/lib/kayak/agent";          // containers/ (writable layers), bin/
  std::string kubelet_dir = "/var/lib/kubelet";           // pods/<uid>/: volumes, etc-hosts, termination messages
  std::string pod_log_dir = "/var/log/pods";              // <ns>_<name>_<uid>/<container>/<attempt>.log
  std::string container_log_dir = "/var/log/containers";  // symlinks that log shippers look for; empty: none
  std::string cgroup_parent = "kayak";                    // under each cgroup root
  std::string runtime;                                    // path or name; empty: runc, else crun, from PATH
  std::string cluster_domain = "cluster.local";
  std::vector<std::string> cluster_dns;             // empty: pods get the node's resolv.conf
  std::string resolv_conf;                          // of the node; empty: found by itself
  std::uint64_t log_max_bytes = 10 << 20;           // of one log file
  std::uint32_t log_max_files = 5;                  // current one included
  std::int64_t pod_pids_limit = -1;                 // processes per pod; -1: unlimited
  std::uint64_t memory_capacity_bytes = 0;          // of the node, for oom scores; 0: read from /proc/meminfo
  std::vector<std::string> allowed_unsafe_sysctls;  // names, or prefixes ending in *
};

class Runtime {
 public:
  // Prepares directories, cgroups, the shim program. `network` outlives the runtime. Errors: NotFound (no container
  // runtime on this machine: says which packages have one), Io, Unavailable (a cgroup controller that is needed is
  // missing: the message says how to turn it on).
  static Task<Result<std::unique_ptr<Runtime>>> create(Context context, net::PodNetwork& network,
                                                       RuntimeOptions options);
  virtual ~Runtime() = default;

  // What the previous process left behind: reconnects to (or restarts) the shims, removes half-made containers and
  // whatever a reboot left, and returns every sandbox. Call once, before anything else.
  virtual Task<Result<std::vector<SandboxStatus>>> adopt(StopToken stop) = 0;

  // Null when the pod can run here; fields not honoured yet are named (see pod_fields.h). Pure and cheap.
  virtual std::optional<Refusal> check_pod(const json::Value& pod) const = 0;

  // Namespaces, network, cgroup, directories, volumes of the pod, and its shim. Errors: Io, NoSpace, Unavailable;
  // Invalid and NotFound name what the pod asks for and cannot have (a hostPath that is not there).
  virtual Task<Result<SandboxStatus>> create_sandbox(SandboxSpec spec, StopToken stop) = 0;
  // Root file system, environment, user and OCI configuration of a container; its id. Errors: Invalid (reason
  // CreateContainerConfigError: message names what is wrong), others (reason CreateContainerError).
  virtual Task<Result<std::string>> create_container(ContainerSpec spec, StopToken stop) = 0;
  // Runs it. On failure the container is kExited with reason StartError and code 128. Errors: reason RunContainerError.
  virtual Task<Result<void>> start_container(std::string id, StopToken stop) = 0;
  // The image's stop signal, then SIGKILL after `grace_seconds` (0 kills at once). Ends when the container has exited;
  // ok when it was not running. Errors: NotFound, Cancelled (it may still be on its way down), Io.
  virtual Task<Result<void>> stop_container(std::string id, std::int64_t grace_seconds, StopToken stop) = 0;
  // Kills it when it runs, then drops its root file system, record and logs, as upstream does (a crash loop would fill
  // the disk otherwise). Ok when it is not there.
  virtual Task<Result<void>> remove_container(std::string id, StopToken stop) = 0;
  // Removes the containers, then namespaces, network, cgroup, volumes; `keep_logs` false removes the logs, too. Ok when
  // it is not there.
  virtual Task<Result<void>> remove_sandbox(std::string pod_uid, bool keep_logs, StopToken stop) = 0;

  virtual std::vector<SandboxStatus> list() const = 0;
  virtual std::optional<SandboxStatus> sandbox(std::string_view pod_uid) const = 0;
  virtual std::optional<ContainerStatus> container(std::string_view id) const = 0;
  // In order of happening. One reader.
  virtual io::Queue<RuntimeEvent>& events() = 0;
  // Errors: NotFound.
  virtual Task<Result<PodStats>> stats(std::string pod_uid, StopToken stop) = 0;
  virtual const RuntimeInfo& info() const = 0;

  // Lets go of everything; sandboxes and containers live on. Await it before destruction.
  virtual Task<void> close() = 0;
};

// Removes everything that a Runtime with these options ever made (uninstall, ./dev run --once): containers, shims,
// namespaces, mounts, cgroups, directories under run_dir; logs and data stay. Safe beside other installations.
Task<Result<void>> remove_everything(Context context, RuntimeOptions options);

}  // namespace kayak::agent
