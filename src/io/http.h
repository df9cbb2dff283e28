// http.h: HTTP as values and streams, the same for HTTP/1.1 and HTTP/2 (server) and HTTP/1.1 (client).
// Limits are explicit; a peer that breaks one gets the fitting status and costs nothing else.
// Source: RFC 9110, 9112, 9113.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/stream.h"
#include "io/tls.h"

namespace kayak::io {

// Header fields in order of arrival; names compare ASCII case-insensitively and are kept as sent (lower case in h2).
// All text sits in one buffer: a watch keeps its request for hours, and a request should cost few allocations.
class Headers {
 public:
  using Field = std::pair<std::string_view, std::string_view>;  // name, value
  class Iterator {
   public:
    Field operator*() const { return headers_->field(index_); }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator& other) const = default;

   private:
    friend class Headers;
    Iterator(const Headers* headers, std::size_t index) : headers_(headers), index_(index) {}
    const Headers* headers_;
    std::size_t index_;
  };

  void add(std::string_view name, std::string_view value);
  void set(std::string_view name, std::string_view value);  // instead of all fields of that name
  void remove(std::string_view name);
  // Views are valid until the next change.
  std::string_view get(std::string_view name) const;  // the first, "" when absent
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  // Whether a comma-separated list under `name` holds `token` (ASCII case-insensitive), e.g. Connection: close.
  bool has_token(std::string_view name, std::string_view token) const;
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, places_.size()); }
  std::size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  void clear();                                         // keeps the memory
  void reserve(std::size_t fields, std::size_t bytes);  // bytes: of all names and values

 private:
  struct Place {  // the value follows the name in text_
    std::uint32_t begin, name_size, value_size;
  };
  Field field(std::size_t index) const;
  std::string text_;
  std::vector<Place> places_;
};

struct HttpLimits {
  std::size_t max_header_bytes = 64 * 1024;
  std::size_t max_headers = 200;
  std::size_t max_body_bytes = 3 * 1024 * 1024;  // upstream's limit on request bodies; in HTTP/2 windows bound memory
  Duration header_timeout = std::chrono::seconds(10);
  Duration body_timeout = std::chrono::seconds(60);   // without progress; 0 (HTTP/2 only): waits for ever
  Duration write_timeout = std::chrono::minutes(15);  // a client that takes nothing; long, as a paused pager does so
  Duration idle_timeout = std::chrono::seconds(120);
  std::size_t max_connections = 4096;
  std::size_t max_streams = 250;  // HTTP/2, per connection; 100 while unauthenticated
  // HTTP/2: takes any text as :authority, as clients of unix sockets name theirs by its path. All else is checked
  // still.
  bool any_authority = false;
};

// A body that arrives in pieces.
class HttpBody {
 public:
  virtual ~HttpBody() = default;
  // The next piece; empty at the end. Errors: TooLarge, Timeout, Io, Cancelled.
  virtual Task<Result<std::string>> read(StopToken stop = StopToken()) = 0;
  // All of it. Errors as above, TooLarge beyond `limit` bytes.
  Task<Result<std::string>> read_all(std::size_t limit, StopToken stop = StopToken());
};

struct HttpRequest {
  std::string method;
  std::string path;   // percent-encoded as sent, without the query; always starts with '/'
  std::string query;  // raw, without '?'
  Headers headers;
  std::string host;
  bool http2 = false;
  Endpoint remote;
  TlsPeer peer;
};

// One request being answered. Exactly one of send or start...finish is called; a handler that returns without either
// gets a 500 sent for it, one that returns after start without finish has its stream reset (so that a client never
// takes a cut body for a whole one).
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  const HttpRequest& request() const { return request_; }
  virtual HttpBody& body() = 0;
  // A whole response. Content-Length is added; bodies over 128 KiB are gzipped when the client accepts it.
  virtual Task<Result<void>> send(int status, Headers headers, Slices body) = 0;
  // A streamed response: chunked in HTTP/1.1. write() ends when the data has left our queue (back-pressure); what is
  // written is flushed at once. Errors end the response: Io, Cancelled (client went away).
  virtual Task<Result<void>> start(int status, Headers headers) = 0;
  virtual Task<Result<void>> write(Slices data) = 0;
  virtual Task<Result<void>> finish() = 0;
  // As finish(), with trailer fields after the body. Errors: as write(); BadRequest on HTTP/1.1 (nothing is sent).
  virtual Task<Result<void>> finish_with(Headers trailers);
  // A whole response with trailers: over HTTP/2 in one go. Errors: as finish_with().
  virtual Task<Result<void>> send_with(int status, Headers headers, Slices body, Headers trailers);
  // Fires when the client goes away or the server stops.
  virtual StopToken gone() const = 0;
  // Answers 101 and hands over the connection (HTTP/1.1 only; for WebSocket and SPDY, which later work builds).
  // Errors: BadRequest on HTTP/2.
  virtual Task<Result<StreamPtr>> upgrade(Headers headers) = 0;

 protected:
  HttpRequest request_;
};

using HttpHandler = std::function<Task<void>(HttpExchange& exchange)>;

// Serves one accepted connection until it ends, HTTP/2 when ALPN says "h2" (or a plain stream opens with its
// preface), else HTTP/1.1 with keep-alive. The handler runs in a scope of the connection.
Task<Result<void>> serve_http(Context context, StreamPtr stream, TlsPeer peer, HttpLimits limits, HttpHandler handler,
                              StopToken stop);

// Accepts, does TLS when `tls` is given, serves; ends when `stop` fires: stops accepting, lets running requests end for
// `drain`, then closes. h2 connections get GOAWAY, h1 ones "Connection: close".
class HttpServer {
 public:
  static std::unique_ptr<HttpServer> create(Context context, std::unique_ptr<Listener> listener, TlsServer* tls,
                                            HttpLimits limits, HttpHandler handler);
  virtual ~HttpServer() = default;
  // Serves the connections of the TlsServer's realm, with HTTP/2 whatever its protocol is called. They are counted
  // apart: neither can crowd the others out. Before that they are closed. Once.
  virtual void serve_realm(HttpLimits limits, HttpHandler handler) = 0;
  virtual Task<Result<void>> run(StopToken stop, Duration drain = std::chrono::seconds(2)) = 0;
  virtual Endpoint local() const = 0;
};

// ---- client

struct HttpClientRequest {
  std::string method = "GET";
  std::string path = "/";  // with the query
  Headers headers;         // Host, Content-Length and Connection are ours
  Slices body;
  Duration header_timeout = std::chrono::seconds(30);  // for connecting, sending and the response's head together
  // For each piece of the response's body; zero waits for ever. A watch sets it beyond the server's bookmarks.
  Duration body_timeout = std::chrono::minutes(2);
};
struct HttpClientResponse {
  int status = 0;
  Headers headers;
  std::unique_ptr<HttpBody> body;  // must be read to its end or dropped before the connection is reused
};

struct HttpTarget {
  std::string host;  // name or address
  std::uint16_t port = 80;
  std::string unix_path;  // when set, connects there instead; `host` only fills the Host header
  std::optional<TlsClientOptions> tls;
};
// HTTP/1.1 to one server, with kept-alive connections. Never follows redirects: callers decide (security 2, 22).
class HttpClient {
 public:
  static std::unique_ptr<HttpClient> create(Context context, HttpTarget target, std::size_t max_idle = 2);
  virtual ~HttpClient() = default;
  // Idempotent requests are tried once more when a kept-alive connection turns out dead.
  // Errors: Unavailable (cannot connect), Timeout, Io, Unauthorized (TLS identity).
  virtual Task<Result<HttpClientResponse>> request(HttpClientRequest request, StopToken stop = StopToken()) = 0;
};

// "https://host:port/path?query" apart. Errors: Invalid.
struct Url {
  std::string scheme, host;
  std::uint16_t port = 0;
  std::string path, query;
};
Result<Url> parse_url(std::string_view text);
// application/x-www-form-urlencoded query into pairs, in order. Errors: BadRequest (bad escapes).
Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query);
Result<std::string> percent_decode(std::string_view text);
std::string percent_encode(std::string_view text);  // all but unreserved characters

}  // namespace kayak::io
