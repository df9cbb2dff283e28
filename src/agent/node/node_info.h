// node_info.h: what this machine is, read once from /proc and /sys, and the Node object made of it. The reading is a
// thin shell over files below a root folder, so that tests have machines of their own; the rest is pure. Source:
// core/v1 NodeStatus, NodeSystemInfo; kubelet's condition reasons and messages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace kayak::agent {

struct MachineInfo {
  std::string hostname, machine_id, system_uuid, boot_id, kernel_version, os_image, architecture;
  std::int64_t cpus = 0;
  std::uint64_t memory_bytes = 0, swap_bytes = 0;
  std::uint64_t disk_bytes = 0;  // of the file system under the data directory
};
// Missing files leave fields empty; nothing here stops a node from starting.
MachineInfo read_machine_info(const std::string& root, const std::string& data_dir);

// How full the machine is, for the pressure conditions. Source: kubelet's default hard eviction thresholds
// (memory.available < 100Mi, nodefs.available < 10%, nodefs.inodesFree < 5%).
struct MachinePressure {
  bool memory = false, disk = false, pids = false;
};
MachinePressure read_pressure(const std::string& root, const std::string& data_dir);

struct NodeConfig {
  std::string name;
  std::vector<std::string> ips;             // InternalIP addresses, first is primary
  std::vector<std::string> labels, taints;  // key=value; key=value:effect
  std::string runtime_version;              // "runc://1.1.5"
  std::vector<std::string> runtime_holes;   // CVE ids that its version number says are open
  bool control_plane = false;               // this node runs a server, too
};

// The Node as it is registered. Source: kubelet node registration (labels of kubernetes.io/*).
json::Value make_node(const NodeConfig& config, const MachineInfo& machine);
// Labels that registration keeps up on an existing Node, and nothing else of its metadata.
json::Value node_labels(const NodeConfig& config, const MachineInfo& machine);

struct NodeImage {
  std::vector<std::string> names;
  std::uint64_t size = 0;
};
// status of the Node; conditions in `existing_conditions` keep their transition times. A null `ready_problem` is ready.
json::Value node_status(const NodeConfig& config, const MachineInfo& machine, const MachinePressure& pressure,
                        const std::vector<NodeImage>& images, const json::Value* existing_conditions,
                        const std::string& ready_problem, WallTime now);

}  // namespace kayak::agent
