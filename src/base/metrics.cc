// metrics.cc: the registry and its Prometheus text.
// Source: Prometheus exposition format 0.0.4.
#include "base/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/assert.h"
#include "base/strings.h"

namespace kayak {

namespace {

constexpr int kCounter = 0, kGauge = 1, kHistogram = 2, kCallback = 3;
constexpr std::string_view kTypeNames[] = {"counter", "gauge", "histogram", "gauge"};

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

std::string escaped(std::string_view text, bool in_quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || (c == '"' && in_quotes)) out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

// a="b",c="d"; also what tells the series of a family apart.
std::string label_text(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += cat(name, "=\"", escaped(to_valid_utf8(value), true), "\"");
  }
  return text;
}

void append_line(std::string& out, std::string_view name, std::string_view labels, std::string_view value) {
  out += name;
  if (!labels.empty()) out += cat("{", labels, "}");
  out += cat(" ", value, "\n");
}

void append_histogram(std::string& out, std::string_view name, const std::string& labels, const Histogram& histogram) {
  const std::string comma = labels.empty() ? "" : ",";
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
    seen += histogram.counts()[i];
    const std::string bound = i < histogram.bounds().size() ? number(histogram.bounds()[i]) : "+Inf";
    append_line(out, cat(name, "_bucket"), cat(labels, comma, "le=\"", bound, "\""), std::to_string(seen));
  }
  append_line(out, cat(name, "_sum"), labels, number(histogram.sum()));
  append_line(out, cat(name, "_count"), labels, std::to_string(seen));
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds) : bounds_(std::move(upper_bounds)), counts_(bounds_.size() + 1) {
  ASSERT(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += value;
}

// One metric name: exactly one of the maps is used, by `type`.
struct Metrics::Family {
  std::string help;
  int type = kCounter;
  std::map<std::string, Counter> counters;  // by label text; nodes of a map stay where they are
  std::map<std::string, Gauge> gauges;
  std::map<std::string, Histogram> histograms;
  std::function<double()> read;

  // The key of the series of `labels`: itself, or the shared one when the family is full.
  template <typename Series>
  std::string key_in(const std::map<std::string, Series>& series, const Labels& labels) const {
    std::string key = label_text(labels);
    if (series.size() < kMaxSeries || series.contains(key)) return key;
    Labels other = labels;
    for (auto& [name, value] : other) value = "other";
    return label_text(other);
  }
};

Metrics::Family& Metrics::family(std::string_view name, std::string_view help, int type) {
  auto found = families_.find(name);
  if (found == families_.end()) {
    found = families_.emplace(std::string(name), std::make_shared<Family>()).first;
    found->second->help = help;
    found->second->type = type;
  }
  ASSERT(found->second->type == type);  // one name has one type
  return *found->second;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, const Labels& labels) {
  Family& family = this->family(name, help, kCounter);
  return family.counters[family.key_in(family.counters, labels)];
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  Family& family = this->family(name, help, kGauge);
  return family.gauges[family.key_in(family.gauges, labels)];
}

void Metrics::gauge_callback(std::string_view name, std::string_view help, std::function<double()> read) {
  family(name, help, kCallback).read = std::move(read);
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                              const Labels& labels) {
  Family& family = this->family(name, help, kHistogram);
  return family.histograms.try_emplace(family.key_in(family.histograms, labels), bounds).first->second;
}

std::string Metrics::to_text() const {
  std::string out;
  for (const auto& [name, family] : families_) {
    out += cat("# HELP ", name, " ", escaped(family->help, false), "\n");
    out += cat("# TYPE ", name, " ", kTypeNames[family->type], "\n");
    for (const auto& [labels, counter] : family->counters) {
      append_line(out, name, labels, std::to_string(counter.value()));
    }
    for (const auto& [labels, gauge] : family->gauges) append_line(out, name, labels, number(gauge.value()));
    for (const auto& [labels, histogram] : family->histograms) append_histogram(out, name, labels, histogram);
    if (family->read) append_line(out, name, "", number(family->read()));
  }
  return out;
}

}  // namespace kayak
