// peers.h: this server among the others of its group: the transport, who the members are, joining, and members.json.
// Made before the store, which sends through it; attached to the store when that is open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/cluster.h"
#include "cli/join.h"
#include "cli/pki.h"
#include "io/http.h"
#include "io/tls.h"
#include "store/embedded.h"
#include "store/etcd/server.h"
#include "store/group_members.h"

namespace kayak::cli {

class Peers {
 public:
  struct Options {
    ClusterIdentity cluster;
    KeyPair peer;
    std::string peer_ca_pem;
    std::string members_path;  // of members.json
    std::string server;        // --server: one more address of the group
    JoinOutcome join;
  };
  Peers(Context context, Options options);

  store::Transport& transport() { return *transport_; }
  // For EmbeddedOptions::members_changed.
  void members_changed(const std::vector<store::MemberRecord>& members);
  // The store is open; it outlives what runs here.
  void attach(store::EmbeddedStore& store);
  // After attach().
  store::Members& members() { return *members_; }
  std::vector<store::MemberRecord> known() const;
  // For EmbeddedOptions::witness_knows.
  bool witness_knows(store::raft::NodeId member) const { return members_ && members_->witness_knows(member); }

  // Serves the peers' realm of the API port.
  Result<void> serve(io::TlsServer& tls, io::HttpServer& http);
  // This server shows another certificate for its key, to whoever comes or is gone to from now on. Errors: Invalid.
  Result<void> replace_certificate(const KeyPair& peer, io::TlsServer& tls);
  // Until `stop` fires.
  Task<Result<void>> run(StopToken stop);

 private:
  void set_peers(const std::vector<store::MemberRecord>& members);
  bool is_unknown() const;
  store::Announcement announcement() const;
  bool may_be_out() const;
  void hear_leader();
  void told_removed(std::string_view said_by);
  Task<Result<void>> watch_place(StopToken stop);
  Task<Result<void>> join(StopToken stop);
  Task<void> expect_leader(StopToken stop);
  Task<Result<void>> keep_file(StopToken stop);

  Context context_;
  Options options_;
  std::unique_ptr<store::Transport> transport_;
  std::unique_ptr<store::etcd::Server> services_;  // what other servers ask of this one's store
  std::unique_ptr<store::GroupMembers> members_;
  store::EmbeddedStore* store_ = nullptr;
  store::MemberList list_;  // as the store has it, or as it was told before that
  store::MemberList kept_;  // what the file is to hold, and what it does
  store::MemberList written_;
  Instant heard_;           // when a leader last sent something
  bool spoken_to_ = false;  // one has, since the start
  io::Event refused_;       // one said that this server is no member
  bool removed_ = false;    // it was told so, and has heard of nobody since
  io::Event list_changed_, has_others_;
};

}  // namespace kayak::cli
