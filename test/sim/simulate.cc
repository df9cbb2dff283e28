// simulate.cc: see simulate.h.
#include "sim/simulate.h"

namespace kayak::sim {

Outcome simulate(std::uint64_t seed, const Broken& broken, bool trace) {
  Scenario scenario = Scenario::from_seed(seed);
  scenario.node.raft.mutant = broken.core;
  scenario.node.mutant = broken.shell;
  Outcome outcome;
  try {
    Cluster cluster(std::move(scenario));
    cluster.set_trace(trace);
    outcome.stats = cluster.run();
  } catch (const Violation& violation) {
    outcome.violation = violation.what();
  }
  return outcome;
}

}  // namespace kayak::sim
