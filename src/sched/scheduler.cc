// scheduler.cc: the shell around queue, snapshot and choice: hears informers, binds, reports.
// Everything that decides runs between two suspensions, so a decision is always made on one state of the cluster.
#include "client/fields.h"
#include "sched/queue.h"
#include "sched/sched.h"
#include "sched/schedule_one.h"
#include "sched/volumes.h"

namespace kayak::sched {

using api::ObjectRef;
using client::Informer;
using client::text_at;

namespace {
using namespace std::chrono_literals;

constexpr std::size_t kMaxWritesInFlight = 64;
// Other work of the loop waits no longer than this for a run of decisions.
constexpr Duration kLongestTurn = 2ms;

bool is_terminal(const api::Object& pod) {
  const std::string_view phase = api::field_value(pod, "status.phase");
  return phase == "Succeeded" || phase == "Failed";
}

std::uint16_t node_changes(const NodeSpec& before, const NodeSpec& after) {
  std::uint16_t change = 0;
  NodeSpec same = before;
  same.allocatable = after.allocatable;
  same.max_pods = after.max_pods;
  if (!(same == before)) change |= kNodeAllocatable;
  if (before.labels != after.labels) change |= kNodeLabels;
  same = before;
  same.taints = after.taints;
  same.unschedulable = after.unschedulable;
  if (!(same == before)) change |= kNodeTaints;
  return change;
}

}  // namespace

struct Scheduler::Impl {
  Impl(Context context, client::Client& client, client::InformerFactory& informers, Options options)
      : context(context.named("scheduler")),
        client(client),
        options(std::move(options)),
        pods(informers.informer(api::kinds::pods())),
        nodes(informers.informer(api::kinds::nodes())),
        namespaces(informers.informer(api::kinds::namespaces())),
        claims(informers.informer(api::kinds::persistent_volume_claims())),
        volumes(informers.informer(api::kinds::persistent_volumes())),
        storage_classes(informers.informer(*api::find_kind("storage.k8s.io", "v1", "storageclasses"))),
        scheduled(attempts("scheduled")),
        unschedulable(attempts("unschedulable")),
        failed(attempts("error")) {}

  Counter& attempts(const char* result) {
    return context.metrics.counter("scheduler_schedule_attempts_total",
                                   "Number of attempts to schedule pods, by the result",
                                   Labels{{"profile", options.name}, {"result", result}});
  }

  Context context;
  client::Client& client;
  Options options;
  Informer& pods;
  Informer& nodes;
  Informer& namespaces;
  Informer& claims;
  Informer& volumes;
  Informer& storage_classes;
  Counter& scheduled;
  Counter& unschedulable;
  Counter& failed;

  Snapshot snapshot;
  SchedulingQueue queue;
  Cursor cursor;
  std::set<std::string> assumed;  // uids placed in the snapshot whose binding has not been seen yet
  io::Event wake;
  io::Event slot_free;
  std::size_t writes = 0;
  io::TaskScope* scope = nullptr;
  client::EventRecorder* recorder = nullptr;
  Loop::Timer timer;
  Instant turn_started{};

  // ---- what informers say

  void listen() {
    client::InformerHandler handler;
    handler.on_add = [this](const ObjectRef& pod) { on_pod(nullptr, pod); };
    handler.on_update = [this](const ObjectRef& before, const ObjectRef& pod) { on_pod(before, pod); };
    handler.on_delete = [this](const ObjectRef& pod) { on_pod_gone(*pod); };
    pods.add_handler(std::move(handler));

    client::InformerHandler node_handler;
    node_handler.on_add = [this](const ObjectRef& node) {
      snapshot.set_node(read_node(*node));
      changed(kNodeAdded);
    };
    node_handler.on_update = [this](const ObjectRef&, const ObjectRef& node) { on_node(*node); };
    node_handler.on_delete = [this](const ObjectRef& node) { snapshot.remove_node(node->name()); };
    nodes.add_handler(std::move(node_handler));

    client::InformerHandler namespace_handler;
    namespace_handler.on_add = [this](const ObjectRef& o) { snapshot.set_namespace(o->name(), o->header().labels); };
    namespace_handler.on_update = [this](const ObjectRef& before, const ObjectRef& o) {
      if (before->header().labels == o->header().labels) return;
      snapshot.set_namespace(o->name(), o->header().labels);
      changed(kPodLabels);
    };
    namespace_handler.on_delete = [this](const ObjectRef& o) { snapshot.remove_namespace(o->name()); };
    namespaces.add_handler(std::move(namespace_handler));

    for (Informer* informer : {&claims, &volumes, &storage_classes}) {
      client::InformerHandler volume_handler;
      volume_handler.on_add = [this](const ObjectRef&) { changed(kVolumes); };
      volume_handler.on_update = [this](const ObjectRef&, const ObjectRef&) { changed(kVolumes); };
      volume_handler.on_delete = [this](const ObjectRef&) { changed(kVolumes); };
      informer->add_handler(std::move(volume_handler));
    }
  }

  void on_node(const api::Object& node) {
    NodeSpec spec = read_node(node);
    const NodeInfo* known = snapshot.find(spec.name);
    const std::uint16_t change =
        known == nullptr || !known->present ? std::uint16_t{kNodeAdded} : node_changes(known->spec, spec);
    if (change == 0) return;
    snapshot.set_node(std::move(spec));
    changed(change);
  }

  void on_pod(const ObjectRef& before, const ObjectRef& pod) {
    const std::string node(api::field_value(*pod, "spec.nodeName"));
    if (node.empty()) return on_pending_pod(*pod);
    queue.remove(pod->uid());
    assumed.erase(pod->uid());
    if (is_terminal(*pod)) return on_pod_gone(*pod);
    const bool was_placed = snapshot.node_of(pod->uid()) != nullptr;
    snapshot.place(node, placed(read_pod(*pod), pod));
    if (!was_placed) return changed(kPodPlaced);
    if (before && before->header().labels != pod->header().labels) changed(kPodLabels);
  }

  void on_pending_pod(const api::Object& pod) {
    if (assumed.contains(pod.uid())) return;  // its binding is on the way
    if (pod.header().deleting || is_terminal(pod) || api::field_value(pod, "spec.schedulerName") != options.name) {
      return queue.remove(pod.uid());
    }
    const PodInfo info = read_pod(pod);
    if (info.gated) return queue.remove(pod.uid());
    queue.add(client::ObjectKey{pod.namespace_(), pod.name()}, pod.uid(), info.priority, info.fingerprint,
              context.clock.now());
    wake.set();
  }

  void on_pod_gone(const api::Object& pod) {
    queue.remove(pod.uid());
    assumed.erase(pod.uid());
    if (snapshot.remove(pod.uid())) changed(kPodGone);
  }

  void changed(std::uint16_t change) {
    queue.on_change(change, context.clock.now());
    wake.set();
  }

  // ---- the loop

  Task<Result<void>> schedule_all(StopToken stop) {
    for (Informer* informer : {&pods, &nodes, &namespaces, &claims, &volumes, &storage_classes}) {
      const Result<void> synced = co_await informer->wait_for_sync(stop);
      if (!synced) co_return synced;
    }
    while (!stop.stopped()) {
      std::optional<QueuedPod> next = queue.pop(context.clock.now());
      if (!next) {
        arm();
        wake.reset();
        const bool woken = co_await wake.wait(stop);
        if (!woken) break;
        turn_started = context.clock.now();
        continue;
      }
      while (writes >= kMaxWritesInFlight) {
        slot_free.reset();
        const bool free = co_await slot_free.wait(stop);
        if (!free) co_return Error(Code::kCancelled, "stopped");
      }
      try_pod(std::move(*next));
      if (context.clock.now() - turn_started > kLongestTurn) {
        co_await context.loop.yield();
        turn_started = context.clock.now();
      }
    }
    co_return Error(Code::kCancelled, "stopped");
  }

  // One timer, for the earliest pod whose back-off ends; none when no pod waits.
  void arm() {
    const std::optional<Instant> next = queue.next_wakeup();
    if (!next) return timer.cancel();
    timer = context.loop.after(*next - context.clock.now(), [this] { wake.set(); });
  }

  void try_pod(QueuedPod queued) {
    const ObjectRef object = pods.get(queued.key.namespace_, queued.key.name);
    if (!object || object->uid() != queued.uid || object->header().deleting) return;
    if (!api::field_value(*object, "spec.nodeName").empty()) return;
    PodInfo pod = read_pod(*object);
    VolumeNeeds volumes_needed = volume_needs(pod, volume_objects());
    pod.volume_nodes = std::move(volumes_needed.any);
    Decision decision;
    if (volumes_needed.refused.empty()) {
      decision = schedule_one(snapshot, pod, cursor, context.random);
    } else {
      decision.why_not.nodes = snapshot.nodes().size();
      decision.why_not.before_filters = std::move(volumes_needed.refused);
      decision.why_not.cured_by = kVolumes;
    }
    if (decision.node.empty()) {
      unschedulable.add();
      const std::string message = decision.why_not.message();
      queue.park(std::move(queued), decision.why_not.cured_by, context.clock.now());
      start(report_unschedulable(object, message, "Unschedulable", scope->token()));
    } else if (!volumes_needed.to_bind.empty()) {
      // The volumes come first: when their claims are bound the pod is tried again.
      queue.park(std::move(queued), kVolumes | kNodeAdded, context.clock.now());
      start(select_node(object, std::move(volumes_needed.to_bind), decision.node, scope->token()));
    } else {
      snapshot.place(decision.node, placed(pod, object));
      assumed.insert(queued.uid);
      start(bind(std::move(queued), object, decision.node, scope->token()));
    }
  }

  VolumeObjects volume_objects() const {
    VolumeObjects objects;
    objects.claim = [this](const std::string& namespace_, const std::string& name) {
      return claims.get(namespace_, name);
    };
    objects.volume = [this](const std::string& name) { return volumes.get("", name); };
    objects.storage_class = [this](const std::string& name) { return storage_classes.get("", name); };
    return objects;
  }

  // ---- writes

  void start(Task<void> write) {
    ++writes;
    scope->spawn(counted(std::move(write)));
  }
  Task<void> counted(Task<void> write) {
    Task<void> owned = std::move(write);
    co_await owned;
    --writes;
    slot_free.set();
  }

  Task<void> bind(QueuedPod queued, ObjectRef pod, std::string node, StopToken stop) {
    json::Value binding;
    binding["apiVersion"] = "v1";
    binding["kind"] = "Binding";
    binding["metadata"]["name"] = pod->name();
    binding["metadata"]["namespace"] = pod->namespace_();
    binding["metadata"]["uid"] = pod->uid();
    binding["target"]["kind"] = "Node";
    binding["target"]["name"] = node;
    const Result<json::Value> bound = co_await client.create_subresource(
        api::kinds::pods(), pod->namespace_(), pod->name(), "binding", std::move(binding), stop);
    if (bound) {
      scheduled.add();
      recorder->event(pod, "Normal", "Scheduled",
                      cat("Successfully assigned ", pod->namespace_(), "/", pod->name(), " to ", node));
      co_return;
    }
    if (stop.stopped()) co_return;
    // The place is free again, unless the pod was seen on a node meanwhile.
    if (assumed.erase(pod->uid()) > 0) {
      snapshot.remove(pod->uid());
      changed(kPodGone);
    }
    if (bound.error().code() == Code::kNotFound || snapshot.node_of(pod->uid()) != nullptr) co_return;
    failed.add();
    const std::string message = cat("binding rejected: ", bound.error().message());
    context.log.warn("cannot bind a pod", {{"pod", cat(pod->namespace_(), "/", pod->name())}, {"error", message}});
    queue.retry(std::move(queued), context.clock.now());
    wake.set();
    co_await report_unschedulable(pod, message, "SchedulerError", stop);
  }

  Task<void> report_unschedulable(ObjectRef pod, std::string message, std::string reason, StopToken stop) {
    recorder->event(pod, "Warning", "FailedScheduling", message);
    const json::Document document = pod->document();
    const json::Value* known =
        client::item_with(client::array_at(*document, {"status", "conditions"}), "type", "PodScheduled");
    if (known != nullptr && text_at(*known, {"status"}) == "False" && text_at(*known, {"reason"}) == reason &&
        text_at(*known, {"message"}) == message) {
      co_return;
    }
    json::Value condition;
    condition["type"] = "PodScheduled";
    condition["status"] = "False";
    condition["reason"] = std::move(reason);
    condition["message"] = std::move(message);
    const std::int64_t generation = client::int_at(*document, {"metadata", "generation"});
    if (generation > 0) condition["observedGeneration"] = generation;
    const bool was_false = known != nullptr && text_at(*known, {"status"}) == "False";
    if (!was_false) condition["lastTransitionTime"] = format_time(context.clock.wall());
    json::Array conditions;
    conditions.push_back(std::move(condition));
    json::Value patch;
    patch["metadata"]["uid"] = pod->uid();
    patch["status"]["conditions"] = std::move(conditions);
    client::WriteOptions options;
    options.subresource = "status";
    const Result<ObjectRef> written =
        co_await client.patch(api::kinds::pods(), pod->namespace_(), pod->name(), client::PatchType::kStrategicMerge,
                              std::move(patch), options, stop);
    if (!written && written.error().code() != Code::kNotFound && !stop.stopped()) {
      context.log.warn("cannot write a pod's condition",
                       {{"pod", cat(pod->namespace_(), "/", pod->name())}, {"error", written.error().message()}});
    }
  }

  // Tells the provisioner which node a late-binding claim is for.
  Task<void> select_node(ObjectRef pod, std::vector<std::string> names, std::string node, StopToken stop) {
    for (const std::string& name : names) {
      json::Value patch;
      patch["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = node;
      const client::WriteOptions options;
      const Result<ObjectRef> written =
          co_await client.patch(api::kinds::persistent_volume_claims(), pod->namespace_(), name,
                                client::PatchType::kMerge, std::move(patch), options, stop);
      if (!written && !stop.stopped()) {
        context.log.warn("cannot select a node for a claim",
                         {{"claim", cat(pod->namespace_(), "/", name)}, {"error", written.error().message()}});
      }
    }
  }
};

Scheduler::Scheduler(Context context, client::Client& client, client::InformerFactory& informers, Options options)
    : impl_(std::make_unique<Impl>(std::move(context), client, informers, std::move(options))) {
  impl_->listen();
}

Scheduler::~Scheduler() = default;

Task<Result<void>> Scheduler::run(StopToken stop) {
  io::TaskScope scope(stop);
  auto recorder = client::make_event_recorder(impl_->context, impl_->client, impl_->options.name, "", scope);
  impl_->scope = &scope;
  impl_->recorder = recorder.get();
  scope.spawn(impl_->schedule_all(scope.token()));
  const Result<void> done = co_await scope.join();
  impl_->timer.cancel();
  impl_->scope = nullptr;
  impl_->recorder = nullptr;
  co_return done;
}

std::size_t Scheduler::pending() const { return impl_->queue.size(); }

}  // namespace kayak::sched
