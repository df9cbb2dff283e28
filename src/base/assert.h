// assert.h: stops the process when an invariant of ours is broken, in release builds too.
// Bad input, full disks and lost peers are Results, never asserts (style, rule 12).
#pragma once

namespace kayak {
// Prints `expression` with its place to stderr and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}  // namespace kayak

#define ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::kayak::assertion_failed(#expression, __FILE__, __LINE__))
