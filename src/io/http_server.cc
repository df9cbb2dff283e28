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
  bool http2 = peer.alpn == "h2" || !peer.realm.empty();
  if (peer.alpn.empty()) {
    StopCallback on_stop(stop, [&stream] { stream->close(); });
    const bool opened = co_await read_opening(service, *stream, input);
    if (!opened) co_return nullptr;
    http2 = input.view().starts_with(kHttp2Preface);
  }
  auto make = http2 ? make_http2_connection : make_http1_connection;
  co_return make(service, std::move(stream), std::move(input), std::move(peer));
}

// Connections that are not served yet: in their handshake, before their first bytes, or waiting for a place.
constexpr std::size_t kMinOpening = 64;

class Server final : public HttpServer {
 public:
  Server(Context context, std::unique_ptr<Listener> listener, TlsServer* tls, HttpLimits limits, HttpHandler handler)
      : context_(context.named("http")),
        main_(std::make_unique<Share>(context_, limits, std::move(handler))),
        max_opening_(std::max(kMinOpening, limits.max_connections / 2)),
        listener_(std::move(listener)),
        local_(listener_->local()),
        tls_(tls) {}
  Endpoint local() const override { return local_; }
  void serve_realm(HttpLimits limits, HttpHandler handler) override {
    ASSERT(!realm_);
    realm_ = std::make_unique<Share>(context_, limits, std::move(handler));
  }

  Task<Result<void>> run(StopToken stop, Duration drain) override {
    TaskScope scope;
    Result<void> ended = co_await accept_all(scope, stop);
    // Closing it turns new clients away at once instead of leaving them in the backlog.
    listener_.reset();
    stopping_.stop();
    for_each_connection([](HttpConnection& connection) { connection.drain(); });
    Loop::Timer force = context_.loop.after(
        drain, [this] { for_each_connection([](HttpConnection& connection) { connection.abort(); }); });
    auto joined = co_await scope.join();
    if (ended) ended = joined;
    co_return ended;
  }

 private:
  // Connections that are served alike and counted together.
  struct Share {
    Share(Context context, HttpLimits limits, HttpHandler handler)
        : service{std::move(context), limits, std::move(handler)} {}
    ~Share() { ASSERT(served.empty() && line.empty()); }
    struct Served {
      HttpConnection* connection;
      bool shed = false;
    };
    HttpService service;
    std::list<Served> served;
    std::size_t places_taken = 0;
    std::list<Event> line;  // for a place, in order; set when it is given one
  };
  using Opening = std::list<StopSource>::iterator;

  Task<Result<void>> accept_all(TaskScope& scope, StopToken stop) {
    while (!stop.stopped()) {
      auto stream = co_await listener_->accept(stop);
      if (!stream && stream.error().code() == Code::kCancelled) break;
      if (!stream) co_return stream.error().while_doing("accepting connections");
      // Whoever is quick with its handshake gets through, however many others are not.
      if (opening_.size() - dropped_ >= max_opening_) drop_oldest();
      const Opening opening = opening_.emplace(opening_.end(), stopping_.token());
      scope.spawn(serve_one(std::move(*stream), opening));
    }
    co_return Result<void>();
  }

  // Those that were dropped stay at the front until they have seen it.
  void drop_oldest() {
    const auto oldest = std::next(opening_.begin(), static_cast<std::ptrdiff_t>(dropped_));
    ++dropped_;
    oldest->stop();
  }

  void opened(Opening opening) {
    if (opening->stopped() && !stopping_.stopped()) --dropped_;
    opening_.erase(opening);
  }

  // A full house must not lock new clients out for as long as old ones care to sit idle.
  void shed_idlest(Share& share) {
    Share::Served* idlest = nullptr;
    for (Share::Served& served : share.served) {
      const std::uint64_t since = served.shed ? 0 : served.connection->idle_since();
      if (since != 0 && (idlest == nullptr || since < idlest->connection->idle_since())) idlest = &served;
    }
    if (idlest != nullptr) {
      idlest->shed = true;
      idlest->connection->drain();
    } else if (share.line.empty()) {  // the first to wait speaks for the others
      context_.log.warn("connection limit reached, new clients wait",
                        {{"max_connections", share.service.limits.max_connections}});
    }
  }

  // False when `stop` fired first.
  Task<bool> take_place(Share& share, StopToken stop) {
    if (share.places_taken < share.service.limits.max_connections) {
      ++share.places_taken;
      co_return true;
    }
    shed_idlest(share);
    const auto mine = share.line.emplace(share.line.end());
    (void)co_await mine->wait(stop);
    const bool given = mine->is_set();  // also when both happened
    share.line.erase(mine);
    co_return given;
  }

  static void give_back_place(Share& share) {
    for (Event& waiting : share.line) {
      if (waiting.is_set()) continue;
      waiting.set();
      return;
    }
    --share.places_taken;
  }

  Task<void> serve_one(StreamPtr stream, Opening opening) {
    Share* share = nullptr;
    auto connection = co_await open(std::move(stream), opening->token(), &share);
    opened(opening);
    if (!connection) co_return;
    const auto served = share->served.insert(share->served.end(), Share::Served{connection.get()});
    if (stopping_.stopped()) connection->drain();
    co_await connection->run();
    share->served.erase(served);
    connection.reset();
    give_back_place(*share);
  }

  // Null when it came to nothing.
  Task<std::unique_ptr<HttpConnection>> open(StreamPtr stream, StopToken stop, Share** share) {
    TlsPeer peer;
    if (tls_ != nullptr) {
      const std::string from = stream->peer().to_string();
      auto secured = co_await tls_->handshake(std::move(stream), stop);
      if (!secured) {
        context_.log.debug("TLS handshake failed", {{"peer", from}, {"error", secured.error().message()}});
        co_return nullptr;
      }
      peer = (*secured)->tls_peer();
      // A client that knows no ALPN speaks HTTP/1.1.
      if (peer.alpn.empty()) peer.alpn = "http/1.1";
      stream = std::move(*secured);
    }
    *share = peer.realm.empty() ? main_.get() : realm_.get();
    if (*share == nullptr) co_return nullptr;  // nobody answers in the realm yet
    auto connection = co_await open_connection((*share)->service, std::move(stream), std::move(peer), stop);
    if (!connection) co_return nullptr;
    const bool placed = co_await take_place(**share, stop);
    if (!placed) co_return nullptr;
    co_return connection;
  }

  template <typename F>
  void for_each_connection(F action) {
    for (Share* share : {main_.get(), realm_.get()}) {
      if (share == nullptr) continue;
      for (Share::Served& served : share->served) action(*served.connection);
    }
  }

  Context context_;
  std::unique_ptr<Share> main_, realm_;
  std::size_t max_opening_;
  std::unique_ptr<Listener> listener_;
  Endpoint local_;
  TlsServer* tls_;
  StopSource stopping_;            // fires when the server drains: connections that have not asked anything end
  std::list<StopSource> opening_;  // oldest first
  std::size_t dropped_ = 0;        // of them, fired alone
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
