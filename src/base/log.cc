// log.cc: writes log lines with write(2), one call a line.
// Not spdlog: what is needed here is a screen of code, and it would bring fmt into the binary for nothing else.
#include "base/log.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <mutex>

namespace kayak {

namespace {

constexpr std::array<std::string_view, 6> kLevelNames = {"trace", "debug", "info", "warn", "error", "off"};
// A hostile value must not fill the disk; PIPE_BUF (4 KiB) would be too short for error chains.
constexpr std::size_t kMaxValueBytes = 8 * 1024;

// The text with everything that is not a printable character as an escape, in quotes when `quotes_needed`.
void append_value(std::string& out, std::string_view text, bool quotes_needed) {
  const std::string_view kept = text.substr(0, kMaxValueBytes);
  const std::string quoted = quote(kept);
  const bool plain =
      !kept.empty() && quoted.size() == kept.size() + 2 && kept.find_first_of(" =") == std::string_view::npos;
  if (plain || !quotes_needed) {
    out.append(quoted, 1, quoted.size() - 2);
  } else {
    out += quoted;
  }
  if (kept.size() < text.size()) out += cat("...(", text.size(), " bytes)");
}

std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char buffer[48];
  const std::size_t size = strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string millis = std::to_string(1000 + now.tv_nsec / 1'000'000);
  return cat(std::string_view(buffer, size), ".", std::string_view(millis).substr(1), "Z");
}

}  // namespace

bool parse_log_level(std::string_view text, LogLevel* level) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] != text) continue;
    *level = static_cast<LogLevel>(i);
    return true;
  }
  return false;
}

struct Log::Sink {
  Sink(int fd, LogLevel level) : fd(fd), level(level) {}

  void write_line(std::string_view line) {
    const std::lock_guard lock(mutex);  // a line longer than PIPE_BUF may need several writes
    while (!line.empty()) {
      const ssize_t written = ::write(fd, line.data(), line.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;  // nobody reads, or the disk is full: the rest of the line is lost
      line.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  const int fd;
  const LogLevel level;
  std::mutex mutex;
};

Log::Log(std::shared_ptr<Sink> sink, std::string component)
    : sink_(std::move(sink)), component_(std::move(component)) {}

Log Log::to_fd(int fd, LogLevel level) { return Log(std::make_shared<Sink>(fd, level), ""); }
Log Log::discard() { return Log(nullptr, ""); }
Log Log::named(std::string_view component) const {
  return Log(sink_, component_.empty() ? std::string(component) : cat(component_, ".", component));
}

bool Log::enabled(LogLevel level) const { return sink_ && level >= sink_->level && level != LogLevel::kOff; }

void Log::write(LogLevel level, std::string_view message, LogFields fields) const {
  if (!enabled(level)) return;
  const int saved_errno = errno;
  std::string line = cat(timestamp(), " ", kLevelNames[static_cast<std::size_t>(level)], " ");
  if (!component_.empty()) line += cat(component_, ": ");
  append_value(line, message, false);
  for (const LogField& field : fields) {
    line += cat(" ", field.key, "=");
    append_value(line, field.value, true);
  }
  line += '\n';
  sink_->write_line(line);
  errno = saved_errno;
}

}  // namespace kayak
