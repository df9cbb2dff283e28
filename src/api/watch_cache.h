// watch_cache.h: every object of the store, in memory once, and what happened to them lately.
// Owns the objects, the recent events of each kind and the watches on them. Follows the store by one watch and lags
// behind it by contract: readers wait_until() the revision they need. Request semantics (what resourceVersion=0 means,
// paging) belong to reads.h.
// Heartbeats (heartbeat_overlay.h) change what get() and visit() show and nothing else: no revision, no event, no
// watch. Whoever lives by them, as a node lifecycle controller does, reads get() or is told by on_heartbeat(). Source:
// apiserver pkg/storage/cacher; Kubernetes API concepts, "Resource versions".
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/api.h"
#include "api/heartbeat_overlay.h"
#include "api/object.h"
#include "api/selector.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::api {

// The row under which objects of `kind` are stored: the kind itself, or its sibling of the storage version.
const Kind& storage_kind(const Kind& kind);
// "/registry/pods/default/web", "/registry/minions/node-1".
std::string storage_key(const Kind& kind, std::string_view namespace_, std::string_view name);

// Which objects a reader wants.
struct ObjectFilter {
  std::string namespace_;  // empty: all
  LabelSelector labels;
  FieldSelector fields;
  bool matches(const Object& object) const;
  bool matches_all() const { return labels.empty() && fields.empty(); }
};

// Orders objects as their keys in the store: by "namespace/name".
struct KeyView {
  std::string_view namespace_, name;
};
struct ObjectOrder {
  using is_transparent = void;
  static int compare(KeyView a, KeyView b);
  static KeyView view(const ObjectRef& object) { return KeyView{object->namespace_(), object->name()}; }
  bool operator()(const ObjectRef& a, const ObjectRef& b) const { return compare(view(a), view(b)) < 0; }
  bool operator()(const ObjectRef& a, KeyView b) const { return compare(view(a), b) < 0; }
  bool operator()(KeyView a, const ObjectRef& b) const { return compare(a, view(b)) < 0; }
};
using ObjectSet = std::set<ObjectRef, ObjectOrder>;

struct CacheEvent {
  WatchAnswer::Type type = WatchAnswer::Type::kAdded;
  store::Revision revision = 0;
  ObjectRef object;    // the new state; for kDeleted the last one, at the deletion's revision
  ObjectRef previous;  // the state before, null for kAdded
  Instant at;
  std::size_t bytes = 0;  // kept alive by this event alone
};
using EventRef = std::shared_ptr<const CacheEvent>;

struct CacheWatchOptions {
  ObjectFilter filter;
  // Events after this revision.
  store::Revision after = 0;
  // First the objects there are, as ADDED; then events after the cache's revision (`after` is not looked at).
  bool initial_events = false;
  // A bookmark that ends the initial events.
  bool initial_bookmark = false;
  bool bookmarks = false;
  std::optional<Duration> timeout;  // then the watch ends by itself
};

class CacheWatch;

class WatchCache {
 public:
  struct Options {
    std::size_t history_bytes = 4 * 1024 * 1024;
    Duration history_age = std::chrono::minutes(5);
    Duration bookmark_period = std::chrono::minutes(1);
    std::size_t watch_queue_events = 10'000;
    std::size_t watch_queue_bytes = 8 * 1024 * 1024;
    // So many revisions before the newest are read as history at the start: what a watch may have missed.
    store::Revision resume_revisions = 1000;
  };
  WatchCache(Context context, store::Store& store, Options options);
  ~WatchCache();
  WatchCache(const WatchCache&) = delete;
  WatchCache& operator=(const WatchCache&) = delete;

  // Reads everything there is, and the store's recent history. Errors: Unavailable, Cancelled.
  Task<Result<void>> load(StopToken stop);
  // Follows the store until `stop`; loads again when it fell behind the store's history.
  Task<Result<void>> follow(StopToken stop);
  // Ends all watches with Unavailable, now and in future: the server stops.
  void end_watches();

  // Not before the load ended: what is read then is never older than what was read before a restart.
  bool loaded() const { return loaded_; }
  // The store's revision that the cache shows. Never goes back.
  store::Revision revision() const { return revision_; }
  // Errors: Cancelled.
  Task<Result<void>> wait_until(store::Revision revision, StopToken stop);
  // Until it shows all that any server had acknowledged by now. Errors: Cancelled, Unavailable.
  Task<Result<void>> wait_current(StopToken stop);

  // Null when absent. Any version's row of the kind does.
  ObjectRef get(const Kind& kind, std::string_view namespace_, std::string_view name) const;
  // In key order, from the first key after `after` (its "namespace/name" suffix; empty: from the start), until `visit`
  // says false. Must not be held over a suspension.
  void visit(const Kind& kind, const ObjectFilter& filter, std::string_view after,
             const std::function<bool(const ObjectRef&)>& visit) const;
  std::size_t count(const Kind& kind, std::string_view namespace_) const;
  // No object of this kind changed after this revision (up to revision()).
  store::Revision last_change(const Kind& kind) const;
  // Events of this kind up to here are no longer kept.
  store::Revision history_start(const Kind& kind) const;

  // Errors: Expired (events after `after` are gone), with upstream's text.
  Result<std::unique_ptr<WatchSource>> watch(const Kind& kind, CacheWatchOptions options);

  // Told of every event, before watches are: indexes that must never lag behind the cache (service addresses).
  using Observer = std::function<void(const Kind& kind, const ObjectRef& old_object, const ObjectRef& new_object)>;
  void add_observer(Observer observer) { observers_.push_back(std::move(observer)); }

  // Shows the object's newest heartbeat from now on; what is shown then. Null when the object is not at the heartbeat's
  // revision, or a write of it is on its way: then it must become a write of its own.
  ObjectRef take_heartbeat(const Heartbeat& heartbeat);
  HeartbeatOverlay& heartbeats() { return heartbeats_; }
  const HeartbeatOverlay& heartbeats() const { return heartbeats_; }
  // What the store has of an object whose heartbeat is shown; null when `shown` is that itself.
  ObjectRef durable_version(const ObjectRef& shown) const;
  // `durable`, as the store has it, with its newest heartbeat if it is still the newest revision.
  ObjectRef with_heartbeat(ObjectRef durable) const;
  void count_folded(std::size_t heartbeats) { folded_.add(heartbeats); }

  // Told of every heartbeat that makes no event (a folded one is an event as well): both are the object at one
  // revision. For in-process readers, and for sending heartbeats on to other servers. Until the answer is destroyed.
  using HeartbeatObserver = std::function<void(const ObjectRef& before, const ObjectRef& now)>;
  [[nodiscard]] std::shared_ptr<const void> on_heartbeat(HeartbeatObserver observer);

  std::size_t watch_count() const;
  std::size_t waiting() const { return waiting_.size(); }  // for a revision
  std::size_t history_size() const { return history_bytes_; }

 private:
  friend class CacheWatch;
  struct KindState;
  KindState* state_of(const Kind& kind) const;
  KindState* state_of_key(std::string_view key, std::string_view* suffix) const;
  Task<Result<void>> fill(store::Revision revision, StopToken stop);
  Task<Result<void>> replay(store::Revision newest, StopToken stop);
  Task<Result<void>> reload(StopToken stop);
  Result<std::unique_ptr<store::Watch>> watch_store();
  Task<void> apply_all(const std::vector<store::WatchBatch>& batches);
  void clear();
  Result<void> take(const store::KeyValue& kv);
  void apply(const store::WatchBatch& batch);
  void apply_event(const store::WatchEvent& event);
  void record(KindState& state, EventRef event);
  void show(KindState& state, ObjectSet::iterator place, ObjectRef object);
  void show_heartbeats_again();
  static bool waits(const Error& error, const StopToken& stop);
  Task<Result<void>> fill_whole(StopToken stop);
  void dispatch(KindState& state, const CacheEvent& event);
  void advance(store::Revision revision);
  void trim_history();
  void pop_history();
  void send_bookmarks();

  Context context_;
  store::Store& store_;
  Options options_;
  std::vector<std::unique_ptr<KindState>> states_;  // sorted by prefix
  std::unordered_map<const Kind*, KindState*> by_kind_;
  store::Revision revision_ = 0;
  std::multimap<store::Revision, std::shared_ptr<io::Event>> waiting_;
  std::deque<KindState*> history_order_;  // whose oldest event is the oldest of all
  std::size_t history_bytes_ = 0;
  std::vector<Observer> observers_;
  HeartbeatOverlay heartbeats_;
  std::vector<std::weak_ptr<const HeartbeatObserver>> heartbeat_observers_;
  Counter& absorbed_;
  Counter& folded_;
  Loop::Timer bookmark_timer_;
  bool loaded_ = false;
  bool ended_ = false;
};

}  // namespace kayak::api
