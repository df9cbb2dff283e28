// backoff.h: the waits between attempts at something that keeps failing.
#pragma once

#include "base/clock.h"
#include "base/random.h"

namespace kayak::client {

// Doubles from `base` to `limit`, each wait stretched by up to 100 % at random so that many clients do not come back
// together. Source: client-go reflector back-off (800 ms, 30 s, factor 2, jitter 1).
class Backoff {
 public:
  Backoff(Random& random, Duration base, Duration limit) : random_(random), base_(base), limit_(limit), next_(base) {}
  Duration next() {
    const Duration wait = next_;
    next_ = next_ * 2 < limit_ ? next_ * 2 : limit_;
    const auto jitter = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(wait.count()) + 1));
    return wait + Duration(jitter);
  }
  void reset() { next_ = base_; }

 private:
  Random& random_;
  Duration base_, limit_, next_;
};

}  // namespace kayak::client
