// http2_server.cc: one HTTP/2 connection on nghttp2: frames in and out, requests to handlers, limits, the end.
// Owns the stream, the nghttp2 session and the handlers' scope; a request's own part is http2_stream.cc.
// Source: RFC 9113, RFC 9218; CVE-2023-44487, CVE-2024-28182, CVE-2025-8671 (see http2_session.h and on_frame_sent).
#include <algorithm>

#include "base/strings.h"
#include "io/http2_internal.h"

namespace kayak::io {

namespace {

// What may wait unread in request bodies, per stream and per connection (the flow-control windows).
constexpr std::int32_t kStreamWindow = 256 * 1024;
constexpr std::int32_t kConnectionWindow = 1024 * 1024;
// With more response bytes than this waiting on the connection, new requests wait too: a client that asks for many
// large lists and reads none of them holds this much and one response per handler that runs.
constexpr std::size_t kMaxWaitingOutput = 8 * 1024 * 1024;
// Frames that nghttp2 queues as answers (acknowledgements, resets) and a client that reads none of them.
constexpr std::size_t kMaxQueuedFrames = 2000;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::size_t kUnauthenticatedStreams = 100;

enum TimerSlot { kIdleTimer, kSweepTimer, kWriteTimer };

}  // namespace

bool PseudoFields::take(std::string_view name, std::string_view value) {
  if (nghttp2_check_header_value(reinterpret_cast<const std::uint8_t*>(value.data()), value.size()) == 0) return false;
  if (!name.starts_with(':')) {
    seen_ |= kRegular;
    if (nghttp2_check_header_name(reinterpret_cast<const std::uint8_t*>(name.data()), name.size()) == 0) return false;
    if (name == "te") return iequals(value, "trailers");
    constexpr std::string_view kConnectionFields[] = {"connection", "keep-alive", "proxy-connection",
                                                      "transfer-encoding", "upgrade"};
    return std::find(std::begin(kConnectionFields), std::end(kConnectionFields), name) == std::end(kConnectionFields);
  }
  const unsigned which = name == ":method"      ? kMethod
                         : name == ":scheme"    ? kScheme
                         : name == ":path"      ? kPath
                         : name == ":authority" ? kAuthority
                                                : 0U;
  if (which == 0 || (seen_ & (which | kRegular)) != 0) return false;
  seen_ |= which;
  return true;
}

// ---- nghttp2's callbacks

int Http2Connection::on_begin_frame(const nghttp2_frame_hd& hd) {
  // What costs the client nothing and us something is counted: pings, settings, priorities, resets, empty data and
  // frames of no known type. Requests and data we send earn some, so that an honest client never runs out.
  constexpr int kPerRequest = 2;
  switch (hd.type) {
    case NGHTTP2_HEADERS:
      control_frames_.give(kPerRequest);
      return 0;
    case NGHTTP2_DATA:
      if (hd.length > 0 || (hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) return 0;
      break;
    default:
      break;
  }
  if (!control_frames_.take(now_ms())) flooded_by_ = "too many control frames";
  return 0;
}

int Http2Connection::on_begin_headers(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS || frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto stream = std::make_unique<Http2Stream>(*this, frame.hd.stream_id);
  stream->begun_ms_ = now_ms();
  stream->mutable_request().headers.reserve(12, 256);
  nghttp2_session_set_stream_user_data(session_, frame.hd.stream_id, stream.get());
  streams_[frame.hd.stream_id] = std::move(stream);
  timer_.clear(kIdleTimer);
  watch_progress();
  return 0;
}

int Http2Connection::on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  if (frame.hd.type != NGHTTP2_HEADERS || frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;  // trailers
  Http2Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr || stream->refusal_.status != 0) return 0;
  // The sum as RFC 9113 6.5.2 counts it, so that a bomb of references to one large field is seen.
  stream->header_bytes_ += name.size() + value.size() + 32;
  HttpRequest& request = stream->mutable_request();
  if (service_.limits.any_authority && !stream->pseudo_.take(name, value)) {
    stream->refusal_ = HeadRefusal{400, "malformed header fields"};
    return 0;
  }
  if (stream->header_bytes_ > service_.limits.max_header_bytes ||
      request.headers.size() >= service_.limits.max_headers) {
    stream->refusal_ = HeadRefusal{431, "the request headers are too large"};
    request.headers = Headers();
    return 0;
  }
  if (name == ":method") {
    request.method = value;
  } else if (name == ":path") {
    if (value.size() > service_.limits.max_header_bytes / 2) {
      stream->refusal_ = HeadRefusal{414, "the request target is too long"};
    } else if (const HeadRefusal refused = parse_request_target(value, true, &request); refused.status != 0) {
      stream->refusal_ = refused;
    }
  } else if (name == ":authority" || (name == "host" && request.host.empty())) {
    if (!service_.limits.any_authority && !is_host_value(value))
      stream->refusal_ = HeadRefusal{400, "malformed authority"};
    request.host = value;
  }
  if (!name.starts_with(':')) request.headers.add(name, value);
  return 0;
}

int Http2Connection::on_frame(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
  Http2Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if (ends) {
    stream->in_ended_ = true;
    stream->in_ready_.set();
  }
  if (frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    HttpRequest& request = stream->mutable_request();
    request.http2 = true;
    request.remote = remote_;
    request.peer = peer_;
    if (request.path.empty() && stream->refusal_.status == 0) {
      stream->refusal_ = request.method == "CONNECT" ? HeadRefusal{501, "CONNECT is not supported"}
                                                     : HeadRefusal{400, "the request has no path"};
    }
    if (service_.limits.any_authority && !stream->pseudo_.complete() && stream->refusal_.status == 0) {
      stream->refusal_ = HeadRefusal{400, "a pseudo-header field is missing"};
    }
    (void)parse_content_length(request.headers.get("content-length"), &stream->in_length_);
    stream->expects_continue_ = !ends && iequals(request.headers.get("expect"), "100-continue");
    stream->dispatched_ = true;
    starting_.push_back(frame.hd.stream_id);
  }
  return 0;
}

int Http2Connection::on_data(std::int32_t id, std::string_view data) {
  Http2Stream* stream = find(id);
  if (stream != nullptr) stream->in_total_ += data.size();
  if (stream == nullptr) {
    nghttp2_session_consume(session_, id, data.size());  // it was answered already: see unfinished_
  } else if (stream->in_total_ > service_.limits.max_body_bytes) {
    // Nobody will read it. The other streams get their share of the connection back, this one gets no more.
    nghttp2_session_consume_connection(session_, data.size());
  } else {
    stream->in_.append(data);
  }
  if (stream != nullptr) stream->in_ready_.set();
  return 0;
}

int Http2Connection::on_stream_close(std::int32_t id, std::uint32_t) {
  if (Http2Stream* stream = find(id)) stream->close();
  return 0;
}

int Http2Connection::on_frame_sent(const nghttp2_frame& frame) {
  // Readers answer data with window updates.
  constexpr int kPerDataFrame = 10;
  if (frame.hd.type == NGHTTP2_DATA) control_frames_.give(kPerDataFrame);
  // CVE-2025-8671: a client may break rules so that the server resets its streams, which frees their places.
  if (frame.hd.type == NGHTTP2_RST_STREAM && frame.rst_stream.error_code != NGHTTP2_NO_ERROR &&
      !resets_sent_.take(now_ms())) {
    flooded_by_ = "too many streams had to be reset";
  }
  return 0;
}

int Http2Connection::take_data(std::int32_t id, OutputBody& output, std::string_view frame_header, std::size_t length) {
  waiting_output_ -= length;
  output.move_to(&batch_, frame_header, length);
  Http2Stream* stream = find(id);
  if (stream != nullptr && stream->out_wait_since_ != 0) stream->out_wait_since_ = now_ms();
  return 0;
}

void Http2Connection::open_session() {
  session_ = make_http2_session(*this, true, service_.limits.any_authority);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(max_streams())},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(service_.limits.max_header_bytes)},
      // The tree of RFC 7540 is work for whoever asks for it; see start_requests for what replaces it.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

// ---- the connection

std::size_t Http2Connection::max_streams() const {
  const std::size_t limit = service_.limits.max_streams;
  return peer_.certificate ? limit : std::min(limit, kUnauthenticatedStreams);
}

Task<void> Http2Connection::run() {
  open_session();
  become_idle();
  scope_.spawn(write_frames());
  feed();
  while (!closed_) {
    if (input_.empty()) {
      input_.release();
      auto readable = co_await stream_->wait_readable();
      if (!readable) break;
    }
    auto got = co_await stream_->read(input_.room(kReadSize, kReadSize));
    if (!got || *got == 0) break;
    input_.commit(*got);
    feed();
  }
  close();
  (void)co_await scope_.join();
  ASSERT(streams_.empty());
}

void Http2Connection::feed() {
  const std::string_view bytes = input_.view();
  in_nghttp2_ = true;
  const ssize_t used =
      ending_ ? 0
              : nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  in_nghttp2_ = false;
  input_.consume(input_.size());
  if (ending_) return;
  if (used < 0) {
    log_end(nghttp2_strerror(static_cast<int>(used)));
    nghttp2_session_terminate_session(session_,
                                      used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  } else if (!flooded_by_.empty()) {
    log_end(cat("too many ", flooded_by_));
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
  if (nghttp2_session_get_outbound_queue_size(session_) > kMaxQueuedFrames) {
    log_end("the client reads no answers");
    close();
    return;
  }
  start_requests();
  make_frames();
}

void Http2Connection::log_end(std::string_view why) {
  service_.context.log.debug("HTTP/2 connection ends", {{"peer", remote_.to_string()}, {"reason", why}});
}

// The client broke the rules: it is told why, nothing more is read, and it is gone soon, whether it reads that or not.
void Http2Connection::terminate(std::uint32_t error, std::string_view why) {
  log_end(why);
  said_goodbye_ = true;
  nghttp2_session_terminate_session(session_, error);
  timer_.set(kIdleTimer, kLinger);
}

void Http2Connection::start_requests() {
  // A handler that ends at once comes back here: the loop below goes on with the next, not one call deeper each.
  if (std::exchange(starting_now_, true)) return;
  // Nothing is kept of who was reset before its turn, so that no more wait than a client may have open.
  std::erase_if(starting_, [this](std::int32_t id) {
    Http2Stream& stream = *streams_.at(id);
    const bool reset = stream.closed_;
    if (reset) retire(stream);
    return reset;
  });
  // A client that resets its streams gets new ones from nghttp2, but not new handlers before the old have ended. They
  // wait and are not refused: who closes all its watches and opens them anew in one write (client-go's informers do)
  // has done nothing wrong, and Go sends what was refused twice only after a second.
  while (!starting_.empty() && waiting_output_ <= kMaxWaitingOutput && running_ < max_streams()) {
    Http2Stream& stream = *streams_.at(starting_.front());
    starting_.pop_front();
    if (stream.closed_) {
      retire(stream);
      continue;
    }
    // Every stream takes turns with the others, whatever the client says: a large list does not hold up small answers.
    const nghttp2_extpri in_turns{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    nghttp2_session_change_extpri_stream_priority(session_, stream.id_, &in_turns, 1);
    ++running_;
    scope_.spawn(answer(stream));
  }
  starting_now_ = false;
}

Task<void> Http2Connection::answer(Http2Stream& stream) {
  if (stream.refusal_.status != 0) {
    (void)co_await stream.send_plain(stream.refusal_.status, stream.refusal_.reason);
  } else if (stream.request().path == "*") {
    (void)co_await stream.send(200, Headers(), Slices());
  } else {
    co_await service_.handler(stream);
  }
  co_await conclude(stream);
  --running_;
  retire(stream);
  start_requests();
  make_frames();
}

// Sees to it that the client gets a whole response, or notices that it did not.
Task<void> Http2Connection::conclude(Http2Stream& stream) {
  if (!stream.closed_ && !stream.responded_) {
    const auto& failure = stream.in_failure_;
    const int status = failure ? status_of(*failure) : 500;
    const std::string reason(failure ? std::string_view(failure->message()) : "no answer was made");
    (void)co_await stream.send_plain(status, reason);
  }
  if (stream.closed_) co_return;
  if (!stream.out_.ended()) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_INTERNAL_ERROR);
  } else if (!stream.in_ended_) {
    // The whole response is out: the rest of the request is not needed (RFC 9113 8.1). Not at once, though: clients
    // that are still sending then tend to take the reset for an answer (curl 7.88 does).
    unfinished_.emplace_back(stream.id_, now_ms());
    watch_progress();
  }
}

void Http2Connection::retire(Http2Stream& stream) {
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  if (!stream.in_.empty()) nghttp2_session_consume(session_, stream.id_, stream.in_.size());
  streams_.erase(stream.id_);
  if (streams_.empty()) become_idle();
}

void Http2Connection::become_idle() {
  idle_since_ = now_ms();
  if (!ending_ && !said_goodbye_) timer_.set(kIdleTimer, service_.limits.idle_timeout);
}

// Has nghttp2 turn what is queued into frames, up to one batch.
void Http2Connection::make_frames() {
  if (ending_ || in_nghttp2_) return;
  in_nghttp2_ = true;
  const int rc = !batch_.full() ? nghttp2_session_send(session_) : 0;
  in_nghttp2_ = false;
  if (rc != 0) {
    log_end(nghttp2_strerror(rc));
    close();
    return;
  }
  if (!batch_.empty() || is_done()) batch_ready_.set();
}

bool Http2Connection::is_done() const {
  return batch_.empty() && nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

Task<void> Http2Connection::write_frames() {
  while (!closed_) {
    if (batch_.empty()) {
      if (is_done()) break;
      batch_ready_.reset();
      co_await batch_ready_.wait();
      continue;
    }
    timer_.set(kWriteTimer, service_.limits.write_timeout);
    auto written = co_await stream_->write(batch_.take());
    timer_.clear(kWriteTimer);
    if (!written) {
      close();
      co_return;
    }
    start_requests();
    make_frames();
  }
  if (closed_) co_return;
  // Both sides have said all they will: what the client still sends is dropped until it closes.
  ending_ = true;
  close_streams();
  timer_.set(kIdleTimer, kLinger);
  auto shut = co_await stream_->shutdown();
  if (!shut) close();
}

void Http2Connection::close_streams() {
  for (const auto& [id, stream] : streams_) {
    if (!stream->closed_) stream->close();
  }
  // Those whose handlers have not begun have nobody else to end them.
  while (!starting_.empty()) {
    const std::int32_t id = starting_.front();
    starting_.pop_front();
    streams_.erase(id);
  }
  std::erase_if(streams_, [](const auto& entry) { return !entry.second->dispatched_; });
  // nghttp2 is not called with input or for output any more, so what it knows of these streams is not used.
}

void Http2Connection::close() {
  if (closed_) return;
  closed_ = ending_ = true;
  stream_->close();
  close_streams();
  batch_ready_.set();
}

void Http2Connection::abort() { close(); }

void Http2Connection::drain() {
  draining_ = true;
  go_away();
  for (const auto& [id, stream] : streams_) {
    if (stream->started_) stream->gone_.stop();
  }
}

// Requests that came in are answered; the client takes the next ones elsewhere. In one step: GOAWAY names the last
// request that we know, so a client can tell what it may send again.
void Http2Connection::go_away() {
  if (closed_ || ending_ || std::exchange(said_goodbye_, true)) return;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  make_frames();
}

void Http2Connection::on_due(int slot) {
  switch (slot) {
    case kIdleTimer:
      if (ending_ || said_goodbye_) {
        close();
      } else if (streams_.empty()) {
        go_away();
        timer_.set(kIdleTimer, kLinger);
      }
      break;
    case kSweepTimer:
      sweep();
      break;
    case kWriteTimer:
      close();
      break;
  }
}

void Http2Connection::watch_progress() {
  if (timer_.is_set(kSweepTimer)) return;
  const HttpLimits& limits = service_.limits;
  Duration shortest = std::min({limits.header_timeout, limits.write_timeout, 2 * kLinger});
  if (limits.body_timeout > Duration::zero()) shortest = std::min(shortest, limits.body_timeout);
  timer_.set(kSweepTimer, std::max<Duration>(shortest / 4, std::chrono::milliseconds(10)));
}

// Looks for streams that have not moved for too long.
void Http2Connection::sweep() {
  const std::uint64_t now = now_ms();
  bool more = false;
  for (const auto& [id, stream] : streams_) {
    if (stream->closed_) continue;
    if (stream->is_over(stream->out_wait_since_, now, service_.limits.write_timeout)) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    if (!stream->dispatched_ && stream->is_over(stream->begun_ms_, now, service_.limits.header_timeout)) {
      terminate(NGHTTP2_ENHANCE_YOUR_CALM, "request headers did not arrive in time");
    }
    if (!stream->body_wanted_) stream->in_wait_since_ = 0;  // the handler is busy: no fault of the client
    if (stream->is_over(stream->in_wait_since_, now, service_.limits.body_timeout)) {
      stream->fail_body(Code::kTimeout, "the request body did not arrive in time");
      stream->in_ready_.set();
    }
    more = more || !stream->dispatched_ || stream->in_wait_since_ != 0 || stream->out_wait_since_ != 0;
  }
  while (!unfinished_.empty() && Http2Stream::is_over(unfinished_.front().second, now, kLinger)) {
    const std::int32_t id = unfinished_.front().first;
    unfinished_.pop_front();
    const bool still_sending = nghttp2_session_get_stream_remote_close(session_, id) == 0;
    if (still_sending) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
  }
  if (more || !unfinished_.empty()) watch_progress();
  make_frames();
}

std::unique_ptr<HttpConnection> make_http2_connection(const HttpService& service, StreamPtr stream, InputBuffer input,
                                                      TlsPeer peer) {
  return std::make_unique<Http2Connection>(service, std::move(stream), std::move(input), std::move(peer));
}

}  // namespace kayak::io
