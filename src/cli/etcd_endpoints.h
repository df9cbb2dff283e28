// etcd_endpoints.h: where a server offers etcd's API: to this machine's root on a unix socket, and over TLS where that
// is asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/pki.h"
#include "io/http.h"
#include "io/tls.h"
#include "store/etcd/server.h"
#include "store/members.h"

namespace kayak::cli {

class EtcdEndpoints {
 public:
  // All outlive it. `members`: null on an external etcd.
  EtcdEndpoints(Context context, const ServerOptions& options, store::Store& store, store::Members* members);

  // `advertise`: what stands for any address of --etcd-listen. The server is whole without the socket: not every file
  // system can hold one. Errors: those of the address that was asked for, and of the certificate.
  Result<void> open(const ClusterIdentity& cluster, const ServerKeys& keys, const std::string& advertise);
  // Renewed certificates; connections stay as they are.
  Result<void> show(const ServerKeys& keys);
  // Serves in `scope`.
  void run(io::TaskScope& scope);

 private:
  void serve(std::unique_ptr<io::Listener> listener, io::TlsServer* tls);

  Context context_;
  const ServerOptions& options_;
  store::Store& store_;
  store::Members* members_;
  std::unique_ptr<store::etcd::Server> etcd_;
  std::unique_ptr<io::TlsServer> tls_;
  std::vector<std::unique_ptr<io::HttpServer>> http_;  // on the socket, on TLS
};

}  // namespace kayak::cli
