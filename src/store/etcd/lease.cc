// lease.cc: etcd's Lease service: grants, revokes, keeping alive over a stream, and what is left of a lease.
// Source: etcd v3.5, v3rpc/lease.go (what an unknown lease is answered).
#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

Task<Result<LeaseGrantResponse>> grant(const Backend& backend, LeaseGrantRequest request, StopToken stop) {
  auto lease = co_await backend.store.lease_grant(request.id, request.ttl, stop);
  if (!lease) co_return lease.error();
  LeaseGrantResponse out;
  out.header = backend.header();
  out.id = lease->id;
  out.ttl = lease->ttl;
  co_return out;
}

Task<Result<LeaseRevokeResponse>> revoke(const Backend& backend, LeaseRevokeRequest request, StopToken stop) {
  auto revision = co_await backend.store.lease_revoke(request.id, stop);
  if (!revision) co_return revision.error();
  LeaseRevokeResponse out;
  out.header = backend.header(*revision);
  co_return out;
}

Task<Result<LeaseTimeToLiveResponse>> time_to_live(const Backend& backend, LeaseTimeToLiveRequest request,
                                                   StopToken stop) {
  auto lease = co_await backend.store.lease_time_to_live(request.id, request.keys, stop);
  if (!lease) co_return lease.error();
  LeaseTimeToLiveResponse out;
  out.header = backend.header();
  out.id = request.id;
  out.ttl = lease->remaining;
  out.granted_ttl = lease->ttl;
  out.keys = std::move(lease->keys);
  co_return out;
}

Task<Result<LeaseLeasesResponse>> leases(const Backend& backend, Empty, StopToken stop) {
  auto ids = co_await backend.store.leases(stop);
  if (!ids) co_return ids.error();
  LeaseLeasesResponse out;
  out.header = backend.header();
  for (const std::int64_t id : *ids) out.leases.push_back(LeaseStatus{id});
  co_return out;
}

Task<Result<void>> keep_one_alive(const Backend& backend, io::GrpcCall& call, std::int64_t id) {
  auto lease = co_await backend.store.lease_keep_alive(id, call.gone());
  if (!lease) co_return lease.error();
  LeaseKeepAliveResponse out;
  out.header = backend.header();
  out.id = id;
  out.ttl = lease->ttl;
  std::string bytes = encode(out);
  co_return co_await call.write(std::move(bytes));
}

// One answer to each request, until the client has no more.
Task<io::GrpcStatus> keep_alive(const Backend& backend, io::GrpcCall& call) {
  Result<void> result = co_await call.open();
  while (result) {
    Result<std::optional<std::string>> bytes = co_await call.read(call.gone());
    if (!bytes && call.gone().stopped()) {
      result = Error(Code::kUnavailable, "the server stops");
    } else if (!bytes) {
      result = bytes.error();
    } else if (!*bytes) {
      co_return io::GrpcStatus();
    } else {
      Result<LeaseKeepAliveRequest> request = decode<LeaseKeepAliveRequest>(**bytes);
      if (!request) {
        result = Error(Code::kInvalid, request.error().message());
      } else {
        result = co_await keep_one_alive(backend, call, request->id);
      }
    }
  }
  co_return status_of(result.error());
}

}  // namespace

void add_lease(const Backend& backend, io::GrpcRouter* router) {
  constexpr std::string_view kService = "etcdserverpb.Lease";
  router->add(kService, "LeaseGrant", unary(backend, grant));
  router->add(kService, "LeaseRevoke", unary(backend, revoke));
  router->add(kService, "LeaseKeepAlive", [&backend](io::GrpcCall& call) { return keep_alive(backend, call); });
  router->add(kService, "LeaseTimeToLive", unary(backend, time_to_live));
  router->add(kService, "LeaseLeases", unary(backend, leases));
}

}  // namespace kayak::store::etcd
