// deletion.cc: what a deletion does next to an object, decided purely, and the swap that does it.
#include "api/deletion.h"

#include <algorithm>

#include "api/admission/admission.h"
#include "api/document.h"
#include "api/pipeline.h"
#include "api/query.h"
#include "api/reads.h"
#include "api/status.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::string_view kOrphan = "orphan";
constexpr std::string_view kForeground = "foregroundDeletion";
constexpr int kSwapAttempts = 50;
// Deletions of a collection under way at once: enough to share commits, few enough to leave room for others.
constexpr std::size_t kParallelDeletes = 16;

enum class Step : std::uint8_t { kNothing, kUpdate, kRemove };

bool default_finalizer(const DeleteOptions& options, const std::vector<std::string>& finalizers,
                       std::string_view wanted, std::string_view policy, std::string_view other, bool fallback) {
  if (options.orphan_dependents) return wanted == kOrphan && *options.orphan_dependents;
  if (!options.propagation_policy.empty()) return options.propagation_policy == policy;
  for (const std::string& finalizer : finalizers) {
    if (finalizer == wanted) return true;
    if (finalizer == other) return false;
  }
  return fallback;
}

// The finalizers that garbage collection works by, as the options and the kind's habit want them.
std::vector<std::string> collection_finalizers(const Strategy& strategy, const DeleteOptions& options,
                                               const std::vector<std::string>& present) {
  if (strategy.garbage_collection == GarbageCollection::kUnsupported) return present;
  const bool orphan = default_finalizer(options, present, kOrphan, "Orphan", kForeground,
                                        strategy.garbage_collection == GarbageCollection::kOrphan);
  const bool foreground = default_finalizer(options, present, kForeground, "Foreground", kOrphan, false);
  std::vector<std::string> wanted;
  for (const std::string& finalizer : present) {
    if (finalizer != kOrphan && finalizer != kForeground) wanted.push_back(finalizer);
  }
  if (orphan) wanted.emplace_back(kOrphan);
  if (foreground) wanted.emplace_back(kForeground);
  std::vector<std::string> a = wanted, b = present;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b ? present : wanted;
}

// How long a pod may take to stop. Nobody waits for a pod that no node runs or that has ended.
std::int64_t pod_grace(const json::Value& pod, const DeleteOptions& options) {
  std::int64_t grace = 0;
  if (options.grace_seconds) {
    grace = *options.grace_seconds;
  } else if (const json::Value* own = pod.at({"spec", "terminationGracePeriodSeconds"})) {
    grace = own->int_or(0);
  }
  const std::string_view phase = text_at(pod, {"status", "phase"});
  if (text_at(pod, {"spec", "nodeName"}).empty() || phase == "Succeeded" || phase == "Failed") return 0;
  return grace < 0 ? 1 : grace;
}

void bump_generation(json::Value& object) {
  if (generation_of(object) > 0) metadata_of(object)["generation"] = generation_of(object) + 1;
}

void set_deletion(json::Value& object, WallTime at, std::int64_t grace) {
  metadata_of(object)["deletionTimestamp"] = format_time(at);
  metadata_of(object)["deletionGracePeriodSeconds"] = grace;
}

// A graceful deletion that has begun can only become shorter. kNothing: it runs as it does.
Step shorten(json::Value& object, const DeleteOptions& options) {
  const std::optional<std::int64_t> running = deletion_grace(object);
  if (!running) return Step::kRemove;
  if (!options.grace_seconds || *options.grace_seconds >= *running) return Step::kNothing;
  WallTime end;
  if (!parse_time(meta_text(object, "deletionTimestamp"), &end)) return Step::kNothing;
  const std::int64_t grace = std::max<std::int64_t>(*options.grace_seconds, 0);
  set_deletion(object, end + std::chrono::seconds(grace - *running), grace);
  return grace == 0 ? Step::kRemove : Step::kUpdate;
}

Step begin_graceful(json::Value& object, const DeleteOptions& options, WallTime now) {
  if (is_deleting(object)) return shorten(object, options);
  const std::int64_t grace = pod_grace(object, options);
  set_deletion(object, now + std::chrono::seconds(grace), grace);
  bump_generation(object);
  return grace == 0 ? Step::kRemove : Step::kUpdate;
}

// The first DELETE of a namespace only starts its end; the namespace controller empties it.
Step begin_namespace(json::Value& object, WallTime now) {
  if (!is_deleting(object)) {
    metadata_of(object)["deletionTimestamp"] = format_time(now);
    object["status"]["phase"] = "Terminating";
    return Step::kUpdate;
  }
  const json::Value* left = object.at({"spec", "finalizers"});
  const bool empty = left == nullptr || !left->is_array() || left->as_array().empty();
  return empty ? Step::kRemove : Step::kNothing;
}

// What DELETE does to `object` (changed in place); pure.
Step plan_deletion(const Kind& kind, const Strategy& strategy, const DeleteOptions& options, WallTime now,
                   json::Value& object) {
  const bool of_namespaces = kind.plural == "namespaces" && kind.group.empty();
  const bool was_deleting = is_deleting(object);
  Step step = Step::kRemove;
  if (of_namespaces) {
    step = begin_namespace(object, now);
  } else if (strategy.graceful) {
    step = begin_graceful(object, options, now);
  }
  if (step == Step::kNothing) return step;
  const std::vector<std::string> present = meta_list(object, "finalizers");
  const std::vector<std::string> wanted = collection_finalizers(strategy, options, present);
  // A namespace's dependents are its content: its controller sees to them, and no default finalizer is set.
  if (wanted != present) set_finalizers(object, wanted);
  if (step == Step::kUpdate || wanted.empty()) return step;
  // Pending finalizers: marked, and removed by the update that takes the last of them away.
  if (!strategy.graceful || !is_deleting(object)) {
    if (!was_deleting) {
      bump_generation(object);
      metadata_of(object)["deletionTimestamp"] = format_time(now);
    }
    metadata_of(object)["deletionGracePeriodSeconds"] = 0;
  }
  return Step::kUpdate;
}

Result<void> check_preconditions(const Kind& kind, const DeleteOptions& options, const ObjectRef& object) {
  if (options.uid && *options.uid != object->uid()) {
    return conflict(kind, object->name(),
                    cat("the UID in the precondition (", *options.uid, ") does not match the UID in record (",
                        object->uid(), "). The object might have been deleted and then recreated"));
  }
  const std::string revision = std::to_string(object->revision());
  if (options.resource_version && *options.resource_version != revision) {
    return conflict(
        kind, object->name(),
        cat("the ResourceVersion in the precondition (", *options.resource_version,
            ") does not match the ResourceVersion in record (", revision, "). The object might have been modified"));
  }
  return Result<void>();
}

ApiResponse removed_answer(const Kind& served, const Strategy& strategy, const ObjectRef& last) {
  ApiResponse response;
  if (strategy.delete_answer == DeleteAnswer::kObject) {
    response.object = last;
  } else {
    DocumentAnswer answer;
    answer.document = success_document(served, last->name(), last->uid());
    answer.message = find_message("v1", "Status");
    response.document = std::move(answer);
  }
  return response;
}

struct DeleteTarget {
  std::string namespace_, name;
};

Task<Result<ApiResponse>> delete_one(ServerParts& parts, const ApiRequest& request, DeleteTarget at, StopToken stop) {
  const Kind& stored = storage_kind(*request.kind);
  const Strategy& strategy = strategy_of(stored);
  const DeleteOptions& options = request.remove;
  for (int attempt = 0; attempt < kSwapAttempts; ++attempt) {
    if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
    const ObjectRef object = parts.cache.get(stored, at.namespace_, at.name);
    if (!object) co_return not_found(*request.kind, at.name);
    if (auto met = check_preconditions(*request.kind, options, object); !met) co_return met.error();
    const json::Document before = object->document();
    ApiResponse response;
    AdmissionRequest admission{parts,        Verb::kDelete,   *request.kind,    "", at.namespace_, at.name,
                               request.user, options.dry_run, response.warnings};
    if (auto admitted = admit_mutating(admission, nullptr, before.get()); !admitted) co_return admitted.error();
    if (auto admitted = admit_validating(admission, nullptr, before.get()); !admitted) co_return admitted.error();

    json::Value after = *before;
    erase_meta(after, "resourceVersion");
    const Step step = plan_deletion(stored, strategy, options, parts.context.clock.wall(), after);
    canonicalize(*stored.message, after);
    auto text = std::make_shared<const std::string>(json::write(after));
    if (step == Step::kNothing || (step == Step::kUpdate && *text == *object->text())) {
      response.object = object;
      co_return response;
    }
    const std::string key = storage_key(stored, at.namespace_, at.name);
    if (step == Step::kRemove) {
      if (options.dry_run) co_return removed_answer(*request.kind, strategy, object);
      const Expectation expected{object->revision(), request.term};
      SideWrites beside = side_writes(parts, stored, before.get(), nullptr);
      auto swapped = co_await swap_delete(parts, key, expected, std::move(beside), stop);
      if (!swapped) co_return swapped.error();
      if (swapped->revision == 0) continue;
      const ObjectRef last = Object::at_revision(object, swapped->revision);
      ApiResponse removed = removed_answer(*request.kind, strategy, last);
      removed.revision = swapped->revision;
      co_return removed;
    }
    store::Revision revision = object->revision();
    if (!options.dry_run) {
      const Expectation expected{object->revision(), request.term};
      auto swapped = co_await swap(parts, key, expected, text, SideWrites(), stop);
      if (!swapped) co_return swapped.error();
      if (swapped->revision == 0) continue;
      revision = swapped->revision;
      response.revision = revision;
    }
    auto changed = Object::from_stored(stored, text, revision);
    if (!changed) co_return changed.error();
    response.object = std::move(*changed);
    if (options.orphan_dependents && !*options.orphan_dependents) response.status = 202;
    co_return response;
  }
  co_return modified_conflict(*request.kind, at.name);
}

struct CollectionWork {
  std::vector<DeleteTarget> targets;
  std::size_t next = 0;
};

Task<Result<void>> delete_some(ServerParts& parts, const ApiRequest& request, CollectionWork& work, StopToken stop) {
  while (work.next < work.targets.size()) {
    DeleteTarget target = std::move(work.targets[work.next++]);
    auto deleted = co_await delete_one(parts, request, std::move(target), stop);
    // Gone meanwhile is as good as deleted; an object that changed is deleted as it is now, by delete_one.
    if (!deleted && deleted.error().code() != Code::kNotFound && deleted.error().code() != Code::kConflict) {
      co_return deleted.error();
    }
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<ApiResponse>> serve_delete(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  if (auto valid = validate_delete_options(request.remove); !valid) co_return valid.error();
  DeleteTarget target;
  target.namespace_ = request.namespace_;
  target.name = request.name;
  co_return co_await delete_one(parts, request, std::move(target), stop);
}

Task<Result<ApiResponse>> serve_delete_collection(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  if (auto valid = validate_delete_options(request.remove); !valid) co_return valid.error();
  auto listed = co_await serve_list(parts, request, stop);
  if (!listed) co_return listed.error();
  CollectionWork work;
  for (const ObjectRef& object : listed->list->items) {
    DeleteTarget target;
    target.namespace_ = object->namespace_();
    target.name = object->name();
    work.targets.push_back(std::move(target));
  }
  io::TaskScope scope(stop);
  const std::size_t workers = std::min(kParallelDeletes, work.targets.size());
  for (std::size_t i = 0; i < workers; ++i) scope.spawn(delete_some(parts, request, work, scope.token()));
  if (auto joined = co_await scope.join(); !joined) co_return joined.error();
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while deleting a collection");
  co_return std::move(*listed);
}

}  // namespace kayak::api
