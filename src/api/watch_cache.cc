// watch_cache.cc: filling and following: the store's events become objects, history and watches' events.
#include "api/watch_cache.h"

#include <algorithm>
#include <array>

#include "api/cache_watch.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::string_view kRegistry = "/registry/";
constexpr std::string_view kRegistryEnd = "/registry0";
// What an event costs beside the texts: itself, its place in two queues.
constexpr std::size_t kEventOverhead = 160;
// Batches applied in one turn of the loop before others get theirs.
constexpr std::size_t kBatchesPerTurn = 128;
constexpr std::int64_t kLoadPage = 500;

// Fields by which clients ask often enough that an event must not look at every watch, nor a list at every object.
struct IndexedField {
  std::string_view plural, field;
};
constexpr std::array kIndexedFields = {IndexedField{"pods", "spec.nodeName"}};

}  // namespace

const Kind& storage_kind(const Kind& kind) {
  const std::string own = kind.api_version();
  if (kind.storage_version.empty() || kind.storage_version == own) return kind;
  for (const Kind& other : all_kinds()) {
    if (other.storage_prefix == kind.storage_prefix && other.api_version() == kind.storage_version) return other;
  }
  return kind;
}

std::string storage_key(const Kind& kind, std::string_view namespace_, std::string_view name) {
  ASSERT(!kind.storage_prefix.empty());
  if (!kind.namespaced) return cat(kind.storage_prefix, "/", name);
  return cat(kind.storage_prefix, "/", namespace_, "/", name);
}

bool ObjectFilter::matches(const Object& object) const {
  if (!namespace_.empty() && object.namespace_() != namespace_) return false;
  for (const FieldSelector::Term& term : fields.terms()) {
    if ((field_value(object, term.field) == term.value) != term.equal) return false;
  }
  return labels.empty() || labels.matches(object.header().labels);
}

int ObjectOrder::compare(KeyView a, KeyView b) {
  if (a.namespace_ == b.namespace_) return a.name.compare(b.name);
  const std::size_t common = std::min(a.namespace_.size(), b.namespace_.size());
  const int order = a.namespace_.substr(0, common).compare(b.namespace_.substr(0, common));
  if (order != 0) return order;
  // One namespace begins with the other: what follows is a '/' there and a character of the longer name here.
  if (a.namespace_.size() < b.namespace_.size()) return '/' < b.namespace_[common] ? -1 : 1;
  return a.namespace_[common] < '/' ? -1 : 1;
}

WatchCache::WatchCache(Context context, store::Store& store, Options options)
    : context_(context.named("cache")),
      store_(store),
      options_(options),
      absorbed_(context_.metrics.counter("kayak_heartbeats_absorbed_total", "Heartbeats that were not written.")),
      folded_(context_.metrics.counter("kayak_heartbeats_folded_total", "Heartbeats written on their own account.")) {
  for (const Kind& kind : all_kinds()) {
    if (kind.storage_prefix.empty() || &storage_kind(kind) != &kind) continue;
    auto state = std::make_unique<KindState>();
    state->kind = &kind;
    state->prefix = cat(kind.storage_prefix, "/");
    for (const IndexedField& row : kIndexedFields) {
      if (row.plural == kind.plural && kind.group.empty()) state->indexed_field = row.field;
    }
    by_kind_[&kind] = state.get();
    states_.push_back(std::move(state));
  }
  for (const Kind& kind : all_kinds()) {
    if (!kind.storage_prefix.empty()) by_kind_[&kind] = by_kind_[&storage_kind(kind)];
  }
  std::sort(states_.begin(), states_.end(), [](const auto& a, const auto& b) { return a->prefix < b->prefix; });
  bookmark_timer_ = context_.loop.every(options_.bookmark_period, [this] { send_bookmarks(); });
}

WatchCache::~WatchCache() { ASSERT(watch_count() == 0); }

WatchCache::KindState* WatchCache::state_of(const Kind& kind) const {
  const auto found = by_kind_.find(&kind);
  return found == by_kind_.end() ? nullptr : found->second;
}

WatchCache::KindState* WatchCache::state_of_key(std::string_view key, std::string_view* suffix) const {
  auto after = std::upper_bound(states_.begin(), states_.end(), key,
                                [](std::string_view k, const auto& state) { return k < state->prefix; });
  if (after == states_.begin()) return nullptr;
  KindState* state = std::prev(after)->get();
  if (!key.starts_with(state->prefix)) return nullptr;
  *suffix = key.substr(state->prefix.size());
  return state;
}

Result<void> WatchCache::take(const store::KeyValue& kv) {
  std::string_view suffix;
  KindState* state = state_of_key(kv.key, &suffix);
  if (state == nullptr) return Result<void>();
  Result<ObjectRef> object = Object::from_stored(*state->kind, kv.value, kv.mod_revision);
  if (!object) return object.error().while_doing(cat("reading ", kv.key));
  const std::string own =
      state->kind->namespaced ? cat((*object)->namespace_(), "/", (*object)->name()) : (*object)->name();
  if (own != suffix) return Error(Code::kCorrupt, cat("the object at ", kv.key, " says that it is ", own));
  if (!state->indexed_field.empty()) {
    state->index[std::string(field_value(**object, state->indexed_field))].insert(*object);
  }
  state->objects.insert(std::move(*object));
  return Result<void>();
}

Task<Result<void>> WatchCache::load(StopToken stop) {
  // From a little in the past, so that clients' watches go on over a restart instead of listing everything again.
  const store::Revision newest = store_.revision();
  const store::Revision past = std::max(store_.compacted() + 1, newest - options_.resume_revisions);
  Result<void> filled;
  if (past < newest) filled = co_await fill(past, stop);
  if (past < newest && filled) filled = co_await replay(newest, stop);
  const bool not_from_there = !filled && waits(filled.error(), stop);
  if (past >= newest || not_from_there) filled = co_await fill_whole(stop);
  if (!filled) co_return filled.error().while_doing("filling the watch cache");
  loaded_ = true;
  co_return Result<void>();
}

// Among several servers one may start, or fall behind, while nobody leads: what is there now is known when somebody
// does. And between two pages another server's state may have taken the place of the one that the first is of.
bool WatchCache::waits(const Error& error, const StopToken& stop) {
  return (error.code() == Code::kUnavailable || error.code() == Code::kExpired) && !stop.stopped();
}

Task<Result<void>> WatchCache::fill_whole(StopToken stop) {
  constexpr Duration kPause = std::chrono::milliseconds(500);
  for (bool told = false;; told = true) {
    clear();
    auto filled = co_await fill(0, stop);
    if (filled || !waits(filled.error(), stop)) co_return filled;
    if (!told) context_.log.warn("the store cannot be read yet; waiting", {{"error", filled.error().message()}});
    const Result<void> slept = co_await context_.loop.sleep(kPause, stop);
    if (!slept) co_return slept;
  }
}

// The objects as they were at `revision` (0: as they are).
Task<Result<void>> WatchCache::fill(store::Revision revision, StopToken stop) {
  store::RangeRequest request;
  request.key = kRegistry;
  request.range_end = kRegistryEnd;
  request.limit = kLoadPage;
  request.revision = revision;
  for (;;) {
    auto page = co_await store_.range(request, stop);
    if (!page) co_return page.error();
    if (request.revision == 0) request.revision = page->revision;
    for (const store::KeyValue& kv : page->kvs) {
      if (auto taken = take(kv); !taken)
        context_.log.error("unreadable object left out", {{"error", taken.error().message()}});
    }
    if (!page->more || page->kvs.empty()) break;
    request.key = page->kvs.back().key + '\0';
    co_await context_.loop.yield();
  }
  for (const auto& state : states_) {
    state->evicted_through = request.revision;
    state->last_change = request.revision;
  }
  for (const Observer& observer : observers_) {
    for (const auto& state : states_) {
      for (const ObjectRef& object : state->objects) observer(*state->kind, nullptr, object);
    }
  }
  show_heartbeats_again();
  advance(request.revision);
  co_return Result<void>();
}

// What happened since, up to `newest`.
Task<Result<void>> WatchCache::replay(store::Revision newest, StopToken stop) {
  auto watch = watch_store();
  if (!watch) co_return watch.error();
  while (revision_ < newest) {
    auto batches = co_await (*watch)->next(stop);
    if (!batches) co_return batches.error();
    co_await apply_all(*batches);
  }
  co_return Result<void>();
}

Result<std::unique_ptr<store::Watch>> WatchCache::watch_store() {
  // Every key, not only ours: so every revision of the store arrives here and wait_until() always ends.
  store::WatchRequest request;
  request.key = std::string(1, '\0');
  request.range_end = std::string(1, '\0');
  request.start_revision = revision_ + 1;
  request.previous = false;  // the cache has it
  return store_.watch(std::move(request));
}

Task<void> WatchCache::apply_all(const std::vector<store::WatchBatch>& batches) {
  std::size_t applied = 0;
  for (const store::WatchBatch& batch : batches) {
    apply(batch);
    if (++applied % kBatchesPerTurn == 0) co_await context_.loop.yield();
  }
  trim_history();
}

void WatchCache::clear() {
  for (const auto& state : states_) {
    for (const Observer& observer : observers_) {
      for (const ObjectRef& object : state->objects) observer(*state->kind, object, nullptr);
    }
    state->objects.clear();
    state->index.clear();
    state->history.clear();
  }
  history_order_.clear();
  history_bytes_ = 0;
}

// Everything anew: watches end and their clients list again.
Task<Result<void>> WatchCache::reload(StopToken stop) {
  for (const auto& state : states_) {
    for (auto& [bucket, watches] : state->buckets) {
      for (CacheWatch* watch : watches) watch->fail(too_old_revision(revision_, store_.revision()));
    }
  }
  // Half a list would look like many deletions: nobody reads meanwhile.
  loaded_ = false;
  Result<void> filled = co_await fill_whole(stop);
  loaded_ = filled.ok();
  co_return filled;
}

Task<Result<void>> WatchCache::follow(StopToken stop) {
  ASSERT(loaded());
  std::unique_ptr<store::Watch> watch;
  for (;;) {
    if (!watch) {
      auto opened = watch_store();
      if (opened) watch = std::move(*opened);
      if (!opened && opened.error().code() != Code::kExpired) {
        co_return opened.error().while_doing("following the store");
      }
    }
    Result<std::vector<store::WatchBatch>> batches = Error(Code::kExpired, "compacted");
    if (watch) batches = co_await watch->next(stop);
    if (!batches && batches.error().code() == Code::kExpired) {
      context_.log.warn("the watch cache fell behind the store and is filled again");
      watch.reset();
      if (auto loaded_again = co_await reload(stop); !loaded_again) co_return loaded_again.error();
      continue;
    }
    if (!batches) co_return batches.error();
    co_await apply_all(*batches);
  }
}

void WatchCache::apply(const store::WatchBatch& batch) {
  if (batch.revision <= revision_) return;  // seen by a load
  for (const store::WatchEvent& event : batch.events) apply_event(event);
  advance(batch.revision);
}

void WatchCache::apply_event(const store::WatchEvent& change) {
  std::string_view suffix;
  KindState* state = state_of_key(change.kv.key, &suffix);
  if (state == nullptr) return;
  const std::size_t slash = state->kind->namespaced ? suffix.find('/') : std::string_view::npos;
  KeyView key{"", suffix};
  if (slash != std::string_view::npos) key = KeyView{suffix.substr(0, slash), suffix.substr(slash + 1)};

  auto event = std::make_shared<CacheEvent>();
  event->revision = change.kv.mod_revision;
  event->at = context_.clock.now();
  const auto place = state->objects.find(key);
  if (place != state->objects.end()) event->previous = *place;
  if (change.type == store::WatchEvent::Type::kDelete) {
    if (!event->previous) return;
    event->type = WatchAnswer::Type::kDeleted;
    event->object = Object::at_revision(event->previous, event->revision);
    state->objects.erase(place);
  } else {
    Result<ObjectRef> object = Object::from_stored(*state->kind, change.kv.value, event->revision);
    if (!object || ObjectOrder::compare(ObjectOrder::view(*object), key) != 0) {
      context_.log.error(
          "unreadable object left out",
          {{"key", change.kv.key}, {"error", object ? "its name is not its key's" : object.error().message()}});
      return;
    }
    event->type = event->previous ? WatchAnswer::Type::kModified : WatchAnswer::Type::kAdded;
    event->object = std::move(*object);
    if (event->previous) {
      show(*state, place, event->object);
    } else {
      state->objects.insert(event->object);
    }
  }
  heartbeats_.superseded(change.kv.key, event->revision);
  event->bytes = kEventOverhead + (event->previous ? event->previous->text()->size() : 0);
  record(*state, std::move(event));
}

void WatchCache::show(KindState& state, ObjectSet::iterator place, ObjectRef object) {
  auto node = state.objects.extract(place);
  node.value() = std::move(object);
  state.objects.insert(std::move(node));
}

ObjectRef WatchCache::take_heartbeat(const Heartbeat& heartbeat) {
  KindState* state = state_of(*heartbeat.kind);
  ASSERT(state != nullptr && state->indexed_field.empty());  // an index would have to follow
  const auto place = state->objects.find(KeyView{heartbeat.namespace_, heartbeat.name});
  if (place == state->objects.end() || (*place)->revision() != heartbeat.revision) return nullptr;
  std::string key = storage_key(*state->kind, heartbeat.namespace_, heartbeat.name);
  if (!heartbeats_.accepts(key, revision_)) return nullptr;
  Result<ObjectRef> object = Object::from_stored(*state->kind, heartbeat.text, heartbeat.revision);
  if (!object) return nullptr;
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): show() changes what is there
  const ObjectRef before = *place;
  const HeartbeatOverlay::Entry* entry = heartbeats_.find(key);
  const ObjectRef durable = entry == nullptr ? before : entry->durable;
  show(*state, place, *object);
  heartbeats_.put(std::move(key), durable, *object, context_.clock.now());
  absorbed_.add();
  std::erase_if(heartbeat_observers_, [](const auto& observer) { return observer.expired(); });
  // A copy: an observer may add or end one.
  const auto observers = heartbeat_observers_;
  for (const auto& weak : observers) {
    if (const auto observer = weak.lock()) (*observer)(before, *object);
  }
  return std::move(*object);
}

// After everything was read anew: what still stands at its heartbeat's revision.
void WatchCache::show_heartbeats_again() {
  const HeartbeatOverlay::Entries entries = heartbeats_.entries();
  for (const auto& [key, entry] : entries) {
    KindState* state = state_of(entry.shown->kind());
    const auto place = state->objects.find(ObjectOrder::view(entry.shown));
    if (place != state->objects.end() && (*place)->revision() == entry.shown->revision()) {
      show(*state, place, entry.shown);
    } else {
      heartbeats_.erase(key);
    }
  }
}

ObjectRef WatchCache::durable_version(const ObjectRef& shown) const {
  if (heartbeats_.entries().empty()) return nullptr;
  const HeartbeatOverlay::Entry* entry =
      heartbeats_.find(storage_key(shown->kind(), shown->namespace_(), shown->name()));
  return entry != nullptr && entry->shown == shown ? entry->durable : nullptr;
}

ObjectRef WatchCache::with_heartbeat(ObjectRef durable) const {
  if (heartbeats_.entries().empty()) return durable;
  const HeartbeatOverlay::Entry* entry =
      heartbeats_.find(storage_key(durable->kind(), durable->namespace_(), durable->name()));
  return entry != nullptr && entry->shown->revision() == durable->revision() ? entry->shown : durable;
}

std::shared_ptr<const void> WatchCache::on_heartbeat(HeartbeatObserver observer) {
  auto kept = std::make_shared<const HeartbeatObserver>(std::move(observer));
  heartbeat_observers_.push_back(kept);
  return kept;
}

void WatchCache::record(KindState& state, EventRef event) {
  const bool deleted = event->type == WatchAnswer::Type::kDeleted;
  if (!state.indexed_field.empty()) {
    if (event->previous) {
      const auto old = state.index.find(field_value(*event->previous, state.indexed_field));
      ASSERT(old != state.index.end());
      old->second.erase(event->previous);
      if (old->second.empty()) state.index.erase(old);
    }
    if (!deleted) state.index[std::string(field_value(*event->object, state.indexed_field))].insert(event->object);
  }
  state.last_change = event->revision;
  for (const Observer& observer : observers_) observer(*state.kind, event->previous, deleted ? nullptr : event->object);
  dispatch(state, *event);
  history_bytes_ += event->bytes;
  state.history.push_back(std::move(event));
  history_order_.push_back(&state);
  while (history_bytes_ > options_.history_bytes && !history_order_.empty()) pop_history();
}

void WatchCache::dispatch(KindState& state, const CacheEvent& event) {
  if (state.watches == 0) return;
  auto offer_to = [&](const std::string& bucket) {
    const auto found = state.buckets.find(bucket);
    if (found == state.buckets.end()) return;
    for (CacheWatch* watch : found->second) watch->offer(event);
  };
  offer_to(std::string());
  const Object& object = *event.object;
  if (state.kind->namespaced) offer_to(CacheWatch::namespace_bucket(object.namespace_()));
  offer_to(CacheWatch::object_bucket(object.namespace_(), object.name()));
  if (!state.indexed_field.empty()) {
    const std::string_view now = field_value(object, state.indexed_field);
    offer_to(CacheWatch::field_bucket(state.indexed_field, now));
    if (event.previous) {
      const std::string_view before = field_value(*event.previous, state.indexed_field);
      if (before != now) offer_to(CacheWatch::field_bucket(state.indexed_field, before));
    }
  }
}

void WatchCache::advance(store::Revision revision) {
  if (revision <= revision_) return;
  revision_ = revision;
  while (!waiting_.empty() && waiting_.begin()->first <= revision) {
    waiting_.begin()->second->set();
    waiting_.erase(waiting_.begin());
  }
}

void WatchCache::pop_history() {
  KindState& state = *history_order_.front();
  history_order_.pop_front();
  const EventRef& oldest = state.history.front();
  history_bytes_ -= oldest->bytes;
  state.evicted_through = oldest->revision;
  state.history.pop_front();
}

void WatchCache::trim_history() {
  const Instant now = context_.clock.now();
  while (!history_order_.empty() && now - history_order_.front()->history.front()->at > options_.history_age) {
    pop_history();
  }
}

void WatchCache::send_bookmarks() {
  trim_history();
  for (const auto& state : states_) {
    for (auto& [bucket, watches] : state->buckets) {
      for (CacheWatch* watch : watches) watch->bookmark(revision_);
    }
  }
}

void WatchCache::end_watches() {
  ended_ = true;
  for (const auto& state : states_) {
    for (auto& [bucket, watches] : state->buckets) {
      for (CacheWatch* watch : watches) watch->fail(Error(Code::kUnavailable, "the server is shutting down"));
    }
  }
}

Task<Result<void>> WatchCache::wait_until(store::Revision revision, StopToken stop) {
  if (revision_ >= revision) co_return Result<void>();
  auto reached = std::make_shared<io::Event>();
  const auto place = waiting_.emplace(revision, reached);
  const bool woken = co_await reached->wait(stop);
  if (woken) co_return Result<void>();
  // A revision that a client made up may never come. One that has come since is no longer waited for.
  if (!reached->is_set()) waiting_.erase(place);
  co_return Error(Code::kCancelled, "stopped while waiting for the watch cache");
}

Task<Result<void>> WatchCache::wait_current(StopToken stop) {
  // What this server has seen is not all: others may have written.
  auto current = co_await store_.current_revision(stop);
  if (!current) co_return current.error();
  co_return co_await wait_until(*current, std::move(stop));
}

ObjectRef WatchCache::get(const Kind& kind, std::string_view namespace_, std::string_view name) const {
  const KindState* state = state_of(kind);
  if (state == nullptr) return nullptr;
  const auto found = state->objects.find(KeyView{namespace_, name});
  return found == state->objects.end() ? nullptr : *found;
}

void WatchCache::visit(const Kind& kind, const ObjectFilter& filter, std::string_view after,
                       const std::function<bool(const ObjectRef&)>& visit) const {
  const KindState* state = state_of(kind);
  if (state == nullptr) return;
  const ObjectSet* objects = &state->objects;
  for (const FieldSelector::Term& term : filter.fields.terms()) {
    if (!term.equal) continue;
    if (!state->indexed_field.empty() && term.field == state->indexed_field) {
      const auto found = state->index.find(term.value);
      if (found == state->index.end()) return;
      objects = &found->second;
    } else if (term.field == "metadata.name" && after.empty() && (!kind.namespaced || !filter.namespace_.empty())) {
      const auto found = state->objects.find(KeyView{filter.namespace_, term.value});
      if (found != state->objects.end() && filter.matches(**found)) visit(*found);
      return;
    }
  }
  auto place = filter.namespace_.empty() ? objects->begin() : objects->lower_bound(KeyView{filter.namespace_, ""});
  if (!after.empty()) {
    const std::size_t slash = state->kind->namespaced ? after.find('/') : std::string_view::npos;
    const KeyView key =
        slash == std::string_view::npos ? KeyView{"", after} : KeyView{after.substr(0, slash), after.substr(slash + 1)};
    place = objects->upper_bound(key);
  }
  for (; place != objects->end(); ++place) {
    if (!filter.namespace_.empty() && (*place)->namespace_() != filter.namespace_) break;
    if (filter.matches(**place) && !visit(*place)) break;
  }
}

std::size_t WatchCache::count(const Kind& kind, std::string_view namespace_) const {
  const KindState* state = state_of(kind);
  if (state == nullptr) return 0;
  if (namespace_.empty()) return state->objects.size();
  std::size_t n = 0;
  for (auto place = state->objects.lower_bound(KeyView{namespace_, ""});
       place != state->objects.end() && (*place)->namespace_() == namespace_; ++place) {
    ++n;
  }
  return n;
}

store::Revision WatchCache::last_change(const Kind& kind) const {
  const KindState* state = state_of(kind);
  return state == nullptr ? 0 : state->last_change;
}

store::Revision WatchCache::history_start(const Kind& kind) const {
  const KindState* state = state_of(kind);
  return state == nullptr ? 0 : state->evicted_through;
}

Result<std::unique_ptr<WatchSource>> WatchCache::watch(const Kind& kind, CacheWatchOptions options) {
  if (ended_) return Error(Code::kUnavailable, "the server is shutting down");
  KindState* state = state_of(kind);
  ASSERT(state != nullptr);
  trim_history();
  if (!options.initial_events && options.after < state->evicted_through) {
    return too_old_revision(options.after, state->evicted_through);
  }
  return std::unique_ptr<WatchSource>(std::make_unique<CacheWatch>(*this, *state, std::move(options)));
}

std::size_t WatchCache::watch_count() const {
  std::size_t n = 0;
  for (const auto& state : states_) n += state->watches;
  return n;
}

}  // namespace kayak::api
