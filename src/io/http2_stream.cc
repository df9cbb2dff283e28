// http2_stream.cc: one HTTP/2 request: its response into nghttp2, its body out of it.
// Source: RFC 9113 8.
#include "base/strings.h"
#include "io/http2_internal.h"

namespace kayak::io {

// ---- response

// Queues the response's header frame. `length` is known for whole bodies.
Result<void> Http2Stream::respond(int status, const Headers& headers, std::optional<std::size_t> length,
                                  bool with_body) {
  responded_ = true;
  if (closed_) return Error(Code::kCancelled, "the stream was closed");
  const std::string status_text = std::to_string(status);
  const std::string length_text = length ? std::to_string(*length) : std::string();
  Http2Fields fields(headers);
  fields.add(":status", status_text);
  for (const auto& [name, value] : headers) {
    // HTTP/2 has no such field: what it asks for is that the client goes elsewhere with its next request.
    if (iequals(name, "connection") && iequals(value, "close")) connection_.go_away();
    fields.add_from(name, value);
  }
  if (length && !is_bodyless(status)) fields.add("content-length", length_text);
  if (!headers.has("date")) fields.add("date", connection_.date_.at(connection_.service_.context.clock.wall()));
  const nghttp2_data_provider provider = out_.provider();
  headers_only_ = !with_body;
  const int rc =
      nghttp2_submit_response(connection_.session_, id_, fields.data(), fields.size(), with_body ? &provider : nullptr);
  if (rc != 0) return Error(Code::kIo, cat("HTTP/2 response: ", nghttp2_strerror(rc)));
  return Result<void>();
}

Task<Result<void>> Http2Stream::send(int status, Headers headers, Slices body) {
  ASSERT(!responded_);
  responded_ = true;
  co_await maybe_gzip(connection_.service_.context.loop, request_, status, &headers, &body);
  const std::size_t size = total_size(body);
  const bool with_body = size > 0 && request_.method != "HEAD" && !is_bodyless(status);
  auto queued = respond(status, headers, size, with_body);
  if (!queued) co_return queued;
  if (with_body) queue(std::move(body), size);
  end_output(Headers());
  co_return co_await sent();
}

Task<Result<void>> Http2Stream::start(int status, Headers headers) {
  ASSERT(!responded_);
  started_ = true;
  auto queued = respond(status, headers, std::nullopt, request_.method != "HEAD" && !is_bodyless(status));
  if (queued) connection_.make_frames();
  if (connection_.draining_) gone_.stop();
  co_return queued;
}

Task<Result<void>> Http2Stream::write(Slices data) {
  ASSERT(started_ && !out_.ended());
  const std::size_t size = total_size(data);
  if (size == 0 || headers_only_) co_return Result<void>();
  if (closed_) co_return Error(Code::kCancelled, "the stream was closed");
  queue(std::move(data), size);
  co_return co_await sent();
}

Task<Result<void>> Http2Stream::finish() { return finish_with(Headers()); }

Task<Result<void>> Http2Stream::finish_with(Headers trailers) {
  ASSERT(started_ && !out_.ended());
  end_output(std::move(trailers));
  co_return co_await sent();
}

Task<Result<void>> Http2Stream::send_with(int status, Headers headers, Slices body, Headers trailers) {
  ASSERT(!responded_ && request_.method != "HEAD" && !is_bodyless(status));
  started_ = true;
  auto queued = respond(status, headers, std::nullopt, true);
  if (!queued) co_return queued;
  const std::size_t size = total_size(body);
  if (size > 0) queue(std::move(body), size);
  end_output(std::move(trailers));
  co_return co_await sent();
}

void Http2Stream::queue(Slices data, std::size_t size) {
  out_.put(std::move(data), size);  // asserts that there is one write at a time
  connection_.waiting_output_ += size;
}

void Http2Stream::end_output(Headers trailers) {
  if (headers_only_) {
    out_.end_untaken();
  } else {
    out_.end(std::move(trailers));
  }
}

// Gets nghttp2 to take what is queued and waits until it has.
Task<Result<void>> Http2Stream::sent() {
  if (!closed_ && out_.take_deferred()) nghttp2_session_resume_data(connection_.session_, id_);
  connection_.make_frames();
  while (!closed_ && !out_.all_taken()) {
    if (out_wait_since_ == 0) out_wait_since_ = connection_.now_ms();
    connection_.watch_progress();
    out_.moved().reset();
    co_await out_.moved().wait();
  }
  out_wait_since_ = 0;
  if (!out_.all_taken()) co_return Error(Code::kCancelled, "the stream was closed");
  co_return Result<void>();
}

Task<Result<void>> Http2Stream::send_plain(int status, std::string_view reason) {
  Headers headers;
  headers.add("content-type", "text/plain; charset=utf-8");
  headers.add("x-content-type-options", "nosniff");
  Slices body;
  body.push_back(Slice::of(cat(status, " ", status_reason(status), ": ", reason, "\n")));
  co_return co_await send(status, std::move(headers), std::move(body));
}

Task<Result<StreamPtr>> Http2Stream::upgrade(Headers) { co_return Error(Code::kBadRequest, "HTTP/2 has no upgrades"); }

// ---- request body

Error Http2Stream::fail_body(Code code, std::string_view message) {
  in_failure_ = Error(code, std::string(message));
  return *in_failure_;
}

Result<void> Http2Stream::check_body() {
  if (in_failure_) return *in_failure_;
  const std::size_t limit = connection_.service_.limits.max_body_bytes;
  if (in_length_ > limit || in_total_ > limit) {
    return fail_body(Code::kTooLarge, cat("the request body is over ", limit, " bytes"));
  }
  return Result<void>();
}

Task<Result<std::string>> Http2Stream::read(StopToken stop) {
  while (true) {
    if (auto fine = check_body(); !fine) co_return fine.error();
    if (!in_.empty()) {
      std::string piece = std::exchange(in_, std::string());
      nghttp2_session_consume(connection_.session_, id_, piece.size());
      connection_.make_frames();
      co_return piece;
    }
    if (in_ended_) co_return std::string();
    if (closed_) co_return fail_body(Code::kIo, "the client ended the stream within the request body");
    if (std::exchange(expects_continue_, false) && !responded_) {
      std::uint8_t name[] = ":status", value[] = "100";
      const nghttp2_nv status{name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
      nghttp2_submit_headers(connection_.session_, NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1, nullptr);
      connection_.make_frames();
    }
    // As with HTTP/1.1, a trickle is no progress.
    constexpr std::size_t kBodyProgress = 4 * 1024;
    const bool timed = connection_.service_.limits.body_timeout > Duration::zero();
    if (timed && (in_wait_since_ == 0 || in_total_ - in_timed_ >= kBodyProgress)) {
      in_wait_since_ = connection_.now_ms();
      in_timed_ = in_total_;
    }
    if (timed) connection_.watch_progress();
    in_ready_.reset();
    body_wanted_ = true;
    const bool woken = co_await in_ready_.wait(stop);
    body_wanted_ = false;
    if (!woken) co_return Error(Code::kCancelled, "stopped");
  }
}

void Http2Stream::close() {
  closed_ = true;
  gone_.stop();
  connection_.waiting_output_ -= out_.size();
  out_.clear();
  in_ready_.set();
  out_.moved().set();
}

}  // namespace kayak::io
