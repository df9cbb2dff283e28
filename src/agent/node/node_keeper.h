// node_keeper.h: keeps this machine's Node and its Lease in the API: registration, status, heartbeats.
// Source: kubelet node status and lease: status when it changes and every 5 minutes, lease every 10 s.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/node/node_info.h"
#include "client/client.h"
#include "io/loop.h"

namespace kayak::agent {

class NodeKeeper {
 public:
  NodeKeeper(Context context, client::Client& client, NodeConfig config, std::string data_dir);
  // Creates the Node or takes over the one of this name; its answer. Errors: Cancelled.
  Task<Result<api::ObjectRef>> register_node(StopToken stop);
  // The node's pod address range as the controllers gave it; waits for it. Errors: Cancelled.
  Task<Result<std::string>> wait_for_pod_cidr(StopToken stop);
  // Heartbeats until `stop`.
  Task<Result<void>> run(StopToken stop);

  // What is wrong with the node; empty: it is ready. Reported at once.
  void set_problem(std::string problem);
  void set_images(std::function<std::vector<NodeImage>()> images) { images_ = std::move(images); }
  void set_runtime(std::string version, std::vector<std::string> holes) {
    config_.runtime_version = std::move(version);
    config_.runtime_holes = std::move(holes);
  }
  const std::string& uid() const { return uid_; }

 private:
  Task<Result<void>> renew_leases(StopToken stop);
  Task<Result<void>> renew_lease(StopToken stop);
  Task<Result<void>> report_statuses(StopToken stop);
  Task<Result<void>> report_status(bool force, StopToken stop);

  Context context_;
  client::Client& client_;
  NodeConfig config_;
  std::string data_dir_;
  MachineInfo machine_;
  std::string uid_;
  std::string problem_ = "container runtime is starting";
  std::function<std::vector<NodeImage>()> images_;
  std::string reported_;  // without heartbeat times
  Instant reported_at_;
  io::Event changed_;
};

}  // namespace kayak::agent
