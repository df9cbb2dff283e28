// bench.cc: see bench.h.
#include "bench/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/strings.h"
#include "io/task.h"

namespace kayak::bench {

Result<Options> Options::parse(const std::vector<std::string>& args) {
  Options options;
  for (std::size_t i = 0; i < args.size(); i += 2) {
    if (args[i] == "--") {
      options.rest_.assign(args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (!args[i].starts_with("--") || i + 1 == args.size()) {
      return Error(Code::kInvalid, cat("want \"--name value\", not ", quote(args[i])));
    }
    options.values_[args[i].substr(2)] = args[i + 1];
  }
  return options;
}

std::string Options::text(std::string_view name, std::string_view fallback) const {
  auto found = values_.find(name);
  return found == values_.end() ? std::string(fallback) : found->second;
}

std::int64_t Options::number(std::string_view name, std::int64_t fallback) const {
  std::int64_t value = fallback;
  auto found = values_.find(name);
  if (found != values_.end() && !parse_int64(found->second, &value)) return fallback;
  return value;
}

std::vector<std::int64_t> Options::numbers(std::string_view name, std::vector<std::int64_t> fallback) const {
  std::vector<std::int64_t> numbers;
  for (const std::string_view one : split(text(name), ',')) {
    std::int64_t value = 0;
    if (parse_int64(one, &value)) numbers.push_back(value);
  }
  return numbers.empty() ? fallback : numbers;
}

void report(std::string_view key, double value, std::string_view what) {
  // Three significant digits are all that a measurement on a shared machine can bear.
  const int decimals = std::fabs(value) >= 100 || value == std::floor(value) ? 0 : std::fabs(value) >= 10 ? 1 : 2;
  std::printf("figure\t%.*s\t%.*f\t%.*s\n", static_cast<int>(key.size()), key.data(), decimals, value,
              static_cast<int>(what.size()), what.data());
  std::fflush(stdout);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Load::percentile_us(double share) const {
  if (latencies_us.empty()) return 0;
  const double last = static_cast<double>(latencies_us.size() - 1);
  return latencies_us[static_cast<std::size_t>(std::llround(last * share))];
}

namespace {

double own_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Task<Result<void>> one_client(const Clock* clock, std::size_t client, Instant end, const Action* action, Load* load) {
  for (std::uint64_t number = 0;; ++number) {
    const Instant start = clock->now();
    if (start >= end) break;
    Result<std::size_t> moved = co_await (*action)(client, number);
    if (!moved) co_return moved.error();
    load->latencies_us.push_back(static_cast<double>((clock->now() - start).count()) / 1e3);
    ++load->requests;
    load->bytes += *moved;
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<Load>> run_load(Context context, std::size_t clients, Duration length, Action action) {
  Load load;
  const Instant start = context.clock.now();
  const double cpu = own_cpu_seconds();
  io::TaskScope scope;
  for (std::size_t client = 0; client < clients; ++client) {
    scope.spawn(one_client(&context.clock, client, start + length, &action, &load));
  }
  Result<void> ended = co_await scope.join();
  if (!ended) co_return ended.error();
  load.seconds = static_cast<double>((context.clock.now() - start).count()) / 1e9;
  load.own_cpu = (own_cpu_seconds() - cpu) / load.seconds;
  std::sort(load.latencies_us.begin(), load.latencies_us.end());
  co_return load;
}

namespace {

Task<Result<void>> one_due(const Clock* clock, Instant due, std::uint64_t number, const Action* action, Load* load) {
  Result<std::size_t> moved = co_await (*action)(0, number);
  if (!moved) co_return moved.error();
  load->latencies_us.push_back(static_cast<double>((clock->now() - due).count()) / 1e3);
  ++load->requests;
  load->bytes += *moved;
  co_return Result<void>();
}

}  // namespace

Task<Result<Load>> run_paced(Context context, std::int64_t per_second, Duration length, Action action) {
  Load load;
  const Instant start = context.clock.now();
  const Duration period = Duration(1'000'000'000 / per_second);
  io::TaskScope scope;
  for (std::uint64_t number = 0;; ++number) {
    const Duration offset = period * static_cast<std::int64_t>(number);
    if (offset >= length) break;
    const Instant due = start + offset;
    const Instant now = context.clock.now();
    if (due > now) {
      Result<void> slept = co_await context.loop.sleep(due - now, scope.token());
      if (!slept) break;
    }
    scope.spawn(one_due(&context.clock, due, number, &action, &load));
  }
  Result<void> ended = co_await scope.join();
  if (!ended) co_return ended.error();
  load.seconds = static_cast<double>((context.clock.now() - start).count()) / 1e9;
  std::sort(load.latencies_us.begin(), load.latencies_us.end());
  co_return load;
}

void Runs::add(const Load& load, double server_cpu_us_per_request) {
  rates_.push_back(load.per_second());
  megabytes_.push_back(load.megabytes_per_second());
  p50_.push_back(load.percentile_us(0.50));
  p99_.push_back(load.percentile_us(0.99));
  own_cpu_.push_back(load.own_cpu);
  server_cpu_.push_back(server_cpu_us_per_request);
}

}  // namespace kayak::bench
