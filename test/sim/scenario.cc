// scenario.cc: see scenario.h.
#include "sim/scenario.h"

#include <algorithm>

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

void draw_clocks(Dice& dice, Scenario* scenario) {
  if (dice.chance(0.5)) {
    scenario->slowest_clock = 0.5;
    scenario->fastest_clock = 2;
  }
  scenario->node.raft.lease_reads = dice.chance(0.15);
  if (!scenario->node.raft.lease_reads) return;
  // What leases trust in.
  scenario->troubles.clock = 0;
  scenario->slowest_clock = 0.96;
  scenario->fastest_clock = 1.04;
}

// Leaders fall right after their elections, for long and with little else going on: what the dissertation's figure 3.7
// shows takes many elections to come about.
void draw_hunt(Dice& dice, Scenario* scenario) {
  scenario->hunt = 0.4 + 0.5 * dice.unit();
  scenario->chaos = dice.between(Duration(60s), Duration(120s));
  if (dice.chance(0.7)) scenario->node.raft.max_append_bytes = 1;
  if (dice.chance(0.3)) return;
  scenario->troubles = {.crash_one = 1};
  scenario->trouble_interval = 5s;
  scenario->workload.clients = 1;
}

// Leaders that wake up, were replaced meanwhile, and have a while left in which they believe in themselves. Who follows
// them reigns for long enough to end the leases that only they have promised to keep.
void draw_suspensions(Dice& dice, Scenario* scenario) {
  scenario->node.raft.lease_reads = false;  // which trust in clocks that do not stand
  scenario->troubles = {.crash_one = 1, .suspend = 8, .weather = 1};
  scenario->trouble_interval = dice.between(Duration(3s), Duration(8s));
  scenario->chaos = dice.between(Duration(40s), Duration(60s));
  scenario->workload.clients = 1 + dice.below(2);
}

// States that come late, from leaders that were replaced meanwhile by one whose log still has everything: the entries
// are faster.
void draw_rivals(Dice& dice, Scenario* scenario) {
  scenario->servers = 4 + dice.below(2);  // of three, the old leader and the one that lags are a majority
  scenario->witness = false;
  scenario->uneven_logs = true;
  scenario->rival = 0.7;
  scenario->node.states_come_late = true;
  scenario->node.compact_after = 5;
  scenario->node.compact_slack = 0;
  scenario->node.sync_time = dice.between(Duration(20ms), Duration(150ms));
  scenario->troubles = {.crash_one = 3, .isolate = 3, .pause = 1, .weather = 1};
  scenario->trouble_interval = dice.between(Duration(2s), Duration(4s));
  scenario->workload.clients = 8;
  scenario->workload.think_time = 20ms;
}

void draw_old_disks(Scenario* scenario) {
  if (!scenario->witness) scenario->servers = std::max<std::size_t>(scenario->servers, 3);
  scenario->troubles.old_disk = 15;
}

// From dice of their own: the other worlds stay what they are.
void draw_rare(Scenario* scenario) {
  Dice dice(scenario->seed ^ 0x2545F4914F6CDD1DULL);
  const double rare = dice.unit();
  const bool busy = scenario->hunt > 0 || scenario->troubles.suspend > 0 || scenario->kind == WorldKind::kDatabases;
  if (busy) return;
  if (rare < 0.06) draw_old_disks(scenario);
  if (rare > 0.94 && scenario->kind == WorldKind::kRegisters) draw_rivals(dice, scenario);
}

}  // namespace

const char* text(WorldKind kind) {
  static constexpr const char* kTexts[] = {"registers", "key-values", "key-values in databases"};
  return kTexts[static_cast<int>(kind)];
}

Scenario Scenario::from_seed(std::uint64_t seed) {
  Dice dice(seed);
  Scenario scenario;
  scenario.seed = seed;
  draw_shape(dice, &scenario);
  draw_troubles(dice, &scenario.troubles);
  scenario.chaos = dice.between(Duration(15s), Duration(40s));
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
  raft.max_append_bytes = dice.chance(0.2) ? 1 : dice.below(2000) + 50;
  raft.window.messages = dice.below(8) + 1;
  raft.window.bytes = dice.chance(0.3) ? 200 : 100'000;
  raft.memory_bytes = dice.chance(0.5) ? dice.below(1000) : 100'000;

  draw_clocks(dice, &scenario);
  scenario.workload.clients = dice.below(8) + 1;
  scenario.workload.keys = static_cast<std::uint32_t>(dice.below(4) + 1);
  scenario.workload.think_time = dice.between(Duration(20ms), Duration(150ms));
  scenario.workload.patience = dice.between(Duration(1s), Duration(4s));
  if (dice.chance(0.15)) draw_hunt(dice, &scenario);
  if (seed % 4 == 0) {
    scenario.kind = seed % 16 == 0 ? WorldKind::kDatabases : WorldKind::kKeyValues;
    // Alone, a server may compact its database as it likes: nobody needs a snapshot.
    if (seed % 32 == 0) {
      scenario.servers = 1;
      scenario.witness = false;
      scenario.troubles.membership = 0;
    }
    scenario.history_bytes = dice.chance(0.5) ? dice.below(8000) : 1'000'000;
    scenario.workload.keys = static_cast<std::uint32_t>(dice.below(12) + 2);
    // Leaders that hand over and are cut off before they hear of it, with many who still ask them.
    if (dice.chance(0.3)) {
      scenario.troubles.transfer += 30;
      scenario.workload.clients = 8;
      scenario.workload.think_time = 20ms;
    }
    if (seed % 16 == 4) draw_suspensions(dice, &scenario);
  }
  draw_rare(&scenario);
  return scenario;
}

}  // namespace kayak::sim
