// agent.h: the node agent: this machine as a Node of the cluster, and the pods that are assigned to it.
// The only header of src/agent that others include, beside images/images.h for `kayak image`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/images/images.h"
#include "client/client.h"
#include "io/http.h"
#include "io/loop.h"

namespace kayak::agent {

struct AgentOptions {
  std::string node_name;
  std::vector<std::string> node_ips;  // first is primary
  std::string data_dir;               // <data-dir>/agent
  std::string run_dir;                // /run/kayak
  std::string instance;               // tells installations on one machine apart; empty for the default one
  std::vector<std::string> node_labels, node_taints;
  std::string registries;  // path of registries.yaml
  std::string runtime;     // "runc" or "crun"
  std::string cluster_cidr = "10.42.0.0/16";
  std::vector<std::string> cluster_dns;
  bool control_plane = false;
  bool stop_pods_on_exit = false;
};

class Agent {
 public:
  // `client` speaks as system:node:<name>. It and `informers` outlive the agent.
  static std::unique_ptr<Agent> create(Context context, client::Client& client, client::InformerFactory& informers,
                                       AgentOptions options);
  virtual ~Agent() = default;

  // Registers the node, takes over what runs, then follows the API until `stop`. Containers live on afterwards unless
  // stop_pods_on_exit is set. Errors: what makes this machine unfit to be a node (no container runtime, ...).
  virtual Task<Result<void>> run(StopToken stop) = 0;

  struct LogRequest {
    std::string namespace_, name, uid, container;
    bool follow = false, previous = false, timestamps = false;
    std::optional<std::int64_t> since_seconds, tail_lines, limit_bytes;
    std::optional<WallTime> since_time;
    std::string stream;
  };
  // Logs of a container of a pod of this node. Errors: BadRequest with kubelet's wording ("container \"x\" in pod \"y\"
  // is waiting to start: ContainerCreating"), NotFound.
  virtual Task<Result<std::unique_ptr<io::HttpBody>>> logs(LogRequest request, StopToken stop) = 0;
};

// Removes everything an agent with these options ever left on the machine but data and logs. For a stopped agent.
Task<Result<void>> remove_everything(Context context, AgentOptions options);

}  // namespace kayak::agent
