// http2_client_test.cc: the HTTP/2 client against our server, and against servers that say single frames.
#include "io/http2_client.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "io/support.h"
#include "io/support_http2.h"
#include "io/support_pki.h"

using namespace kayak;
using namespace kayak::io;
using namespace kayak::test;
using namespace std::chrono_literals;

namespace {

Http2Request request_to(std::string_view path) {
  Http2Request request;
  request.scheme = "http";
  request.authority = "t";
  request.path = std::string(path);
  request.timeout = 10s;
  return request;
}

// "200 <body>", or the error.
Task<std::string> fetch(Http2Client& client, Http2Request request, StopToken stop = StopToken()) {
  auto call = co_await client.open(std::move(request), stop);
  if (!call) co_return says(call.error());
  auto status = co_await (*call)->status();
  if (!status) co_return says(status.error());
  auto body = co_await (*call)->body().read_all(100 * 1024 * 1024);
  if (!body) co_return says(body.error());
  co_return cat(*status, " ", *body);
}

using Talk = Task<void> (*)(Loop& loop, Http2Client& client);

Task<Result<void>> run_talk(Context context, std::uint16_t port, Talk talk) {
  Endpoint to{"127.0.0.1", port};
  auto stream = co_await connect_tcp(context, to);
  if (!stream) co_return stream.error();
  auto client = Http2Client::create(context, std::move(*stream), Http2ClientOptions());
  StopSource stop;
  TaskScope scope;
  scope.spawn(client->run(stop.token()));
  co_await talk(context.loop, *client);
  stop.stop();
  co_return co_await scope.join();
}

void with_server(TestServer& server, Talk talk) {
  TestContext test;
  auto ran = test.loop.run(run_talk(test.context(), server.port(), talk));
  CHECK(says(ran) == "ok");
}

Task<void> basics(Loop&, Http2Client& client) {
  const std::string got1 = co_await fetch(client, request_to("/hello"));
  CHECK(got1 == "200 hello");
  Http2Request post = request_to("/count");
  post.method = "POST";
  post.body.push_back(Slice::of(std::string(2'000'000, 'x')));
  const std::string got2 = co_await fetch(client, std::move(post));
  CHECK(got2 == "200 2000000");
  const std::string big = co_await fetch(client, request_to("/big?3000000"));
  CHECK(big.size() == 3'000'004);
  const std::string pieces = co_await fetch(client, request_to("/stream?5"));
  CHECK(pieces.ends_with("piece 4\n"));
  const std::string cut = co_await fetch(client, request_to("/cut"));
  CHECK(cut.starts_with("Io: the stream was reset: INTERNAL_ERROR"));
  Http2Request small = request_to("/big?3000000");
  small.max_body_bytes = 1000;
  const std::string got3 = co_await fetch(client, std::move(small));
  CHECK(got3 == "TooLarge: the response is over 1000 bytes");
  const auto refused4 = co_await client.open(request_to("no slash"));
  REQUIRE(!refused4);
  CHECK(says(refused4.error()).starts_with("Invalid: "));
  // More than the connection's window in small bodies: each gives back what it took.
  for (int i = 0; i < 100; ++i) {
    const std::string body = co_await fetch(client, request_to("/big?30000"));
    REQUIRE(body.size() == 30'004);
  }
  CHECK(client.usable());
}

// Writes pieces and reads them back in turns.
Task<void> both_ways(Loop&, Http2Client& client) {
  Http2Request request = request_to("/echo");
  request.method = "POST";
  request.streams_body = true;
  auto call = co_await client.open(std::move(request));
  REQUIRE(call);
  for (int i = 0; i < 20; ++i) {
    Slices data(1, Slice::of(std::string(50'000, static_cast<char>('a' + i))));
    const auto done5 = co_await (*call)->write(std::move(data));
    CHECK(says(done5) == "ok");
  }
  const auto done6 = co_await (*call)->finish();
  CHECK(says(done6) == "ok");
  auto status = co_await (*call)->status();
  REQUIRE(status);
  CHECK(*status == 200);
  auto body = co_await (*call)->body().read_all(10'000'000);
  REQUIRE(body);
  CHECK(body->size() == 1'000'000);
  CHECK(body->substr(950'000) == std::string(50'000, 't'));
}

Task<void> count_hello(Http2Client& client, int* good) {
  const std::string got = co_await fetch(client, request_to("/sleep?20"));
  if (got.starts_with("200 ")) ++*good;
}

Task<void> many(Loop&, Http2Client& client) {
  int good = 0;
  TaskScope scope;
  for (int i = 0; i < 300; ++i) scope.spawn(count_hello(client, &good));
  (void)co_await scope.join();
  CHECK(good == 300);
}

Task<void> cancels(Loop& loop, Http2Client& client) {
  Http2Request late = request_to("/sleep?5000");
  late.timeout = 50ms;
  const std::string timed_out = co_await fetch(client, std::move(late));
  CHECK(timed_out.starts_with("Timeout: "));
  StopSource stop;
  Loop::Timer timer = loop.after(50ms, [&] { stop.stop(); });
  const std::string stopped = co_await fetch(client, request_to("/watch"), stop.token());
  CHECK(stopped.starts_with("Cancelled: "));
  {
    auto dropped = co_await client.open(request_to("/watch"));
    REQUIRE(dropped);
    const auto done7 = co_await (*dropped)->status();
    CHECK(says(done7) == "ok");
  }
  const std::string got8 = co_await fetch(client, request_to("/hello"));
  CHECK(got8 == "200 hello");
}

// A response that is not read stops at the window, and holds up nobody else.
Task<void> unread(Loop& loop, Http2Client& client) {
  auto call = co_await client.open(request_to("/flood"));
  REQUIRE(call);
  const auto done9 = co_await (*call)->status();
  CHECK(says(done9) == "ok");
  (void)co_await loop.sleep(200ms);
  const std::string got10 = co_await fetch(client, request_to("/hello"));
  CHECK(got10 == "200 hello");
  std::size_t got = 0;
  while (got < 1'000'000) {
    auto piece = co_await (*call)->body().read();
    REQUIRE(piece);
    got += piece->size();
  }
}

}  // namespace

TEST_CASE("http2 client: requests, bodies, limits") {
  TestServer server;
  with_server(server, basics);
  with_server(server, both_ways);
}

TEST_CASE("http2 client: more requests than the server takes at once wait in order") {
  HttpLimits limits;
  limits.max_streams = 7;
  TestServer server(limits);
  with_server(server, many);
  CHECK(server.seen().handled == 300);
  CHECK(server.seen().most_running <= 7);
}

TEST_CASE("http2 client: deadlines and stop tokens reset the stream") {
  TestServer server;
  with_server(server, cancels);
  CHECK(eventually([&] { return server.seen().running == 0 || server.seen().gone == 2; }));
  CHECK(eventually([&] { return server.seen().gone == 2; }));
}

TEST_CASE("http2 client: what is not read holds up its sender alone") {
  TestServer server;
  with_server(server, unread);
  CHECK(server.seen().written < 2'000'000);
}

namespace {

Task<void> send_pieces(Http2Call& call, std::size_t* sent) {
  while (true) {
    Slices data(1, Slice::of(std::string(10'000, 'x')));
    auto written = co_await call.write(std::move(data));
    if (!written) co_return;
    *sent += 10'000;
  }
}

// The server's handler sleeps and reads nothing: what is sent stays within its window, and ends with its answer.
Task<void> upload(Loop& loop, Http2Client& client) {
  Http2Request request = request_to("/sleep?300");
  request.method = "POST";
  request.streams_body = true;
  auto call = co_await client.open(std::move(request));
  REQUIRE(call);
  std::size_t sent = 0;
  TaskScope scope;
  scope.spawn(send_pieces(**call, &sent));
  (void)co_await loop.sleep(150ms);
  CHECK(sent > 0);
  CHECK(sent <= 300'000);
  const std::string other = co_await fetch(client, request_to("/hello"));
  CHECK(other == "200 hello");
  auto status = co_await (*call)->status();
  CHECK(says(status) == "ok");
  (void)co_await scope.join();
  CHECK(sent <= 300'000);
}

Task<Result<void>> over_tls(Context context, std::uint16_t port, TlsClientOptions options, std::string* got) {
  Endpoint to{"127.0.0.1", port};
  auto plain = co_await connect_tcp(context, to);
  if (!plain) co_return plain.error();
  auto secured = co_await tls_connect(context, std::move(*plain), std::move(options));
  if (!secured) co_return secured.error();
  *got = (*secured)->tls_peer().alpn;
  StreamPtr stream(std::move(*secured));
  auto client = Http2Client::create(context, std::move(stream), Http2ClientOptions());
  StopSource stop;
  TaskScope scope;
  scope.spawn(client->run(stop.token()));
  Http2Request request = request_to("/who");
  request.scheme = "https";
  const std::string who = co_await fetch(*client, std::move(request));
  *got += cat(" ", who);
  stop.stop();
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("http2 client: uploads stop at the server's window") {
  TestServer server;
  with_server(server, upload);
}

TEST_CASE("http2 client: over TLS with a client certificate") {
  Pki serving("serving"), clients("clients");
  const Identity identity = serving.server({"localhost"}, {"127.0.0.1"});
  TlsServerOptions options;
  options.certificate_pem = identity.certificate_pem;
  options.key_pem = identity.key_pem;
  options.client_ca_pem = clients.ca().certificate_pem;
  options.alpn = {"h2", "http/1.1"};
  TestServer server(HttpLimits(), 200ms, options);
  const Identity user = clients.client("jane", {"crew"});
  TlsClientOptions tls{
      TlsServerIdentity::name("127.0.0.1", serving.ca().certificate_pem), user.certificate_pem, user.key_pem, {"h2"}};
  TestContext test;
  std::string got;
  auto ran = test.loop.run(over_tls(test.context(), server.port(), tls, &got));
  CHECK(says(ran) == "ok");
  CHECK(got == "h2 200 jane");
}

// ---- servers that lie

namespace {

std::string settings(std::string_view payload = "") { return h2_frame(kSettings, 0, 0, payload); }
std::string head(std::uint8_t flags, const std::vector<std::pair<std::string, std::string>>& fields) {
  return h2_frame(kHeaders, static_cast<std::uint8_t>(flags | kEndHeaders), 1, hpack(fields));
}

struct Outcome {
  std::string got, ran;
  bool usable = true;
};

Task<void> swallow(Stream& stream) {
  char buffer[4096];
  while (true) {
    auto got = co_await stream.read(buffer);
    if (!got || *got == 0) co_return;
  }
}

// One request to a server that says `bytes`, whatever it is asked, and then closes or stays.
Task<Result<void>> meet(Context context, std::string bytes, bool closes, Http2ClientOptions options, Duration timeout,
                        Outcome* outcome) {
  auto pair = stream_pair(context);
  if (!pair) co_return pair.error();
  auto client = Http2Client::create(context, std::move(pair->first), options);
  StreamPtr server = std::move(pair->second);
  StopSource stop;
  TaskScope run_scope, scope;
  scope.spawn(swallow(*server));
  Http2Request request = request_to("/x");
  request.timeout = timeout;
  auto call = co_await client->open(std::move(request));
  if (!call) co_return call.error();
  auto running = client->run(stop.token());
  run_scope.spawn(std::move(running));
  Slices data(1, Slice::of(std::move(bytes)));
  (void)co_await server->write(std::move(data));
  if (closes) (void)co_await server->shutdown();
  auto status = co_await (*call)->status();
  if (!status) {
    outcome->got = says(status.error());
  } else {
    auto body = co_await (*call)->body().read_all(1'000'000);
    outcome->got = body ? cat(*status, " ", *body) : says(body.error());
    for (const auto& [name, value] : (*call)->trailers()) outcome->got += cat(" ", name, "=", value);
  }
  outcome->usable = client->usable();
  stop.stop();
  auto ran = co_await run_scope.join();
  outcome->ran = says(ran);
  server->close();
  (void)co_await scope.join();
  co_return Result<void>();
}

Outcome outcome_of(const std::string& bytes, bool closes = false, Http2ClientOptions options = Http2ClientOptions(),
                   Duration timeout = 5s) {
  TestContext test;
  Outcome outcome;
  auto met = test.loop.run(meet(test.context(), bytes, closes, options, timeout, &outcome));
  CHECK(says(met) == "ok");
  return outcome;
}

}  // namespace

TEST_CASE("http2 client: what single frames do") {
  constexpr std::uint32_t kRefused = 7, kCancelCode = 8;
  const std::string ok = head(0, {{":status", "200"}});
  const std::string data_end = h2_frame(kData, kEndStream, 1, "body");
  const auto goaway = [](std::uint32_t last, std::uint32_t code) {
    return h2_frame(kGoAway, 0, 0, u32(last) + u32(code));
  };
  std::string interim, huge;
  for (int i = 0; i < 20; ++i) interim += head(0, {{":status", "100"}});
  for (int i = 0; i < 3000; ++i) huge += h2_frame(kWindowUpdate, 0, 0, u32(1));
  struct Row {
    std::string what, bytes, got;
    bool closes = false;
  };
  for (const Row& row : {
           Row{"whole", settings() + ok + data_end, "200 body"},
           Row{"interim", settings() + head(0, {{":status", "103"}}) + ok + data_end, "200 body"},
           Row{"trailers", settings() + ok + h2_frame(kData, 0, 1, "b") + head(kEndStream, {{"grpc-status", "5"}}),
               "200 b grpc-status=5"},
           Row{"endless interim", settings() + interim, "Io: too many interim HTTP responses"},
           Row{"no status", settings() + head(0, {{"a", "b"}}), "Io: the stream was reset: PROTOCOL_ERROR"},
           Row{"interim with end", settings() + head(kEndStream, {{":status", "100"}}), "Io: "},
           Row{"bad length", settings() + head(0, {{":status", "200"}, {"content-length", "9"}}) + data_end,
               "Io: the stream was reset: PROTOCOL_ERROR"},
           Row{"refused", settings() + h2_frame(kRstStream, 0, 1, u32(kRefused)),
               "Unavailable: the server did not begin with the request"},
           Row{"refused after its head", settings() + ok + h2_frame(kRstStream, 0, 1, u32(kRefused)), "Io: "},
           Row{"cancelled", settings() + h2_frame(kRstStream, 0, 1, u32(kCancelCode)),
               "Io: the stream was reset: CANCEL"},
           Row{"goaway, not begun", settings() + goaway(0, 0), "Unavailable: the server did not begin"},
           Row{"goaway, goes on", settings() + goaway(1, 0) + ok + data_end, "200 body"},
           Row{"data before head", settings() + data_end, "Io: "},
           Row{"data after the end", settings() + ok + data_end + h2_frame(kData, 0, 1, "more"), "200 body"},
           Row{"data on an idle stream", settings() + h2_frame(kData, 0, 9, "x"), "Io: the server broke HTTP/2"},
           Row{"push", settings() + h2_frame(static_cast<H2Type>(5), kEndHeaders, 1, u32(2)), "Io: the server pushes"},
           Row{"no HTTP/2", "HTTP/1.1 400 Bad Request\r\n\r\n", "Io: "},
           Row{"broken HPACK", settings() + h2_frame(kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff"),
               "Io: the server broke HTTP/2"},
           Row{"closes", settings() + ok, "Io: the server closed the connection", true},
           Row{"closes at once", "", "Io: the server closed the connection", true},
           Row{"too many window updates", settings() + huge, "Io: the server sends too many control frames"},
           Row{"large head", settings() + head(0, {{":status", "200"}, {"a", std::string(5000, 'x')}}),
               "TooLarge: the response's headers are too large"},
       }) {
    CAPTURE(row.what);
    Http2ClientOptions options;
    options.max_header_bytes = 4000;
    const Outcome outcome = outcome_of(row.bytes, row.closes, options);
    CAPTURE(outcome.got);
    CHECK(outcome.got.starts_with(row.got));
    if (row.what.starts_with("goaway")) CHECK(!outcome.usable);
  }
}

namespace {

// A call that has nothing to say for long, on a connection whose server never answers a ping.
Task<Result<void>> silent_call(Context context) {
  auto pair = stream_pair(context);
  if (!pair) co_return pair.error();
  StreamPtr server = std::move(pair->second);
  Http2ClientOptions options;
  options.ping_after = options.ping_timeout = 30ms;
  auto client = Http2Client::create(context, std::move(pair->first), options);
  TaskScope scope;
  scope.spawn(client->run(StopToken()));
  Slices greeting(1, Slice::of(settings())), word(1, Slice::of("x"));
  (void)co_await server->write(std::move(greeting));
  Http2Request request;
  request.method = "POST";
  request.authority = "t";
  request.streams_body = request.may_be_silent = true;
  auto call = co_await client->open(std::move(request));
  if (!call) co_return call.error();
  (void)co_await context.loop.sleep(300ms);
  CHECK(client->usable());
  (void)co_await (*call)->write(std::move(word));
  auto status = co_await (*call)->status();
  CHECK(says(status) == "Timeout: the server does not answer a ping");
  call->reset();
  (void)co_await scope.join();
  co_return Result<void>();
}

}  // namespace

TEST_CASE("http2 client: a call that may be silent is pinged for when it has said something") {
  TestContext test;
  CHECK(says(test.loop.run(silent_call(test.context()))) == "ok");
}

TEST_CASE("http2 client: a server that falls silent is noticed by pings") {
  Http2ClientOptions options;
  options.ping_after = 50ms;
  options.ping_timeout = 50ms;
  const Outcome outcome = outcome_of(settings(), false, options);
  CHECK(outcome.got == "Timeout: the server does not answer a ping");
  CHECK(outcome.ran == "Timeout: the server does not answer a ping");
  const Outcome waits = outcome_of(settings(), false, Http2ClientOptions(), 100ms);
  CHECK(waits.got.starts_with("Timeout: "));
  CHECK(waits.ran == "ok");
}
