// stall_watch_test.cc: turns that hold the loop are counted and logged, at most once a second, with what ran.
#include <catch2/catch.hpp>
#include <thread>

#include "base/strings.h"
#include "io/loop.h"
#include "support.h"

using namespace kayak;
using namespace std::chrono_literals;

namespace {

Task<Result<void>> hold_twice(Loop& loop) {
  for (int i = 0; i < 2; ++i) {
    auto slept = co_await loop.sleep(1ms);
    if (!slept) co_return slept;
    std::this_thread::sleep_for(60ms);
    co_await loop.yield();
  }
  co_return Result<void>();
}

Task<Result<void>> let_a_timer_hold(Loop& loop) {
  Loop::Timer timer = loop.after(1ms, [] { std::this_thread::sleep_for(60ms); });
  co_return co_await loop.sleep(20ms);
}

Task<Result<void>> rest(Loop& loop) { co_return co_await loop.sleep(20ms); }

struct Seen {
  std::string log;
  std::uint64_t counted = 0;
};
Seen run_with(Task<Result<void>> (*body)(Loop&)) {
  test::LogFile file;
  Metrics metrics;
  Loop loop;
  loop.watch_stalls(file.log(), metrics);
  CHECK(loop.run(body(loop)).ok());
  const std::string text = metrics.to_text();
  const std::string_view count = "kayak_loop_stall_seconds_count ";
  const std::size_t at = text.find(count);
  REQUIRE(at != std::string::npos);
  return Seen{file.text(), std::stoull(text.substr(at + count.size()))};
}

std::size_t warnings(const std::string& log) {
  std::size_t n = 0;
  for (std::string_view line : split(log, '\n')) n += line.find(" warn ") != std::string_view::npos ? 1 : 0;
  return n;
}

}  // namespace

TEST_CASE("a turn that holds the loop is counted, and one a second is logged") {
  const Seen seen = run_with(hold_twice);
  INFO(seen.log);
  CHECK(seen.counted >= 2);
  CHECK(warnings(seen.log) == 1);
  CHECK(seen.log.find("the event loop was held") != std::string::npos);
  CHECK(seen.log.find("what=coroutine code=0x") != std::string::npos);
}

TEST_CASE("a timer that holds the loop is named as such") {
  const Seen seen = run_with(let_a_timer_hold);
  INFO(seen.log);
  CHECK(seen.counted >= 1);
  CHECK(seen.log.find("what=timer") != std::string::npos);
}

TEST_CASE("waiting does not hold the loop") {
  // A busy machine may take the processor from us in the midst of a turn: that is a stall, too, but not every time.
  constexpr int kTries = 20;
  int tries = 1;
  while (warnings(run_with(rest).log) != 0 && tries < kTries) ++tries;
  CHECK(tries < kTries);
}
