// simulate.h: one seed, one run, one verdict.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/cluster.h"

namespace kayak::sim {

struct Broken {
  raft::Mutant core = raft::Mutant::kNone;
  ShellMutant shell = ShellMutant::kNone;
};
struct Outcome {
  std::string violation;  // empty: none
  RunStats stats;
};
Outcome simulate(std::uint64_t seed, const Broken& broken = {}, bool trace = false);

}  // namespace kayak::sim
