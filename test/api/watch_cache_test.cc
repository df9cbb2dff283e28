// watch_cache_test.cc: the cache behind a store whose watches are late.
#include "api/watch_cache.h"

#include <catch2/catch.hpp>

#include "api/pipeline.h"
#include "api/status.h"
#include "base/strings.h"
#include "support/memory_store.h"

using namespace kayak;
using namespace kayak::api;
using namespace std::chrono_literals;

namespace {

struct Rig {
  explicit Rig(WatchCache::Options options = WatchCache::Options())
      : context{loop, clock, random, Log::discard(), metrics}, store(context), cache(context, store, options) {}

  using Body = Task<Result<void>> (*)(Rig& rig);
  void run(Body body) {
    const Result<void> done = loop.run(drive(*this, body));
    INFO((done ? "" : done.error().message()));
    CHECK(done.ok());
  }
  static Task<Result<void>> drive(Rig& rig, Body body) {
    if (auto loaded = co_await rig.cache.load(StopToken()); !loaded) co_return loaded;
    io::TaskScope scope;
    scope.spawn(rig.cache.follow(scope.token()));
    Result<void> done = co_await body(rig);
    scope.stop();
    auto joined = co_await scope.join();
    if (!done) co_return done;
    co_return joined;
  }

  static store::Bytes pod(const std::string& ns, const std::string& name, const std::string& node,
                          const std::string& labels = "{}", const std::string& more = "") {
    return std::make_shared<const std::string>(cat(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":")", name,
                                                   R"(","namespace":")", ns, R"(","creationTimestamp":null,"labels":)",
                                                   labels, R"(},"spec":{"nodeName":")", node, "\"", more,
                                                   R"(},"status":{}})"));
  }
  Task<store::Revision> put(std::string ns, std::string name, std::string node, std::string labels = "{}",
                            std::string more = "") {
    store::TxnRequest txn;
    store::Op op;
    op.key = storage_key(kinds::pods(), ns, name);
    op.value = pod(ns, name, node, labels, more);
    txn.success.push_back(std::move(op));
    auto done = co_await store.txn(std::move(txn), StopToken());
    co_return done->revision;
  }
  Task<store::Revision> remove(std::string ns, std::string name) {
    store::TxnRequest txn;
    store::Op op;
    op.type = store::Op::Type::kDelete;
    op.key = storage_key(kinds::pods(), ns, name);
    txn.success.push_back(std::move(op));
    auto done = co_await store.txn(std::move(txn), StopToken());
    co_return done->revision;
  }

  io::Loop loop;
  SystemClock clock;
  SeededRandom random{3};
  Metrics metrics;
  Context context;
  test::MemoryStore store;
  WatchCache cache;
};

std::string shown(const WatchAnswer& event) {
  static const char* names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"};
  std::string text = names[static_cast<int>(event.type)];
  if (event.object)
    text += cat(" ", event.object->namespace_(), "/", event.object->name(), "@", event.object->revision());
  if (!event.object) text += cat("@", event.revision, event.initial_events_end ? " end" : "");
  return text;
}

// Reads until `count` events have come.
Task<std::vector<std::string>> take(WatchSource& watch, std::size_t count) {
  std::vector<std::string> got;
  while (got.size() < count) {
    auto batch = co_await watch.next(StopToken());
    if (!batch) {
      got.push_back(batch.error().message());
      break;
    }
    if (batch->empty()) {
      got.emplace_back("end");
      break;
    }
    for (const WatchAnswer& event : *batch) got.push_back(shown(event));
  }
  co_return got;
}

std::vector<std::string> names(const WatchCache& cache, const ObjectFilter& filter, std::string_view after = "") {
  std::vector<std::string> got;
  auto visit = [&](const ObjectRef& object) {
    got.push_back(cat(object->namespace_(), "/", object->name()));
    return true;
  };
  cache.visit(kinds::pods(), filter, after, visit);
  return got;
}

Task<Result<void>> lags_and_catches_up(Rig& rig) {
  rig.store.hold_watches(true);
  const store::Revision revision = co_await rig.put("d", "a", "n1");
  CHECK(rig.cache.get(kinds::pods(), "d", "a") == nullptr);
  CHECK(rig.cache.revision() < revision);
  rig.store.hold_watches(false);
  auto waited = co_await rig.cache.wait_until(revision, StopToken());
  CHECK(waited.ok());
  CHECK(rig.cache.revision() == revision);
  CHECK(rig.cache.get(kinds::pods(), "d", "a") != nullptr);
  co_return Result<void>();
}

Task<Result<void>> waiting_can_be_stopped(Rig& rig) {
  io::Deadline deadline(rig.loop, 5ms);
  auto waited = co_await rig.cache.wait_until(1'000'000, deadline.token());
  CHECK_FALSE(waited.ok());
  CHECK(deadline.expired());
  CHECK(rig.cache.waiting() == 0);  // a revision that never comes leaves nothing behind
  co_return Result<void>();
}

Task<Result<void>> orders_like_the_store(Rig& rig) {
  for (const char* ns : {"a-b", "a", "b", "a0"}) {
    co_await rig.put(ns, "x", "n1");
    co_await rig.put(ns, "w", "n2");
  }
  co_await rig.cache.wait_current(StopToken());
  store::RangeRequest range;
  range.key = "/registry/pods/";
  range.range_end = "/registry/pods0";
  auto stored = co_await rig.store.range(range, StopToken());
  std::vector<std::string> keys;
  for (const store::KeyValue& kv : stored->kvs) keys.push_back(kv.key.substr(15));
  CHECK(names(rig.cache, ObjectFilter()) == keys);
  ObjectFilter filter;
  filter.namespace_ = "a";
  CHECK(names(rig.cache, filter) == std::vector<std::string>{"a/w", "a/x"});
  CHECK(names(rig.cache, filter, "a/w") == std::vector<std::string>{"a/x"});
  CHECK(names(rig.cache, filter, "a/zzz").empty());
  CHECK(rig.cache.count(kinds::pods(), "a") == 2);
  CHECK(rig.cache.count(kinds::pods(), "") == 8);
  ObjectFilter on_node;
  on_node.fields = FieldSelector::equals("spec.nodeName", "n2");
  CHECK(names(rig.cache, on_node).size() == 4);
  on_node.namespace_ = "b";
  CHECK(names(rig.cache, on_node) == std::vector<std::string>{"b/w"});
  on_node.fields = FieldSelector::equals("metadata.name", "x");
  CHECK(names(rig.cache, on_node) == std::vector<std::string>{"b/x"});
  co_return Result<void>();
}

Task<Result<void>> watch_from_now(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  auto watch = rig.cache.watch(kinds::pods(), std::move(options));
  const auto r1 = co_await rig.put("d", "a", "");
  const auto r2 = co_await rig.put("d", "a", "n1");
  const auto r3 = co_await rig.remove("d", "a");
  auto got = co_await take(**watch, 3);
  CHECK(got == std::vector<std::string>{cat("ADDED d/a@", r1), cat("MODIFIED d/a@", r2), cat("DELETED d/a@", r3)});
  co_return Result<void>();
}

Task<Result<void>> selector_transitions(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  options.filter.labels = *LabelSelector::parse("app=x");
  auto watch = rig.cache.watch(kinds::pods(), std::move(options));
  co_await rig.put("d", "a", "", R"({"app":"y"})");
  const auto in = co_await rig.put("d", "a", "", R"({"app":"x"})");
  const auto changed = co_await rig.put("d", "a", "n1", R"({"app":"x"})");
  const auto out = co_await rig.put("d", "a", "n1", R"({"app":"z"})");
  co_await rig.remove("d", "a");
  const auto last = co_await rig.put("d", "b", "", R"({"app":"x"})");
  std::vector<WatchAnswer> events;
  while (events.size() < 4) {
    auto batch = co_await (*watch)->next(StopToken());
    for (WatchAnswer& event : *batch) events.push_back(std::move(event));
  }
  CHECK(shown(events[0]) == cat("ADDED d/a@", in));
  CHECK(shown(events[1]) == cat("MODIFIED d/a@", changed));
  CHECK(shown(events[2]) == cat("DELETED d/a@", out));
  // Shown as it last matched.
  CHECK(events[2].object->document()->at({"metadata", "labels", "app"})->as_string() == "x");
  CHECK(shown(events[3]) == cat("ADDED d/b@", last));
  co_return Result<void>();
}

Task<Result<void>> indexed_watches(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  options.filter.fields = FieldSelector::equals("spec.nodeName", "n1");
  auto on_node = rig.cache.watch(kinds::pods(), options);
  options.filter.fields = FieldSelector::equals("metadata.name", "b");
  options.filter.namespace_ = "d";
  auto one = rig.cache.watch(kinds::pods(), options);
  co_await rig.put("d", "a", "");
  const auto bound = co_await rig.put("d", "a", "n1");
  const auto b = co_await rig.put("d", "b", "n2");
  const auto moved = co_await rig.put("d", "a", "n2");
  auto got = co_await take(**on_node, 2);
  CHECK(got == std::vector<std::string>{cat("ADDED d/a@", bound), cat("DELETED d/a@", moved)});
  auto got_one = co_await take(**one, 1);
  CHECK(got_one == std::vector<std::string>{cat("ADDED d/b@", b)});
  co_return Result<void>();
}

Task<Result<void>> resumes_from_history(Rig& rig) {
  const auto r1 = co_await rig.put("d", "a", "");
  const auto r2 = co_await rig.put("d", "b", "");
  co_await rig.cache.wait_current(StopToken());
  CacheWatchOptions options;
  options.after = r1;
  auto watch = rig.cache.watch(kinds::pods(), options);
  REQUIRE(watch.ok());
  auto got = co_await take(**watch, 1);
  CHECK(got == std::vector<std::string>{cat("ADDED d/b@", r2)});
  co_return Result<void>();
}

Task<Result<void>> expired(Rig& rig) {
  const auto r1 = co_await rig.put("d", "a", "");
  for (int i = 0; i < 20; ++i) co_await rig.put("d", "a", cat("n", i));
  co_await rig.cache.wait_current(StopToken());
  CHECK(rig.cache.history_size() <= 2000);
  CacheWatchOptions options;
  options.after = r1;
  auto watch = rig.cache.watch(kinds::pods(), options);
  REQUIRE_FALSE(watch.ok());
  CHECK(watch.error().code() == Code::kExpired);
  CHECK(watch.error().message() ==
        cat("too old resource version: ", r1, " (", rig.cache.history_start(kinds::pods()), ")"));
  // Another kind lost nothing: its old revisions are still good.
  CHECK(rig.cache.watch(kinds::config_maps(), options).ok());
  co_return Result<void>();
}

Task<Result<void>> initial_events(Rig& rig) {
  const auto r1 = co_await rig.put("d", "a", "");
  const auto r2 = co_await rig.put("d", "b", "");
  co_await rig.cache.wait_current(StopToken());
  CacheWatchOptions options;
  options.initial_events = true;
  options.initial_bookmark = true;
  options.bookmarks = true;
  auto watch = rig.cache.watch(kinds::pods(), options);
  const auto r3 = co_await rig.put("d", "c", "");
  auto got = co_await take(**watch, 4);
  CHECK(got == std::vector<std::string>{cat("ADDED d/a@", r1), cat("ADDED d/b@", r2), cat("BOOKMARK@", r2, " end"),
                                        cat("ADDED d/c@", r3)});
  co_return Result<void>();
}

Task<Result<void>> ends_by_timeout(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  options.timeout = 20ms;
  auto watch = rig.cache.watch(kinds::pods(), options);
  auto got = co_await take(**watch, 1);
  CHECK(got == std::vector<std::string>{"end"});
  co_return Result<void>();
}

Task<Result<void>> periodic_bookmarks(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  options.bookmarks = true;
  auto watch = rig.cache.watch(kinds::config_maps(), options);
  const auto revision = co_await rig.put("d", "a", "");
  std::vector<std::string> got;
  do {
    got = co_await take(**watch, 1);
  } while (got == std::vector<std::string>{cat("BOOKMARK@", revision - 1)});
  CHECK(got == std::vector<std::string>{cat("BOOKMARK@", revision)});
  co_return Result<void>();
}

Task<Result<void>> slow_watch_ends(Rig& rig) {
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  auto watch = rig.cache.watch(kinds::pods(), options);
  for (int i = 0; i < 30; ++i) co_await rig.put("d", cat("p", i), "");
  co_await rig.cache.wait_current(StopToken());
  auto got = co_await take(**watch, 100);
  CHECK(got.size() == 11);  // ten that were queued, then the end
  CHECK(got.back() == "end");
  co_return Result<void>();
}

Task<Result<void>> fills_again_after_compaction(Rig& rig) {
  co_await rig.put("d", "a", "");
  co_await rig.cache.wait_current(StopToken());
  CacheWatchOptions options;
  options.after = rig.cache.revision();
  auto watch = rig.cache.watch(kinds::pods(), options);
  rig.store.hold_watches(true);
  co_await rig.remove("d", "a");
  const auto last = co_await rig.put("d", "b", "");
  auto compacted = co_await rig.store.compact(last, StopToken());
  CHECK(compacted.ok());
  rig.store.hold_watches(false);
  co_await rig.cache.wait_until(last, StopToken());
  CHECK(names(rig.cache, ObjectFilter()) == std::vector<std::string>{"d/b"});
  auto batch = co_await (*watch)->next(StopToken());
  REQUIRE_FALSE(batch.ok());
  CHECK(batch.error().code() == Code::kExpired);
  co_return Result<void>();
}

// A store in which the next ranges at a revision find it compacted.
class Compacting final : public store::Store {
 public:
  Compacting(store::Store& real, int times) : real_(real), times_(times) {}
  Task<Result<store::RangeResponse>> range(store::RangeRequest request, StopToken stop) override {
    if (request.revision != 0 && times_ > 0) {
      --times_;
      co_return Error(Code::kExpired, "required revision has been compacted");
    }
    co_return co_await real_.range(std::move(request), std::move(stop));
  }
  Task<Result<store::TxnResponse>> txn(store::TxnRequest request, StopToken stop) override {
    return real_.txn(std::move(request), std::move(stop));
  }
  Result<std::unique_ptr<store::Watch>> watch(store::WatchRequest request) override {
    return real_.watch(std::move(request));
  }
  Task<Result<void>> compact(store::Revision revision, StopToken stop) override {
    return real_.compact(revision, std::move(stop));
  }
  store::Revision revision() const override { return real_.revision(); }
  store::Revision compacted() const override { return real_.compacted(); }
  store::Stats stats() const override { return real_.stats(); }
  Task<void> close() override { co_return; }
  int times() const { return times_; }

 private:
  store::Store& real_;
  int times_;
};

Task<Result<void>> filling_outlives_compaction(Rig& rig) {
  for (int i = 0; i < 600; ++i) co_await rig.put("d", cat("p", i), "");  // more than one page
  // Of the first page a little in the past, and of the second one of what is there now.
  Compacting store(rig.store, 2);
  WatchCache cache(rig.context, store, WatchCache::Options());
  auto loaded = co_await cache.load(StopToken());
  CHECK(loaded.ok());
  CHECK(store.times() == 0);
  CHECK(names(cache, ObjectFilter()).size() == 600);
  co_return Result<void>();
}

// A second cache on the same store is what a restart makes.
Task<std::vector<std::string>> events_after_restart(Rig* rig, store::Revision after, WatchCache::Options options) {
  WatchCache cache(rig->context, rig->store, options);
  CHECK_FALSE(cache.loaded());
  auto loaded = co_await cache.load(StopToken());
  CHECK(loaded.ok());
  CHECK(cache.loaded());
  CHECK(cache.revision() == rig->store.revision());
  CHECK(names(cache, ObjectFilter()) == names(rig->cache, ObjectFilter()));
  CacheWatchOptions watch_options;
  watch_options.after = after;
  watch_options.timeout = 1ms;
  auto watch = cache.watch(kinds::pods(), watch_options);
  if (!watch) co_return std::vector<std::string>{watch.error().message()};
  co_return co_await take(**watch, 100);
}

Task<Result<void>> history_lasts_over_a_restart(Rig& rig) {
  const auto r1 = co_await rig.put("d", "a", "n1");
  const auto r2 = co_await rig.put("d", "b", "n1");
  const auto r3 = co_await rig.put("d", "a", "n2");
  const auto r4 = co_await rig.remove("d", "b");
  auto current = co_await rig.cache.wait_current(StopToken());
  CHECK(current.ok());
  using Lines = std::vector<std::string>;
  WatchCache::Options options;
  Lines got = co_await events_after_restart(&rig, r1, options);
  CHECK(got == Lines{cat("ADDED d/b@", r2), cat("MODIFIED d/a@", r3), cat("DELETED d/b@", r4), "end"});
  got = co_await events_after_restart(&rig, r4, options);
  CHECK(got == Lines{"end"});
  options.resume_revisions = 2;
  got = co_await events_after_restart(&rig, r2, options);
  CHECK(got == Lines{cat("MODIFIED d/a@", r3), cat("DELETED d/b@", r4), "end"});
  got = co_await events_after_restart(&rig, r1, options);
  CHECK(got == Lines{cat("too old resource version: ", r1, " (", r2, ")")});
  auto compacted = co_await rig.store.compact(r3, StopToken());
  CHECK(compacted.ok());
  got = co_await events_after_restart(&rig, r3, WatchCache::Options());
  CHECK(got == Lines{cat("too old resource version: ", r3, " (", r4, ")")});
  co_return Result<void>();
}

Task<Result<void>> foreign_keys(Rig& rig) {
  store::TxnRequest txn;
  store::Op op;
  op.key = "/registry/pods/d/broken";
  op.value = std::make_shared<const std::string>("not json");
  txn.success.push_back(op);
  op.key = "/elsewhere";
  txn.success.push_back(op);
  auto done = co_await rig.store.txn(std::move(txn), StopToken());
  // Neither stops the cache, and the revision is reached all the same.
  auto waited = co_await rig.cache.wait_until(done->revision, StopToken());
  CHECK(waited.ok());
  CHECK(names(rig.cache, ObjectFilter()).empty());
  co_return Result<void>();
}

}  // namespace

TEST_CASE("the cache lags behind the store and says how far it is") { Rig().run(lags_and_catches_up); }
TEST_CASE("waiting for a revision can be stopped") { Rig().run(waiting_can_be_stopped); }
TEST_CASE("objects are visited in the order of the store's keys") { Rig().run(orders_like_the_store); }
TEST_CASE("a watch from now sees what comes") { Rig().run(watch_from_now); }
TEST_CASE("objects enter and leave a selector as ADDED and DELETED") { Rig().run(selector_transitions); }
TEST_CASE("watches on one node or one object") { Rig().run(indexed_watches); }
TEST_CASE("a watch resumes from kept history") { Rig().run(resumes_from_history); }
TEST_CASE("a watch from a revision that is no longer kept is refused") {
  WatchCache::Options options;
  options.history_bytes = 2000;
  Rig(options).run(expired);
}
TEST_CASE("initial events end with a bookmark") { Rig().run(initial_events); }
TEST_CASE("a watch ends by its timeout") { Rig().run(ends_by_timeout); }
TEST_CASE("bookmarks come by themselves") {
  WatchCache::Options options;
  options.bookmark_period = 3ms;
  Rig(options).run(periodic_bookmarks);
}
TEST_CASE("a watch too slow for its events ends") {
  WatchCache::Options options;
  options.watch_queue_events = 10;
  Rig(options).run(slow_watch_ends);
}
TEST_CASE("a cache that fell behind the store's history fills itself again") {
  Rig().run(fills_again_after_compaction);
}
TEST_CASE("a cache is filled also when what it reads is compacted between two pages") {
  Rig().run(filling_outlives_compaction);
}
TEST_CASE("watches go on over a restart") { Rig().run(history_lasts_over_a_restart); }
TEST_CASE("keys of others and unreadable values do no harm") { Rig().run(foreign_keys); }

TEST_CASE("keys order by namespace and name as one text") {
  struct Row {
    KeyView a, b;
    int sign;
  };
  for (const Row& row :
       {Row{{"a", "x"}, {"a", "y"}, -1}, Row{{"a", "x"}, {"a", "x"}, 0}, Row{{"a", "x"}, {"a-b", "x"}, 1},
        Row{{"a-b", "z"}, {"a", "a"}, -1}, Row{{"a", "x"}, {"a0", "x"}, -1}, Row{{"", "b"}, {"", "a"}, 1}}) {
    CAPTURE(row.a.namespace_, row.a.name, row.b.namespace_, row.b.name);
    const int got = ObjectOrder::compare(row.a, row.b);
    CHECK((got < 0 ? -1 : got > 0 ? 1 : 0) == row.sign);
  }
}
