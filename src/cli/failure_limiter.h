// failure_limiter.h: how often one source may be wrong. Values in, values out: the time is handed in.
// A source is an IPv4 address or an IPv6 /64, which is what one host can have. It may fail kBurst times at once and
// then once in kInterval: no secret of token.h's least length is guessed at that rate.
#pragma once

#include <map>
#include <string>

#include "base/clock.h"

namespace kayak::cli {

class FailureLimiter {
 public:
  static constexpr int kBurst = 10;
  static constexpr Duration kInterval = std::chrono::seconds(10);
  static constexpr std::size_t kSources = 1024;  // beyond that the one that failed longest ago is forgotten

  // Whether `ip` may try (again) now.
  bool allows(const std::string& ip, Instant now) const;
  void failed(const std::string& ip, Instant now);
  std::size_t size() const { return sources_.size(); }

 private:
  // When all its failures are forgiven; a leaky bucket in one number.
  std::map<std::string, Instant> sources_;
};

}  // namespace kayak::cli
