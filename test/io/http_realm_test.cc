// http_realm_test.cc: one port, two servers: the API's clients and the members of a group, who share nothing.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "io/grpc_server.h"
#include "io/http2_client.h"
#include "io/support.h"
#include "io/support_pki.h"

using namespace kayak;
using namespace kayak::io;
using namespace kayak::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* kRealm = "peer.kayak.internal";

struct Certificates {
  Pki serving{"serving"}, clients{"clients"}, peers{"peers"};
  Identity server = serving.server({"kayak.test"}, {}), user = clients.client("jane", {}), member = issue_member();
  Identity issue_member() const {
    CertificateRequest request;
    request.common_name = "kayak-peer";
    request.server_auth = request.client_auth = true;
    return peers.issue(request);
  }
  TlsClientOptions as_user() const {
    return TlsClientOptions{TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem),
                            user.certificate_pem,
                            user.key_pem,
                            {"h2"}};
  }
  TlsClientOptions as_member() const {
    return TlsClientOptions{TlsServerIdentity::realm_any_key(kRealm, peers.ca().certificate_pem),
                            member.certificate_pem,
                            member.key_pem,
                            {"kayak-peer"}};
  }
};

Task<void> answer(HttpExchange& exchange, std::string who) {
  const HttpRequest& request = exchange.request();
  if (request.method == "POST") (void)co_await exchange.body().read_all(1000);
  Slices body(1, Slice::of(cat(who, " ", request.peer.certificate->public_key_sha256)));
  (void)co_await exchange.send(200, Headers(), std::move(body));
}

// A client and its connection, until end().
struct Connected {
  std::unique_ptr<Http2Client> client;
  StopSource stop;
  TaskScope scope;
  Task<Result<void>> open(Context context, Endpoint at, TlsClientOptions options) {
    auto plain = co_await connect_tcp(context, at);
    if (!plain) co_return plain.error();
    auto secured = co_await tls_connect(context, std::move(*plain), std::move(options));
    if (!secured) co_return secured.error();
    client = Http2Client::create(context, std::move(*secured), Http2ClientOptions());
    scope.spawn(run(*client, stop.token()));
    co_return Result<void>();
  }
  static Task<void> run(Http2Client& client, StopToken stop) { (void)co_await client.run(stop); }
  Task<void> end() {
    stop.stop();
    (void)co_await scope.join();
  }
  // What the server answers within `patience`.
  Task<std::string> ask(Duration patience) {
    Http2Request request;
    request.authority = "kayak.test";
    request.timeout = patience;
    auto call = co_await client->open(std::move(request));
    if (!call) co_return says(call);
    auto status = co_await (*call)->status();
    if (!status) co_return says(status);
    auto body = co_await (*call)->body().read_all(1000);
    co_return body ? *body : says(body);
  }
};

struct Served {
  std::unique_ptr<TlsServer> tls;
  std::unique_ptr<HttpServer> http;
};

Served serve(Context context, const Certificates& certificates, HttpLimits limits, bool realm_is_served) {
  Served served;
  auto tls = TlsServer::create(context, TlsServerOptions{certificates.server.certificate_pem,
                                                         certificates.server.key_pem,
                                                         certificates.clients.ca().certificate_pem,
                                                         {"h2", "http/1.1"}});
  REQUIRE(says(tls) == "ok");
  const Identity here = certificates.issue_member();
  const auto opened = (*tls)->set_realm(
      TlsRealm{kRealm, here.certificate_pem, here.key_pem, certificates.peers.ca().certificate_pem, {"kayak-peer"}});
  REQUIRE(says(opened) == "ok");
  auto listener = listen_tcp(context, Endpoint{"127.0.0.1", 0});
  REQUIRE(listener);
  served.tls = std::move(*tls);
  served.http = HttpServer::create(context, std::move(*listener), served.tls.get(), limits,
                                   [](HttpExchange& exchange) { return answer(exchange, "api"); });
  if (realm_is_served) {
    HttpLimits peers = grpc_limits();
    peers.max_connections = 2;
    served.http->serve_realm(peers, [](HttpExchange& exchange) { return answer(exchange, "peers"); });
  }
  return served;
}

Task<Result<void>> both_are_answered(Context context, const Certificates& certificates) {
  Served served = serve(context, certificates, HttpLimits(), true);
  StopSource stop;
  TaskScope scope;
  scope.spawn(served.http->run(stop.token(), 100ms));
  Connected user, member;
  auto opened = co_await user.open(context, served.http->local(), certificates.as_user());
  CHECK(says(opened) == "ok");
  opened = co_await member.open(context, served.http->local(), certificates.as_member());
  CHECK(says(opened) == "ok");
  const std::string to_user = co_await user.ask(5s), to_member = co_await member.ask(5s);
  CHECK(to_user == "api " + parse_certificate_pem(certificates.user.certificate_pem)->public_key_sha256);
  CHECK(to_member == "peers " + parse_certificate_pem(certificates.member.certificate_pem)->public_key_sha256);
  co_await user.end();
  co_await member.end();
  stop.stop();
  co_return co_await scope.join();
}

// `crowd` fills its share; the other side is served nevertheless, the crowd's next one is not.
Task<Result<void>> crowds_are_apart(Context context, const Certificates& certificates, bool users_crowd) {
  HttpLimits limits;
  limits.max_connections = 2;
  Served served = serve(context, certificates, limits, true);
  const Endpoint at = served.http->local();
  StopSource stop;
  TaskScope scope;
  scope.spawn(served.http->run(stop.token(), 100ms));
  const TlsClientOptions crowding = users_crowd ? certificates.as_user() : certificates.as_member();
  const TlsClientOptions other = users_crowd ? certificates.as_member() : certificates.as_user();
  Connected first, second, late, guest;
  for (Connected* one : {&first, &second}) {
    auto opened = co_await one->open(context, at, crowding);
    CHECK(says(opened) == "ok");
  }
  // Requests that stay open, so that neither connection is idle: their bodies never end.
  Http2Request busy;
  busy.authority = "kayak.test";
  busy.method = "POST";
  busy.streams_body = true;
  auto call = co_await first.client->open(busy);
  auto another = co_await second.client->open(std::move(busy));
  const bool both_busy = call.ok() && another.ok();
  CHECK(both_busy);
  auto opened = co_await late.open(context, at, crowding);
  CHECK(says(opened) == "ok");
  opened = co_await guest.open(context, at, other);
  CHECK(says(opened) == "ok");
  const std::string to_late = co_await late.ask(300ms), to_guest = co_await guest.ask(5s);
  CHECK(to_late == "Timeout: HTTP/2 request: timed out");
  CHECK(to_guest.starts_with(users_crowd ? "peers " : "api "));
  call->reset();
  another->reset();
  co_await first.end();
  const std::string when_free = co_await late.ask(5s);
  CHECK(when_free.starts_with(users_crowd ? "api " : "peers "));
  co_await second.end();
  co_await late.end();
  co_await guest.end();
  stop.stop();
  co_return co_await scope.join();
}

Task<Result<void>> nobody_answers(Context context, const Certificates& certificates) {
  Served served = serve(context, certificates, HttpLimits(), false);
  StopSource stop;
  TaskScope scope;
  scope.spawn(served.http->run(stop.token(), 100ms));
  Connected member;
  auto opened = co_await member.open(context, served.http->local(), certificates.as_member());
  if (opened) {
    const std::string got = co_await member.ask(5s);
    CHECK(got.find("closed") != std::string::npos);
  }
  co_await member.end();
  stop.stop();
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("http realm: each side has its handler, which knows the client's key") {
  TestContext test;
  const Certificates certificates;
  CHECK(says(test.loop.run(both_are_answered(test.context(), certificates))) == "ok");
}

TEST_CASE("http realm: neither side crowds the other out") {
  const Certificates certificates;
  for (const bool users_crowd : {true, false}) {
    CAPTURE(users_crowd);
    TestContext test;
    CHECK(says(test.loop.run(crowds_are_apart(test.context(), certificates, users_crowd))) == "ok");
  }
}

TEST_CASE("http realm: connections end when nobody serves it") {
  TestContext test;
  const Certificates certificates;
  CHECK(says(test.loop.run(nobody_answers(test.context(), certificates))) == "ok");
}
