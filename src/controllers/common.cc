// common.cc: the shell, adoption, pods from templates, expectations and conditions.
#include "controllers/common.h"

#include <algorithm>

#include "api/views/core_v1.h"

namespace kayak::controllers {

namespace {
using namespace std::chrono_literals;
constexpr Duration kExpectationTimeout = 5min;
}  // namespace

QueueController::QueueController(const ControllerDeps& deps, std::string queue_name, std::string component, int workers)
    : context_(deps.context),
      client_(deps.client),
      informers_(deps.informers),
      queue_(client::make_work_queue(deps.context, std::move(queue_name))),
      component_(std::move(component)),
      workers_(workers) {}

Informer& QueueController::need(const api::Kind& kind) {
  Informer& informer = informers_.informer(kind);
  needed_.push_back(&informer);
  return informer;
}

void QueueController::event(const ObjectRef& about, const char* type, const char* reason, std::string message) {
  if (recorder_) recorder_->event(about, type, reason, std::move(message));
}

Task<Result<void>> QueueController::run(StopToken stop) {
  for (Informer* informer : needed_) {
    const Result<void> synced = co_await informer->wait_for_sync(stop);
    if (!synced) co_return synced;
  }
  io::TaskScope scope(stop);
  recorder_ = client::make_event_recorder(context_, client_, component_, "", scope);
  auto step = [this](ObjectKey key, StopToken token) { return reconcile(std::move(key), std::move(token)); };
  scope.spawn(client::run_workers(context_, *queue_, workers_, step, scope.token()));
  const Result<void> done = co_await scope.join();
  recorder_.reset();
  co_return done;
}

// ---- owners

const api::OwnerReference* controller_of(const api::Object& object) {
  for (const api::OwnerReference& owner : object.header().owners) {
    if (owner.controller) return &owner;
  }
  return nullptr;
}

bool controlled_by(const api::Object& object, const api::Object& owner) {
  const api::OwnerReference* controller = controller_of(object);
  return controller != nullptr && controller->uid == owner.uid();
}

json::Value owner_reference(const api::Object& owner) {
  json::Value reference;
  reference["apiVersion"] = owner.kind().api_version();
  reference["kind"] = owner.kind().kind;
  reference["name"] = owner.name();
  reference["uid"] = owner.uid();
  reference["controller"] = true;
  reference["blockOwnerDeletion"] = true;
  return reference;
}

Claims plan_claims(const api::Object& owner, const api::LabelSelector& selector,
                   const std::vector<ObjectRef>& candidates) {
  Claims claims;
  for (const ObjectRef& object : candidates) {
    const bool matches = selector.matches(object->header().labels);
    const api::OwnerReference* controller = controller_of(*object);
    if (controller != nullptr) {
      if (controller->uid != owner.uid()) continue;
      if (matches) {
        claims.owned.push_back(object);
      } else if (!owner.header().deleting) {
        claims.release.push_back(object);
      }
    } else if (matches && !owner.header().deleting && !object->header().deleting) {
      claims.adopt.push_back(object);
    }
  }
  return claims;
}

namespace {

json::Value one_owner_patch(json::Value reference, const std::string& object_uid) {
  json::Array owners;
  owners.push_back(std::move(reference));
  json::Value patch;
  patch["metadata"]["ownerReferences"] = std::move(owners);
  patch["metadata"]["uid"] = object_uid;
  return patch;
}

// The cached owner may be a former one of the same name.
Task<Result<void>> check_can_adopt(client::Client& client, ObjectRef owner, StopToken stop) {
  const Result<ObjectRef> fresh = co_await client.get(owner->kind(), owner->namespace_(), owner->name(), stop);
  if (!fresh) co_return fresh.error();
  if ((*fresh)->uid() != owner->uid()) {
    co_return Error(Code::kConflict, cat("original ", owner->kind().kind, " ", owner->namespace_(), "/", owner->name(),
                                         " is gone: got uid ", (*fresh)->uid(), ", wanted ", owner->uid()));
  }
  if ((*fresh)->header().deleting) {
    co_return Error(Code::kConflict, cat(owner->namespace_(), "/", owner->name(), " has just been deleted"));
  }
  co_return Result<void>();
}

bool is_gone_or_refused(const Error& error) {
  // Gone, another object by now, or the patch found no such owner: someone else has settled it.
  return error.code() == Code::kNotFound || error.code() == Code::kInvalid;
}

}  // namespace

Task<Result<std::vector<ObjectRef>>> claim(client::Client& client, ObjectRef owner, api::LabelSelector selector,
                                           std::vector<ObjectRef> candidates, StopToken stop) {
  Claims claims = plan_claims(*owner, selector, candidates);
  const client::WriteOptions options;
  if (!claims.adopt.empty()) {
    const Result<void> allowed = co_await check_can_adopt(client, owner, stop);
    if (!allowed) co_return allowed.error();
  }
  for (const ObjectRef& object : claims.adopt) {
    json::Value patch = one_owner_patch(owner_reference(*owner), object->uid());
    Result<ObjectRef> adopted =
        co_await client.patch(object->kind(), object->namespace_(), object->name(), client::PatchType::kStrategicMerge,
                              std::move(patch), options, stop);
    if (adopted) {
      claims.owned.push_back(*adopted);
    } else if (!is_gone_or_refused(adopted.error())) {
      co_return adopted.error();
    }
  }
  for (const ObjectRef& object : claims.release) {
    json::Value reference;
    reference["$patch"] = "delete";
    reference["uid"] = owner->uid();
    json::Value patch = one_owner_patch(std::move(reference), object->uid());
    const Result<ObjectRef> released =
        co_await client.patch(object->kind(), object->namespace_(), object->name(), client::PatchType::kStrategicMerge,
                              std::move(patch), options, stop);
    if (!released && !is_gone_or_refused(released.error())) co_return released.error();
  }
  co_return std::move(claims.owned);
}

// ---- pods

bool PodFacts::available(WallTime now, std::int64_t min_ready_seconds) const {
  if (!ready) return false;
  return min_ready_seconds == 0 || ready_since + std::chrono::seconds(min_ready_seconds) <= now;
}

PodFacts read_pod_facts(const ObjectRef& object) {
  const api::core_v1::PodView pod(object);
  PodFacts facts;
  facts.object = object;
  facts.node = pod.spec().node_name();
  facts.phase = pod.status().phase();
  facts.deleting = object->header().deleting;
  facts.created = client::time_at(*pod.json(), {"metadata", "creationTimestamp"});
  const json::Value* ready =
      client::item_with(client::array_at(*pod.json(), {"status", "conditions"}), "type", "Ready");
  if (ready != nullptr && client::text_at(*ready, {"status"}) == "True") {
    facts.ready = true;
    facts.ready_since = client::time_at(*ready, {"lastTransitionTime"});
  }
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const json::Value& status : client::array_at(*pod.json(), {"status", list})) {
      facts.restarts = std::max(facts.restarts, client::int_at(status, {"restartCount"}));
    }
  }
  parse_int64(client::text_at(*pod.json(), {"metadata", "annotations", "controller.kubernetes.io/pod-deletion-cost"}),
              &facts.deletion_cost);
  return facts;
}

std::string pod_prefix(const std::string& owner_name) { return cat(owner_name, "-"); }

json::Value pod_from_template(const json::Value& pod_template, const api::Object& owner) {
  json::Value pod;
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  json::Value& metadata = pod["metadata"];
  metadata = json::Value(json::Object());
  for (const char* field : {"labels", "annotations", "finalizers"}) {
    if (const json::Value* value = pod_template.at({"metadata", field})) metadata[field] = *value;
  }
  json::Array owners;
  owners.push_back(owner_reference(owner));
  metadata["ownerReferences"] = std::move(owners);
  if (const json::Value* spec = pod_template.find("spec")) pod["spec"] = *spec;
  return pod;
}

// ---- expectations

void Expectations::expect_creations(const ObjectKey& key, std::int64_t count) {
  open_[key] = Open{count, {}, clock_.now()};
}

void Expectations::expect_deletions(const ObjectKey& key, std::set<std::string> uids) {
  open_[key] = Open{0, std::move(uids), clock_.now()};
}

void Expectations::creation_observed(const ObjectKey& key) {
  auto place = open_.find(key);
  if (place != open_.end() && place->second.creations > 0) --place->second.creations;
}

void Expectations::deletion_observed(const ObjectKey& key, const std::string& uid) {
  auto place = open_.find(key);
  if (place != open_.end()) place->second.deletions.erase(uid);
}

bool Expectations::satisfied(const ObjectKey& key) const {
  auto place = open_.find(key);
  if (place == open_.end()) return true;
  const Open& open = place->second;
  return (open.creations <= 0 && open.deletions.empty()) || clock_.now() - open.since > kExpectationTimeout;
}

Duration Expectations::remaining(const ObjectKey& key) const {
  return open_.at(key).since + kExpectationTimeout + 1s - clock_.now();
}

// ---- batches

namespace {
Task<void> run_item(const BatchItem& item, std::int64_t index, BatchResult& result) {
  const Result<void> done = co_await item(index);
  if (done) {
    ++result.succeeded;
  } else if (!result.failure) {
    result.failure = done.error();
  }
}
}  // namespace

Task<BatchResult> slow_start_batch(std::int64_t count, std::int64_t first_batch, BatchItem item) {
  BatchResult result;
  std::int64_t next = 0;
  for (std::int64_t size = std::min(count, first_batch); size > 0; size = std::min(2 * size, count - next)) {
    io::TaskScope scope;
    for (std::int64_t i = 0; i < size; ++i) scope.spawn(run_item(item, next++, result));
    const Result<void> joined = co_await scope.join();
    ASSERT(joined.ok());
    if (result.failure) break;
  }
  co_return result;
}

// ---- conditions

bool set_condition(json::Array& conditions, json::Value condition, bool keep_same) {
  const std::string type(client::text_at(condition, {"type"}));
  for (json::Value& known : conditions) {
    if (client::text_at(known, {"type"}) != type) continue;
    const bool same_status = client::text_at(known, {"status"}) == client::text_at(condition, {"status"});
    if (same_status && keep_same && client::text_at(known, {"reason"}) == client::text_at(condition, {"reason"})) {
      return false;
    }
    if (const json::Value* since = known.find("lastTransitionTime"); same_status && since != nullptr) {
      condition["lastTransitionTime"] = *since;
    }
    known = std::move(condition);
    return true;
  }
  conditions.push_back(std::move(condition));
  return true;
}

void remove_condition(json::Array& conditions, std::string_view type) {
  std::erase_if(conditions, [&](const json::Value& known) { return client::text_at(known, {"type"}) == type; });
}

json::Value with_status(const api::Object& object, json::Value status) {
  json::Value document = *object.document();
  document["status"] = std::move(status);
  return document;
}

Task<Result<ObjectRef>> update_status(client::Client& client, ObjectRef object, json::Value status, StopToken stop) {
  client::WriteOptions options;
  options.subresource = "status";
  json::Value document = with_status(*object, std::move(status));
  co_return co_await client.update(object->kind(), object->namespace_(), object->name(), std::move(document), options,
                                   stop);
}

bool is_namespace_terminating(const Error& error) {
  if (error.code() != Code::kForbidden || error.details() == nullptr) return false;
  return std::any_of(error.details()->causes.begin(), error.details()->causes.end(),
                     [](const StatusCause& cause) { return cause.reason == "NamespaceTerminating"; });
}

std::string plural_s(std::int64_t count) { return count == 1 ? "" : "s"; }

}  // namespace kayak::controllers
