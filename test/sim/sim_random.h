// sim_random.h: the simulation's dice: small, fast, repeatable (xorshift64*).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/clock.h"

namespace kayak::sim {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 0x1234567) {
    for (int i = 0; i < 4; ++i) next();
  }
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low + 1)));
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // in [0, 1)
  bool chance(double probability) { return unit() < probability; }
  Duration between(Duration low, Duration high) { return Duration(between(low.count(), high.count())); }
  // Exponentially distributed, at most eight times the mean.
  Duration around(Duration mean) {
    const double times = std::fmin(-std::log(1.0 - unit()), 8.0);
    return Duration(static_cast<std::int64_t>(times * static_cast<double>(mean.count())));
  }

 private:
  std::uint64_t state_;
};

}  // namespace kayak::sim
