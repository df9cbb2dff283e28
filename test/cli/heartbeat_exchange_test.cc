// heartbeat_exchange_test.cc: a member that takes connections and nothing else, as one that was cut off by a power cut
// or a firewall, holds up nobody but itself.
#include "cli/heartbeat_exchange.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "api/document.h"
#include "base/strings.h"
#include "support/api_fixture.h"
#include "support/fake_group.h"

using namespace kayak;
using namespace kayak::cli;
using namespace std::chrono_literals;
using kayak::test::ApiFixture;

namespace {

constexpr store::raft::NodeId kSelf = 1, kDead = 2, kThird = 3;

struct Bed {
  explicit Bed(ApiFixture& fixture) : api(fixture), exchange(fixture.context, group, transport) {
    for (const store::raft::NodeId id : {kSelf, kDead, kThird}) {
      store::Member member;
      member.id = id;
      group.list.push_back(std::move(member));
    }
    transport.on_client = [this](store::raft::NodeId to, StopToken stop) { return connect(to, std::move(stop)); };
    lead(kSelf);
  }
  void lead(store::raft::NodeId leader) {
    store::Leadership leadership;
    leadership.self = kSelf;
    leadership.leader = leader;
    leadership.leads = leader == kSelf;
    leadership.term = ++term;
    group.set(leadership);
  }
  // The dead one is waited for; the third is sent to at once: what comes of that makes no difference here.
  Task<test::FakeTransport::Connection> connect(store::raft::NodeId to, StopToken stop) {
    if (to == kDead) {
      io::Event never;
      (void)co_await never.wait(stop);
    } else {
      sent.push_back(api.clock.now());
    }
    co_return Error(Code::kUnavailable, "not reached");
  }
  // A renewal of a node's lease.
  Task<Result<void>> beat(int second) {
    api::ApiRequest request = api.request(api::Verb::kPatch, api::kinds::leases(), "kube-node-lease", "n1");
    request.body = *json::read(cat(R"({"spec":{"renewTime":"2026-01-01T00:00:)", second, R"(.000000Z"}})"));
    auto done = co_await api.call(std::move(request));
    if (!done) co_return done.error();
    CHECK(done->revision == 0);  // it was absorbed
    co_return Result<void>();
  }

  ApiFixture& api;
  test::FakeGroupStore group;
  test::FakeTransport transport;
  HeartbeatExchange exchange;
  std::vector<Instant> sent;  // to the third
  std::uint64_t term = 0;
};

Task<Result<void>> third_is_told_in_time(ApiFixture& f) {
  Bed bed(f);
  bed.exchange.attach(*f.server);
  api::ApiRequest create = f.request(api::Verb::kCreate, api::kinds::leases(), "kube-node-lease");
  create.body = *json::read(R"({"metadata":{"name":"n1"},"spec":{"holderIdentity":"n1","leaseDurationSeconds":40,
      "renewTime":"2026-01-01T00:00:00.000000Z"}})");
  auto made = co_await f.call(std::move(create));
  if (!made) co_return made.error();
  io::TaskScope scope;
  scope.spawn(bed.exchange.run(scope.token()));
  Duration oldest{};
  for (int i = 10; i < 16; ++i) {
    const Instant noticed = f.clock.now();
    const std::size_t before = bed.sent.size();
    Result<void> beaten = co_await bed.beat(i);
    if (!beaten) co_return beaten;
    for (int wait = 0; wait < 300 && bed.sent.size() == before; ++wait) (void)co_await f.loop.sleep(10ms, StopToken());
    oldest = std::max(oldest, f.clock.now() - noticed);
  }
  CHECK(oldest < 1s);
  scope.stop();
  co_return co_await scope.join();
}

Task<Result<void>> offer_ends(ApiFixture& f) {
  Bed bed(f);
  bed.lead(kDead);
  const Instant before = f.clock.now();
  const io::Deadline deadline(f.loop, 10s);
  const bool taken = co_await bed.exchange.offer(api::Heartbeat(), deadline.token());
  CHECK_FALSE(taken);
  CHECK(f.clock.now() - before < 4s);
  co_return Result<void>();
}

void run(ApiFixture::Body body) {
  ApiFixture fixture;
  const Result<void> done = fixture.run(body);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

}  // namespace

TEST_CASE("heartbeats reach a member within a second while another one does not answer") { run(third_is_told_in_time); }
TEST_CASE("a heartbeat is offered to a leader that does not answer for a moment only") { run(offer_ends); }
