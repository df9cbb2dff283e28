// processes.cc: see processes.h; and the verbs `memory` and `activity`.
#include "bench/processes.h"

#include <dirent.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/strings.h"
#include "bench/bench.h"

namespace kayak::bench {

namespace {

std::string read_proc(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The numeric entries of a folder: processes of /proc, threads of /proc/PID/task.
std::vector<int> numbered(const std::string& folder) {
  std::vector<int> numbers;
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return numbers;
  while (const dirent* entry = ::readdir(dir)) {
    std::int64_t number = 0;
    if (parse_int64(entry->d_name, &number)) numbers.push_back(static_cast<int>(number));
  }
  ::closedir(dir);
  return numbers;
}

// The number behind "name:" in a file of such lines; 0 when it is not there.
std::int64_t field(const std::string& text, std::string_view name) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    std::string_view rest = trim(line.substr(name.size() + 1));
    std::int64_t value = 0;
    parse_int64(rest.substr(0, rest.find(' ')), &value);
    return value;
  }
  return 0;
}

int parent_of(int pid) { return static_cast<int>(field(read_proc(cat("/proc/", pid, "/status")), "PPid")); }

}  // namespace

std::int64_t cpu_nanoseconds(int pid) {
  std::int64_t sum = 0;
  for (int thread : numbered(cat("/proc/", pid, "/task"))) {
    const std::string text = read_proc(cat("/proc/", pid, "/task/", thread, "/schedstat"));
    std::int64_t value = 0;
    parse_int64(text.substr(0, text.find(' ')), &value);
    sum += value;
  }
  return sum;
}

Activity activity(int pid) {
  Activity seen;
  seen.cpu_ns = cpu_nanoseconds(pid);
  for (int thread : numbered(cat("/proc/", pid, "/task"))) {
    seen.wakeups += field(read_proc(cat("/proc/", pid, "/task/", thread, "/status")), "voluntary_ctxt_switches");
  }
  const std::string io = read_proc(cat("/proc/", pid, "/io"));
  seen.write_bytes = field(io, "write_bytes");
  seen.write_calls = field(io, "syscw");
  return seen;
}

std::vector<ProcessMemory> process_tree(int root, const std::string& marker) {
  std::multimap<int, int> children;
  std::vector<int> todo = {root};
  for (int pid : numbered("/proc")) {
    children.emplace(parent_of(pid), pid);
    if (marker.empty() || pid == root) continue;
    const bool is_shim = read_proc(cat("/proc/", pid, "/comm")).starts_with("kayak-shim");
    if (is_shim && read_proc(cat("/proc/", pid, "/cmdline")).find(marker) != std::string::npos) todo.push_back(pid);
  }
  std::set<int> seen;
  std::vector<ProcessMemory> tree;
  while (!todo.empty()) {
    const int pid = todo.back();
    todo.pop_back();
    if (!seen.insert(pid).second) continue;
    const std::string rollup = read_proc(cat("/proc/", pid, "/smaps_rollup"));
    ProcessMemory memory;
    memory.pid = pid;
    memory.name = std::string(trim(read_proc(cat("/proc/", pid, "/comm"))));
    memory.pss_kb = field(rollup, "Pss");
    memory.rss_kb = field(rollup, "Rss");
    if (!rollup.empty()) tree.push_back(std::move(memory));
    const auto [first, last] = children.equal_range(pid);
    for (auto child = first; child != last; ++child) todo.push_back(child->second);
  }
  return tree;
}

Task<Result<void>> measure_memory(Context, Options options) {
  const std::string label = options.text("label", "idle");
  const int pid = static_cast<int>(options.number("pid", 0));
  const std::vector<ProcessMemory> tree = process_tree(pid, options.text("marker"));
  if (tree.empty()) co_return Error(Code::kNotFound, cat("there is no process ", pid));
  ProcessMemory all, server, shims;
  std::int64_t shim_count = 0;
  for (const ProcessMemory& one : tree) {
    all.pss_kb += one.pss_kb;
    all.rss_kb += one.rss_kb;
    if (one.pid == pid) server = one;
    if (one.name != "kayak-shim") continue;
    ++shim_count;
    shims.pss_kb += one.pss_kb;
    shims.rss_kb += one.rss_kb;
  }
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  report(cat("pss_kb_", label), number(all.pss_kb), cat("PSS of all ", tree.size(), " processes, ", label));
  report(cat("rss_kb_", label), number(all.rss_kb), "RSS of the same");
  report(cat("server_pss_kb_", label), number(server.pss_kb), "PSS of the server's process alone");
  if (shim_count > 0) {
    report(cat("shims_pss_kb_", label), number(shims.pss_kb), cat("PSS of ", shim_count, " shims"));
    report(cat("shims_rss_kb_", label), number(shims.rss_kb), "RSS of the same");
  }
  co_return Result<void>();
}

Task<Result<void>> measure_activity(Context context, Options options) {
  const int pid = static_cast<int>(options.number("pid", 0));
  const std::int64_t seconds = std::max<std::int64_t>(1, options.number("seconds", 60));
  const Activity before = activity(pid);
  const Instant start = context.clock.now();
  Result<void> slept = co_await context.loop.sleep(std::chrono::seconds(seconds));
  if (!slept) co_return slept;
  const Activity after = activity(pid);
  const double minutes = static_cast<double>((context.clock.now() - start).count()) / 60e9;
  const auto per_minute = [minutes](std::int64_t from, std::int64_t to) {
    return static_cast<double>(to - from) / minutes;
  };
  const std::string over = cat("per minute, seen over ", seconds, " s");
  report("disk_bytes_idle_minute", per_minute(before.write_bytes, after.write_bytes), "bytes sent to disk " + over);
  report("write_calls_idle_minute", per_minute(before.write_calls, after.write_calls), "write system calls " + over);
  report("wakeups_idle_minute", per_minute(before.wakeups, after.wakeups), "voluntary context switches " + over);
  report("cpu_ms_idle_minute", per_minute(before.cpu_ns, after.cpu_ns) / 1e6, "CPU time in ms " + over);
  co_return Result<void>();
}

}  // namespace kayak::bench
