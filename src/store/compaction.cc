// compaction.cc: what history is given up, and the slow work of dropping its rows.
// A compaction is an entry of the log, so that every server compacts alike; dropping rows is each server's own affair.
#include <algorithm>

#include "base/strings.h"
#include "store/forward.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
// Below this much history a compaction costs the flash more than it frees.
constexpr Revision kWorthRevisions = 1000;
constexpr std::uint64_t kWorthBytes = 1024 * 1024;
// A slice holds the storage thread, so a slow disk gets small ones.
constexpr std::size_t kMinSlice = 16, kMaxSlice = 1024;
constexpr Duration kSliceTarget = 10ms;
constexpr Duration kPause = 2ms;  // between slices: commits come first
constexpr Duration kRetry = 1s;   // after a full disk, or while reads hold the rows
}  // namespace

Task<Result<void>> SqliteStore::compact(Revision revision, StopToken stop) {
  return compact(revision, true, std::move(stop));
}

Result<void> SqliteStore::may_compact(Revision revision) const {
  if (revision <= pending_floor_) {
    return Error(Code::kExpired, cat("revision ", revision, " has been compacted already"));
  }
  if (revision > state_.revision()) return Error(Code::kInvalid, "required revision is a future revision");
  return Result<void>();
}

Task<Result<void>> SqliteStore::compact(Revision revision, bool carries, StopToken stop) {
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  CallLeader<Revision> ask = [revision](const etcd::EtcdKv& leader, StopToken stop) {
    return leader.compact(revision, stop);
  };
  for (;;) {
    while (!may_propose()) {
      auto carried = co_await here_or<Revision>(ask, carries, stop);
      if (!carried) co_return carried.error();
      if (*carried) co_return Result<void>();
    }
    const Result<void> may = may_compact(revision);
    if (may) break;
    auto sure = co_await vouched(stop);
    if (!sure) co_return sure.error();
    if (*sure) co_return may.error();
  }
  Effect effect;
  effect.type = EffectType::kCompact;
  effect.floor = revision;
  effect.previous_row = pending_compact_row_;
  Entry entry;
  entry.revision = pending_revision();
  entry.effects.push_back(std::move(effect));
  WaiterRef waiter = propose(std::move(entry));
  pending_floor_ = revision;
  if (!in_flight_.empty()) pending_compact_row_ = row_id(in_flight_.back().entry->index, 0);
  auto committed = co_await wait_for(waiter, stop);
  if (waiter->superseded) co_return Error(Code::kUnavailable, "another server leads since; nothing was compacted");
  co_return committed;
}

Revision SqliteStore::sweep_floor() const {
  return pins_.empty() ? state_.floor() : std::min(state_.floor(), *pins_.begin());
}

Task<void> SqliteStore::sweep_forever() {
  const StopToken stop = scope_.token();
  SweepLimits limits;
  while (!stop.stopped()) {
    if (!sweeping_) {
      const bool wanted = co_await sweep_wanted_.wait(stop);
      if (!wanted || closing_) co_return;
      sweep_wanted_.reset();
      sweeping_ = true;
    }
    limits.floor = sweep_floor();
    limits.commit = state_.applied();
    const bool held_back = limits.floor < state_.floor();
    auto slice = co_await storage_->sweep(limits);
    Duration pause = kPause;
    if (!slice) {
      if (failed_ || slice.error().code() != Code::kNoSpace) co_return;
      pause = kRetry;
    } else {
      if (slice->swept_row != 0) replica_->compacted(row_index(slice->swept_row));
      for (const SweepResult::Tombstone& tombstone : slice->tombstones)
        state_.forget_tombstone(tombstone.key, tombstone.row);
      if (slice->took > kSliceTarget) limits.rows = std::max(limits.rows / 2, kMinSlice);
      if (slice->took < kSliceTarget / 4 && !slice->held_back) limits.rows = std::min(limits.rows * 2, kMaxSlice);
      if (slice->held_back) pause = kRetry / 10;
      if (slice->done && held_back) pause = kRetry / 10;
      if (slice->done && !held_back) {
        sweeping_ = false;
        continue;
      }
    }
    auto slept = co_await context_.loop.sleep(pause, stop);
    if (!slept) co_return;
  }
}

// At each interval what was there at the last one is given up: history lasts one to two intervals.
Task<void> SqliteStore::compact_forever() {
  const StopToken stop = scope_.token();
  Revision before = state_.revision();
  for (;;) {
    auto slept = co_await context_.loop.sleep(options_.compact_interval, stop);
    if (!slept || failed_) co_return;
    if (!leadership_.leads) {
      before = state_.revision();
      continue;
    }
    const bool worth = before - state_.floor() >= kWorthRevisions || bytes_since_compact_ >= kWorthBytes;
    if (worth && before > pending_floor_) {
      auto compacted = co_await compact(before, stop);
      if (!compacted && compacted.error().code() != Code::kCancelled) {
        context_.log.warn("compaction", {{"error", compacted.error().message()}});
      }
    }
    before = state_.revision();
  }
}

}  // namespace kayak::store
