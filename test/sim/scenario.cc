// scenario.cc: see scenario.h.
#include "sim/scenario.h"

namespace kayak::sim {

using namespace std::chrono_literals;

namespace {

void draw_shape(Dice& dice, Scenario* scenario) {
  const std::uint64_t shape = dice.below(100);
  scenario->servers = shape < 6 ? 1 : shape < 36 ? 2 : shape < 76 ? 3 : shape < 82 ? 4 : 5;
  scenario->witness = scenario->servers == 2 && shape < 30;
}

void draw_troubles(Dice& dice, Troubles* troubles) {
  for (int* weight :
       {&troubles->crash_one, &troubles->crash_leader, &troubles->isolate, &troubles->split, &troubles->one_way,
        &troubles->pause, &troubles->disk_stall, &troubles->transfer, &troubles->membership, &troubles->weather}) {
    *weight = dice.chance(0.5) ? static_cast<int>(dice.between(1, 10)) : 0;
  }
  troubles->power_loss = static_cast<int>(dice.below(3));
  troubles->disk_error = static_cast<int>(dice.below(3));
  troubles->clock = static_cast<int>(dice.below(4));
  troubles->crash_one += 1;
}

}  // namespace

Scenario Scenario::from_seed(std::uint64_t seed) {
  Dice dice(seed);
  Scenario scenario;
  scenario.seed = seed;
  draw_shape(dice, &scenario);
  draw_troubles(dice, &scenario.troubles);
  scenario.chaos = dice.between(Duration(12s), Duration(25s));
  scenario.trouble_interval = dice.between(Duration(300ms), Duration(2s));
  scenario.delay = dice.between(Duration(200us), Duration(15ms));

  NodeOptions& node = scenario.node;
  const bool slow_disk = dice.chance(0.3);
  node.sync_time =
      slow_disk ? dice.between(Duration(20ms), Duration(150ms)) : dice.between(Duration(200us), Duration(8ms));
  node.hints = dice.chance(0.5);
  node.compact_after = dice.below(80) + 5;
  node.compact_slack = dice.below(20);
  raft::Options& raft = node.raft;
  raft.max_append_bytes = dice.chance(0.3) ? 1 : dice.below(2000) + 50;
  raft.window.messages = dice.below(8) + 1;
  raft.window.bytes = dice.chance(0.3) ? 200 : 100'000;
  raft.memory_bytes = dice.chance(0.5) ? dice.below(1000) : 100'000;

  scenario.workload.clients = dice.below(4) + 1;
  scenario.workload.keys = static_cast<std::uint32_t>(dice.below(4) + 1);
  scenario.workload.think_time = dice.between(Duration(20ms), Duration(150ms));
  scenario.workload.patience = dice.between(Duration(1s), Duration(4s));
  return scenario;
}

}  // namespace kayak::sim
