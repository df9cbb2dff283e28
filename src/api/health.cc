// health.cc: health checks as upstream prints them.
#include "api/health.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api {

void HealthChecks::add(std::string name, Of of, Check check) {
  std::erase_if(rows_, [&](const Row& row) { return row.name == name; });
  rows_.push_back(Row{std::move(name), of, std::move(check)});
}

HealthAnswer HealthChecks::answer(std::string_view path, const QueryPairs& query) const {
  const std::size_t slash = path.find('/', 1);
  const std::string_view root = path.substr(1, slash == std::string_view::npos ? slash : slash - 1);
  const std::string_view only = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  const bool readiness = root != "livez";
  auto counts = [&](const Row& row) { return readiness || row.of != Of::kReadiness; };
  auto passes = [&](const Row& row) { return !readiness && row.of == Of::kAlwaysAlive ? Result<void>() : row.check(); };
  if (!only.empty()) {
    for (const Row& row : rows_) {
      if (row.name != only || !counts(row)) continue;
      const Result<void> checked = passes(row);
      if (checked) return HealthAnswer{200, "ok"};
      return HealthAnswer{500, cat("internal server error: ", checked.error().message(), "\n")};
    }
    return HealthAnswer{404, "404 page not found\n"};
  }
  std::vector<std::string> excluded;
  for (const auto& [key, value] : query) {
    if (key == "exclude") excluded.push_back(value);
  }
  std::string lines;
  bool failed = false;
  for (const Row& row : rows_) {
    if (!counts(row)) continue;
    if (std::find(excluded.begin(), excluded.end(), row.name) != excluded.end()) {
      lines += cat("[+]", row.name, " excluded: ok\n");
      continue;
    }
    const Result<void> checked = passes(row);
    failed = failed || !checked;
    // What is wrong is for the log and for who asks for that check alone, not for strangers.
    lines += checked ? cat("[+]", row.name, " ok\n") : cat("[-]", row.name, " failed: reason withheld\n");
  }
  if (failed) return HealthAnswer{500, cat(lines, root, " check failed\n")};
  if (query_value(query, "verbose") == nullptr) return HealthAnswer{200, "ok"};
  return HealthAnswer{200, cat(lines, root, " check passed\n")};
}

}  // namespace kayak::api
