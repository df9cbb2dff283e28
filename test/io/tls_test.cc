// tls_test.cc: who is let in and who is not, on loopback, by our client, openssl and curl; and what a session costs.
#include "io/tls.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>

#include "base/strings.h"
#include "io/process.h"
#include "io/support.h"
#include "io/support_pki.h"
#include "io/tls_runtime.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;
using kayak::test::Identity;
using kayak::test::Pki;
using kayak::test::TestContext;

namespace {

Slices slices(std::string text) {
  Slices out;
  out.push_back(Slice::of(std::move(text)));
  return out;
}

TlsServerOptions server_options(const Identity& identity, std::string client_ca = std::string()) {
  return TlsServerOptions{identity.certificate_pem, identity.key_pem, std::move(client_ca), {"h2", "http/1.1"}};
}
TlsClientOptions client_options(TlsServerIdentity server, const Identity& own = Identity(),
                                std::vector<std::string> alpn = {}) {
  return TlsClientOptions{std::move(server), own.certificate_pem, own.key_pem, std::move(alpn)};
}

struct Outcome {
  std::string server, client;  // "ok" or the error
  std::string user, alpn;      // what the server saw
  std::string realm, key;      // likewise: TlsPeer::realm, the public key of the client's certificate
  std::string server_key;      // what the client saw
  std::string echoed;          // what the client got back
};

Task<Result<void>> serve_one(TlsServer& server, StreamPtr plain, Outcome* outcome) {
  auto stream = co_await server.handshake(std::move(plain));
  outcome->server = test::says(stream);
  if (!stream) co_return Result<void>();
  const TlsPeer& peer = (*stream)->tls_peer();
  if (peer.certificate)
    outcome->user = peer.certificate->common_name + "/" + join(peer.certificate->organizations, ",");
  if (peer.certificate) outcome->key = peer.certificate->public_key_sha256;
  outcome->alpn = peer.alpn;
  outcome->realm = peer.realm;
  std::string buffer(20'000, '\0');
  for (;;) {
    auto n = co_await (*stream)->read(buffer);
    if (!n || *n == 0) break;
    auto wrote = co_await (*stream)->write(slices(buffer.substr(0, *n)));
    if (!wrote) break;
  }
  static_cast<void>(co_await (*stream)->shutdown());
  co_return Result<void>();
}

Task<Result<std::string>> read_to_end(Stream& stream) {
  std::string all, buffer(5000, '\0');
  for (;;) {
    auto n = co_await stream.read(buffer);
    if (!n) co_return n.error();
    if (*n == 0) co_return all;
    all.append(buffer, 0, *n);
  }
}
Task<Result<void>> send_and_shut(Stream& stream, Slices data) {
  auto wrote = co_await stream.write(std::move(data));
  if (!wrote) co_return wrote;
  co_return co_await stream.shutdown();
}

Task<Result<void>> connect_once(Context context, TlsServer& server, TlsClientOptions options, Slices data,
                                Outcome* outcome) {
  auto pair = stream_pair(context);
  if (!pair) co_return pair.error();
  TaskScope scope;
  scope.spawn(serve_one(server, std::move(pair->first), outcome));
  auto stream = co_await tls_connect(context, std::move(pair->second), std::move(options));
  outcome->client = test::says(stream);
  if (stream) {
    const TlsPeer& peer = (*stream)->tls_peer();
    if (peer.certificate) outcome->server_key = peer.certificate->public_key_sha256;
    TaskScope sending;
    sending.spawn(send_and_shut(**stream, std::move(data)));
    auto back = co_await read_to_end(**stream);
    outcome->echoed = back ? *back : test::says(back);
    co_await sending.join();
    stream->reset();
  }
  co_return co_await scope.join();
}

Outcome connect(TestContext& t, TlsServerOptions server, TlsClientOptions client, Slices data = slices("hello"),
                std::optional<TlsRealm> realm = std::nullopt) {
  Outcome outcome;
  auto made = TlsServer::create(t.context(), std::move(server));
  REQUIRE(test::says(made) == "ok");
  if (realm) REQUIRE(test::says((*made)->set_realm(*realm)) == "ok");
  const auto ran = t.loop.run(connect_once(t.context(), **made, std::move(client), std::move(data), &outcome));
  CHECK(test::says(ran) == "ok");
  return outcome;
}

const std::string kRefused = "Unauthorized: tls: failed to verify certificate: ";

CertificateRequest server_request(WallTime from, WallTime until) {
  CertificateRequest request;
  request.dns_names = {"kayak.test"};
  request.server_auth = true;
  request.not_before = from;
  request.not_after = until;
  return request;
}

}  // namespace

TEST_CASE("tls: which servers a client accepts") {
  TestContext t;
  const Pki serving("serving-ca"), other("other-ca");
  const WallTime now = t.clock.wall();
  const Identity by_name = serving.server({"kayak.test", "*.wild.test"}, {}),
                 by_ip = serving.server({"10.9.9.9"}, {"127.0.0.1", "::1"}), no_san = serving.server({}, {}),
                 foreign = other.server({"kayak.test"}, {"127.0.0.1"}),
                 expired = serving.issue(server_request(now + -48h, now + -1h)),
                 early = serving.issue(server_request(now + 1h, now + 48h));
  struct Row {
    const Identity& identity;
    std::string name, error;
  };
  const std::string unknown = "x509: certificate signed by unknown authority";
  for (const Row& row : {
           Row{by_name, "kayak.test", ""},
           Row{by_name, "a.wild.test", ""},
           Row{by_name, "a.b.wild.test", "x509: certificate is valid for kayak.test, *.wild.test, not a.b.wild.test"},
           Row{by_name, "127.0.0.1",
               "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
           Row{by_ip, "127.0.0.1", ""},
           Row{by_ip, "[::1]", ""},
           Row{by_ip, "127.0.0.2", "x509: certificate is valid for 127.0.0.1, ::1, not 127.0.0.2"},
           Row{by_ip, "10.9.9.9", "x509: certificate is valid for 127.0.0.1, ::1, not 10.9.9.9"},
           Row{no_san, "kayak", "x509: certificate is not valid for any names, but wanted to match kayak"},
           Row{foreign, "kayak.test", unknown},
           Row{expired, "kayak.test", "expired"},
           Row{early, "kayak.test", "early"},
       }) {
    CAPTURE(row.name);
    const Outcome seen = connect(t, server_options(row.identity),
                                 client_options(TlsServerIdentity::name(row.name, serving.ca().certificate_pem)));
    CAPTURE(seen.server);
    if (row.error.empty()) {
      CHECK(seen.client == "ok");
      CHECK(seen.server == "ok");
      CHECK(seen.echoed == "hello");
      CHECK(seen.user == "");
    } else if (row.error == "expired" || row.error == "early") {
      CHECK(seen.client.starts_with(kRefused + "x509: certificate has expired or is not yet valid: current time "));
      CHECK(seen.client.find(row.error == "early" ? " is before " : " is after ") != std::string::npos);
    } else {
      CHECK(seen.client == kRefused + row.error);
    }
    if (!row.error.empty()) CHECK(seen.server.find("remote error: tls: ") != std::string::npos);
  }
}

TEST_CASE("tls: a pinned key needs no CA and takes no other key") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity server = serving.server({}, {});
  const std::string pin = parse_certificate_pem(server.certificate_pem)->public_key_sha256;
  Outcome seen = connect(t, server_options(server), client_options(TlsServerIdentity::pinned_key(pin)));
  CHECK(seen.client == "ok");
  CHECK(seen.echoed == "hello");
  const std::string wrong(64, '0');
  seen = connect(t, server_options(server), client_options(TlsServerIdentity::pinned_key(wrong)));
  CHECK(seen.client == kRefused + "the server's public key is " + pin + ", not the pinned " + wrong);
  CHECK(seen.server == "Unauthorized: remote error: tls: bad certificate");
  seen = connect(t, server_options(server), client_options(TlsServerIdentity::name("", "")));
  CHECK(seen.client == "Invalid: a TLS client without a server's name");
  // Without a CA of its own the system's count, and they do not know our server.
  seen = connect(t, server_options(serving.server({"kayak.test"}, {})),
                 client_options(TlsServerIdentity::name("kayak.test", "")));
  CAPTURE(seen.client);
  CHECK(seen.client.starts_with("Unauthorized: "));
}

TEST_CASE("tls: which clients a server accepts") {
  TestContext t;
  const Pki serving("serving-ca"), clients("client-ca"), other("client-ca");  // `other` has the same name
  const WallTime now = t.clock.wall();
  const Identity server = serving.server({"kayak.test"}, {});
  CertificateRequest request;
  request.common_name = "late";
  request.client_auth = true;
  request.not_before = now + -48h;
  request.not_after = now + -1h;
  const Identity late = clients.issue(request);
  request.common_name = "early";
  request.not_before = now + 1h;
  request.not_after = now + 48h;
  const Identity early = clients.issue(request);
  request.common_name = "no usage";
  request.client_auth = false;
  request.not_before = now + -1h;
  const Identity no_usage = clients.issue(request);
  struct Row {
    Identity own;
    std::string user, error;
  };
  const std::string unknown = "x509: certificate signed by unknown authority";
  for (const Row& row : {
           Row{Identity(), "", ""},  // anonymous
           Row{clients.client("me", {"a", "b"}), "me/a,b", ""},
           Row{other.client("me", {"system:masters"}), "", unknown},
           Row{serving.client("me", {}), "", unknown},
           Row{clients.server({"kayak.test"}, {}), "", "x509: certificate specifies an incompatible key usage"},
           Row{no_usage, "", "x509: certificate specifies an incompatible key usage"},
           Row{late, "", "expired"},
           Row{early, "", "expired"},
       }) {
    CAPTURE(row.own.certificate_pem, row.error);
    const Outcome seen =
        connect(t, server_options(server, clients.ca().certificate_pem),
                client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem), row.own));
    CHECK(seen.user == row.user);
    if (row.error.empty()) {
      CHECK(seen.server == "ok");
      CHECK(seen.echoed == "hello");
      continue;
    }
    CHECK(seen.client == "Unauthorized: remote error: tls: bad certificate");
    if (row.error == "expired") {
      CHECK(seen.server.starts_with(kRefused + "x509: certificate has expired or is not yet valid"));
    } else {
      CHECK(seen.server == kRefused + row.error);
    }
  }
  // Where no client CA is known, nobody is asked and nobody is named.
  const Outcome seen = connect(
      t, server_options(server),
      client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem), clients.client("me", {})));
  CHECK(seen.server == "ok");
  CHECK(seen.user == "");
}

TEST_CASE("tls: a server that requires certificates knows no anonymous clients") {
  TestContext t;
  const Pki serving("serving-ca"), clients("client-ca"), other("client-ca");
  const Identity server = serving.server({"kayak.test"}, {});
  struct Row {
    Identity own;
    std::string user;  // empty: refused
  };
  for (const Row& row : {Row{clients.client("me", {}), "me/"}, Row{Identity(), ""}, Row{other.client("me", {}), ""},
                         Row{serving.client("me", {}), ""}, Row{clients.server({"kayak.test"}, {}), ""}}) {
    CAPTURE(row.own.certificate_pem);
    TlsServerOptions options = server_options(server, clients.ca().certificate_pem);
    options.client_required = true;
    const Outcome seen =
        connect(t, std::move(options),
                client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem), row.own));
    CAPTURE(seen.server, seen.client);
    CHECK(seen.user == row.user);
    CHECK((seen.server == "ok") == !row.user.empty());
    CHECK((seen.echoed == "hello") == !row.user.empty());
    if (row.user.empty()) CHECK(seen.server.starts_with("Unauthorized: "));
    if (row.own.certificate_pem.empty()) {
      CHECK(seen.server == "Unauthorized: tls: client didn't provide a certificate");
      CHECK(seen.client == "Unauthorized: remote error: tls: bad certificate");
    }
  }
  TlsServerOptions nobody = server_options(server);
  nobody.client_required = true;
  CHECK(test::says(TlsServer::create(t.context(), nobody)) ==
        "Invalid: client certificates are required, but no CA of theirs is given");
}

TEST_CASE("tls: ALPN") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity server = serving.server({"kayak.test"}, {});
  struct Row {
    std::vector<std::string> offered;
    std::string agreed, error;
  };
  for (const Row& row :
       {Row{{"h2", "http/1.1"}, "h2", ""}, Row{{"http/1.1", "h2"}, "h2", ""}, Row{{"http/1.1"}, "http/1.1", ""},
        Row{{}, "", ""}, Row{{"spdy/3"}, "", "Io: remote error: tls: no application protocol"}}) {
    CAPTURE(join(row.offered, ","));
    const Outcome seen = connect(
        t, server_options(server),
        client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem), Identity(), row.offered));
    CHECK(seen.alpn == row.agreed);
    CHECK(seen.client == (row.error.empty() ? "ok" : row.error));
  }
}

TEST_CASE("tls: bytes of every size and slicing come through in order") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity server = serving.server({"kayak.test"}, {});
  for (const std::size_t size : {0u, 1u, 16383u, 16384u, 16385u, 40000u, 3'000'000u}) {
    for (const std::size_t slice : {1u << 30, 70'000u, 1000u}) {
      auto text = std::make_shared<std::string>(size, '\0');
      std::uint32_t x = 7;
      for (char& c : *text) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
      Slices data;
      for (std::size_t at = 0; at < size; at += slice) {
        data.push_back(Slice{std::string_view(*text).substr(at, slice), text});
        data.push_back(Slice{std::string_view(), nullptr});
      }
      const Outcome seen =
          connect(t, server_options(server),
                  client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem)), std::move(data));
      INFO(size << " in pieces of " << slice << ": " << seen.client << ", " << seen.server);
      CHECK(seen.echoed.size() == size);
      CHECK((seen.echoed == *text));
    }
  }
}

TEST_CASE("tls: settings that make no sense") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity one = serving.server({"a"}, {}), two = serving.server({"a"}, {});
  struct Row {
    TlsServerOptions options;
    std::string error;
  };
  for (const Row& row : {Row{server_options(Identity{one.certificate_pem, two.key_pem}),
                             "Invalid: the serving certificate: the private key is not that of the certificate"},
                         Row{server_options(Identity{"", one.key_pem}), "Invalid: the serving certificate: "},
                         Row{server_options(Identity{one.certificate_pem, "x"}), "Invalid: the serving certificate: "},
                         Row{server_options(one, "x"), "Invalid: the client CA: "}}) {
    const std::string seen = test::says(TlsServer::create(t.context(), row.options));
    CAPTURE(seen);
    CHECK(seen.starts_with(row.error));
  }
  auto server = TlsServer::create(t.context(), server_options(one));
  REQUIRE(server.ok());
  CHECK_FALSE((*server)->replace(server_options(Identity())).ok());
}

namespace {
Task<Result<void>> replaced(Context context, const Pki& old_ca, const Pki& new_ca) {
  auto server = TlsServer::create(context, server_options(old_ca.server({"kayak.test"}, {})));
  if (!server) co_return server.error();
  Outcome old_outcome, outcome;
  auto pair = stream_pair(context);
  TaskScope scope;
  scope.spawn(serve_one(**server, std::move(pair->first), &old_outcome));
  TlsClientOptions to_old = client_options(TlsServerIdentity::name("kayak.test", old_ca.ca().certificate_pem));
  auto stream = co_await tls_connect(context, std::move(pair->second), to_old);
  CHECK(test::says(stream) == "ok");
  CHECK((*server)->replace(server_options(new_ca.server({"kayak.test"}, {}))).ok());
  TlsClientOptions to_new = client_options(TlsServerIdentity::name("kayak.test", new_ca.ca().certificate_pem));
  auto once = co_await connect_once(context, **server, to_new, slices("x"), &outcome);
  CHECK(outcome.client == "ok");
  auto refused = co_await connect_once(context, **server, to_old, slices("x"), &outcome);
  CHECK(outcome.client == kRefused + "x509: certificate signed by unknown authority");
  // The connection made before goes on.
  auto sent = co_await send_and_shut(**stream, slices("still here"));
  auto back = co_await read_to_end(**stream);
  CHECK(back.value_or("") == "still here");
  co_return co_await scope.join();
}
}  // namespace

TEST_CASE("tls: a certificate is replaced while serving") {
  TestContext t;
  const Pki old_ca("old"), new_ca("new");
  CHECK(test::says(t.loop.run(replaced(t.context(), old_ca, new_ca))) == "ok");
}

namespace {
// What a server says to a peer that sends `bytes` and then waits.
Task<Result<void>> raw_peer(Context context, TlsServer& server, std::string bytes, bool shut, std::string* said,
                            std::string* answer, StopToken stop) {
  auto pair = stream_pair(context);
  auto wrote = co_await pair->second->write(slices(std::move(bytes)));
  if (shut) wrote = co_await pair->second->shutdown();
  auto stream = co_await server.handshake(std::move(pair->first), stop);
  *said = test::says(stream);
  auto back = co_await read_to_end(*pair->second);
  if (back) *answer = *back;
  co_return Result<void>();
}
}  // namespace

TEST_CASE("tls: garbage, plain HTTP and cut handshakes end at once") {
  TestContext t;
  const Pki serving("serving-ca");
  auto server = TlsServer::create(t.context(), server_options(serving.server({"kayak.test"}, {})));
  REQUIRE(server.ok());
  const auto bytes = [](std::initializer_list<int> values) {
    std::string out;
    for (const int v : values) out += static_cast<char>(v);
    return out;
  };
  const std::string no_tls = "Invalid: tls: first record does not look like a TLS handshake";
  struct Row {
    std::string sent, said;
  };
  for (const Row& row :
       {Row{"garbage that is no TLS at all", no_tls}, Row{std::string(5000, '\xff'), no_tls},
        Row{bytes({22, 3, 1, 0xff, 0xff}), no_tls},
        Row{bytes({22, 3, 1, 0, 4, 1, 0, 0, 0}), "Io: TLS handshake: SSL - "},
        Row{bytes({22, 3, 1, 0, 40, 1, 0, 0, 36, 3, 3}) + std::string(34, 'r'), "Io: TLS handshake: SSL - "},
        Row{bytes({21, 3, 3, 0, 2, 2, 42}), "Io: TLS handshake: SSL - "},
        Row{bytes({22, 3, 1, 0, 100, 1, 0}), "Io: the peer closed the connection during the TLS handshake"},
        Row{"", "Io: the peer closed the connection during the TLS handshake"}}) {
    std::string said, answer;
    CAPTURE(hex_encode(row.sent.substr(0, 20)));
    CHECK(test::says(t.loop.run(raw_peer(t.context(), **server, row.sent, true, &said, &answer, StopToken()))) == "ok");
    CAPTURE(said);
    CHECK(said.starts_with(row.said));
  }
  std::string said, answer;
  CHECK(t.loop.run(raw_peer(t.context(), **server, "GET / HTTP/1.1\r\n\r\n", false, &said, &answer, StopToken())).ok());
  CHECK(said == "Invalid: client sent an HTTP request to an HTTPS server");
  CHECK(answer == "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

namespace {
Task<Result<void>> stalled(Context context, TlsServer& server, Outcome* good) {
  // Three hundred that send half a ClientHello and stop: an honest client gets through, and a stop ends them all.
  constexpr int kCount = 300;
  StopSource source;
  std::vector<std::string> said(kCount), answers(kCount);
  TaskScope scope;
  for (int i = 0; i < kCount; ++i) {
    scope.spawn(raw_peer(context, server, std::string("\x16\x03\x01\x02\x00\x01\x00", 7), false,
                         &said[static_cast<std::size_t>(i)], &answers[static_cast<std::size_t>(i)], source.token()));
  }
  co_await context.loop.sleep(5ms);
  CHECK(context.loop.tls().places.taken() == 0);
  const std::size_t before = mallinfo2().uordblks;
  TlsClientOptions options = client_options(TlsServerIdentity::pinned_key(good->user));
  auto once = co_await connect_once(context, server, options, slices("hello"), good);
  CHECK(mallinfo2().uordblks < before + 1'000'000);
  source.stop();
  auto joined = co_await scope.join();
  for (const std::string& one : said) CHECK(one.starts_with("Cancelled: "));
  co_return joined;
}
Task<Result<void>> slow_loris(Context context, TlsServer& server, std::string* said) {
  auto pair = stream_pair(context);
  auto wrote = co_await pair->second->write(slices("\x16"));
  const Instant start = context.clock.now();
  auto stream = co_await server.handshake(std::move(pair->first));
  *said = test::says(stream);
  CHECK(context.clock.now() - start > 45ms);
  CHECK(context.clock.now() - start < 5s);
  co_return Result<void>();
}
}  // namespace

TEST_CASE("tls: stalled handshakes hold neither a thread nor a session") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity identity = serving.server({"kayak.test"}, {});
  auto server = TlsServer::create(t.context(), server_options(identity));
  REQUIRE(server.ok());
  Outcome good;
  good.user = parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  CHECK(test::says(t.loop.run(stalled(t.context(), **server, &good))) == "ok");
  CHECK(good.client == "ok");
  CHECK(good.echoed == "hello");
}

TEST_CASE("tls: a handshake has a deadline") {
  TestContext t;
  const Pki serving("serving-ca");
  TlsServerOptions options = server_options(serving.server({"kayak.test"}, {}));
  CHECK(options.handshake_timeout == 10s);
  options.handshake_timeout = 50ms;
  auto server = TlsServer::create(t.context(), options);
  REQUIRE(server.ok());
  std::string said;
  CHECK(test::says(t.loop.run(slow_loris(t.context(), **server, &said))) == "ok");
  CHECK(said == "Timeout: TLS handshake: timed out");
}

namespace {
Task<Result<void>> many(Context context, TlsServer& server, std::string pin, const Identity& own, int count,
                        int* good) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(count));
  TaskScope scope;
  for (Outcome& outcome : outcomes) {
    TlsClientOptions options = client_options(TlsServerIdentity::pinned_key(pin), own);
    scope.spawn(connect_once(context, server, options, slices("hello"), &outcome));
  }
  auto joined = co_await scope.join();
  for (const Outcome& outcome : outcomes) {
    INFO(outcome.client << " / " << outcome.server);
    const bool ok = outcome.echoed == "hello" && outcome.user == "me/";
    CHECK(ok);
    *good += ok;
  }
  CHECK(context.loop.tls().places.taken() == 0);
  co_return joined;
}
}  // namespace

TEST_CASE("tls: many handshakes at once, more than there are places") {
  TestContext t;
  const Pki serving("serving-ca"), clients("client-ca");
  const Identity identity = serving.server({"kayak.test"}, {});
  auto server = TlsServer::create(t.context(), server_options(identity, clients.ca().certificate_pem));
  REQUIRE(server.ok());
  int good = 0;
  const std::string pin = parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  const Instant start = t.clock.now();
  CHECK(test::says(t.loop.run(many(t.context(), **server, pin, clients.client("me", {}), 150, &good))) == "ok");
  CHECK(good == 150);
  INFO((t.clock.now() - start).count());
}

namespace {
struct Pair {
  std::unique_ptr<TlsStream> server, client;
};
Task<Result<void>> accept_into(TlsServer& server, StreamPtr plain, std::unique_ptr<TlsStream>* out) {
  auto stream = co_await server.handshake(std::move(plain));
  if (!stream) co_return stream.error();
  *out = std::move(*stream);
  co_return Result<void>();
}
Task<Result<void>> make_pair(Context context, TlsServer& server, std::string pin, const Identity& own, Pair* out) {
  auto pair = stream_pair(context);
  if (!pair) co_return pair.error();
  TaskScope scope;
  scope.spawn(accept_into(server, std::move(pair->first), &out->server));
  TlsClientOptions options = client_options(TlsServerIdentity::pinned_key(pin), own);
  auto stream = co_await tls_connect(context, std::move(pair->second), options);
  if (!stream) co_return stream.error();
  out->client = std::move(*stream);
  co_return co_await scope.join();
}
Task<Result<void>> wait_for(Stream& stream, StopToken stop) {
  static_cast<void>(co_await stream.wait_readable(stop));
  co_return Result<void>();
}
Task<Result<void>> exchange(Stream& from, Stream& to, std::string text) {
  auto wrote = co_await from.write(slices(text));
  if (!wrote) co_return wrote;
  std::string got, buffer(4096, '\0');
  while (got.size() < text.size()) {
    auto n = co_await to.read(buffer);
    if (!n) co_return n.error();
    if (*n == 0) co_return Error(Code::kIo, "the end came early");
    got.append(buffer, 0, *n);
  }
  if (got != text) co_return Error(Code::kCorrupt, "other bytes arrived");
  co_return Result<void>();
}
struct Cost {
  double both = 0, client = 0;  // bytes of heap for one connection
};
Task<Result<void>> idle_cost(Context context, TlsServer& server, std::string pin, const Identity& own, Cost* cost) {
  constexpr std::size_t kCount = 100;
  std::vector<Pair> pairs(kCount + 1);
  auto first = co_await make_pair(context, server, pin, own, &pairs[kCount]);  // what is made once
  if (!first) co_return first;
  StopSource source;
  TaskScope waiting(source.token());
  const std::size_t before = mallinfo2().uordblks;
  for (std::size_t i = 0; i < kCount; ++i) {
    if (auto made = co_await make_pair(context, server, pin, own, &pairs[i]); !made) co_return made;
    if (auto used = co_await exchange(*pairs[i].client, *pairs[i].server, "ping"); !used) co_return used;
    waiting.spawn(wait_for(*pairs[i].server, source.token()));
    waiting.spawn(wait_for(*pairs[i].client, source.token()));
  }
  cost->both = static_cast<double>(mallinfo2().uordblks - before) / kCount;
  source.stop();
  if (auto joined = co_await waiting.join(); !joined) co_return joined;
  // They wake up as if nothing had been.
  for (Pair& pair : pairs) {
    for (int round = 0; round < 3; ++round) {
      if (auto used = co_await exchange(*pair.server, *pair.client, std::string(40'000, 'z')); !used) co_return used;
      if (auto used = co_await exchange(*pair.client, *pair.server, "again"); !used) co_return used;
    }
  }
  for (Pair& pair : pairs) {
    waiting.spawn(wait_for(*pair.server, StopToken()));
    waiting.spawn(wait_for(*pair.client, source.token()));
  }
  co_await context.loop.yield();
  const std::size_t with_clients = mallinfo2().uordblks;
  for (Pair& pair : pairs) pair.client.reset();
  cost->client = static_cast<double>(with_clients - mallinfo2().uordblks) / (kCount + 1);
  co_return co_await waiting.join();
}
}  // namespace

TEST_CASE("tls: an idle session costs little") {
  TestContext t;
  const Pki serving("serving-ca"), clients("client-ca");
  const Identity identity = serving.server({"kayak.test"}, {});
  auto server = TlsServer::create(t.context(), server_options(identity, clients.ca().certificate_pem));
  REQUIRE(server.ok());
  Cost cost;
  const std::string pin = parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  CHECK(test::says(t.loop.run(idle_cost(t.context(), **server, pin, clients.client("me", {}), &cost))) == "ok");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their heaps do not tell
  std::printf("an idle TLS connection: %.0f bytes of heap at the server, %.0f at the client\n", cost.both - cost.client,
              cost.client);
  CHECK(cost.both - cost.client > 500);
  CHECK(cost.both - cost.client < 8'000);  // 33 KiB of buffers and a parsed certificate are given back
  CHECK(cost.client < 12'000);             // with its own certificate and settings
#endif
}

namespace {
Task<Result<void>> ends(Context context, TlsServer& server, std::string pin) {
  const Identity nobody;
  std::string buffer(100, '\0');
  Pair pair;
  if (auto made = co_await make_pair(context, server, pin, nobody, &pair); !made) co_return made;
  Deadline deadline(context.loop, 3ms);
  auto n = co_await pair.server->read(buffer, deadline.token());
  CHECK(test::says(n) == "Cancelled: stopped");
  pair.client->close();  // says close_notify
  n = co_await pair.server->read(buffer);
  CHECK(test::says(n) == "ok");
  CHECK(n.value_or(1) == 0);
  n = co_await pair.server->read(buffer);
  CHECK(n.value_or(1) == 0);
  n = co_await pair.client->read(buffer);
  CHECK(test::says(n) == "Cancelled: the stream was closed");
  auto wrote = co_await pair.client->write(slices("x"));
  CHECK(test::says(wrote) == "Cancelled: the stream was closed");

  // A close while the other coroutine reads.
  Pair second;
  if (auto made = co_await make_pair(context, server, pin, nobody, &second); !made) co_return made;
  TaskScope scope;
  scope.spawn(wait_for(*second.server, scope.token()));
  co_await context.loop.sleep(1ms);
  second.server->close();
  co_return co_await scope.join();
}
Task<Result<void>> flood(Stream& stream, std::size_t* pushed, StopToken stop) {
  for (;;) {
    auto wrote = co_await stream.write(slices(std::string(64 * 1024, 'x')), stop);
    if (!wrote) co_return Result<void>();
    *pushed += 64 * 1024;
  }
}
Task<Result<void>> back_pressure(Context context, TlsServer& server, std::string pin) {
  const Identity nobody;
  Pair pair;
  if (auto made = co_await make_pair(context, server, pin, nobody, &pair); !made) co_return made;
  std::size_t pushed = 0;
  TaskScope scope;
  scope.spawn(flood(*pair.server, &pushed, scope.token()));
  co_await context.loop.sleep(30ms);
  const std::size_t stuck = pushed;
  CHECK(stuck < 2'000'000);
  // The other direction still works meanwhile.
  if (auto used = co_await exchange(*pair.client, *pair.server, "upstream"); !used) co_return used;
  std::string buffer(1 << 16, '\0');
  for (std::size_t got = 0; got < stuck + 200'000;) {
    auto n = co_await pair.client->read(buffer);
    if (!n) co_return n.error();
    CHECK(std::count(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*n), 'x') ==
          static_cast<std::ptrdiff_t>(*n));
    got += *n;
  }
  CHECK(pushed > stuck);
  scope.stop();
  auto joined = co_await scope.join();
  auto late = co_await pair.server->write(slices("x"));
  CHECK(test::says(late) == "Io: an earlier write was cut off");
  co_return joined;
}
}  // namespace

TEST_CASE("tls: ends, stops and closes") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity identity = serving.server({"kayak.test"}, {});
  auto server = TlsServer::create(t.context(), server_options(identity));
  const std::string pin = parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  CHECK(test::says(t.loop.run(ends(t.context(), **server, pin))) == "ok");
}
TEST_CASE("tls: a slow reader holds the writer back, the other direction goes on") {
  TestContext t;
  const Pki serving("serving-ca");
  const Identity identity = serving.server({"kayak.test"}, {});
  auto server = TlsServer::create(t.context(), server_options(identity));
  const std::string pin = parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  CHECK(test::says(t.loop.run(back_pressure(t.context(), **server, pin))) == "ok");
}

namespace {

Task<Result<void>> crowd(HandshakePlaces& places, std::vector<HandshakePlaces::Place>& taken) {
  for (std::size_t i = 0; i < HandshakePlaces::kMax; ++i) {
    auto place = co_await places.take(i % 2 == 0 ? "10.0.0.1" : "10.0.0.2", StopToken());
    if (!place) co_return place.error();
    taken.push_back(std::move(*place));
  }
  co_return Result<void>();
}
// "taken", "waits", or the error.
Task<Result<void>> try_place(Loop& loop, HandshakePlaces& places, std::string source, std::string* said) {
  Deadline deadline(loop, 10ms);
  const StopToken due = deadline.token();
  auto place = co_await places.take(std::move(source), due);
  *said = place ? "taken" : deadline.expired() ? "waits" : test::says(place);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("tls: preferred sources get a handshake when others crowd") {
  TestContext t;
  HandshakePlaces places;
  std::vector<HandshakePlaces::Place> taken;
  taken.reserve(HandshakePlaces::kMax);
  CHECK(test::says(t.loop.run(crowd(places, taken))) == "ok");
  const auto tried = [&](const std::string& source) {
    std::string said;
    CHECK(test::says(t.loop.run(try_place(t.loop, places, source, &said))) == "ok");
    return said;
  };
  CHECK(tried("10.0.0.3") == "waits");
  CHECK(tried("10.0.0.9") == "waits");
  places.prefer({"10.0.0.9"});
  CHECK(tried("10.0.0.3") == "waits");
  CHECK(tried("10.0.0.9") == "taken");
  taken.clear();
  CHECK(places.taken() == 0);
}

// ---- realms

namespace {

constexpr const char* kRealm = "peer.kayak.internal";

Identity member_of(const Pki& pki, WallTime from, WallTime until) {
  CertificateRequest request;
  request.common_name = "kayak-peer";
  request.server_auth = request.client_auth = true;
  request.not_before = from;
  request.not_after = until;
  return pki.issue(request);
}
std::string key_of(const Identity& identity) {
  return parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
}

}  // namespace

TEST_CASE("tls: a realm and the server behind which it lives have nothing in common") {
  TestContext t;
  const Pki serving("serving-ca"), clients("client-ca"), peers("peer-ca"), strange("peer-ca");
  const WallTime now = t.clock.wall();
  const Identity server = serving.server({"kayak.test"}, {}), here = member_of(peers, now + -1h, now + 1h),
                 there = member_of(peers, now + -1h, now + 1h), user = clients.client("me", {"crew"}),
                 foreign = member_of(strange, now + -1h, now + 1h), past = member_of(peers, now + -48h, now + -24h),
                 nobody;
  CertificateRequest server_only;
  server_only.server_auth = true;
  const Identity no_client = peers.issue(server_only);
  const TlsRealm realm{kRealm, here.certificate_pem, here.key_pem, peers.ca().certificate_pem, {"kayak-peer"}};
  const TlsServerIdentity member = TlsServerIdentity::realm_keys(kRealm, peers.ca().certificate_pem, {key_of(here)}),
                          any = TlsServerIdentity::realm_any_key(kRealm, peers.ca().certificate_pem),
                          other_key =
                              TlsServerIdentity::realm_keys(kRealm, peers.ca().certificate_pem, {std::string(64, '0')}),
                          other_ca = TlsServerIdentity::realm_any_key(kRealm, strange.ca().certificate_pem),
                          api = TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem);
  const std::string unknown = "x509: certificate signed by unknown authority";
  const std::string no_protocol = "Io: remote error: tls: no application protocol";
  struct Row {
    std::string what;
    TlsServerIdentity wanted;
    Identity own;
    std::vector<std::string> alpn;
    std::string realm, client, server;  // the errors; "" for none
  };
  for (const Row& row : {
           Row{"a member", member, there, {"kayak-peer"}, kRealm, "", ""},
           Row{"a member beside other protocols", any, there, {"spdy/1", "kayak-peer"}, kRealm, "", ""},
           Row{"a member whose clock stood still", member, past, {"kayak-peer"}, kRealm, "", ""},
           Row{"an API client", api, user, {"h2"}, "", "", ""},
           Row{"an API client without protocol", api, user, {}, "", "", ""},
           Row{"another key than the pinned", other_key, there, {"kayak-peer"}, "", kRefused, "remote error: tls: "},
           Row{"another CA at the server", other_ca, there, {"kayak-peer"}, "", kRefused + unknown, "remote error: "},
           Row{"no client certificate",
               member,
               nobody,
               {"kayak-peer"},
               "",
               "remote error: tls: bad certificate",
               "Unauthorized: tls: client didn't provide a certificate"},
           Row{"a certificate of API clients", member, user, {"kayak-peer"}, "", "remote error: ", kRefused + unknown},
           Row{"a CA of the same name", member, foreign, {"kayak-peer"}, "", "remote error: ", kRefused + unknown},
           Row{"a certificate for servers alone",
               member,
               no_client,
               {"kayak-peer"},
               "",
               "remote error: ",
               kRefused + "x509: certificate specifies an incompatible key usage"},
           Row{"a member's certificate at the API", api, there, {"h2"}, "", "remote error: ", kRefused + unknown},
           Row{"the API's protocol in the realm",
               member,
               there,
               {"h2"},
               "",
               no_protocol,
               "Unauthorized: tls: peer.kayak.internal does not speak \"h2\""},
           Row{"both protocols in the realm",
               member,
               there,
               {"kayak-peer", "h2"},
               "",
               no_protocol,
               "Unauthorized: tls: peer.kayak.internal does not speak \"h2\""},
           Row{"no protocol in the realm",
               member,
               there,
               {},
               "",
               no_protocol,
               "Unauthorized: tls: peer.kayak.internal does not speak \"\""},
           Row{"the realm's protocol at the API",
               api,
               there,
               {"kayak-peer"},
               "",
               no_protocol,
               "Unauthorized: tls: the protocol kayak-peer was asked for without peer.kayak.internal"},
           Row{"the realm's protocol at the API, by a user",
               api,
               user,
               {"kayak-peer"},
               "",
               no_protocol,
               "Unauthorized: tls: the protocol kayak-peer was asked for without peer.kayak.internal"},
       }) {
    CAPTURE(row.what);
    const Outcome seen = connect(t, server_options(server, clients.ca().certificate_pem),
                                 client_options(row.wanted, row.own, row.alpn), slices("hello"), realm);
    CAPTURE(seen.client, seen.server);
    if (row.client.empty()) {
      CHECK(seen.client == "ok");
      CHECK(seen.server == "ok");
      CHECK(seen.echoed == "hello");
      CHECK(seen.realm == row.realm);
      CHECK(seen.key == key_of(row.own));
      CHECK(seen.server_key == (row.realm.empty() ? "" : key_of(here)));
      if (!row.realm.empty()) CHECK(seen.alpn == "kayak-peer");
    } else {
      CHECK(seen.client.find(row.client) != std::string::npos);
      CHECK(seen.server.find(row.server) != std::string::npos);
    }
  }
}

TEST_CASE("tls: a realm is opened and renewed while the server serves") {
  TestContext t;
  const Pki serving("serving-ca"), peers("peer-ca");
  const WallTime now = t.clock.wall();
  const Identity server = serving.server({"kayak.test"}, {}), first = member_of(peers, now + -1h, now + 1h),
                 second = member_of(peers, now + -1h, now + 1h);
  const std::string& ca = peers.ca().certificate_pem;
  auto made = TlsServer::create(t.context(), server_options(server));
  REQUIRE(made);
  const auto key_shown = [&] {
    Outcome seen;
    TlsClientOptions options = client_options(TlsServerIdentity::realm_any_key(kRealm, ca), first, {"kayak-peer"});
    const auto ran = t.loop.run(connect_once(t.context(), **made, std::move(options), slices("x"), &seen));
    CHECK(test::says(ran) == "ok");
    return seen.client == "ok" ? seen.server_key : seen.client;
  };
  CHECK(key_shown() == "Io: remote error: tls: no application protocol");
  CHECK(test::says((*made)->set_realm({kRealm, first.certificate_pem, first.key_pem, ca, {"kayak-peer"}})) == "ok");
  CHECK(key_shown() == key_of(first));
  CHECK(test::says((*made)->set_realm({kRealm, second.certificate_pem, second.key_pem, ca, {"kayak-peer"}})) == "ok");
  CHECK(key_shown() == key_of(second));
  CHECK(test::says((*made)->replace(server_options(serving.server({"kayak.test"}, {})))) == "ok");
  CHECK(key_shown() == key_of(second));
  struct Row {
    TlsRealm realm;
    std::string error;
  };
  for (const Row& row : {
           Row{{kRealm, first.certificate_pem, second.key_pem, ca, {"kayak-peer"}},
               "the private key is not that of the certificate"},
           Row{{kRealm, first.certificate_pem, first.key_pem, "", {"kayak-peer"}}, "the client CA: "},
           Row{{kRealm, first.certificate_pem, first.key_pem, ca, {"h2"}}, "the protocol h2 is the server's own"},
           Row{{kRealm, first.certificate_pem, first.key_pem, ca, {}}, "a TLS realm needs a name and a protocol"},
           Row{{"", first.certificate_pem, first.key_pem, ca, {"kayak-peer"}},
               "a TLS realm needs a name and a protocol"},
       }) {
    CAPTURE(row.error);
    const auto refused = (*made)->set_realm(row.realm);
    CHECK(test::says(refused).starts_with("Invalid: the realm "));
    CHECK(test::says(refused).find(row.error) != std::string::npos);
  }
  CHECK(key_shown() == key_of(second));
}

// ---- other people's clients and servers

namespace {
// Connects to an `openssl s_server` with `args`; "ok <first bytes>" or the error.
Task<Result<void>> foreign_server(Context context, std::vector<std::string> args, TlsClientOptions options,
                                  std::string* seen) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) co_return error_from_errno(errno, "pipe");
  auto output = adopt_fd(context, Fd(fds[0]));
  Fd write_end(fds[1]);
  SpawnOptions spawn;
  spawn.program = "openssl";
  spawn.args = {"s_server", "-accept", "127.0.0.1:0", "-www"};
  spawn.args.insert(spawn.args.end(), args.begin(), args.end());
  spawn.env = {"PATH=/usr/bin:/bin"};
  spawn.stdout_fd = write_end.get();
  auto process = co_await Process::spawn(context, spawn);
  if (!process) co_return process.error();
  Deadline deadline(context.loop, 20s);
  std::string said, buffer(1000, '\0');
  while (said.find("ACCEPT ") == std::string::npos || said.back() != '\n') {
    auto n = co_await (*output)->read(buffer, deadline.token());
    if (!n || *n == 0) break;
    said.append(buffer, 0, *n);
  }
  std::int64_t port = 0;
  const std::string_view line = trim(said);
  const bool known = parse_int64(line.substr(line.rfind(':') + 1), &port);
  Endpoint at;
  at.ip = "127.0.0.1";
  at.port = static_cast<std::uint16_t>(port);
  auto plain = co_await connect_tcp(context, at, deadline.token());
  if (known && plain) {
    auto stream = co_await tls_connect(context, std::move(*plain), std::move(options), deadline.token());
    *seen = test::says(stream);
    if (stream) {
      static_cast<void>(co_await (*stream)->write(slices("GET / HTTP/1.0\r\n\r\n")));
      auto n = co_await (*stream)->read(buffer, deadline.token());
      if (n) *seen += " " + buffer.substr(0, std::min<std::size_t>(*n, 12));
    }
  }
  static_cast<void>((*process)->kill(SIGKILL));
  auto status = co_await (*process)->wait();
  co_return known ? Result<void>() : Result<void>(Error(Code::kIo, said));
}
}  // namespace

TEST_CASE("tls: our client and openssl's server") {
  const Pki serving("serving-ca"), clients("client-ca");
  test::Scratch dir;
  const std::string cert = dir.path() + "/cert.pem", key = dir.path() + "/key.pem";
  const auto write = [&](const Identity& identity) {
    std::ofstream(cert) << identity.certificate_pem;
    std::ofstream(key) << identity.key_pem;
  };
  SystemRandom random;
  CertificateRequest request = server_request(SystemClock().wall() + -1h, SystemClock().wall() + 1h);
  const std::string rsa_key = *generate_rsa_key_pem(random);
  auto rsa = issue_certificate_pem(random, request, rsa_key, serving.ca().certificate_pem, serving.ca().key_pem);
  request.server_auth = false;
  const Identity open_usage = serving.issue(request);
  request.client_auth = true;
  const Identity client_only = serving.issue(request);
  struct Row {
    Identity identity;
    std::vector<std::string> args;
    std::string seen;
  };
  for (const Row& row : {
           Row{serving.server({"kayak.test"}, {}), {}, "ok HTTP/1.0 200"},
           Row{Identity{*rsa, rsa_key}, {}, "ok HTTP/1.0 200"},
           Row{open_usage, {}, "ok HTTP/1.0 200"},
           Row{client_only, {}, kRefused + "x509: certificate specifies an incompatible key usage"},
           Row{serving.server({"kayak.test"}, {}),
               {"-tls1_3"},
               "Io: remote error: tls: protocol version not supported"},
           Row{serving.server({"kayak.test"}, {}),
               {"-cipher", "ECDHE-ECDSA-AES128-SHA"},
               "Io: remote error: tls: handshake failure"},
       }) {
    write(row.identity);
    TestContext t;
    std::string seen;
    std::vector<std::string> args = {"-cert", cert, "-key", key};
    args.insert(args.end(), row.args.begin(), row.args.end());
    const auto ran = t.loop.run(foreign_server(
        t.context(), args, client_options(TlsServerIdentity::name("kayak.test", serving.ca().certificate_pem)), &seen));
    if (!ran && ran.error().code() == Code::kNotFound) {
      WARN("skipped: no openssl");
      return;
    }
    CHECK(test::says(ran) == "ok");
    CHECK(seen == row.seen);
  }
}

namespace {
Task<Result<void>> serve_next(TlsServer& server, Listener& listener, StopToken stop, Outcome* outcome) {
  auto plain = co_await listener.accept(stop);
  if (!plain) co_return Result<void>();
  co_return co_await serve_one(server, std::move(*plain), outcome);
}
Task<Result<void>> foreign_client(Context context, TlsServerOptions options, std::string program,
                                  std::vector<std::string> args, std::string input, Outcome* outcome) {
  auto server = TlsServer::create(context, options);
  if (!server) co_return server.error();
  Endpoint any;
  any.ip = "127.0.0.1";
  auto listener = listen_tcp(context, any);
  if (!listener) co_return listener.error();
  TaskScope scope;
  scope.spawn(serve_next(**server, **listener, scope.token(), outcome));
  SpawnOptions spawn;
  spawn.program = std::move(program);
  spawn.args = std::move(args);
  spawn.env = {"PATH=/usr/bin:/bin"};
  const std::string port = std::to_string((*listener)->local().port);
  for (std::string& arg : spawn.args) {
    if (const auto at = arg.find("PORT"); at != std::string::npos) arg.replace(at, 4, port);
  }
  Deadline deadline(context.loop, 20s);
  auto ran = co_await run_program(context, spawn, std::move(input), 1 << 20, deadline.token());
  outcome->client = ran ? ran->out + ran->err : test::says(ran);
  if (!ran) scope.stop();
  co_await scope.join();
  co_return ran ? Result<void>() : Result<void>(ran.error());
}
}  // namespace

TEST_CASE("tls: openssl and curl connect") {
  const Pki serving("serving-ca"), clients("client-ca");
  const Identity server = serving.server({"localhost"}, {"127.0.0.1"}), me = clients.client("me", {"crew"});
  test::Scratch dir;
  const std::string ca = dir.path() + "/ca.pem", cert = dir.path() + "/me.pem", key = dir.path() + "/me.key";
  std::ofstream(ca) << serving.ca().certificate_pem;
  std::ofstream(cert) << me.certificate_pem;
  std::ofstream(key) << me.key_pem;
  const auto run = [&](std::string program, std::vector<std::string> args, std::string input, Outcome* seen) {
    TestContext t;
    const auto ran = t.loop.run(foreign_client(t.context(), server_options(server, clients.ca().certificate_pem),
                                               program, std::move(args), std::move(input), seen));
    if (!ran && ran.error().code() == Code::kNotFound) {
      WARN("skipped: no " << program);
      return false;
    }
    CHECK(test::says(ran) == "ok");
    return true;
  };
  const std::vector<std::string> base = {
      "s_client",   "-connect",  "127.0.0.1:PORT", "-CAfile",    ca, "-verify_return_error",
      "-verify_ip", "127.0.0.1", "-quiet",         "-no_ign_eof"};
  const auto with = [](std::vector<std::string> list, const std::vector<std::string>& more) {
    list.insert(list.end(), more.begin(), more.end());
    return list;
  };
  Outcome seen;
  if (run("openssl", with(base, {"-alpn", "h2,http/1.1", "-cert", cert, "-key", key}), "over and out\n", &seen)) {
    CAPTURE(seen.client, seen.server);
    CHECK(seen.server == "ok");
    CHECK(seen.user == "me/crew");
    CHECK(seen.alpn == "h2");
    for (const char* suite :
         {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
      Outcome one;
      run("openssl", with(base, {"-cipher", suite, "-tls1_2"}), "x\n", &one);
      INFO(suite << ": " << one.client);
      CHECK(one.server == "ok");
    }
    for (const std::vector<std::string>& weak : {std::vector<std::string>{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"},
                                                 {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"},
                                                 {"-tls1_2", "-cipher", "AES128-GCM-SHA256"}}) {
      Outcome one;
      run("openssl", with(base, weak), "x\n", &one);
      INFO(join(weak, " ") << ": " << one.client);
      CHECK(one.server != "ok");
    }
  }
  Outcome curled;
  if (run("curl",
          {"-sv", "--http2", "--max-time", "3", "--cacert", ca, "--cert", cert, "--key", key,
           "https://localhost:PORT/"},
          "", &curled)) {
    CAPTURE(curled.client);
    CHECK(curled.server == "ok");
    CHECK(curled.alpn == "h2");
    CHECK(curled.client.find("server accepted h2") != std::string::npos);
    CHECK(curled.client.find("SSL certificate verify ok") != std::string::npos);
  }
}
