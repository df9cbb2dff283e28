// pod_worker.h: carries out what pod_plan decides for one pod, one action at a time, and reports its status.
// Owns the pod's bookkeeping of retries and back-offs; the runtime owns its containers, the API its object.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/images/images.h"
#include "agent/pod/pod_plan.h"
#include "agent/runtime/runtime.h"
#include "client/client.h"
#include "io/loop.h"

namespace kayak::agent {

// What all workers of a node share; outlives them.
struct PodDeps {
  Context context;
  client::Client& client;
  Runtime& runtime;
  ImageStore& images;
  client::EventRecorder& recorder;
  client::Informer& services;  // for service environment variables
  std::vector<std::string> host_ips;
};

class PodWorker {
 public:
  // A pod that the API has.
  PodWorker(PodDeps& deps, api::ObjectRef pod);
  // A pod that is here and that the API no longer has: it is taken down.
  PodWorker(PodDeps& deps, const SandboxStatus& orphan);

  // Until nothing of the pod is left here and the API knows, or `stop` fires (then its containers run on).
  Task<void> run(StopToken stop);

  void update(api::ObjectRef pod);
  void gone();             // the API has removed the pod
  void runtime_changed();  // an event of the runtime about this pod
  void stop_containers();  // the node shuts down: end all containers, keep the pod

  const std::string& uid() const { return uid_; }
  bool idle_and_stopped() const;  // after stop_containers: nothing runs any more

 private:
  struct Book {  // per container, by name
    RetryState failure;
    std::uint32_t attempt_floor = 0;
    std::string judged_id;    // the ended container that restart_at is about
    std::string replaced_id;  // the container that was stopped because its image changed
    Instant restart_at;
    Duration restart_delay{0}, next_restart_delay{0};
  };

  PodFacts gather();
  ContainerFacts facts_of(const json::Value& container, bool init, const PodFacts& pod);
  void judge_exit(ContainerFacts& facts, const PodFacts& pod, Book& book);
  void tell_refusal(const PodFacts& facts);
  Task<void> carry_out(Action action, StopToken stop);
  Task<void> create_sandbox(StopToken stop);
  Task<void> start_container(std::string name, std::uint32_t attempt, StopToken stop);
  Task<Result<ImageRef>> ensure_image(std::string name, std::string image, std::string policy, Book& book,
                                      StopToken stop);
  Task<Result<ImageRef>> pull_image(std::string name, std::string image, Reference reference, StopToken stop);
  Task<std::vector<Credentials>> pull_credentials(std::string registry, StopToken stop);
  Task<Result<EnvInputs>> env_inputs(std::string container, StopToken stop);
  Task<void> stop_running(std::string only, std::int64_t grace_seconds, StopToken stop);
  Task<Result<void>> stop_one(std::string id, std::int64_t grace_seconds, StopToken stop);
  Task<bool> finish(StopToken stop);
  Task<void> report(StopToken stop);
  void fail(Book& book, std::string reason, std::string message);
  void event(const std::string& container, const char* type, const char* reason, std::string message);
  const json::Value* container_spec(const std::string& name) const;

  PodDeps& deps_;
  std::string uid_, namespace_, name_;
  api::ObjectRef pod_;       // null for an orphan
  json::Document document_;  // of pod_, held while the worker lives
  bool gone_ = false, stop_requested_ = false, done_ = false, deadline_exceeded_ = false;
  RetryState sandbox_failure_;
  std::map<std::string, Book> books_;
  std::string reported_;      // the status as last sent
  std::string told_refusal_;  // the refusal that an event has told
  Instant report_retry_;
  io::Event wake_;
  std::unique_ptr<io::StopSource> interrupt_;  // of the action that runs
};

}  // namespace kayak::agent
