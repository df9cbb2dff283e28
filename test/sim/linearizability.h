// linearizability.h: whether a history of operations on one register could have happened one after the other, each
// somewhere between its call and its return.
// Source: Wing and Gong, "Testing and Verifying Concurrent Objects"; Lowe, "Testing for Linearizability" (the memory of
// visited states).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace kayak::sim {

struct Operation {
  enum class Type : std::uint8_t { kRead, kWrite, kCompareAndSwap };
  Type type = Type::kRead;
  std::uint64_t value = 0;     // read or written
  std::uint64_t expected = 0;  // of a swap that was done
  Instant called;
  Instant returned;
  bool unknown = false;  // nobody heard the outcome: it may take effect at any time after the call, or never
};

// The register holds 0 at first; written values are unique. Unknown reads need not be given.
bool is_linearizable(std::vector<Operation> history);
std::string text(const std::vector<Operation>& history);

}  // namespace kayak::sim
