// cluster.h: who this server is among others, made of its keys and its options.
#pragma once

#include <string>

#include "cli/options.h"
#include "cli/pki.h"
#include "cli/token.h"
#include "store/announce.h"
#include "store/member.h"

namespace kayak::cli {

struct Addresses {
  std::string node;       // this node's
  std::string advertise;  // told to the cluster
  std::string local;      // where a kubeconfig on this machine connects
};
bool is_loopback(const std::string& ip);
Addresses choose_addresses(const ServerOptions& options);

struct ClusterIdentity {
  std::string cluster;         // store::cluster_id
  Token token;                 // whole, as it stands in <data-dir>/server/token
  bool token_changed = false;  // another stood there before
  store::MemberRecord self;
};
// `advertise`: the address that is told to others when no --peer-address is. Blocking. Errors: those of keep_token,
// Invalid (a name or an address that no member can have).
Result<ClusterIdentity> identify(Random& random, const ServerOptions& options, const ServerKeys& keys,
                                 const std::string& advertise, const std::string& given_token);

// The record of the member that has `peer_certificate_pem`. Errors: Invalid.
Result<store::MemberRecord> member_of(const ServerOptions& options, const std::string& peer_certificate_pem,
                                      const std::string& advertise, store::MemberRecord::Role role);

// What `self` says to the group that it knows as `known`: who it is, and where somebody of the group may answer.
// `server`: of --server; empty: none. The certificate, and whom it replaces, are left to the caller.
store::Announcement announcement_of(const store::MemberRecord& self, const store::MemberList& known,
                                    const std::string& server);

// `kayak server --cluster-reset`: no server runs on the data directory. The exit status.
int run_cluster_reset(const ServerOptions& options);

// `kayak server --witness` (witness.cc), until SIGTERM or SIGINT. The exit status.
int run_witness(const ServerOptions& options);

}  // namespace kayak::cli
