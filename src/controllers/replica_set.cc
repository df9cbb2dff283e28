// replica_set.cc: keeps the number of pods of a ReplicaSet or a ReplicationController; the shell around replica_plan.
// Source: kube-controller-manager pkg/controller/replicaset and replication.
#include <algorithm>

#include "controllers/replica_plan.h"
#include "controllers/rows.h"

namespace kayak::controllers {

using client::array_at;
using client::int_at;
using client::text_at;

namespace {

// What differs between the two kinds.
struct ReplicaKind {
  const api::Kind& kind;
  const char* queue;
  const char* component;
  bool plain_selector;  // spec.selector is a map of labels
  bool terminating;     // the status has terminatingReplicas
};

class ReplicaController final : public QueueController {
 public:
  ReplicaController(const ControllerDeps& deps, const ReplicaKind& kind)
      : QueueController(deps, kind.queue, kind.component, 5),
        kind_(kind),
        sets_(need(kind.kind)),
        pods_(need(api::kinds::pods())),
        expectations_(deps.context.clock) {
    client::InformerHandler handler;
    handler.on_add = [this](const ObjectRef& set) { enqueue(*set); };
    handler.on_update = [this](const ObjectRef& before, const ObjectRef& set) {
      if (before->uid() != set->uid()) expectations_.forget(key_of(*before));
      enqueue(*set);
    };
    handler.on_delete = [this](const ObjectRef& set) {
      expectations_.forget(key_of(*set));
      enqueue(*set);
    };
    sets_.add_handler(std::move(handler));
    client::InformerHandler pod_handler;
    pod_handler.on_add = [this](const ObjectRef& pod) { on_pod_added(pod); };
    pod_handler.on_update = [this](const ObjectRef& before, const ObjectRef& pod) { on_pod_updated(before, pod); };
    pod_handler.on_delete = [this](const ObjectRef& pod) { on_pod_deleted(*pod); };
    pods_.add_handler(std::move(pod_handler));
  }

 private:
  // ---- what pods say

  // The set that controls the pod, when there is still that very one.
  ObjectRef owner_of(const api::Object& pod) const {
    const api::OwnerReference* owner = controller_of(pod);
    if (owner == nullptr || owner->kind != kind_.kind.kind) return nullptr;
    ObjectRef set = sets_.get(pod.namespace_(), owner->name);
    return set && set->uid() == owner->uid ? set : nullptr;
  }
  void enqueue_matching(const api::Object& pod) {
    if (pod.header().labels.empty()) return;
    for (const ObjectRef& set : sets_.list(pod.namespace_())) {
      const api::LabelSelector selector = selector_of(*set->document());
      if (!selector.empty() && selector.matches(pod.header().labels)) enqueue(*set);
    }
  }
  void on_pod_added(const ObjectRef& pod) {
    if (pod->header().deleting) return on_pod_deleted(*pod);
    if (const ObjectRef set = owner_of(*pod)) {
      expectations_.creation_observed(key_of(*set));
      return enqueue(*set);
    }
    if (controller_of(*pod) == nullptr) enqueue_matching(*pod);
  }
  void on_pod_updated(const ObjectRef& before, const ObjectRef& pod) {
    if (pod->header().deleting && !before->header().deleting) on_pod_deleted(*pod);
    const api::OwnerReference* old_owner = controller_of(*before);
    const api::OwnerReference* owner = controller_of(*pod);
    const bool owner_changed =
        (owner == nullptr) != (old_owner == nullptr) || (owner != nullptr && owner->uid != old_owner->uid);
    if (owner_changed) {
      if (const ObjectRef set = owner_of(*before)) enqueue(*set);
    }
    if (owner != nullptr) {
      if (const ObjectRef set = owner_of(*pod)) enqueue(*set);
    } else if (owner_changed || before->header().labels != pod->header().labels) {
      enqueue_matching(*pod);
    }
  }
  void on_pod_deleted(const api::Object& pod) {
    const ObjectRef set = owner_of(pod);
    if (!set) return;
    expectations_.deletion_observed(key_of(*set), pod.uid());
    enqueue(*set);
  }

  // ---- reconcile

  api::LabelSelector selector_of(const json::Value& set) const {
    if (kind_.plain_selector) return api::LabelSelector::equals(client::pairs_at(set, {"spec", "selector"}));
    Result<api::LabelSelector> selector = api::LabelSelector::from_object(set.at({"spec", "selector"}));
    return selector ? std::move(*selector) : api::LabelSelector::nothing();
  }

  Task<Result<Requeue>> reconcile(ObjectKey key, StopToken stop) override {
    const ObjectRef set = sets_.get(key.namespace_, key.name);
    if (!set) {
      expectations_.forget(key);
      co_return Requeue::never();
    }
    const bool may_manage = expectations_.satisfied(key);
    const json::Document document = set->document();
    const api::LabelSelector selector = selector_of(*document);

    std::vector<ObjectRef> candidates = pods_.owned_by(set->uid());
    const std::int64_t terminating = std::count_if(candidates.begin(), candidates.end(), [](const ObjectRef& pod) {
      const PodFacts facts = read_pod_facts(pod);
      return facts.deleting && facts.phase != "Succeeded" && facts.phase != "Failed";
    });
    for (ObjectRef& orphan : pods_.orphans(key.namespace_)) candidates.push_back(std::move(orphan));
    std::erase_if(candidates, [](const ObjectRef& pod) { return !read_pod_facts(pod).active(); });
    const auto claimed = co_await claim(client_, set, selector, std::move(candidates), stop);
    if (!claimed) co_return claimed.error();
    std::vector<PodFacts> active;
    for (const ObjectRef& pod : *claimed) active.push_back(read_pod_facts(pod));

    std::optional<Error> failure;
    const std::int64_t wanted = int_at(*document, {"spec", "replicas"}, 1);
    const std::int64_t missing = wanted - static_cast<std::int64_t>(active.size());
    if (may_manage && !set->header().deleting) {
      const Result<void> managed = co_await manage(set, wanted, active, stop);
      if (!managed) failure = managed.error();
    }
    const auto written = co_await write_status(set, active, terminating, failure, missing, stop);
    if (!written) co_return written.error();
    if (failure) co_return *failure;
    if (!may_manage) co_return Requeue::in(expectations_.remaining(key));
    co_return *written;
  }

  Task<Result<Requeue>> write_status(ObjectRef set, const std::vector<PodFacts>& active, std::int64_t terminating,
                                     const std::optional<Error>& failure, std::int64_t missing, StopToken stop) {
    const json::Document document = set->document();
    const api::LabelSelector labels =
        api::LabelSelector::equals(client::pairs_at(*document, {"spec", "template", "metadata", "labels"}));
    ReplicaCounts counts = count_replicas(active, labels, int_at(*document, {"spec", "minReadySeconds"}), now());
    counts.terminating = terminating;
    static const json::Value kNone = json::Value(json::Object());
    const json::Value* old_status = document->find("status");
    if (old_status == nullptr) old_status = &kNone;
    json::Value status = replica_status(*old_status, counts, int_at(*document, {"metadata", "generation"}), failure,
                                        missing, kind_.terminating, now());
    const Requeue next = counts.next_available ? Requeue::in(*counts.next_available) : Requeue::never();
    if (status == *old_status) co_return next;
    const Result<ObjectRef> updated = co_await update_status(client_, set, std::move(status), stop);
    if (!updated && updated.error().code() != Code::kNotFound) co_return updated.error();
    co_return next;
  }

  Task<Result<void>> manage(ObjectRef set, std::int64_t wanted, const std::vector<PodFacts>& active, StopToken stop) {
    const bool too_many = static_cast<std::int64_t>(active.size()) > wanted;
    const std::vector<PodFacts> related = too_many ? related_pods(*set) : std::vector<PodFacts>();
    const ReplicaPlan plan = plan_replicas(wanted, active, related, now());
    if (plan.create > 0) co_return co_await create_pods(set, plan.create, stop);
    if (!plan.remove.empty()) co_return co_await delete_pods(set, plan.remove, stop);
    co_return Result<void>();
  }

  // Active pods of all sets that the same owner controls.
  std::vector<PodFacts> related_pods(const api::Object& set) const {
    std::vector<PodFacts> related;
    auto add = [&](const std::string& uid) {
      for (const ObjectRef& pod : pods_.owned_by(uid)) {
        PodFacts facts = read_pod_facts(pod);
        if (facts.active()) related.push_back(std::move(facts));
      }
    };
    const api::OwnerReference* owner = controller_of(set);
    if (owner == nullptr) {
      add(set.uid());
    } else {
      for (const ObjectRef& sibling : sets_.owned_by(owner->uid)) add(sibling->uid());
    }
    return related;
  }

  Task<Result<void>> create_pods(ObjectRef set, std::int64_t count, StopToken stop) {
    const ObjectKey key = key_of(*set);
    expectations_.expect_creations(key, count);
    const BatchItem item = [this, set, stop](std::int64_t) { return create_pod(set, stop); };
    const BatchResult result = co_await slow_start_batch(count, 1, item);
    // What was not made will not be seen.
    for (std::int64_t i = result.succeeded; i < count; ++i) expectations_.creation_observed(key);
    // A namespace on its way out needs no pods, and no retries.
    if (result.failure && !is_namespace_terminating(*result.failure)) co_return *result.failure;
    co_return Result<void>();
  }
  Task<Result<void>> create_pod(ObjectRef set, StopToken stop) {
    const json::Document document = set->document();
    const json::Value* pod_template = document->at({"spec", "template"});
    if (pod_template == nullptr) co_return Error(Code::kInternal, "the set has no pod template");
    json::Value pod = pod_from_template(*pod_template, *set);
    pod["metadata"]["generateName"] = pod_prefix(set->name());
    const client::WriteOptions options;
    const Result<ObjectRef> made =
        co_await client_.create(api::kinds::pods(), set->namespace_(), std::move(pod), options, stop);
    if (made) {
      event(set, "Normal", "SuccessfulCreate", cat("Created pod: ", (*made)->name()));
      co_return Result<void>();
    }
    if (is_namespace_terminating(made.error())) co_return made.error();
    if (!stop.stopped()) event(set, "Warning", "FailedCreate", cat("Error creating: ", made.error().message()));
    co_return made.error();
  }

  Task<Result<void>> delete_pods(ObjectRef set, std::vector<ObjectRef> pods, StopToken stop) {
    std::set<std::string> uids;
    for (const ObjectRef& pod : pods) uids.insert(pod->uid());
    expectations_.expect_deletions(key_of(*set), std::move(uids));
    const auto count = static_cast<std::int64_t>(pods.size());
    const BatchItem item = [this, set, &pods, stop](std::int64_t index) {
      return delete_pod(set, pods[static_cast<std::size_t>(index)], stop);
    };
    const BatchResult result = co_await slow_start_batch(count, count, item);
    if (result.failure) co_return *result.failure;
    co_return Result<void>();
  }
  Task<Result<void>> delete_pod(ObjectRef set, ObjectRef pod, StopToken stop) {
    client::DeleteOptions options;
    options.uid = pod->uid();
    const Result<void> done =
        co_await client_.remove(api::kinds::pods(), pod->namespace_(), pod->name(), options, stop);
    if (done) {
      event(set, "Normal", "SuccessfulDelete", cat("Deleted pod: ", pod->name()));
      co_return done;
    }
    expectations_.deletion_observed(key_of(*set), pod->uid());
    if (done.error().code() == Code::kNotFound || done.error().code() == Code::kConflict) co_return Result<void>();
    if (!stop.stopped()) event(set, "Warning", "FailedDelete", cat("Error deleting: ", done.error().message()));
    co_return done;
  }

  const ReplicaKind kind_;
  Informer& sets_;
  Informer& pods_;
  Expectations expectations_;
};

}  // namespace

std::unique_ptr<Controller> make_replica_set_controller(const ControllerDeps& deps) {
  const ReplicaKind kind{api::kinds::replica_sets(), "replicaset", "replicaset-controller", false, true};
  return std::make_unique<ReplicaController>(deps, kind);
}

std::unique_ptr<Controller> make_replication_controller(const ControllerDeps& deps) {
  const ReplicaKind kind{*api::find_kind("", "v1", "replicationcontrollers"), "replicationmanager",
                         "replication-controller", true, false};
  return std::make_unique<ReplicaController>(deps, kind);
}

}  // namespace kayak::controllers
