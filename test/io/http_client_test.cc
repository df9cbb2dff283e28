// http_client_test.cc: the HTTP/1.1 client against a good server and against hostile ones.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "io/support.h"
#include "io/support_http.h"
#include "io/support_pki.h"

using namespace kayak;
using namespace kayak::io;
using namespace kayak::test;
using namespace std::chrono_literals;

namespace {

// Accepts connections one after the other and plays one script line on each: reads a request's head (and its declared
// body), says the bytes, and so on; then closes.
class ScriptServer {
 public:
  using Script = std::vector<std::vector<std::string>>;  // per connection: what is said to each request in turn
  explicit ScriptServer(Script script) : script_(std::move(script)) {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { play(); });
  }
  ~ScriptServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  HttpTarget target() const {
    HttpTarget target;
    target.host = "127.0.0.1";
    target.port = port_;
    return target;
  }
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  std::string last_request() const {  // only after its response was read
    return last_request_;
  }

 private:
  void play() {
    for (const auto& connection : script_) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      ++connections_;
      for (const std::string& answer : connection) {
        std::string request;
        char bytes[65536];
        const auto whole = [&] {
          const std::size_t end = request.find("\r\n\r\n");
          if (end == std::string::npos) return false;
          const std::size_t length = request.find("Content-Length: ");
          const std::size_t body = length == std::string::npos ? 0 : std::stoul(request.substr(length + 16));
          return request.size() >= end + 4 + body;
        };
        while (!whole()) {
          const ssize_t n = ::recv(fd.get(), bytes, sizeof bytes, 0);
          if (n <= 0) break;
          request.append(bytes, static_cast<std::size_t>(n));
        }
        if (!whole()) break;
        last_request_ = request;
        ++requests_;
        if (answer == "HANG") {
          pollfd end{fd.get(), POLLIN, 0};
          ::poll(&end, 1, 5000);
          break;
        }
        if (::send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
      }
    }
  }
  Script script_;
  Fd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0}, requests_{0};
  std::string last_request_;
  std::thread thread_;
};

struct Outcome {
  std::string error;  // of the request or of its body
  int status = 0;
  std::string body;
  Headers headers;
};

Task<Result<void>> fetch(HttpClient& client, HttpClientRequest request, StopToken stop, Outcome* outcome) {
  auto response = co_await client.request(std::move(request), stop);
  if (!response) {
    outcome->error = says(response.error());
    co_return Result<void>();
  }
  outcome->status = response->status;
  outcome->headers = std::move(response->headers);
  auto body = co_await response->body->read_all(100 << 20, stop);
  if (body) {
    outcome->body = std::move(*body);
  } else {
    outcome->error = says(body.error());
  }
  co_return Result<void>();
}

Outcome fetch(TestContext& test, HttpClient& client, HttpClientRequest request, StopToken stop = StopToken()) {
  Outcome outcome;
  (void)test.loop.run(fetch(client, std::move(request), stop, &outcome));
  return outcome;
}
HttpClientRequest get_request(std::string path) {
  HttpClientRequest request;
  request.path = std::move(path);
  return request;
}
HttpTarget target_of(const TestServer& server) {
  HttpTarget target;
  target.host = "localhost";
  target.port = server.port();
  return target;
}
std::string plain(std::string_view body) {
  return cat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

}  // namespace

TEST_CASE("http client: against our server") {
  TestServer server;
  TestContext test;
  auto client = HttpClient::create(test.context(), target_of(server));
  CHECK(fetch(test, *client, get_request("/hello")).body == "hello");
  CHECK(fetch(test, *client, get_request("/stream?3")).body == "piece 0\npiece 1\npiece 2\n");
  CHECK(fetch(test, *client, get_request("/big?5000000")).body.size() == 5'000'000);
  CHECK(fetch(test, *client, get_request("/nothing")).status == 404);
  HttpClientRequest post;
  post.method = "POST";
  post.path = "/echo";
  post.body.push_back(Slice::of("abc"));
  post.body.push_back(Slice::of(std::string(1'000'000, 'd')));
  CHECK(fetch(test, *client, post).body == "abc" + std::string(1'000'000, 'd'));
  HttpClientRequest head = get_request("/hello");
  head.method = "HEAD";
  const Outcome headed = fetch(test, *client, head);
  CHECK(headed.body == "");
  CHECK(headed.headers.get("content-length") == "5");
  CHECK(fetch(test, *client, get_request("/cut")).error == "Io: the server closed the connection within the response");
  // Refused before it was read: the answer is told, not the broken pipe.
  post.path = "/count";
  post.body.assign(1, Slice::of(std::string(10'000'000, 'x')));
  const Outcome refused = fetch(test, *client, post);
  CAPTURE(refused.error);
  CHECK(refused.status == 413);
}

TEST_CASE("http client: what it sends") {
  ScriptServer server({{plain("1"), plain("2"), plain("3")}});
  TestContext test;
  auto client = HttpClient::create(test.context(), server.target());
  HttpClientRequest request = get_request("/v2/?a=b");
  request.headers.add("Accept", "x");
  request.headers.add("Host", "evil");
  request.headers.add("Transfer-Encoding", "chunked");
  request.headers.add("X-Lines", "a\r\nB: c");
  CHECK(fetch(test, *client, request).body == "1");
  CHECK(server.last_request() == cat("GET /v2/?a=b HTTP/1.1\r\nHost: 127.0.0.1:", server.target().port,
                                     "\r\nAccept: x\r\nX-Lines: a  B: c\r\n\r\n"));
  request = HttpClientRequest();
  request.method = "PUT";
  CHECK(fetch(test, *client, request).body == "2");
  CHECK(server.last_request().ends_with("\r\nContent-Length: 0\r\n\r\n"));
  struct Row {
    std::string method, path, name;
  };
  for (const Row& row :
       {Row{"GET", "/a b", "X"}, Row{"GET", "/a\r\nX: y", "X"}, Row{"GET", "relative", "X"}, Row{"GET", "", "X"},
        Row{"G T", "/", "X"}, Row{"", "/", "X"}, Row{"GET", "/", "X: y\r\nZ"}, Row{"GET", "/", ""}}) {
    CAPTURE(row.method, row.path, row.name);
    HttpClientRequest bad;
    bad.method = row.method;
    bad.path = row.path;
    bad.headers.add(row.name, "v");
    CHECK(fetch(test, *client, bad).error.starts_with("Invalid: "));
  }
  CHECK(fetch(test, *client, get_request("/")).body == "3");
  CHECK(server.connections() == 1);
}

TEST_CASE("http client: connections are kept, and dead ones replaced") {
  TestContext test;
  SECTION("kept") {
    ScriptServer server({{plain("1"), plain("2")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).body == "1");
    CHECK(fetch(test, *client, get_request("/")).body == "2");
    CHECK(server.connections() == 1);
  }
  SECTION("closed by the server in between: a GET is tried once more") {
    ScriptServer server({{plain("1")}, {plain("2")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).body == "1");
    CHECK(fetch(test, *client, get_request("/")).body == "2");
    CHECK(server.connections() == 2);
  }
  SECTION("but a POST is not, as it may have been done") {
    ScriptServer server({{plain("1")}, {plain("2")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).body == "1");
    HttpClientRequest post;
    post.method = "POST";
    CHECK(fetch(test, *client, post).error.starts_with("Io: "));
    CHECK(server.connections() == 1);
    CHECK(fetch(test, *client, post).body == "2");
  }
  SECTION("a fresh connection that fails is not tried again") {
    ScriptServer server({{}, {plain("2")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).error.starts_with("Io: "));
  }
  SECTION("Connection: close and HTTP/1.0 are not reused") {
    ScriptServer server({{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"},
                         {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nb"},
                         {"HTTP/1.1 200 OK\r\n\r\nto the end"},
                         {plain("d")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).body == "a");
    CHECK(fetch(test, *client, get_request("/")).body == "b");
    CHECK(fetch(test, *client, get_request("/")).body == "to the end");
    CHECK(fetch(test, *client, get_request("/")).body == "d");
    CHECK(server.connections() == 4);
  }
  SECTION("bytes beyond a response are not taken for the next one") {
    ScriptServer server({{plain("1") + plain("evil")}, {plain("2")}});
    auto client = HttpClient::create(test.context(), server.target());
    CHECK(fetch(test, *client, get_request("/")).body == "1");
    CHECK(fetch(test, *client, get_request("/")).body == "2");
  }
}

TEST_CASE("http client: hostile and broken servers") {
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 300; ++i) many += "X: y\r\n";
  std::string interim;
  for (int i = 0; i < 20; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  struct Row {
    std::string_view what;
    std::string answer;
    int status;
    std::string_view error, body;
  };
  for (const Row& row : {
           Row{"garbage", "\x16\x03\x01", 0, "malformed HTTP response head", ""},
           Row{"not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 0, "malformed HTTP response", ""},
           Row{"head without end", "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), 0, "too large", ""},
           Row{"many fields", many + "\r\n", 0, "too large", ""},
           Row{"nothing", "", 0, "closed the connection before it answered", ""},
           Row{"half a head", "HTTP/1.1 200 OK\r\n", 0, "closed the connection before it answered", ""},
           Row{"length and chunked",
               "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
               "malformed HTTP response", ""},
           Row{"unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 0, "malformed HTTP response",
               ""},
           Row{"cut body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 200, "within the response", ""},
           Row{"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", 200, "within the response",
               ""},
           Row{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", 200, "malformed chunks", ""},
           Row{"interim responses", interim.substr(0, 75) + plain("ok"), 200, "", "ok"},
           Row{"interim responses without end", interim, 0, "too many interim", ""},
           Row{"unasked upgrade", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "switched protocols", ""},
           Row{"redirect is only told",
               "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 302, "", ""},
           Row{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", ""},
       }) {
    CAPTURE(row.what);
    ScriptServer server({{row.answer}});
    TestContext test;
    auto client = HttpClient::create(test.context(), server.target());
    const Outcome outcome = fetch(test, *client, get_request("/"));
    CAPTURE(outcome.error);
    CHECK(outcome.status == row.status);
    CHECK(outcome.error.empty() == row.error.empty());
    CHECK(outcome.error.find(row.error) != std::string::npos);
    CHECK(outcome.body == row.body);
  }
}

TEST_CASE("http client: timeouts, stops and unreachable servers") {
  TestContext test;
  {
    ScriptServer server({{"HANG"}});
    auto client = HttpClient::create(test.context(), server.target());
    HttpClientRequest request = get_request("/");
    request.header_timeout = 50ms;
    CHECK(fetch(test, *client, request).error.starts_with("Timeout: "));
  }
  {
    TestServer real;
    auto client = HttpClient::create(test.context(), target_of(real));
    HttpClientRequest request = get_request("/watch");
    request.body_timeout = 50ms;
    const Outcome outcome = fetch(test, *client, request);
    CHECK(outcome.status == 200);
    CHECK(outcome.error == "Timeout: the response stopped coming");
    CHECK(eventually([&] { return real.seen().gone == 1; }));
    // A stop ends it at once, whatever the timeout.
    StopSource stop;
    request.body_timeout = 0ms;
    Loop::Timer timer = test.loop.after(50ms, [&] { stop.stop(); });
    CHECK(fetch(test, *client, request, stop.token()).error.starts_with("Cancelled: "));
  }
  Fd closed(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(closed.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(closed.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  HttpTarget target;
  target.host = "127.0.0.1";
  target.port = ntohs(address.sin_port);
  auto client = HttpClient::create(test.context(), target);
  CHECK(fetch(test, *client, get_request("/"))
            .error.starts_with(cat("Unavailable: connecting to 127.0.0.1:", target.port)));
  target.unix_path = "/nonexistent/socket";
  client = HttpClient::create(test.context(), target);
  CHECK(fetch(test, *client, get_request("/")).error.starts_with("Unavailable: connecting to /nonexistent/socket"));
}

namespace {

Task<void> tell_host(HttpExchange& exchange) {
  Slices body(1, Slice::of(exchange.request().host));
  (void)co_await exchange.send(200, Headers(), std::move(body));
}
Task<Result<void>> over_unix(TestContext& test, std::string path, Outcome* outcome) {
  auto listener = listen_unix(test.context(), path);
  if (!listener) co_return listener.error();
  auto server = HttpServer::create(test.context(), std::move(*listener), nullptr, HttpLimits(), tell_host);
  TaskScope scope;
  scope.spawn(server->run(scope.token()));
  {
    HttpTarget target;
    target.host = "node";
    target.unix_path = path;
    auto client = HttpClient::create(test.context(), target);
    auto fetched = co_await fetch(*client, HttpClientRequest(), StopToken(), outcome);
    (void)fetched;
  }
  scope.stop();
  co_return co_await scope.join();
}

// Reads slowly: what the client holds of a long body is bounded.
Task<Result<void>> read_slowly(TestContext& test, HttpClient& client, Seen& seen, std::size_t* written) {
  HttpClientRequest request;
  request.path = "/flood";
  auto response = co_await client.request(std::move(request));
  if (!response) co_return response.error();
  auto piece = co_await response->body->read();
  if (!piece) co_return piece.error();
  Result<void> slept;
  bool held_up = false;
  for (int i = 0; i < 50 && !held_up; ++i) {
    *written = seen.written;
    slept = co_await test.loop.sleep(100ms);
    held_up = *written > 0 && seen.written == *written;
  }
  if (!held_up) co_return Error(Code::kInternal, "the server was not held up");
  std::size_t got = 0;
  while (got < *written) {
    auto more = co_await response->body->read();
    if (!more) co_return more.error();
    got += more->size();
  }
  co_return slept;
}

}  // namespace

TEST_CASE("http client: unix sockets") {
  TestContext test;
  Scratch directory;
  Outcome outcome;
  const auto ran = test.loop.run(over_unix(test, directory.path() + "/socket", &outcome));
  CHECK(says(ran) == "ok");
  CHECK(outcome.error == "");
  CHECK(outcome.body == "node");
}

TEST_CASE("http client: TLS") {
  const Pki serving("serving"), clients("clients"), other("other");
  const Identity identity = serving.server({"kayak.test"}, {"127.0.0.1"});
  TlsServerOptions options;
  options.certificate_pem = identity.certificate_pem;
  options.key_pem = identity.key_pem;
  options.client_ca_pem = clients.ca().certificate_pem;
  options.alpn = {"h2", "http/1.1"};
  TestServer server(HttpLimits(), 200ms, options);
  const Identity user = clients.client("user", {"group"});
  const std::string ca = serving.ca().certificate_pem;
  struct Row {
    std::string_view what;
    TlsClientOptions tls;
    std::string_view body, error;
  };
  for (const Row& row : {
           Row{"anonymous", TlsClientOptions{TlsServerIdentity::name("127.0.0.1", ca), "", "", {}}, "nobody", ""},
           Row{"with a certificate",
               TlsClientOptions{TlsServerIdentity::name("kayak.test", ca), user.certificate_pem, user.key_pem, {}},
               "user", ""},
           Row{"another name", TlsClientOptions{TlsServerIdentity::name("other.test", ca), "", "", {}}, "",
               "Unauthorized: connecting to 127.0.0.1:"},
           Row{"another CA",
               TlsClientOptions{TlsServerIdentity::name("127.0.0.1", other.ca().certificate_pem), "", "", {}}, "",
               "Unauthorized: connecting to 127.0.0.1:"},
       }) {
    CAPTURE(row.what);
    TestContext test;
    HttpTarget target;
    target.host = "127.0.0.1";
    target.port = server.port();
    target.tls = row.tls;
    auto client = HttpClient::create(test.context(), target);
    for (int i = 0; i < 2; ++i) {
      const Outcome outcome = fetch(test, *client, get_request("/who"));
      CAPTURE(outcome.error);
      CHECK(outcome.body == row.body);
      CHECK(outcome.error.starts_with(row.error));
      CHECK(outcome.error.empty() == row.error.empty());
    }
    if (row.error.empty()) CHECK(fetch(test, *client, get_request("/big?3000000")).body.size() == 3'000'000);
  }
}

TEST_CASE("http client: back-pressure on responses") {
  TestServer server;
  TestContext test;
  auto client = HttpClient::create(test.context(), target_of(server));
  std::size_t written = 0;
  CHECK(says(test.loop.run(read_slowly(test, *client, server.seen(), &written))) == "ok");
  CHECK(written < 32'000'000);
  // The body was dropped before its end: the connection went with it.
  CHECK(eventually([&] { return server.seen().gone == 1; }));
}
