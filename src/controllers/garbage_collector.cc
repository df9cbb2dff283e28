// garbage_collector.cc: carries out what gc_graph decides: dependents go with their owners, in the background or before
// them, or are let go. Follows every kind that can be deleted through informers; keeps extracted fields alone.
// Source: kube-controller-manager's garbage collector.
#include <algorithm>

#include "base/strings.h"
#include "controllers/gc_graph.h"
#include "controllers/rows.h"

namespace kayak::controllers {

namespace {

bool has_verb(const api::Kind& kind, std::string_view verb) {
  const std::vector<std::string_view> verbs = split(kind.verbs, ',');
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

// Each stored kind once, in its storage version. Events own nothing and are owned by nobody.
bool collected(const api::Kind& kind) {
  if (kind.storage_prefix.empty() || kind.kind == "Event") return false;
  if (!kind.storage_version.empty() && kind.storage_version != kind.version &&
      kind.storage_version != kind.api_version())
    return false;
  return has_verb(kind, "delete") && has_verb(kind, "list") && has_verb(kind, "watch");
}

class GarbageCollector final : public Controller {
 public:
  explicit GarbageCollector(const ControllerDeps& deps)
      : context_(deps.context),
        client_(deps.client),
        queue_(client::make_work_queue(deps.context, "garbage-collector")) {
    for (const api::Kind& kind : api::all_kinds()) {
      if (collected(kind)) informers_.push_back(&deps.informers.informer(kind));
    }
  }

  Task<Result<void>> run(StopToken stop) override {
    // The graph must know all owners before the first "its owner is gone".
    for (client::Informer* informer : informers_) {
      Result<void> synced = co_await informer->wait_for_sync(stop);
      if (!synced) co_return synced;
    }
    for (client::Informer* informer : informers_) {
      client::InformerHandler handler;
      handler.on_add = [this](const api::ObjectRef& object) { seen(object); };
      handler.on_update = [this](const api::ObjectRef&, const api::ObjectRef& object) { seen(object); };
      handler.on_delete = [this](const api::ObjectRef& object) { look_at(graph_.remove(object->uid())); };
      informer->add_handler(std::move(handler));
    }
    auto reconcile = [this](client::ObjectKey key, StopToken token) {
      return collect(std::move(key), std::move(token));
    };
    co_return co_await client::run_workers(context_, *queue_, 4, reconcile, stop);
  }

 private:
  void seen(const api::ObjectRef& object) { look_at(graph_.put(GcGraph::node_of(object))); }
  void look_at(const std::vector<std::string>& uids) {
    for (const std::string& uid : uids) queue_->add(client::ObjectKey{"", uid});
  }

  // The key's name is a uid.
  Task<Result<client::Requeue>> collect(client::ObjectKey key, StopToken stop) {
    const GcDecision decision = graph_.decide(key.name);
    const GcNode* found = graph_.find(key.name);
    if (!found) co_return client::Requeue::never();
    const GcNode node = *found;
    Result<void> done;
    switch (decision.type) {
      case GcDecision::Type::kNothing:
        break;
      case GcDecision::Type::kCheckOwners:
        done = co_await check_owners(node, decision.unknown, stop);
        break;
      case GcDecision::Type::kDelete:
        if (decision.unblock) done = co_await unblock_owners(node, stop);
        if (done) done = co_await remove(node, decision.policy, stop);
        break;
      case GcDecision::Type::kDropOwners:
        done = co_await drop_owners(node, decision.uids, stop);
        break;
      case GcDecision::Type::kDeleteDependents:
        look_at(decision.dependents);
        break;
      case GcDecision::Type::kFinishForeground:
        done = co_await drop_finalizer(node, kForegroundFinalizer, stop);
        break;
      case GcDecision::Type::kReleaseOwner: {
        for (const std::string& uid : decision.dependents) {
          const GcNode* dependent = graph_.find(uid);
          if (!dependent) continue;
          const GcNode copy = *dependent;
          std::vector<std::string> ours;
          ours.push_back(node.uid);
          done = co_await drop_owners(copy, std::move(ours), stop);
          if (!done) break;
        }
        if (done) done = co_await drop_finalizer(node, kOrphanFinalizer, stop);
        break;
      }
    }
    if (!done) co_return done.error();
    co_return client::Requeue::never();
  }

  Task<Result<void>> check_owners(GcNode node, std::vector<api::OwnerReference> owners, StopToken stop) {
    for (const api::OwnerReference& owner : owners) {
      const std::size_t slash = owner.api_version.find('/');
      const std::string group = slash == std::string::npos ? "" : owner.api_version.substr(0, slash);
      const std::string version = slash == std::string::npos ? owner.api_version : owner.api_version.substr(slash + 1);
      const api::Kind* kind = api::find_kind_by_name(group, version, owner.kind);
      // A kind that is not served now may be served again (an aggregated API): such an owner is not known to be gone.
      if (!kind) {
        context_.log.warn("an owner's kind is not served, its dependent stays",
                          {{"owner", cat(owner.api_version, " ", owner.kind, " ", owner.name)},
                           {"dependent", cat(node.namespace_, "/", node.name)}});
        co_return Result<void>();
      }
      const std::string ns = kind->namespaced ? node.namespace_ : std::string();
      Result<api::ObjectRef> live = co_await client_.get(*kind, ns, owner.name, stop);
      if (live && (*live)->uid() == owner.uid) {
        graph_.put(GcGraph::node_of(*live));  // the informer lags
        continue;
      }
      if (!live && live.error().code() != Code::kNotFound) co_return live.error();
      graph_.note_absent(owner.uid);
    }
    queue_->add(client::ObjectKey{"", node.uid});
    co_return Result<void>();
  }

  Task<Result<void>> remove(GcNode node, std::string policy, StopToken stop) {
    client::DeleteOptions options;
    options.propagation_policy = std::move(policy);
    options.uid = node.uid;
    Result<void> removed = co_await client_.remove(*node.kind, node.namespace_, node.name, options, stop);
    co_return settle(std::move(removed));
  }

  // A merge patch of the list against the object as it is now: a lost race is a Conflict and comes again.
  Task<Result<void>> drop_owners(GcNode node, std::vector<std::string> uids, StopToken stop) {
    Result<api::ObjectRef> live = co_await client_.get(*node.kind, node.namespace_, node.name, stop);
    if (!live) co_return settle(live.error());
    if ((*live)->uid() != node.uid) co_return Result<void>();
    const json::Document document = (*live)->document();
    const json::Value* owners = document->at({"metadata", "ownerReferences"});
    json::Array kept;
    for (const json::Value& owner : owners && owners->is_array() ? owners->as_array() : json::Array()) {
      const json::Value* uid = owner.find("uid");
      if (!uid || std::find(uids.begin(), uids.end(), uid->string_or()) == uids.end()) kept.push_back(owner);
    }
    co_return co_await patch_metadata(node, **live, "ownerReferences", std::move(kept), stop);
  }

  Task<Result<void>> unblock_owners(GcNode node, StopToken stop) {
    Result<api::ObjectRef> live = co_await client_.get(*node.kind, node.namespace_, node.name, stop);
    if (!live) co_return settle(live.error());
    if ((*live)->uid() != node.uid) co_return Result<void>();
    const json::Document document = (*live)->document();
    const json::Value* owners = document->at({"metadata", "ownerReferences"});
    json::Array unblocked = owners && owners->is_array() ? owners->as_array() : json::Array();
    for (json::Value& owner : unblocked) owner["blockOwnerDeletion"] = false;
    co_return co_await patch_metadata(node, **live, "ownerReferences", std::move(unblocked), stop);
  }

  Task<Result<void>> drop_finalizer(GcNode node, std::string finalizer, StopToken stop) {
    Result<api::ObjectRef> live = co_await client_.get(*node.kind, node.namespace_, node.name, stop);
    if (!live) co_return settle(live.error());
    if ((*live)->uid() != node.uid) co_return Result<void>();
    json::Array kept;
    bool found = false;
    for (const std::string& name : (*live)->header().finalizers) {
      if (name == finalizer) {
        found = true;
      } else {
        kept.emplace_back(name);
      }
    }
    if (!found) co_return Result<void>();
    co_return co_await patch_metadata(node, **live, "finalizers", std::move(kept), stop);
  }

  Task<Result<void>> patch_metadata(const GcNode& node, const api::Object& live, const char* field, json::Array list,
                                    StopToken stop) {
    json::Value patch = json::Value(json::Object());
    patch["metadata"]["uid"] = node.uid;
    patch["metadata"]["resourceVersion"] = std::to_string(live.revision());
    patch["metadata"][field] = list.empty() ? json::Value() : json::Value(std::move(list));
    client::WriteOptions options;
    Result<api::ObjectRef> written = co_await client_.patch(*node.kind, node.namespace_, node.name,
                                                            client::PatchType::kMerge, std::move(patch), options, stop);
    if (written) co_return Result<void>();
    if (written.error().code() == Code::kConflict) co_return written.error();
    co_return settle(written.error());
  }

  // Gone, or replaced by another of its name: nothing is left to do.
  static Result<void> settle(Result<void> result) {
    if (!result && (result.error().code() == Code::kNotFound || result.error().code() == Code::kConflict))
      return Result<void>();
    return result;
  }

  Context context_;
  client::Client& client_;
  std::vector<client::Informer*> informers_;
  std::unique_ptr<client::WorkQueue> queue_;
  GcGraph graph_;
};

}  // namespace

std::unique_ptr<Controller> make_garbage_collector(const ControllerDeps& deps) {
  return std::make_unique<GarbageCollector>(deps);
}

}  // namespace kayak::controllers
