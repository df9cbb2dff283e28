// queue.cc: the three lines of waiting pods.
#include "sched/queue.h"

#include <algorithm>

namespace kayak::sched {

namespace {
using namespace std::chrono_literals;
constexpr Duration kFirstBackoff = 1s;
constexpr Duration kLongestBackoff = 10s;
// A cure that the change masks miss is found by trying again.
constexpr Duration kLongestParked = 5min;
}  // namespace

Duration SchedulingQueue::backoff(const QueuedPod& pod) {
  Duration wait = kFirstBackoff;
  for (int i = 1; i < pod.attempts && wait < kLongestBackoff; ++i) wait *= 2;
  return std::min(wait, kLongestBackoff);
}

SchedulingQueue::ActiveKey SchedulingQueue::active_key(const Place& place) const {
  return {-place.pod.priority, place.pod.entered, order_.at(place.pod.uid), place.pod.uid};
}

void SchedulingQueue::put(Place place) {
  const std::string uid = place.pod.uid;
  switch (place.line) {
    case Line::kActive:
      order_[uid] = next_order_++;
      active_.insert(active_key(place));
      break;
    case Line::kBackoff:
      backoff_.emplace(place.due, uid);
      break;
    case Line::kParked:
      parked_.emplace(place.due, uid);
      break;
  }
  places_[uid] = std::move(place);
}

QueuedPod SchedulingQueue::take(const std::string& uid) {
  auto found = places_.find(uid);
  ASSERT(found != places_.end());
  Place place = std::move(found->second);
  places_.erase(found);
  switch (place.line) {
    case Line::kActive:
      active_.erase(active_key(place));
      order_.erase(uid);
      break;
    case Line::kBackoff:
      backoff_.erase({place.due, uid});
      break;
    case Line::kParked:
      parked_.erase({place.due, uid});
      break;
  }
  return std::move(place.pod);
}

void SchedulingQueue::add(client::ObjectKey key, const std::string& uid, std::int64_t priority,
                          std::uint64_t fingerprint, Instant now) {
  QueuedPod pod;
  if (auto known = places_.find(uid); known != places_.end()) {
    if (known->second.pod.priority == priority && known->second.pod.fingerprint == fingerprint) return;
    pod = take(uid);
  }
  pod.fingerprint = fingerprint;
  pod.key = std::move(key);
  pod.uid = uid;
  pod.priority = priority;
  if (pod.entered == Instant()) pod.entered = now;
  put(Place{std::move(pod), Line::kActive});
}

void SchedulingQueue::remove(const std::string& uid) {
  if (contains(uid)) take(uid);
}

void SchedulingQueue::flush(Instant now) {
  for (std::set<DueKey>* line : {&backoff_, &parked_}) {
    while (!line->empty() && line->begin()->first <= now) {
      QueuedPod pod = take(std::string(line->begin()->second));
      put(Place{std::move(pod), Line::kActive});
    }
  }
}

std::optional<QueuedPod> SchedulingQueue::pop(Instant now) {
  flush(now);
  if (active_.empty()) return std::nullopt;
  QueuedPod pod = take(std::string(std::get<3>(*active_.begin())));
  ++pod.attempts;
  return pod;
}

void SchedulingQueue::park(QueuedPod pod, std::uint16_t cured_by, Instant now) {
  remove(pod.uid);
  pod.cured_by = cured_by;
  pod.entered = now;
  put(Place{std::move(pod), Line::kParked, now + kLongestParked});
}

void SchedulingQueue::retry(QueuedPod pod, Instant now) {
  remove(pod.uid);
  pod.entered = now;
  const Instant due = now + backoff(pod);
  put(Place{std::move(pod), Line::kBackoff, due});
}

void SchedulingQueue::on_change(std::uint16_t change, Instant now) {
  std::vector<std::string> cured;
  for (const auto& [due, uid] : parked_) {
    if ((places_.at(uid).pod.cured_by & change) != 0) cured.push_back(uid);
  }
  for (const std::string& uid : cured) {
    QueuedPod pod = take(uid);
    const Instant due = pod.entered + backoff(pod);
    put(due <= now ? Place{std::move(pod), Line::kActive} : Place{std::move(pod), Line::kBackoff, due});
  }
}

std::optional<Instant> SchedulingQueue::next_wakeup() const {
  std::optional<Instant> next;
  for (const std::set<DueKey>* line : {&backoff_, &parked_}) {
    if (!line->empty() && (!next || line->begin()->first < *next)) next = line->begin()->first;
  }
  return next;
}

}  // namespace kayak::sched
