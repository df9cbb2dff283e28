// cache_watch.cc: what one watch sees of the cache's events, and when it ends.
#include "api/cache_watch.h"

#include <algorithm>

#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// How many events one next() hands out: enough to fill a packet, few enough to keep the loop's turn short.
constexpr std::size_t kBatch = 256;
// A bookmark this long before a watch ends by its timeout lets the client resume where it stood.
constexpr Duration kLastBookmark = std::chrono::seconds(2);

}  // namespace

std::string CacheWatch::namespace_bucket(std::string_view namespace_) { return cat("n/", namespace_); }
std::string CacheWatch::object_bucket(std::string_view namespace_, std::string_view name) {
  return cat("o/", namespace_, "/", name);
}
std::string CacheWatch::field_bucket(std::string_view field, std::string_view value) {
  return cat("f/", field, "=", value);
}

CacheWatch::CacheWatch(WatchCache& cache, WatchCache::KindState& state, CacheWatchOptions options)
    : cache_(cache), state_(state), options_(std::move(options)), bucket_(choose_bucket()) {
  state_.buckets[bucket_].push_back(this);
  ++state_.watches;
  if (options_.initial_events) {
    take_initial();
  } else {
    catching_up_ = true;
    for (const EventRef& event : state_.history) offer(*event);
    catching_up_ = false;
  }
  start_timer();
}

CacheWatch::~CacheWatch() {
  auto place = state_.buckets.find(bucket_);
  ASSERT(place != state_.buckets.end());
  std::erase(place->second, this);
  if (place->second.empty()) state_.buckets.erase(place);
  --state_.watches;
}

std::string CacheWatch::choose_bucket() const {
  const std::string& namespace_ = options_.filter.namespace_;
  for (const FieldSelector::Term& term : options_.filter.fields.terms()) {
    if (!term.equal) continue;
    if (term.field == "metadata.name" && (!state_.kind->namespaced || !namespace_.empty())) {
      return object_bucket(namespace_, term.value);
    }
    if (!state_.indexed_field.empty() && term.field == state_.indexed_field) {
      return field_bucket(term.field, term.value);
    }
  }
  return namespace_.empty() ? std::string() : namespace_bucket(namespace_);
}

void CacheWatch::take_initial() {
  auto keep = [this](const ObjectRef& object) {
    initial_.push_back(object);
    return true;
  };
  cache_.visit(*state_.kind, options_.filter, "", keep);
  initial_revision_ = cache_.revision();
  options_.after = initial_revision_;
  initial_bookmark_due_ = options_.initial_bookmark;
  if (!initial_.empty() || initial_bookmark_due_) ready_.set();
}

void CacheWatch::start_timer() {
  if (!options_.timeout) return;
  auto end = [this] {
    done_ = true;
    ready_.set();
  };
  const Duration timeout = *options_.timeout;
  if (!options_.bookmarks || timeout <= kLastBookmark) {
    timer_ = cache_.context_.loop.after(timeout, end);
    return;
  }
  auto last_bookmark = [this, end] {
    bookmark(cache_.revision());
    timer_ = cache_.context_.loop.after(kLastBookmark, end);
  };
  timer_ = cache_.context_.loop.after(timeout - kLastBookmark, last_bookmark);
}

void CacheWatch::offer(const CacheEvent& event) {
  if (event.revision <= options_.after || done_ || failure_) return;
  const bool had = event.previous && options_.filter.matches(*event.previous);
  const bool has = event.type != WatchAnswer::Type::kDeleted && options_.filter.matches(*event.object);
  WatchAnswer answer;
  answer.revision = event.revision;
  if (has) {
    answer.type = had ? WatchAnswer::Type::kModified : WatchAnswer::Type::kAdded;
    answer.object = event.object;
  } else if (had) {
    answer.type = WatchAnswer::Type::kDeleted;
    // An object that left the selector is shown as it last was inside, at the revision at which it left.
    answer.object =
        event.type == WatchAnswer::Type::kDeleted ? event.object : Object::at_revision(event.previous, event.revision);
  } else {
    return;
  }
  const std::size_t bytes = answer.object->text()->size();
  push(std::move(answer), bytes);
}

void CacheWatch::push(WatchAnswer answer, std::size_t bytes) {
  const WatchCache::Options& limits = cache_.options_;
  if (!catching_up_ &&
      (queue_.size() >= limits.watch_queue_events || queue_bytes_ + bytes > limits.watch_queue_bytes)) {
    // A client too slow for its events: what is queued still goes out, then it comes again from where it stands.
    done_ = true;
    ready_.set();
    return;
  }
  last_sent_ = answer.revision;
  queue_bytes_ += bytes;
  queue_.push_back(std::move(answer));
  ready_.set();
}

void CacheWatch::bookmark(store::Revision revision) {
  if (!options_.bookmarks || done_ || failure_ || revision <= last_sent_ || revision < options_.after) return;
  WatchAnswer answer;
  answer.type = WatchAnswer::Type::kBookmark;
  answer.revision = revision;
  push(std::move(answer), 0);
}

void CacheWatch::fail(Error error) {
  if (done_ || failure_) return;
  failure_ = std::move(error);
  ready_.set();
}

std::vector<WatchAnswer> CacheWatch::take_ready() {
  std::vector<WatchAnswer> batch;
  while (initial_sent_ < initial_.size() && batch.size() < kBatch) {
    WatchAnswer answer;
    answer.object = std::move(initial_[initial_sent_++]);
    answer.revision = answer.object->revision();
    batch.push_back(std::move(answer));
  }
  if (initial_sent_ < initial_.size()) return batch;
  initial_ = std::vector<ObjectRef>();
  initial_sent_ = 0;
  if (initial_bookmark_due_) {
    initial_bookmark_due_ = false;
    WatchAnswer answer;
    answer.type = WatchAnswer::Type::kBookmark;
    answer.revision = initial_revision_;
    answer.initial_events_end = true;
    last_sent_ = std::max(last_sent_, initial_revision_);
    batch.push_back(std::move(answer));
  }
  while (!queue_.empty() && batch.size() < kBatch) {
    if (queue_.front().object) queue_bytes_ -= queue_.front().object->text()->size();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

Task<Result<std::vector<WatchAnswer>>> CacheWatch::next(StopToken stop) {
  for (;;) {
    std::vector<WatchAnswer> batch = take_ready();
    if (!batch.empty()) co_return batch;
    if (failure_) co_return *failure_;
    if (done_) co_return std::vector<WatchAnswer>();
    ready_.reset();
    const bool woken = co_await ready_.wait(stop);
    if (!woken) co_return Error(Code::kCancelled, "the watch was stopped");
  }
}

}  // namespace kayak::api
