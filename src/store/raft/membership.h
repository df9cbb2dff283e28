// membership.h: how the group changes: one member at a time.
// Any majority of the electors before a change and any majority after it share an elector; that, and not more, is what
// makes a change safe while both memberships are in use. It holds only between neighbours, hence the obligation that
// RaftCore::change_membership keeps: a change is appended only when the one before it is committed, and when an entry
// of the leader's own term is committed (else a leader may not know of the one before it).
// Source: the dissertation, 4.1-4.2; Ongaro, "bug in single-server membership changes" (raft-dev, 2015).
#pragma once

#include "base/result.h"
#include "store/raft/types.h"

namespace kayak::store::raft {

struct MembershipChange {
  enum class Type : std::uint8_t {
    kAddLearner,
    kPromote,     // a learner to a voter
    kAddWitness,  // to a group of two voters
    kRemove,      // whatever it is
  };
  Type type = Type::kAddLearner;
  NodeId node = kNobody;
};

// `before` with one change. Errors: AlreadyExists, NotFound, Invalid (what would make no group: no voter left, a
// witness beside three voters).
Result<Membership> changed(const Membership& before, const MembershipChange& change);

}  // namespace kayak::store::raft
