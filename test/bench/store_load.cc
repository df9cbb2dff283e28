// store_load.cc: durable puts of 1 KB: on the store's own interface, and on etcd through its JSON gateway.
// etcd pays a network hop and JSON that the interface does not; the figures say so beside the numbers.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/strings.h"
#include "bench/bench.h"
#include "bench/processes.h"
#include "io/http.h"
#include "store/store.h"

namespace kayak::bench {

namespace {

constexpr std::size_t kValueBytes = 1024;
constexpr std::size_t kWriters[] = {1, 16, 200};
constexpr std::size_t kLevels = std::size(kWriters);

std::string key_of(std::size_t client, std::uint64_t number) { return cat("/registry/bench/", client, "/", number); }

Task<Result<std::size_t>> put_once(store::Store* store, std::string key, store::Bytes value) {
  store::TxnRequest request;
  store::Op op;
  op.key = std::move(key);
  op.value = std::move(value);
  request.success.push_back(std::move(op));
  Result<store::TxnResponse> done = co_await store->txn(std::move(request));
  if (!done) co_return done.error();
  co_return kValueBytes;
}

struct Disk {
  std::uint64_t bytes = 0, syncs = 0, puts = 0;
};

Task<Result<void>> load_store(Context context, store::Store* store, Duration length, std::int64_t rounds, Runs* runs,
                              Disk* disk) {
  const auto value = std::make_shared<const std::string>(kValueBytes, 'x');
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::size_t level = 0; level < kLevels; ++level) {
      // New keys in every run: all are creations.
      const std::size_t base = (static_cast<std::size_t>(round) * kLevels + level) * 1000;
      const store::Stats before = store->stats();
      Action put = [store, value, base](std::size_t client, std::uint64_t number) {
        return put_once(store, key_of(base + client, number), value);
      };
      Result<Load> load = co_await run_load(context, kWriters[level], length, std::move(put));
      if (!load) co_return load.error();
      const store::Stats after = store->stats();
      disk[level].bytes += after.written_bytes - before.written_bytes;
      disk[level].syncs += after.syncs - before.syncs;
      disk[level].puts += load->requests;
      runs[level].add(*load, 0);
    }
  }
  co_return Result<void>();
}

Task<Result<std::size_t>> put_etcd(io::HttpClient* client, std::string key, std::string value64) {
  io::HttpClientRequest request;
  request.method = "POST";
  request.path = "/v3/kv/put";
  request.headers.add("Content-Type", "application/json");
  request.body.push_back(io::Slice::of(cat(R"({"key":")", base64_encode(key), R"(","value":")", value64, R"("})")));
  Result<io::HttpClientResponse> response = co_await client->request(std::move(request));
  if (!response) co_return response.error();
  Result<std::string> body = co_await response->body->read_all(64 * 1024);
  if (!body) co_return body.error();
  if (response->status != 200) co_return Error(Code::kInternal, cat("etcd answered ", response->status, ": ", *body));
  co_return kValueBytes;
}

void report_level(const std::string& prefix, std::size_t writers, const Runs& runs, std::string_view what) {
  const std::string tail = cat(", ", writers, writers == 1 ? " writer" : " writers");
  report(cat(prefix, "puts_per_s_", writers), runs.per_second(), cat("durable puts of 1 KB a second", tail, what));
  report(cat(prefix, "put_p50_us_", writers), runs.p50_us(), "median time" + tail);
  report(cat(prefix, "put_p99_us_", writers), runs.p99_us(), "99th percentile" + tail);
}

}  // namespace

Task<Result<void>> measure_store(Context context, Options options) {
  const std::string dir = options.text("dir");
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  store::SqliteStoreOptions store_options;
  store_options.path = dir + "/state.db";
  Result<std::unique_ptr<store::Store>> store = co_await store::open_sqlite_store(context, std::move(store_options));
  if (!store) co_return store.error();
  Runs runs[kLevels];
  Disk disk[kLevels];
  Result<void> done = co_await load_store(context, store->get(), std::chrono::milliseconds(options.number("ms", 2000)),
                                          options.number("rounds", 3), runs, disk);
  co_await (*store)->close();
  if (!done) co_return done;
  for (std::size_t level = 0; level < kLevels; ++level) {
    report_level("store_", kWriters[level], runs[level], ", on the store's interface");
    const auto puts = static_cast<double>(std::max<std::uint64_t>(1, disk[level].puts));
    report(cat("store_bytes_per_put_", kWriters[level]), static_cast<double>(disk[level].bytes) / puts,
           "bytes written to the file system for each");
    report(cat("store_syncs_per_put_", kWriters[level]), static_cast<double>(disk[level].syncs) / puts,
           "syncs for each");
  }
  co_return Result<void>();
}

Task<Result<void>> measure_etcd(Context context, Options options) {
  io::HttpTarget target;
  target.host = "127.0.0.1";
  target.port = static_cast<std::uint16_t>(options.number("port", 2379));
  std::vector<std::unique_ptr<io::HttpClient>> clients;
  for (std::size_t i = 0; i < kWriters[kLevels - 1]; ++i) clients.push_back(io::HttpClient::create(context, target, 1));
  const std::string value64 = base64_encode(std::string(kValueBytes, 'x'));
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  const std::int64_t rounds = options.number("rounds", 3);
  Runs runs[kLevels];
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::size_t level = 0; level < kLevels; ++level) {
      const std::size_t base = (static_cast<std::size_t>(round) * kLevels + level) * 1000;
      Action put = [&clients, &value64, base](std::size_t client, std::uint64_t number) {
        return put_etcd(clients[client].get(), key_of(base + client, number), value64);
      };
      Result<Load> load = co_await run_load(context, kWriters[level], length, std::move(put));
      if (!load) co_return load.error();
      runs[level].add(*load, 0);
    }
  }
  for (std::size_t level = 0; level < kLevels; ++level) {
    report_level("etcd_", kWriters[level], runs[level], ", on etcd's JSON gateway over loopback");
  }
  co_return Result<void>();
}

}  // namespace kayak::bench
