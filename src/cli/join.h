// join.h: what a start has to do about the cluster it belongs to, or is to join, before keys are made and the store is
// opened.
// The mark of a join that has begun is <data-dir>/server/db/members.json without this server in it: written before the
// first key, replaced by the store when this server is a member. So a join that broke off at any point is gone on with
// when --server is there, and refused when it is not: nobody begins a cluster of its own with another one's keys.
// A server that was a member and has lost its database joins again, as another one: rejoin.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/join_messages.h"
#include "cli/options.h"
#include "cli/token.h"
#include "io/loop.h"
#include "store/member.h"

namespace kayak::cli {

struct JoinOutcome {
  bool joining = false;     // this server is no member yet: its store begins empty, and the members below are asked
  store::MemberList peers;  // of the cluster, as members.json has it, or the one that is being joined says
  std::string token;        // as given, of --token or the file; empty: none
  // Who this server was before its database was lost: that member goes when this one comes (rejoin.h).
  std::vector<store::raft::NodeId> replaces;
};

// What there is of a cluster in <data-dir>/server.
struct LocalState {
  bool has_store = false;
  std::string server_ca_pem;                        // empty: there is none
  std::optional<store::MemberList> peers;           // members.json
  store::raft::NodeId self = store::raft::kNobody;  // of the peer key; nobody: there is none
  std::vector<store::raft::NodeId> replaced;        // the mark of rejoin.h; empty: there is none
  bool gave_up(store::raft::NodeId id) const;       // is among them
  // A join has begun and this server is no member yet.
  bool joining() const;
};
// Blocking. Errors: Corrupt, Io.
Result<LocalState> look_at(Random& random, const std::string& server_dir);

// What to do, by what there is: whether the keys are to be asked for. Errors: Conflict (it would mix two clusters),
// Invalid (--server without a token).
Result<bool> must_join(const LocalState& state, const ServerOptions& options, const std::string& token);

// The same for a server whose data live in an etcd cluster: such servers share their keys and have no members.
// Errors: as of must_join().
Result<bool> must_share(const LocalState& state, const ServerOptions& options, const std::string& token);

// Writes what a cluster gave to this server. What is there already has to be the same. Blocking.
// Errors: Conflict (there are other keys), BadRequest (certificates and keys do not fit), Io, NoSpace.
Result<void> store_bundle(Random& random, const std::string& server_dir, const JoinBundle& bundle);

// The whole of it; asks again, for as long as it takes, when nobody answers. The folders server and server/db exist.
Task<Result<JoinOutcome>> join_cluster(Context context, const ServerOptions& options, StopToken stop);

// --token, or what is in --token-file; empty: neither. Blocking. Errors: those of the file.
Result<std::string> given_token(const ServerOptions& options);

}  // namespace kayak::cli
