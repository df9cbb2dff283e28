// event_correlator.cc: aggregation, counting and the rate limit of events.
#include "client/event_correlator.h"

#include <algorithm>
#include <functional>

#include "base/strings.h"

namespace kayak::client {

namespace {
using namespace std::chrono_literals;

constexpr double kBurst = 25;
constexpr double kPerSecond = 1.0 / 300;
constexpr std::size_t kMaxSimilar = 10;
constexpr Duration kSimilarWindow = 600s;

std::string_view text_of(const json::Value& object, std::string_view field) {
  const json::Value* value = object.find(field);
  return value == nullptr ? std::string_view() : value->string_or();
}

// The fields that make two events be about the same thing, joined by a character none of them can hold.
std::string key_of(const json::Value& reference, std::initializer_list<std::string_view> more) {
  std::string key;
  for (std::string_view field : {"kind", "namespace", "name", "uid", "apiVersion", "fieldPath"}) {
    key += text_of(reference, field);
    key += '\x1f';
  }
  for (std::string_view part : more) {
    key += part;
    key += '\x1f';
  }
  return key;
}

std::string hex(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value % 16]);
    value /= 16;
  } while (value != 0);
  return digits;
}
}  // namespace

std::string EventCorrelator::new_name(std::string_view object_name, WallTime now) {
  // Two events in one microsecond must not share a name.
  last_nanoseconds_ = std::max(now.microseconds * 1000, last_nanoseconds_ + 1);
  return cat(object_name, ".", hex(static_cast<std::uint64_t>(last_nanoseconds_)));
}

bool EventCorrelator::within_limit(const std::string& object_key, WallTime now) {
  Bucket& bucket = buckets_.use(object_key);
  if (!bucket.started) {
    bucket = Bucket{kBurst, now, true};
  } else {
    const double elapsed = std::chrono::duration<double>(now - bucket.refilled).count();
    bucket.tokens = std::min(kBurst, bucket.tokens + std::max(elapsed, 0.0) * kPerSecond);
    bucket.refilled = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

std::optional<EventWrite> EventCorrelator::correlate(EventInput input, WallTime now) {
  Similar& similar = similar_.use(key_of(input.reference, {input.type, input.reason}));
  if (now - similar.last > kSimilarWindow) similar.messages.clear();
  similar.last = now;
  const std::size_t message_hash = std::hash<std::string>()(input.message);
  const bool combine = !similar.messages.contains(message_hash) && similar.messages.size() + 1 >= kMaxSimilar;
  if (!combine) similar.messages.insert(message_hash);

  const std::string time = format_time(now);
  // All combined events of a kind share one object, whose message is the newest.
  Seen& seen = seen_.use(key_of(input.reference, {input.type, input.reason, combine ? "" : input.message}));
  if (combine) input.message = cat("(combined from similar events): ", input.message);

  const std::string_view object_namespace = text_of(input.reference, "namespace");
  EventWrite write;
  write.namespace_ = object_namespace.empty() ? "default" : std::string(object_namespace);
  if (seen.count == 0) {
    seen.name = new_name(text_of(input.reference, "name"), now);
    seen.first = time;
  }
  ++seen.count;
  if (!within_limit(key_of(input.reference, {}), now)) return std::nullopt;
  write.name = seen.name;
  if (seen.count > 1) {
    json::Value patch;
    patch["count"] = seen.count;
    patch["lastTimestamp"] = time;
    if (combine) patch["message"] = input.message;
    write.patch = std::move(patch);
  }
  json::Value& object = write.object;
  object["metadata"]["name"] = seen.name;
  object["metadata"]["namespace"] = write.namespace_;
  object["involvedObject"] = std::move(input.reference);
  object["reason"] = std::move(input.reason);
  object["message"] = std::move(input.message);
  object["source"]["component"] = component_;
  if (!host_.empty()) object["source"]["host"] = host_;
  object["firstTimestamp"] = seen.first;
  object["lastTimestamp"] = time;
  object["count"] = seen.count;
  object["type"] = std::move(input.type);
  object["reportingComponent"] = component_;
  object["reportingInstance"] = host_;
  return write;
}

}  // namespace kayak::client
