// group_metrics.h: what the store says of its group on /metrics: under etcd's names where they mean the same, as those
// are what dashboards and alerts look for, and under kayak_store_* for the rest. Of one server. Source: etcd docs,
// "Metrics" (etcd_server_*).
#pragma once

#include "base/metrics.h"
#include "store/raft/raft.h"
#include "store/store.h"

namespace kayak::store {

struct GroupMetrics {
  explicit GroupMetrics(Metrics& metrics);
  void show(const Leadership& before, const Leadership& now);
  // Cheap: for every entry that is applied.
  void show(const raft::RaftCore& core, raft::LogIndex applied_index, std::size_t in_flight);

  Gauge &has_leader, &is_leader, &term, &committed, &applied, &pending, &voters, &learners, &witnesses,
      &election_timeout;
  Counter &leader_changes, &failed, &snapshots;
};

}  // namespace kayak::store
