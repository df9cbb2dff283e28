// simulate.cc: see simulate.h.
#include "sim/simulate.h"

namespace kayak::sim {

Outcome simulate(std::uint64_t seed, const Broken& broken, bool trace) {
  Scenario scenario = Scenario::from_seed(seed);
  scenario.node.raft.mutant = broken.core;
  scenario.node.mutant = broken.shell;
  // Some apply in pieces. Not the mutants: each is to be caught within a number of seeds that was found without.
  const bool broken_at_all = broken.core != store::raft::Mutant::kNone || broken.shell != ShellMutant::kNone;
  if (!broken_at_all && seed % 3 == 1) scenario.node.apply_at_once = 1 + seed % 4;
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
