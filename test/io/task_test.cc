// task_test.cc: coroutines, scopes, events and the patterns GCC 12 got wrong.
#include "io/task.h"

#include <catch2/catch.hpp>
#include <functional>

#include "io/loop.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;

namespace {

struct Counted {
  static int alive;
  std::string text;
  explicit Counted(std::string t) : text(std::move(t)) { ++alive; }
  Counted(const Counted& o) : text(o.text) { ++alive; }
  Counted(Counted&& o) noexcept : text(std::move(o.text)) { ++alive; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
};
int Counted::alive = 0;

Task<std::size_t> length_of(Counted counted, Loop& loop) {
  co_await loop.yield();
  co_return counted.text.size();
}

struct Options {  // an aggregate
  Counted name;
  int limit = 0;
};

Task<std::size_t> name_length(const Options& options, Loop& loop) {
  co_await loop.yield();
  co_return options.name.text.size();
}

Task<std::size_t> call(std::function<std::size_t()> function, Loop& loop) {
  co_await loop.yield();
  co_return function();
}

// The sound forms of what GCC 12 gets wrong within the awaiting statement.
Task<Result<void>> pass_named_values(Loop& loop, bool first, std::vector<std::size_t>* out) {
  const Counted one(std::string(100, 'x'));
  const Counted chosen = first ? one : Counted(std::string(60, 'y'));
  out->push_back(co_await length_of(chosen, loop));
  const Options options{one, 3};
  out->push_back(co_await name_length(options, loop));
  auto function = [one] { return one.text.size(); };
  out->push_back(co_await call(std::move(function), loop));
  out->push_back(co_await call([&] { return one.text.size(); }, loop));
  const Counted other(std::string(30, 'z'));
  out->push_back(co_await length_of(other, loop) * (first ? 1 : 2));
  co_return Result<void>();
}

Task<Result<void>> pass_arguments(Loop& loop, std::size_t* out) {
  Counted named(std::string(100, 'x'));
  const std::size_t a = co_await length_of(named, loop);
  const std::size_t b = co_await length_of(Counted(std::string(50, 'y')), loop);
  *out = a + b;
  co_return Result<void>();
}

Task<int> deep(int n) {
  if (n == 0) co_return 0;
  const int below = co_await deep(n - 1);
  co_return below + 1;
}

Task<Result<void>> many_synchronous_awaits(long* sum) {
  for (int i = 0; i < 1'000'000; ++i) *sum += co_await deep(1);
  co_return Result<void>();
}

Task<Result<void>> fail_after(Loop& loop, Duration delay, StopToken stop) {
  if (auto slept = co_await loop.sleep(delay, stop); !slept) co_return slept.error();
  co_return Error(Code::kIo, "first failure");
}
Task<Result<void>> wait_for_stop(Loop& loop, StopToken stop, bool* stopped) {
  auto slept = co_await loop.sleep(1h, stop);
  *stopped = !slept && slept.error().code() == Code::kCancelled;
  co_return slept;
}
Task<Result<void>> scope_run(Loop& loop, bool* stopped) {
  TaskScope scope;
  scope.spawn(wait_for_stop(loop, scope.token(), stopped));
  scope.spawn(fail_after(loop, 1ms, scope.token()));
  co_return co_await scope.join();
}

Task<Result<void>> ping(Queue<int>& in, Queue<int>& out, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto got = co_await in.pop();
    if (!got) break;
    out.push(*got + 1);
  }
  co_return Result<void>();
}
Task<Result<void>> ping_pong(int* last) {
  Queue<int> a, b;
  TaskScope scope;
  scope.spawn(ping(a, b, 50'000));
  a.push(0);
  for (int i = 0; i < 50'000; ++i) {
    auto got = co_await b.pop();
    *last = *got;
    a.push(*got);
  }
  co_return co_await scope.join();
}

Task<Result<void>> offloads(Loop& loop, int* sum) {
  for (int i = 0; i < 20; ++i) {
    auto work = [i] { return i; };
    *sum += co_await loop.offload(work);
  }
  co_return Result<void>();
}

}  // namespace

TEST_CASE("arguments of awaited coroutines are destroyed exactly once") {
  Loop loop;
  std::size_t sum = 0;
  CHECK(loop.run(pass_arguments(loop, &sum)).ok());
  CHECK(sum == 150);
  CHECK(Counted::alive == 0);
}

TEST_CASE("values named before the awaiting statement are destroyed exactly once") {
  struct Row {
    bool first;
    std::vector<std::size_t> lengths;
  };
  for (const Row& row : {Row{true, {100, 100, 100, 100, 30}}, Row{false, {60, 100, 100, 100, 60}}}) {
    CAPTURE(row.first);
    Loop loop;
    std::vector<std::size_t> lengths;
    CHECK(loop.run(pass_named_values(loop, row.first, &lengths)).ok());
    CHECK(lengths == row.lengths);
    CHECK(Counted::alive == 0);
  }
}

TEST_CASE("a million synchronous awaits do not grow the stack") {
  Loop loop;
  long sum = 0;
  CHECK(loop.run(many_synchronous_awaits(&sum)).ok());
  CHECK(sum == 1'000'000);
}

TEST_CASE("the first failure of a scope stops the others and is its result") {
  Loop loop;
  bool stopped = false;
  const Result<void> result = loop.run(scope_run(loop, &stopped));
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().message() == "first failure");
  CHECK(stopped);
}

TEST_CASE("queues hand over in order between coroutines") {
  Loop loop;
  int last = 0;
  CHECK(loop.run(ping_pong(&last)).ok());
  CHECK(last == 50'000);
}

TEST_CASE("work on the pool comes back to the loop") {
  Loop loop;
  int sum = 0;
  CHECK(loop.run(offloads(loop, &sum)).ok());
  CHECK(sum == 190);
}

TEST_CASE("a deadline tells a timeout from a stop") {
  Loop loop;
  struct Body {
    static Task<Result<void>> run(Loop& loop) {
      Deadline deadline(loop, 2ms);
      auto slept = co_await loop.sleep(1h, deadline.token());
      CHECK_FALSE(slept.ok());
      CHECK(deadline.expired());
      CHECK(deadline.error("waiting").code() == Code::kTimeout);
      StopSource source;
      Deadline other(loop, 1h, source.token());
      source.stop();
      CHECK(other.token().stopped());
      CHECK(other.error("waiting").code() == Code::kCancelled);
      co_return Result<void>();
    }
  };
  CHECK(loop.run(Body::run(loop)).ok());
}

TEST_CASE("the end of a turn comes once, after all that was ready, and what it wakes goes on") {
  Loop loop;
  struct Body {
    std::vector<std::string> order;
    Event woken;
    static Task<Result<void>> note(Body* body) {
      body->order.emplace_back("ready");
      co_return Result<void>();
    }
    static Task<Result<void>> run(Loop* loop, Body* body) {
      loop->at_end_of_turn([loop, body] {
        body->order.emplace_back("end");
        loop->at_end_of_turn([body] { body->woken.set(); });
      });
      TaskScope scope;
      scope.spawn(note(body));
      co_await loop->yield();
      body->order.emplace_back("next turn");
      (void)co_await body->woken.wait();
      co_return co_await scope.join();
    }
  };
  Body body;
  REQUIRE(loop.run(Body::run(&loop, &body)));
  CHECK(body.order == std::vector<std::string>{"ready", "end", "next turn"});
}
