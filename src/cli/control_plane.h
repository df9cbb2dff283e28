// control_plane.h: scheduler and controllers, on one server of several.
// On the embedded store they run where the Raft leader is: they start when this server leads and has applied all that
// was acknowledged, and stop when it leads no more; what they write carries the term, so that the store refuses what
// comes late. The Leases kube-system/kube-scheduler and kube-controller-manager say so to others; they are written once
// per leadership and then seldom, as they decide nothing. On an external etcd they decide alone, as upstream's do.
// Source: client-go tools/leaderelection; kube-scheduler and kube-controller-manager, --leader-elect-*.
#pragma once

#include <memory>
#include <string>

#include "api/api.h"
#include "cli/api_endpoints.h"
#include "controllers/controllers.h"
#include "store/store.h"

namespace kayak::cli {

class ControlPlane {
 public:
  struct Options {
    std::string node_name;
    controllers::Options controllers;
    ApiAddresses api_addresses;  // of all API servers
    // What a write left behind that ended in the midst (its client went away) holds addresses and ports so long.
    Duration repair_period = std::chrono::minutes(10);
  };
  // Both outlive it.
  ControlPlane(Context context, api::ApiServer& api, store::Store& store, Options options);
  // Until `stop`. Errors: a part's that failed for good.
  Task<Result<void>> run(StopToken stop);

 private:
  Task<Result<void>> run_as_leader(store::Leadership leadership, StopToken stop);
  Task<Result<void>> run_parts(std::uint64_t term, StopToken stop);
  Task<Result<void>> repair_claims(std::uint64_t term, StopToken stop);
  Task<Result<void>> follow(store::Leadership leadership, io::StopSource* over, StopToken stop);
  Task<Result<void>> announce(std::uint64_t term, StopToken stop);
  Task<Result<void>> run_elected(StopToken stop);

  Context context_;
  api::ApiServer& api_;
  store::Store& store_;
  const Options options_;
  std::string holder_;  // the node's name and a random part, as client-go's
};

}  // namespace kayak::cli
