// event_correlator.h: decides what becomes of an event: a new object, a higher count on an earlier one, or nothing.
// Owns only its memory of recent events, which is bounded; sending is event_recorder.cc.
// Source: client-go tools/record (EventCorrelator: spam filter, aggregator, logger).
#pragma once

#include <optional>
#include <string>
#include <unordered_set>

#include "base/clock.h"
#include "base/json.h"
#include "client/lru.h"

namespace kayak::client {

struct EventInput {
  json::Value reference;  // core/v1 ObjectReference
  std::string type, reason, message;
};

// One write. When `patch` is set it goes first, to the event `name`; if that event is gone, or there was none,
// `object` is created.
struct EventWrite {
  std::string namespace_, name;
  std::optional<json::Value> patch;
  json::Value object;
};

class EventCorrelator {
 public:
  EventCorrelator(std::string component, std::string host) : component_(std::move(component)), host_(std::move(host)) {}
  // Nullopt: dropped by the rate limit (25 at once, then one per 5 minutes, per source and object).
  std::optional<EventWrite> correlate(EventInput input, WallTime now);

 private:
  struct Similar {  // events that differ in their messages alone
    WallTime last{};
    std::unordered_set<std::size_t> messages;  // hashes
  };
  struct Seen {
    std::int64_t count = 0;
    std::string name, first;  // of the event object; first timestamp
  };
  struct Bucket {
    double tokens = 0;
    WallTime refilled{};
    bool started = false;
  };
  bool within_limit(const std::string& object_key, WallTime now);
  std::string new_name(std::string_view object_name, WallTime now);

  std::string component_, host_;
  std::int64_t last_nanoseconds_ = 0;
  // Upstream keeps 4096 of each; a small cluster needs fewer, and forgetting only costs an extra Event object.
  Lru<Similar> similar_{512};
  Lru<Seen> seen_{1024};
  Lru<Bucket> buckets_{512};
};

}  // namespace kayak::client
