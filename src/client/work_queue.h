// work_queue.h: the parts of the work queue that decide: which keys wait until when, and how long a failing key waits.
// Owns no timer and reads no clock: work_queue.cc is the shell.
// Source: client-go util/workqueue (delaying queue, default controller rate limiter).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "client/client.h"

namespace kayak::client {

// Keys that become ready later; of two times for one key the earlier wins.
class DelayedKeys {
 public:
  void add(const ObjectKey& key, Instant ready_at);
  std::optional<Instant> next() const;
  // Those that are ready at `now`, earliest first; they are no longer held.
  std::vector<ObjectKey> take_ready(Instant now);
  std::size_t size() const { return times_.size(); }

 private:
  std::map<ObjectKey, Instant> times_;
  std::set<std::pair<Instant, ObjectKey>> order_;
};

// How long a failed key waits: 5 ms doubling with each failure up to 1000 s, and never less than its turn in a bucket
// of 10 retries per second (burst 100) that all keys of the queue share.
class RetryLimiter {
 public:
  Duration next_delay(const ObjectKey& key, Instant now);
  void forget(const ObjectKey& key) { failures_.erase(key); }
  int failures(const ObjectKey& key) const;

 private:
  Duration bucket_delay(Instant now);
  std::map<ObjectKey, int> failures_;
  double tokens_ = 100;  // below zero: that many retries are promised ahead
  Instant refilled_{};
};

// The keys to process: each at most once in line, and never while it is being processed.
class KeyLine {
 public:
  bool add(const ObjectKey& key);  // false when it was in line (or noted for later) already
  std::optional<ObjectKey> take();
  void done(const ObjectKey& key);  // a key added meanwhile goes to the back of the line
  std::size_t length() const { return line_.size(); }

 private:
  std::deque<ObjectKey> line_;
  std::set<ObjectKey> dirty_;  // in line, or added again while being processed
  std::set<ObjectKey> processing_;
};

}  // namespace kayak::client
