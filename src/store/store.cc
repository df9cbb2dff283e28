// store.cc: what a Store does that knows neither leases nor others.
#include "store/store.h"

namespace kayak::store {

namespace {
Error no_leases() { return Error(Code::kMethodNotAllowed, "this store has no leases"); }
}  // namespace

Task<Result<Lease>> Store::lease_grant(std::int64_t, std::int64_t, StopToken) { co_return no_leases(); }
Task<Result<Revision>> Store::lease_revoke(std::int64_t, StopToken) { co_return no_leases(); }
Task<Result<Lease>> Store::lease_keep_alive(std::int64_t, StopToken) { co_return no_leases(); }
Task<Result<Lease>> Store::lease_time_to_live(std::int64_t, bool, StopToken) { co_return no_leases(); }
Task<Result<std::vector<std::int64_t>>> Store::leases(StopToken) { co_return no_leases(); }

Task<Result<Revision>> Store::current_revision(StopToken) { co_return revision(); }

Leadership Store::leadership() const {
  Leadership always;
  always.leads = true;
  return always;
}

Task<bool> Store::leadership_changed(Leadership, StopToken stop) {
  io::Event never;
  co_return co_await never.wait(std::move(stop));
}

Result<void> Store::healthy() const {
  const Leadership now = leadership();
  if (now.leads || now.leader != 0) return Result<void>();
  return Error(Code::kUnavailable, "no server leads the cluster: a majority of its members does not answer");
}

Task<Result<void>> Store::defragment(StopToken) {
  co_return Error(Code::kMethodNotAllowed, "the members of an existing etcd are defragmented there: etcdctl defrag");
}

Result<std::unique_ptr<StateStream>> Store::snapshot() {
  return Error(Code::kMethodNotAllowed,
               "what is kept in an existing etcd is saved with etcd's tools: etcdctl snapshot save");
}

}  // namespace kayak::store
