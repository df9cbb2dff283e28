// service.h: what the services of etcd's API share: the store, headers, errors, unary calls. Inside this folder only.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "io/grpc_server.h"
#include "store/etcd/messages.h"
#include "store/etcd/server.h"
#include "store/etcd/status.h"

namespace kayak::store::etcd {

struct Backend {
  Store& store;
  ServerOptions options;
  ResponseHeader header(Revision revision) const {
    return ResponseHeader{options.cluster_id, options.member_id, revision, store.leadership().term};
  }
  ResponseHeader header() const { return header(store.revision()); }
};

template <typename Q, typename A>
using Unary = Task<Result<A>> (*)(const Backend& backend, Q request, StopToken stop);

template <typename Q, typename A>
Task<io::GrpcStatus> answer_unary(const Backend& backend, Unary<Q, A> handler, io::GrpcCall& call) {
  const StopToken gone = call.gone();
  Result<std::optional<std::string>> bytes = co_await call.read(gone);
  if (!bytes) co_return status_of(bytes.error());
  if (!*bytes) co_return io::GrpcStatus{io::GrpcStatus::Code::kInternal, "the request has no message"};
  Result<Q> request = decode<Q>(**bytes);
  if (!request) co_return io::GrpcStatus{io::GrpcStatus::Code::kInvalidArgument, request.error().message()};
  Result<A> answer = co_await handler(backend, std::move(*request), gone);
  if (!answer) co_return status_of(answer.error());
  call.answer(encode(*answer));
  co_return io::GrpcStatus();
}

template <typename Q, typename A>
io::GrpcMethod unary(const Backend& backend, Unary<Q, A> handler) {
  return [&backend, handler](io::GrpcCall& call) { return answer_unary(backend, handler, call); };
}

// `max_message_bytes`: of a request; 0: the router's.
void add_kv(const Backend& backend, io::GrpcRouter* router, std::size_t max_message_bytes = 0);
void add_watch(const Backend& backend, io::GrpcRouter* router);
void add_lease(const Backend& backend, io::GrpcRouter* router);
void add_maintenance(const Backend& backend, io::GrpcRouter* router);
void add_snapshot(const Backend& backend, io::GrpcRouter* router);
void add_cluster(const Backend& backend, io::GrpcRouter* router);

}  // namespace kayak::store::etcd
