// server.cc: the services together.
#include "store/etcd/server.h"

#include "store/etcd/service.h"
#include "store/evaluator.h"

namespace kayak::store::etcd {

namespace {

// etcd's default limit of 1.5 MiB for a request and what it allows gRPC on top of it.
constexpr std::size_t kMaxMessageBytes = 2 * 1024 * 1024;

class ServerImpl final : public Server {
 public:
  ServerImpl(Store& store, ServerOptions options) : backend_{store, std::move(options)}, router_(kMaxMessageBytes) {
    add_kv(backend_, &router_);
    add_watch(backend_, &router_);
    add_lease(backend_, &router_);
    add_maintenance(backend_, &router_);
    add_snapshot(backend_, &router_);
    add_cluster(backend_, &router_);
  }
  io::HttpHandler http_handler() override {
    return [this](io::HttpExchange& exchange) { return router_.serve(exchange); };
  }
  void add_for_peers(io::GrpcRouter* router) override {
    // What another server carries here is what its own store takes, of more than etcd's clients may send.
    add_kv(backend_, router, kMaxRequestBytes);
    add_lease(backend_, router);
  }

 private:
  Backend backend_;
  io::GrpcRouter router_;
};

}  // namespace

std::unique_ptr<Server> Server::create(Store& store, ServerOptions options) {
  return std::make_unique<ServerImpl>(store, std::move(options));
}

}  // namespace kayak::store::etcd
