// cache_watch.h: one watch on the cache: initial objects, then matching events from a bounded queue.
// Private to the watch cache.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "api/watch_cache.h"

namespace kayak::api {

// All about one stored kind.
struct WatchCache::KindState {
  const Kind* kind = nullptr;
  std::string prefix;  // "/registry/pods/"
  ObjectSet objects;
  std::string_view indexed_field;  // empty: none
  std::map<std::string, ObjectSet, std::less<>> index;
  std::deque<EventRef> history;
  store::Revision evicted_through = 0;  // events up to here are gone
  store::Revision last_change = 0;
  // Watches by what they can want: see CacheWatch::bucket().
  std::unordered_map<std::string, std::vector<CacheWatch*>> buckets;
  std::size_t watches = 0;
};

class CacheWatch final : public WatchSource {
 public:
  CacheWatch(WatchCache& cache, WatchCache::KindState& state, CacheWatchOptions options);
  ~CacheWatch() override;
  Task<Result<std::vector<WatchAnswer>>> next(StopToken stop) override;

  // From the cache: an event of the kind, a bookmark, the end.
  void offer(const CacheEvent& event);
  void bookmark(store::Revision revision);
  void fail(Error error);

  // Where the watch is registered, so that an event only looks at watches that may want it: "" for all objects of the
  // kind, or one of these.
  static std::string namespace_bucket(std::string_view namespace_);
  static std::string object_bucket(std::string_view namespace_, std::string_view name);
  static std::string field_bucket(std::string_view field, std::string_view value);

 private:
  std::string choose_bucket() const;
  void take_initial();
  void push(WatchAnswer answer, std::size_t bytes);
  void start_timer();
  std::vector<WatchAnswer> take_ready();

  WatchCache& cache_;
  WatchCache::KindState& state_;
  CacheWatchOptions options_;
  std::string bucket_;
  std::vector<ObjectRef> initial_;
  std::size_t initial_sent_ = 0;
  store::Revision initial_revision_ = 0;
  bool initial_bookmark_due_ = false;
  std::deque<WatchAnswer> queue_;
  std::size_t queue_bytes_ = 0;
  store::Revision last_sent_ = 0;
  bool done_ = false;             // after the queue: the end
  std::optional<Error> failure_;  // after the queue: this
  bool catching_up_ = false;      // kept history is not bounded by the queue's limits
  io::Event ready_;
  Loop::Timer timer_;
};

}  // namespace kayak::api
