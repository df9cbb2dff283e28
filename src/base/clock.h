// clock.h: time as something that is handed in, so that tests and the simulation own it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace kayak {

using Duration = std::chrono::nanoseconds;
// Monotonic; meaningful only against other Instants of the same Clock.
struct Instant {
  std::int64_t nanoseconds = 0;
  auto operator<=>(const Instant&) const = default;
  Instant operator+(Duration d) const { return Instant{nanoseconds + d.count()}; }
  Duration operator-(Instant other) const { return Duration(nanoseconds - other.nanoseconds); }
};
// UTC wall time in microseconds since 1970.
struct WallTime {
  std::int64_t microseconds = 0;
  auto operator<=>(const WallTime&) const = default;
  std::int64_t seconds() const { return microseconds / 1'000'000; }
  WallTime operator+(Duration d) const {
    return WallTime{microseconds + std::chrono::duration_cast<std::chrono::microseconds>(d).count()};
  }
  Duration operator-(WallTime other) const { return std::chrono::microseconds(microseconds - other.microseconds); }
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual WallTime wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  Instant now() const override;  // CLOCK_BOOTTIME, so that a suspended board does not lose time
  WallTime wall() const override;
};

// A clock that stands still until a test moves it.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  WallTime wall() const override { return wall_; }
  void advance(Duration d) {
    now_ = now_ + d;
    wall_ = wall_ + d;
  }
  void set_wall(WallTime wall) { wall_ = wall; }

 private:
  Instant now_{1};
  WallTime wall_{1'700'000'000'000'000};
};

// metav1.Time: RFC 3339 in UTC, whole seconds ("2026-11-23T20:50:47Z").
std::string format_time(WallTime time);
// metav1.MicroTime: RFC 3339 in UTC with exactly six digits ("2026-11-23T20:50:47.000000Z").
std::string format_micro_time(WallTime time);
// Any RFC 3339 time (offset and fraction allowed); false when `text` is not one.
bool parse_time(std::string_view text, WallTime* time);

}  // namespace kayak
