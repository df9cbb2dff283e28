// pki.h: the keys to the door: one CA per purpose, the certificates of this server, the kubeconfigs.
// Owns the folder <data-dir>/server/tls. A certificate of one purpose is refused for all others, as each purpose has a
// CA of its own; the service-account key is separate.
// Source: Kubernetes docs, "PKI certificates and requirements"; design, "Security".
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"

namespace kayak::cli {

struct KeyPair {
  std::string certificate_pem, key_pem;
};

struct ServerKeys {
  KeyPair server_ca, client_ca, front_proxy_ca, peer_ca, etcd_client_ca;
  std::string service_account_key_pem;
  KeyPair serving;                   // of server_ca
  KeyPair admin;                     // of client_ca: CN kayak-admin, O kayak:cluster-admins
  KeyPair recovery;                  // of client_ca: CN kayak-recovery, O system:masters
  KeyPair etcd_server, etcd_client;  // of etcd_client_ca: for --etcd-listen, and for who connects there
  KeyPair peer;  // of peer_ca: CN kayak-peer; its key is this server's identity in the group, and stays
};

struct ServerKeyOptions {
  std::string tls_dir;                    // made with mode 0700
  std::vector<std::string> dns_names;     // for the serving certificate, beside the fixed ones
  std::vector<std::string> ip_addresses;  // likewise
};

// Reads what is there, makes what is missing, renews leaf certificates that are past two thirds of their life or do not
// cover the names asked for. An existing CA is never replaced: a damaged one is an error that names the file.
// Blocking (hundreds of milliseconds the first time, an RSA key): call on the pool. Errors: Io, NoSpace, Corrupt.
Result<ServerKeys> load_or_make_server_keys(Random& random, WallTime now, const ServerKeyOptions& options);

// The same of the leaf certificates alone, under the CAs that `keys` has: for a server that runs, which never looks for
// new CAs. Blocking, a millisecond when nothing is due. Errors: Io, NoSpace, Corrupt (the peer's key).
Result<void> renew_leaves(Random& random, WallTime now, const ServerKeyOptions& options, ServerKeys* keys);

// A certificate of a peer that keeps its key to itself (`public_key`: DER SubjectPublicKeyInfo of P-256); for as long
// as a CA lives, as a witness has nobody to renew it. Errors: Invalid (another kind of key).
Result<std::string> issue_witness_certificate(Random& random, WallTime now, const KeyPair& peer_ca,
                                              std::string_view public_key);
// The key of <tls_dir>/peer.key, made when there is none. Errors: Corrupt, Io, NoSpace.
Result<std::string> load_or_make_peer_key(Random& random, const std::string& tls_dir);

// A kubeconfig (v1 Config) for `user` at `server_url`.
std::string make_kubeconfig(const std::string& server_url, const std::string& server_ca_pem, const std::string& user,
                            const KeyPair& client);

}  // namespace kayak::cli
