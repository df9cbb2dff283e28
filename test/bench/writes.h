// writes.h: what loads of writes share, on the store's interface and over etcd's API: their levels, the put itself,
// their figures.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bench.h"
#include "store/store.h"

namespace kayak::bench {

struct WriteLevel {
  std::size_t clients = 1, bytes = 1024;  // of each value
  std::string suffix() const;             // of keys of figures: "16_1024b"
  std::string text() const;               // "16 clients, 1024 B"
};
// Every size of --bytes at every number of --clients.
std::vector<WriteLevel> write_levels(const Options& options);

// Number `number` of `client`: a new key for every level of a store's life.
std::string write_key(std::size_t level, std::size_t client, std::uint64_t number);
store::TxnRequest put_request(std::string key, store::Bytes value);

// Throughput, median and 99th percentile, under "<prefix>_puts_per_s_<suffix>" and so on.
void report_writes(const std::string& prefix, const WriteLevel& level, const Load& load, std::string_view how);

}  // namespace kayak::bench
