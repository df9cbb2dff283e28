// metrics.h: counters, gauges and histograms in Prometheus text form, with a bound on label cardinality.
// Source: Prometheus exposition format 0.0.4. Loop thread only, but for Counter::add which any thread may call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kayak {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_ = value; }
  void add(double delta) { value_ += delta; }
  double value() const { return value_; }

 private:
  double value_ = 0;
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void observe(double value);
  const std::vector<double>& bounds() const { return bounds_; }
  const std::vector<std::uint64_t>& counts() const { return counts_; }  // one more than bounds: +Inf
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// Owns every metric. A family refuses more than `kMaxSeries` label sets: the rest share one "other" series
// (CVE-2020-8552).
class Metrics {
 public:
  static constexpr std::size_t kMaxSeries = 2000;
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  // Read when /metrics is asked for.
  void gauge_callback(std::string_view name, std::string_view help, std::function<double()> read);
  Histogram& histogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                       const Labels& labels = {});
  std::string to_text() const;

 private:
  struct Family;
  std::map<std::string, std::shared_ptr<Family>, std::less<>> families_;
  Family& family(std::string_view name, std::string_view help, int type);
};

}  // namespace kayak
