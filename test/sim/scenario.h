// scenario.h: everything about one run that is drawn from its seed before it begins.
#pragma once

#include "sim/node.h"
#include "sim/sim_random.h"
#include "sim/workload.h"

namespace kayak::sim {

// How likely each kind of trouble is, relative to the others.
struct Troubles {
  int crash_one = 0;
  int crash_leader = 0;
  int power_loss = 0;  // of all at once
  int isolate = 0;
  int split = 0;
  int one_way = 0;  // links that carry messages in one direction only
  int pause = 0;
  int suspend = 0;  // a leader's machine stands still, its clock with it, and wakes up cut off
  int clock = 0;    // jumps and rates
  int disk_stall = 0;
  int disk_error = 0;
  int transfer = 0;
  int membership = 0;
  int weather = 0;   // loss, delay, duplicates
  int old_disk = 0;  // a member comes back with a disk of before
};

enum class WorldKind : std::uint8_t {
  kRegisters,  // a toy: registers, judged by a search for an order
  kKeyValues,  // the real key-value layer, its rows in memory
  kDatabases,  // the same over real databases on files
};
const char* text(WorldKind kind);

struct Scenario {
  std::uint64_t seed = 0;
  WorldKind kind = WorldKind::kRegisters;
  std::size_t history_bytes = 0;  // of a server's recent events
  std::size_t servers = 3;
  bool witness = false;
  Duration chaos{};             // how long the trouble lasts
  Duration trouble_interval{};  // on average
  Troubles troubles;
  double hunt = 0;   // how likely a leader is to be stopped right after its election
  double rival = 0;  // how likely it is cut off from all but the one that it has offered a state
  double slowest_clock = 1, fastest_clock = 1;
  Duration delay = std::chrono::milliseconds(1);  // of a message, on average
  NodeOptions node;                               // id and witness aside
  bool uneven_logs = false;                       // every second server keeps a long one
  WorkloadOptions workload;

  static Scenario from_seed(std::uint64_t seed);
};

}  // namespace kayak::sim
