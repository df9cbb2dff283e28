// embedded.h: the embedded engine as a member of a group: what the servers' wiring needs beyond store.h.
// Alone it is a group of one; with a transport (transport/transport.h) it finds the others, and writes that are asked
// of it while another server leads are carried there.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "io/http.h"
#include "store/member.h"
#include "store/members.h"
#include "store/store.h"
#include "store/transport/transport.h"

namespace kayak::store {

class LogPayloadCodec;

struct EmbeddedOptions {
  SqliteStoreOptions store;
  Transport* transport = nullptr;  // outlives the store; null: there will never be others
  // The records of all members, whenever they have changed, and once at the start when there are any.
  std::function<void(const std::vector<MemberRecord>&)> members_changed;
  // A server that joins is given its vote by the leader, as soon as it keeps up (auto_promote.h).
  bool auto_promote = true;
  // In a group with a witness: whether that has been told of this member. It listens to nobody else, so a server that
  // gets its vote before could not be elected when the leader is lost. Null: it always has.
  std::function<bool(raft::NodeId member)> witness_knows;
  // Beyond so much on its way to the disk, writers wait before they are evaluated.
  std::size_t in_flight_bytes = 32 * 1024 * 1024;
};

// Members: of a leader's alone; another server answers Unavailable (group_members.h carries changes to it).
class EmbeddedStore : public Store, public Members {
 public:
  // Transport's events.
  virtual void receive(raft::Message message) = 0;
  virtual void peer_unreachable(raft::NodeId node) = 0;
  // The group says that this server is no member of it any more: it stops asking for votes, and says so when it is
  // asked whether it is healthy, until a leader speaks to it after all.
  virtual void stand_aside() = 0;
  // This server's store as other servers may use it: what has to be done by a leader is refused when this one does not
  // lead, instead of being carried on.
  virtual Store& here() = 0;
  // A leader that is about to stop lets another one begin at once, instead of after a silence: while the others can
  // still answer it. Ends when another one leads, or after 2 s; at once in a group of one.
  virtual Task<void> hand_over() = 0;
};

// As open_sqlite_store().
Task<Result<std::unique_ptr<EmbeddedStore>>> open_embedded_store(Context context, EmbeddedOptions options);

}  // namespace kayak::store
