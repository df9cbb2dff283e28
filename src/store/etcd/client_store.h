// client_store.h: the Store on an etcd cluster, private to this folder: calls that go to another endpoint when one
// fails, the feed of changes, compaction by one of several servers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/etcd/client.h"
#include "store/etcd/client_links.h"
#include "store/etcd/client_watch.h"

namespace kayak::store::etcd {

class ClientStore final : public Store {
 public:
  ClientStore(Context context, EtcdStoreOptions options, std::vector<Target> targets);
  // Connects. Errors: as of open_etcd_store.
  Task<Result<void>> start(StopToken stop);

  Task<Result<store::RangeResponse>> range(store::RangeRequest request, StopToken stop) override;
  Task<Result<store::TxnResponse>> txn(store::TxnRequest request, StopToken stop) override;
  Result<std::unique_ptr<Watch>> watch(store::WatchRequest request) override { return feed_.watch(std::move(request)); }
  Task<Result<void>> compact(Revision revision, StopToken stop) override;
  Task<Result<Lease>> lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) override;
  Task<Result<Revision>> lease_revoke(std::int64_t id, StopToken stop) override;
  Task<Result<Lease>> lease_keep_alive(std::int64_t id, StopToken stop) override;
  Task<Result<Lease>> lease_time_to_live(std::int64_t id, bool keys, StopToken stop) override;
  Task<Result<std::vector<std::int64_t>>> leases(StopToken stop) override;
  Task<Result<Revision>> current_revision(StopToken stop) override;
  Result<void> healthy() const override;
  Revision revision() const override { return feed_.newest(); }
  Revision compacted() const override { return feed_.compacted(); }
  // Of a little ago; asking is what renews it.
  Stats stats() const override;
  Task<void> close() override;

 private:
  class Active;
  template <typename T>
  using Call = std::function<Task<Outcome<T>>(const EtcdKv& kv, StopToken stop)>;
  // Makes the call on one endpoint after the other. One whose outcome is unknown is made again only when it is `safe`.
  template <typename T>
  Task<Result<T>> attempt(Call<T> call, bool safe, StopToken stop);
  Result<void> usable() const;
  Error start_error() const;
  Links::Events link_events();
  Task<Result<void>> introduced(LinkRef link, StopToken stop);
  void on_fatal(const Error& error);

  struct Read;
  Task<void> read_revisions();

  // Compaction, as kube-apiserver does it (client_compact.cc).
  Task<void> compact_forever();
  Task<void> compact_once(Revision target);
  Task<void> refresh_stats();

  Context context_;
  const EtcdStoreOptions options_;
  std::shared_ptr<Links> links_;
  std::uint64_t cluster_ = 0;  // its id, as it answered first
  Feed feed_;
  std::optional<Error> failed_;
  std::size_t active_ = 0;
  io::Event idle_;  // active_ is 0
  io::StopSource closing_;
  std::shared_ptr<Read> next_read_;  // not begun yet, so that a caller may still join it
  bool reading_ = false;
  std::int64_t compact_version_ = 0;  // of the key by which servers take turns, as last seen
  mutable Stats stats_;
  mutable std::optional<Instant> stats_asked_;
  mutable io::TaskScope scope_;
};

}  // namespace kayak::store::etcd
