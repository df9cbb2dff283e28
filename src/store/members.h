// members.h: who is in the group, and how that changes: what the etcd endpoint, `kayak member` and joining servers ask
// of the embedded store. On an external etcd there is none: its members are etcd's own business.
#pragma once

#include <string>
#include <vector>

#include "io/loop.h"
#include "store/member.h"
#include "store/raft/progress.h"
#include "store/raft/types.h"

namespace kayak::store {

struct Member {
  enum class Role : std::uint8_t { kVoter, kLearner, kWitness };
  // Whether a server has what is committed, as the leader sees it: kLevel, it does, or did less than 2 s ago; kBehind,
  // it has lacked something for more than 15 s, or does not answer; kUnclear, in between, or the leader is new.
  enum class Pace : std::uint8_t { kUnclear, kLevel, kBehind };
  raft::NodeId id = raft::kNobody;
  std::string name, key;               // empty while its record is not known here
  std::vector<std::string> addresses;  // likewise
  Role role = Role::kVoter;
  bool answers = false;        // it is this server, or this server leads and has heard from it within 15 s
  Pace pace = Pace::kUnclear;  // of others at a server that leads; of this server kLevel, of a witness nothing
};
// Of a leader's other member.
Member::Pace pace_of(const raft::Progress& progress, raft::LogIndex commit, Instant now);

// Changes may be asked for at any member: they are carried to the leader, and have happened (are committed) when they
// return. One at a time. Errors of all of them: Unavailable (no leader, or it cannot reach a majority), Conflict (a
// change is under way), Cancelled (the outcome is not known), and those of raft::RaftCore::change_membership.
class Members {
 public:
  virtual ~Members() = default;
  // As this server has applied it, by id.
  virtual std::vector<Member> members() const = 0;

  // The record is written, then the member added as what it is: the leader has to reach it at once, as its word may be
  // needed for the next entry. A change that was refused takes the record of a newcomer with it. For one that is a
  // member already (its key is) the record is replaced and nothing else: that is how a changed address becomes known.
  // Errors: Invalid (no record that could stand).
  virtual Task<Result<void>> add_learner(MemberRecord member, StopToken stop = StopToken()) = 0;
  virtual Task<Result<void>> add_witness(MemberRecord member, StopToken stop = StopToken()) = 0;
  // Errors: NotFound, Invalid (no learner), Unavailable (it is not caught up).
  virtual Task<Result<void>> promote(raft::NodeId id, StopToken stop = StopToken()) = 0;
  // Its record goes with it. Errors: NotFound, Invalid (the last voter), Unavailable (too few of the others answer).
  // The leader moves the leadership first when it is to go itself; Conflict when nobody can take it over.
  virtual Task<Result<void>> remove(raft::NodeId id, StopToken stop = StopToken()) = 0;
  // Errors: NotFound, Invalid.
  virtual Task<Result<void>> update_addresses(raft::NodeId id, std::vector<std::string> addresses,
                                              StopToken stop = StopToken()) = 0;
  // Returns when `id` leads. Errors: Invalid (not another voter), Timeout.
  virtual Task<Result<void>> transfer_leadership(raft::NodeId id, StopToken stop = StopToken()) = 0;
};

// Disaster recovery, while no server runs on the database at `path`: appends, in a term above all others in it, the
// membership that has `self` as its only voter, and the removal of the others' records. All other data stays; what the
// other members had committed and this one had not is lost, and its revisions are not given again: they go on
// kSkippedRevisions later, and older ones are compacted. All or nothing, whenever the power goes. `vfs`: as in
// SqliteStoreOptions. Blocking. Errors: NotFound, Unavailable (a server holds it), Corrupt, Io, NoSpace.
Result<void> reset_membership(const std::string& path, raft::NodeId self, const std::string& vfs = std::string());

}  // namespace kayak::store
