// stall_watch.cc: see stall_watch.h.
#include "io/stall_watch.h"

#include <uv.h>

#include <cstdio>

namespace kayak::io {

namespace {
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kStall = 5 * kMillisecond;  // the design's promise
// Below this a stall delays nobody who would notice; a busy machine makes such by itself.
constexpr std::uint64_t kWorthAWarning = 50 * kMillisecond;
constexpr std::uint64_t kBetweenLines = 1'000 * kMillisecond;
}  // namespace

void StallWatch::report_to(Log log, Metrics& metrics) {
  log_ = std::move(log);
  stalls_ = &metrics.histogram("kayak_loop_stall_seconds", "Turns of the event loop that took 5 ms and more.",
                               {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5});
}

void StallWatch::begin() {
  if (turn_start_ == 0) turn_start_ = piece_start_ = uv_hrtime();
}

std::uint64_t StallWatch::end_piece(std::string_view what, const void* code) {
  const std::uint64_t now = uv_hrtime();
  if (piece_start_ == 0) turn_start_ = piece_start_ = now;
  if (now - piece_start_ > longest_.ns) longest_ = Piece{now - piece_start_, what, code};
  piece_start_ = now;
  return now;
}

void StallWatch::end_turn() {
  if (turn_start_ == 0) return;
  const std::uint64_t now = uv_hrtime();
  const std::uint64_t took = now - turn_start_;
  if (took >= kStall && stalls_ != nullptr) {
    stalls_->observe(static_cast<double>(took) / 1e9);
    say(now, took);
  }
  turn_start_ = piece_start_ = 0;
  longest_ = Piece();
}

void StallWatch::say(std::uint64_t now, std::uint64_t took) {
  const LogLevel level = took >= kWorthAWarning ? LogLevel::kWarn : LogLevel::kDebug;
  if (now < next_line_ || !log_->enabled(level)) return;
  next_line_ = now + kBetweenLines;
  char code[2 + 2 * sizeof(void*) + 1];
  std::snprintf(code, sizeof code, "%p", longest_.code);
  const LogFields fields = {{"ms", took / kMillisecond},
                            {"longest_ms", longest_.ns / kMillisecond},
                            {"what", longest_.what},
                            {"code", std::string_view(code)}};
  constexpr std::string_view kMessage = "the event loop was held";
  level == LogLevel::kWarn ? log_->warn(kMessage, fields) : log_->debug(kMessage, fields);
}

}  // namespace kayak::io
