// http2_stream.cc: one HTTP/2 request: its response into nghttp2, its body out of it.
// Source: RFC 9113 8.
#include "base/strings.h"
#include "io/http2_internal.h"

namespace kayak::io {

// ---- response

ssize_t Http2Stream::provide(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length, std::uint32_t* flags,
                             nghttp2_data_source* source, void*) {
  auto& stream = *static_cast<Http2Stream*>(source->ptr);
  const std::size_t size = std::min(length, stream.out_bytes_);
  if (size == 0 && !stream.out_ended_) {
    stream.deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.out_ended_ && size == stream.out_bytes_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.trailers_.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (!stream.submit_trailers()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    stream.end_taken_ = true;
    stream.out_moved_.set();
  }
  return static_cast<ssize_t>(size);
}

// Queues the response's header frame. `length` is known for whole bodies.
Result<void> Http2Stream::respond(int status, const Headers& headers, std::optional<std::size_t> length,
                                  bool with_body) {
  responded_ = true;
  if (closed_) return Error(Code::kCancelled, "the stream was closed");
  // nghttp2 copies names and values; `text` holds those that are ours until then.
  std::string text;
  std::size_t size = 64;
  for (const auto& [name, value] : headers) size += name.size() + value.size();
  text.reserve(size);
  const auto keep = [&](std::string_view piece, bool is_name) {
    const std::size_t begin = text.size();
    for (const char c : piece) {
      const bool breaks = c == '\r' || c == '\n' || c == '\0';
      text.push_back(breaks ? ' ' : is_name && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    }
    return std::string_view(text).substr(begin);
  };
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.size() + 3);
  const auto field = [&](std::string_view name, std::string_view value) {
    fields.push_back(nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                                reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                                value.size(), NGHTTP2_NV_FLAG_NONE});
  };
  field(":status", keep(std::to_string(status), false));
  for (const auto& [name, value] : headers) {
    if (iequals(name, "connection")) {
      // HTTP/2 has no such field: what it asks for is that the client goes elsewhere with its next request.
      if (iequals(value, "close")) connection_.go_away();
      continue;
    }
    if (iequals(name, "content-length") || iequals(name, "transfer-encoding") || iequals(name, "keep-alive") ||
        iequals(name, "proxy-connection") || iequals(name, "upgrade")) {
      continue;
    }
    const std::string_view lower = keep(name, true);
    field(lower, keep(value, false));
  }
  if (length && !is_bodyless(status)) field("content-length", keep(std::to_string(*length), false));
  if (!headers.has("date")) field("date", connection_.date_.at(connection_.service_.context.clock.wall()));
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = provide;
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
  if (with_body) {
    out_ = std::move(body);
    out_first_ = 0;
    out_bytes_ = size;
    connection_.waiting_output_ += size;
  }
  end_output();
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
  ASSERT(started_ && !out_ended_);
  const std::size_t size = total_size(data);
  if (size == 0 || headers_only_) co_return Result<void>();
  if (closed_) co_return Error(Code::kCancelled, "the stream was closed");
  ASSERT(out_bytes_ == 0);  // one write at a time
  out_ = std::move(data);
  out_first_ = 0;
  out_bytes_ = size;
  connection_.waiting_output_ += size;
  co_return co_await sent();
}

Task<Result<void>> Http2Stream::finish() {
  ASSERT(started_ && !out_ended_);
  end_output();
  co_return co_await sent();
}

Task<Result<void>> Http2Stream::finish_with(Headers trailers) {
  trailers_ = std::move(trailers);
  return finish();
}

Result<void> Http2Stream::submit_trailers() {
  std::vector<nghttp2_nv> fields;
  for (const auto& [name, value] : trailers_) {
    fields.push_back(nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                                reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                                value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  const int rc = nghttp2_submit_trailer(connection_.session_, id_, fields.data(), fields.size());
  if (rc != 0) return Error(Code::kIo, cat("HTTP/2 trailers: ", nghttp2_strerror(rc)));
  return Result<void>();
}

void Http2Stream::end_output() {
  out_ended_ = true;
  if (headers_only_) end_taken_ = true;
}

// Gets nghttp2 to take what is queued and waits until it has.
Task<Result<void>> Http2Stream::sent() {
  if (deferred_ && !closed_) {
    deferred_ = false;
    nghttp2_session_resume_data(connection_.session_, id_);
  }
  connection_.make_frames();
  while (!closed_ && (out_bytes_ > 0 || (out_ended_ && !end_taken_))) {
    if (out_wait_since_ == 0) out_wait_since_ = connection_.now_ms();
    connection_.watch_progress();
    out_moved_.reset();
    co_await out_moved_.wait();
  }
  out_wait_since_ = 0;
  if (out_bytes_ > 0 || (out_ended_ && !end_taken_)) co_return Error(Code::kCancelled, "the stream was closed");
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
  connection_.waiting_output_ -= out_bytes_;
  out_.clear();
  in_ready_.set();
  out_moved_.set();
}

}  // namespace kayak::io
