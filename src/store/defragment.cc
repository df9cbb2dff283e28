// defragment.cc: the engine's side of a defragmentation: steps of the storage thread, with turns of others in between.
// It is each server's own affair, the leader's too: no step keeps a commit waiting longer than a slice of a sweep.
#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "store/sqlite_store.h"
#include "store/store_guards.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
// The disk's own time, which decides nothing that a simulation could see.
using DiskClock = std::chrono::steady_clock;

// A step holds the storage thread, so a slow disk gets small ones.
constexpr std::size_t kLeastStep = 64 * 1024, kMostStep = 4 * 1024 * 1024;
constexpr Duration kStepTarget = 10ms;
constexpr Duration kPause = 2ms;  // between steps: commits come first

struct Step {
  bool done = false;
  Duration took{};
};
}  // namespace

Task<Result<void>> SqliteStore::defragment(StopToken stop) {
  if (auto good = usable(); !good) co_return good.error();
  if (defragmenting_) co_return Error(Code::kConflict, "this server's store is being defragmented already");
  defragmenting_ = true;
  auto told = std::make_shared<Defragmentation>();
  scope_.spawn(defragment_now(told));
  // A client that waits for five seconds must not make a slow disk begin again and again.
  const bool ended = co_await told->done.wait(std::move(stop));
  if (!ended) co_return Error(Code::kCancelled, "stopped waiting; the store is still being defragmented");
  co_return told->result;
}

Task<void> SqliteStore::defragment_now(std::shared_ptr<Defragmentation> told) {
  const std::uint64_t before = stats().database_bytes;
  const Instant start = context_.clock.now();
  told->result = co_await copy_database();
  defragmenting_ = false;
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(context_.clock.now() - start).count();
  if (told->result) {
    context_.log.info("the store was defragmented",
                      {{"bytes_before", before}, {"bytes_after", stats().database_bytes}, {"milliseconds", took}});
  } else {
    context_.log.warn("the store was not defragmented", {{"error", told->result.error().message()}});
  }
  told->done.set();
}

Task<Result<void>> SqliteStore::copy_database() {
  const StopToken stop = scope_.token();
  const Storage::Epoch epoch = storage_->epoch();
  auto begin = [](Database& database) { return database.begin_defragment(); };
  auto begun = co_await storage_->call(epoch, begin);
  if (!begun) co_return begun;
  for (std::size_t bytes = kLeastStep;;) {
    auto go_on = [bytes](Database& database) -> Result<Step> {
      const auto start = DiskClock::now();
      const Result<bool> done = database.defragment(bytes);
      if (!done) return done.error();
      return Step{*done, DiskClock::now() - start};
    };
    auto step = co_await storage_->call(epoch, go_on);
    const bool replaced = !step && step.error().code() == Code::kExpired;
    if (replaced) co_return Error(Code::kUnavailable, "to defragment came too late: another server's state came");
    if (!step) co_return step.error();
    if (step->done) co_return Result<void>();
    if (step->took > kStepTarget) bytes = std::max(bytes / 2, kLeastStep);
    if (step->took < kStepTarget / 4) bytes = std::min(bytes * 2, kMostStep);
    auto slept = co_await context_.loop.sleep(kPause, stop);
    if (slept) continue;
    Error stopped(Code::kUnavailable, "the attempt to defragment was given up: the store is closed");
    auto give_up = [stopped](Database& database) -> Result<void> {
      database.give_up_defragment(stopped);
      return Result<void>();
    };
    auto gone = co_await storage_->call(epoch, give_up);
    co_return gone ? Result<void>(stopped) : gone;
  }
}

}  // namespace kayak::store
