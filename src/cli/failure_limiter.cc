// failure_limiter.cc: see failure_limiter.h.
#include "cli/failure_limiter.h"

#include <arpa/inet.h>

#include <algorithm>

namespace kayak::cli {

namespace {

constexpr std::size_t kNetworkBytes = 8;

std::string source_of(const std::string& ip) {
  unsigned char bytes[16];
  if (inet_pton(AF_INET6, ip.c_str(), bytes) != 1) return ip;
  return std::string(reinterpret_cast<const char*>(bytes), kNetworkBytes);
}

}  // namespace

bool FailureLimiter::allows(const std::string& ip, Instant now) const {
  const auto found = sources_.find(source_of(ip));
  return found == sources_.end() || found->second - now <= kInterval * (kBurst - 1);
}

void FailureLimiter::failed(const std::string& ip, Instant now) {
  const std::string source = source_of(ip);
  if (sources_.size() >= kSources && !sources_.contains(source)) {
    std::erase_if(sources_, [now](const auto& one) { return one.second <= now; });
    if (sources_.size() >= kSources) {
      const auto oldest = std::min_element(sources_.begin(), sources_.end(),
                                           [](const auto& a, const auto& b) { return a.second < b.second; });
      sources_.erase(oldest);
    }
  }
  Instant& forgiven = sources_[source];
  forgiven = std::max(forgiven, now) + kInterval;
}

}  // namespace kayak::cli
