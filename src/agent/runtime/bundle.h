// bundle.h: everything that a container needs on disk before it is started: root file system, OCI configuration, log
// and record. Values and blocking steps; containers.cc puts them in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/sandbox.h"

namespace kayak::agent {

// What is kept of a container in <pod run>/<id>/container.json.
struct ContainerRecord {
  std::string id, name, image, image_id, memo, log_path, log_link;
  std::string cgroup;
  std::string termination_file;   // on the host
  bool fallback_to_logs = false;  // terminationMessagePolicy
  bool init = false;
  std::uint32_t attempt = 0;
  int stop_signal = 15;
  WallTime created;
};
json::Value to_json(const ContainerRecord& record);
Result<ContainerRecord> container_from_json(const json::Value& value);

// "SIGTERM", "TERM", "15", "SIGRTMIN+3"; 15 when it is none.
int parse_signal(std::string_view text);

struct BundleInputs {
  RuntimeOptions options;
  HostFacts host;
  PodPaths paths;
  SandboxRecord sandbox;
  ContainerSpec spec;
  std::string runtime;     // absolute path of the runtime
  std::string kill_group;  // cgroup.procs when the container has no process namespace of its own
  std::string id;
  WallTime now;
};
// Mounts and writes; undone when it fails. Errors: Invalid (what the pod asks for makes no sense), others.
Result<ContainerRecord> make_bundle(const BundleInputs& in);
// Root file system, writable layer, record, log link, logs. Ok for what is not there.
Result<void> remove_bundle(const RuntimeOptions& options, const PodPaths& paths, const ContainerRecord& record);

// At most 4096 bytes of what the container left, or of its log's end when it failed and asked for that.
std::string termination_message(const ContainerRecord& record, int exit_code);

// Device nodes of the host, for privileged containers.
std::vector<HostDevice> host_devices(const std::string& root = "/dev");
HostFacts read_host_facts(const Cgroups& cgroups, const RuntimeOptions& options);

}  // namespace kayak::agent
