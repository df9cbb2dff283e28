// leader_lease.h: one Lease of coordination.k8s.io in kube-system as a lock, the way client-go's leader election uses
// it. Source: client-go tools/leaderelection (15 s, 10 s, 2 s; who judges by the time of its own clock since it last
// saw a change, never by the times in the lease).
#pragma once

#include <optional>
#include <string>

#include "client/client.h"

namespace kayak::cli {

class LeaderLease {
 public:
  static constexpr std::int64_t kSeconds = 15;

  // `client` outlives it. `seconds`: how long others wait before they take it for given up.
  LeaderLease(Context context, client::Client& client, std::string name, std::string holder, std::int64_t seconds);

  // Takes it from whoever has it, or renews it. Errors: those of the API.
  Task<Result<void>> take(StopToken stop);
  // Waits until it is free or given up, and takes it. Errors: Cancelled.
  Task<Result<void>> acquire(StopToken stop);
  // Renews it every 2 s; ends when that failed for 10 s, or somebody else has it.
  Task<Result<void>> keep(StopToken stop);
  // Gives it up. What fails is left to time.
  Task<void> release();

 private:
  struct Seen {
    std::string holder, renewed;
    std::int64_t seconds = 0, transitions = 0;
    std::string acquired, revision;
    bool operator==(const Seen&) const = default;
  };
  Task<Result<void>> write(const Seen* seen, StopToken stop);
  Task<Result<std::optional<Seen>>> read(StopToken stop);
  // True: it is this one's now.
  Task<Result<bool>> try_once(bool by_force, StopToken stop);

  Context context_;
  client::Client& client_;
  const std::string name_, holder_;
  const std::int64_t seconds_;
  std::optional<Seen> last_;  // seen, and when it was seen to change
  Instant last_change_{};
};

}  // namespace kayak::cli
