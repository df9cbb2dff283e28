// http1_server_test.cc: the HTTP/1.1 server as a client on a socket sees it.
#include <zlib.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "io/http_internal.h"
#include "io/support_http.h"

using namespace kayak;
using namespace kayak::test;
using namespace std::chrono_literals;
using kayak::io::HttpLimits;

namespace {

// What one connection answers to `bytes` until it closes, when the client sends nothing more but keeps reading.
std::string answer(const TestServer& server, std::string_view bytes) {
  RawClient client(server.port());
  client.send(bytes);
  return client.read_to_end();
}

// One response with Content-Length off a connection that stays open.
std::string read_response(RawClient& client) {
  std::string head = client.read_until("\r\n\r\n");
  const std::size_t at = head.find("Content-Length: ");
  if (at == std::string::npos) return head;
  return head + client.read_exactly(std::stoul(head.substr(at + 16)));
}

std::string gunzip(std::string_view bytes) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::string out(64 << 20, '\0');
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int rc = inflate(&z, Z_FINISH);
  out.resize(z.total_out);
  inflateEnd(&z);
  return rc == Z_STREAM_END ? out : "not gzip";
}

}  // namespace

TEST_CASE("http1: whole responses") {
  TestServer server;
  struct Row {
    std::string request;
    int status;
    std::string_view body;
  };
  const std::string close = "Connection: close\r\n";
  for (const Row& row : {
           Row{get("/hello", close), 200, "hello"},
           Row{"HEAD /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200, ""},
           Row{"HEAD /stream?3 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200, ""},
           Row{get("/nothing", close), 404, "no such path"},
           Row{post("/echo", close + "Content-Length: 3\r\n", "abc"), 200, "abc"},
           Row{post("/echo", close + "Content-Length: 0\r\n", ""), 200, ""},
           Row{post("/echo", close + "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n"),
               200, "abcde"},
           Row{"OPTIONS * HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200, ""},
           Row{get("/none", close), 500, "500 Internal Server Error: no answer was made\n"},
           Row{"\r\n\r\n" + get("/hello", close), 200, "hello"},
           Row{get("/close"), 200, "x"},
       }) {
    CAPTURE(row.request);
    const std::string response = answer(server, row.request);
    CAPTURE(response);
    CHECK(test::status_of(response) == row.status);
    CHECK(body_of(response) == row.body);
    CHECK(response.find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(response.find("\r\nDate: ") != std::string::npos);
  }
  CHECK(answer(server, "HEAD /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").find("Content-Length: 5\r\n") !=
        std::string::npos);
  CHECK(answer(server, get("/split", close)).find("\r\nWarning: a  X-Injected: b\r\n") != std::string::npos);
}

TEST_CASE("http1: what a handler is told") {
  TestServer server;
  const std::string response = answer(
      server, "PATCH /show?a=%20b HTTP/1.1\r\nhost: name:80\r\nX-Two: 1\r\nx-two:  2 \r\nConnection: close\r\n\r\n");
  CHECK(body_of(response) ==
        "PATCH path=/show query=a=%20b host=name:80 http2=false\nhost=name:80\nX-Two=1\nx-two=2\nConnection=close\n");
}

TEST_CASE("http1: malformed requests get their status and the connection ends") {
  HttpLimits limits;
  limits.max_header_bytes = 4096;
  limits.max_headers = 20;
  TestServer server(limits);
  std::string many = "GET / HTTP/1.1\r\nHost: t\r\n";
  for (int i = 0; i < 30; ++i) many += "X: y\r\n";
  struct Row {
    std::string_view what;
    std::string request;
    int status;
  };
  for (const Row& row : {
           Row{"garbage", "\x16\x03\x01\x02\x03", 400},
           Row{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
           Row{"length and chunked, a second request hidden in the body",
               post("/echo", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
                    "0\r\n\r\nGET /hello HTTP/1.1\r\n\r\n"),
               400},
           Row{"unknown coding", post("/echo", "Transfer-Encoding: gzip\r\n", "0\r\n\r\n"), 501},
           Row{"connect", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501},
           Row{"version", "GET / HTTP/3.0\r\nHost: t\r\n\r\n", 505},
           Row{"too many fields", many + "\r\n", 431},
           Row{"too long a field", get("/", "X: " + std::string(5000, 'x') + "\r\n"), 431},
           Row{"too long a target", get("/" + std::string(3000, 'x')), 414},
           Row{"expectation", get("/", "Expect: x\r\n"), 417},
           Row{"bad chunk", post("/echo", "Transfer-Encoding: chunked\r\n", "zz\r\n"), 400},
           Row{"bare LF in a chunk size", post("/echo", "Transfer-Encoding: chunked\r\n", "1\nx\r\n0\r\n\r\n"), 400},
           Row{"blank lines without end", "\r\n\r\n\r\n\r\n\r\n\r\n" + get("/hello"), 400},
       }) {
    CAPTURE(row.what);
    // Whatever follows must not be taken for a request.
    const std::string response = answer(server, row.request + get("/hello"));
    CAPTURE(response);
    CHECK(test::status_of(response) == row.status);
    CHECK(response.find("hello") == std::string::npos);
    CHECK(response.find("Connection: close\r\n") != std::string::npos);
  }
}

TEST_CASE("http1: keep-alive and pipelining") {
  TestServer server;
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.send(get("/hello"));
    CHECK(body_of(read_response(client)) == "hello");
  }
  // Answered in order, also when the first takes its time and bodies lie between.
  client.send(get("/sleep?30") + post("/echo", "Content-Length: 2\r\n", "ab") + get("/hello") + "GET /hel");
  CHECK(body_of(read_response(client)) == "slept");
  CHECK(body_of(read_response(client)) == "ab");
  CHECK(body_of(read_response(client)) == "hello");
  client.send("lo HTTP/1.1\r\nHost: t\r\n\r\n");  // the rest of the head that broke off above
  CHECK(body_of(read_response(client)) == "hello");

  // A body nobody read is skipped when it is small.
  RawClient skipping(server.port());
  skipping.send(post("/ignore", "Content-Length: 5\r\n", "12345") + get("/hello"));
  CHECK(body_of(read_response(skipping)) == "ignored");
  CHECK(body_of(read_response(skipping)) == "hello");

  RawClient old(server.port());
  old.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string response = read_response(old);
  CHECK(response.find("Connection: keep-alive\r\n") != std::string::npos);
  old.send("GET /stream?2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(body_of(old.read_to_end()) == "piece 0\npiece 1\n");
}

TEST_CASE("http1: heads and bodies that arrive byte by byte") {
  TestServer server;
  RawClient client(server.port());
  for (const char c : post("/echo", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n")) {
    client.send(std::string(1, c));
    std::this_thread::sleep_for(100us);
  }
  CHECK(body_of(read_response(client)) == "abc");
}

TEST_CASE("http1: 100-continue") {
  TestServer server;
  RawClient client(server.port());
  client.send(post("/echo", "Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  CHECK(body_of(read_response(client)) == "abc");
  // Nobody asks for the body: no 100, and the connection cannot be reused as the body may or may not come.
  client.send(post("/ignore", "Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  const std::string response = client.read_to_end();
  CHECK(test::status_of(response) == 200);
  CHECK(response.find("Connection: close\r\n") != std::string::npos);
}

TEST_CASE("http1: bodies beyond the limit are refused without being read") {
  HttpLimits limits;
  TestServer server(limits);
  struct Row {
    std::string_view what, fields;
    bool chunked;
  };
  for (const Row& row : {Row{"by length", "Content-Length: 10485760\r\n", false},
                         Row{"chunked", "Transfer-Encoding: chunked\r\n", true}}) {
    CAPTURE(row.what);
    server.seen().body_bytes = 0;
    RawClient client(server.port());
    std::string body = row.chunked ? "a00000\r\n" : "";
    body += std::string(10'485'760, 'x');
    std::thread sender([&] { client.send(post("/count", row.fields, body)); });
    const std::string response = client.read_until("\r\n\r\n");
    CHECK(test::status_of(response) == 413);
    client.finish_sending();  // the sender's next bytes are refused
    sender.join();
    CHECK(server.seen().body_bytes <= (row.chunked ? limits.max_body_bytes : 0));
  }
  RawClient fits(server.port());
  const std::string body(limits.max_body_bytes, 'x');
  std::thread sender([&] { fits.send(post("/count", cat("Content-Length: ", body.size(), "\r\n"), body)); });
  CHECK(body_of(read_response(fits)) == cat(body.size()));
  sender.join();
}

TEST_CASE("http1: a body that filled the read-ahead and that nobody read is dropped") {
  TestServer server;
  RawClient client(server.port());
  // The handler sleeps meanwhile: the server has read as far as it does by itself when the answer ends the connection.
  client.send("POST /sleep?200 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
  client.send(std::string(1024 * 1024, 'x'));
  const std::string response = client.read_to_end();
  CHECK(status_of(response) == 200);
  RawClient other(server.port());
  other.send(get("/hello"));
  CHECK(body_of(read_response(other)) == "hello");
}

TEST_CASE("http1: slow clients run into their limits") {
  HttpLimits limits;
  limits.header_timeout = 100ms;
  limits.body_timeout = 100ms;
  limits.idle_timeout = 100ms;
  TestServer server(limits);
  SECTION("a head that does not end (slowloris)") {
    RawClient client(server.port());
    client.send("GET / HTTP/1.1\r\n");
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < 80ms) {
      client.send("X: y\r\n");
      std::this_thread::sleep_for(10ms);
    }
    CHECK(test::status_of(client.read_to_end()) == 408);
  }
  SECTION("a body that does not end") {
    RawClient client(server.port());
    client.send(post("/echo", "Content-Length: 10\r\n", "abc"));
    CHECK(test::status_of(client.read_to_end()) == 408);
  }
  SECTION("a body that trickles") {
    RawClient client(server.port());
    client.send(post("/echo", "Content-Length: 1000\r\n", ""));
    for (int i = 0; i < 8; ++i) {
      client.send("x");
      std::this_thread::sleep_for(20ms);
    }
    CHECK(test::status_of(client.read_to_end()) == 408);
  }
  SECTION("idle before and after a request") {
    RawClient client(server.port());
    CHECK(client.closed());
    RawClient second(server.port());
    second.send(get("/hello"));
    CHECK(body_of(read_response(second)) == "hello");
    CHECK(second.closed());
  }
  SECTION("a handler may take longer than all of them") {
    RawClient client(server.port());
    client.send(get("/sleep?300"));
    CHECK(body_of(read_response(client)) == "slept");
  }
}

TEST_CASE("http1: streamed responses") {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/stream?2"));
  const std::string response = client.read_until("0\r\n\r\n");
  CHECK(response.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK(body_of(response) == "8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n0\r\n\r\n");
  client.send(get("/hello"));
  CHECK(body_of(read_response(client)) == "hello");
  // A response that breaks off has no last chunk, so nobody takes it for whole.
  client.send(get("/cut"));
  const std::string cut = client.read_to_end();
  CHECK(body_of(cut) == "b\r\nonly a part\r\n");
}

TEST_CASE("http1: a watch hears at once that its client is gone") {
  TestServer server;
  {
    RawClient client(server.port());
    client.send(get("/watch"));
    CHECK(client.read_until("event\n\r\n").find("event") != std::string::npos);
    CHECK(server.seen().gone == 0);
  }
  CHECK(eventually([&] { return server.seen().handled == 1; }));
  CHECK(server.seen().gone == 1);
  // Also before it has answered anything.
  {
    RawClient client(server.port());
    client.send(get("/sleep?100000"));
    CHECK(eventually([&] { return server.seen().running == 1; }));
  }
  CHECK(eventually([&] { return server.seen().handled == 2; }));
}

TEST_CASE("http1: a client that does not read holds up its own stream only") {
  HttpLimits limits;
  TestServer server(limits);
  RawClient slow(server.port());
  slow.send(get("/flood"));
  std::size_t before = 1;
  CHECK(eventually([&] {
    std::this_thread::sleep_for(100ms);
    const bool stalled = server.seen().written == before;
    before = server.seen().written;
    return stalled && before > 0;
  }));
  CAPTURE(before);
  CHECK(before < 32'000'000);  // what socket buffers take, not what the handler could make
  RawClient other(server.port());
  other.send(get("/hello"));
  CHECK(body_of(read_response(other)) == "hello");
  // Reading lets it go on.
  std::size_t got = 0;
  while (got < before + 1'000'000) got += slow.read_some().size();
  CHECK(server.seen().written > before);
  slow.close();
  CHECK(eventually([&] { return server.seen().gone == 1; }));
}

TEST_CASE("http1: a client that never reads is given up") {
  HttpLimits limits;
  limits.write_timeout = 200ms;
  TestServer server(limits);
  RawClient client(server.port());
  client.send(get("/flood"));
  CHECK(eventually([&] { return server.seen().gone == 1; }));
}

TEST_CASE("http1: gzip for large bodies when the client takes it") {
  TestServer server;
  struct Row {
    std::string_view accept;
    int size;
    bool zipped, vary;
  };
  for (const Row& row : {
           Row{"gzip", 200'000, true, true},
           Row{"deflate, GZIP;q=0.5", 200'000, true, true},
           Row{"gzip", 131'073, true, true},
           Row{"gzip", 131'072, false, false},
           Row{"gzip;q=0", 200'000, false, true},
           Row{"gzip; q=0.000", 200'000, false, true},
           Row{"identity", 200'000, false, true},
           Row{"x-gzipped", 200'000, false, true},
           Row{"gzip", 20'000'000, true, true},
       }) {
    CAPTURE(row.accept, row.size);
    const std::string response =
        answer(server, get(cat("/big?", row.size), cat("Connection: close\r\nAccept-Encoding: ", row.accept, "\r\n")));
    const std::string body = body_of(response);
    const bool zipped = response.find("Content-Encoding: gzip\r\n") != std::string::npos;
    CHECK(zipped == row.zipped);
    CHECK((response.find("Vary: Accept-Encoding\r\n") != std::string::npos) == row.vary);
    CHECK(response.find(cat("Content-Length: ", body.size(), "\r\n")) != std::string::npos);
    CHECK((zipped ? gunzip(body) : body) == std::string(static_cast<std::size_t>(row.size), 'b'));
    if (zipped) CHECK(body.size() < static_cast<std::size_t>(row.size) / 20);
  }
}

TEST_CASE("http1: upgrades hand over the connection with what came behind the request") {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/hello"));
  CHECK(body_of(read_response(client)) == "hello");
  client.send(get("/upgrade", "Connection: keep-alive, Upgrade\r\nUpgrade: shout\r\n") + "early ");
  CHECK(client.read_until("\r\n\r\n") ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n");
  client.send("late");
  CHECK(client.read_exactly(10) == "EARLY LATE");
  client.finish_sending();
  CHECK(client.read_to_end() == "");
  CHECK(test::status_of(answer(server, get("/upgrade", "Connection: close\r\n"))) == 400);
  // Behind a slow request the bytes are already being read: refused, not lost.
  RawClient pipelined(server.port());
  pipelined.send(get("/sleep?50") + get("/upgrade", "Connection: Upgrade\r\nUpgrade: shout\r\n"));
  CHECK(body_of(read_response(pipelined)) == "slept");
  CHECK(test::status_of(read_response(pipelined)) == 400);
}

TEST_CASE("http1: limits on connections shed the idlest") {
  HttpLimits limits;
  limits.max_connections = 2;
  TestServer server(limits);
  RawClient first(server.port());
  first.send(get("/hello"));
  CHECK(body_of(read_response(first)) == "hello");
  std::this_thread::sleep_for(20ms);
  RawClient second(server.port());
  second.send(get("/hello"));
  CHECK(body_of(read_response(second)) == "hello");
  RawClient third(server.port());
  third.send(get("/hello"));
  CHECK(body_of(read_response(third)) == "hello");
  CHECK(first.closed());
  second.send(get("/hello"));
  CHECK(body_of(read_response(second)) == "hello");
}

TEST_CASE("http1: clients that say nothing make room for those who do, the oldest first") {
  HttpLimits limits;
  limits.max_connections = 2;
  TestServer server(limits);
  std::vector<std::unique_ptr<RawClient>> silent;
  constexpr int kAtOnce = 64;
  for (int i = 0; i < kAtOnce; ++i) silent.push_back(std::make_unique<RawClient>(server.port()));
  RawClient late(server.port());
  late.send(get("/hello"));
  CHECK(body_of(read_response(late)) == "hello");
  CHECK(silent.front()->closed());
  silent.back()->send(get("/hello"));
  CHECK(body_of(read_response(*silent.back())) == "hello");
}

TEST_CASE("http1: the server stops in order") {
  TestServer server(HttpLimits(), 5s);
  RawClient idle(server.port()), busy(server.port()), watch(server.port());
  idle.send(get("/hello"));
  CHECK(body_of(read_response(idle)) == "hello");
  busy.send(get("/sleep?300"));
  watch.send(get("/watch"));
  CHECK(watch.read_until("event\n\r\n").find("event") != std::string::npos);
  CHECK(eventually([&] { return server.seen().running == 2; }));
  server.stop();
  CHECK(idle.closed());
  // The watch ends by itself, whole; the running request gets its answer and its connection is closed after it.
  CHECK(watch.read_to_end() == "0\r\n\r\n");
  const std::string response = busy.read_to_end();
  CHECK(body_of(response) == "slept");
  CHECK(response.find("Connection: close\r\n") != std::string::npos);
  CHECK(eventually([&] { return server.ended(); }));
}

TEST_CASE("http1: the server does not wait longer than its drain") {
  TestServer server(HttpLimits(), 50ms);
  RawClient client(server.port());
  client.send(get("/sleep?60000"));
  CHECK(eventually([&] { return server.seen().running == 1; }));
  server.stop();
  CHECK(eventually([&] { return server.ended(); }));
}

TEST_CASE("http1: curl") {
  TestServer server;
  const std::string curl = "curl -s --max-time 20 ";
  CHECK(shell(curl + server.url("/hello") + " " + server.url("/hello") + " -w '%{num_connects}'") == "hello1hello0");
  CHECK(shell("head -c 2000000 /dev/zero | " + curl + "--data-binary @- " + server.url("/count")) == "2000000");
  CHECK(shell("head -c 2000000 /dev/zero | " + curl + "-T - " + server.url("/count")) == "2000000");
  CHECK(shell("head -c 10000000 /dev/zero | " + curl + "-o /dev/null -w '%{http_code}' --data-binary @- " +
              server.url("/count")) == "413");
  CHECK(shell(curl + "--compressed " + server.url("/big?300000") + " | wc -c") == "300000\n");
  CHECK(shell(curl + "-N " + server.url("/stream?5") + " | tail -1") == "piece 4\n");
  CHECK(shell(curl + server.url("/cut") + " -w ' %{exitcode}'") == "only a part 18");  // 18: partial file
}
