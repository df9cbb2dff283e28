// containers.cc: the Runtime: the order in which sandboxes and containers are made, watched, adopted and removed.
// Everything that blocks runs on the pool; everything that the runtime program does is done by the pod's shim.
#include "agent/runtime/containers.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "agent/runtime/mounts.h"
#include "agent/runtime/pod_doc.h"
#include "agent/runtime/pod_fields.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/process.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {

constexpr int kStartErrorCode = 128;
constexpr int kUnknownExitCode = 137;
constexpr Duration kLinkWait = 15s;  // for a shim that is being started again
constexpr Duration kKillWait = 30s;  // for the kernel to end a killed process (one that hangs in a driver)

ContainerStatus status_of(const ContainerRecord& record, std::string_view pod_uid) {
  ContainerStatus out;
  out.id = record.id;
  out.pod_uid = pod_uid;
  out.name = record.name;
  out.init = record.init;
  out.attempt = record.attempt;
  out.image = record.image;
  out.image_id = record.image_id;
  out.created = record.created;
  out.log_path = record.log_path;
  out.memo = record.memo;
  return out;
}

// Blocking: what an end means, in a status's words.
struct Ending {
  std::string reason, message;
};
Ending judge_ending(const ContainerRecord& record, const Cgroups& cgroups, const ShimContainer& exited) {
  Ending out;
  out.message = termination_message(record, exited.code);
  if (cgroups.oom_killed(record.cgroup) && exited.code != 0) {
    out.reason = "OOMKilled";
  } else if (exited.unknown) {
    out.reason = "ContainerStatusUnknown";
    if (out.message.empty()) out.message = "The container could not be located when the pod was terminated";
  } else {
    out.reason = exited.code == 0 ? "Completed" : "Error";
  }
  return out;
}

ShimContainer unknown_end(std::string id, WallTime now) {
  ShimContainer out;
  out.id = std::move(id);
  out.state = ShimContainer::State::kExited;
  out.code = kUnknownExitCode;
  out.unknown = true;
  out.finished = now;
  return out;
}

struct FoundPod {
  SandboxRecord record;
  PodPaths paths;
  bool alive = false;
  std::vector<ContainerRecord> containers;
};

// Blocking: what is on disk, oldest containers first. Records that cannot be read are of a pod that was never finished.
std::vector<FoundPod> find_pods(const RuntimeOptions& options) {
  std::vector<FoundPod> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options.run_dir + "/pods", error)) {
    const std::string uid = entry.path().filename().string();
    const Result<std::string> text = read_file(entry.path().string() + "/sandbox.json", 1 << 20);
    Result<json::Value> value = text ? json::read(*text) : Result<json::Value>(text.error());
    Result<SandboxRecord> record = value ? sandbox_from_json(*value) : Result<SandboxRecord>(value.error());
    if (!record || record->uid != uid) {
      static_cast<void>(remove_tree(entry.path().string()));
      continue;
    }
    FoundPod pod;
    pod.record = std::move(*record);
    pod.paths = pod_paths(options, uid, pod.record.namespace_, pod.record.name);
    pod.alive = sandbox_alive(pod.paths, pod.record);
    std::error_code inner;
    for (const auto& child : std::filesystem::directory_iterator(entry.path(), inner)) {
      const Result<std::string> saved = read_file(child.path().string() + "/container.json", 1 << 20);
      if (!saved) continue;
      Result<json::Value> document = json::read(*saved);
      Result<ContainerRecord> container =
          document ? container_from_json(*document) : Result<ContainerRecord>(document.error());
      if (container) pod.containers.push_back(std::move(*container));
    }
    std::sort(pod.containers.begin(), pod.containers.end(),
              [](const ContainerRecord& a, const ContainerRecord& b) { return a.created < b.created; });
    out.push_back(std::move(pod));
  }
  return out;
}

}  // namespace

std::shared_ptr<Container> Sandbox::find(std::string_view id) const {
  for (const ContainerPtr& container : containers) {
    if (container->record.id == id) return container;
  }
  return nullptr;
}

SandboxStatus Sandbox::status() const {
  SandboxStatus out;
  out.pod_uid = record.uid;
  out.namespace_ = record.namespace_;
  out.name = record.name;
  out.ready = alive;
  out.host_network = record.host_network;
  out.ips = record.ips;
  out.created = record.created;
  for (const ContainerPtr& container : containers) out.containers.push_back(container->status);
  return out;
}

class RuntimeImpl final : public Runtime {
 public:
  RuntimeImpl(Context context, net::PodNetwork& network, RuntimeSetup setup)
      : context_(std::move(context)), network_(network), setup_(std::move(setup)), options_(setup_.options) {}

  Task<Result<std::vector<SandboxStatus>>> adopt(StopToken stop) override;
  std::optional<Refusal> check_pod(const json::Value& pod) const override { return check_pod_fields(pod, options_); }
  Task<Result<SandboxStatus>> create_sandbox(SandboxSpec spec, StopToken stop) override;
  Task<Result<std::string>> create_container(ContainerSpec spec, StopToken stop) override;
  Task<Result<void>> start_container(std::string id, StopToken stop) override;
  Task<Result<void>> stop_container(std::string id, std::int64_t grace_seconds, StopToken stop) override;
  Task<Result<void>> remove_container(std::string id, StopToken stop) override;
  Task<Result<void>> remove_sandbox(std::string pod_uid, bool keep_logs, StopToken stop) override;
  std::vector<SandboxStatus> list() const override;
  std::optional<SandboxStatus> sandbox(std::string_view pod_uid) const override;
  std::optional<ContainerStatus> container(std::string_view id) const override;
  io::Queue<RuntimeEvent>& events() override { return events_; }
  Task<Result<PodStats>> stats(std::string pod_uid, StopToken stop) override;
  const RuntimeInfo& info() const override { return setup_.info; }
  Task<void> close() override;

 private:
  struct Place {
    SandboxPtr sandbox;
    ContainerPtr container;
  };
  Place find(std::string_view id) const;
  Task<Result<void>> run_shim(std::vector<std::string> args, std::string what);
  Task<Result<void>> start_shim(SandboxPtr sandbox);
  Task<Result<void>> connect(SandboxPtr sandbox);
  Task<Result<void>> reconcile(SandboxPtr sandbox);
  Task<Result<ShimLink*>> link_of(SandboxPtr sandbox);
  Task<void> revive(SandboxPtr sandbox);
  Task<void> finish(SandboxPtr sandbox, ContainerPtr container, ShimContainer exited);
  Task<Result<void>> make_sandbox(SandboxPtr sandbox, json::Document pod, std::vector<std::string> host_ips);
  Task<Result<void>> remove_now(SandboxPtr sandbox, ContainerPtr container);
  Task<Result<void>> remove_sandbox_now(SandboxPtr sandbox, bool keep_logs);
  Task<Result<void>> await_exit(SandboxPtr sandbox, ContainerPtr container, Duration at_most, StopToken stop);
  void on_exit(const SandboxPtr& sandbox, const ShimContainer& exited);
  void on_lost(const SandboxPtr& sandbox);
  std::string new_id();

  Context context_;
  net::PodNetwork& network_;
  RuntimeSetup setup_;
  const RuntimeOptions& options_;
  std::map<std::string, SandboxPtr, std::less<>> sandboxes_;
  io::Queue<RuntimeEvent> events_;
  io::TaskScope scope_;  // ends of containers, shims that are started again
};

// ---- shims

Task<Result<void>> RuntimeImpl::run_shim(std::vector<std::string> args, std::string what) {
  io::SpawnOptions spawn;
  spawn.program = setup_.shim_program;
  spawn.args = std::move(args);
  spawn.new_session = true;
  Result<io::RunOutput> run = co_await io::run_program(context_, std::move(spawn));
  if (!run) co_return run.error().while_doing(what);
  if (run->status.ok()) co_return Result<void>();
  co_return Error(Code::kIo, cat(what, ": ", run->err.empty() ? run->status.to_string() : std::string(trim(run->err))));
}

Task<Result<void>> RuntimeImpl::start_shim(SandboxPtr sandbox) {
  auto groups = [this] { return setup_.cgroups.join_files(setup_.cgroups.shims_path()); };
  Result<std::vector<std::string>> files = co_await context_.loop.offload(std::move(groups));
  if (!files) co_return files.error();
  std::vector<std::string> args = {"run", sandbox->paths.shim};
  args.insert(args.end(), files->begin(), files->end());
  Result<void> run = co_await run_shim(std::move(args), "starting the pod's shim");
  co_return run;
}

Task<Result<void>> RuntimeImpl::connect(SandboxPtr sandbox) {
  const std::weak_ptr<Sandbox> weak = sandbox;
  ShimLink::Handlers handlers;
  handlers.on_exit = [this, weak](const ShimContainer& exited) {
    if (const SandboxPtr alive = weak.lock()) on_exit(alive, exited);
  };
  handlers.on_lost = [this, weak] {
    if (const SandboxPtr alive = weak.lock()) on_lost(alive);
  };
  Result<std::unique_ptr<ShimLink>> link =
      co_await ShimLink::connect(context_, sandbox->paths.shim, std::move(handlers));
  if (!link) co_return link.error().while_doing("connecting to the pod's shim");
  sandbox->link = std::move(*link);
  sandbox->linked.set();
  co_return Result<void>();
}

// The connection, waited for while a dead shim is being replaced.
Task<Result<ShimLink*>> RuntimeImpl::link_of(SandboxPtr sandbox) {
  io::Deadline deadline(context_.loop, kLinkWait);
  while (!sandbox->link || sandbox->link->lost()) {
    sandbox->linked.reset();
    const bool set = co_await sandbox->linked.wait(deadline.token());
    if (!set || sandbox->removing) co_return Error(Code::kUnavailable, "the pod's shim cannot be reached");
  }
  co_return sandbox->link.get();
}

void RuntimeImpl::on_lost(const SandboxPtr& sandbox) {
  sandbox->linked.reset();
  if (sandbox->removing || scope_.token().stopped()) return;
  context_.log.warn("a pod's shim has died, starting another", {{"pod", sandbox->record.uid}});
  scope_.spawn(revive(sandbox));
}

Task<void> RuntimeImpl::revive(SandboxPtr sandbox) {
  std::unique_ptr<ShimLink> dead = std::move(sandbox->link);
  if (dead) co_await dead->close();
  dead.reset();
  constexpr int kTries = 5;
  for (int i = 0; i < kTries && !sandbox->removing && !scope_.token().stopped(); ++i) {
    Result<void> done = co_await start_shim(sandbox);
    if (done) done = co_await connect(sandbox);
    if (done) done = co_await reconcile(sandbox);
    if (done) co_return;
    context_.log.error("a pod's shim cannot be started",
                       {{"pod", sandbox->record.uid}, {"error", done.error().message()}});
    if (sandbox->link) {
      std::unique_ptr<ShimLink> half = std::move(sandbox->link);
      co_await half->close();
    }
    Result<void> slept = co_await context_.loop.sleep(500ms * (i + 1), scope_.token());
    if (!slept) co_return;
  }
  if (sandbox->removing || scope_.token().stopped()) co_return;
  // Nothing more will be heard of its containers.
  sandbox->alive = false;
  const std::vector<ContainerPtr> containers = sandbox->containers;
  for (const ContainerPtr& container : containers) {
    if (container->status.state == ContainerState::kExited) continue;
    co_await finish(sandbox, container, unknown_end(container->record.id, context_.clock.wall()));
  }
  RuntimeEvent event;
  event.type = RuntimeEvent::Type::kSandboxLost;
  event.pod_uid = sandbox->record.uid;
  events_.push(std::move(event));
}

// Brings what we know in line with what the shim says.
Task<Result<void>> RuntimeImpl::reconcile(SandboxPtr sandbox) {
  Result<ShimLink*> link = co_await link_of(sandbox);
  if (!link) co_return link.error();
  Result<std::vector<ShimContainer>> listed = co_await (*link)->list();
  if (!listed) co_return listed.error();
  const std::vector<ContainerPtr> containers = sandbox->containers;
  for (const ContainerPtr& container : containers) {
    if (container->status.state == ContainerState::kExited || container->starting) continue;
    const auto found = std::find_if(listed->begin(), listed->end(),
                                    [&](const ShimContainer& one) { return one.id == container->record.id; });
    if (found == listed->end() || found->state == ShimContainer::State::kCreated) {
      // Prepared, but not started by the process that died: nobody will start it now.
      co_await finish(sandbox, container, unknown_end(container->record.id, context_.clock.wall()));
    } else if (found->state == ShimContainer::State::kRunning) {
      container->status.state = ContainerState::kRunning;
      container->status.started = found->started;
    } else if (found->state == ShimContainer::State::kExited) {
      container->status.started = found->started;
      co_await finish(sandbox, container, *found);
    }
  }
  co_return Result<void>();
}

// ---- ends of containers

void RuntimeImpl::on_exit(const SandboxPtr& sandbox, const ShimContainer& exited) {
  const ContainerPtr container = sandbox->find(exited.id);
  if (!container || container->status.state == ContainerState::kExited) return;
  scope_.spawn(finish(sandbox, container, exited));
}

Task<void> RuntimeImpl::finish(SandboxPtr sandbox, ContainerPtr container, ShimContainer exited) {
  auto work = [record = container->record, &cgroups = setup_.cgroups, exited] {
    return judge_ending(record, cgroups, exited);
  };
  Ending ending = co_await context_.loop.offload(std::move(work));
  // The answer to `start` may be on its way behind the event: its outcome counts.
  if (container->starting) co_await container->settled.wait();
  ContainerStatus& status = container->status;
  if (status.state == ContainerState::kExited) co_return;
  status.state = ContainerState::kExited;
  status.finished = exited.finished;
  status.exit_code = exited.code;
  status.signal = exited.signal;
  status.reason = std::move(ending.reason);
  status.message = std::move(ending.message);
  container->exited.set();
  RuntimeEvent event;
  event.pod_uid = sandbox->record.uid;
  event.container_id = container->record.id;
  events_.push(std::move(event));
}

// ---- sandboxes

Task<Result<SandboxStatus>> RuntimeImpl::create_sandbox(SandboxSpec spec, StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  const std::string uid(pod_uid(*spec.pod));
  if (const std::optional<Refusal> refusal = check_pod(*spec.pod)) co_return Error(Code::kInvalid, refusal->message);
  if (const auto known = sandboxes_.find(uid); known != sandboxes_.end()) {
    if (known->second->alive && known->second->record.complete) co_return known->second->status();
    Result<void> removed = co_await remove_sandbox(uid, true, stop);
    if (!removed) co_return removed.error();
  }
  auto sandbox = std::make_shared<Sandbox>();
  SandboxRecord& record = sandbox->record;
  record.uid = uid;
  record.namespace_ = pod_namespace(*spec.pod);
  record.name = pod_name(*spec.pod);
  record.boot_id = machine_boot_id();
  record.hostname = pod_hostname(*spec.pod, options_.cluster_domain).hostname;
  record.cgroup = setup_.cgroups.pod_path(qos_class(*spec.pod), uid);
  record.host_network = host_network(*spec.pod);
  record.host_ipc = bool_at(*spec.pod, {"spec", "hostIPC"});
  record.shared_pid = bool_at(*spec.pod, {"spec", "shareProcessNamespace"});
  record.created = context_.clock.wall();
  if (record.host_network) {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) == 0) record.hostname = name.data();
  }
  sandbox->paths = pod_paths(options_, uid, record.namespace_, record.name);
  sandbox->making = true;
  sandboxes_[uid] = sandbox;
  Result<void> made = co_await make_sandbox(sandbox, spec.pod, spec.host_ips);
  if (!made) {
    Result<void> undone = co_await remove_sandbox_now(sandbox, true);
    if (!undone)
      context_.log.error("a pod's sandbox cannot be undone", {{"pod", uid}, {"error", undone.error().message()}});
    co_return made.error();
  }
  sandbox->making = false;
  sandbox->alive = true;
  co_return sandbox->status();
}

Task<Result<void>> RuntimeImpl::make_sandbox(SandboxPtr sandbox, json::Document pod,
                                             std::vector<std::string> host_ips) {
  auto prepare = [this, sandbox, pod] {
    return prepare_sandbox(*pod, sandbox->paths, setup_.cgroups, options_, sandbox->record);
  };
  Result<void> done = co_await context_.loop.offload(std::move(prepare));
  if (!done) co_return done;
  std::vector<std::string> init_groups;
  if (sandbox->record.shared_pid) {
    auto groups = [this, sandbox] { return setup_.cgroups.join_files(sandbox->record.cgroup + "/init"); };
    Result<std::vector<std::string>> files = co_await context_.loop.offload(std::move(groups));
    if (!files) co_return files.error();
    init_groups = std::move(*files);
  }
  std::vector<std::string> helper = sandbox_helper_args(*pod, sandbox->paths, sandbox->record, init_groups);
  done = co_await run_shim(std::move(helper), "making the pod's namespaces");
  if (!done) co_return done;
  if (sandbox->record.host_network) {
    sandbox->record.ips = std::move(host_ips);
  } else {
    Result<net::PodAddresses> added =
        co_await network_.add(sandbox->record.uid, sandbox->paths.run + "/net", StopToken());
    if (!added) co_return added.error();
    sandbox->record.ips = std::move(added->ips);
  }
  sandbox->record.complete = true;
  auto files = [this, sandbox, pod]() -> Result<void> {
    Result<void> written = write_pod_files(*pod, sandbox->paths, options_, sandbox->record);
    return written ? save_record(sandbox->paths, sandbox->record) : written;
  };
  done = co_await context_.loop.offload(std::move(files));
  if (done) done = co_await start_shim(sandbox);
  if (done) done = co_await connect(sandbox);
  co_return done;
}

Task<Result<void>> RuntimeImpl::remove_sandbox(std::string pod_uid, bool keep_logs, StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  const auto known = sandboxes_.find(pod_uid);
  if (known == sandboxes_.end()) co_return Result<void>();
  const SandboxPtr sandbox = known->second;
  const std::vector<ContainerPtr> containers = sandbox->containers;
  for (const ContainerPtr& container : containers) {
    Result<void> removed = co_await remove_now(sandbox, container);
    if (!removed) co_return removed;
  }
  Result<void> removed = co_await remove_sandbox_now(sandbox, keep_logs);
  co_return removed;
}

Task<Result<void>> RuntimeImpl::remove_sandbox_now(SandboxPtr sandbox, bool keep_logs) {
  sandbox->removing = true;
  sandbox->linked.set();
  if (sandbox->link) {
    if (!sandbox->link->lost()) {
      Result<void> left = co_await sandbox->link->exit();
      if (!left)
        context_.log.debug("a shim does not leave", {{"pod", sandbox->record.uid}, {"error", left.error().message()}});
    }
    std::unique_ptr<ShimLink> link = std::move(sandbox->link);
    co_await link->close();
  }
  if (!sandbox->record.host_network) {
    Result<void> removed = co_await network_.remove(sandbox->record.uid, StopToken());
    if (!removed) co_return removed;
  }
  auto work = [this, sandbox, keep_logs] {
    return remove_sandbox_files(sandbox->paths, sandbox->record.cgroup, setup_.cgroups, keep_logs);
  };
  Result<void> removed = co_await context_.loop.offload(std::move(work));
  if (removed) sandboxes_.erase(sandbox->record.uid);
  co_return removed;
}

// ---- containers

std::string RuntimeImpl::new_id() {
  std::array<std::byte, 32> bytes;
  context_.random.fill(bytes);
  return hex_encode(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

RuntimeImpl::Place RuntimeImpl::find(std::string_view id) const {
  for (const auto& [uid, sandbox] : sandboxes_) {
    if (ContainerPtr container = sandbox->find(id)) return Place{sandbox, std::move(container)};
  }
  return Place();
}

Task<Result<std::string>> RuntimeImpl::create_container(ContainerSpec spec, StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  const auto known = sandboxes_.find(pod_uid(*spec.pod));
  if (known == sandboxes_.end() || !known->second->alive) co_return Error(Code::kNotFound, "the pod has no sandbox");
  const SandboxPtr sandbox = known->second;
  BundleInputs in;
  in.options = options_;
  in.host = setup_.host;
  in.paths = sandbox->paths;
  in.sandbox = sandbox->record;
  in.runtime = setup_.runtime_program;
  in.id = new_id();
  in.now = context_.clock.wall();
  if (sandbox->record.shared_pid || bool_at(*spec.pod, {"spec", "hostPID"})) {
    in.kill_group = setup_.cgroups.procs_file(cat(sandbox->record.cgroup, "/", in.id));
  }
  in.spec = std::move(spec);
  auto work = [in = std::move(in)] { return make_bundle(in); };
  Result<ContainerRecord> record = co_await context_.loop.offload(std::move(work));
  if (!record) co_return record.error();
  auto container = std::make_shared<Container>();
  container->status = status_of(*record, sandbox->record.uid);
  container->record = std::move(*record);
  sandbox->containers.push_back(container);
  co_return container->record.id;
}

Task<Result<void>> RuntimeImpl::start_container(std::string id, StopToken stop) {
  const Place place = find(id);
  if (!place.container) co_return Error(Code::kNotFound, cat("there is no container ", id));
  if (place.container->status.state != ContainerState::kCreated)
    co_return Error(Code::kConflict, "the container was started before");
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  Container& container = *place.container;
  container.starting = true;
  Result<ShimLink*> link = co_await link_of(place.sandbox);
  Result<WallTime> started = Error(Code::kInternal, "");
  if (link) {
    Result<int> pid = co_await (*link)->create(id);
    if (!pid) {
      started = pid.error();
    } else {
      started = co_await (*link)->start(id);
    }
  } else {
    started = link.error();
  }
  container.starting = false;
  container.settled.set();
  if (started) {
    container.status.state = ContainerState::kRunning;
    container.status.started = *started;
    co_return Result<void>();
  }
  container.status.state = ContainerState::kExited;
  container.status.exit_code = kStartErrorCode;
  container.status.reason = "StartError";
  container.status.message = cat("failed to start container: ", started.error().message());
  container.status.finished = context_.clock.wall();
  container.exited.set();
  co_return Error(started.error().code(), container.status.message);
}

Task<Result<void>> RuntimeImpl::await_exit(SandboxPtr sandbox, ContainerPtr container, Duration at_most,
                                           StopToken stop) {
  io::Deadline deadline(context_.loop, at_most, stop);
  const bool exited = co_await container->exited.wait(deadline.token());
  if (exited || container->exited.is_set()) co_return Result<void>();
  co_return deadline.error(
      cat("waiting for container ", container->record.name, " of pod ", sandbox->record.name, " to end"));
}

Task<Result<void>> RuntimeImpl::stop_container(std::string id, std::int64_t grace_seconds, StopToken stop) {
  const Place place = find(id);
  if (!place.container) co_return Error(Code::kNotFound, cat("there is no container ", id));
  const ContainerPtr container = place.container;
  if (container->status.state != ContainerState::kRunning) co_return Result<void>();
  if (grace_seconds > 0) {
    Result<ShimLink*> link = co_await link_of(place.sandbox);
    if (!link) co_return link.error();
    Result<void> asked = co_await (*link)->kill(id, container->record.stop_signal);
    if (!asked && asked.error().code() != Code::kConflict) co_return asked;
    Result<void> ended = co_await await_exit(place.sandbox, container, std::chrono::seconds(grace_seconds), stop);
    if (ended || ended.error().code() == Code::kCancelled) co_return ended;
  }
  Result<ShimLink*> link = co_await link_of(place.sandbox);
  if (!link) co_return link.error();
  Result<void> killed = co_await (*link)->kill(id, SIGKILL);
  if (!killed && killed.error().code() != Code::kConflict) co_return killed;
  Result<void> ended = co_await await_exit(place.sandbox, container, kKillWait, stop);
  co_return ended;
}

Task<Result<void>> RuntimeImpl::remove_container(std::string id, StopToken stop) {
  const Place place = find(id);
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  if (!place.container) co_return Result<void>();
  Result<void> removed = co_await remove_now(place.sandbox, place.container);
  co_return removed;
}

Task<Result<void>> RuntimeImpl::remove_now(SandboxPtr sandbox, ContainerPtr container) {
  // Without a living sandbox (after a reboot) there is neither shim nor process: only files.
  if (sandbox->alive) {
    Result<ShimLink*> link = co_await link_of(sandbox);
    if (!link) co_return link.error();
    Result<void> deleted = co_await (*link)->remove(container->record.id);
    const bool unknown = !deleted && deleted.error().message() == "no such container";
    if (!deleted && !unknown) co_return deleted.error().while_doing(cat("removing container ", container->record.name));
    if (container->status.state != ContainerState::kExited) {
      co_await finish(sandbox, container, unknown_end(container->record.id, context_.clock.wall()));
    }
  }
  auto work = [this, sandbox, record = container->record, alive = sandbox->alive]() -> Result<void> {
    // What a shim that cannot be asked any more would have done.
    if (!alive) {
      if (Result<void> killed = setup_.cgroups.remove_tree(record.cgroup); !killed) return killed;
      if (Result<void> gone = remove_tree(cat(options_.run_dir, "/runc/", record.id)); !gone) return gone;
    }
    Result<void> removed = remove_tree(cat(sandbox->paths.shim, "/", record.id));
    return removed ? remove_bundle(options_, sandbox->paths, record) : removed;
  };
  Result<void> removed = co_await context_.loop.offload(std::move(work));
  if (removed) std::erase(sandbox->containers, container);
  co_return removed;
}

// ---- after a restart

Task<Result<std::vector<SandboxStatus>>> RuntimeImpl::adopt(StopToken stop) {
  auto look = [options = options_] { return find_pods(options); };
  std::vector<FoundPod> found = co_await context_.loop.offload(std::move(look));
  std::vector<SandboxStatus> out;
  for (FoundPod& pod : found) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
    auto sandbox = std::make_shared<Sandbox>();
    sandbox->record = std::move(pod.record);
    sandbox->paths = std::move(pod.paths);
    sandbox->alive = pod.alive;
    for (ContainerRecord& record : pod.containers) {
      auto container = std::make_shared<Container>();
      container->status = status_of(record, sandbox->record.uid);
      container->record = std::move(record);
      sandbox->containers.push_back(std::move(container));
    }
    sandboxes_[sandbox->record.uid] = sandbox;
    if (sandbox->alive) {
      // `run` is harmless when a shim holds the lock.
      Result<void> done = co_await start_shim(sandbox);
      if (done) done = co_await connect(sandbox);
      if (done) done = co_await reconcile(sandbox);
      if (!done) {
        context_.log.error("a pod cannot be taken over",
                           {{"pod", sandbox->record.uid}, {"error", done.error().message()}});
        sandbox->alive = false;
      }
    }
    if (!sandbox->alive) {
      for (const ContainerPtr& container : sandbox->containers) {
        if (container->status.state == ContainerState::kExited) continue;
        co_await finish(sandbox, container, unknown_end(container->record.id, context_.clock.wall()));
      }
    }
    out.push_back(sandbox->status());
  }
  co_return out;
}

// ---- the rest

std::vector<SandboxStatus> RuntimeImpl::list() const {
  std::vector<SandboxStatus> out;
  for (const auto& [uid, sandbox] : sandboxes_) {
    if (!sandbox->making) out.push_back(sandbox->status());
  }
  return out;
}

std::optional<SandboxStatus> RuntimeImpl::sandbox(std::string_view pod_uid) const {
  const auto known = sandboxes_.find(pod_uid);
  if (known == sandboxes_.end() || known->second->making) return std::nullopt;
  return known->second->status();
}

std::optional<ContainerStatus> RuntimeImpl::container(std::string_view id) const {
  const Place place = find(id);
  if (!place.container) return std::nullopt;
  return place.container->status;
}

Task<Result<PodStats>> RuntimeImpl::stats(std::string pod_uid, StopToken) {
  const auto known = sandboxes_.find(pod_uid);
  if (known == sandboxes_.end()) co_return Error(Code::kNotFound, cat("pod ", pod_uid, " has no sandbox"));
  std::vector<std::pair<std::string, std::string>> groups;
  for (const ContainerPtr& container : known->second->containers) {
    if (container->status.state == ContainerState::kRunning)
      groups.emplace_back(container->record.id, container->record.cgroup);
  }
  const WallTime now = context_.clock.wall();
  auto work = [this, groups, cgroup = known->second->record.cgroup, now]() -> Result<PodStats> {
    PodStats out;
    Result<UsageStats> pod = setup_.cgroups.stats(cgroup);
    if (!pod) return pod.error();
    out.pod = *pod;
    out.pod.time = now;
    for (const auto& [id, path] : groups) {
      Result<UsageStats> one = setup_.cgroups.stats(path);
      if (!one) continue;  // it has ended meanwhile
      one->time = now;
      out.containers.emplace_back(id, *one);
    }
    return out;
  };
  Result<PodStats> stats = co_await context_.loop.offload(std::move(work));
  co_return stats;
}

Task<void> RuntimeImpl::close() {
  scope_.stop();
  for (auto& [uid, sandbox] : sandboxes_) {
    sandbox->removing = true;  // waiters give up; the pod itself lives on
    sandbox->linked.set();
    if (!sandbox->link) continue;
    std::unique_ptr<ShimLink> link = std::move(sandbox->link);
    co_await link->close();
  }
  static_cast<void>(co_await scope_.join());
  events_.close();
}

Task<Result<std::unique_ptr<Runtime>>> Runtime::create(Context context, net::PodNetwork& network,
                                                       RuntimeOptions options) {
  Result<RuntimeSetup> setup = co_await set_up_runtime(context, std::move(options));
  if (!setup) co_return setup.error();
  co_return std::unique_ptr<Runtime>(std::make_unique<RuntimeImpl>(context, network, std::move(*setup)));
}

}  // namespace kayak::agent
