// log_reader.h: a container's log in CRI format as the text that `kubectl logs` shows, once or as it grows.
// Owns one open file and, when it follows, one inotify descriptor. Rotation (the file renamed away, a new one in its
// place) is noticed and read through. Source: CRI log format; core/v1 PodLogOptions; kubelet's log reader.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "io/http.h"
#include "io/loop.h"

namespace kayak::agent {

struct LogReadOptions {
  bool follow = false, timestamps = false;
  std::optional<std::int64_t> tail_lines, limit_bytes;
  std::optional<WallTime> since;
  std::string stream;             // "", "All", "Stdout", "Stderr"
  std::function<bool()> running;  // whether more may come; asked at the end of the file when following
};

// Errors: NotFound (no such log yet), Io.
Task<Result<std::unique_ptr<io::HttpBody>>> open_log(Context context, std::string path, LogReadOptions options,
                                                     StopToken stop);

// One line of a CRI log apart. False when it is not one.
struct LogLine {
  std::string_view timestamp, stream, text;
  bool partial = false;
};
bool parse_log_line(std::string_view line, LogLine* out);

// Where the last `lines` lines of `fd` begin, in bytes. Blocking.
std::int64_t find_tail(int fd, std::int64_t lines);

}  // namespace kayak::agent
