// support_group.h: a group of embedded stores in one process and on one loop: each with a database, a disk and a port
// of its own, which tests kill, cut off from each other and start again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/embedded.h"
#include "store/etcd/server.h"
#include "store/group_members.h"
#include "store/support_transport.h"
#include "store/support_vfs.h"
#include "store/witness_node.h"

namespace kayak::store::test {

class Group;

// Between two members nothing passes in a direction that is cut: neither messages nor new calls.
class Cuts {
 public:
  void cut(raft::NodeId from, raft::NodeId to) { cut_.insert({from, to}); }
  void heal() { cut_.clear(); }
  // How often each member has said that it could not fetch a state.
  std::map<raft::NodeId, int> failed_fetches;
  bool is_cut(raft::NodeId from, raft::NodeId to) const { return cut_.count({from, to}) > 0; }

 private:
  std::set<std::pair<raft::NodeId, raft::NodeId>> cut_;
};

// One server from its start to its end. What it asks of others goes through the group's cuts.
class ServerLife;

class GroupServer {
 public:
  GroupServer(Group& group, std::string name);
  ~GroupServer();
  // Opens what is in the folder, or makes a database: one that waits to be taken in when it `joins`.
  Result<void> start(bool joins = false);
  // kill -9: the files are as they were at this moment; nothing that happens to the old life afterwards counts.
  void crash();
  void close();
  bool is_up() const { return life_ != nullptr; }

  EmbeddedStore& store();
  Members& members();
  Transport& transport();
  TestDisk& disk() { return *disk_; }
  const std::string& path() const { return path_; }  // of the database
  MemberRecord record() const;
  raft::NodeId id() const { return identity.id; }
  // Calls that are made here end with this: whoever asked is gone together with the server.
  StopToken alive() const;
  bool leads() const;

  // Each waited for.
  Result<Revision> put(const std::string& key, const std::string& value, std::int64_t lease = 0);
  Result<std::string> get(const std::string& key, bool serializable = false);  // "(none)" without it
  Result<TxnResponse> txn(TxnRequest request);

  const std::string name;
  PeerIdentity identity;
  Metrics metrics;  // of its store
  std::vector<Error> fatal;
  std::size_t history_bytes = 8 * 1024 * 1024;
  std::size_t wal_bytes = 4 * 1024 * 1024;

 private:
  Group& group_;
  std::uint16_t port_ = 0;
  int lives_ = 0;
  std::unique_ptr<TempFolder> folder_;
  std::string path_;
  std::unique_ptr<TestDisk> disk_;
  std::unique_ptr<ServerLife> life_;
};

// Votes and holds no data.
class GroupWitness {
 public:
  explicit GroupWitness(Group& group);
  ~GroupWitness();
  void start();  // as its file says
  void stop();
  MemberRecord record() const;
  raft::NodeId id() const { return identity.id; }
  const PeerIdentity identity;

 private:
  friend class Group;
  Group& group_;
  TempFolder folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<WitnessNode> node_;
  std::unique_ptr<PeerServer> server_;
  std::unique_ptr<io::TaskScope> scope_;
};

class Group {
 public:
  explicit Group(Duration election_timeout = std::chrono::milliseconds(200));
  ~Group();
  // Of those that were added and as many more as are missing: one begins, the others join it and are given votes.
  void make(std::size_t servers);
  GroupServer& add();  // not started
  GroupServer& at(std::size_t i) { return *servers[i]; }
  // It starts, joins and is given its vote.
  void join(GroupServer& server);
  // Takes it in as a learner, by any server that is up.
  Result<void> take_in(const MemberRecord& member);
  static bool votes(GroupServer& server);  // as it knows itself
  // Who leads and is followed by a majority; waits for it.
  GroupServer& leader();
  GroupServer* leader_now();
  // A server that is up and does not lead.
  GroupServer& follower();
  // No message passes between the members of `some` and all others.
  void isolate(const std::vector<raft::NodeId>& some);
  void heal() { cuts.heal(); }
  bool eventually(const std::function<bool()>& condition);
  // Everybody who is up has the newest revision; the state and what has happened since `from` are then the same at all
  // of them, or the text says where they differ.
  std::string differences(Revision from = 0);
  // Everything in the store of `server` as it has it, with revisions and leases.
  std::string state(GroupServer& server);
  // The members' addresses as they are now, for whoever has none yet.
  std::vector<PeerInfo> everyone() const;

  Harness harness;
  Context context;
  PeerCa ca;
  Cuts cuts;
  const Duration election_timeout;
  TransportTimes times = quick_times();  // of servers that start from now on
  std::vector<std::unique_ptr<GroupServer>> servers;
  std::unique_ptr<GroupWitness> witness;

 private:
  friend class GroupServer;
  void bury(std::unique_ptr<ServerLife> life);
  std::vector<std::unique_ptr<ServerLife>> dead_;  // which still end
};

// Writes `keys` keys of `bytes` each three times and gives the old ones up, so that who is down cannot get them as
// entries.
void leave_behind(Group& group, GroupServer& leader, int keys, std::size_t bytes = 20);

// What a watch of everything from `from` says until it has seen `to`, a line for each revision; or its error.
std::string events(Group& group, EmbeddedStore& store, Revision from, Revision to);

}  // namespace kayak::store::test
