#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace kayak {
void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "kayak: assertion failed: %s at %s:%d. This is a bug in Kayak; please report it.\n", expression,
               file, line);
  std::abort();
}
}  // namespace kayak
