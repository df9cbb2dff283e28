// control_plane.cc: see control_plane.h.
#include "cli/control_plane.h"

#include "base/strings.h"
#include "cli/leader_lease.h"
#include "client/inprocess.h"
#include "sched/sched.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

// Of leases that only tell: others must find them held for as long as this server leads, and flash is spared.
constexpr std::int64_t kToldSeconds = 24 * 60 * 60;
constexpr Duration kToldPeriod = 8h;
constexpr Duration kRetry = 2s;
// The first lease is renewed when both are there: well before others may take it.
constexpr Duration kTakeBoth = 8s;

struct LeaseRow {
  const char* name;
  client::Identity (*identity)();
};
constexpr LeaseRow kLeases[] = {{"kube-scheduler", client::scheduler_identity},
                                {"kube-controller-manager", client::controller_manager_identity}};

}  // namespace

ControlPlane::ControlPlane(Context context, api::ApiServer& api, store::Store& store, Options options)
    : context_(std::move(context)), api_(api), store_(store), options_(std::move(options)) {
  std::string random(8, '\0');
  context_.random.fill(std::as_writable_bytes(std::span<char>(random)));
  holder_ = cat(options_.node_name, "_", hex_encode(random));
}

Task<Result<void>> ControlPlane::run(StopToken stop) {
  while (!stop.stopped()) {
    const store::Leadership leadership = store_.leadership();
    if (!leadership.leads) {
      const bool changed = co_await store_.leadership_changed(leadership, stop);
      if (!changed && !stop.stopped()) co_return Error(Code::kUnavailable, "the store has stopped");
      continue;
    }
    Result<void> led;
    if (leadership.term == 0) {
      led = co_await run_elected(stop);
    } else {
      led = co_await run_as_leader(leadership, stop);
    }
    if (!led) co_return led;
  }
  co_return Result<void>();
}

Task<Result<void>> ControlPlane::run_as_leader(store::Leadership leadership, StopToken stop) {
  context_.log.info("this server leads: scheduler and controllers run here", {{"term", cat(leadership.term)}});
  io::TaskScope scope(stop);
  io::StopSource over;
  io::StopCallback on_over(over.token(), [&scope] { scope.stop(); });
  scope.spawn(follow(leadership, &over, scope.token()));
  scope.spawn(announce(leadership.term, scope.token()));
  scope.spawn(
      keep_api_endpoints(context_.named("endpoints"), api_, leadership.term, options_.api_addresses, scope.token()));
  scope.spawn(run_parts(leadership.term, scope.token()));
  Result<void> ended = co_await scope.join();
  if (over.token().stopped() && !stop.stopped()) {
    context_.log.info("this server leads no more: scheduler and controllers have stopped here");
    // What they failed with, if at all, was the end of the leadership.
    co_return Result<void>();
  }
  co_return ended;
}

Task<Result<void>> ControlPlane::follow(store::Leadership leadership, io::StopSource* over, StopToken stop) {
  store::Leadership known = leadership;
  while (known.leads && known.term == leadership.term) {
    const bool changed = co_await store_.leadership_changed(known, stop);
    if (!changed) break;
    known = store_.leadership();
  }
  // Else a part has failed, or the server stops: the leadership goes on.
  if (!stop.stopped()) over->stop();
  co_return Result<void>();
}

Task<Result<void>> ControlPlane::run_parts(std::uint64_t term, StopToken stop) {
  // Informers of their own: they end with this leadership, and begin with all that was acknowledged before it.
  auto informer_client =
      client::make_inprocess_client(context_.named("informers"), api_, client::controller_identity("informers"), term);
  auto informers = client::make_informer_factory(context_.named("informers"), *informer_client);
  auto scheduler_client =
      client::make_inprocess_client(context_.named("scheduler"), api_, client::scheduler_identity(), term);
  sched::Scheduler scheduler(context_.named("scheduler"), *scheduler_client, *informers, sched::Scheduler::Options());
  auto client_for = [this, term](std::string_view name) {
    return client::make_inprocess_client(context_.named("controllers"), api_, client::controller_identity(name), term);
  };
  auto all = controllers::make_controllers(context_.named("controllers"), client_for, *informers, options_.controllers);
  io::TaskScope scope(stop);
  scope.spawn(repair_claims(term, scope.token()));
  scope.spawn(informers->run(scope.token()));
  scope.spawn(scheduler.run(scope.token()));
  scope.spawn(all->run(scope.token()));
  co_return co_await scope.join();
}

// What it repairs is rare, and it is tried again: no reason to stop the others. Where nothing is to be repaired it
// reads and writes nothing.
Task<Result<void>> ControlPlane::repair_claims(std::uint64_t term, StopToken stop) {
  while (!stop.stopped()) {
    const Result<void> repaired = co_await api_.repair_service_claims(term, stop);
    if (!repaired && !stop.stopped()) {
      context_.log.warn("service addresses could not be repaired", {{"error", repaired.error().message()}});
    }
    const Result<void> slept = co_await context_.loop.sleep(options_.repair_period, stop);
    if (!slept) break;
  }
  co_return Result<void>();
}

// Says to whoever looks at the Leases that this server has them.
Task<Result<void>> ControlPlane::announce(std::uint64_t term, StopToken stop) {
  while (!stop.stopped()) {
    Duration pause = kToldPeriod;
    for (const LeaseRow& row : kLeases) {
      auto lease_client = client::make_inprocess_client(context_.named("leader-election"), api_, row.identity(), term);
      LeaderLease lease(context_, *lease_client, row.name, holder_, kToldSeconds);
      const Result<void> held = co_await lease.take(stop);
      if (held || stop.stopped()) continue;
      context_.log.debug("a leader's lease is not written yet",
                         {{"lease", row.name}, {"error", held.error().message()}});
      pause = kRetry;
    }
    const Result<void> slept = co_await context_.loop.sleep(pause, stop);
    if (!slept) break;
  }
  co_return Result<void>();
}

// client-go's election. Both parts run in this process, so the first lease decides for both: waiting for the second one
// would leave the first to others meanwhile.
Task<Result<void>> ControlPlane::run_elected(StopToken stop) {
  auto first_client = client::make_inprocess_client(context_.named("leader-election"), api_, kLeases[0].identity());
  auto second_client = client::make_inprocess_client(context_.named("leader-election"), api_, kLeases[1].identity());
  LeaderLease first(context_, *first_client, kLeases[0].name, holder_, LeaderLease::kSeconds);
  LeaderLease second(context_, *second_client, kLeases[1].name, holder_, LeaderLease::kSeconds);
  const Result<void> acquired = co_await first.acquire(stop);
  if (!acquired) co_return Result<void>();  // to stop is all that ends it
  const io::Deadline patience(context_.loop, kTakeBoth, stop);
  const Result<void> both = co_await second.take(patience.token());
  if (!both) {
    // Who had it has written it in this moment, or etcd does not answer. Others may have more luck meanwhile.
    if (!stop.stopped()) {
      context_.log.warn("one of the two leases could not be had: the other one is given up for now",
                        {{"lease", kLeases[1].name}, {"error", both.error().message()}});
    }
    co_await first.release();
    (void)co_await context_.loop.sleep(kRetry, stop);
    co_return Result<void>();
  }
  context_.log.info("this server holds the leases: scheduler and controllers run here");
  io::TaskScope scope(stop);
  bool lost = false;
  struct Keep {
    static Task<Result<void>> run(LeaderLease* lease, io::TaskScope* scope, bool* lost, StopToken stop) {
      (void)co_await lease->keep(stop);
      if (!stop.stopped()) *lost = true;
      scope->stop();
      co_return Result<void>();
    }
  };
  scope.spawn(Keep::run(&first, &scope, &lost, scope.token()));
  scope.spawn(Keep::run(&second, &scope, &lost, scope.token()));
  scope.spawn(run_parts(0, scope.token()));
  scope.spawn(keep_api_endpoints(context_.named("endpoints"), api_, 0, options_.api_addresses, scope.token()));
  Result<void> ended = co_await scope.join();
  if (lost) context_.log.warn("this server lost its leases: scheduler and controllers have stopped here");
  // Others need not wait until what it still has runs out.
  co_await first.release();
  co_await second.release();
  co_return lost ? Result<void>() : ended;
}

}  // namespace kayak::cli
