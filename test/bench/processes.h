// processes.h: what /proc says about a server and all that runs below it.
// Source: proc(5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace kayak::bench {

// CPU time of every thread of `pid` that lives, in nanoseconds.
std::int64_t cpu_nanoseconds(int pid);

// Sums over the threads or from the files of one process.
struct Activity {
  std::int64_t cpu_ns = 0;
  std::int64_t wakeups = 0;      // voluntary context switches
  std::int64_t write_bytes = 0;  // sent to the storage layer
  std::int64_t write_calls = 0;
};
Activity activity(int pid);

struct ProcessMemory {
  int pid = 0;
  std::string name;  // as in /proc/PID/comm
  std::int64_t pss_kb = 0, rss_kb = 0;
};
// `root` and all its descendants, among them those that were handed to another parent but carry `marker` in their
// command line, with theirs.
std::vector<ProcessMemory> process_tree(int root, const std::string& marker);

}  // namespace kayak::bench
