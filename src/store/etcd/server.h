// server.h: etcd's v3 API over a Store, for etcdctl and other clients of etcd: KV, Watch, Lease, Maintenance (Status,
// HashKV, Defragment, Alarm, Snapshot, MoveLeader), Cluster. A front door beside store.h.
// Values are what the store holds. Who may connect is decided by whoever serves the handler.
// Not there: Auth; it is answered with Unimplemented.
// Source: etcd v3.5 API; its codes and messages (api/v3rpc/rpctypes).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/grpc_server.h"
#include "io/http.h"
#include "store/members.h"
#include "store/store.h"

namespace kayak::store::etcd {

struct ServerOptions {
  std::string name;                      // of this member
  std::vector<std::string> client_urls;  // as told to clients: "unix:///run/etcd.sock"
  std::uint64_t cluster_id = 1, member_id = 1;
  // Keys below it cannot be written, nor deleted with a range that holds some of them: PermissionDenied. "": none.
  std::string protected_prefix;
  // Who is in the group; outlives the Server. Null (an external etcd's): the list is this server alone, and all that
  // would change it is refused.
  Members* members = nullptr;
};

class Server {
 public:
  // `store` outlives it.
  static std::unique_ptr<Server> create(Store& store, ServerOptions options);
  virtual ~Server() = default;
  // For an HttpServer with io::grpc_limits(). The Server outlives its calls.
  virtual io::HttpHandler http_handler() = 0;
  // The services by which a server that does not lead has its clients' writes made, for another router: keys and
  // leases.
  virtual void add_for_peers(io::GrpcRouter* router) = 0;
};

}  // namespace kayak::store::etcd
