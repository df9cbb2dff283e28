// kv_workload.h: clients of the real key-value layer: transactions over several keys, ranges of now and of the past,
// compactions; nodes that renew
// their leases; and watchers that move from server to server and resume where they were. Whatever they hear is judged
// by the ledger at once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/kv_ledger.h"
#include "sim/workload.h"

namespace kayak::sim {

class KvWorkload final : public Clients {
 public:
  KvWorkload(Service& service, WorkloadOptions options, KvLedger& ledger);

  void begin() override;
  void stop() override;
  void called(std::size_t client, RequestId request) override;
  void answered(RequestId request, const Reply& reply) override;
  void told(StreamId stream, const StreamNews& news) override;
  std::size_t done() const override { return done_; }
  std::size_t watched() const override { return watched_; }
  void expect_all() override { expected_ = ledger_.revision(); }
  // Whether every watcher has seen everything that was there at expect_all().
  std::string verdict() const override;

 private:
  struct Client {
    RequestId request = 0;  // 0: thinks
    std::shared_ptr<const KvRequest> asked;
    Revision before = 0;                     // heard of before it asked
    std::map<std::string, Revision> seen{};  // the newest it knows of a key
    Revision newest = 1;
  };
  struct Watcher {
    std::string key, range_end;
    bool previous = true;
    StreamId stream = 0;  // 0: none
    Revision start = 0;   // asked for
    Revision next = 0;    // the first that it has not seen; 0: from when its watch begins
  };
  // Has a lease and keeps it alive, until it does not care any more.
  struct Holder {
    RequestId request = 0;
    std::shared_ptr<const KvRequest> asked;
    store::LeaseId lease = 0;  // 0: none
    Instant at;                // asked then
    Revision before = 0;
  };
  void hold(std::size_t at, RequestId request);
  void held(std::size_t at, const Reply& reply);
  Holder& holder(std::size_t at) { return holders_[at - clients_.size() - watchers_.size() - nodes_.size()]; }
  void ask(std::size_t client);
  std::shared_ptr<KvRequest> draw(const Client& client);
  void draw_txn(const Client& client, store::TxnRequest* txn);
  void draw_range(const Client& client, store::RangeRequest* range, bool past);
  store::Compare draw_compare(const Client& client, const std::string& key);
  store::Op draw_op(const Client& client, const std::string& key);
  void learn(Client& client, const KvAnswer& answer);
  void finish(std::size_t client, const Reply& reply);
  std::string draw_key();

  void renew(std::size_t node, RequestId request);

  void open(std::size_t watcher);
  void leave(Watcher& watcher);
  void take(Watcher& watcher, const store::WatchBatch& batch, const StreamNews& news);
  std::vector<store::WatchEvent> wanted(const Watcher& watcher, Revision revision) const;
  bool missed(const Watcher& watcher, Revision from, Revision to) const;

  Service& service_;
  const WorkloadOptions options_;
  KvLedger& ledger_;
  std::vector<Client> clients_;
  std::vector<Watcher> watchers_;
  std::vector<RequestId> nodes_ = std::vector<RequestId>(2);  // what each has asked for; 0: nothing
  std::vector<Holder> holders_ = std::vector<Holder>(3);
  store::LeaseId next_lease_ = 0;
  std::uint64_t next_value_ = 0;
  std::uint64_t next_id_ = 0;
  Revision expected_ = 0;
  bool stopped_ = false;
  std::size_t done_ = 0;
  std::size_t watched_ = 0;
};

}  // namespace kayak::sim
