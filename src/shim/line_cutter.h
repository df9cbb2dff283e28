// line_cutter.h: cuts a container's output into the lines of a CRI log. Pure; also compiled for the tests.
// A line is at most kMaxLine bytes; a longer one becomes several records tagged P, the last one F. What a container
// prints never reaches the start of a record, so it cannot forge one (security 26).
// Source: CRI log format: "TIME STREAM TAG TEXT", TAG F (full) or P (partial).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace kayak::shim {

constexpr size_t kMaxLine = 16 * 1024;
constexpr size_t kTimeBytes = 30;  // "2026-11-23T20:50:47.123456789Z"

// Where records go. `text` is without the newline.
class LineSink {
 public:
  virtual void line(char tag, const char* text, size_t size) = 0;

 protected:
  ~LineSink() = default;
};

class LineCutter {
 public:
  void feed(const char* data, size_t size, LineSink& sink);
  // The stream has ended: what is left without a newline is a partial record.
  void finish(LineSink& sink);
  size_t held() const { return held_; }

 private:
  size_t held_ = 0;
  char buffer_[kMaxLine];  // of a line whose end has not arrived; untouched memory costs nothing
};

// RFC 3339 in UTC with nine digits, kTimeBytes long, no NUL.
void write_time(int64_t unix_ns, char* to);

}  // namespace kayak::shim
