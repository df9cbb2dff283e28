// peer_change.h: what one server asks another about who is in the group, as bytes. Values in, values out.
//   /kayak.Peer/Join    PeerChange, of verb kJoin alone; open to everyone with a certificate of the peer CA
//   /kayak.Peer/Change  PeerChange; for members
//   /kayak.Peer/Members PeerChanged, from the leader to a witness
// All are answered with a PeerChanged. In protobuf's encoding, so that a later version may add fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/member.h"

namespace kayak::store {

constexpr Duration kPeerChangeTimeout = std::chrono::seconds(20);  // longer than an election and a commit may take
constexpr std::string_view kJoinMethod = "/kayak.Peer/Join", kChangeMethod = "/kayak.Peer/Change",
                           kMembersMethod = "/kayak.Peer/Members";

struct PeerChange {
  // On the wire: never renumber.
  enum class Verb : std::uint8_t { kJoin = 1, kPromote = 2, kRemove = 3, kAddresses = 4, kLead = 5 };
  Verb verb = Verb::kJoin;
  raft::NodeId id = raft::kNobody;     // all but kJoin
  std::optional<MemberRecord> member;  // kJoin: who; one that is a member already says where it is now
  bool returns = false;                // kJoin: it was a member; when it is none any more it is not taken in again
  std::vector<raft::NodeId>
      replaces;  // kJoin: who it was before it lost its disk, once or more often; that member goes
  std::vector<std::string> addresses;  // kAddresses
  bool forwarded = false;              // by a member that does not lead: not to be sent on once more
  bool operator==(const PeerChange&) const = default;
};
std::string encode_peer_change(const PeerChange& change);
Result<PeerChange> decode_peer_change(std::string_view bytes);  // Errors: BadRequest

struct PeerChanged {
  // Unavailable, Conflict, Invalid, NotFound, AlreadyExists, Forbidden, Timeout; else Internal.
  std::optional<Error> error;
  MemberList members;  // when there is none
};
std::string encode_peer_changed(const PeerChanged& answer);
Result<PeerChanged> decode_peer_changed(std::string_view bytes);  // Errors: BadRequest
// What came of a call: the members, or why the change was not made. Errors: the call's, BadRequest, the PeerChanged's.
Result<MemberList> members_after(const Result<std::string>& answer);

}  // namespace kayak::store
