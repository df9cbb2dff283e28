// http2_server_test.cc: the HTTP/2 server as curl sees it, and as a client that says single frames does.
#include <catch2/catch.hpp>
#include <thread>

#include "base/strings.h"
#include "io/http.h"
#include "io/support_http2.h"

using namespace kayak;
using namespace kayak::test;
using namespace std::chrono_literals;
using kayak::io::HttpLimits;

namespace {

// Error codes of RFC 9113 7.
enum : int {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kRefusedStream = 7,
  kCancel = 8,
  kEnhanceYourCalm = 11
};

std::string h2_post(std::uint32_t stream, std::string_view path,
                    std::vector<std::pair<std::string, std::string>> more = {}) {
  std::vector<std::pair<std::string, std::string>> fields = {
      {":method", "POST"}, {":scheme", "http"}, {":authority", "t"}, {":path", std::string(path)}};
  fields.insert(fields.end(), more.begin(), more.end());
  return h2_frame(kHeaders, kEndHeaders, stream, hpack(fields));
}

// Sends `attack` over and over, reading what comes, until the server says GOAWAY or closes; whether it did.
template <typename Attack>
bool ends_connection(H2Client& client, int rounds, Attack attack) {
  for (int i = 0; i < rounds && !client.connection_ended && client.goaway < 0; ++i) {
    client.send(attack(i));
    // A ping's answer shows that all before it was looked at.
    if (i % 16 == 15) {
      client.send(h2_frame(kPing, 0, 0, "12345678"));
      bool answered = false;
      while (!answered && !client.connection_ended && client.goaway < 0) {
        const H2Frame frame = client.read_frame();
        answered = frame.type == kPing;
        client.connection_ended = frame.type == -1;
        if (frame.type == kGoAway) client.goaway = static_cast<int>(read_u32(frame.payload.substr(4)));
      }
    }
  }
  return client.goaway > 0 || client.connection_ended;
}

}  // namespace

TEST_CASE("http2: curl") {
  TestServer server;
  const std::string curl = "curl -s --max-time 20 --http2-prior-knowledge ";
  CHECK(shell(curl + server.url("/hello") + " -w '%{num_connects}%{http_version}'") == "hello12");
  CHECK(shell("head -c 2000000 /dev/zero | " + curl + "--data-binary @- " + server.url("/count")) == "2000000");
  CHECK(shell("head -c 2000000 /dev/zero | " + curl + "--data-binary @- " + server.url("/echo") + " | wc -c") ==
        "2000000\n");
  CHECK(shell("head -c 10000000 /dev/zero | " + curl + "-o /dev/null -w '%{http_code}' --data-binary @- " +
              server.url("/count")) == "413");
  CHECK(shell(curl + "--compressed " + server.url("/big?3000000") + " | wc -c") == "3000000\n");
  CHECK(shell(curl + server.url("/big?3000000") + " | wc -c") == "3000000\n");
  CHECK(shell(curl + "-N " + server.url("/stream?5") + " | tail -1") == "piece 4\n");
  CHECK(shell(curl + "-o /dev/null " + server.url("/cut") + " -w '%{exitcode}'") == "92");  // 92: stream error
  CHECK(shell(curl + "-I " + server.url("/big?1000") + " | grep -i content-length") == "content-length: 1000\r\n");
  CHECK(shell(curl + server.url("/none") + " -w ' %{http_code}'") ==
        "500 Internal Server Error: no answer was made\n 500");
  const std::string shown = shell(curl + "-H 'X-Name: v' " + server.url("/show?a=%20b"));
  CAPTURE(shown);
  CHECK(shown.starts_with("GET path=/show query=a=%20b host=127.0.0.1:"));
  CHECK(shown.find("http2=true") != std::string::npos);
  CHECK(shown.find("x-name=v\n") != std::string::npos);
}

TEST_CASE("http2: 64 streams at once on one connection") {
  TestServer server;
  CHECK(shell(cat("curl -s --max-time 30 --http2-prior-knowledge -Z --no-progress-meter --parallel-max 64 "
                  "--parallel-immediate ",
                  "-o /dev/null -w '%{http_code}\\n' '", server.url("/sleep?200"), "&[1-64]' | sort | uniq -c")) ==
        "     64 200\n");
  CHECK(server.seen().handled == 64);

  H2Client client(server.port());
  for (std::uint32_t id = 1; id <= 127; id += 2) client.send(h2_get(id, "/watch"));
  CHECK(client.run_until([&] {
    int events = 0;
    for (const auto& [id, response] : client.responses) events += response.body == "event\n" ? 1 : 0;
    return events == 64;
  }));
  CHECK(server.seen().running == 64);
  // Others are answered meanwhile, and one that is reset ends alone.
  client.send(h2_get(129, "/hello"));
  CHECK(client.response_to(129).body == "hello");
  client.send(h2_frame(kRstStream, 0, 5, u32(kCancel)));
  CHECK(eventually([&] { return server.seen().gone == 1; }));
  CHECK(server.seen().running == 63);
  client.close();
  CHECK(eventually([&] { return server.seen().running == 0; }));
  CHECK(server.seen().gone == 64);
}

TEST_CASE("http2: flow control of responses") {
  TestServer server;
  constexpr std::uint16_t kInitialWindow = 4;
  H2Client client(server.port(), {{kInitialWindow, 1000}});
  client.answer = false;
  client.send(h2_get(1, "/big?5000"));
  CHECK(client.run_until([&] { return client.responses[1].body.size() >= 1000; }));
  client.send(h2_get(3, "/hello"));
  CHECK(client.response_to(3).body == "hello");
  CHECK(client.responses[1].body.size() == 1000);
  client.send(h2_frame(kWindowUpdate, 0, 1, u32(4000)));
  CHECK(client.response_to(1).body == std::string(5000, 'b'));

  // A stream that nobody reads stops its handler, and nothing else.
  client.send(h2_get(5, "/flood"));
  std::this_thread::sleep_for(100ms);
  CHECK(server.seen().written == 0);
  client.send(h2_frame(kWindowUpdate, 0, 5, u32(250'000)) + h2_frame(kWindowUpdate, 0, 0, u32(1'000'000)));
  CHECK(eventually([&] { return server.seen().written == 200'000; }));
  CHECK(client.run_until([&] { return client.responses[5].body.size() == 251'000; }));
  client.send(h2_get(7, "/hello"));
  CHECK(client.response_to(7).body == "hello");
  CHECK(server.seen().written == 200'000);
  client.send(h2_frame(kRstStream, 0, 5, u32(kCancel)));
  CHECK(eventually([&] { return server.seen().gone == 1; }));
}

TEST_CASE("http2: streams take turns") {
  TestServer server;
  H2Client client(server.port(), {{4, 0x7fffffff}});
  client.send(h2_frame(kWindowUpdate, 0, 0, u32(1'000'000'000)));
  client.answer = false;
  client.send(h2_get(1, "/big?30000000"));
  CHECK(client.run_until([&] { return client.responses[1].body.size() > 100'000; }));
  client.send(h2_get(3, "/hello"));
  CHECK(client.response_to(3).body == "hello");
  CHECK_FALSE(client.responses[1].ended);
  CHECK(client.response_to(1).body.size() == 30'000'000);
}

TEST_CASE("http2: flow control of requests") {
  HttpLimits limits;
  limits.max_body_bytes = 100 << 20;
  TestServer server(limits);
  H2Client client(server.port());
  // /sleep does not read its body: the client gets as far as the stream's window and no further.
  client.send(h2_post(1, "/sleep?500"));
  std::int64_t window = 65535;
  client.run_until([&] { return client.responses.contains(0); });
  client.answer = true;
  window = 256 * 1024;
  const std::string piece(16384, 'x');
  for (; window >= 16384; window -= 16384) client.send(h2_frame(kData, 0, 1, piece));
  client.send(h2_get(3, "/hello"));
  CHECK(client.response_to(3).body == "hello");
  CHECK(client.goaway == -1);
  CHECK(client.response_to(1).body == "slept");
  // The response is whole, so the rest of the request is not wanted.
  CHECK(client.run_until([&] { return client.responses[1].reset >= 0; }));
  CHECK(client.responses[1].reset == kNoError);
  // A client that ignores its window is in the wrong.
  client.send(h2_post(5, "/sleep?5000"));
  for (int i = 0; i < 20; ++i) client.send(h2_frame(kData, 0, 5, piece));
  CHECK(client.run_until([&] { return client.responses[5].reset > 0 || client.goaway > 0; }));
}

TEST_CASE("http2: requests in pieces, trailers, 100-continue") {
  TestServer server;
  H2Client client(server.port());
  const std::string head = hpack({{":method", "POST"}, {":scheme", "http"}, {":path", "/echo"}, {"host", "by-host"}});
  client.send(h2_frame(kHeaders, 0, 1, head.substr(0, 10)) + h2_frame(kContinuation, 0, 1, head.substr(10, 5)) +
              h2_frame(kContinuation, kEndHeaders, 1, head.substr(15)));
  client.send(h2_frame(kData, 0, 1, "ab") + h2_frame(kData, 0, 1, "c"));
  client.send(h2_frame(kHeaders, kEndHeaders | kEndStream, 1, hpack({{"checksum", "1"}})));
  CHECK(client.response_to(1).body == "abc");

  client.send(h2_post(3, "/echo", {{"expect", "100-continue"}}));
  CHECK(client.run_until([&] { return client.responses[3].status == 100; }));
  client.send(h2_frame(kData, kEndStream, 3, "later"));
  CHECK(client.response_to(3).body == "later");
  CHECK(client.responses[3].status == 200);

  client.send(h2_get(5, "/show"));
  CHECK(client.response_to(5).body.find("host=t http2=true") != std::string::npos);
  client.send(h2_get(7, "/upgrade"));
  CHECK(client.response_to(7).status == 400);
  client.send(h2_get(9, "/split"));
  CHECK(client.response_to(9).headers["warning"] == "a  X-Injected: b");
  // A response that breaks off is reset, so nobody takes it for whole.
  client.send(h2_get(11, "/cut"));
  CHECK(client.response_to(11).reset == kInternalError);
  CHECK(client.responses[11].body == "only a part");
}

TEST_CASE("http2: malformed requests cost their stream or their connection, not the server") {
  HttpLimits limits;
  limits.max_header_bytes = 8192;
  limits.max_headers = 50;
  TestServer server(limits);
  using Fields = std::vector<std::pair<std::string, std::string>>;
  const Fields good = {{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", "/hello"}};
  const auto with = [&](const Fields& more) {
    Fields fields = good;
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  };
  struct Row {
    std::string_view what;
    Fields fields;
    int status;  // or 0 for a reset
  };
  for (const Row& row : {
           Row{"good", good, 200},
           Row{"upper-case name", with({{"X-Upper", "1"}}), 0},
           Row{"connection field", with({{"connection", "close"}}), 0},
           Row{"transfer-encoding", with({{"transfer-encoding", "chunked"}}), 0},
           Row{"pseudo field after others", {{":method", "GET"}, {"a", "b"}, {":scheme", "http"}, {":path", "/"}}, 0},
           Row{"unknown pseudo field", with({{":x", "1"}}), 0},
           Row{"two paths", with({{":path", "/"}}), 0},
           Row{"no path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}}, 0},
           Row{"line break in a value", with({{"x", "a\r\nb: c"}}), 0},
           Row{"relative path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", "x"}}, 0},
           Row{"bad authority",
               {{":method", "GET"}, {":scheme", "http"}, {":authority", "u@t"}, {":path", "/hello"}},
               400},
           Row{"fragment", {{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", "/a#b"}}, 400},
           Row{"long path",
               {{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", "/" + std::string(5000, 'x')}},
               414},
           Row{"large field", with({{"x", std::string(9000, 'x')}}), 431},
           Row{"many fields", with(Fields(60, {"x", "y"})), 431},
           Row{"connect", {{":method", "CONNECT"}, {":authority", "t:1"}}, 501},
           Row{"body longer than its length", with({{"content-length", "3"}}), 0},
       }) {
    CAPTURE(row.what);
    H2Client client(server.port());
    const std::string block = hpack(row.fields);
    client.send(h2_frame(kHeaders, kEndHeaders | kEndStream, 1, block));
    const auto response = client.response_to(1);
    CHECK(response.status == row.status);
    if (row.status == 0) CHECK(response.reset == kProtocolError);
    // The connection lives on.
    client.send(h2_get(3, "/hello"));
    CHECK(client.response_to(3).body == "hello");
  }
  struct Frames {
    std::string_view what;
    std::string bytes;
  };
  for (const Frames& row : {
           Frames{"data on stream 0", h2_frame(kData, 0, 0, "x")},
           Frames{"even stream", h2_get(2, "/hello")},
           Frames{"frame over the maximum", h2_frame(kData, 0, 1, std::string(17'000, 'x'))},
           Frames{"short ping", h2_frame(kPing, 0, 0, "1234")},
           Frames{"settings of odd size", h2_frame(kSettings, 0, 0, "12345")},
           Frames{"window of zero", h2_frame(kWindowUpdate, 0, 0, u32(0))},
           Frames{"continuation of nothing", h2_frame(kContinuation, kEndHeaders, 1, "")},
           Frames{"headers cut by a ping", h2_frame(kHeaders, 0, 1, "") + h2_frame(kPing, 0, 0, "12345678")},
           Frames{"bad HPACK", h2_frame(kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff")},
           Frames{"push from a client", h2_frame(static_cast<H2Type>(5), kEndHeaders, 1, u32(2))},
       }) {
    CAPTURE(row.what);
    H2Client client(server.port());
    client.send(row.bytes);
    CHECK(client.run_until([&] { return client.goaway > 0; }));
    CHECK(client.run_until([&] { return client.connection_ended; }));
  }
}

TEST_CASE("http2: floods end with GOAWAY and leave nothing behind") {
  TestServer server;
  const long before = resident_kb();
  SECTION("CVE-2023-44487 rapid reset") {
    H2Client client(server.port());
    CHECK(ends_connection(client, 20'000, [](int i) {
      const std::uint32_t id = 2 * static_cast<std::uint32_t>(i) + 1;
      return h2_get(id, "/sleep?1000") + h2_frame(kRstStream, 0, id, u32(kCancel));
    }));
    CHECK(server.seen().most_running <= 100);
  }
  SECTION("CVE-2024-28182 CONTINUATION flood") {
    H2Client client(server.port());
    client.send(h2_frame(kHeaders, 0, 1, hpack({{":method", "GET"}})));
    const std::string block = hpack({{"x", std::string(10'000, 'x')}});
    for (int i = 0; i < 200; ++i) client.send(h2_frame(kContinuation, 0, 1, block));
    CHECK(client.run_until([&] { return client.goaway > 0 || client.connection_ended; }));
    CHECK(server.seen().handled == 0);
  }
  SECTION("CVE-2025-8671 the server is made to reset") {
    H2Client client(server.port());
    CHECK(ends_connection(client, 20'000, [](int i) {
      const std::uint32_t id = 2 * static_cast<std::uint32_t>(i) + 1;
      return h2_get(id, "/sleep?1000") + h2_frame(kWindowUpdate, 0, id, u32(0x7fffffff));  // over its maximum
    }));
    CHECK(client.goaway == kEnhanceYourCalm);
    CHECK(server.seen().most_running <= 100);
  }
  struct Row {
    std::string_view what;
    std::string frame;
  };
  const std::string priority = h2_frame(kPriority, 0, 1, u32(0) + "x");
  for (const Row& row : {Row{"PING", h2_frame(kPing, 0, 0, "abcdefgh")}, Row{"SETTINGS", h2_frame(kSettings, 0, 0, "")},
                         Row{"PRIORITY", priority}, Row{"WINDOW_UPDATE", h2_frame(kWindowUpdate, 0, 0, u32(1))}}) {
    DYNAMIC_SECTION(row.what << " flood") {
      H2Client client(server.port());
      CHECK(ends_connection(client, 100'000, [&](int) { return row.frame; }));
      CHECK(client.goaway == kEnhanceYourCalm);
    }
    DYNAMIC_SECTION(row.what << " flood from a client that reads nothing") {
      H2Client client(server.port());
      std::string many;
      for (int i = 0; i < 1000; ++i) many += row.frame;
      for (int i = 0; i < 100; ++i) client.send(many);
      CHECK(client.run_until([&] { return client.connection_ended; }));
    }
  }
  SECTION("empty DATA flood") {
    H2Client client(server.port());
    client.send(h2_post(1, "/count"));
    CHECK(ends_connection(client, 100'000, [&](int) { return h2_frame(kData, 0, 1, ""); }));
  }
  SECTION("HPACK bomb: one large field referred to again and again") {
    H2Client client(server.port());
    std::string bomb = hpack({{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", "/hello"}});
    bomb += std::string("\x40\x01", 2) + "x" + std::string("\x7f\xa1\x1e", 3) + std::string(4000, 'v');
    for (int i = 0; i < 10'000; ++i) bomb.push_back('\xbe');  // index 62, the newest entry
    client.send(h2_frame(kHeaders, kEndHeaders | kEndStream, 1, bomb));
    const auto response = client.response_to(1);
    CAPTURE(response.reset, client.goaway);
    CHECK(response.status == 431);
  }
  SECTION(
      "resets within what a client may have open are no flood: what comes with them waits for the handlers to end") {
    H2Client client(server.port());
    std::string watches, anew;
    for (std::uint32_t id = 1; id < 200; id += 2) {
      watches += h2_get(id, "/watch");
      anew += h2_frame(kRstStream, 0, id, u32(kCancel));
    }
    client.send(watches);
    CHECK(client.run_until([&] { return !client.responses[199].body.empty(); }));
    for (std::uint32_t id = 201; id < 400; id += 2) anew += h2_get(id, "/hello");
    client.send(anew);
    for (std::uint32_t id = 201; id < 400; id += 2) {
      CAPTURE(id);
      CHECK(client.response_to(id).body == "hello");
      CHECK(client.responses[id].reset < 0);
    }
    CHECK(server.seen().most_running <= 100);
  }
  SECTION("requests without end") {
    H2Client client(server.port());
    for (std::uint32_t id = 1; id < 1000; id += 2) client.send(h2_get(id, "/sleep?300"));
    CHECK(client.run_until([&] { return client.responses[999].reset >= 0; }));
    CHECK(client.responses[999].reset == kRefusedStream);
    CHECK(client.response_to(1).body == "slept");
    CHECK(server.seen().most_running <= 100);
  }
  CHECK(eventually([&] { return server.seen().running == 0; }));
  CAPTURE(before, resident_kb());
  CHECK(resident_kb() - before < 20'000);
  // And the server serves.
  H2Client client(server.port());
  client.send(h2_get(1, "/hello"));
  CHECK(client.response_to(1).body == "hello");
}

TEST_CASE("http2: many large responses that nobody reads") {
  HttpLimits limits;
  TestServer server(limits);
  H2Client client(server.port(), {{4, 0x7fffffff}});
  client.send(h2_frame(kWindowUpdate, 0, 0, u32(0x7fffffff - 65535)));
  for (std::uint32_t id = 1; id < 200; id += 2) client.send(h2_get(id, "/big?4000000"));
  std::this_thread::sleep_for(300ms);
  // The first few fill the connection's budget, the others wait for their turn.
  CHECK(server.seen().running <= 8);
  int ended = 0;
  client.answer = false;
  client.run_until([&] {
    ended = 0;
    for (const auto& [id, response] : client.responses) ended += response.ended ? 1 : 0;
    for (auto& [id, response] : client.responses) response.body.clear();
    return ended == 100;
  });
  CHECK(ended == 100);
}

TEST_CASE("http2: slow clients run into their limits") {
  HttpLimits limits;
  limits.header_timeout = 100ms;
  limits.body_timeout = 100ms;
  limits.idle_timeout = 100ms;
  limits.write_timeout = 100ms;
  TestServer server(limits);
  H2Client client(server.port(), {{4, 1000}});
  client.answer = false;
  SECTION("headers that do not end") {
    client.send(h2_frame(kHeaders, 0, 1, hpack({{":method", "GET"}})));
    CHECK(client.run_until([&] { return client.goaway > 0; }));
  }
  SECTION("a body that does not come") {
    client.send(h2_post(1, "/echo") + h2_frame(kData, 0, 1, "abc"));
    CHECK(client.response_to(1).status == 408);
  }
  SECTION("a response that is not taken") {
    client.send(h2_get(1, "/big?5000"));
    CHECK(client.response_to(1).reset == kCancel);
    CHECK(client.responses[1].body.size() == 1000);
  }
  SECTION("idle") {
    client.send(h2_get(1, "/hello"));
    CHECK(client.response_to(1).body == "hello");
    CHECK(client.run_until([&] { return client.connection_ended; }));
    CHECK(client.goaway == kNoError);
  }
  SECTION("a preface that does not end") {
    RawClient slow(server.port());
    slow.send("PRI * HTTP/2.0\r\n");
    CHECK(slow.closed());
  }
  SECTION("a handler may take longer than all of them") {
    client.send(h2_get(1, "/sleep?300"));
    CHECK(client.response_to(1).body == "slept");
  }
}

TEST_CASE("http2: GOAWAY when the server stops, and when a handler asks for it") {
  TestServer server(HttpLimits(), 5s);
  H2Client idle(server.port()), busy(server.port()), asked(server.port());
  idle.send(h2_get(1, "/hello"));
  CHECK(idle.response_to(1).body == "hello");
  asked.send(h2_get(1, "/sleep?200") + h2_get(3, "/close"));
  CHECK(asked.response_to(3).body == "x");
  CHECK_FALSE(asked.responses[3].headers.contains("connection"));
  CHECK(asked.run_until([&] { return asked.goaway == kNoError; }));
  CHECK(asked.response_to(1).body == "slept");
  CHECK(asked.run_until([&] { return asked.connection_ended; }));

  busy.send(h2_get(1, "/sleep?300") + h2_get(3, "/watch"));
  CHECK(busy.run_until([&] { return busy.responses[3].body == "event\n"; }));
  server.stop();
  CHECK(idle.run_until([&] { return idle.connection_ended; }));
  CHECK(idle.goaway == kNoError);
  CHECK(busy.run_until([&] { return busy.goaway >= 0; }));
  CHECK(busy.goaway_last == 3);
  CHECK(busy.response_to(3).ended);
  CHECK(busy.response_to(1).body == "slept");
  CHECK(busy.run_until([&] { return busy.connection_ended; }));
  CHECK(eventually([&] { return server.ended(); }));
}

TEST_CASE("http2: the server does not wait longer than its drain") {
  TestServer server(HttpLimits(), 50ms);
  H2Client client(server.port());
  client.send(h2_get(1, "/sleep?60000"));
  CHECK(eventually([&] { return server.seen().running == 1; }));
  server.stop();
  CHECK(eventually([&] { return server.ended(); }));
}

TEST_CASE("http2: trailers follow the body") {
  TestServer server;
  for (const std::string path : {"/trailers", "/at-once"}) {
    CAPTURE(path);
    H2Client client(server.port());
    client.send(h2_get(1, path));
    const H2Client::Response response = client.response_to(1);
    CHECK(response.status == 200);
    CHECK(response.body == "body");
    CHECK(response.ended);
    CHECK(response.headers.at("grpc-status") == "0");
    // At once: head, body and trailers are one write, which wakes the client once.
    client.send(h2_get(3, path));
    const std::string first = client.read_some();
    std::vector<int> types;
    for (std::size_t at = 0; at + 9 <= first.size(); at += 9 + read_u32(std::string(1, '\0') + first.substr(at, 3))) {
      types.push_back(static_cast<unsigned char>(first[at + 3]));
    }
    if (path == "/at-once") CHECK(types == std::vector<int>{kHeaders, kData, kHeaders});
  }
}

TEST_CASE("http2: any authority, and all other checks of header fields") {
  HttpLimits limits;
  limits.any_authority = true;
  limits.body_timeout = Duration::zero();
  TestServer server(limits);
  using Fields = std::vector<std::pair<std::string, std::string>>;
  const Fields good = {{":method", "GET"}, {":scheme", "http"}, {":path", "/hello"}};
  auto with = [&](const Fields& more) {
    Fields all = good;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  struct Row {
    const char* what;
    Fields fields;
    int status;
  };
  const Row rows[] = {
      {"a path as authority", with({{":authority", "/run/a b.sock"}, {"te", "trailers"}}), 200},
      {"no authority", good, 200},
      {"an unknown pseudo-header field", with({{":authority", "t"}, {":other", "x"}}), 400},
      {"one twice", with({{":path", "/count"}}), 400},
      {"one after a field", with({{"accept", "x"}, {":authority", "t"}}), 400},
      {"no path", {{":method", "GET"}, {":scheme", "http"}}, 400},
      {"no scheme", {{":method", "GET"}, {":path", "/hello"}}, 400},
      {"no method", {{":scheme", "http"}, {":path", "/hello"}}, 400},
      {"a field of the connection", with({{"connection", "close"}}), 400},
      {"another te", with({{"te", "gzip"}}), 400},
      {"an upper-case name", with({{"Accept", "x"}}), 400},
      {"an empty name", with({{"", "x"}}), 400},
      {"a line break in a value", with({{"accept", "a\r\nb: c"}}), 400},
  };
  H2Client client(server.port());
  std::uint32_t stream = 1;
  for (const Row& row : rows) {
    CAPTURE(row.what);
    client.send(h2_frame(kHeaders, kEndStream | kEndHeaders, stream, hpack(row.fields)));
    CHECK(client.response_to(stream).status == row.status);
    stream += 2;
  }
  // Without the option nghttp2 refuses such an authority.
  TestServer strict;
  H2Client refused(strict.port());
  refused.send(h2_frame(kHeaders, kEndStream | kEndHeaders, 1, hpack(rows[0].fields)));
  CHECK(refused.response_to(1).status != 200);
}

TEST_CASE("http2: a body may take for ever when its limit says so") {
  HttpLimits limits;
  limits.body_timeout = Duration::zero();
  limits.header_timeout = 100ms;
  TestServer server(limits);
  H2Client client(server.port());
  client.send(h2_post(1, "/count") + h2_frame(kData, 0, 1, "abc"));
  std::this_thread::sleep_for(500ms);
  client.send(h2_frame(kData, kEndStream, 1, "de"));
  const H2Client::Response response = client.response_to(1);
  CHECK(response.status == 200);
  CHECK(response.body == "5");
}
