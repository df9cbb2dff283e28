// control_plane_test.cc: scheduler and controllers start where the leader is, stop with its leadership, and what comes
// late of an old term is refused.
#include "cli/control_plane.h"

#include <catch2/catch.hpp>

#include "api/document.h"
#include "api/watch_cache.h"
#include "base/strings.h"
#include "support/documents.h"
#include "support/fake_leadership.h"
#include "support/memory_store.h"

using namespace kayak;
using namespace std::chrono_literals;
using kayak::test::FakeLeadership;
using kayak::test::MemoryStore;

namespace {

// A store whose leadership the test sets, and that refuses other terms as the embedded one does.
class LedStore final : public store::Store {
 public:
  explicit LedStore(Context context) : store_(std::move(context)) {}

  void set(store::Leadership leadership) { leadership_.set(leadership); }
  Task<Result<store::RangeResponse>> range(store::RangeRequest request, StopToken stop) override {
    return store_.range(std::move(request), std::move(stop));
  }
  Task<Result<store::TxnResponse>> txn(store::TxnRequest request, StopToken stop) override {
    if (request.term != 0) {
      terms.push_back(request.term);
      const bool current = leadership_.get().leads && leadership_.get().term == request.term;
      if (!current) {
        ++refused;
        co_return Error(Code::kConflict, "another term");
      }
    }
    if (!fails_once.empty() && !request.success.empty() && request.success[0].key == fails_once) {
      fails_once.clear();
      co_return Error(Code::kUnavailable, "the outcome is unknown");
    }
    co_return co_await store_.txn(std::move(request), std::move(stop));
  }
  Result<std::unique_ptr<store::Watch>> watch(store::WatchRequest request) override {
    return store_.watch(std::move(request));
  }
  Task<Result<void>> compact(store::Revision revision, StopToken stop) override {
    return store_.compact(revision, std::move(stop));
  }
  store::Leadership leadership() const override { return leadership_.get(); }
  Task<bool> leadership_changed(store::Leadership known, StopToken stop) override {
    return leadership_.changed(known, std::move(stop));
  }
  store::Revision revision() const override { return store_.revision(); }
  store::Revision compacted() const override { return store_.compacted(); }
  store::Stats stats() const override { return store_.stats(); }
  Task<void> close() override { return store_.close(); }

  std::vector<std::uint64_t> terms;  // of the writes that had one
  int refused = 0;
  std::string fails_once;  // the next write of this key

 private:
  MemoryStore store_;
  FakeLeadership leadership_;
};

store::Leadership led(std::uint64_t term) {
  store::Leadership leadership;
  leadership.leads = true;
  leadership.term = term;
  leadership.leader = leadership.self = 7;
  return leadership;
}
store::Leadership led_by_another(std::uint64_t term) {
  store::Leadership leadership;
  leadership.term = term;
  leadership.leader = 8;
  leadership.self = 7;
  return leadership;
}

struct Bed {
  Bed()
      : context{loop, clock, random, Log::discard(), metrics},
        store(context),
        api(api::ApiServer::create(context, store, api::ApiServerOptions())) {}

  api::ObjectRef get(const api::Kind& kind, const std::string& ns, const std::string& name) const {
    return api->cache().get(kind, ns, name);
  }
  std::string lease_field(std::string_view lease, std::string_view name) const {
    const api::ObjectRef found = get(api::kinds::leases(), "kube-system", std::string(lease));
    if (!found) return "(no lease)";
    const json::Document document = found->document();
    const json::Value* value = document->at({"spec", name});
    return value == nullptr ? "(absent)" : value->is_string() ? value->as_string() : json::write(*value);
  }
  std::size_t replica_sets() const { return api->cache().count(api::kinds::replica_sets(), "default"); }
  Task<bool> until(std::function<bool()> holds) {
    for (int i = 0; i < 2000 && !holds(); ++i) (void)co_await loop.sleep(10ms, StopToken());
    co_return holds();
  }
  Task<Result<void>> deploy(std::string name) {
    api::ApiRequest request;
    request.verb = api::Verb::kCreate;
    request.kind = &api::kinds::deployments();
    request.namespace_ = "default";
    request.user.name = "admin";
    request.user.groups = {"system:masters", "system:authenticated"};
    request.user_agent = "test/1.0";
    request.body = test::named("", name,
                               "{'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':"
                               "{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
    auto made = co_await api->handle(std::move(request), StopToken());
    if (!made) co_return made.error();
    co_return Result<void>();
  }

  Loop loop;
  SystemClock clock;
  SeededRandom random{9};
  Metrics metrics;
  Context context;
  LedStore store;
  std::unique_ptr<api::ApiServer> api;
};

// One with a control plane around `body`.
Task<Result<void>> drive(Bed& bed, Task<Result<void>> (*body)(Bed& bed), Result<void>* ended) {
  io::TaskScope scope;
  scope.spawn(bed.api->run(scope.token()));
  const bool ready = co_await bed.api->wait_ready(scope.token());
  if (!ready) co_return co_await scope.join();
  cli::ControlPlane::Options options;
  options.node_name = "n1";
  options.repair_period = 50ms;
  cli::ControlPlane control(bed.context, *bed.api, bed.store, std::move(options));
  io::TaskScope parts;
  parts.spawn(control.run(parts.token()));
  Result<void> done = co_await body(bed);
  parts.stop();
  *ended = co_await parts.join();
  scope.stop();
  (void)co_await scope.join();
  co_return done;
}

// As a client leaves it that goes away while its service claims hundreds of ports.
Task<Result<void>> repairs_again(Bed& bed) {
  bed.store.set(led(3));
  const bool runs = co_await bed.until([&] { return !bed.store.terms.empty(); });
  CHECK(runs);
  for (int round = 0; round < 2; ++round) {
    store::TxnRequest txn;
    store::Op op;
    op.key = "/kayak/node-ports/30001";
    op.value = std::make_shared<const std::string>("default/gone");
    txn.success.push_back(std::move(op));
    auto left = co_await bed.store.txn(std::move(txn), StopToken());
    CHECK(left.ok());
    store::RangeRequest range;
    range.key = "/kayak/node-ports/30001";
    bool there = true;
    for (int i = 0; i < 2000 && there; ++i) {
      (void)co_await bed.loop.sleep(10ms, StopToken());
      auto found = co_await bed.store.range(range, StopToken());
      there = !found || found->count > 0;
    }
    CHECK_FALSE(there);
  }
  co_return Result<void>();
}

void run(Task<Result<void>> (*body)(Bed& bed)) {
  Bed bed;
  bed.store.set(led_by_another(3));
  Result<void> ended;
  const Result<void> done = bed.loop.run(drive(bed, body, &ended));
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
  INFO((ended ? "" : ended.error().message()));
  CHECK(ended.ok());
}

Task<Result<void>> starts_and_stops(Bed& bed) {
  Result<void> deployed = co_await bed.deploy("first");
  if (!deployed) co_return deployed;
  (void)co_await bed.loop.sleep(100ms, StopToken());
  CHECK(bed.replica_sets() == 0);
  CHECK(bed.lease_field("kube-scheduler", "holderIdentity") == "(no lease)");
  CHECK(bed.store.terms.empty());

  bed.store.set(led(4));
  bool holds = co_await bed.until([&] {
    return bed.replica_sets() == 1 && bed.lease_field("kube-scheduler", "holderIdentity").starts_with("n1_") &&
           bed.lease_field("kube-controller-manager", "holderIdentity").starts_with("n1_");
  });
  CAPTURE(bed.replica_sets(), bed.store.refused, bed.store.terms.size());
  CAPTURE(bed.lease_field("kube-scheduler", "holderIdentity"));
  CAPTURE(bed.lease_field("kube-controller-manager", "holderIdentity"));
  CHECK(holds);
  CHECK(bed.lease_field("kube-scheduler", "leaseTransitions") == "0");
  CHECK_FALSE(bed.store.terms.empty());
  for (const std::uint64_t term : bed.store.terms) CHECK(term == 4);

  bed.store.set(led_by_another(5));
  (void)co_await bed.loop.sleep(100ms, StopToken());
  deployed = co_await bed.deploy("second");
  if (!deployed) co_return deployed;
  (void)co_await bed.loop.sleep(100ms, StopToken());
  CHECK(bed.replica_sets() == 1);

  // It leads again: what was left undone is done.
  bed.store.terms.clear();
  bed.store.set(led(6));
  holds = co_await bed.until([&] { return bed.replica_sets() == 2; });
  CHECK(holds);
  for (const std::uint64_t term : bed.store.terms) CHECK(term == 6);
  co_return Result<void>();
}

// Led twice without a pause: all of the first term stops before anything of the second starts.
Task<Result<void>> another_term_at_once(Bed& bed) {
  bed.store.set(led(4));
  bool holds =
      co_await bed.until([&] { return bed.lease_field("kube-scheduler", "holderIdentity").starts_with("n1_"); });
  CHECK(holds);
  bed.store.set(led(5));
  Result<void> deployed = co_await bed.deploy("late");
  if (!deployed) co_return deployed;
  holds = co_await bed.until([&] { return bed.replica_sets() == 1; });
  CHECK(holds);
  CHECK(bed.store.terms.back() == 5);
  co_return Result<void>();
}

// On an external etcd, where the leases decide: one of them is had, and the other is somebody's in this moment.
Task<Result<void>> half_elected(Bed& bed) {
  bed.store.fails_once = "/registry/leases/kube-system/kube-controller-manager";
  store::Leadership leadership;
  leadership.leads = true;
  bed.store.set(leadership);
  // Others may have both meanwhile.
  bool holds = co_await bed.until(
      [&] { return bed.store.fails_once.empty() && bed.lease_field("kube-scheduler", "holderIdentity").empty(); });
  CHECK(holds);
  CHECK(bed.lease_field("kube-controller-manager", "holderIdentity") == "(no lease)");
  holds = co_await bed.until([&] {
    return bed.lease_field("kube-scheduler", "holderIdentity").starts_with("n1_") &&
           bed.lease_field("kube-controller-manager", "holderIdentity").starts_with("n1_");
  });
  CHECK(holds);
  Result<void> deployed = co_await bed.deploy("first");
  if (!deployed) co_return deployed;
  holds = co_await bed.until([&] { return bed.replica_sets() == 1; });
  CHECK(holds);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("a server that could not get both leases gives up the first, and goes on trying") { run(half_elected); }
TEST_CASE("scheduler and controllers run while this server leads, and write in its term") { run(starts_and_stops); }
TEST_CASE("a new term of the same server starts scheduler and controllers anew") { run(another_term_at_once); }

TEST_CASE("what a write left of its claims on addresses and ports is found while the same server leads") {
  run(repairs_again);
}
