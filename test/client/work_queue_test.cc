// work_queue_test.cc: order, de-duplication, delays and back-off of the work queue, and its workers.
#include "client/work_queue.h"

#include <catch2/catch.hpp>
#include <set>

using namespace kayak;
using namespace kayak::client;
using namespace std::chrono_literals;

namespace {

ObjectKey key(const std::string& name) { return ObjectKey{"default", name}; }

struct Bed {
  Loop loop;
  ManualClock clock;
  SeededRandom random{7};
  Metrics metrics;
  Context context{loop, clock, random, Log::discard(), metrics};
};

Task<Result<void>> take_names(WorkQueue& queue, std::size_t count, std::vector<std::string>* names) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto taken = co_await queue.take();
    names->push_back(taken->name);
    queue.done(*taken);
  }
  co_return Result<void>();
}

}  // namespace

TEST_CASE("a key is in line once and is never processed twice at a time") {
  KeyLine line;
  CHECK(line.add(key("a")));
  CHECK(line.add(key("b")));
  CHECK_FALSE(line.add(key("a")));
  CHECK(line.length() == 2);
  CHECK(line.take()->name == "a");
  CHECK(line.add(key("a")));        // again, while it is being processed
  CHECK_FALSE(line.add(key("a")));  // still once
  CHECK(line.length() == 1);        // waits for done
  CHECK(line.take()->name == "b");
  CHECK_FALSE(line.take().has_value());
  line.done(key("b"));
  CHECK(line.length() == 0);
  line.done(key("a"));
  CHECK(line.take()->name == "a");
  line.done(key("a"));
  CHECK_FALSE(line.take().has_value());
}

TEST_CASE("of two delays for a key the earlier wins") {
  DelayedKeys delayed;
  const Instant start;
  delayed.add(key("a"), start + 10s);
  delayed.add(key("b"), start + 5s);
  delayed.add(key("a"), start + 20s);
  delayed.add(key("c"), start + 7s);
  delayed.add(key("c"), start + 3s);
  CHECK(delayed.next() == start + 3s);
  CHECK(delayed.take_ready(start + 2s).empty());
  const std::vector<ObjectKey> ready = delayed.take_ready(start + 10s);
  REQUIRE(ready.size() == 3);
  CHECK(ready[0].name == "c");
  CHECK(ready[1].name == "b");
  CHECK(ready[2].name == "a");
  CHECK_FALSE(delayed.next().has_value());
}

TEST_CASE("the back-off of a key doubles from 5 ms to 1000 s") {
  RetryLimiter limiter;
  Instant now{1'000'000'000};
  struct Row {
    int failure;
    Duration delay;
  };
  const std::vector<Row> rows = {{0, 5ms},       {1, 10ms},   {2, 20ms},  {10, 5120ms},
                                 {17, 655360ms}, {18, 1000s}, {40, 1000s}};
  std::size_t row = 0;
  for (int failure = 0; failure <= 40; ++failure) {
    now = now + 3600s;  // so that the shared bucket is full
    const Duration delay = limiter.next_delay(key("a"), now);
    if (rows[row].failure == failure) {
      CAPTURE(failure);
      CHECK(delay == rows[row].delay);
      ++row;
    }
  }
  CHECK(row == rows.size());
  CHECK(limiter.failures(key("a")) == 41);
  limiter.forget(key("a"));
  CHECK(limiter.next_delay(key("a"), now + 3600s) == 5ms);
}

TEST_CASE("all keys share ten retries per second after a burst of a hundred") {
  RetryLimiter limiter;
  const Instant now{1'000'000'000'000};
  for (int i = 0; i < 100; ++i) CHECK(limiter.next_delay(key(cat("k", i)), now) == 5ms);
  CHECK(limiter.next_delay(key("x"), now) == 100ms);
  CHECK(limiter.next_delay(key("y"), now) == 200ms);
  CHECK(limiter.next_delay(key("z"), now + 10s) == 5ms);
}

TEST_CASE("delayed keys come out when the clock says so") {
  Bed bed;
  auto queue = make_work_queue(bed.context, "test");
  std::vector<std::string> names;
  queue->add_after(key("late"), 20s);
  queue->add_after(key("soon"), 10s);
  queue->add(key("now"));
  CHECK(bed.loop.run(take_names(*queue, 1, &names)).ok());
  CHECK(queue->length() == 0);
  bed.clock.advance(15s);
  CHECK(bed.loop.run(take_names(*queue, 1, &names)).ok());
  bed.clock.advance(5s);
  CHECK(bed.loop.run(take_names(*queue, 1, &names)).ok());
  CHECK(names == std::vector<std::string>{"now", "soon", "late"});
}

TEST_CASE("a timer wakes a waiting worker") {
  Loop loop;
  SystemClock clock;
  SeededRandom random(1);
  Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  auto queue = make_work_queue(context, "test");
  std::vector<std::string> names;
  queue->add_after(key("b"), 30ms);
  queue->add_after(key("a"), 5ms);
  const Instant start = clock.now();
  CHECK(loop.run(take_names(*queue, 2, &names)).ok());
  CHECK(clock.now() - start >= 30ms);
  CHECK(names == std::vector<std::string>{"a", "b"});
}

namespace {

// Fails each key `failures` times, then succeeds; counts how many run at once per key.
struct Shop {
  Loop& loop;
  int failures;
  std::map<std::string, int> runs;
  std::set<std::string> busy;
  int most_busy = 0;
  bool overlapped = false;
  io::StopSource stop;
  int wanted_runs;
  int total = 0;

  Task<Result<Requeue>> reconcile(ObjectKey object, StopToken) {
    overlapped |= !busy.insert(object.name).second;
    most_busy = std::max(most_busy, static_cast<int>(busy.size()));
    const Result<void> slept = co_await loop.sleep(1ms);
    CHECK(slept.ok());
    busy.erase(object.name);
    const int run = ++runs[object.name];
    if (++total == wanted_runs) stop.stop();
    if (run <= failures) co_return Error(Code::kInternal, "not yet");
    co_return Requeue::never();
  }
};

Task<Result<void>> run_shop(Context context, WorkQueue& queue, Shop& shop) {
  Reconcile reconcile = [&shop](ObjectKey object, StopToken stop) { return shop.reconcile(std::move(object), stop); };
  StopToken stop = shop.stop.token();
  co_return co_await run_workers(context, queue, 3, reconcile, stop);
}

}  // namespace

namespace {

// Puts its key back in line at once, until the timer has rung or the test gives up.
struct Spinner {
  WorkQueue& queue;
  io::StopSource stop{};
  int runs = 0;
  bool rang = false;

  Task<Result<Requeue>> reconcile(ObjectKey key, StopToken) {
    if (rang || ++runs == 100000) {
      stop.stop();
    } else {
      queue.add(std::move(key));
    }
    co_return Requeue::never();
  }
};

Task<Result<void>> run_spinner(Context context, Spinner& spinner) {
  Reconcile reconcile = [&spinner](ObjectKey object, StopToken stop) {
    return spinner.reconcile(std::move(object), std::move(stop));
  };
  StopToken stop = spinner.stop.token();
  co_return co_await run_workers(context, spinner.queue, 1, reconcile, stop);
}

}  // namespace

TEST_CASE("a key that always comes back does not hold up the loop") {
  Loop loop;
  SystemClock clock;
  SeededRandom random(1);
  Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  auto queue = make_work_queue(context, "test");
  Spinner spinner{.queue = *queue};
  queue->add(key("a"));
  const Loop::Timer timer = loop.after(1ms, [&spinner] { spinner.rang = true; });
  CHECK(loop.run(run_spinner(context, spinner)).ok());
  CHECK(spinner.rang);
}

TEST_CASE("workers run keys side by side, retry failures and end with the token") {
  Loop loop;
  SystemClock clock;
  SeededRandom random(1);
  Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  auto queue = make_work_queue(context, "test");
  Shop shop{.loop = loop, .failures = 2, .wanted_runs = 15};
  for (const char* name : {"a", "b", "c", "d", "e"}) queue->add(key(name));
  CHECK(loop.run(run_shop(context, *queue, shop)).ok());
  CHECK(shop.most_busy == 3);
  CHECK_FALSE(shop.overlapped);
  for (const auto& [name, runs] : shop.runs) {
    CAPTURE(name);
    CHECK(runs == 3);
  }
  CHECK(shop.runs.size() == 5);
}
