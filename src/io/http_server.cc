// http_server.cc: accepts connections, does TLS, finds out which protocol is spoken, and ends it all in order.
// Owns the listener and the connections' scope; what happens on a connection is http1_server.cc and http2_server.cc.
#include <algorithm>
#include <list>

#include "base/strings.h"
#include "io/http_internal.h"

namespace kayak::io {

namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Reads as much as tells HTTP/2 from HTTP/1.1 on a connection without ALPN. False when the client is gone.
Task<bool> read_opening(const HttpService& service, Stream& stream, InputBuffer& input) {
  LazyTimer timer(service.context.loop, [&stream](int) { stream.close(); });
  timer.set(0, service.limits.header_timeout);
  auto readable = co_await stream.wait_readable();
  if (!readable) co_return false;
  while (input.size() < kHttp2Preface.size() && kHttp2Preface.starts_with(input.view())) {
    auto got = co_await stream.read(input.room(service.limits.max_header_bytes, 8 * 1024));
    if (!got || *got == 0) co_return false;
    input.commit(*got);
  }
  co_return true;
}

// Null when the client went away or `stop` fired before anything was said.
Task<std::unique_ptr<HttpConnection>> open_connection(const HttpService& service, StreamPtr stream, TlsPeer peer,
                                                      StopToken stop) {
  InputBuffer input;
  bool http2 = peer.alpn == "h2";
  if (peer.alpn.empty()) {
    StopCallback on_stop(stop, [&stream] { stream->close(); });
    const bool opened = co_await read_opening(service, *stream, input);
    if (!opened) co_return nullptr;
    http2 = input.view().starts_with(kHttp2Preface);
  }
  auto make = http2 ? make_http2_connection : make_http1_connection;
  co_return make(service, std::move(stream), std::move(input), std::move(peer));
}

class Server final : public HttpServer {
 public:
  Server(Context context, std::unique_ptr<Listener> listener, TlsServer* tls, HttpLimits limits, HttpHandler handler)
      : service_{context.named("http"), limits, std::move(handler)},
        listener_(std::move(listener)),
        local_(listener_->local()),
        tls_(tls) {}
  ~Server() override { ASSERT(connections_.empty()); }
  Endpoint local() const override { return local_; }

  Task<Result<void>> run(StopToken stop, Duration drain) override {
    TaskScope scope;
    Result<void> ended = co_await accept_all(scope, stop);
    // Closing it turns new clients away at once instead of leaving them in the backlog.
    listener_.reset();
    opening_.stop();
    for (HttpConnection* connection : connections_) connection->drain();
    Loop::Timer force = service_.context.loop.after(drain, [this] {
      for (HttpConnection* connection : connections_) connection->abort();
    });
    auto joined = co_await scope.join();
    if (ended) ended = joined;
    co_return ended;
  }

 private:
  Task<Result<void>> accept_all(TaskScope& scope, StopToken stop) {
    while (!stop.stopped()) {
      auto stream = co_await listener_->accept(stop);
      if (!stream && stream.error().code() == Code::kCancelled) break;
      if (!stream) co_return stream.error().while_doing("accepting connections");
      while (scope.running() >= service_.limits.max_connections && !stop.stopped()) {
        shed_idlest();
        one_ended_.reset();
        co_await one_ended_.wait(stop);
      }
      if (stop.stopped()) break;
      scope.spawn(serve_one(std::move(*stream)));
    }
    co_return Result<void>();
  }

  // A full house must not lock new clients out for as long as old ones care to sit idle.
  void shed_idlest() {
    HttpConnection* idlest = nullptr;
    for (HttpConnection* connection : connections_) {
      const std::uint64_t since = connection->idle_since();
      if (since != 0 && (idlest == nullptr || since < idlest->idle_since())) idlest = connection;
    }
    if (idlest != nullptr) {
      idlest->drain();
    } else {
      service_.context.log.warn("connection limit reached, new clients wait",
                                {{"max_connections", service_.limits.max_connections}});
    }
  }

  Task<void> serve_one(StreamPtr stream) {
    co_await serve_stream(std::move(stream));
    one_ended_.set();
  }

  Task<void> serve_stream(StreamPtr stream) {
    TlsPeer peer;
    if (tls_ != nullptr) {
      const std::string from = stream->peer().to_string();
      auto secured = co_await tls_->handshake(std::move(stream), opening_.token());
      if (!secured) {
        service_.context.log.debug("TLS handshake failed", {{"peer", from}, {"error", secured.error().message()}});
        co_return;
      }
      peer = (*secured)->tls_peer();
      // A client that knows no ALPN speaks HTTP/1.1.
      if (peer.alpn.empty()) peer.alpn = "http/1.1";
      stream = std::move(*secured);
    }
    auto connection = co_await open_connection(service_, std::move(stream), std::move(peer), opening_.token());
    if (!connection) co_return;
    const auto place = connections_.insert(connections_.end(), connection.get());
    if (opening_.stopped()) connection->drain();
    co_await connection->run();
    connections_.erase(place);
  }

  HttpService service_;
  std::unique_ptr<Listener> listener_;
  Endpoint local_;
  TlsServer* tls_;
  StopSource opening_;  // fires when the server drains: connections that have not asked anything end
  std::list<HttpConnection*> connections_;
  Event one_ended_;
};

}  // namespace

std::unique_ptr<HttpServer> HttpServer::create(Context context, std::unique_ptr<Listener> listener, TlsServer* tls,
                                               HttpLimits limits, HttpHandler handler) {
  return std::make_unique<Server>(std::move(context), std::move(listener), tls, limits, std::move(handler));
}

Task<Result<void>> serve_http(Context context, StreamPtr stream, TlsPeer peer, HttpLimits limits, HttpHandler handler,
                              StopToken stop) {
  const HttpService service{std::move(context), limits, std::move(handler)};
  auto connection = co_await open_connection(service, std::move(stream), std::move(peer), stop);
  if (!connection) co_return Result<void>();
  StopCallback on_stop(stop, [&connection] { connection->abort(); });
  co_await connection->run();
  co_return Result<void>();
}

}  // namespace kayak::io
