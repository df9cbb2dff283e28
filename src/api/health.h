// health.h: /livez, /readyz and /healthz: named checks, alone or together.
// Source: Kubernetes docs, "Kubernetes API health endpoints"; apiserver pkg/server/healthz.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/query.h"
#include "base/result.h"

namespace kayak::api {

struct HealthAnswer {
  int status = 200;
  std::string text;
};

class HealthChecks {
 public:
  using Check = std::function<Result<void>()>;
  // kAlwaysAlive: named by /livez, too, which does not ask it.
  enum class Of : std::uint8_t { kBoth, kReadiness, kAlwaysAlive };
  void add(std::string name, Of of, Check check);
  // `path`: "/readyz" or "/readyz/<check>". ?verbose lists the checks, ?exclude=<check> leaves some out.
  HealthAnswer answer(std::string_view path, const QueryPairs& query) const;

 private:
  struct Row {
    std::string name;
    Of of;
    Check check;
  };
  std::vector<Row> rows_;
};

}  // namespace kayak::api
