// support.h: a context, a log in a file and a temporary directory for the tests of src/io and of those above it.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "io/loop.h"
#include "support/scratch.h"

namespace kayak::test {

struct TestContext {
  explicit TestContext(Log log = Log::discard()) : log(std::move(log)) {}
  Loop loop;
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Log log;
  Context context() { return Context{loop, clock, random, log, metrics}; }
};

// "ok" or "<Code>: <message>", so that a failed check prints why.
std::string says(const Error& error);
template <typename T>
std::string says(const Result<T>& result) {
  return result ? "ok" : says(result.error());
}

// A log whose lines can be read back.
class LogFile {
 public:
  LogFile();
  Log log();
  std::string text() const;

 private:
  Fd fd_;
};

}  // namespace kayak::test
