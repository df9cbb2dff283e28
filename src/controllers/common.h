// common.h: what several controllers share: the queue-and-reconcile shell, owners and adoption, pods from templates,
// expectations, batches of writes. Private to this folder.
// Source: kube-controller-manager pkg/controller (controller_utils, controller_ref_manager).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/selector.h"
#include "client/fields.h"
#include "controllers/controllers.h"

namespace kayak::controllers {

using api::ObjectRef;
using client::Informer;
using client::ObjectKey;
using client::Requeue;

// A controller that works through a queue of keys. Subclasses add handlers in their constructor, which only enqueue.
class QueueController : public Controller {
 public:
  Task<Result<void>> run(StopToken stop) override;

 protected:
  // `component`: the source of its events.
  QueueController(const ControllerDeps& deps, std::string queue_name, std::string component, int workers);
  virtual Task<Result<Requeue>> reconcile(ObjectKey key, StopToken stop) = 0;

  Informer& need(const api::Kind& kind);  // an informer that must be in sync before the first reconcile
  void enqueue(const api::Object& object) { queue_->add(key_of(object)); }
  static ObjectKey key_of(const api::Object& object) { return ObjectKey{object.namespace_(), object.name()}; }
  void event(const ObjectRef& about, const char* type, const char* reason, std::string message);
  WallTime now() const { return context_.clock.wall(); }

  Context context_;
  client::Client& client_;
  client::InformerFactory& informers_;
  std::unique_ptr<client::WorkQueue> queue_;

 private:
  std::string component_;
  int workers_;
  std::vector<Informer*> needed_;
  std::unique_ptr<client::EventRecorder> recorder_;
};

// ---- owners

// Null when nobody controls the object.
const api::OwnerReference* controller_of(const api::Object& object);
bool controlled_by(const api::Object& object, const api::Object& owner);
// The ownerReferences entry by which `owner` controls what it makes.
json::Value owner_reference(const api::Object& owner);

// What to do with the objects that a selector and the owner references speak of.
struct Claims {
  std::vector<ObjectRef> owned;    // controlled and matching
  std::vector<ObjectRef> adopt;    // matching, controlled by nobody
  std::vector<ObjectRef> release;  // controlled, no longer matching
};
Claims plan_claims(const api::Object& owner, const api::LabelSelector& selector,
                   const std::vector<ObjectRef>& candidates);
// Writes the adoptions and releases; the owned ones with those that were adopted. An owner that is gone or being
// deleted (asked freshly, once) adopts nothing.
Task<Result<std::vector<ObjectRef>>> claim(client::Client& client, ObjectRef owner, api::LabelSelector selector,
                                           std::vector<ObjectRef> candidates, StopToken stop);

// ---- pods

// The fields of a pod that controllers decide by.
struct PodFacts {
  ObjectRef object;
  std::string node, phase;
  bool deleting = false;
  bool ready = false;
  WallTime ready_since{}, created{};
  std::int64_t restarts = 0;  // of the container that restarted most
  std::int64_t deletion_cost = 0;

  bool active() const { return phase != "Succeeded" && phase != "Failed" && !deleting; }
  bool available(WallTime now, std::int64_t min_ready_seconds) const;
};
PodFacts read_pod_facts(const ObjectRef& pod);

// A pod document made of a template document (metadata and spec) for `owner`, without a name.
json::Value pod_from_template(const json::Value& pod_template, const api::Object& owner);
// "name-" for generateName, as upstream's validation of prefixes allows.
std::string pod_prefix(const std::string& owner_name);

// ---- expectations: what a controller has asked for and its informers have not shown yet. While something is open a
// reconcile must not count objects; after 5 minutes it is no longer waited for.
class Expectations {
 public:
  explicit Expectations(Clock& clock) : clock_(clock) {}
  void expect_creations(const ObjectKey& key, std::int64_t count);
  void expect_deletions(const ObjectKey& key, std::set<std::string> uids);
  void creation_observed(const ObjectKey& key);
  void deletion_observed(const ObjectKey& key, const std::string& uid);
  bool satisfied(const ObjectKey& key) const;
  // How long until the open ones are given up; only when not satisfied.
  Duration remaining(const ObjectKey& key) const;
  void forget(const ObjectKey& key) { open_.erase(key); }

 private:
  struct Open {
    std::int64_t creations = 0;
    std::set<std::string> deletions;
    Instant since{};
  };
  Clock& clock_;
  std::map<ObjectKey, Open> open_;
};

// Runs `count` writes in batches of 1, 2, 4, ... side by side, so that a write that cannot succeed (quota, a webhook)
// fails once and not a thousand times. How many succeeded, and the first failure.
struct BatchResult {
  std::int64_t succeeded = 0;
  std::optional<Error> failure;
};
using BatchItem = std::function<Task<Result<void>>(std::int64_t index)>;
Task<BatchResult> slow_start_batch(std::int64_t count, std::int64_t first_batch, BatchItem item);

// ---- conditions

// Sets or replaces the condition of `condition`'s type in the list; keeps lastTransitionTime when status is the same.
// With `keep_same`, one with the same status and reason stays untouched. True when the list changed.
bool set_condition(json::Array& conditions, json::Value condition, bool keep_same);
void remove_condition(json::Array& conditions, std::string_view type);

// The document of `object` with another status.
json::Value with_status(const api::Object& object, json::Value status);
Task<Result<ObjectRef>> update_status(client::Client& client, ObjectRef object, json::Value status, StopToken stop);

// True when the namespace is going away: a failed create needs no retry then.
bool is_namespace_terminating(const Error& error);
std::string plural_s(std::int64_t count);

}  // namespace kayak::controllers
