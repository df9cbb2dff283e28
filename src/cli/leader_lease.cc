// leader_lease.cc: see leader_lease.h.
#include "cli/leader_lease.h"

#include <algorithm>

#include "api/document.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {
using namespace std::chrono_literals;
constexpr Duration kRetryPeriod = 2s, kRenewDeadline = 10s;
constexpr const char* kNamespace = "kube-system";
}  // namespace

LeaderLease::LeaderLease(Context context, client::Client& client, std::string name, std::string holder,
                         std::int64_t seconds)
    : context_(std::move(context)),
      client_(client),
      name_(std::move(name)),
      holder_(std::move(holder)),
      seconds_(seconds) {}

Task<Result<std::optional<LeaderLease::Seen>>> LeaderLease::read(StopToken stop) {
  Result<api::ObjectRef> lease = co_await client_.get(api::kinds::leases(), kNamespace, name_, stop);
  if (!lease && lease.error().code() == Code::kNotFound) co_return std::optional<Seen>();
  if (!lease) co_return lease.error();
  const json::Document document = (*lease)->document();
  Seen seen;
  seen.holder = api::text_at(*document, {"spec", "holderIdentity"});
  seen.renewed = api::text_at(*document, {"spec", "renewTime"});
  seen.acquired = api::text_at(*document, {"spec", "acquireTime"});
  if (const json::Value* seconds = document->at({"spec", "leaseDurationSeconds"})) seen.seconds = seconds->int_or(0);
  if (const json::Value* count = document->at({"spec", "leaseTransitions"})) seen.transitions = count->int_or(0);
  seen.revision = cat((*lease)->revision());
  co_return std::optional<Seen>(std::move(seen));
}

Task<Result<void>> LeaderLease::write(const Seen* seen, StopToken stop) {
  const std::string now = format_micro_time(context_.clock.wall());
  const bool mine = seen != nullptr && seen->holder == holder_;
  json::Value lease = json::Value(json::Object());
  lease["apiVersion"] = "coordination.k8s.io/v1";
  lease["kind"] = "Lease";
  lease["metadata"]["name"] = name_;
  lease["metadata"]["namespace"] = kNamespace;
  if (seen != nullptr) lease["metadata"]["resourceVersion"] = seen->revision;
  lease["spec"]["holderIdentity"] = holder_;
  lease["spec"]["leaseDurationSeconds"] = seconds_;
  lease["spec"]["acquireTime"] = mine && !seen->acquired.empty() ? seen->acquired : now;
  lease["spec"]["renewTime"] = now;
  lease["spec"]["leaseTransitions"] = seen == nullptr ? std::int64_t{0} : seen->transitions + (mine ? 0 : 1);
  client::WriteOptions options;
  Result<api::ObjectRef> written = Error(Code::kInternal, "");
  if (seen == nullptr) {
    written = co_await client_.create(api::kinds::leases(), kNamespace, std::move(lease), options, stop);
  } else {
    written = co_await client_.update(api::kinds::leases(), kNamespace, name_, std::move(lease), options, stop);
  }
  if (!written) co_return written.error();
  co_return Result<void>();
}

Task<Result<bool>> LeaderLease::try_once(bool by_force, StopToken stop) {
  Result<std::optional<Seen>> seen = co_await read(stop);
  if (!seen) co_return seen.error();
  const Instant now = context_.clock.now();
  if (*seen != last_) {
    last_ = *seen;
    last_change_ = now;
  }
  const Seen* found = last_ ? &*last_ : nullptr;
  const bool others = found != nullptr && !found->holder.empty() && found->holder != holder_;
  const bool given_up = others && now - last_change_ > std::chrono::seconds(found->seconds);
  if (others && !given_up && !by_force) co_return false;
  Result<void> written = co_await write(found, stop);
  if (!written) co_return written.error();
  co_return true;
}

Task<Result<void>> LeaderLease::take(StopToken stop) {
  Result<bool> taken = co_await try_once(true, stop);
  if (!taken) co_return taken.error();
  co_return Result<void>();
}

Task<Result<void>> LeaderLease::acquire(StopToken stop) {
  for (;;) {
    const Result<bool> mine = co_await try_once(false, stop);
    if (mine && *mine) co_return Result<void>();
    const Result<void> slept = co_await context_.loop.sleep(kRetryPeriod, stop);
    if (!slept) co_return slept;
  }
}

Task<Result<void>> LeaderLease::keep(StopToken stop) {
  Instant renewed = context_.clock.now();
  for (;;) {
    const Result<void> slept = co_await context_.loop.sleep(kRetryPeriod, stop);
    if (!slept) co_return slept;
    // Others count from the last renewal: an attempt ends before they may take it.
    const Instant began = context_.clock.now();
    const io::Deadline deadline(context_.loop, std::max(renewed + kRenewDeadline - began, Duration(0)), stop);
    const Result<bool> mine = co_await try_once(false, deadline.token());
    if (mine && *mine) {
      renewed = began;
      continue;
    }
    if (mine) co_return Error(Code::kConflict, cat("the lease ", name_, " is another's"));
    if (stop.stopped()) co_return mine.error();
    if (context_.clock.now() - renewed >= kRenewDeadline) co_return mine.error();
  }
}

Task<void> LeaderLease::release() {
  const io::Deadline deadline(context_.loop, kRetryPeriod);
  Result<std::optional<Seen>> seen = co_await read(deadline.token());
  if (!seen || !*seen || (*seen)->holder != holder_) co_return;
  json::Value patch = json::Value(json::Object());
  patch["metadata"]["resourceVersion"] = (*seen)->revision;
  patch["spec"]["holderIdentity"] = "";
  patch["spec"]["leaseDurationSeconds"] = std::int64_t{1};
  client::WriteOptions options;
  (void)co_await client_.patch(api::kinds::leases(), kNamespace, name_, client::PatchType::kMerge, std::move(patch),
                               options, deadline.token());
}

}  // namespace kayak::cli
