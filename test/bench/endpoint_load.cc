// endpoint_load.cc: writes, reads and a steady load over etcd's API.
#include <algorithm>

#include "base/strings.h"
#include "bench/endpoint.h"
#include "bench/processes.h"
#include "bench/writes.h"

namespace kayak::bench {

namespace {

// As many as etcd's own published figures were taken with (etcd, op-guide/performance.md: 100 connections for 1000
// clients): calls of several clients share one.
constexpr std::size_t kMaxConnections = 100;

std::size_t connections_for(std::size_t clients) { return std::min(clients, kMaxConnections); }

Task<Result<std::size_t>> put_once(const store::etcd::EtcdKv* kv, std::string key, store::Bytes value) {
  const std::size_t bytes = value->size();
  store::TxnRequest request = put_request(std::move(key), std::move(value));
  auto done = co_await kv->txn(std::move(request));
  if (!done.result) co_return done.result.error();
  co_return bytes;
}

// One level, on connections of its own.
Task<Result<Load>> write_level(Context context, std::string target, WriteLevel level, std::size_t number,
                               Duration length) {
  auto endpoint = co_await Endpoint::open(context, target, connections_for(level.clients));
  if (!endpoint) co_return endpoint.error();
  const auto value = std::make_shared<const std::string>(level.bytes, 'x');
  const Endpoint* to = endpoint->get();
  Action put = [to, value, number](std::size_t client, std::uint64_t count) {
    return put_once(&to->kv(client), write_key(number, client, count), value);
  };
  Result<Load> load = co_await run_load(context, level.clients, length, std::move(put));
  co_await (*endpoint)->close();
  co_return load;
}

void report_server(const std::string& prefix, const WriteLevel& level, const Load& load, const Activity& before,
                   const Activity& after) {
  const auto each = [&load](std::int64_t from, std::int64_t to) {
    return static_cast<double>(to - from) / static_cast<double>(std::max<std::uint64_t>(1, load.requests));
  };
  report(cat(prefix, "_put_cpu_us_", level.suffix()), each(before.cpu_ns, after.cpu_ns) / 1e3,
         "server's CPU time for each, " + level.text());
  report(cat(prefix, "_put_disk_bytes_", level.suffix()), each(before.write_bytes, after.write_bytes),
         "bytes that the server sent to the disk for each, " + level.text());
}

std::string read_key(std::size_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 8 - std::min<std::size_t>(8, digits.size()), '0');
  return "/reads/" + digits;
}

Task<Result<std::size_t>> read_once(const store::etcd::EtcdKv* kv, std::size_t first, std::size_t count) {
  store::RangeRequest request;
  request.key = read_key(first);
  if (count > 1) request.range_end = read_key(first + count);
  auto done = co_await kv->range(std::move(request));
  if (!done.result) co_return done.result.error();
  if (done.result->kvs.size() != count) {
    co_return Error(Code::kInternal, cat("a range has ", done.result->kvs.size(), " keys instead of ", count));
  }
  std::size_t bytes = 0;
  for (const store::KeyValue& kv_read : done.result->kvs) bytes += kv_read.value->size();
  co_return bytes;
}

Task<Result<void>> fill(const Endpoint* to, std::size_t from, std::size_t until, store::Bytes value) {
  for (std::size_t i = from; i < until; ++i) {
    Result<std::size_t> done = co_await put_once(&to->kv(from), read_key(i), value);
    if (!done) co_return done.error();
  }
  co_return Result<void>();
}

constexpr std::size_t kReadKeys = 10'000;
constexpr std::size_t kRangeKeys = 500;
constexpr std::size_t kReadConnections = 16;

Task<Result<void>> fill_all(const Endpoint* to) {
  const auto value = std::make_shared<const std::string>(1024, 'x');
  constexpr std::size_t kEach = kReadKeys / 100;
  io::TaskScope scope;
  for (std::size_t i = 0; i < kReadKeys; i += kEach) scope.spawn(fill(to, i, i + kEach, value));
  co_return co_await scope.join();
}

// One read of `count` keys after the other, each beginning somewhere else.
Task<Result<void>> read_level(Context context, const Endpoint* to, std::string prefix, std::size_t clients,
                              std::size_t count, Duration length) {
  Action read = [to, count](std::size_t client, std::uint64_t number) {
    constexpr std::size_t kStep = 7919;  // a prime
    const std::size_t first = (client * kRangeKeys + number * kStep) % (kReadKeys - count);
    return read_once(&to->kv(client), first, count);
  };
  Result<Load> load = co_await run_load(context, clients, length, std::move(read));
  if (!load) co_return load.error();
  const std::string what = count == 1 ? "get" : cat("range", count);
  const std::string tail = cat(count == 1 ? ", single keys of 1 KB, " : cat(", ", count, " keys of 1 KB, "), clients,
                               clients == 1 ? " client" : " clients");
  report(cat(prefix, "_", what, "s_per_s_", clients), load->per_second(), "linearizable reads a second" + tail);
  report(cat(prefix, "_", what, "_p50_us_", clients), load->percentile_us(0.50), "median time" + tail);
  report(cat(prefix, "_", what, "_p99_us_", clients), load->percentile_us(0.99), "99th percentile" + tail);
  co_return Result<void>();
}

Task<Result<void>> read_levels(Context context, const Endpoint* to, std::string prefix, Duration length) {
  Result<void> done = co_await fill_all(to);
  for (const std::size_t count : {std::size_t{1}, kRangeKeys}) {
    for (const std::size_t clients : {std::size_t{1}, kReadConnections}) {
      if (done) done = co_await read_level(context, to, prefix, clients, count, length);
    }
  }
  co_return done;
}

// What an API server does on it: what is older than one interval goes.
Task<Result<void>> compact_every(Context context, const Endpoint* to, Duration interval, StopToken stop) {
  store::Revision revision = 0;
  for (;;) {
    const Result<void> slept = co_await context.loop.sleep(interval, stop);
    if (!slept) co_return Result<void>();
    if (revision > 0) {
      auto done = co_await to->kv(0).compact(revision);
      if (!done.result) co_return done.result.error();
    }
    auto status = co_await to->kv(0).status();
    if (!status.result) co_return status.result.error();
    revision = status.result->header.revision;
  }
}

}  // namespace

Task<Result<void>> measure_writes(Context context, Options options) {
  const std::string prefix = options.text("as", "kayak");
  const std::string target = options.text("target");
  const int pid = static_cast<int>(options.number("pid", 0));
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  // Keys are new in every run.
  std::size_t number = static_cast<std::size_t>(options.number("round", 0)) * 100;
  for (const WriteLevel& level : write_levels(options)) {
    const Activity before = pid != 0 ? activity(pid) : Activity();
    Result<Load> load = co_await write_level(context, target, level, number++, length);
    if (!load) co_return load.error();
    report_writes(prefix, level, *load, ", over gRPC");
    if (pid != 0) report_server(prefix, level, *load, before, activity(pid));
  }
  co_return Result<void>();
}

Task<Result<void>> measure_reads(Context context, Options options) {
  const std::string target = options.text("target");
  auto endpoint = co_await Endpoint::open(context, target, kReadConnections);
  if (!endpoint) co_return endpoint.error();
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  Result<void> done = co_await read_levels(context, endpoint->get(), options.text("as", "kayak"), length);
  co_await (*endpoint)->close();
  co_return done;
}

Task<Result<void>> measure_steady(Context context, Options options) {
  const std::string target = options.text("target");
  auto endpoint = co_await Endpoint::open(context, target, kReadConnections);
  if (!endpoint) co_return endpoint.error();
  const Steady steady(options);
  const Endpoint* to = endpoint->get();
  const auto value = std::make_shared<const std::string>(Steady::kValueBytes, 'x');
  Action put = [to, value](std::size_t, std::uint64_t number) {
    return put_once(&to->kv(number), Steady::key(number), value);
  };
  io::TaskScope compaction;
  compaction.spawn(compact_every(context, to, steady.compact_interval, compaction.token()));
  Result<Load> load = co_await run_paced(context, Steady::kPerSecond, steady.length, std::move(put));
  compaction.stop();
  Result<void> ended = co_await compaction.join();
  co_await (*endpoint)->close();
  if (!load) co_return load.error();
  if (ended) steady.report_load(options.text("as", "kayak"), *load);
  co_return ended;
}

}  // namespace kayak::bench
