// http_internal.h: what the HTTP servers and the client share and nobody else includes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/http.h"
#include "io/loop.h"

namespace kayak::io {

// "Not Found" for 404; "" for codes without a registered phrase.
std::string_view status_reason(int status);
// 413 for TooLarge and so on: what a peer is told when its request could not be taken and nobody answered it.
int status_of(const Error& error);
// Responses that never have a body: 1xx, 204, 304.
bool is_bodyless(int status);
std::size_t total_size(const Slices& slices);
// The first `limit` bytes of those from `*first` on, of which `left` remain; the last slice taken may be part of one.
Slices take_piece(Slices* slices, std::size_t* first, std::size_t left, std::size_t limit);

// Bytes read from a peer and not used yet: small while idle, growing under load, one allocation.
class InputBuffer {
 public:
  InputBuffer() = default;
  std::string_view view() const { return std::string_view(data_.get() + begin_, end_ - begin_); }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  // Room for the next read, at most up to `max` bytes in total; empty when full. Moves what is there: no earlier view
  // or room may be in use. `hint` bytes are expected to come.
  std::span<char> room(std::size_t max, std::size_t hint);
  void commit(std::size_t bytes) { end_ += bytes; }
  void consume(std::size_t bytes) { begin_ += bytes; }  // does not move anything
  void release();                                       // frees the memory; must be empty
  std::string take();

 private:
  void resize(std::size_t capacity);
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

// Several deadlines of one owner on at most one loop timer, which is only touched when a deadline comes nearer than
// what it waits for: setting and clearing one per request costs nothing.
class LazyTimer {
 public:
  static constexpr int kSlots = 3;
  // `on_due` gets the slot that passed, which is then clear.
  LazyTimer(Loop& loop, std::function<void(int slot)> on_due) : loop_(loop), on_due_(std::move(on_due)) {}
  void set(int slot, Duration after);
  void clear(int slot) { due_[slot] = 0; }
  bool is_set(int slot) const { return due_[slot] != 0; }
  static std::uint64_t now_ms(Loop& loop);  // of the loop, monotonic

 private:
  void fired();
  void arm();
  Loop& loop_;
  std::function<void(int)> on_due_;
  std::uint64_t due_[kSlots] = {};  // 0: clear
  std::uint64_t armed_for_ = 0;
  Loop::Timer timer_;
};

// A stream whose first bytes have been read already.
StreamPtr prefixed_stream(std::string prefix, StreamPtr rest);

// "Sun, 06 Nov 1994 08:49:37 GMT", made once per second.
class HttpDate {
 public:
  std::string_view at(WallTime now);

 private:
  std::int64_t second_ = -1;
  char text_[32];
};

// Bodies beyond this are compressed for clients that take gzip. Source: upstream's defaultGzipThresholdBytes.
constexpr std::size_t kGzipThreshold = 128 * 1024;
// Whether Accept-Encoding admits gzip (not with q=0).
bool accepts_gzip(const Headers& request);
// Replaces `body` by its gzip form, on the pool, when request and response allow it; sets the headers.
Task<void> maybe_gzip(Loop& loop, const HttpRequest& request, int status, Headers* headers, Slices* body);

// Appends "Name: value\r\n", with line breaks in the value made blanks (response splitting).
void append_field(std::string* out, std::string_view name, std::string_view value);

// One accepted connection, HTTP/1.1 or HTTP/2.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  virtual Task<void> run() = 0;
  // No further requests; those that run may end; streamed responses are told by gone(). Idempotent.
  virtual void drain() = 0;
  // Ends everything now. Idempotent.
  virtual void abort() = 0;
  // LazyTimer::now_ms when the last request ended, or 0 while one runs or arrives.
  virtual std::uint64_t idle_since() const = 0;
};
// What a connection is served with; outlives it.
struct HttpService {
  Context context;
  HttpLimits limits;
  HttpHandler handler;
};
// `input` holds what was read already.
std::unique_ptr<HttpConnection> make_http1_connection(const HttpService& service, StreamPtr stream, InputBuffer input,
                                                      TlsPeer peer);
std::unique_ptr<HttpConnection> make_http2_connection(const HttpService& service, StreamPtr stream, InputBuffer input,
                                                      TlsPeer peer);

// Responses are written in such pieces, each within the write timeout: a client that takes less is given up.
constexpr std::size_t kWritePiece = 128 * 1024;
// How long a connection with unread input is kept after its last response, so that the client reads that before the
// reset arrives which closing sends. Source: RFC 9112 9.6.
constexpr Duration kLinger = std::chrono::milliseconds(500);

}  // namespace kayak::io
