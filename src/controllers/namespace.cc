// namespace.cc: empties a namespace that is being deleted, says on its status how far it is, then lets it go.
// Source: kube-controller-manager's namespace controller (conditions, reasons and messages).
#include <algorithm>

#include "api/views/core_v1.h"
#include "base/strings.h"
#include "controllers/rows.h"

namespace kayak::controllers {

using namespace std::chrono_literals;

namespace {

constexpr const char* kNamespaceFinalizer = "kubernetes";

// What one pass over the namespace's content found.
struct Remaining {
  std::vector<std::pair<std::string, std::size_t>> resources;   // "pods" has 2 instances
  std::vector<std::pair<std::string, std::size_t>> finalizers;  // "example.com/x" in 1 instance
  std::vector<std::string> failures;
  std::int64_t longest_grace = 0;
  bool empty() const { return resources.empty() && failures.empty(); }
};

void count_up(std::vector<std::pair<std::string, std::size_t>>& list, const std::string& name) {
  for (auto& [known, count] : list) {
    if (known == name) {
      ++count;
      return;
    }
  }
  list.emplace_back(name, 1);
}

std::string listed(std::vector<std::pair<std::string, std::size_t>> list, const char* middle) {
  std::sort(list.begin(), list.end());
  std::vector<std::string> parts;
  for (const auto& [name, count] : list) parts.push_back(cat(name, middle, count, " resource instances"));
  return join(parts, ", ");
}

json::Value condition(const char* type, bool value, const char* reason, const std::string& message,
                      const std::string& now, const json::Value* existing) {
  json::Value c = json::Value(json::Object());
  c["type"] = type;
  c["status"] = value ? "True" : "False";
  c["lastTransitionTime"] = now;
  c["reason"] = reason;
  c["message"] = message;
  for (const json::Value& old : existing && existing->is_array() ? existing->as_array() : json::Array()) {
    const json::Value* old_type = old.find("type");
    const json::Value* status = old.find("status");
    const json::Value* since = old.find("lastTransitionTime");
    if (old_type && status && since && old_type->string_or() == type &&
        status->string_or() == (value ? "True" : "False")) {
      c["lastTransitionTime"] = *since;
    }
  }
  return c;
}

json::Value conditions(const Remaining& remaining, const std::string& now, const json::Value* existing) {
  json::Array list;
  list.push_back(condition("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
                           "All resources successfully discovered", now, existing));
  list.push_back(condition("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
                           "All legacy kube types successfully parsed", now, existing));
  const bool failed = !remaining.failures.empty();
  list.push_back(condition("NamespaceDeletionContentFailure", failed,
                           failed ? "ContentDeletionFailed" : "ContentDeleted",
                           failed ? cat("Failed to delete all resource types, ", remaining.failures.size(),
                                        " remaining: ", join(remaining.failures, ", "))
                                  : "All content successfully deleted, may be waiting on finalization",
                           now, existing));
  const bool content = !remaining.resources.empty();
  list.push_back(condition("NamespaceContentRemaining", content, content ? "SomeResourcesRemain" : "ContentRemoved",
                           content ? cat("Some resources are remaining: ", listed(remaining.resources, " has "))
                                   : "All content successfully removed",
                           now, existing));
  const bool finalizers = !remaining.finalizers.empty();
  list.push_back(condition(
      "NamespaceFinalizersRemaining", finalizers, finalizers ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
      finalizers ? cat("Some content in the namespace has finalizers remaining: ", listed(remaining.finalizers, " in "))
                 : "All content-preserving finalizers finished",
      now, existing));
  return json::Value(std::move(list));
}

class NamespaceController final : public Controller {
 public:
  explicit NamespaceController(const ControllerDeps& deps)
      : context_(deps.context),
        client_(deps.client),
        namespaces_(deps.informers.informer(api::kinds::namespaces())),
        queue_(client::make_work_queue(deps.context, "namespace")) {}

  Task<Result<void>> run(StopToken stop) override {
    Result<void> synced = co_await namespaces_.wait_for_sync(stop);
    if (!synced) co_return synced;
    client::InformerHandler handler;
    handler.on_add = [this](const api::ObjectRef& object) { enqueue(object); };
    handler.on_update = [this](const api::ObjectRef&, const api::ObjectRef& object) { enqueue(object); };
    namespaces_.add_handler(std::move(handler));
    auto reconcile = [this](client::ObjectKey key, StopToken token) { return empty(std::move(key), std::move(token)); };
    co_return co_await client::run_workers(context_, *queue_, 4, reconcile, stop);
  }

 private:
  void enqueue(const api::ObjectRef& object) {
    if (object->header().deleting) queue_->add(client::ObjectKey{"", object->name()});
  }

  Task<Result<client::Requeue>> empty(client::ObjectKey key, StopToken stop) {
    Result<api::ObjectRef> object = co_await client_.get(api::kinds::namespaces(), "", key.name, stop);
    if (!object) {
      if (object.error().code() == Code::kNotFound) co_return client::Requeue::never();
      co_return object.error();
    }
    const api::core_v1::NamespaceView view(*object);
    if (!(*object)->header().deleting || view.spec().finalizers().empty()) co_return client::Requeue::never();
    const Remaining remaining = co_await delete_content(key.name, stop);
    Result<void> reported = co_await report(*object, remaining, stop);
    if (!reported) co_return reported.error();
    if (remaining.empty()) {
      Result<void> finalized = co_await finalize(key.name, stop);
      if (!finalized) co_return finalized.error();
      co_return client::Requeue::never();
    }
    // Pods take their grace period; everything else goes at once unless a finalizer holds it.
    const Duration wait = remaining.longest_grace > 0 ? Duration(500ms) : Duration(100ms);
    co_return client::Requeue::in(remaining.finalizers.empty() ? wait : std::max<Duration>(wait, 1s));
  }

  // Pods first, and while one is left nothing else: what they use (policies, secrets, accounts) is there to their end.
  Task<Remaining> delete_content(std::string name, StopToken stop) {
    Remaining remaining;
    co_await delete_kind(api::kinds::pods(), name, remaining, stop);
    if (!remaining.resources.empty()) co_return remaining;
    for (const api::Kind& kind : api::all_kinds()) {
      const std::vector<std::string_view> verbs = split(kind.verbs, ',');
      const bool deletable = std::find(verbs.begin(), verbs.end(), "delete") != verbs.end();
      if (!kind.namespaced || kind.storage_prefix.empty() || !deletable || &kind == &api::kinds::pods()) continue;
      co_await delete_kind(kind, name, remaining, stop);
    }
    co_return remaining;
  }

  Task<void> delete_kind(const api::Kind& kind, std::string name, Remaining& remaining, StopToken stop) {
    client::ListOptions options;
    options.namespace_ = name;
    Result<client::ObjectList> list = co_await client_.list(kind, options, stop);
    if (list && list->items.empty()) co_return;
    std::vector<api::ObjectRef> found;
    if (list) found = std::move(list->items);
    for (const api::ObjectRef& object : found) {
      Result<void> removed = co_await delete_one(kind, object, stop);
      if (!removed) {
        remaining.failures.push_back(cat(kind.group_resource(), "/", object->name(), ": ", removed.error().message()));
      }
    }
    if (list) list = co_await client_.list(kind, options, stop);
    if (!list) {
      remaining.failures.push_back(cat(kind.group_resource(), ": ", list.error().message()));
      co_return;
    }
    for (const api::ObjectRef& object : list->items) count_remaining(kind, object, remaining);
  }

  Task<Result<void>> delete_one(const api::Kind& kind, api::ObjectRef object, StopToken stop) {
    if (object->header().deleting) co_return Result<void>();
    client::DeleteOptions options;
    options.propagation_policy = "Background";
    options.uid = object->uid();
    Result<void> removed = co_await client_.remove(kind, object->namespace_(), object->name(), options, stop);
    if (!removed && (removed.error().code() == Code::kNotFound || removed.error().code() == Code::kConflict)) {
      co_return Result<void>();
    }
    co_return removed;
  }

  static void count_remaining(const api::Kind& kind, const api::ObjectRef& object, Remaining& remaining) {
    count_up(remaining.resources, kind.group_resource());
    for (const std::string& finalizer : object->header().finalizers) count_up(remaining.finalizers, finalizer);
    if (&kind != &api::kinds::pods()) return;
    const api::core_v1::PodView view(object);
    remaining.longest_grace =
        std::max(remaining.longest_grace, view.spec().termination_grace_period_seconds().value_or(0));
  }

  Task<Result<void>> report(api::ObjectRef object, const Remaining& remaining, StopToken stop) {
    const json::Document document = object->document();
    json::Value patch = json::Value(json::Object());
    patch["status"]["phase"] = "Terminating";
    patch["status"]["conditions"] =
        conditions(remaining, format_time(context_.clock.wall()), document->at({"status", "conditions"}));
    client::WriteOptions options;
    options.subresource = "status";
    Result<api::ObjectRef> written = co_await client_.patch(api::kinds::namespaces(), "", object->name(),
                                                            client::PatchType::kMerge, std::move(patch), options, stop);
    if (written || written.error().code() == Code::kNotFound) co_return Result<void>();
    co_return written.error();
  }

  Task<Result<void>> finalize(std::string name, StopToken stop) {
    Result<api::ObjectRef> object = co_await client_.get(api::kinds::namespaces(), "", name, stop);
    if (!object) co_return object.error().code() == Code::kNotFound ? Result<void>() : Result<void>(object.error());
    json::Value changed = *(*object)->document();
    json::Array kept;
    const json::Value* finalizers = changed.at({"spec", "finalizers"});
    for (const json::Value& f : finalizers && finalizers->is_array() ? finalizers->as_array() : json::Array()) {
      if (f.string_or() != kNamespaceFinalizer) kept.push_back(f);
    }
    changed["spec"]["finalizers"] = json::Value(std::move(kept));
    client::WriteOptions options;
    options.subresource = "finalize";
    Result<api::ObjectRef> written =
        co_await client_.update(api::kinds::namespaces(), "", name, std::move(changed), options, stop);
    if (written || written.error().code() == Code::kNotFound) co_return Result<void>();
    co_return written.error();
  }

  Context context_;
  client::Client& client_;
  client::Informer& namespaces_;
  std::unique_ptr<client::WorkQueue> queue_;
};

}  // namespace

std::unique_ptr<Controller> make_namespace_controller(const ControllerDeps& deps) {
  return std::make_unique<NamespaceController>(deps);
}

}  // namespace kayak::controllers
