// stall_watch.h: notices turns of the loop that took too long, and says what ran. Private to src/io.
// Wakes nobody: it reads the clock where the loop's turns and their pieces end. A loop that never comes back is not
// noticed here; a service manager's watchdog is for that.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/log.h"
#include "base/metrics.h"

namespace kayak::io {

class StallWatch {
 public:
  // From here on turns of 5 ms and more are counted in kayak_loop_stall_seconds, and at most one a second is logged.
  void report_to(Log log, Metrics& metrics);

  // A callback of the loop begins: the turn does, too, if it had not yet.
  void begin();
  // A piece of the turn has ended. `code`: where it goes on, an address for addr2line. Nanoseconds, of uv_hrtime.
  std::uint64_t end_piece(std::string_view what, const void* code = nullptr);
  // The loop is about to wait.
  void end_turn();

 private:
  struct Piece {
    std::uint64_t ns = 0;
    std::string_view what;
    const void* code = nullptr;
  };
  void say(std::uint64_t now, std::uint64_t took);

  std::uint64_t turn_start_ = 0, piece_start_ = 0;  // 0: no turn runs
  Piece longest_;
  std::optional<Log> log_;
  Histogram* stalls_ = nullptr;
  std::uint64_t next_line_ = 0;
};

}  // namespace kayak::io
