// announce.h: how a server that is no member yet, or that the others would look for in vain, reaches its group: by
// calls to /kayak.Peer/Join, which group_members.h answers.
#pragma once

#include <string>
#include <vector>

#include "io/loop.h"
#include "store/member.h"

namespace kayak::store {

struct Announcement {
  MemberRecord self;
  std::vector<raft::NodeId> replaces;  // as PeerChange::replaces
  bool returns = false;                // as PeerChange::returns
  std::string cluster;                 // its id
  std::vector<std::string> addresses;  // host:port of servers that may be in it, tried in turn
  std::string certificate_pem, key_pem, ca_pem;
};
// Asks to be taken in until that has happened; the group as it is then. Whoever answers with a refusal is asked again,
// too, as a person may do something about it: the log says what, once. Errors: Cancelled.
Task<Result<MemberList>> announce(Context context, Announcement announcement, StopToken stop);
// The same, once: each address is asked until one says yes, or that this server was removed. Errors: Forbidden
// (removed; `*said_by` is the address that said so), Unavailable (nobody could say), Cancelled.
Task<Result<MemberList>> ask_whether_removed(Context context, Announcement announcement, std::string* said_by,
                                             StopToken stop);
// How long it waits before it asks again: 2 s; twice as long as `before`, up to 16 s, when it was refused as before.
Duration announce_pause(Duration before, bool refused_again);

}  // namespace kayak::store
