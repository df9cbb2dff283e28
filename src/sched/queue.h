// queue.h: the pods that wait for a node: those to try now, those backing off, and those that nothing can help yet.
// Owns no timer and reads no clock. Source: kube-scheduler scheduling queue (active, backoff, unschedulable pods).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

#include "base/clock.h"
#include "client/client.h"

namespace kayak::sched {

struct QueuedPod {
  client::ObjectKey key;
  std::string uid;
  std::int64_t priority = 0;
  int attempts = 0;
  std::uint64_t fingerprint = 0;  // PodInfo::fingerprint
  std::uint16_t cured_by = 0;     // mask of Change: what may help a pod that was turned down
  Instant entered{};              // the line it stands in now, for first in, first out
};

class SchedulingQueue {
 public:
  // A pod to try now; one that is in the queue already only when what it asks for has changed.
  void add(client::ObjectKey key, const std::string& uid, std::int64_t priority, std::uint64_t fingerprint,
           Instant now);
  void remove(const std::string& uid);
  bool contains(const std::string& uid) const { return places_.contains(uid); }
  // The pod to try next, highest priority first, then first come; it is no longer in the queue.
  std::optional<QueuedPod> pop(Instant now);
  // A pod that fits nowhere: waits for a change that may cure it, at most 5 minutes.
  void park(QueuedPod pod, std::uint16_t cured_by, Instant now);
  // A pod that failed for another reason: tried again after its back-off (1 s doubling to 10 s).
  void retry(QueuedPod pod, Instant now);
  // Something in the cluster changed: parked pods it may cure are tried again, not before their back-off is over.
  void on_change(std::uint16_t change, Instant now);
  // When pop() may give a pod that it does not give now.
  std::optional<Instant> next_wakeup() const;
  bool has_active() const { return !active_.empty(); }
  std::size_t size() const { return places_.size(); }

 private:
  enum class Line : std::uint8_t { kActive, kBackoff, kParked };
  struct Place {
    QueuedPod pod;
    Line line = Line::kActive;
    Instant due{};  // of kBackoff: when it becomes active; of kParked: when it is tried again at the latest
  };
  using ActiveKey = std::tuple<std::int64_t, Instant, std::uint64_t, std::string>;  // -priority, entered, order, uid
  using DueKey = std::pair<Instant, std::string>;
  void put(Place place);
  QueuedPod take(const std::string& uid);
  ActiveKey active_key(const Place& place) const;
  void flush(Instant now);
  static Duration backoff(const QueuedPod& pod);

  std::unordered_map<std::string, Place> places_;
  std::unordered_map<std::string, std::uint64_t> order_;  // of the active ones
  std::set<ActiveKey> active_;
  std::set<DueKey> backoff_, parked_;
  std::uint64_t next_order_ = 0;
};

}  // namespace kayak::sched
