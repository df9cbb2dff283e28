// agent.cc: wires images, network, runtime, node and pods together, and gives every pod a worker.
#include "agent/agent.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "agent/logs/log_reader.h"
#include "agent/node/node_keeper.h"
#include "agent/pod/pod_worker.h"
#include "agent/runtime/runtime.h"
#include "api/views/core_v1.h"
#include "base/files.h"
#include "base/strings.h"
#include "net/net.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {

net::PodNetworkOptions network_options(const AgentOptions& options, const std::string& pod_cidr) {
  net::PodNetworkOptions network;
  network.bridge = options.instance.empty() ? "kayak0" : cat("kayak", options.instance);
  network.pod_cidrs = {pod_cidr};
  network.cluster_cidrs = {options.cluster_cidr};
  network.state_dir = options.run_dir + "/net";
  return network;
}

RuntimeOptions runtime_options(const AgentOptions& options) {
  RuntimeOptions runtime;
  runtime.run_dir = options.run_dir;
  runtime.data_dir = options.data_dir;
  runtime.runtime = options.runtime;
  runtime.cgroup_parent = options.instance.empty() ? "kayak" : cat("kayak-", options.instance);
  // kube-dns is a later part of Kayak: until a cluster DNS answers, pods use the node's resolvers.
  runtime.cluster_dns = options.cluster_dns;
  return runtime;
}

// Archives in `folder` that were not imported in their present form; each with the mark that says so.
struct Archive {
  std::string path, mark_path, mark;
};
std::vector<Archive> new_archives(const std::string& folder, const std::string& marks) {
  std::vector<Archive> found;
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return found;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    const bool archive =
        name.size() > 4 && (name.substr(name.size() - 4) == ".tar" || name.find(".tar.") != std::string::npos ||
                            name.substr(name.size() - 4) == ".tgz");
    struct stat info {};
    const std::string path = cat(folder, "/", name);
    if (!archive || ::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    Archive one{path, cat(marks, "/", name), cat(info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec)};
    if (Result<std::string> mark = read_file(one.mark_path, 1024); mark && *mark == one.mark) continue;
    found.push_back(std::move(one));
  }
  ::closedir(dir);
  std::sort(found.begin(), found.end(), [](const Archive& a, const Archive& b) { return a.path < b.path; });
  return found;
}

}  // namespace

class AgentImpl final : public Agent {
 public:
  AgentImpl(Context context, client::Client& client, client::InformerFactory& informers, AgentOptions options)
      : context_(std::move(context)),
        client_(client),
        informers_(informers),
        options_(std::move(options)),
        keeper_(context_.named("node"), client_, node_config(), options_.data_dir),
        pods_(informers_.informer(api::kinds::pods(), own_pods())),
        services_(informers_.informer(api::kinds::services())) {}

  Task<Result<void>> run(StopToken stop) override;
  Task<Result<std::unique_ptr<io::HttpBody>>> logs(LogRequest request, StopToken stop) override;

 private:
  struct Entry {
    std::unique_ptr<PodWorker> worker;
  };

  NodeConfig node_config() const;
  client::ListOptions own_pods() const;
  Task<Result<void>> prepare(StopToken stop);
  Task<Result<void>> serve(std::vector<SandboxStatus> adopted, StopToken stop);
  Task<Result<void>> import_archives(StopToken stop);
  Task<Result<void>> pump_events(StopToken stop);
  Task<void> run_worker(std::string uid);
  void start_worker(std::unique_ptr<PodWorker> worker);
  void pod_added(const api::ObjectRef& pod);
  void pod_removed(const api::ObjectRef& pod);
  Task<void> end_pods();
  Result<ContainerStatus> log_source(const LogRequest& request);
  std::string waiting_reason(const LogRequest& request);

  Context context_;
  client::Client& client_;
  client::InformerFactory& informers_;
  AgentOptions options_;
  NodeKeeper keeper_;
  client::Informer& pods_;
  client::Informer& services_;
  std::unique_ptr<ImageStore> images_;
  std::unique_ptr<net::PodNetwork> network_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<client::EventRecorder> recorder_;
  std::unique_ptr<PodDeps> deps_;
  std::map<std::string, Entry> workers_;   // by pod uid
  io::TaskScope* worker_scope_ = nullptr;  // while pods are served
  io::Event worker_ended_;
};

NodeConfig AgentImpl::node_config() const {
  NodeConfig config;
  config.name = options_.node_name;
  config.ips = options_.node_ips;
  config.labels = options_.node_labels;
  config.taints = options_.node_taints;
  config.control_plane = options_.control_plane;
  config.runtime_version = "unknown";
  return config;
}

client::ListOptions AgentImpl::own_pods() const {
  client::ListOptions options;
  options.fields = api::FieldSelector::equals("spec.nodeName", options_.node_name);
  return options;
}

Task<Result<void>> AgentImpl::prepare(StopToken stop) {
  ImageStoreOptions image_options;
  image_options.folder = options_.data_dir + "/image-store";
  image_options.registries = options_.registries;
  Context image_context = context_.named("images");
  auto open = [image_context, image_options] { return ImageStore::open(image_context, image_options); };
  Result<std::unique_ptr<ImageStore>> images = co_await context_.loop.offload(std::move(open));
  if (!images) co_return images.error().while_doing("opening the image store");
  images_ = std::move(*images);
  keeper_.set_images([this] {
    std::vector<NodeImage> list;
    for (const ImageRef& image : images_->list()) {
      NodeImage entry;
      entry.names = image->digests;
      entry.names.insert(entry.names.end(), image->names.begin(), image->names.end());
      entry.size = image->size;
      list.push_back(std::move(entry));
    }
    return list;
  });

  Result<api::ObjectRef> node = co_await keeper_.register_node(stop);
  if (!node) co_return node.error();
  Result<std::string> pod_cidr = co_await keeper_.wait_for_pod_cidr(stop);
  if (!pod_cidr) co_return pod_cidr.error();
  Result<std::unique_ptr<net::PodNetwork>> network =
      net::PodNetwork::create(context_.named("network"), network_options(options_, *pod_cidr));
  if (!network) co_return network.error().while_doing("preparing the pod network");
  network_ = std::move(*network);
  Result<void> started = co_await network_->start(stop);
  if (!started) co_return started.error().while_doing("starting the pod network");
  Result<std::unique_ptr<Runtime>> runtime =
      co_await Runtime::create(context_.named("runtime"), *network_, runtime_options(options_));
  if (!runtime) co_return runtime.error().while_doing("preparing the container runtime");
  runtime_ = std::move(*runtime);
  keeper_.set_runtime(cat(runtime_->info().name, "://", runtime_->info().version), runtime_->info().known_holes);
  co_return Result<void>();
}

Task<Result<void>> AgentImpl::run(StopToken stop) {
  Result<void> prepared = co_await prepare(stop);
  Result<void> served;
  if (prepared) {
    Result<std::vector<SandboxStatus>> adopted = co_await runtime_->adopt(stop);
    if (adopted) {
      std::vector<std::string> uids;
      for (const SandboxStatus& sandbox : *adopted) uids.push_back(sandbox.pod_uid);
      Result<void> kept = co_await network_->keep_only(uids, stop);
      if (!kept) context_.log.warn("cannot tidy the pod network", {{"error", kept.error().message()}});
      served = co_await serve(std::move(*adopted), stop);
    } else {
      served = adopted.error().while_doing("taking over the pods that run");
    }
  }
  if (runtime_) co_await runtime_->close();
  if (prepared && options_.stop_pods_on_exit) {
    Result<void> removed = co_await kayak::agent::remove_everything(context_, options_);
    if (!removed) context_.log.warn("cannot clean up after the pods", {{"error", removed.error().message()}});
  }
  if (!prepared) co_return prepared;
  co_return served;
}

Task<Result<void>> AgentImpl::serve(std::vector<SandboxStatus> adopted, StopToken stop) {
  // Pods outlive `stop` until end_pods has run: their scope has a source of its own.
  io::TaskScope workers;
  io::TaskScope helpers;
  worker_scope_ = &workers;
  recorder_ = client::make_event_recorder(context_.named("events"), client_, "kubelet", options_.node_name, helpers);
  deps_.reset(
      new PodDeps{context_.named("pods"), client_, *runtime_, *images_, *recorder_, services_, options_.node_ips});
  Result<void> synced = co_await pods_.wait_for_sync(stop);
  if (synced) synced = co_await services_.wait_for_sync(stop);
  if (synced) {
    for (const SandboxStatus& sandbox : adopted) {
      const api::ObjectRef pod = pods_.get(sandbox.namespace_, sandbox.name);
      if (!pod || pod->uid() != sandbox.pod_uid) start_worker(std::make_unique<PodWorker>(*deps_, sandbox));
    }
    client::InformerHandler handler;
    handler.on_add = [this](const api::ObjectRef& pod) { pod_added(pod); };
    handler.on_update = [this](const api::ObjectRef&, const api::ObjectRef& pod) { pod_added(pod); };
    handler.on_delete = [this](const api::ObjectRef& pod) { pod_removed(pod); };
    pods_.add_handler(std::move(handler));
    helpers.spawn(pump_events(helpers.token()));
    helpers.spawn(import_archives(helpers.token()));
    helpers.spawn(keeper_.run(helpers.token()));
    keeper_.set_problem("");
    io::Event never;
    co_await never.wait(stop);
    if (options_.stop_pods_on_exit) co_await end_pods();
  }
  worker_scope_ = nullptr;
  workers.stop();
  Result<void> joined = co_await workers.join();
  helpers.stop();
  Result<void> helped = co_await helpers.join();
  recorder_.reset();
  if (!joined) co_return joined;
  co_return helped;
}

void AgentImpl::start_worker(std::unique_ptr<PodWorker> worker) {
  const std::string uid = worker->uid();
  workers_[uid].worker = std::move(worker);
  worker_scope_->spawn(run_worker(uid));
}

Task<void> AgentImpl::run_worker(std::string uid) {
  PodWorker& worker = *workers_[uid].worker;
  // Named: GCC 12 destroys a conditional's temporary twice in a statement with co_await.
  const StopToken stop = worker_scope_ ? worker_scope_->token() : StopToken();
  co_await worker.run(stop);
  workers_.erase(uid);
  worker_ended_.set();
}

void AgentImpl::pod_added(const api::ObjectRef& pod) {
  if (!worker_scope_) return;
  auto known = workers_.find(pod->uid());
  if (known != workers_.end()) {
    known->second.worker->update(pod);
    return;
  }
  start_worker(std::make_unique<PodWorker>(*deps_, pod));
}

void AgentImpl::pod_removed(const api::ObjectRef& pod) {
  auto known = workers_.find(pod->uid());
  if (known != workers_.end()) known->second.worker->gone();
}

Task<Result<void>> AgentImpl::pump_events(StopToken stop) {
  while (true) {
    std::optional<RuntimeEvent> event = co_await runtime_->events().pop(stop);
    if (!event) co_return Result<void>();
    auto known = workers_.find(event->pod_uid);
    if (known != workers_.end()) known->second.worker->runtime_changed();
  }
}

// Ends all containers, each with its pod's grace period.
Task<void> AgentImpl::end_pods() {
  context_.log.info("ending the node's pods", {{"pods", workers_.size()}});
  for (auto& [uid, entry] : workers_) entry.worker->stop_containers();
  for (;;) {
    const bool all = std::all_of(workers_.begin(), workers_.end(),
                                 [](const auto& w) { return w.second.worker->idle_and_stopped(); });
    if (all) break;
    (void)co_await context_.loop.sleep(20ms);
  }
}

// <data-dir>/agent/images/*.tar, each once.
Task<Result<void>> AgentImpl::import_archives(StopToken stop) {
  const std::string folder = options_.data_dir + "/images";
  const std::string marks = options_.data_dir + "/image-store/imported";
  auto look = [folder, marks] {
    static_cast<void>(make_directories(marks, 0700).ok());
    return new_archives(folder, marks);
  };
  const std::vector<Archive> archives = co_await context_.loop.offload(std::move(look));
  for (const Archive& archive : archives) {
    Result<std::vector<ImageRef>> imported = co_await images_->import(archive.path, stop);
    if (!imported) {
      context_.log.error("cannot import images", {{"archive", archive.path}, {"error", imported.error().message()}});
      continue;
    }
    context_.log.info("imported images", {{"archive", archive.path}, {"images", imported->size()}});
    auto mark = [archive] { return write_file_atomic(archive.mark_path, archive.mark, 0600); };
    Result<void> marked = co_await context_.loop.offload(std::move(mark));
    if (!marked)
      context_.log.warn("cannot note an imported archive",
                        {{"archive", archive.path}, {"error", marked.error().message()}});
  }
  co_return Result<void>();
}

// Which container's log `request` means: the one of the highest attempt, or the one before it. While an ended container
// waits for its restart it is both: that is what its status shows as the last state.
// Errors: BadRequest, in kubelet's words. Source: kubelet validateContainerLogStatus.
Result<ContainerStatus> AgentImpl::log_source(const LogRequest& request) {
  const std::optional<SandboxStatus> sandbox = runtime_ ? runtime_->sandbox(request.uid) : std::nullopt;
  std::optional<ContainerStatus> latest, previous;
  for (const ContainerStatus& status : sandbox ? sandbox->containers : std::vector<ContainerStatus>()) {
    if (status.name != request.container || status.state == ContainerState::kCreated) continue;
    if (!latest || status.attempt > latest->attempt) {
      previous = std::move(latest);
      latest = status;
    } else if (!previous || status.attempt > previous->attempt) {
      previous = status;
    }
  }
  const std::string waiting = waiting_reason(request);
  if (request.previous) {
    if (latest && latest->state == ContainerState::kExited && !waiting.empty()) return *latest;
    if (previous) return *previous;
    return Error(Code::kBadRequest, cat("previous terminated container ", quote(request.container), " in pod ",
                                        quote(request.name), " not found"));
  }
  if (latest) return *latest;
  const std::string why = waiting == "ErrImagePull"       ? "image can't be pulled"
                          : waiting == "ImagePullBackOff" ? "trying and failing to pull image"
                          : waiting.empty()               ? "ContainerCreating"
                                                          : waiting;
  return Error(Code::kBadRequest, cat("container ", quote(request.container), " in pod ", quote(request.name),
                                      " is waiting to start: ", why));
}

// The reason of the container's waiting state as the API shows it; "" when it does not wait.
std::string AgentImpl::waiting_reason(const LogRequest& request) {
  const api::ObjectRef pod = pods_.get(request.namespace_, request.name);
  if (!pod) return "";
  const api::core_v1::PodView view(pod);
  for (const auto& list : {view.status().container_statuses(), view.status().init_container_statuses()}) {
    for (const auto& status : list) {
      if (status.name() == request.container && status.state().waiting())
        return std::string(status.state().waiting().reason());
    }
  }
  return "";
}

Task<Result<std::unique_ptr<io::HttpBody>>> AgentImpl::logs(LogRequest request, StopToken stop) {
  Result<ContainerStatus> chosen = log_source(request);
  if (!chosen) co_return chosen.error();
  LogReadOptions options;
  options.follow = request.follow && chosen->state == ContainerState::kRunning;
  options.timestamps = request.timestamps;
  options.tail_lines = request.tail_lines;
  options.limit_bytes = request.limit_bytes;
  options.since = request.since_time;
  if (request.since_seconds) options.since = context_.clock.wall() + -std::chrono::seconds(*request.since_seconds);
  options.stream = request.stream;
  Runtime* runtime = runtime_.get();
  options.running = [runtime, id = chosen->id] {
    const std::optional<ContainerStatus> now = runtime->container(id);
    return now && now->state == ContainerState::kRunning;
  };
  co_return co_await open_log(context_, chosen->log_path, std::move(options), stop);
}

std::unique_ptr<Agent> Agent::create(Context context, client::Client& client, client::InformerFactory& informers,
                                     AgentOptions options) {
  return std::make_unique<AgentImpl>(std::move(context), client, informers, std::move(options));
}

Task<Result<void>> remove_everything(Context context, AgentOptions options) {
  Result<void> removed = co_await remove_everything(context, runtime_options(options));
  Result<std::unique_ptr<net::PodNetwork>> network =
      net::PodNetwork::create(context, network_options(options, options.cluster_cidr));
  if (!network) co_return network.error();
  Result<void> cleaned = co_await (*network)->cleanup_all(StopToken());
  ::rmdir(options.run_dir.c_str());  // stays when something is still in it
  if (!removed) co_return removed;
  co_return cleaned;
}

}  // namespace kayak::agent
