// failure_limiter_test.cc: a few failures at once, then one in ten seconds, for each source by itself.
#include "cli/failure_limiter.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

namespace kayak::cli {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a source that fails too often has to wait") {
  FailureLimiter limiter;
  Instant now{1};
  for (int i = 0; i < FailureLimiter::kBurst; ++i) {
    CHECK(limiter.allows("192.0.2.1", now));
    limiter.failed("192.0.2.1", now);
  }
  CHECK_FALSE(limiter.allows("192.0.2.1", now));
  CHECK(limiter.allows("192.0.2.2", now));
  CHECK_FALSE(limiter.allows("192.0.2.1", now + 9s));
  now = now + FailureLimiter::kInterval;
  CHECK(limiter.allows("192.0.2.1", now));
  limiter.failed("192.0.2.1", now);
  CHECK_FALSE(limiter.allows("192.0.2.1", now));
  // Over an hour: one in ten seconds, and not more.
  int tries = 0;
  for (int second = 1; second <= 3600; ++second) {
    now = now + 1s;
    if (!limiter.allows("192.0.2.1", now)) continue;
    ++tries;
    limiter.failed("192.0.2.1", now);
  }
  CHECK(tries == 360);
  CHECK(limiter.allows("192.0.2.1", now + 101s));
}

TEST_CASE("one host's many IPv6 addresses are one source") {
  FailureLimiter limiter;
  const Instant now{1};
  for (int i = 0; i < FailureLimiter::kBurst; ++i) limiter.failed(cat("2001:db8:1:2::", i + 1), now);
  CHECK_FALSE(limiter.allows("2001:db8:1:2:ffff::1", now));
  CHECK(limiter.allows("2001:db8:1:3::1", now));
}

TEST_CASE("many sources take no more memory than so many") {
  FailureLimiter limiter;
  Instant now{1};
  for (int i = 0; i < 3000; ++i) {
    now = now + 1ms;
    limiter.failed(cat("10.0.", i / 250, ".", i % 250), now);
  }
  CHECK(limiter.size() == FailureLimiter::kSources);
}

}  // namespace
}  // namespace kayak::cli
