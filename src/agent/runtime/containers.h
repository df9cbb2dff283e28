// containers.h: the Runtime of this node: sandboxes and containers as the process knows them. Private to the folder.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/runtime/bundle.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/runtime.h"
#include "agent/runtime/sandbox.h"
#include "agent/runtime/shim_link.h"

namespace kayak::agent {

struct Container {
  ContainerRecord record;
  ContainerStatus status;
  bool starting = false;  // start_container is at work: its failure decides, not the exit event
  io::Event settled;      // start_container has ended
  io::Event exited;
};

struct Sandbox {
  SandboxRecord record;
  PodPaths paths;
  bool alive = false;
  bool making = false;  // create_sandbox is at work: nobody sees it yet
  bool removing = false;
  std::vector<std::shared_ptr<Container>> containers;
  std::unique_ptr<ShimLink> link;
  io::Event linked;  // set while `link` can be used, and when nothing will come any more
  std::shared_ptr<Container> find(std::string_view id) const;
  SandboxStatus status() const;
};
using SandboxPtr = std::shared_ptr<Sandbox>;
using ContainerPtr = std::shared_ptr<Container>;

// What the pieces of the runtime have in common; made once.
struct RuntimeSetup {
  RuntimeOptions options;
  Cgroups cgroups;
  HostFacts host;
  RuntimeInfo info;
  std::string runtime_program;  // absolute
  std::string shim_program;     // absolute
};
Task<Result<RuntimeSetup>> set_up_runtime(Context context, RuntimeOptions options);
// Removes the pods' processes, mounts, directories and control groups that are found on disk.
Result<void> remove_all_pods(const RuntimeOptions& options, const Cgroups& cgroups);

}  // namespace kayak::agent
