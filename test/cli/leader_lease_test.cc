// leader_lease_test.cc: one Lease as a lock: who may take it, and when.
#include "cli/leader_lease.h"

#include <catch2/catch.hpp>

#include "api/document.h"
#include "base/strings.h"
#include "support/documents.h"
#include "support/fake_client.h"

using namespace kayak;
using namespace std::chrono_literals;
using cli::LeaderLease;
using kayak::test::FakeClient;

namespace {

constexpr const char* kName = "kube-scheduler";

struct Bed {
  Bed() : context{loop, clock, random, Log::discard(), metrics}, client(context) {}
  void held(const std::string& holder, const std::string& renewed, int transitions = 3) {
    client.put(api::kinds::leases(),
               test::named("kube-system", kName,
                           cat("{'spec':{'holderIdentity':'", holder, "','leaseDurationSeconds':15,'acquireTime':'",
                               "2026-01-01T00:00:00.000000Z','renewTime':'", renewed,
                               "','leaseTransitions':", transitions, "}}")));
  }
  std::string field(std::string_view name) const {
    const api::ObjectRef lease = client.find(api::kinds::leases(), "kube-system", kName);
    if (!lease) return "(no lease)";
    const json::Document document = lease->document();
    const json::Value* value = document->at({"spec", name});
    return value == nullptr ? "(absent)" : value->is_string() ? value->as_string() : json::write(*value);
  }
  Loop loop;
  ManualClock clock;
  SeededRandom random{5};
  Metrics metrics;
  Context context;
  FakeClient client;
};

// Whether `lease` was taken within `tries` of its tries, with `step` of its own clock between two of them.
Task<Result<void>> try_to_acquire(Bed& bed, LeaderLease& lease, Duration step, int tries, bool* taken,
                                  std::function<void()> between = nullptr) {
  io::StopSource stop;
  io::TaskScope scope;
  struct Try {
    static Task<Result<void>> run(LeaderLease& lease, bool* taken, StopToken stop) {
      const Result<void> mine = co_await lease.acquire(stop);
      *taken = mine.ok();
      co_return Result<void>();
    }
  };
  scope.spawn(Try::run(lease, taken, stop.token()));
  for (int i = 0; i < tries; ++i) {
    auto slept = co_await bed.loop.sleep(2100ms, StopToken());
    if (!slept || *taken) break;
    bed.clock.advance(step);
    if (between) between();
  }
  stop.stop();
  co_return co_await scope.join();
}

Task<Result<void>> free_ones(Bed& bed) {
  LeaderLease lease(bed.context, bed.client, kName, "me", LeaderLease::kSeconds);
  // Not there.
  Result<void> taken = co_await lease.acquire(StopToken());
  CHECK(taken.ok());
  CHECK(bed.field("holderIdentity") == "me");
  CHECK(bed.field("leaseTransitions") == "0");
  CHECK(bed.field("leaseDurationSeconds") == "15");
  const std::string acquired = bed.field("acquireTime");
  // One's own: renewed, not taken anew.
  bed.clock.advance(5s);
  taken = co_await lease.acquire(StopToken());
  CHECK(taken.ok());
  CHECK(bed.field("acquireTime") == acquired);
  CHECK(bed.field("renewTime") != acquired);
  CHECK(bed.field("leaseTransitions") == "0");
  // Given up by its holder.
  co_await lease.release();
  CHECK(bed.field("holderIdentity") == "");
  CHECK(bed.field("leaseDurationSeconds") == "1");
  LeaderLease other(bed.context, bed.client, kName, "other", LeaderLease::kSeconds);
  taken = co_await other.acquire(StopToken());
  CHECK(taken.ok());
  CHECK(bed.field("holderIdentity") == "other");
  CHECK(bed.field("leaseTransitions") == "1");
  // Another's is not given up.
  co_await lease.release();
  CHECK(bed.field("holderIdentity") == "other");
  co_return Result<void>();
}

Task<Result<void>> times_of_others_count_for_nothing(Bed& bed) {
  // Long out of date by its own times, but who sees it for the first time cannot know whose clock is wrong.
  bed.held("other", "2020-01-01T00:00:00.000000Z");
  LeaderLease lease(bed.context, bed.client, kName, "me", LeaderLease::kSeconds);
  bool taken = false;
  auto tried = co_await try_to_acquire(bed, lease, 8s, 1, &taken);
  CHECK(tried.ok());
  CHECK_FALSE(taken);
  CHECK(bed.field("holderIdentity") == "other");
  // Renewed between two looks that are further apart than its duration: not given up.
  int renewal = 1;
  tried = co_await try_to_acquire(bed, lease, 16s, 2, &taken,
                                  [&] { bed.held("other", cat("2020-01-01T00:00:0", renewal++, ".000000Z")); });
  CHECK(tried.ok());
  CHECK_FALSE(taken);
  CHECK(bed.field("holderIdentity") == "other");
  co_return Result<void>();
}

Task<Result<void>> given_up(Bed& bed) {
  // In the future by its own times.
  bed.held("other", "2099-01-01T00:00:00.000000Z", 3);
  LeaderLease lease(bed.context, bed.client, kName, "me", LeaderLease::kSeconds);
  bool taken = false;
  auto tried = co_await try_to_acquire(bed, lease, 16s, 3, &taken);
  CHECK(tried.ok());
  CHECK(taken);
  CHECK(bed.field("holderIdentity") == "me");
  CHECK(bed.field("leaseTransitions") == "4");
  CHECK(bed.field("acquireTime") == format_micro_time(bed.clock.wall()));
  co_return Result<void>();
}

Task<Result<void>> taken_by_force(Bed& bed) {
  bed.held("other", "2099-01-01T00:00:00.000000Z", 0);
  LeaderLease lease(bed.context, bed.client, kName, "me", 86400);
  const Result<void> taken = co_await lease.take(StopToken());
  CHECK(taken.ok());
  CHECK(bed.field("holderIdentity") == "me");
  CHECK(bed.field("leaseTransitions") == "1");
  CHECK(bed.field("leaseDurationSeconds") == "86400");
  // The API refuses: it says so.
  bed.client.refuse = [](std::string_view verb, const api::Kind&, const std::string&,
                         const std::string&) -> std::optional<Error> {
    if (verb != "update") return std::nullopt;
    return Error(Code::kConflict, "the object has been modified");
  };
  const Result<void> refused = co_await lease.take(StopToken());
  CHECK_FALSE(refused.ok());
  co_return Result<void>();
}

Task<Result<void>> lost(Bed& bed) {
  LeaderLease lease(bed.context, bed.client, kName, "me", LeaderLease::kSeconds);
  const Result<void> taken = co_await lease.acquire(StopToken());
  CHECK(taken.ok());
  bed.held("other", "2026-01-01T00:00:00.000000Z");
  const Result<void> kept = co_await lease.keep(StopToken());
  CHECK((!kept.ok() && kept.error().code() == Code::kConflict));
  CHECK(bed.field("holderIdentity") == "other");
  // Without an answer for longer than ten seconds it is not kept either.
  LeaderLease other(bed.context, bed.client, kName, "other", LeaderLease::kSeconds);
  bed.client.refuse = [&bed](std::string_view, const api::Kind&, const std::string&,
                             const std::string&) -> std::optional<Error> {
    bed.clock.advance(11s);
    return Error(Code::kUnavailable, "no leader");
  };
  const Result<void> silent = co_await other.keep(StopToken());
  CHECK((!silent.ok() && silent.error().code() == Code::kUnavailable));
  co_return Result<void>();
}

void run(Task<Result<void>> (*body)(Bed& bed)) {
  Bed bed;
  const Result<void> done = bed.loop.run(body(bed));
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

}  // namespace

TEST_CASE("a leader's lease that is free is taken, renewed and released") { run(free_ones); }
TEST_CASE("a leader's lease that its holder renews is not taken, whatever its times say") {
  run(times_of_others_count_for_nothing);
}
TEST_CASE("a leader's lease that stayed the same for its duration is given up") { run(given_up); }
TEST_CASE("a leader's lease that only tells is taken by force") { run(taken_by_force); }
TEST_CASE("a leader's lease is lost to another, or after ten seconds of silence") { run(lost); }
