// api_fixture.h: a whole API server on a store in memory, for tests of the API and of what stands above it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/api.h"
#include "api/watch_cache.h"
#include "base/clock.h"
#include "io/loop.h"
#include "support/memory_store.h"

namespace kayak::test {

class ApiFixture {
 public:
  explicit ApiFixture(api::ApiServerOptions options = api::ApiServerOptions(),
                      Duration watch_lag = std::chrono::milliseconds(2))
      : context{loop, clock, random, Log::discard(), metrics},
        link(options.heartbeat_link),
        store(context, watch_lag),
        server(api::ApiServer::create(context, store, std::move(options))) {}

  using Body = Task<Result<void>> (*)(ApiFixture& fixture);
  // Runs the server around `body`; the first failure of either.
  Result<void> run(Body body) { return loop.run(drive(*this, body)); }

  api::UserInfo admin() const {
    api::UserInfo user;
    user.name = "admin";
    user.groups = {"system:masters", "system:authenticated"};
    return user;
  }
  api::ApiRequest request(api::Verb verb, const api::Kind& kind, std::string namespace_ = "",
                          std::string name = "") const {
    api::ApiRequest request;
    request.verb = verb;
    request.kind = &kind;
    request.namespace_ = std::move(namespace_);
    request.name = std::move(name);
    request.user = admin();
    request.user_agent = "test/1.0";
    return request;
  }
  Task<Result<api::ApiResponse>> call(api::ApiRequest request) {
    return server->handle(std::move(request), StopToken());
  }

  io::Loop loop;
  SystemClock clock;
  SeededRandom random{7};
  Metrics metrics;
  Context context;
  api::HeartbeatLink* link;  // as the options have it
  MemoryStore store;
  std::unique_ptr<api::ApiServer> server;

 private:
  static Task<Result<void>> drive(ApiFixture& fixture, Body body) {
    io::TaskScope scope;
    scope.spawn(fixture.server->run(scope.token()));
    Result<void> done;
    const bool ready = co_await fixture.server->wait_ready(scope.token());
    if (ready) done = co_await body(fixture);
    scope.stop();
    auto joined = co_await scope.join();
    if (!done) co_return done;
    co_return joined;
  }
};

}  // namespace kayak::test
