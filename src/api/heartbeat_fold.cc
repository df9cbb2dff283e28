// heartbeat_fold.cc: see heartbeat_fold.h.
#include "api/heartbeat_fold.h"

#include <algorithm>
#include <deque>

#include "api/store_ops.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

using namespace std::chrono_literals;

constexpr Duration kRetry = 30s;     // after a full disk
constexpr Duration kLastFold = 5s;   // a disk that hangs must not keep the server from stopping
constexpr std::size_t kAtOnce = 64;  // transactions on their way together

using Group = std::vector<std::string>;  // keys

// The n-th heartbeats of all kinds make the n-th group.
std::vector<Group> groups_of(const WatchCache& cache) {
  std::vector<Group> groups;
  std::map<const Kind*, std::size_t> taken;
  for (const auto& [key, entry] : cache.heartbeats().entries()) {
    // Another write of this key is under way; when it fails, the next fold takes the heartbeat.
    if (!cache.heartbeats().at_rest(key, cache.revision())) continue;
    const std::size_t n = taken[&entry.shown->kind()]++;
    if (n == groups.size()) groups.emplace_back();
    groups[n].push_back(key);
  }
  return groups;
}

struct Fold {
  store::Store& store;
  WatchCache& cache;
  std::vector<Group> groups{};
  std::size_t next = 0;
  store::Revision newest = 0;
};

Task<Result<bool>> write_group(Fold& fold, const Group& group, StopToken stop) {
  store::TxnRequest txn;
  txn.term = fold.store.leadership().term;
  std::deque<HeartbeatOverlay::Writing> writing;
  for (const std::string& key : group) {
    // As it is shown now: since the groups were made there may have been another heartbeat, or a write of the key.
    const HeartbeatOverlay::Entry* entry = fold.cache.heartbeats().find(key);
    if (entry == nullptr) continue;
    writing.emplace_back(fold.cache.heartbeats(), key);
    txn.compares.push_back(stands_at(key, entry->shown->revision()));
    txn.success.push_back(put_of(key, entry->shown->text()));
  }
  if (txn.success.empty()) co_return true;
  auto done = co_await fold.store.txn(std::move(txn), stop);
  if (!done) co_return done.error();
  if (!done->succeeded) co_return false;
  fold.newest = std::max(fold.newest, done->revision);
  for (HeartbeatOverlay::Writing& one : writing) one.done(done->revision, fold.cache.revision());
  fold.cache.count_folded(writing.size());
  co_return true;
}

Task<Result<void>> write_groups(Fold& fold, StopToken stop) {
  while (fold.next < fold.groups.size()) {
    const Group& group = fold.groups[fold.next++];
    auto written = co_await write_group(fold, group, stop);
    if (!written) co_return written.error();
    if (*written || group.size() == 1) continue;
    // One of them was written meanwhile, and that write took its heartbeat along; the others go alone.
    for (const std::string& key : group) {
      const Group alone(1, key);
      auto again = co_await write_group(fold, alone, stop);
      if (!again) co_return again.error();
    }
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<store::Revision>> fold_heartbeats(store::Store& store, WatchCache& cache, StopToken stop) {
  Fold fold{.store = store, .cache = cache, .groups = groups_of(cache)};
  io::TaskScope scope(stop);
  const std::size_t workers = std::min(kAtOnce, fold.groups.size());
  for (std::size_t i = 0; i < workers; ++i) scope.spawn(write_groups(fold, scope.token()));
  if (auto joined = co_await scope.join(); !joined) co_return joined.error();
  co_return fold.newest;
}

Task<Result<bool>> fold_heartbeats_older_than(Context context, store::Store& store, WatchCache& cache, Duration age,
                                              StopToken stop) {
  const std::optional<Instant> oldest = cache.heartbeats().oldest();
  if (!oldest || context.clock.now() - *oldest < age) co_return false;
  auto folded = co_await fold_heartbeats(store, cache, stop);
  if (!folded) co_return folded.error();
  if (auto seen = co_await cache.wait_until(*folded, stop); !seen) co_return seen.error();
  co_return *folded > 0;
}

Task<Result<void>> keep_folding_heartbeats(Context context, store::Store& store, WatchCache& cache,
                                           const HeartbeatLink* link, Duration age, StopToken stop) {
  for (;;) {
    const bool pending = co_await cache.heartbeats().pending().wait(stop);
    if (!pending) co_return Result<void>();
    const std::optional<Instant> oldest = cache.heartbeats().oldest();
    if (!oldest) continue;
    Duration pause = *oldest + age - context.clock.now();
    const bool others = pause <= Duration(0) && link != nullptr && !link->leads();
    if (others) {
      pause = age;  // the leader's write will come, or this server will lead
    } else if (pause <= Duration(0)) {
      auto folded = co_await fold_heartbeats_older_than(context, store, cache, age, stop);
      if (stop.stopped()) co_return Result<void>();
      if (!folded) context.log.warn("heartbeats could not be folded", {{"error", folded.error().message()}});
      if (folded && *folded) continue;
      pause = kRetry;
    }
    auto slept = co_await context.loop.sleep(pause, stop);
    if (!slept) co_return Result<void>();
  }
}

Task<void> fold_last_heartbeats(Context context, store::Store& store, WatchCache& cache) {
  cache.heartbeats().close();
  io::Deadline deadline(context.loop, kLastFold);
  auto folded = co_await fold_heartbeats(store, cache, deadline.token());
  if (!folded) context.log.warn("the last heartbeats are lost", {{"error", folded.error().message()}});
}

}  // namespace kayak::api
