// store_load.cc: the store's own interface in this process: durable puts, what they come to on the disk, stalls.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/strings.h"
#include "bench/processes.h"
#include "bench/writes.h"

namespace kayak::bench {

namespace {

Task<Result<std::size_t>> put_once(store::Store* store, std::string key, store::Bytes value) {
  const std::size_t bytes = value->size();
  store::TxnRequest request = put_request(std::move(key), std::move(value));
  Result<store::TxnResponse> done = co_await store->txn(std::move(request));
  if (!done) co_return done.error();
  co_return bytes;
}

// A new store in an empty folder.
Task<Result<std::unique_ptr<store::Store>>> make_store(Context context, std::string dir, Duration compact_interval) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  store::SqliteStoreOptions options;
  options.path = dir + "/state.db";
  options.compact_interval = compact_interval;
  co_return co_await store::open_sqlite_store(std::move(context), std::move(options));
}

Task<Result<void>> write_levels_to(Context context, store::Store* store, std::vector<WriteLevel> levels,
                                   Duration length) {
  for (std::size_t number = 0; number < levels.size(); ++number) {
    const WriteLevel& level = levels[number];
    const auto value = std::make_shared<const std::string>(level.bytes, 'x');
    const store::Stats before = store->stats();
    Action put = [store, value, number](std::size_t client, std::uint64_t count) {
      return put_once(store, write_key(number, client, count), value);
    };
    Result<Load> load = co_await run_load(context, level.clients, length, std::move(put));
    if (!load) co_return load.error();
    const store::Stats after = store->stats();
    report_writes("store", level, *load, ", on the store's interface");
    const auto puts = static_cast<double>(std::max<std::uint64_t>(1, load->requests));
    report(cat("store_put_bytes_", level.suffix()),
           static_cast<double>(after.written_bytes - before.written_bytes) / puts,
           "bytes given to the file system for each, " + level.text());
    report(cat("store_put_syncs_", level.suffix()), static_cast<double>(after.syncs - before.syncs) / puts,
           "syncs for each, " + level.text());
  }
  co_return Result<void>();
}

// ---- what reaches the file system in batches

constexpr std::size_t kBatch = 200;  // puts at once; the next ones when all of them are done
constexpr std::size_t kObjectBytes = 1024;
constexpr std::size_t kUpdatesOfKey = 10;

Task<Result<void>> put_batch(store::Store* store, std::size_t first, std::size_t keys) {
  struct Put {
    static Task<Result<void>> one(store::Store* store, std::string key, store::Bytes value) {
      Result<std::size_t> done = co_await put_once(store, std::move(key), std::move(value));
      if (!done) co_return done.error();
      co_return Result<void>();
    }
  };
  const auto value = std::make_shared<const std::string>(kObjectBytes, 'x');
  io::TaskScope scope;
  for (std::size_t i = first; i < first + kBatch; ++i) scope.spawn(Put::one(store, write_key(0, 0, i % keys), value));
  co_return co_await scope.join();
}

Task<Result<void>> compact_all(Context context, store::Store* store) {
  Result<void> done = co_await store->compact(store->revision());
  while (done && store->stats().sweeping) done = co_await context.loop.sleep(std::chrono::milliseconds(5));
  co_return done;
}

// `updates`: each key is written several times, and all but the newest is dropped in the end.
Task<Result<void>> amplify(Context context, std::string dir, std::size_t puts, bool updates) {
  const Activity before = activity(::getpid());
  auto store = co_await make_store(context, std::move(dir), Duration(0));
  if (!store) co_return store.error();
  const std::size_t batches = std::max(puts / kBatch, kUpdatesOfKey);
  const std::size_t keys = (updates ? batches / kUpdatesOfKey : batches) * kBatch;
  Result<void> done;
  for (std::size_t i = 0; i < batches && done; ++i) done = co_await put_batch(store->get(), i * kBatch, keys);
  if (done && updates) done = co_await compact_all(context, store->get());
  const std::uint64_t syncs = (*store)->stats().syncs;
  co_await (*store)->close();  // the rest of the write-ahead log moves into the database
  if (!done) co_return done;
  const Activity after = activity(::getpid());
  const auto objects = static_cast<double>(batches * kBatch);
  const std::string name = updates ? "with_compaction" : "in_batches";
  const std::string what = updates ? "of objects written ten times, and a compaction" : "of new objects";
  report("store_amplification_" + name,
         static_cast<double>(after.write_bytes - before.write_bytes) / objects / static_cast<double>(kObjectBytes),
         cat("bytes sent to the disk for each byte ", what, ", 1 KB, ", kBatch, " at once"));
  report("store_syncs_per_object_" + name, static_cast<double>(syncs) / objects, "syncs for each object");
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> measure_store(Context context, Options options) {
  auto store = co_await make_store(context, options.text("dir"), std::chrono::minutes(5));
  if (!store) co_return store.error();
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  Result<void> done = co_await write_levels_to(context, store->get(), write_levels(options), length);
  co_await (*store)->close();
  co_return done;
}

Task<Result<void>> measure_amplification(Context context, Options options) {
  const auto puts = static_cast<std::size_t>(options.number("puts", 100'000));
  const std::string dir = options.text("dir");
  for (const bool updates : {false, true}) {
    Result<void> done = co_await amplify(context, dir, puts, updates);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> measure_stall(Context context, Options options) {
  const Steady steady(options);
  auto opened = co_await make_store(context, options.text("dir"), steady.compact_interval);
  if (!opened) co_return opened.error();
  store::Store* store = opened->get();
  const auto value = std::make_shared<const std::string>(Steady::kValueBytes, 'x');
  Action put = [store, value](std::size_t, std::uint64_t number) {
    return put_once(store, Steady::key(number), value);
  };
  Result<Load> load = co_await run_paced(context, Steady::kPerSecond, steady.length, std::move(put));
  const store::Stats stats = store->stats();
  co_await store->close();
  if (!load) co_return load.error();
  steady.report_load("store", *load);
  report("store_steady_stall_ms", static_cast<double>(stats.longest_stall_us) / 1e3,
         "longest that a commit, a checkpoint or a read kept the storage thread");
  co_return Result<void>();
}

Steady::Steady(const Options& options)
    : length(std::chrono::milliseconds(options.number("ms", 600'000))),
      compact_interval(std::chrono::milliseconds(options.number("compact-ms", 300'000))) {}

std::string Steady::key(std::uint64_t number) {
  constexpr std::uint64_t kKeys = 2000;
  return cat("/steady/", number % kKeys);
}

void Steady::report_load(const std::string& prefix, const Load& load) const {
  const std::string tail = cat(", 500 puts of 1 KB a second for ", length.count() / 1'000'000'000, " s");
  report(prefix + "_steady_p50_us", load.percentile_us(0.50), "median time" + tail);
  report(prefix + "_steady_p99_us", load.percentile_us(0.99), "99th percentile" + tail);
  report(prefix + "_steady_max_ms", load.percentile_us(1.00) / 1e3, "longest that a put took from when it was due");
}

}  // namespace kayak::bench
