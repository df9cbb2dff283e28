// client_kv.h: a store's calls over one HTTP/2 connection to a server of etcd's API: KV, Lease, Maintenance.
// Whoever holds the connection decides what to do when it ends: endpoints and retries are client_links.h. A server that
// forwards writes to its leader uses it as it is, as the leader serves the same API.
// Source: etcd v3.5 API (rpc.proto); metadata "hasleader" of its v3rpc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/grpc.h"
#include "store/etcd/messages.h"
#include "store/store.h"

namespace kayak::store::etcd {

// What became of a call.
enum class Fate : std::uint8_t {
  kAnswered,  // the server did it, or says that it will not
  kNotBegun,  // surely nothing was done: another server may be asked
  kUnknown,   // it may have been done, or may be done yet
};

template <typename T>
struct Outcome {
  Result<T> result;  // an error has the code that a store here would give
  Fate fate = Fate::kAnswered;
  bool late = false;  // there was no answer in time
};

// What a linearizable read says of the cluster that answers it.
struct Standing {
  std::uint64_t cluster = 0;  // its id
  Revision revision = 0;
};

struct EtcdKvOptions {
  std::string scheme = "http";
  std::string authority = "localhost";
  io::Headers metadata;                         // of every call
  Duration timeout = std::chrono::seconds(10);  // of one call; a server of etcd gives up by itself after about 7
};

class EtcdKv {
 public:
  // `client` outlives it and its calls.
  EtcdKv(io::Http2Client& client, EtcdKvOptions options) : client_(client), options_(std::move(options)) {}

  // Errors as of a range: a member that has no leader cannot say.
  Task<Outcome<Standing>> standing(StopToken stop = StopToken()) const;
  Task<Outcome<store::RangeResponse>> range(store::RangeRequest request, StopToken stop = StopToken()) const;
  Task<Outcome<store::TxnResponse>> txn(store::TxnRequest request, StopToken stop = StopToken()) const;
  // The server's revision.
  Task<Outcome<Revision>> compact(Revision revision, StopToken stop = StopToken()) const;
  Task<Outcome<Lease>> lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop = StopToken()) const;
  Task<Outcome<Revision>> lease_revoke(std::int64_t id, StopToken stop = StopToken()) const;
  Task<Outcome<Lease>> lease_keep_alive(std::int64_t id, StopToken stop = StopToken()) const;
  Task<Outcome<Lease>> lease_time_to_live(std::int64_t id, bool keys, StopToken stop = StopToken()) const;
  Task<Outcome<std::vector<std::int64_t>>> leases(StopToken stop = StopToken()) const;
  // Of the member at the other end. Needs no leader.
  Task<Outcome<StatusResponse>> status(StopToken stop = StopToken()) const;
  // Opens the Watch stream, without a limit in time. Errors: as of io::GrpcClientCall.
  Task<Result<std::unique_ptr<io::GrpcClientCall>>> open_watch(StopToken stop = StopToken()) const;

 private:
  io::GrpcRequest request_for(std::string_view method) const;
  Task<Outcome<std::string>> unary(std::string_view method, std::string message, StopToken stop) const;
  template <typename A, typename Q>
  Task<Outcome<A>> call(std::string_view method, Q request, StopToken stop) const;

  io::Http2Client& client_;
  EtcdKvOptions options_;
};

// The answer of a Watch stream, or why it cannot be read.
Result<WatchResponse> decode_watch_response(std::string_view message);
// The events as a store has them: values are never null but in deletions.
WatchEvent to_store_event(WatchEvent event);

}  // namespace kayak::store::etcd
