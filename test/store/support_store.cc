#include "store/support_store.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "store/etcd/client.h"
#include "store/support_etcd.h"

namespace kayak::store::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return std::string();
  std::string bytes(static_cast<std::size_t>(in.tellg()), '\0');
  in.seekg(0);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}
void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
bool file_exists(const std::string& path) { return fs::exists(path); }

void copy_store(const std::string& from, const std::string& to) {
  for (const char* suffix : {"", "-wal", "-lock"}) {
    fs::remove(to + suffix);
    if (fs::exists(from + suffix)) fs::copy_file(from + suffix, to + suffix);
  }
}

Harness::Harness() : random(1) {}
Context Harness::context() { return Context{loop, clock, random, Log::discard(), metrics}; }
void Harness::run_for(Duration duration) {
  const Result<void> slept = loop.run(loop.sleep(duration));
  ASSERT(slept.ok());
}

Driver::Driver(SqliteStoreOptions o, Engine engine) : options(std::move(o)) {
  if (engine == Engine::kEtcd) {
    etcd_ = std::make_unique<EtcdServer>();
    etcd_->start();
  }
  if (!options.on_fatal) options.on_fatal = [this](const Error& error) { fatal.push_back(error); };
}
Driver::~Driver() { close(); }

Result<void> Driver::open() {
  etcd::EtcdStoreOptions on_etcd;
  on_etcd.history_bytes = options.history_bytes;
  on_etcd.compact_interval = options.compact_interval;
  on_etcd.on_fatal = options.on_fatal;
  if (etcd_) on_etcd.endpoints = {etcd_->url()};
  auto opened = harness.wait(etcd_ ? etcd::open_etcd_store(harness.context(), on_etcd)
                                   : open_sqlite_store(harness.context(), options));
  if (!opened) return opened.error();
  store_ = std::move(*opened);
  return Result<void>();
}

namespace {
Task<Result<void>> close_it(Store* store) {
  co_await store->close();
  co_return Result<void>();
}
}  // namespace

void Driver::close() {
  if (!store_) return;
  ASSERT(harness.wait(close_it(store_.get())).ok());
  store_.reset();
}

Result<TxnResponse> Driver::txn(TxnRequest request) {
  return harness.wait(store_->txn(std::move(request), StopToken()));
}
Result<Revision> Driver::put(const std::string& key, const std::string& value, std::int64_t lease) {
  TxnRequest request;
  request.success.push_back(put_op(key, value, lease));
  auto done = txn(std::move(request));
  if (!done) return done.error();
  return done->revision;
}
Result<std::int64_t> Driver::remove(const std::string& key, const std::string& end) {
  TxnRequest request;
  request.success.push_back(delete_op(key, end));
  auto done = txn(std::move(request));
  if (!done) return done.error();
  return done->responses[0].deleted;
}
Result<RangeResponse> Driver::range(RangeRequest request) {
  return harness.wait(store_->range(std::move(request), StopToken()));
}
Result<RangeResponse> Driver::range(const std::string& key, const std::string& end, Revision revision) {
  RangeRequest request;
  request.key = key;
  request.range_end = end;
  request.revision = revision;
  return range(std::move(request));
}
std::optional<std::string> Driver::get(const std::string& key, Revision revision) {
  auto found = range(key, "", revision);
  ASSERT(found.ok());
  if (found->kvs.empty()) return std::nullopt;
  return *found->kvs[0].value;
}
Result<void> Driver::compact(Revision revision) {
  auto done = harness.wait(store_->compact(revision, StopToken()));
  if (done) compacted_ = std::max(compacted_, revision - 1);
  return done;
}
Revision Driver::compacted() const { return std::max(compacted_, store_->compacted()); }
Result<Lease> Driver::grant(std::int64_t id, std::int64_t ttl) {
  return harness.wait(store_->lease_grant(id, ttl, StopToken()));
}
Result<Revision> Driver::revoke(std::int64_t id) { return harness.wait(store_->lease_revoke(id, StopToken())); }
Lease Driver::lease(std::int64_t id) {
  auto lease = harness.wait(store_->lease_time_to_live(id, true, StopToken()));
  ASSERT(lease.ok());
  std::sort(lease->keys.begin(), lease->keys.end());  // etcd has them in any order
  return *lease;
}
void Driver::finish_sweep() {
  while (store_->stats().sweeping) harness.run_for(1ms);
}

Op put_op(const std::string& key, const std::string& value, std::int64_t lease) {
  Op op;
  op.key = key;
  op.value = std::make_shared<const std::string>(value);
  op.lease = lease;
  return op;
}
Op delete_op(const std::string& key, const std::string& end) {
  Op op;
  op.type = Op::Type::kDelete;
  op.key = key;
  op.range_end = end;
  return op;
}
Op range_op(const std::string& key, const std::string& end) {
  Op op;
  op.type = Op::Type::kRange;
  op.range.key = key;
  op.range.range_end = end;
  return op;
}
Op txn_op(TxnRequest request) {
  Op op;
  op.type = Op::Type::kTxn;
  op.transaction = std::make_shared<const TxnRequest>(std::move(request));
  return op;
}
Compare compare(const std::string& key, Compare::Target target, Compare::Result result, std::int64_t number) {
  Compare c;
  c.key = key;
  c.target = target;
  c.result = result;
  c.number = number;
  return c;
}
SqliteStoreOptions options_in(const TempFolder& folder) {
  SqliteStoreOptions options;
  options.path = folder.file("state.db");
  options.compact_interval = Duration(0);
  return options;
}

std::string text(const std::vector<KeyValue>& kvs) {
  std::string out;
  for (const KeyValue& kv : kvs) {
    out += cat(out.empty() ? "" : " ", kv.key, "=", kv.value ? *kv.value : std::string("(none)"));
  }
  return out;
}
// "7:put a=1(was 0),del b" and so on; "7:" is a progress note.
std::string text(const std::vector<WatchBatch>& batches) {
  std::string out;
  for (const WatchBatch& batch : batches) {
    out += cat(out.empty() ? "" : " ", batch.revision, ":");
    for (const WatchEvent& event : batch.events) {
      if (&event != &batch.events.front()) out += ",";
      const bool put = event.type == WatchEvent::Type::kPut;
      out += cat(put ? "put " : "del ", event.kv.key, put ? "=" + *event.kv.value : std::string());
      if (event.previous) out += cat("(was ", event.previous->value ? *event.previous->value : "?", ")");
    }
  }
  return out;
}
std::string text(const Error& error) { return cat(static_cast<int>(error.code()), " ", error.message()); }

std::uint64_t test_seed() {
  if (const char* seed = std::getenv("SEED")) return std::strtoull(seed, nullptr, 10);
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}
int test_rounds(const char* variable, int fallback) {
  const char* rounds = std::getenv(variable);
  return rounds == nullptr ? fallback : std::atoi(rounds);
}

}  // namespace kayak::store::test
