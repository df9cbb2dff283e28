// rejoin.h: a server of a group whose database is damaged or gone comes back by itself, as another member: it must not
// go on under an id that has voted and acknowledged what it no longer knows.
// The mark <data-dir>/server/db/replaces holds the id that is given up. It is written first; then the database is set
// aside; then the peer key goes. So a start finds the mark with the key of that id (the steps are done again), or with
// another key or none (it joins, in the old one's stead), until members.json has the new id in it. When the new one's
// database is damaged or gone before that, its id joins the first in the mark: which of them the group knows is not
// known here.
#pragma once

#include <string>
#include <vector>

#include "cli/join.h"

namespace kayak::cli {

// Whether others have what this server had: another server that is no witness is in its list.
bool has_peers(const LocalState& state);
// A key that has been in a group, or may have been, and the database that belongs to it is not there.
bool has_lost_store(const LocalState& state, const ServerOptions& options);

// Blocking. Afterwards this server has no database (what was there is at state.db.damaged-<seconds since 1970>; an
// earlier one is removed) and no peer key. `state` is changed accordingly. Errors: Io, NoSpace.
Result<void> become_another(LocalState* state, const std::string& server_dir, WallTime now);
// Blocking. The new member is one: the mark goes. Errors: Io.
Result<void> forget_replaced(const std::string& server_dir);
// Empty: there is no mark. Blocking. Errors: Corrupt, Io.
Result<std::vector<store::raft::NodeId>> read_replaced(const std::string& server_dir);

// How it joins the group that it knows, without asking anyone for keys.
JoinOutcome rejoin(const LocalState& state, const std::string& token);

}  // namespace kayak::cli
