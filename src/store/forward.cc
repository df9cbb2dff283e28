// forward.cc: the store as other servers use it, so that what is carried to a leader goes no further.
#include "store/forward.h"

namespace kayak::store {

namespace {
constexpr Duration kPatience = std::chrono::seconds(10);
}  // namespace

// etcd's words, which the other side knows to mean that nothing was done.
Error does_not_lead() { return Error(Code::kUnavailable, "no leader"); }

// With a full disk it soon leads no more: whoever asks finds the next one.
Task<Result<void>> SqliteStore::wait_here(StopToken stop) {
  if (!leads_with_space()) co_return does_not_lead();
  co_return co_await wait_for_room(std::move(stop));
}

class SqliteStore::Here final : public Store {
 public:
  explicit Here(SqliteStore& store) : store_(store) {}

  Task<Result<RangeResponse>> range(RangeRequest request, StopToken stop) override {
    return store_.range(std::move(request), std::move(stop));
  }
  Task<Result<TxnResponse>> txn(TxnRequest request, StopToken stop) override {
    return store_.txn(std::move(request), false, std::move(stop));
  }
  Result<std::unique_ptr<Watch>> watch(WatchRequest request) override { return store_.watch(std::move(request)); }
  Task<Result<void>> compact(Revision revision, StopToken stop) override {
    return store_.compact(revision, false, std::move(stop));
  }
  Task<Result<Lease>> lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) override {
    return store_.grant(id, ttl, false, std::move(stop));
  }
  Task<Result<Revision>> lease_revoke(std::int64_t id, StopToken stop) override {
    return store_.revoke(id, false, std::move(stop));
  }
  Task<Result<Lease>> lease_keep_alive(std::int64_t id, StopToken stop) override {
    return store_.keep_alive(id, false, std::move(stop));
  }
  Task<Result<Lease>> lease_time_to_live(std::int64_t id, bool keys, StopToken stop) override {
    return store_.time_to_live(id, keys, false, std::move(stop));
  }
  Task<Result<std::vector<std::int64_t>>> leases(StopToken stop) override { return store_.leases(std::move(stop)); }
  Task<Result<Revision>> current_revision(StopToken stop) override { return store_.current_revision(std::move(stop)); }
  Leadership leadership() const override { return store_.leadership(); }
  Task<bool> leadership_changed(Leadership known, StopToken stop) override {
    return store_.leadership_changed(known, std::move(stop));
  }
  Result<std::unique_ptr<StateStream>> snapshot() override { return store_.snapshot(); }
  Task<Result<void>> defragment(StopToken stop) override { return store_.defragment(std::move(stop)); }
  Revision revision() const override { return store_.revision(); }
  Revision compacted() const override { return store_.compacted(); }
  Stats stats() const override { return store_.stats(); }
  Task<void> close() override { co_return; }  // it is not this one's to close

 private:
  SqliteStore& store_;
};

void SqliteStore::open_here() { here_ = std::make_shared<Here>(*this); }
Store& SqliteStore::here() { return *here_; }

bool SqliteStore::led_elsewhere() const {
  return group_options_.transport != nullptr && !leadership_.leads && leadership_.leader != raft::kNobody &&
         leadership_.leader != leadership_.self && !failed_ && !closing_;
}

// One that hands over answers what it has accepted soon after, in about the two fsyncs that the time here allows for
// (raft/README.md). Not more: the caller of one that was lost has waited through an election already.
Task<void> SqliteStore::give_up_when_replaced(raft::NodeId leader, io::StopSource* call, StopToken stop) {
  while (leadership_.leader == leader || leadership_.leader == raft::kNobody) {
    const bool changed = co_await leadership_changed(leadership_, stop);
    if (!changed) co_return;
  }
  const Duration grace = replica_->core().election_timeout() / 2;
  const Result<void> slept = co_await context_.loop.sleep(grace, stop);
  if (slept) call->stop();
}

Instant SqliteStore::patience() const { return context_.clock.now() + kPatience; }

}  // namespace kayak::store
