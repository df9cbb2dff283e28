// event_ttl.cc: an event's age is its revision's age, so nothing is kept per event. Events older than this process are
// judged by the server-made times that they carry.
#include "api/event_ttl.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "api/document.h"
#include "api/pipeline.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr Duration kPeriod = std::chrono::minutes(1);
constexpr std::size_t kDeletesAtOnce = 64;
// In one turn of the loop: a fraction of a millisecond, and a few where their own times must be read.
constexpr int kLooksAtOnce = 500;

struct Mark {
  Instant at;
  store::Revision revision;
};

// The last time at which the server wrote `event`, by its own stamps: creation and managedFields.
WallTime last_written(const Object& event) {
  const json::Document document = event.document();
  WallTime last;
  parse_time(meta_text(*document, "creationTimestamp"), &last);
  const json::Value* managed = meta_find(*document, "managedFields");
  if (managed != nullptr && managed->is_array()) {
    for (const json::Value& entry : managed->as_array()) {
      WallTime time;
      if (parse_time(text_at(entry, {"time"}), &time)) last = std::max(last, time);
    }
  }
  return last;
}

Task<Result<void>> remove_some(ServerParts& parts, const std::vector<ObjectRef>& expired, std::size_t& next,
                               StopToken stop) {
  while (next < expired.size()) {
    const ObjectRef& event = expired[next++];
    // A repeat that came since it was found has no revision, either.
    if (parts.cache.get(kinds::events(), event->namespace_(), event->name()) != event) continue;
    const std::string key = storage_key(kinds::events(), event->namespace_(), event->name());
    // Lost races are fine: the event was written again and is young.
    const Expectation expected{event->revision(), parts.store.leadership().term};
    auto removed = co_await swap_delete(parts, key, expected, SideWrites(), stop);
    if (!removed) co_return removed.error();
  }
  co_return Result<void>();
}

// What is as old as a revision tells and, of events that are older than this process, as their times tell.
struct Age {
  store::Revision older_than = 0, at_start = 0;
};

bool is_expired(const ServerParts& parts, const Object& event, const Age& age) {
  const store::Revision revision = event.revision();
  if (revision <= age.older_than) return true;
  // Written before this process started: only its own times tell. A clock that was wrong then makes it older or younger
  // than it is, by which at worst an event leaves early or an hour late.
  return revision <= age.at_start && parts.context.clock.wall() - last_written(event) > parts.options.event_ttl;
}

// Looks at events in the order of their keys, from the first after `after`; the last key that it looked at, or nothing
// when all have been seen.
std::optional<std::string> find_expired(const ServerParts& parts, const Age& age, std::string_view after,
                                        std::vector<ObjectRef>& expired) {
  ObjectRef last;
  int looks = 0;
  auto judge = [&](const ObjectRef& event) {
    // Repeated lately: soon that has a revision.
    if (!parts.cache.durable_version(event) && is_expired(parts, *event, age)) expired.push_back(event);
    last = event;
    return ++looks < kLooksAtOnce;
  };
  parts.cache.visit(kinds::events(), ObjectFilter(), after, judge);
  if (looks < kLooksAtOnce) return std::nullopt;
  return cat(last->namespace_(), "/", last->name());
}

Task<Result<void>> remove_expired(ServerParts& parts, Age age, StopToken stop) {
  std::vector<ObjectRef> expired;
  std::optional<std::string> after = find_expired(parts, age, "", expired);
  while (after) {
    co_await parts.context.loop.yield();
    after = find_expired(parts, age, *after, expired);
  }
  // Together, so that they share commits: an hour after a busy minute that is all an idle server writes.
  std::size_t next = 0;
  io::TaskScope scope(stop);
  const std::size_t workers = std::min(kDeletesAtOnce, expired.size());
  for (std::size_t i = 0; i < workers; ++i) scope.spawn(remove_some(parts, expired, next, scope.token()));
  co_return co_await scope.join();
}

}  // namespace

Task<Result<void>> expire_events(ServerParts& parts, StopToken stop) {
  Age age;
  age.at_start = parts.cache.revision();
  std::deque<Mark> marks;
  for (;;) {
    const Instant now = parts.context.clock.now();
    if (marks.empty() || marks.back().revision != parts.cache.revision()) {
      marks.push_back(Mark{now, parts.cache.revision()});
    }
    while (!marks.empty() && now - marks.front().at > parts.options.event_ttl) {
      age.older_than = marks.front().revision;
      marks.pop_front();
    }
    Result<void> removed;
    if (parts.store.leadership().leads) removed = co_await remove_expired(parts, age, stop);
    if (!removed && removed.error().code() == Code::kCancelled) co_return removed;
    if (!removed) parts.context.log.warn("events could not be expired", {{"error", removed.error().message()}});
    auto slept = co_await parts.context.loop.sleep(kPeriod, stop);
    if (!slept) co_return slept;
  }
}

}  // namespace kayak::api
