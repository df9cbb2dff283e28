// support_http.cc: see support_http.h.
#include "io/support_http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <future>

#include "base/strings.h"
#include "io/support.h"

namespace kayak::test {

using namespace kayak::io;

namespace {

Slices text(std::string body) {
  Slices slices;
  slices.push_back(Slice::of(std::move(body)));
  return slices;
}

Task<void> reply(HttpExchange& exchange, int status, std::string body) {
  Headers headers;
  headers.add("Content-Type", "text/plain");
  (void)co_await exchange.send(status, std::move(headers), text(std::move(body)));
}

Task<void> handle_body(HttpExchange& exchange, Seen& seen, bool count) {
  std::string all;
  std::size_t size = 0;
  while (true) {
    auto piece = co_await exchange.body().read();
    if (!piece) co_return;  // the server answers for us
    if (piece->empty()) break;
    seen.body_bytes += piece->size();
    size += piece->size();
    if (!count) all += *piece;
  }
  if (count) all = cat(size);
  co_await reply(exchange, 200, std::move(all));
}

Task<void> handle_stream(HttpExchange& exchange, std::int64_t pieces) {
  if (auto started = co_await exchange.start(200, Headers()); !started) co_return;
  for (std::int64_t i = 0; i < pieces; ++i) {
    if (auto written = co_await exchange.write(text(cat("piece ", i, "\n"))); !written) co_return;
  }
  (void)co_await exchange.finish();
}

Task<void> handle_flood(HttpExchange& exchange, Seen& seen) {
  if (auto started = co_await exchange.start(200, Headers()); !started) co_return;
  const Slice piece = Slice::of(std::string(100'000, 'f'));
  while (!exchange.gone().stopped()) {
    Slices data(1, piece);
    if (auto written = co_await exchange.write(std::move(data)); !written) break;
    seen.written += 100'000;
  }
  ++seen.gone;
}

Task<void> handle_watch(HttpExchange& exchange, Seen& seen) {
  if (auto started = co_await exchange.start(200, Headers()); !started) co_return;
  (void)co_await exchange.write(text("event\n"));
  Event never;
  co_await never.wait(exchange.gone());
  ++seen.gone;
  (void)co_await exchange.finish();
}

Task<void> handle_upgrade(HttpExchange& exchange) {
  Headers headers;
  headers.add("Upgrade", "shout");
  auto stream = co_await exchange.upgrade(std::move(headers));
  if (!stream) {
    co_await reply(exchange, 400, stream.error().message());
    co_return;
  }
  std::string buffer(1000, '\0');
  while (true) {
    auto got = co_await (*stream)->read(buffer);
    if (!got || *got == 0) break;
    std::string shout = buffer.substr(0, *got);
    for (char& c : shout) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (auto written = co_await (*stream)->write(text(std::move(shout))); !written) break;
  }
}

Task<void> show(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  std::string out = cat(request.method, " path=", request.path, " query=", request.query, " host=", request.host,
                        " http2=", request.http2, "\n");
  for (const auto& [name, value] : request.headers) out += cat(name, "=", value, "\n");
  co_await reply(exchange, 200, std::move(out));
}

Task<void> route(HttpExchange& exchange, Seen& seen, Loop& loop) {
  const std::string& path = exchange.request().path;
  std::int64_t number = 0;
  (void)parse_int64(exchange.request().query, &number);
  if (path == "/hello") co_return co_await reply(exchange, 200, "hello");
  if (path == "/big") co_return co_await reply(exchange, 200, std::string(static_cast<std::size_t>(number), 'b'));
  if (path == "/echo") co_return co_await handle_body(exchange, seen, false);
  if (path == "/count") co_return co_await handle_body(exchange, seen, true);
  if (path == "/show") co_return co_await show(exchange);
  if (path == "/ignore") co_return co_await reply(exchange, 200, "ignored");
  if (path == "/stream") co_return co_await handle_stream(exchange, number);
  if (path == "/flood") co_return co_await handle_flood(exchange, seen);
  if (path == "/watch") co_return co_await handle_watch(exchange, seen);
  if (path == "/sleep") {
    (void)co_await loop.sleep(std::chrono::milliseconds(number), exchange.gone());
    co_return co_await reply(exchange, 200, "slept");
  }
  if (path == "/who") {
    const auto& certificate = exchange.request().peer.certificate;
    std::string name = "nobody";
    if (certificate) name = certificate->common_name;
    co_return co_await reply(exchange, 200, std::move(name));
  }
  if (path == "/none") co_return;
  if (path == "/cut") {
    (void)co_await exchange.start(200, Headers());
    (void)co_await exchange.write(text("only a part"));
    co_return;
  }
  if (path == "/trailers" || path == "/at-once") {
    Headers trailers;
    trailers.add("grpc-status", "0");
    io::Slices body = text("body");
    if (path == "/at-once") {
      (void)co_await exchange.send_with(200, Headers(), std::move(body), std::move(trailers));
      co_return;
    }
    (void)co_await exchange.start(200, Headers());
    (void)co_await exchange.write(std::move(body));
    (void)co_await exchange.finish_with(std::move(trailers));
    co_return;
  }
  if (path == "/upgrade") co_return co_await handle_upgrade(exchange);
  if (path == "/split" || path == "/close") {
    Headers headers;
    if (path == "/split") headers.add("Warning", "a\r\nX-Injected: b");
    if (path == "/close") headers.add("Connection", "close");
    (void)co_await exchange.send(200, std::move(headers), text("x"));
    co_return;
  }
  co_await reply(exchange, 404, "no such path");
}

Task<void> handle(HttpExchange& exchange, Seen& seen, Loop& loop) {
  ++seen.running;
  if (seen.running > seen.most_running) seen.most_running = seen.running.load();
  co_await route(exchange, seen, loop);
  --seen.running;
  ++seen.handled;
}

}  // namespace

TestServer::TestServer(HttpLimits limits, Duration drain, std::optional<TlsServerOptions> tls)
    : is_tls_(tls.has_value()) {
  std::promise<void> listening;
  thread_ = std::thread([this, limits, drain, tls, &listening] {
    TestContext test;
    std::unique_ptr<TlsServer> tls_server;
    if (tls) {
      auto made = TlsServer::create(test.context(), *tls);
      ASSERT(made);
      tls_server = std::move(*made);
    }
    auto listener = listen_tcp(test.context(), Endpoint{"127.0.0.1", 0});
    ASSERT(listener);
    port_ = (*listener)->local().port;
    StopSource stop;
    stop_ = [&test, &stop] { test.loop.post([&stop] { stop.stop(); }); };
    auto server =
        HttpServer::create(test.context(), std::move(*listener), tls_server.get(), limits,
                           [this, &test](HttpExchange& exchange) { return handle(exchange, seen_, test.loop); });
    listening.set_value();
    const auto ended = test.loop.run(server->run(stop.token(), drain));
    if (!ended) std::fprintf(stderr, "the test server failed: %s\n", says(ended).c_str());
    ended_ = true;
  });
  listening.get_future().wait();
}

TestServer::~TestServer() {
  stop();
  thread_.join();
}

void TestServer::stop() {
  if (!std::exchange(stopped_, true)) stop_();
}

std::string TestServer::url(std::string_view path) const {
  return cat(is_tls_ ? "https" : "http", "://127.0.0.1:", port_.load(), path);
}

RawClient::RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd ready{fd_.get(), POLLOUT, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) return;
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void RawClient::finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

bool RawClient::fill() {
  pollfd ready{fd_.get(), POLLIN, 0};
  if (::poll(&ready, 1, kPatienceMs) <= 0) {
    buffer_ += "(nothing arrived)";
    return false;
  }
  char bytes[65536];
  const ssize_t n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
  if (n < 0) reset_ = true;
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<std::size_t>(n));
  return true;
}

std::string RawClient::read_some() {
  if (buffer_.empty()) fill();
  return std::exchange(buffer_, std::string());
}

std::string RawClient::read_exactly(std::size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  std::string out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return out;
}

std::string RawClient::read_until(std::string_view mark) {
  while (buffer_.find(mark) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, std::string());
  }
  return read_exactly(buffer_.find(mark) + mark.size());
}

std::string RawClient::read_to_end() {
  while (fill()) {
  }
  if (reset_) buffer_ += "(reset)";
  return std::exchange(buffer_, std::string());
}

bool RawClient::closed() { return buffer_.empty() && !fill() && buffer_.empty(); }

bool eventually(const std::function<bool()>& condition) {
  for (int waited = 0; waited < RawClient::kPatienceMs; waited += 2) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return condition();
}

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return "popen failed";
  char bytes[4096];
  for (std::size_t n; (n = std::fread(bytes, 1, sizeof bytes, pipe)) > 0;) out.append(bytes, n);
  ::pclose(pipe);
  return out;
}

std::string get(std::string_view path, std::string_view fields) {
  return cat("GET ", path, " HTTP/1.1\r\nHost: t\r\n", fields, "\r\n");
}
std::string post(std::string_view path, std::string_view fields, std::string_view body) {
  return cat("POST ", path, " HTTP/1.1\r\nHost: t\r\n", fields, "\r\n", body);
}

int status_of(std::string_view response) {
  if (!response.starts_with("HTTP/1.1 ")) return 0;
  std::int64_t status = 0;
  (void)parse_int64(response.substr(9, 3), &status);
  return static_cast<int>(status);
}
std::string body_of(std::string_view response) {
  const std::size_t end = response.find("\r\n\r\n");
  return end == response.npos ? std::string() : std::string(response.substr(end + 4));
}

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

}  // namespace kayak::test
