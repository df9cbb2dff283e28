// schedule_one.h: chooses a node for one pod, or says why there is none. Pure but for the choice among equals.
// Source: kube-scheduler schedulePod (filter a share of the nodes, score them, choose the best) and FitError.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "sched/plugins.h"

namespace kayak::sched {

struct Diagnosis {
  std::size_t nodes = 0;
  std::map<std::string, int> reasons;   // how many nodes gave each
  std::string before_filters;           // a reason that holds for all nodes alike; empty: none
  std::uint16_t cured_by = 0;           // mask of Change
  std::vector<std::string> resolvable;  // nodes where removing pods could help
  // "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
  std::string message() const;
};

struct Decision {
  std::string node;  // empty: none fits
  Diagnosis why_not;
};

// Where the next search starts, so that all nodes get their turn when only a share is looked at.
struct Cursor {
  std::size_t next = 0;
};

Decision schedule_one(const Snapshot& snapshot, const PodInfo& pod, Cursor& cursor, Random& random);

// How many fitting nodes are enough to choose from.
std::size_t enough_nodes(std::size_t all);

}  // namespace kayak::sched
