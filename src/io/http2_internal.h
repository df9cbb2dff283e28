// http2_internal.h: one HTTP/2 connection and its requests, as http2_server.cc and http2_stream.cc share them.
// What a client can make us hold or do is bounded: request bodies by the flow-control windows, responses by what their
// handlers have handed over, handlers by max_streams (reset ones count until they end), control frames and resets by
// rates.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "io/http2_session.h"
#include "io/http_parse.h"

namespace kayak::io {

class Http2Connection;

// The checks of a request's header fields that nghttp2 leaves to us when it has to take any :authority.
// Source: RFC 9113 8.2, 8.3.
class PseudoFields {
 public:
  // False when the field may not be here.
  bool take(std::string_view name, std::string_view value);
  bool complete() const { return (seen_ & kNeeded) == kNeeded; }

 private:
  enum Seen : unsigned { kMethod = 1, kScheme = 2, kPath = 4, kNeeded = 7, kAuthority = 8, kRegular = 16 };
  unsigned seen_ = 0;
};

// One request. Lives until its handler has ended, which may be long after the peer has closed the stream.
class Http2Stream final : public HttpExchange, public HttpBody {
 public:
  Http2Stream(Http2Connection& connection, std::int32_t id) : connection_(connection), id_(id) {}

  HttpBody& body() override { return *this; }
  Task<Result<void>> send(int status, Headers headers, Slices body) override;
  Task<Result<void>> start(int status, Headers headers) override;
  Task<Result<void>> write(Slices data) override;
  Task<Result<void>> finish() override;
  Task<Result<void>> finish_with(Headers trailers) override;
  Task<Result<void>> send_with(int status, Headers headers, Slices body, Headers trailers) override;
  StopToken gone() const override { return gone_.token(); }
  Task<Result<StreamPtr>> upgrade(Headers) override;
  Task<Result<std::string>> read(StopToken stop) override;

 private:
  friend class Http2Connection;
  HttpRequest& mutable_request() { return request_; }
  Task<Result<void>> send_plain(int status, std::string_view reason);
  Task<Result<void>> sent();
  void end_output(Headers trailers);
  void queue(Slices data, std::size_t size);
  Result<void> respond(int status, const Headers& headers, std::optional<std::size_t> length, bool with_body);
  Error fail_body(Code code, std::string_view message);
  Result<void> check_body();
  void close();  // the peer or we have ended the stream
  static bool is_over(std::uint64_t since_ms, std::uint64_t now_ms, Duration limit) {
    return since_ms != 0 && std::chrono::milliseconds(now_ms - since_ms) >= limit;
  }

  Http2Connection& connection_;
  std::int32_t id_;
  StopSource gone_;
  HeadRefusal refusal_;
  PseudoFields pseudo_;  // with any_authority alone
  std::size_t header_bytes_ = 0;
  std::uint64_t begun_ms_ = 0;
  bool dispatched_ = false;
  bool closed_ = false;  // for nghttp2 it is no more

  // Request body.
  std::string in_;
  Event in_ready_;
  bool in_ended_ = false;
  bool body_wanted_ = false;     // read() waits
  std::uint64_t in_length_ = 0;  // Content-Length
  std::size_t in_total_ = 0;
  std::size_t in_timed_ = 0;         // in_total_ when the wait for progress began
  std::uint64_t in_wait_since_ = 0;  // ms; 0: nobody waits
  std::optional<Error> in_failure_;
  bool expects_continue_ = false;

  // Response.
  OutputBody out_;
  std::uint64_t out_wait_since_ = 0;  // ms; 0: nothing waits
  bool responded_ = false, started_ = false;
  bool headers_only_ = false;
};

class Http2Connection final : public HttpConnection {
 public:
  Http2Connection(const HttpService& service, StreamPtr stream, InputBuffer input, TlsPeer peer)
      : service_(service),
        stream_(std::move(stream)),
        input_(std::move(input)),
        remote_(stream_->peer()),
        peer_(std::move(peer)),
        timer_(service.context.loop, [this](int slot) { on_due(slot); }) {}
  ~Http2Connection() override { nghttp2_session_del(session_); }

  Task<void> run() override;
  void drain() override;
  void abort() override;
  std::uint64_t idle_since() const override { return streams_.empty() ? idle_since_ : 0; }

 private:
  friend class Http2Stream;
  friend nghttp2_session* make_http2_session<Http2Connection>(Http2Connection& connection, bool server,
                                                              bool any_authority);
  void open_session();
  void feed();
  void start_requests();
  Task<void> answer(Http2Stream& stream);
  Task<void> conclude(Http2Stream& stream);
  void retire(Http2Stream& stream);
  void make_frames();
  Task<void> write_frames();
  bool is_done() const;
  void become_idle();
  void go_away();
  void close_streams();
  void close();
  void terminate(std::uint32_t error, std::string_view why);
  void log_end(std::string_view why);
  void on_due(int slot);
  void sweep();
  void watch_progress();
  std::uint64_t now_ms() const { return LazyTimer::now_ms(service_.context.loop); }
  std::size_t max_streams() const;

  // nghttp2's callbacks: see make_http2_session.
  FrameBatch& batch() { return batch_; }
  Http2Stream* find(std::int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  }
  int on_begin_frame(const nghttp2_frame_hd& hd);
  int on_begin_headers(const nghttp2_frame& frame);
  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int on_frame(const nghttp2_frame& frame);
  int on_data(std::int32_t id, std::string_view data);
  int on_stream_close(std::int32_t id, std::uint32_t code);
  int on_frame_sent(const nghttp2_frame& frame);
  int on_frame_not_sent(const nghttp2_frame&) { return 0; }
  int take_data(std::int32_t id, OutputBody& output, std::string_view frame_header, std::size_t length);

  const HttpService& service_;
  StreamPtr stream_;
  InputBuffer input_;
  Endpoint remote_;
  TlsPeer peer_;
  LazyTimer timer_;
  HttpDate date_;
  TaskScope scope_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, std::unique_ptr<Http2Stream>> streams_;
  std::deque<std::int32_t> starting_;  // their headers are here, their handlers not yet begun
  std::deque<std::pair<std::int32_t, std::uint64_t>> unfinished_;  // answered within their body, and when (ms)
  std::size_t running_ = 0;                                        // handlers
  std::uint64_t idle_since_ = 0;
  bool draining_ = false;
  bool said_goodbye_ = false;
  bool ending_ = false;  // nothing more is read; what is queued goes out, then the connection closes
  bool closed_ = false;
  bool in_nghttp2_ = false;
  bool starting_now_ = false;

  FrameBatch batch_;
  std::size_t waiting_output_ = 0;  // in all streams' out_
  Event batch_ready_;

  std::string_view flooded_by_;
  Allowance control_frames_{1000, 100};
  Allowance resets_sent_{500, 33};
};

}  // namespace kayak::io
