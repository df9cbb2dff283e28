// checker.h: what must hold after every step, checked as the steps come, so that no check looks at everything again.
// Source: the dissertation, figure 3.2 (the five properties) and 3.8.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/sim_disk.h"
#include "sim/violation.h"
#include "store/raft/raft.h"

namespace kayak::sim {

class Checker {
 public:
  using DiskOf = std::function<const DiskContents&(raft::NodeId)>;
  Checker(DiskOf disk_of, const raft::PayloadCodec& payloads) : disk_of_(std::move(disk_of)), payloads_(payloads) {}

  // A node is back with what its disk held: nothing it ever said rests on more than that.
  void started(raft::NodeId node, const raft::Restored& restored);
  // Its disk does not hold any more what it held: the node may be counted with that all the same, and it alone.
  void went_back(raft::NodeId node, DiskContents held);
  // After every step of a node.
  void stepped(const raft::RaftCore& core);
  // A message leaves: what it claims is on the sender's disk, a term has one vote.
  void sends(const raft::Message& message);
  // Log matching: equal index and term, equal logs.
  void appends(const raft::RaftCore& core, const raft::Append& append);
  // State-machine safety: one entry per place, one state after it.
  void applied(raft::NodeId node, const raft::Entry& entry, std::uint64_t digest);
  void installed(raft::NodeId node, raft::LogIndex index, std::uint64_t digest);

  // Of the state after a committed entry that someone has applied.
  std::uint64_t digest_at(raft::LogIndex index) const { return index == 0 ? 0 : committed_[index].digest; }

  std::size_t snapshots() const { return snapshots_; }
  raft::LogIndex commit() const { return committed_.size() - 1; }
  bool is_committed(raft::LogIndex index, raft::Term term) const {
    return index < committed_.size() && committed_[index].term == term;
  }
  // In force after all that is committed.
  const raft::Membership* membership() const { return membership_.get(); }

 private:
  struct Seen {
    raft::Term term;
    raft::Term term_before;
    std::size_t content;  // a hash of what the entry carries
  };
  struct Committed {
    raft::Term term = 0;
    raft::Term by = 0;  // the term of the leader that committed it
    std::uint64_t digest = 0;
    bool digest_known = false;
  };
  struct Known {
    raft::Role role = raft::Role::kFollower;
    raft::Term term = 0;
    raft::LogIndex commit = 0;
    raft::Term said = 0;              // the highest term in its messages
    raft::Term acknowledged_in = 0;   // the last term in which it did
    raft::LogIndex acknowledged = 0;  // the highest entry in that term
  };
  std::size_t content(const raft::Entry& entry) const;
  void became_leader(const raft::RaftCore& core);
  void committed(const raft::RaftCore& core, raft::LogIndex from);
  bool is_durable(const raft::RaftCore& core, raft::LogIndex index, raft::Term term) const;
  void check_digest(raft::NodeId node, raft::LogIndex index, std::uint64_t digest);

  DiskOf disk_of_;
  const raft::PayloadCodec& payloads_;
  std::size_t snapshots_ = 0;
  std::vector<std::vector<Seen>> seen_;  // by index
  std::vector<Committed> committed_{1};  // by index
  raft::MembershipRef membership_;
  std::map<raft::Term, raft::NodeId> leaders_;
  std::map<std::pair<raft::NodeId, raft::Term>, raft::NodeId> votes_;
  std::map<raft::NodeId, DiskContents> held_;  // of those that went back, before
  std::vector<Known> known_;                   // by node
  Known& known(raft::NodeId node) {
    if (known_.size() <= node) known_.resize(node + 1);
    return known_[node];
  }
};

}  // namespace kayak::sim
