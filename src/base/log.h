// log.h: structured log lines (logfmt) to stderr: time level message key=value...
// Control characters in values are escaped, so that a hostile name cannot forge a line (security 18).
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/strings.h"

namespace kayak {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kOff };
// "trace", "debug", "info", "warn", "error", "off"; false otherwise.
bool parse_log_level(std::string_view text, LogLevel* level);

struct LogField {
  template <typename T>
  LogField(std::string_view key, const T& value) : key(key), value(cat(value)) {}
  std::string_view key;
  std::string value;
};
using LogFields = std::initializer_list<LogField>;

// Thread-safe. A component gets a Log with its name from its parent's `named`.
class Log {
 public:
  // A log that writes to `fd` from `level` up. Never fails: a line that cannot be written is dropped.
  static Log to_fd(int fd, LogLevel level);
  static Log discard();
  Log named(std::string_view component) const;

  bool enabled(LogLevel level) const;
  void trace(std::string_view message, LogFields fields = {}) const { write(LogLevel::kTrace, message, fields); }
  void debug(std::string_view message, LogFields fields = {}) const { write(LogLevel::kDebug, message, fields); }
  void info(std::string_view message, LogFields fields = {}) const { write(LogLevel::kInfo, message, fields); }
  void warn(std::string_view message, LogFields fields = {}) const { write(LogLevel::kWarn, message, fields); }
  void error(std::string_view message, LogFields fields = {}) const { write(LogLevel::kError, message, fields); }

 private:
  struct Sink;
  Log(std::shared_ptr<Sink> sink, std::string component);
  void write(LogLevel level, std::string_view message, LogFields fields) const;
  std::shared_ptr<Sink> sink_;
  std::string component_;
};

}  // namespace kayak
