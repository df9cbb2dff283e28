// writes.cc: see writes.h.
#include "bench/writes.h"

#include "base/strings.h"

namespace kayak::bench {

std::string WriteLevel::suffix() const { return cat(clients, "_", bytes, "b"); }
std::string WriteLevel::text() const { return cat(clients, clients == 1 ? " client, " : " clients, ", bytes, " B"); }

std::vector<WriteLevel> write_levels(const Options& options) {
  std::vector<WriteLevel> levels;
  for (const std::int64_t bytes : options.numbers("bytes", {256, 1024})) {
    for (const std::int64_t clients : options.numbers("clients", {1, 16, 1000})) {
      levels.push_back(WriteLevel{static_cast<std::size_t>(clients), static_cast<std::size_t>(bytes)});
    }
  }
  return levels;
}

std::string write_key(std::size_t level, std::size_t client, std::uint64_t number) {
  return cat("/bench/", level, "/", client, "/", number);
}

store::TxnRequest put_request(std::string key, store::Bytes value) {
  store::TxnRequest request;
  store::Op op;
  op.key = std::move(key);
  op.value = std::move(value);
  request.success.push_back(std::move(op));
  return request;
}

void report_writes(const std::string& prefix, const WriteLevel& level, const Load& load, std::string_view how) {
  const std::string tail = ", " + level.text();
  report(cat(prefix, "_puts_per_s_", level.suffix()), load.per_second(), cat("durable puts a second", tail, how));
  report(cat(prefix, "_put_p50_us_", level.suffix()), load.percentile_us(0.50), "median time" + tail);
  report(cat(prefix, "_put_p99_us_", level.suffix()), load.percentile_us(0.99), "99th percentile" + tail);
}

}  // namespace kayak::bench
