// client_store.cc: calls and their retries, starting and closing.
#include "store/etcd/client_store.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/strings.h"
#include "store/evaluator.h"
#include "store/lease_clock.h"
#include "store/member.h"

namespace kayak::store::etcd {

namespace {

using namespace std::chrono_literals;

constexpr Duration kRetryPause = 50ms;
constexpr Duration kStatsAge = 30s;

// Of the larger branch.
std::size_t bytes_of(const store::TxnRequest& request) {
  auto sum = [](const std::vector<Op>& ops) {
    std::size_t bytes = 0;
    for (const Op& op : ops) {
      bytes += op.key.size() + (op.value ? op.value->size() : 0) + (op.transaction ? bytes_of(*op.transaction) : 0);
    }
    return bytes;
  };
  return std::max(sum(request.success), sum(request.failure));
}

// As the embedded engine, so that what fits one store fits the other.
Result<void> check_size(const store::TxnRequest& request) {
  if (bytes_of(request) <= kMaxEntryBytes) return Result<void>();
  return Error(Code::kTooLarge, cat("a transaction is over ", kMaxEntryBytes, " bytes"));
}

}  // namespace

// Counts the calls under way; close() waits for the last.
class ClientStore::Active {
 public:
  explicit Active(ClientStore& store) : store_(store) {
    ++store_.active_;
    store_.idle_.reset();
  }
  Active(const Active&) = delete;
  Active& operator=(const Active&) = delete;
  ~Active() {
    if (--store_.active_ == 0) store_.idle_.set();
  }

 private:
  ClientStore& store_;
};

// A linearizable read that several callers share; it begins after each of them came.
struct ClientStore::Read {
  io::Event done;
  Result<Revision> result = Error(Code::kUnavailable, "the store is closed");
};

ClientStore::ClientStore(Context context, EtcdStoreOptions options, std::vector<Target> targets)
    : context_(std::move(context)),
      options_(std::move(options)),
      links_(std::make_shared<Links>(context_, options_, std::move(targets), link_events())),
      feed_(context_, links_, options_.history_bytes) {
  idle_.set();
}

Error ClientStore::start_error() const {
  if (links_->all_refuse_tls()) {
    return Error(Code::kUnauthorized, cat("the datastore's TLS identity is not accepted: ", links_->failures(),
                                          " (check --datastore-cafile, --datastore-certfile and --datastore-keyfile)"));
  }
  return Error(Code::kUnavailable,
               cat("the datastore does not answer: ", links_->failures(),
                   " (check that etcd runs, that --datastore-endpoint names its client URLs, and that no firewall is "
                   "in between)"));
}

Task<Result<void>> ClientStore::start(StopToken stop) {
  scope_.spawn(links_->run(scope_.token()));
  const Instant until = context_.clock.now() + options_.start_timeout;
  bool connected = false;
  while (!connected) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while connecting to the datastore");
    if (links_->all_refuse_tls() || context_.clock.now() >= until) co_return start_error();
    constexpr Duration kLook = 250ms;
    auto link = co_await links_->get(kLook, stop);
    connected = link.ok();
  }
  feed_.begin_at(feed_.newest());
  scope_.spawn(feed_.run(scope_.token()));
  if (options_.compact_interval > Duration(0)) scope_.spawn(compact_forever());
  co_return Result<void>();
}

Links::Events ClientStore::link_events() {
  Links::Events events;
  events.introduced = [this](LinkRef link, StopToken stop) { return introduced(std::move(link), std::move(stop)); };
  events.all_gone = [this] {
    on_fatal(Error(Code::kCorrupt, cat("every etcd endpoint leads to another cluster than before: ", links_->failures(),
                                       "; what is in memory is of the old one: start this server again to use the new "
                                       "one")));
  };
  return events;
}

// Before anything else uses a connection: whether it leads to the cluster that is known, the member has a leader, and
// the cluster still has what was seen of it. So nothing is ever read or written at another one by mistake.
Task<Result<void>> ClientStore::introduced(LinkRef link, StopToken stop) {
  const Revision known = feed_.newest();
  auto answer = co_await link->kv.standing(std::move(stop));
  if (!answer.result) co_return answer.result.error();
  const Standing now = *answer.result;
  if (cluster_ == 0) cluster_ = now.cluster;
  if (now.cluster != cluster_) {
    co_return Error(Code::kGone, cat("it belongs to etcd cluster ", member_id_text(now.cluster),
                                     ", and this server's data are in ", member_id_text(cluster_)));
  }
  if (now.revision < known) {
    const Error lost(Code::kCorrupt,
                     cat("the etcd cluster at ", link->url, " is at revision ", now.revision, ", but revision ", known,
                         " was read from it before: it was restored from a backup, or it is "
                         "another cluster; what is in memory is not to be trusted, start this server again"));
    on_fatal(lost);
    co_return lost;
  }
  feed_.saw(now.revision);
  co_return Result<void>();
}

void ClientStore::on_fatal(const Error& error) {
  if (failed_) return;
  if (!options_.on_fatal) {
    std::fprintf(stderr, "kayak: %s\n", error.message().c_str());
    std::abort();
  }
  failed_ = error;
  feed_.close();
  closing_.stop();
  options_.on_fatal(error);
}

Result<void> ClientStore::usable() const {
  if (failed_) return Error(Code::kUnavailable, failed_->message());
  if (closing_.stopped()) return Error(Code::kUnavailable, "the store is closed");
  return Result<void>();
}

Result<void> ClientStore::healthy() const {
  if (auto good = usable(); !good) return good;
  if (links_->connected()) return Result<void>();
  return Error(Code::kUnavailable, cat("the datastore cannot be reached: ", links_->failures()));
}

template <typename T>
Task<Result<T>> ClientStore::attempt(Call<T> call, bool safe, StopToken stop) {
  if (auto fine = usable(); !fine) co_return fine.error();
  const Active active(*this);
  io::StopSource waiting(stop);
  io::StopCallback on_close(closing_.token(), [&waiting] { waiting.stop(); });
  const Instant until = context_.clock.now() + options_.patience;
  for (;;) {
    const Duration left = std::max(until - context_.clock.now(), Duration(1));
    auto link = co_await links_->get(left, waiting.token());
    if (!link && closing_.stopped()) co_return usable().error();
    if (!link) co_return link.error();
    const Instant asked = context_.clock.now();
    Outcome<T> outcome = co_await call((*link)->kv, stop);
    if (outcome.fate == Fate::kAnswered) {
      (*link)->answered = context_.clock.now();
      links_->good();
      co_return std::move(outcome.result);
    }
    const Error& error = outcome.result.error();
    if (stop.stopped()) co_return Error(Code::kCancelled, error.message());
    const bool busy = error.code() == Code::kTooManyRequests;
    // One call may be slow where others are answered; a member that answers none meanwhile is not worth waiting for.
    const bool sick =
        outcome.fate == Fate::kUnknown && (outcome.late || links_->has_others()) && (*link)->answered < asked;
    if (sick || (outcome.fate == Fate::kNotBegun && !busy)) links_->leave(*link, error.message());
    if (outcome.fate == Fate::kUnknown && !safe) {
      co_return Error(Code::kUnavailable, cat("the outcome is unknown: ", error.message()));
    }
    if (context_.clock.now() + kRetryPause >= until || closing_.stopped()) co_return error;
    (void)co_await context_.loop.sleep(kRetryPause, waiting.token());
  }
}

Task<Result<store::RangeResponse>> ClientStore::range(store::RangeRequest request, StopToken stop) {
  if (auto good = check_range(request); !good) co_return good.error();
  Call<store::RangeResponse> call = [request](const EtcdKv& kv, StopToken s) {
    return kv.range(request, std::move(s));
  };
  auto done = co_await attempt(std::move(call), true, std::move(stop));
  if (done) feed_.saw(done->revision);
  co_return done;
}

Task<Result<store::TxnResponse>> ClientStore::txn(store::TxnRequest request, StopToken stop) {
  if (auto good = check_txn(request); !good) co_return good.error();
  if (auto good = check_size(request); !good) co_return good.error();
  const bool safe = !may_write(request);
  Call<store::TxnResponse> call = [request](const EtcdKv& kv, StopToken s) { return kv.txn(request, std::move(s)); };
  auto done = co_await attempt(std::move(call), safe, std::move(stop));
  if (done) feed_.saw(done->revision);
  co_return done;
}

// Twice does no harm: then it is Expired, though it was this call that did it.
Task<Result<void>> ClientStore::compact(Revision revision, StopToken stop) {
  Call<Revision> call = [revision](const EtcdKv& kv, StopToken s) { return kv.compact(revision, std::move(s)); };
  auto done = co_await attempt(std::move(call), false, std::move(stop));
  if (!done) co_return done.error();
  feed_.saw(*done);
  feed_.saw_compacted(revision - 1);
  co_return Result<void>();
}

Task<Result<Lease>> ClientStore::lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) {
  if (ttl > kMaxLeaseTtl) co_return Error(Code::kInvalid, "too large lease TTL");
  Call<Lease> call = [id, ttl](const EtcdKv& kv, StopToken s) { return kv.lease_grant(id, ttl, std::move(s)); };
  co_return co_await attempt(std::move(call), false, std::move(stop));
}

Task<Result<Revision>> ClientStore::lease_revoke(std::int64_t id, StopToken stop) {
  Call<Revision> call = [id](const EtcdKv& kv, StopToken s) { return kv.lease_revoke(id, std::move(s)); };
  auto done = co_await attempt(std::move(call), false, std::move(stop));
  if (done) feed_.saw(*done);
  co_return done;
}

Task<Result<Lease>> ClientStore::lease_keep_alive(std::int64_t id, StopToken stop) {
  Call<Lease> call = [id](const EtcdKv& kv, StopToken s) { return kv.lease_keep_alive(id, std::move(s)); };
  co_return co_await attempt(std::move(call), true, std::move(stop));
}

Task<Result<Lease>> ClientStore::lease_time_to_live(std::int64_t id, bool keys, StopToken stop) {
  Call<Lease> call = [id, keys](const EtcdKv& kv, StopToken s) {
    return kv.lease_time_to_live(id, keys, std::move(s));
  };
  co_return co_await attempt(std::move(call), true, std::move(stop));
}

Task<Result<std::vector<std::int64_t>>> ClientStore::leases(StopToken stop) {
  Call<std::vector<std::int64_t>> call = [](const EtcdKv& kv, StopToken s) { return kv.leases(std::move(s)); };
  co_return co_await attempt(std::move(call), true, std::move(stop));
}

Task<Result<Revision>> ClientStore::current_revision(StopToken stop) {
  if (auto fine = usable(); !fine) co_return fine.error();
  if (!next_read_) next_read_ = std::make_shared<Read>();
  const std::shared_ptr<Read> read = next_read_;
  if (!reading_) scope_.spawn(read_revisions());
  const bool done = co_await read->done.wait(std::move(stop));
  if (!done) co_return Error(Code::kCancelled, "stopped while asking for the revision");
  co_return read->result;
}

Task<void> ClientStore::read_revisions() {
  reading_ = true;
  while (next_read_) {
    const std::shared_ptr<Read> read = std::exchange(next_read_, nullptr);
    store::RangeRequest request;
    request.key = std::string(1, '\0');
    request.count_only = true;
    auto answer = co_await range(std::move(request), StopToken());
    if (answer) {
      read->result = answer->revision;
    } else {
      read->result = answer.error();
    }
    read->done.set();
  }
  reading_ = false;
}

Stats ClientStore::stats() const {
  const Instant now = context_.clock.now();
  const bool old = !stats_asked_ || now - *stats_asked_ >= kStatsAge;
  if (old && !closing_.stopped()) {
    stats_asked_ = now;
    scope_.spawn(const_cast<ClientStore*>(this)->refresh_stats());
  }
  Stats out = stats_;
  out.revision = feed_.newest();
  out.compacted = feed_.compacted();
  out.history_bytes = feed_.history_bytes();
  return out;
}

Task<void> ClientStore::refresh_stats() {
  Call<StatusResponse> ask = [](const EtcdKv& kv, StopToken s) { return kv.status(std::move(s)); };
  auto status = co_await attempt(std::move(ask), true, closing_.token());
  if (status) {
    stats_.database_bytes = static_cast<std::uint64_t>(status->db_size);
    stats_.free_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(status->db_size - status->db_size_in_use, 0));
  }
  store::RangeRequest all;
  all.key = all.range_end = std::string(1, '\0');
  all.count_only = all.serializable = true;
  auto counted = co_await range(std::move(all), closing_.token());
  if (counted) stats_.keys = static_cast<std::uint64_t>(counted->count);
}

Task<void> ClientStore::close() {
  closing_.stop();
  feed_.close();
  co_await idle_.wait();
  scope_.stop();
  (void)co_await scope_.join();
}

Task<Result<std::unique_ptr<Store>>> open_etcd_store(Context context, EtcdStoreOptions options, StopToken stop) {
  std::vector<Target> targets;
  for (const std::string& url : options.endpoints) {
    Result<Target> target = parse_target(url);
    if (!target)
      co_return Error(Code::kInvalid, cat("the datastore's endpoint ", quote(url), " ", target.error().message()));
    targets.push_back(std::move(*target));
  }
  if (targets.empty()) co_return Error(Code::kInvalid, "the datastore has no endpoint");
  auto store = std::make_unique<ClientStore>(std::move(context), std::move(options), std::move(targets));
  const Result<void> started = co_await store->start(std::move(stop));
  if (!started) {
    co_await store->close();
    co_return started.error();
  }
  std::unique_ptr<Store> out = std::move(store);
  co_return out;
}

}  // namespace kayak::store::etcd
