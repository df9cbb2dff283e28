// endpoint.h: connections of a load to one server of etcd's API, ours or etcd itself: the same client for both.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/http2_client.h"
#include "io/loop.h"
#include "store/etcd/client_kv.h"

namespace kayak::bench {

class Endpoint {
 public:
  // `targets`: "unix:///path" or "http://host:port", several of them with commas between: the one that leads is used.
  // Errors: Unavailable (none leads), those of connecting.
  static Task<Result<std::unique_ptr<Endpoint>>> open(Context context, std::string targets, std::size_t connections);
  const store::etcd::EtcdKv& kv(std::size_t client) const { return connections_[client % connections_.size()]->kv; }
  // Calls under way end with it.
  Task<void> close();

 private:
  struct Connection {
    explicit Connection(std::unique_ptr<io::Http2Client> c) : client(std::move(c)), kv(*client, {}) {}
    std::unique_ptr<io::Http2Client> client;
    store::etcd::EtcdKv kv;
  };
  explicit Endpoint(Context context) : context_(std::move(context)) {}
  Task<Result<void>> connect(std::string target);
  Task<Result<bool>> leads() const;

  Context context_;
  std::vector<std::unique_ptr<Connection>> connections_;
  io::TaskScope scope_;
};

}  // namespace kayak::bench
