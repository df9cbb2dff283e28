// http_tls_test.cc: the HTTP server over TLS: the protocol by ALPN, who the client is, ends that are noticed.
#include <signal.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "io/support.h"
#include "io/support_http.h"
#include "io/support_pki.h"

using namespace kayak;
using namespace kayak::test;
using namespace std::chrono_literals;
using kayak::io::HttpLimits;

namespace {

struct TlsFixture {
  Pki serving{"serving"}, clients{"clients"};
  Scratch directory;
  io::TlsServerOptions options() const {
    const Identity identity = serving.server({"localhost"}, {"127.0.0.1"});
    io::TlsServerOptions options;
    options.certificate_pem = identity.certificate_pem;
    options.key_pem = identity.key_pem;
    options.client_ca_pem = clients.ca().certificate_pem;
    options.alpn = {"h2", "http/1.1"};
    return options;
  }
  std::string file(const std::string& name, const std::string& text) const {
    const std::string path = directory.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string curl() const {
    return cat("curl -sS --max-time 20 --cacert ", file("ca.pem", serving.ca().certificate_pem), " ");
  }
};

}  // namespace

TEST_CASE("http over TLS: curl") {
  TlsFixture fixture;
  TestServer server(HttpLimits(), 200ms, fixture.options());
  const std::string curl = fixture.curl();
  const std::string version = " -w ' %{http_version}'";
  CHECK(shell(curl + server.url("/hello") + version) == "hello 2");
  CHECK(shell(curl + "--http1.1 " + server.url("/hello") + version) == "hello 1.1");
  CHECK(shell(curl + "--no-alpn " + server.url("/hello") + version) == "hello 1.1");
  CHECK(shell(curl + server.url("/who")) == "nobody");
  const Identity user = fixture.clients.client("jane", {"crew"});
  const std::string key = cat("--cert ", fixture.file("cert.pem", user.certificate_pem), " --key ",
                              fixture.file("key.pem", user.key_pem), " ");
  CHECK(shell(curl + key + server.url("/who")) == "jane");
  CHECK(shell(curl + key + "--http1.1 " + server.url("/who")) == "jane");
  for (const std::string how : {"", "--http1.1 "}) {
    CAPTURE(how);
    CHECK(shell(curl + how + server.url("/big?5000000") + " | wc -c") == "5000000\n");
    CHECK(shell("head -c 3000000 /dev/zero | " + curl + how + "--data-binary @- " + server.url("/echo") + " | wc -c") ==
          "3000000\n");
    CHECK(shell(curl + how + server.url("/stream?3") + " | tail -1") == "piece 2\n");
    CHECK(shell(curl + how + server.url("/hello") + " " + server.url("/hello") + " -w '%{num_connects}'") ==
          "hello1hello0");
  }
  CHECK(shell(cat(curl, "-Z --no-progress-meter --parallel-max 64 -o /dev/null -w '%{http_code}\\n' '",
                  server.url("/sleep?100"), "&[1-64]' | sort | uniq -c")) == "     64 200\n");
}

TEST_CASE("http over TLS: a client that is killed is noticed, and the server stops in order") {
  TlsFixture fixture;
  TestServer server(HttpLimits(), 5s, fixture.options());
  for (const std::string how : {"--http2 ", "--http1.1 "}) {
    CAPTURE(how);
    server.seen().gone = 0;
    const std::string pid =
        shell(cat("(exec ", fixture.curl(), how, "-N ", server.url("/watch"), " >/dev/null 2>&1 & echo $!)"));
    CHECK(eventually([&] { return server.seen().running == 1; }));
    REQUIRE(::kill(std::stoi(pid), SIGKILL) == 0);
    CHECK(eventually([&] { return server.seen().gone == 1 && server.seen().running == 0; }));
  }
  std::string watched;
  std::thread watcher(
      [&] { watched = shell(fixture.curl() + "-N " + server.url("/watch") + " -w 'exit %{exitcode}'"); });
  CHECK(eventually([&] { return server.seen().running == 1; }));
  server.stop();
  watcher.join();
  CHECK(watched == "event\nexit 0");
  CHECK(eventually([&] { return server.ended(); }));
}

TEST_CASE("http over TLS: what is no TLS gets nothing") {
  TlsFixture fixture;
  TestServer server(HttpLimits(), 200ms, fixture.options());
  RawClient plain(server.port());
  plain.send(get("/hello"));
  CHECK(plain.read_to_end().find("hello") == std::string::npos);
  CHECK(shell(fixture.curl() + server.url("/hello")) == "hello");
  CHECK(server.seen().handled == 1);
}
