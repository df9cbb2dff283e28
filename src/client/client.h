// client.h: the one way to the API for scheduler, controllers and node agent, in-process or remote.
// An in-process client calls the same request pipeline as a socket does and skips only sockets, TLS and encoding.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/kind.h"
#include "api/object.h"
#include "api/selector.h"
#include "base/json.h"
#include "io/loop.h"

namespace kayak::client {

using api::Kind;
using api::ObjectRef;

struct ListOptions {
  std::string namespace_;  // empty: all namespaces
  api::LabelSelector labels;
  api::FieldSelector fields;
};
struct ObjectList {
  std::vector<ObjectRef> items;
  store::Revision revision = 0;
};
struct WriteOptions {
  std::string subresource;  // "", "status", "scale", "binding", "finalize"
  bool dry_run = false;
};
enum class PatchType : std::uint8_t { kJson, kMerge, kStrategicMerge };
struct DeleteOptions {
  std::optional<std::int64_t> grace_seconds;
  std::string propagation_policy;     // "", "Background", "Foreground", "Orphan"
  std::string uid, resource_version;  // preconditions
};

struct WatchEvent {
  enum class Type : std::uint8_t { kAdded, kModified, kDeleted, kBookmark };
  Type type = Type::kAdded;
  ObjectRef object;  // for kDeleted the last state, with the deletion's revision; null for kBookmark
  store::Revision revision = 0;
};
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // Errors: Expired (list again), Cancelled, Unavailable.
  virtual Task<Result<WatchEvent>> next(StopToken stop = StopToken()) = 0;
};

// Errors of all calls are those of the API (NotFound, AlreadyExists, Conflict, Invalid, Forbidden, ...), Unavailable,
// Timeout and Cancelled. A write returns when this client's informers can have seen it.
class Client {
 public:
  virtual ~Client() = default;
  virtual Task<Result<ObjectRef>> get(const Kind& kind, std::string namespace_, std::string name,
                                      StopToken stop = StopToken()) = 0;
  virtual Task<Result<ObjectList>> list(const Kind& kind, ListOptions options, StopToken stop = StopToken()) = 0;
  // From just after `revision`.
  virtual Task<Result<std::unique_ptr<WatchStream>>> watch(const Kind& kind, ListOptions options,
                                                           store::Revision revision, StopToken stop = StopToken()) = 0;
  virtual Task<Result<ObjectRef>> create(const Kind& kind, std::string namespace_, json::Value object,
                                         WriteOptions options, StopToken stop = StopToken()) = 0;
  // With metadata.resourceVersion set in `object`, a lost race is Conflict.
  virtual Task<Result<ObjectRef>> update(const Kind& kind, std::string namespace_, std::string name, json::Value object,
                                         WriteOptions options, StopToken stop = StopToken()) = 0;
  virtual Task<Result<ObjectRef>> patch(const Kind& kind, std::string namespace_, std::string name, PatchType type,
                                        json::Value patch, WriteOptions options, StopToken stop = StopToken()) = 0;
  virtual Task<Result<void>> remove(const Kind& kind, std::string namespace_, std::string name, DeleteOptions options,
                                    StopToken stop = StopToken()) = 0;
  // A subresource whose body and answer are not the object itself (pods/binding, scale, eviction): the answer document.
  virtual Task<Result<json::Value>> create_subresource(const Kind& kind, std::string namespace_, std::string name,
                                                       std::string subresource, json::Value body,
                                                       StopToken stop = StopToken()) = 0;
};

// ---- informers

struct ObjectKey {
  std::string namespace_, name;
  auto operator<=>(const ObjectKey&) const = default;
};

struct InformerHandler {
  std::function<void(const ObjectRef&)> on_add;
  std::function<void(const ObjectRef& old_object, const ObjectRef& new_object)> on_update;
  std::function<void(const ObjectRef&)> on_delete;
};

// Keeps a kind's objects (of one selector) in sync with the API and tells handlers what changed. Handlers run on the
// loop and must not block; they usually add a key to a work queue. Handlers added after sync get an add per object.
class Informer {
 public:
  virtual ~Informer() = default;
  virtual void add_handler(InformerHandler handler) = 0;
  virtual Task<Result<void>> wait_for_sync(StopToken stop = StopToken()) = 0;
  virtual bool synced() const = 0;
  // The lister. Null when absent.
  virtual ObjectRef get(const std::string& namespace_, const std::string& name) const = 0;
  virtual std::vector<ObjectRef> list(const std::string& namespace_ = std::string()) const = 0;
  // Objects whose controlling owner has this uid.
  virtual std::vector<ObjectRef> owned_by(const std::string& owner_uid) const = 0;
  // Objects of the namespace that no owner controls.
  virtual std::vector<ObjectRef> orphans(const std::string& namespace_) const = 0;
  // Objects with this field value; the field must be one of the kind's field selectors (e.g. spec.nodeName).
  virtual std::vector<ObjectRef> by_field(const std::string& field, const std::string& value) const = 0;
};

// Shares one informer per (kind, selector) between all components of a process.
class InformerFactory {
 public:
  virtual ~InformerFactory() = default;
  virtual Informer& informer(const Kind& kind, ListOptions options = ListOptions()) = 0;
  // List, watch, and again when the watch ends, with back-off; until `stop`.
  virtual Task<Result<void>> run(StopToken stop) = 0;
};
std::unique_ptr<InformerFactory> make_informer_factory(Context context, Client& client);

// ---- work queue: keys to reconcile, each processed by one worker at a time, with delays and per-key back-off.
// Source: client-go util/workqueue (5 ms * 2^n up to 1000 s, and 10/s with a burst of 100 overall).
class WorkQueue {
 public:
  virtual ~WorkQueue() = default;
  virtual void add(const ObjectKey& key) = 0;
  virtual void add_after(const ObjectKey& key, Duration delay) = 0;
  virtual void add_rate_limited(const ObjectKey& key) = 0;
  virtual void forget(const ObjectKey& key) = 0;  // the key's failures are over
  virtual Task<std::optional<ObjectKey>> take(StopToken stop = StopToken()) = 0;
  virtual void done(const ObjectKey& key) = 0;
  virtual std::size_t length() const = 0;
};
std::unique_ptr<WorkQueue> make_work_queue(Context context, std::string name);

// What a reconcile asks for next.
struct Requeue {
  std::optional<Duration> after;
  static Requeue never() { return Requeue{}; }
  static Requeue in(Duration delay) { return Requeue{delay}; }
};
using Reconcile = std::function<Task<Result<Requeue>>(ObjectKey key, StopToken stop)>;
// Runs `workers` workers over `queue` until `stop`; failures other than Cancelled go back with back-off.
Task<Result<void>> run_workers(Context context, WorkQueue& queue, int workers, Reconcile reconcile, StopToken stop);

// ---- events

// Records core/v1 Events with upstream's aggregation (same event: count +1) and a per-source rate limit
// (burst 25, one per 5 minutes afterwards). Never fails the caller.
// Source: client-go tools/record.
class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  virtual void event(const ObjectRef& about, std::string type, std::string reason, std::string message) = 0;
  // `reference` is a core/v1 ObjectReference document (fieldPath for containers: spec.containers{name}).
  virtual void event(json::Value reference, std::string type, std::string reason, std::string message) = 0;
};
// The core/v1 ObjectReference document of `object`.
json::Value reference_to(const api::Object& object);
// `component` is the event's source, `host` its node ("" for controllers). Sends from a task in `scope`.
std::unique_ptr<EventRecorder> make_event_recorder(Context context, Client& client, std::string component,
                                                   std::string host, io::TaskScope& scope);

}  // namespace kayak::client
