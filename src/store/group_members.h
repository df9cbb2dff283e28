// group_members.h: the members of the group as every one of its servers offers them: changes are made by the leader,
// and carried to it by the others; new servers come in by /kayak.Peer/Join. What a change does to log and store is the
// business of `local`, which needs to know only about a leader's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/members.h"
#include "store/peer_change.h"
#include "store/store.h"
#include "store/transport/transport.h"

namespace kayak::store {

struct GroupMembersOptions {
  MemberRecord self;
  std::string cluster;  // its id, 16 hex digits
};

class GroupMembers final : public Members {
 public:
  // All outlive it. Registers its methods at once.
  GroupMembers(Context context, Store& store, Members& local, Transport& transport, GroupMembersOptions options);

  std::vector<Member> members() const override { return local_.members(); }
  Task<Result<void>> add_learner(MemberRecord member, StopToken stop) override;
  Task<Result<void>> add_witness(MemberRecord member, StopToken stop) override;
  Task<Result<void>> promote(raft::NodeId id, StopToken stop) override;
  Task<Result<void>> remove(raft::NodeId id, StopToken stop) override;
  Task<Result<void>> update_addresses(raft::NodeId id, std::vector<std::string> addresses, StopToken stop) override;
  Task<Result<void>> transfer_leadership(raft::NodeId id, StopToken stop) override;

  // The records of all members that have one.
  MemberList list() const;
  // Whether the witness, if there is one, has heard of this member from this leader: before, it would refuse what that
  // says, and not vote for it.
  bool witness_knows(raft::NodeId id) const;
  // Until `stop` fires: keeps this server's own record as `self` says, once it is a member, which is how a name or an
  // address that changed between two starts becomes known; and as the leader tells a witness, which has no log to read
  // it from, who the members are.
  Task<Result<void>> run(StopToken stop);

 private:
  Task<Result<void>> change(PeerChange change, StopToken stop);
  Task<Result<void>> change_here(PeerChange change, StopToken stop);
  Task<Result<void>> join_here(PeerChange join, StopToken stop);
  Task<Result<void>> promote_here(raft::NodeId id, StopToken stop);
  Task<Result<void>> forward(raft::NodeId leader, PeerChange change, StopToken stop);
  Result<void> may_ask(const io::HttpRequest& request, const PeerChange& change) const;
  Task<io::GrpcStatus> serve(io::GrpcCall& call, bool join_only);
  const Member* find(const std::vector<Member>& members, raft::NodeId id) const;
  bool own_record_is_right() const;
  Task<Result<void>> keep_own_record(StopToken stop);
  Task<Result<void>> keep_witness_told(StopToken stop);
  Task<Result<void>> tell(raft::NodeId witness, MemberList list, StopToken stop);

  Context context_;
  Store& store_;
  Members& local_;
  Transport& transport_;
  const GroupMembersOptions options_;
  MemberList vouched(MemberList list);
  MemberList told_;         // what the witness has heard of this leader
  raft::Term told_in_ = 0;  // when it was that
  std::uint64_t told_version_ = 0;
  io::Event changed_;  // there may be something to tell
};

// Members as the transport wants them.
std::vector<PeerInfo> peers_of(const MemberList& list);

}  // namespace kayak::store
