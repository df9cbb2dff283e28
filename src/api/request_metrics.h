// request_metrics.h: what /metrics says about requests. Labels come from the kind table and the verbs alone, never from
// a client's text (CVE-2020-8552).
// Source: Kubernetes metrics reference, apiserver_request_*.
#pragma once

#include <map>
#include <tuple>

#include "api/api.h"
#include "base/metrics.h"

namespace kayak::api {

class RequestMetrics {
 public:
  explicit RequestMetrics(Metrics& metrics) : metrics_(metrics) {}
  struct Started {
    const Kind* kind = nullptr;
    const SubresourceRow* subresource = nullptr;
    Verb verb = Verb::kGet;
    bool namespaced = false;
    bool one = false;  // names one object
    Instant at;
  };
  Started begin(const ApiRequest& request, Instant now);
  void end(const Started& started, int code, Instant now);

 private:
  using Key = std::tuple<const Kind*, const SubresourceRow*, Verb, int, int>;  // + code, scope
  Metrics& metrics_;
  std::map<Key, Counter*> totals_;
  std::map<std::pair<const Kind*, Verb>, Histogram*> durations_;
  Gauge* inflight_[2] = {nullptr, nullptr};
};

}  // namespace kayak::api
