// seeds_test.cc: the seeds that run with every test; ./dev sim runs others.
#include <catch2/catch.hpp>

#include "sim/simulate.h"

namespace kayak::sim {
namespace {

constexpr std::uint64_t kSeeds = KAYAK_SIM_SEEDS;  // of the build: fewer where the core is not optimised

TEST_CASE("clusters keep their promises") {
  RunStats total;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    INFO("repeat with ./dev sim --seeds 1 --start " << seed);
    const Outcome outcome = simulate(seed);
    REQUIRE(outcome.violation == "");
    total.operations += outcome.stats.operations;
    total.changes += outcome.stats.changes;
    total.snapshots += outcome.stats.snapshots;
    total.terms += outcome.stats.terms;
    total.watched += outcome.stats.watched;
    total.heartbeats += outcome.stats.heartbeats;
  }
  // The runs were not idle.
  CHECK(total.operations > 100 * kSeeds);
  CHECK(total.terms > 3 * kSeeds);
  CHECK(total.changes > kSeeds / 4);
  CHECK(total.snapshots > kSeeds);
  CHECK(total.watched > 20 * kSeeds);
  CHECK(total.heartbeats > 2 * kSeeds);
}

TEST_CASE("a seed repeats exactly") {
  for (const std::uint64_t seed : {17, 24}) {  // registers and key-values
    const RunStats first = simulate(seed).stats, again = simulate(seed).stats;
    CAPTURE(seed);
    CHECK(first.events == again.events);
    CHECK(first.operations == again.operations);
    CHECK(first.entries == again.entries);
    CHECK(first.terms == again.terms);
    CHECK(first.watched == again.watched);
  }
}

}  // namespace
}  // namespace kayak::sim
