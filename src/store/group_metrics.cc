// group_metrics.cc: see group_metrics.h.
#include "store/group_metrics.h"

namespace kayak::store {

namespace {
Gauge& members(Metrics& metrics, const char* role) {
  return metrics.gauge("kayak_store_members", "Members of the group, as this server knows it.", {{"role", role}});
}
}  // namespace

GroupMetrics::GroupMetrics(Metrics& metrics)
    : has_leader(metrics.gauge("etcd_server_has_leader", "Whether this server knows a leader: 1, or 0.")),
      is_leader(metrics.gauge("etcd_server_is_leader", "Whether this server leads: 1, or 0.")),
      term(metrics.gauge("kayak_store_term", "Raft's term.")),
      committed(metrics.gauge("etcd_server_proposals_committed_total", "Index of the last entry that is committed.")),
      applied(metrics.gauge("etcd_server_proposals_applied_total", "Index of the last entry that is applied.")),
      pending(metrics.gauge("etcd_server_proposals_pending", "Entries of this leader that are not committed yet.")),
      voters(members(metrics, "voter")),
      learners(members(metrics, "learner")),
      witnesses(members(metrics, "witness")),
      election_timeout(metrics.gauge("kayak_store_election_timeout_seconds",
                                     "How long this server waits, at least, for a leader that is silent: longer for a "
                                     "while when its disk was slow.")),
      leader_changes(
          metrics.counter("etcd_server_leader_changes_seen_total", "Leaders that this server has seen come.")),
      failed(metrics.counter("etcd_server_proposals_failed_total",
                             "Entries that this server proposed and that failed, or whose outcome it did not learn.")),
      snapshots(metrics.counter("kayak_store_snapshot_sends_total", "States that were sent to members far behind.")) {}

void GroupMetrics::show(const Leadership& before, const Leadership& now) {
  has_leader.set(now.leads || now.leader != 0 ? 1 : 0);
  is_leader.set(now.leads ? 1 : 0);
  term.set(static_cast<double>(now.term));
  if (now.leader != 0 && now.leader != before.leader) leader_changes.add();
}

void GroupMetrics::show(const raft::RaftCore& core, raft::LogIndex applied_index, std::size_t in_flight) {
  const raft::Membership& group = core.membership();
  voters.set(static_cast<double>(group.voters.size()));
  learners.set(static_cast<double>(group.learners.size()));
  witnesses.set(group.witness == raft::kNobody ? 0 : 1);
  committed.set(static_cast<double>(core.commit()));
  applied.set(static_cast<double>(applied_index));
  pending.set(static_cast<double>(in_flight));
  election_timeout.set(std::chrono::duration<double>(core.election_timeout()).count());
}

}  // namespace kayak::store
