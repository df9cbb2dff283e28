// deployment.cc: rolls Deployments out: the shell around deployment_plan.
// Source: kube-controller-manager pkg/controller/deployment.
#include <algorithm>

#include "controllers/deployment_plan.h"
#include "controllers/rows.h"

namespace kayak::controllers {

using client::array_at;
using client::int_at;
using client::text_at;

namespace {

// One reconcile's view: the deployment as last written, and its sets.
struct Rollout {
  ObjectRef object;
  DeploymentFacts facts;
  std::vector<SetFacts> old_sets;  // every set but the new one
  std::optional<SetFacts> new_set;

  std::vector<SetFacts> all() const {
    std::vector<SetFacts> sets = old_sets;
    if (new_set) sets.push_back(*new_set);
    return sets;
  }
};

json::Value with_label(json::Value labels, const std::string& hash) {
  labels[kHashLabel] = hash;
  return labels;
}

class DeploymentController final : public QueueController {
 public:
  explicit DeploymentController(const ControllerDeps& deps)
      : QueueController(deps, "deployment", "deployment-controller", 5),
        deployments_(need(api::kinds::deployments())),
        sets_(need(api::kinds::replica_sets())),
        pods_(need(api::kinds::pods())) {
    client::InformerHandler handler;
    handler.on_add = [this](const ObjectRef& o) { enqueue(*o); };
    handler.on_update = [this](const ObjectRef&, const ObjectRef& o) { enqueue(*o); };
    handler.on_delete = [this](const ObjectRef& o) { enqueue(*o); };
    deployments_.add_handler(std::move(handler));
    client::InformerHandler set_handler;
    set_handler.on_add = [this](const ObjectRef& set) { on_set(*set, true); };
    set_handler.on_update = [this](const ObjectRef& before, const ObjectRef& set) {
      const bool owner_changed = !same_owner(*before, *set);
      if (owner_changed) enqueue_owner(*before);
      on_set(*set, owner_changed || before->header().labels != set->header().labels);
    };
    set_handler.on_delete = [this](const ObjectRef& set) { enqueue_owner(*set); };
    sets_.add_handler(std::move(set_handler));
    client::InformerHandler pod_handler;
    pod_handler.on_delete = [this](const ObjectRef& pod) { on_pod_deleted(*pod); };
    pods_.add_handler(std::move(pod_handler));
  }

 private:
  // ---- what sets and pods say

  static bool same_owner(const api::Object& a, const api::Object& b) {
    const api::OwnerReference *x = controller_of(a), *y = controller_of(b);
    return (x == nullptr) == (y == nullptr) && (x == nullptr || x->uid == y->uid);
  }
  ObjectRef deployment_of(const api::Object& set) const {
    const api::OwnerReference* owner = controller_of(set);
    if (owner == nullptr || owner->kind != "Deployment") return nullptr;
    ObjectRef deployment = deployments_.get(set.namespace_(), owner->name);
    return deployment && deployment->uid() == owner->uid ? deployment : nullptr;
  }
  void enqueue_owner(const api::Object& set) {
    if (const ObjectRef deployment = deployment_of(set)) enqueue(*deployment);
  }
  void on_set(const api::Object& set, bool may_be_adopted) {
    if (controller_of(set) != nullptr) return enqueue_owner(set);
    if (!may_be_adopted || set.header().labels.empty()) return;
    for (const ObjectRef& deployment : deployments_.list(set.namespace_())) {
      const auto selector = api::LabelSelector::from_object(deployment->document()->at({"spec", "selector"}));
      if (selector && !selector->empty() && selector->matches(set.header().labels)) enqueue(*deployment);
    }
  }
  // Recreate waits for the last old pod.
  void on_pod_deleted(const api::Object& pod) {
    const api::OwnerReference* owner = controller_of(pod);
    if (owner == nullptr || owner->kind != "ReplicaSet") return;
    const ObjectRef set = sets_.get(pod.namespace_(), owner->name);
    const ObjectRef deployment = set ? deployment_of(*set) : nullptr;
    if (!deployment) return;
    if (text_at(*deployment->document(), {"spec", "strategy", "type"}) == "Recreate") enqueue(*deployment);
  }

  // ---- reconcile

  Task<Result<Requeue>> reconcile(ObjectKey key, StopToken stop) override {
    Rollout rollout;
    rollout.object = deployments_.get(key.namespace_, key.name);
    if (!rollout.object) co_return Requeue::never();
    rollout.facts = read_deployment_facts(rollout.object->document());
    const auto selector = api::LabelSelector::from_object(rollout.facts.spec().find("selector"));
    if (!selector || selector->empty()) co_return co_await refuse_empty_selector(std::move(rollout), stop);

    std::vector<ObjectRef> candidates = sets_.owned_by(rollout.object->uid());
    for (ObjectRef& orphan : sets_.orphans(key.namespace_)) candidates.push_back(std::move(orphan));
    const auto claimed = co_await claim(client_, rollout.object, *selector, std::move(candidates), stop);
    if (!claimed) co_return claimed.error();
    std::vector<SetFacts> sets;
    for (const ObjectRef& set : *claimed) sets.push_back(read_set_facts(set));
    const int newest = find_new_set(rollout.facts, sets);
    for (std::size_t i = 0; i < sets.size(); ++i) {
      if (static_cast<int>(i) == newest) {
        rollout.new_set = std::move(sets[i]);
      } else {
        rollout.old_sets.push_back(std::move(sets[i]));
      }
    }
    co_return co_await roll_out(std::move(rollout), stop);
  }

  Task<Result<Requeue>> roll_out(Rollout rollout, StopToken stop) {
    if (rollout.facts.deleting) co_return co_await write_plain_status(rollout, stop);
    const Result<void> noted = co_await note_pause(rollout, stop);
    if (!noted) co_return noted.error();
    if (rollout.facts.paused || is_scaling_event(rollout.facts, rollout.all())) co_return co_await sync(rollout, stop);
    if (rollout.facts.recreate) co_return co_await recreate(rollout, stop);
    co_return co_await roll(rollout, stop);
  }

  Task<Result<Requeue>> refuse_empty_selector(Rollout rollout, StopToken stop) {
    event(rollout.object, "Warning", "SelectingAll",
          "This deployment is selecting all pods. A non-empty selector is required.");
    json::Value status = rollout.facts.status();
    if (int_at(status, {"observedGeneration"}) < rollout.facts.generation) {
      status["observedGeneration"] = rollout.facts.generation;
      const Result<void> written = co_await write_status(rollout, std::move(status), stop);
      if (!written) co_return written.error();
    }
    co_return Requeue::never();
  }

  // Paused, or only its size changed: scale what is there, roll nothing out.
  Task<Result<Requeue>> sync(Rollout& rollout, StopToken stop) {
    const Result<void> made = co_await sync_new_set(rollout, false, stop);
    if (!made) co_return made.error();
    const Result<void> scaled = co_await scale(rollout, stop);
    if (!scaled) co_return scaled.error();
    if (rollout.facts.paused) {
      const Result<void> cleaned = co_await clean_up(rollout, stop);
      if (!cleaned) co_return cleaned.error();
    }
    co_return co_await write_plain_status(rollout, stop);
  }

  Task<Result<Requeue>> roll(Rollout& rollout, StopToken stop) {
    const Result<void> made = co_await sync_new_set(rollout, true, stop);
    if (!made) co_return made.error();
    ASSERT(rollout.new_set);
    const std::int64_t own = rollout.new_set->replicas;
    std::int64_t wanted = rollout.facts.replicas;
    if (own < wanted) wanted = new_set_replicas(rollout.facts, rollout.all(), own);
    if (own != wanted) {
      const Result<void> resized = co_await resize(rollout, *rollout.new_set, wanted, stop);
      if (!resized) co_return resized.error();
      co_return co_await write_rollout_status(rollout, stop);
    }
    const std::vector<Resize> changes = shrink_old_sets(rollout.facts, rollout.old_sets, rollout.new_set);
    for (const Resize& change : changes) {
      const Result<void> resized = co_await resize(rollout, rollout.old_sets[change.set], change.replicas, stop);
      if (!resized) co_return resized.error();
    }
    if (changes.empty() && is_complete(rollout.facts, rollout.facts.status())) {
      const Result<void> cleaned = co_await clean_up(rollout, stop);
      if (!cleaned) co_return cleaned.error();
    }
    co_return co_await write_rollout_status(rollout, stop);
  }

  Task<Result<Requeue>> recreate(Rollout& rollout, StopToken stop) {
    if (rollout.new_set) {
      const Result<void> known = co_await sync_new_set(rollout, false, stop);
      if (!known) co_return known.error();
    }
    bool shrunk = false;
    for (SetFacts& set : rollout.old_sets) {
      if (set.replicas == 0) continue;
      const Result<void> resized = co_await resize(rollout, set, 0, stop);
      if (!resized) co_return resized.error();
      shrunk = true;
    }
    if (shrunk || old_pods_run(rollout)) co_return co_await write_rollout_status(rollout, stop);
    const Result<void> made = co_await sync_new_set(rollout, true, stop);
    if (!made) co_return made.error();
    if (rollout.new_set->replicas != rollout.facts.replicas) {
      const Result<void> resized = co_await resize(rollout, *rollout.new_set, rollout.facts.replicas, stop);
      if (!resized) co_return resized.error();
    }
    if (is_complete(rollout.facts, rollout.facts.status())) {
      const Result<void> cleaned = co_await clean_up(rollout, stop);
      if (!cleaned) co_return cleaned.error();
    }
    co_return co_await write_rollout_status(rollout, stop);
  }

  bool old_pods_run(const Rollout& rollout) const {
    for (const SetFacts& set : rollout.old_sets) {
      if (set.current > 0) return true;
      for (const ObjectRef& pod : pods_.owned_by(set.object->uid())) {
        const std::string phase = read_pod_facts(pod).phase;
        if (phase != "Failed" && phase != "Succeeded") return true;
      }
    }
    return false;
  }

  // ---- steps

  Task<Result<void>> note_pause(Rollout& rollout, StopToken stop) {
    if (!rollout.facts.progress_deadline_seconds) co_return Result<void>();
    json::Value status = rollout.facts.status();
    json::Array conditions = array_at(status, {"conditions"});
    const json::Value* known = client::item_with(conditions, "type", "Progressing");
    const std::string reason(known == nullptr ? "" : text_at(*known, {"reason"}));
    if (reason == "ProgressDeadlineExceeded") co_return Result<void>();  // a pause does not hide it
    if (rollout.facts.paused == (reason == "DeploymentPaused")) co_return Result<void>();
    if (rollout.facts.paused) {
      set_condition(conditions,
                    deployment_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now()),
                    true);
    } else {
      set_condition(conditions,
                    deployment_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now()),
                    true);
    }
    status["conditions"] = std::move(conditions);
    co_return co_await write_status(rollout, std::move(status), stop);
  }

  std::int64_t next_revision(const Rollout& rollout) const {
    std::int64_t highest = 0;
    for (const SetFacts& set : rollout.old_sets) highest = std::max(highest, set.revision);
    return highest + 1;
  }

  // The new set's annotations and the deployment's revision; with `create` makes the set when there is none.
  Task<Result<void>> sync_new_set(Rollout& rollout, bool create, StopToken stop) {
    const std::int64_t revision = next_revision(rollout);
    if (!rollout.new_set) {
      if (!create) co_return Result<void>();
      co_return co_await create_new_set(rollout, revision, stop);
    }
    json::Value set = *rollout.new_set->document;
    bool changed = annotate_new_set(rollout.facts, set, revision, false);
    if (int_at(set, {"spec", "minReadySeconds"}) != rollout.facts.min_ready_seconds) {
      set["spec"]["minReadySeconds"] = rollout.facts.min_ready_seconds;
      changed = true;
    }
    if (changed) {
      const client::WriteOptions options;
      const Result<ObjectRef> updated =
          co_await client_.update(api::kinds::replica_sets(), rollout.object->namespace_(), rollout.new_set->name,
                                  std::move(set), options, stop);
      if (!updated) co_return updated.error();
      rollout.new_set = read_set_facts(*updated);
    }
    const bool found = client::item_with(array_at(*rollout.facts.document, {"status", "conditions"}), "type",
                                         "Progressing") != nullptr;
    std::optional<json::Value> condition;
    if (rollout.facts.progress_deadline_seconds && !found) {
      condition = deployment_condition("Progressing", "True", "FoundNewReplicaSet",
                                       cat("Found new replica set ", quote(rollout.new_set->name)), now());
    }
    co_return co_await note_revision(rollout, rollout.new_set->revision, std::move(condition), stop);
  }

  // Writes the revision annotation and a Progressing condition, when they are news.
  Task<Result<void>> note_revision(Rollout& rollout, std::int64_t revision, std::optional<json::Value> condition,
                                   StopToken stop) {
    const bool same = text_at(*rollout.facts.document, {"metadata", "annotations", kRevision}) == cat(revision);
    if (same && !condition) co_return Result<void>();
    json::Value document = *rollout.facts.document;
    document["metadata"]["annotations"][kRevision] = cat(revision);
    if (condition) {
      json::Array conditions = array_at(document, {"status", "conditions"});
      set_condition(conditions, std::move(*condition), true);
      document["status"]["conditions"] = std::move(conditions);
    }
    co_return co_await write_document(rollout, std::move(document), stop);
  }

  Task<Result<void>> create_new_set(Rollout& rollout, std::int64_t revision, StopToken stop) {
    const json::Value& spec = rollout.facts.spec();
    const json::Value* wanted = spec.find("template");
    if (wanted == nullptr) co_return Error(Code::kInternal, "the deployment has no pod template");
    const std::string hash = template_hash(*wanted, rollout.facts.collision_count);
    json::Value set;
    set["apiVersion"] = "apps/v1";
    set["kind"] = "ReplicaSet";
    set["metadata"]["name"] = cat(rollout.facts.name, "-", hash);
    const json::Value* labels = wanted->at({"metadata", "labels"});
    set["metadata"]["labels"] = with_label(labels == nullptr ? json::Value(json::Object()) : *labels, hash);
    json::Array owners;
    owners.push_back(owner_reference(*rollout.object));
    set["metadata"]["ownerReferences"] = std::move(owners);
    SetFacts fresh;
    std::vector<SetFacts> all = rollout.old_sets;
    const std::int64_t replicas = new_set_replicas(rollout.facts, all, 0);
    set["spec"]["replicas"] = replicas;
    if (rollout.facts.min_ready_seconds > 0) set["spec"]["minReadySeconds"] = rollout.facts.min_ready_seconds;
    set["spec"]["selector"] = *spec.find("selector");
    json::Value& match = set["spec"]["selector"]["matchLabels"];
    match = with_label(std::move(match), hash);
    set["spec"]["template"] = *wanted;
    json::Value& template_labels = set["spec"]["template"]["metadata"]["labels"];
    template_labels = with_label(std::move(template_labels), hash);
    annotate_new_set(rollout.facts, set, revision, true);

    const std::string name = cat(rollout.facts.name, "-", hash);
    const client::WriteOptions options;
    Result<ObjectRef> made = co_await client_.create(api::kinds::replica_sets(), rollout.object->namespace_(),
                                                     std::move(set), options, stop);
    const bool existed = !made && made.error().code() == Code::kAlreadyExists;
    if (existed) {
      made = co_await take_existing_set(rollout, name, stop);
      if (!made) co_return made.error();
    }
    if (!made) co_return co_await report_failed_create(rollout, name, made.error(), stop);
    rollout.new_set = read_set_facts(*made);
    std::optional<json::Value> condition;
    if (!existed) {
      if (replicas > 0) {
        event(rollout.object, "Normal", "ScalingReplicaSet",
              cat("Scaled up replica set ", name, " from 0 to ", replicas));
      }
      if (rollout.facts.progress_deadline_seconds) {
        condition = deployment_condition("Progressing", "True", "NewReplicaSetCreated",
                                         cat("Created new replica set ", quote(name)), now());
      }
    }
    co_return co_await note_revision(rollout, revision, std::move(condition), stop);
  }

  // A set of the wanted name exists already: ours that the informer has not shown yet, or a collision of hashes.
  Task<Result<ObjectRef>> take_existing_set(Rollout& rollout, std::string name, StopToken stop) {
    Result<ObjectRef> found =
        co_await client_.get(api::kinds::replica_sets(), rollout.object->namespace_(), name, stop);
    if (!found) co_return found;
    const json::Document document = (*found)->document();
    const json::Value* own = document->at({"spec", "template"});
    const json::Value* wanted = rollout.facts.spec().find("template");
    if (controlled_by(**found, *rollout.object) && own != nullptr && same_template(*own, *wanted)) co_return found;
    json::Value status = rollout.facts.status();
    status["collisionCount"] = rollout.facts.collision_count + 1;
    const Result<void> written = co_await write_status(rollout, std::move(status), stop);
    if (!written) co_return written.error();
    co_return Error(Code::kConflict, cat("replica set ", name, " belongs to another template; trying another hash"));
  }

  Task<Result<void>> report_failed_create(Rollout& rollout, std::string name, Error error, StopToken stop) {
    if (is_namespace_terminating(error) || stop.stopped()) co_return error;
    const std::string message = cat("Failed to create new replica set ", quote(name), ": ", error.message());
    if (rollout.facts.progress_deadline_seconds) {
      json::Value status = rollout.facts.status();
      json::Array conditions = array_at(status, {"conditions"});
      set_condition(conditions, deployment_condition("Progressing", "False", "ReplicaSetCreateError", message, now()),
                    true);
      status["conditions"] = std::move(conditions);
      // The failure to create is what matters; this is only its report.
      const Result<void> written = co_await write_status(rollout, std::move(status), stop);
      if (!written) context_.log.debug("cannot write a deployment's status", {{"error", written.error().message()}});
    }
    event(rollout.object, "Warning", "ReplicaSetCreateError", message);
    co_return error;
  }

  // The active set alone when there is at most one; shares of all in the middle of a rollout.
  Task<Result<void>> scale(Rollout& rollout, StopToken stop) {
    std::vector<SetFacts*> active;
    for (SetFacts& set : rollout.old_sets) {
      if (set.replicas > 0) active.push_back(&set);
    }
    if (rollout.new_set && rollout.new_set->replicas > 0) active.push_back(&*rollout.new_set);
    if (active.size() <= 1) {
      SetFacts* only = !active.empty() ? active.front() : rollout.new_set ? &*rollout.new_set : latest(rollout);
      if (only == nullptr) co_return Result<void>();
      co_return co_await resize(rollout, *only, rollout.facts.replicas, stop);
    }
    if (is_saturated(rollout)) {
      for (SetFacts& set : rollout.old_sets) {
        if (set.replicas == 0) continue;
        const Result<void> resized = co_await resize(rollout, set, 0, stop);
        if (!resized) co_return resized;
      }
      co_return Result<void>();
    }
    if (rollout.facts.recreate) co_return Result<void>();
    std::vector<SetFacts> sets;
    for (const SetFacts* set : active) sets.push_back(*set);
    for (const Resize& change : scale_in_proportion(rollout.facts, sets)) {
      const Result<void> resized = co_await resize(rollout, *active[change.set], change.replicas, stop);
      if (!resized) co_return resized;
    }
    co_return Result<void>();
  }
  static SetFacts* latest(Rollout& rollout) {
    SetFacts* newest = nullptr;
    for (SetFacts& set : rollout.old_sets) {
      if (newest == nullptr || set.created > newest->created) newest = &set;
    }
    return newest;
  }
  static bool is_saturated(const Rollout& rollout) {
    if (!rollout.new_set || !rollout.new_set->desired_annotation) return false;
    const SetFacts& set = *rollout.new_set;
    return set.replicas == rollout.facts.replicas && *set.desired_annotation == rollout.facts.replicas &&
           set.available == rollout.facts.replicas;
  }

  // Sizes a set and brings its scaling annotations up to date.
  Task<Result<void>> resize(Rollout& rollout, SetFacts& set, std::int64_t replicas, StopToken stop) {
    json::Value document = *set.document;
    const bool annotated = annotate_replicas(rollout.facts, document);
    const std::int64_t before = set.replicas;
    if (before == replicas && !annotated) co_return Result<void>();
    document["spec"]["replicas"] = replicas;
    const client::WriteOptions options;
    const Result<ObjectRef> updated = co_await client_.update(api::kinds::replica_sets(), rollout.object->namespace_(),
                                                              set.name, std::move(document), options, stop);
    if (!updated) co_return updated.error();
    set = read_set_facts(*updated);
    if (before != replicas) {
      event(rollout.object, "Normal", "ScalingReplicaSet",
            cat("Scaled ", before < replicas ? "up" : "down", " replica set ", set.name, " from ", before, " to ",
                replicas));
    }
    co_return Result<void>();
  }

  Task<Result<void>> clean_up(Rollout& rollout, StopToken stop) {
    for (const std::size_t i : sets_to_clean_up(rollout.facts, rollout.old_sets)) {
      client::DeleteOptions options;
      options.uid = rollout.old_sets[i].object->uid();
      const Result<void> removed = co_await client_.remove(api::kinds::replica_sets(), rollout.object->namespace_(),
                                                           rollout.old_sets[i].name, options, stop);
      if (!removed && removed.error().code() != Code::kNotFound) co_return removed;
    }
    co_return Result<void>();
  }

  // ---- status

  Task<Result<void>> write_document(Rollout& rollout, json::Value document, StopToken stop) {
    client::WriteOptions options;
    options.subresource = "status";
    const Result<ObjectRef> updated = co_await client_.update(api::kinds::deployments(), rollout.object->namespace_(),
                                                              rollout.facts.name, std::move(document), options, stop);
    if (!updated) co_return updated.error();
    rollout.object = *updated;
    rollout.facts = read_deployment_facts((*updated)->document());
    co_return Result<void>();
  }
  Task<Result<void>> write_status(Rollout& rollout, json::Value status, StopToken stop) {
    json::Value document = *rollout.facts.document;
    document["status"] = std::move(status);
    co_return co_await write_document(rollout, std::move(document), stop);
  }
  Task<Result<Requeue>> write_plain_status(Rollout& rollout, StopToken stop) {
    json::Value status = deployment_status(rollout.facts, rollout.all(), rollout.new_set, now());
    if (status == rollout.facts.status()) co_return Requeue::never();
    const Result<void> written = co_await write_status(rollout, std::move(status), stop);
    if (!written) co_return written.error();
    co_return Requeue::never();
  }
  Task<Result<Requeue>> write_rollout_status(Rollout& rollout, StopToken stop) {
    json::Value status = rollout_status(rollout.facts, rollout.all(), rollout.new_set, now());
    if (!(status == rollout.facts.status())) {
      const Result<void> written = co_await write_status(rollout, status, stop);
      if (!written) co_return written.error();
    }
    const std::optional<Duration> check = progress_check(rollout.facts, status, now());
    co_return check ? Requeue::in(*check) : Requeue::never();
  }

  Informer& deployments_;
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_deployment_controller(const ControllerDeps& deps) {
  return std::make_unique<DeploymentController>(deps);
}

}  // namespace kayak::controllers
