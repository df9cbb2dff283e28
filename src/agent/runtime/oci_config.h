// oci_config.h: the OCI runtime configuration (config.json) of one container. Pure: same inputs, same document.
// Owns the confinement of containers: capabilities, masked paths, devices, seccomp, namespaces. Leaves to others:
// making the directories and namespaces that it names (sandbox, containers), which fields are allowed (pod_fields).
// Source: OCI runtime-spec 1.0.2 config.md, config-linux.md; core/v1 Pod; the defaults that container engines share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/env.h"
#include "agent/runtime/image_config.h"
#include "agent/runtime/resources.h"
#include "agent/runtime/seccomp.h"
#include "agent/runtime/users.h"
#include "base/json.h"
#include "base/result.h"

namespace kayak::agent {

// Files and namespaces of the pod that its containers join. An empty namespace path: the host's own is kept.
struct SandboxPaths {
  std::string net_ns, ipc_ns, uts_ns;
  std::string pid_ns;  // of a pod that shares its process namespace; empty: a new one per container (or the host's)
  std::string shm;     // directory for /dev/shm
  std::string hosts, hostname, resolv_conf;
};

// A device node of the host, for privileged containers.
struct HostDevice {
  std::string path;
  char type = 'c';  // 'c' or 'b'
  std::int64_t major = 0, minor = 0;
  std::uint32_t mode = 0, uid = 0, gid = 0;
};

// What the machine has and can.
struct HostFacts {
  Arch arch = Arch::kAmd64;
  bool cgroup_v2 = false;
  bool swap_accounting = false;           // cgroup v1: memory.memsw exists
  std::vector<std::string> capabilities;  // of our own bounding set, "CAP_..."
  // Without CAP_SYS_RESOURCE a lower score than our own cannot be had, and the runtime fails over it.
  int min_oom_score_adj = -1000;
  std::uint64_t memory_capacity_bytes = 0;
  std::vector<std::string> extra_masked_paths;  // e.g. per-CPU thermal_throttle directories
  std::vector<HostDevice> devices;              // looked up for privileged containers alone
};

struct VolumePath {
  std::string name;       // in spec.volumes
  std::string host_path;  // what is mounted
};

struct OciInputs {
  const json::Value& pod;
  const json::Value& container;
  const ImageConfig& image;
  const SandboxPaths& sandbox;
  const HostFacts& host;
  std::string hostname;  // for the HOSTNAME variable
  EnvList env;           // from container_env
  ProcessUser user;
  std::vector<VolumePath> volumes;
  std::vector<VolumePath> image_volumes;  // name: the path inside the container
  std::string termination_log;            // host file for terminationMessagePath
  std::string rootfs;                     // absolute
  std::string cgroup_path;                // "/kayak/burstable/pod<uid>/<id>"
};
// Errors: Invalid, with a message for the container's waiting state (no command, a working directory or mount path
// that is not acceptable, an unknown capability).
Result<json::Value> make_oci_config(const OciInputs& in);

// The capabilities that a container gets when it asks for nothing.
const std::vector<std::string>& default_capabilities();
// In the kernel's numbering: "CAP_CHOWN" is 0. Empty beyond the last known.
std::string_view capability_name(int number);

bool is_privileged(const json::Value& container);
// "/a/./b/../c" -> "/a/c"; relative paths start at /. Never leaves the root.
std::string clean_path(std::string_view path);

}  // namespace kayak::agent
