// bench.h: what the measurements share: their options, how a figure is printed, percentiles, the load itself.
// kayak_bench measures and prints; it never judges: no figure fails a run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/loop.h"

namespace kayak::bench {

// "--name value" pairs of a command line; what follows "--" is kept apart.
class Options {
 public:
  static Result<Options> parse(const std::vector<std::string>& args);
  std::string text(std::string_view name, std::string_view fallback = "") const;
  std::int64_t number(std::string_view name, std::int64_t fallback) const;
  // "1,16,1000"
  std::vector<std::int64_t> numbers(std::string_view name, std::vector<std::int64_t> fallback) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> rest_;
};

// One figure as a line of standard output: "figure", key, value and what it is, separated by tabs. The key's name
// says the unit.
void report(std::string_view key, double value, std::string_view what);

double median(std::vector<double> values);  // 0 when empty

// What a load came to.
struct Load {
  double seconds = 0;  // wall time
  double own_cpu = 0;  // share of one core that this program took
  std::uint64_t requests = 0, bytes = 0;
  std::vector<double> latencies_us;  // sorted
  double per_second() const { return seconds > 0 ? static_cast<double>(requests) / seconds : 0; }
  double megabytes_per_second() const { return seconds > 0 ? static_cast<double>(bytes) / 1e6 / seconds : 0; }
  double percentile_us(double share) const;  // share in [0, 1]
};
// Does request `number` of client `client` and gives the bytes it moved. A client's requests follow one another.
using Action = std::function<Task<Result<std::size_t>>(std::size_t client, std::uint64_t number)>;
// `clients` clients repeat `action` for `length`, all on this loop. Errors: the first failure of an action.
Task<Result<Load>> run_load(Context context, std::size_t clients, Duration length, Action action);
// `action` so many times a second for `length`, whether the ones before have ended or not. Times are counted from when
// each was due, so that none hides behind a stall.
Task<Result<Load>> run_paced(Context context, std::int64_t per_second, Duration length, Action action);
// The load of the longest stall: updates of the same objects, and compaction.
struct Steady {
  static constexpr std::int64_t kPerSecond = 500;
  static constexpr std::size_t kValueBytes = 1024;
  explicit Steady(const Options& options);  // --ms, --compact-ms
  static std::string key(std::uint64_t number);
  void report_load(const std::string& prefix, const Load& load) const;
  Duration length, compact_interval;
};

// Several runs of one load, told as medians over the runs.
class Runs {
 public:
  void add(const Load& load, double server_cpu_us_per_request);
  bool empty() const { return rates_.empty(); }
  double per_second() const { return median(rates_); }
  double megabytes_per_second() const { return median(megabytes_); }
  double p50_us() const { return median(p50_); }
  double p99_us() const { return median(p99_); }
  double server_cpu_us() const { return median(server_cpu_); }
  double own_cpu() const { return median(own_cpu_); }

 private:
  std::vector<double> rates_, megabytes_, p50_, p99_, server_cpu_, own_cpu_;
};

// The measurements, a file each.
Task<Result<void>> measure_boot(Context context, Options options);
Task<Result<void>> measure_api(Context context, Options options);
Task<Result<void>> measure_apply(Context context, Options options);
Task<Result<void>> measure_disk(Context context, Options options);
Task<Result<void>> measure_store(Context context, Options options);
Task<Result<void>> measure_amplification(Context context, Options options);
Task<Result<void>> measure_stall(Context context, Options options);
Task<Result<void>> measure_writes(Context context, Options options);
Task<Result<void>> measure_gateway(Context context, Options options);
Task<Result<void>> measure_reads(Context context, Options options);
Task<Result<void>> measure_watches(Context context, Options options);
Task<Result<void>> measure_steady(Context context, Options options);
Task<Result<void>> measure_memory(Context context, Options options);
Task<Result<void>> measure_activity(Context context, Options options);

}  // namespace kayak::bench
