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

// A kubeconfig (v1 Config) for `user` at `server_url`.
std::string make_kubeconfig(const std::string& server_url, const std::string& server_ca_pem, const std::string& user,
                            const KeyPair& client);

}  // namespace kayak::cli
