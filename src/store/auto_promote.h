// auto_promote.h: when a leader gives a server that has joined its vote: servers started with --server become voters by
// themselves, as k3s' do. Values in, values out.
// Not at the first sight of it: a learner that has caught up for a moment and falls back at once (a slow disk, a bad
// link) would cost the group more than it brings.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "store/raft/raft.h"

namespace kayak::store {

class AutoPromote {
 public:
  static constexpr Duration kSteady = std::chrono::seconds(2);
  // More than five voters cost every write more than the loss of a third server is worth: the others remain learners,
  // and serve reads.
  static constexpr std::size_t kMaxVoters = 5;

  // The learner to promote now, if any. Asked now and then by the leader, for as long as it leads; one change at a time
  // is the core's rule. `keeping_up`: learners that have (nearly) all of the log at this moment, and whom the witness,
  // if there is one, would listen to.
  std::optional<raft::NodeId> next(const raft::Membership& membership, const std::vector<raft::NodeId>& keeping_up,
                                   Instant now);
  void reset() { since_.clear(); }  // leadership went

 private:
  std::map<raft::NodeId, Instant> since_;
};

// The learners of a leader that would pass RaftCore::change_membership, and were heard within an election timeout. In a
// group with a witness only those of whom it has been told.
std::vector<raft::NodeId> learners_keeping_up(const raft::RaftCore& leader, Instant now,
                                              const std::function<bool(raft::NodeId)>& witness_knows);

}  // namespace kayak::store
