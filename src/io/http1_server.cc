// http1_server.cc: one HTTP/1.1 (or 1.0) connection: one request after the other, pipelined ones too.
// Owns the stream. One coroutine, run(), reads for as long as the connection lives, so that a client which goes away
// during a long response is noticed; the handler runs beside it and takes its body out of what was read.
// Source: RFC 9110, RFC 9112.
#include <algorithm>
#include <charconv>

#include "base/strings.h"
#include "io/http_internal.h"
#include "io/http_parse.h"

namespace kayak::io {

namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// What is read ahead of a handler: body bytes and pipelined requests.
constexpr std::size_t kReadAhead = 64 * 1024;
// An unread rest of a request body up to this size is read and dropped to keep the connection; beyond, it is closed.
constexpr std::size_t kMaxDropped = 64 * 1024;
// Fewer body bytes within the body timeout are no progress: a body that trickles in would hold its request for days.
constexpr std::size_t kBodyProgress = 4 * 1024;
constexpr int kMaxBlankLines = 4;

enum TimerSlot { kPhaseTimer, kBodyTimer, kWriteTimer };

class Http1Connection final : public HttpConnection, private HttpExchange, private HttpBody {
 public:
  Http1Connection(const HttpService& service, StreamPtr stream, InputBuffer input, TlsPeer peer)
      : service_(service),
        stream_(std::move(stream)),
        input_(std::move(input)),
        scanner_(service.limits.max_header_bytes, service.limits.max_headers),
        timer_(service.context.loop, [this](int slot) { on_due(slot); }) {
    request_.remote = stream_->peer();
    request_.peer = std::move(peer);
  }

  Task<void> run() override;
  void drain() override;
  void abort() override;
  std::uint64_t idle_since() const override { return phase_ == Phase::kHead && input_.empty() ? idle_since_ : 0; }

 private:
  enum class Phase : std::uint8_t {
    kHead,       // between requests, or within the head of one
    kAnswering,  // a handler runs
    kLingering,  // the last response is out; input is dropped until the client has closed
    kHandedOver,
    kClosed,
  };
  enum class Next : std::uint8_t { kRequest, kMore, kRefused };

  // Reading.
  bool may_read() const;
  Task<bool> read_some();
  void on_input();
  void on_end_of_input();
  Next next_request();
  void proceed();
  void become_idle();
  void on_due(int slot);

  // Answering.
  Task<void> answer_requests();
  Task<void> answer_one();
  Task<void> conclude();
  Task<void> drop_rest_of_body();
  Task<void> send_plain(int status, std::string_view reason);
  Task<void> refuse(int status, std::string_view reason);
  Task<void> end_connection(bool linger);
  std::string build_head(int status, const Headers& headers, bool whole, std::size_t body_size);
  void decide_to_close();
  Task<Result<void>> write_out(Slices data);
  void close();

  // HttpExchange.
  HttpBody& body() override { return *this; }
  Task<Result<void>> send(int status, Headers headers, Slices body) override;
  Task<Result<void>> start(int status, Headers headers) override;
  Task<Result<void>> write(Slices data) override;
  Task<Result<void>> finish() override;
  StopToken gone() const override { return gone_.token(); }
  Task<Result<StreamPtr>> upgrade(Headers headers) override;

  // HttpBody.
  Task<Result<std::string>> read(StopToken stop) override;
  Result<std::string> take_body();
  Error fail_body(Code code, std::string_view message);
  bool body_is_too_large() const {
    return head_.framing == BodyFraming::kLength && head_.length > service_.limits.max_body_bytes;
  }

  const HttpService& service_;
  StreamPtr stream_;
  InputBuffer input_;
  HeadScanner scanner_;
  LazyTimer timer_;
  HttpDate date_;
  TaskScope scope_;
  StopSource gone_;
  Event wake_;        // run() waits for it while it must not read
  Event body_ready_;  // input or its end arrived while a handler runs
  Phase phase_ = Phase::kHead;
  bool draining_ = false;
  bool end_of_input_ = false;
  bool reading_ = false;     // run() waits for input
  bool head_begun_ = false;  // the first bytes of a head are here
  int blank_lines_ = 0;      // dropped before the head
  std::size_t last_head_size_ = 0;
  std::uint64_t idle_since_ = 0;

  // Of the request that is being answered.
  RequestHead head_;
  BodyDecoder decoder_;
  std::optional<Error> body_failure_;
  std::size_t body_bytes_ = 0;
  std::size_t body_bytes_timed_ = 0;  // as many were there when the body timer was set
  bool continue_sent_ = false;
  bool body_wanted_ = false;  // read() waits
  bool body_timed_out_ = false;
  bool responded_ = false;  // send, start or upgrade was called
  bool started_ = false;    // a streamed response
  bool finished_ = false;   // the response is complete
  bool suppress_body_ = false;
  bool close_after_ = false;
  bool broken_ = false;  // a write failed
};

// ---- reading

Task<void> Http1Connection::run() {
  proceed();
  while (phase_ != Phase::kClosed && phase_ != Phase::kHandedOver) {
    if (!may_read()) {
      wake_.reset();
      co_await wake_.wait();
      continue;
    }
    reading_ = true;
    const bool more = co_await read_some();
    reading_ = false;
    if (!more) break;
    on_input();
  }
  if (phase_ != Phase::kHandedOver) on_end_of_input();
  (void)co_await scope_.join();
  if (phase_ != Phase::kHandedOver) close();
}

// While an upgrade may come nothing is read, as those bytes belong to whoever takes the stream over.
bool Http1Connection::may_read() const {
  if (phase_ != Phase::kAnswering) return true;
  if (head_.wants_upgrade && !responded_) return false;
  return input_.size() < kReadAhead;
}

// False at the end of the stream.
Task<bool> Http1Connection::read_some() {
  const std::size_t max = phase_ == Phase::kHead ? service_.limits.max_header_bytes : kReadAhead;
  if (input_.empty()) {
    // What waits for input holds no memory for it.
    input_.release();
    auto readable = co_await stream_->wait_readable();
    if (!readable) co_return false;
  }
  constexpr std::size_t kHint = 8 * 1024;
  const bool body_comes = phase_ == Phase::kAnswering && decoder_.remaining() > kHint;
  const std::size_t hint = body_comes ? kReadAhead : kHint;
  auto got = co_await stream_->read(input_.room(std::max(max, kReadAhead), hint));
  if (!got || *got == 0) co_return false;
  input_.commit(*got);
  co_return true;
}

void Http1Connection::on_input() {
  switch (phase_) {
    case Phase::kHead:
      proceed();
      break;
    case Phase::kAnswering:
      body_ready_.set();
      break;
    case Phase::kLingering:
      input_.consume(input_.size());
      break;
    case Phase::kHandedOver:
    case Phase::kClosed:
      break;
  }
}

void Http1Connection::on_end_of_input() {
  end_of_input_ = true;
  timer_.clear(kPhaseTimer);
  gone_.stop();
  body_ready_.set();
}

// Starts the next request when its head is here.
void Http1Connection::proceed() {
  if (next_request() == Next::kRequest) scope_.spawn(answer_requests());
}

// kRequest: request_ and head_ are filled. kRefused: the answer is on its way and the connection ends with it.
Http1Connection::Next Http1Connection::next_request() {
  for (; blank_lines_ < kMaxBlankLines && scanner_.size() == 0 && input_.view().starts_with("\r\n"); ++blank_lines_) {
    input_.consume(2);  // RFC 9112 2.2: some clients end a body with one too many
  }
  HeadRefusal refused;
  switch (scanner_.scan(input_.view())) {
    case HeadScanner::Found::kMore:
      if (input_.empty()) {
        become_idle();
      } else if (!head_begun_) {
        head_begun_ = true;  // the time for the whole head starts with its first byte
        timer_.set(kPhaseTimer, service_.limits.header_timeout);
      }
      return Next::kMore;
    case HeadScanner::Found::kEnd:
      break;
    case HeadScanner::Found::kBad:
      refused = HeadRefusal{400, "malformed request head"};
      break;
    case HeadScanner::Found::kTooLarge:
      refused = HeadRefusal{431, "the request head is too large"};
      break;
    case HeadScanner::Found::kLineTooLong:
      refused = HeadRefusal{414, "the request line is too long"};
      break;
  }
  timer_.clear(kPhaseTimer);
  head_begun_ = false;
  blank_lines_ = 0;
  head_ = RequestHead();
  if (refused.status == 0) {
    const std::size_t size = scanner_.size();
    refused = parse_request_head(input_.view().substr(0, size), &request_, &head_);
    input_.consume(size);
    last_head_size_ = size;
  }
  scanner_.reset();
  if (refused.status == 0) return Next::kRequest;
  scope_.spawn(refuse(refused.status, refused.reason));
  return Next::kRefused;
}

// A client that once sent a huge head does not keep its memory.
void Http1Connection::become_idle() {
  constexpr std::size_t kMaxKept = 4096;
  if (last_head_size_ > kMaxKept) {
    request_.headers = Headers();
    request_.path = request_.query = request_.method = request_.host = std::string();
    last_head_size_ = 0;
  }
  idle_since_ = LazyTimer::now_ms(service_.context.loop);
  timer_.set(kPhaseTimer, service_.limits.idle_timeout);
}

void Http1Connection::on_due(int slot) {
  switch (slot) {
    case kPhaseTimer:
      if (phase_ == Phase::kHead && !input_.empty()) {
        scope_.spawn(refuse(408, "the request head did not arrive in time"));
      } else {
        close();
      }
      break;
    case kBodyTimer:  // no harm while the handler is busy with what came before: its next wait sets it anew
      if (!body_wanted_) break;
      body_timed_out_ = true;
      body_ready_.set();
      break;
    case kWriteTimer:  // the client takes nothing
      gone_.stop();
      close();
      break;
  }
}

void Http1Connection::drain() {
  draining_ = true;
  if (phase_ == Phase::kHead && input_.empty()) close();
  if (phase_ == Phase::kAnswering && started_) gone_.stop();
}

void Http1Connection::abort() {
  gone_.stop();
  if (phase_ != Phase::kHandedOver) close();
}

void Http1Connection::close() {
  phase_ = Phase::kClosed;
  stream_->close();
  wake_.set();
  body_ready_.set();
}

// ---- answering

// The current request, and those that arrived behind it.
Task<void> Http1Connection::answer_requests() {
  Next next = Next::kRequest;
  while (next == Next::kRequest) {
    co_await answer_one();
    if (phase_ != Phase::kAnswering) co_return;
    phase_ = Phase::kHead;
    if (end_of_input_) co_return;
    next = next_request();
  }
  wake_.set();
}

Task<void> Http1Connection::answer_one() {
  phase_ = Phase::kAnswering;
  decoder_ = BodyDecoder(head_.framing, head_.length);
  if (head_.framing != BodyFraming::kNone) head_.wants_upgrade = false;
  body_failure_.reset();
  body_bytes_ = 0;
  continue_sent_ = body_timed_out_ = responded_ = started_ = finished_ = suppress_body_ = broken_ = false;
  close_after_ = !head_.keep_alive;
  if (request_.path == "*") {  // "OPTIONS *" asks about the server itself: no handler has that path
    Headers headers;
    auto sent = co_await send(200, headers, Slices());
    if (!sent) broken_ = true;
  } else {
    co_await service_.handler(*this);
  }
  co_await conclude();
  timer_.clear(kBodyTimer);
}

// Sees to it that the client gets a whole response, or notices that it did not.
Task<void> Http1Connection::conclude() {
  if (phase_ == Phase::kHandedOver || phase_ == Phase::kClosed) co_return;
  if (!responded_) {
    const int status = body_failure_ ? status_of(*body_failure_) : 500;
    const std::string_view why = body_failure_ ? std::string_view(body_failure_->message()) : "no answer was made";
    co_await send_plain(status, why);
  }
  if (broken_ || !finished_) {
    close();
    co_return;
  }
  if (!close_after_ && !decoder_.done()) co_await drop_rest_of_body();
  if (close_after_ || draining_) co_await end_connection(!decoder_.done());
}

Task<void> Http1Connection::drop_rest_of_body() {
  while (!decoder_.done() && phase_ == Phase::kAnswering) {
    auto piece = co_await read(StopToken());
    if (!piece) {
      close_after_ = true;
      co_return;
    }
  }
}

Task<void> Http1Connection::send_plain(int status, std::string_view reason) {
  Headers headers;
  headers.add("Content-Type", "text/plain; charset=utf-8");
  headers.add("X-Content-Type-Options", "nosniff");
  Slices body;
  body.push_back(Slice::of(cat(status, " ", status_reason(status), ": ", reason, "\n")));
  responded_ = false;
  auto sent = co_await send(status, std::move(headers), std::move(body));
  if (!sent) broken_ = true;
}

// Answers what could not be read as a request. Nothing after it can be trusted to be one.
Task<void> Http1Connection::refuse(int status, std::string_view reason) {
  phase_ = Phase::kAnswering;
  head_ = RequestHead();
  decoder_ = BodyDecoder();
  request_.method = "GET";
  responded_ = started_ = finished_ = broken_ = false;
  close_after_ = true;
  co_await send_plain(status, reason);
  co_await end_connection(true);
}

Task<void> Http1Connection::end_connection(bool linger) {
  if (phase_ == Phase::kClosed) co_return;
  phase_ = Phase::kLingering;
  // A full buffer would leave no room to read into. What a read that runs now still brings is dropped as it comes.
  if (!reading_) input_.consume(input_.size());
  timer_.set(kPhaseTimer, kLinger);
  auto shut = co_await stream_->shutdown();
  if (!shut || !linger || end_of_input_) close();
  wake_.set();
}

// Before a response's head is made: whether the connection can go on after it.
void Http1Connection::decide_to_close() {
  if (draining_ || end_of_input_) close_after_ = true;
  if (decoder_.done()) return;
  const bool body_not_asked_for = head_.expects_continue && !continue_sent_;
  const bool much_to_come = head_.framing != BodyFraming::kLength || decoder_.remaining() > kMaxDropped;
  if (body_not_asked_for || much_to_come || body_failure_ || body_is_too_large()) close_after_ = true;
}

std::string Http1Connection::build_head(int status, const Headers& headers, bool whole, std::size_t body_size) {
  std::string out;
  out.reserve(256);
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(status_reason(status)).append("\r\n");
  for (const auto& [name, value] : headers) {
    if (iequals(name, "connection")) {
      if (iequals(value, "close")) close_after_ = true;
      continue;
    }
    if (iequals(name, "content-length") || iequals(name, "transfer-encoding")) continue;
    append_field(&out, name, value);
  }
  if (!headers.has("date")) append_field(&out, "Date", date_.at(service_.context.clock.wall()));
  decide_to_close();
  if (!is_bodyless(status)) {
    if (whole) {
      append_field(&out, "Content-Length", std::to_string(body_size));
    } else if (head_.http11) {
      append_field(&out, "Transfer-Encoding", "chunked");
    } else {
      close_after_ = true;  // HTTP/1.0 knows the end of the body by the end of the connection
    }
  }
  if (close_after_) {
    append_field(&out, "Connection", "close");
  } else if (!head_.http11) {
    append_field(&out, "Connection", "keep-alive");
  }
  out.append("\r\n");
  return out;
}

Task<Result<void>> Http1Connection::send(int status, Headers headers, Slices body) {
  ASSERT(!responded_);
  responded_ = true;
  wake_.set();
  co_await maybe_gzip(service_.context.loop, request_, status, &headers, &body);
  if (phase_ != Phase::kAnswering) co_return Error(Code::kCancelled, "the connection was closed");
  // The head outlives the write, as the write ends when the kernel has its bytes.
  const std::string head = build_head(status, headers, true, total_size(body));
  Slices out;
  out.reserve(body.size() + 1);
  out.push_back(Slice{head, nullptr});
  if (request_.method != "HEAD" && !is_bodyless(status)) {
    out.insert(out.end(), std::make_move_iterator(body.begin()), std::make_move_iterator(body.end()));
  }
  finished_ = true;
  co_return co_await write_out(std::move(out));
}

Task<Result<void>> Http1Connection::start(int status, Headers headers) {
  ASSERT(!responded_);
  responded_ = started_ = true;
  suppress_body_ = request_.method == "HEAD" || is_bodyless(status);
  wake_.set();
  const std::string head = build_head(status, headers, false, 0);
  Slices out(1, Slice{head, nullptr});
  auto written = co_await write_out(std::move(out));
  if (draining_) gone_.stop();
  co_return written;
}

Task<Result<void>> Http1Connection::write(Slices data) {
  ASSERT(started_ && !finished_);
  const std::size_t size = total_size(data);
  if (size == 0 || suppress_body_) co_return Result<void>();
  if (!head_.http11) co_return co_await write_out(std::move(data));
  char chunk[20];
  char* end = std::to_chars(chunk, chunk + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  Slices out;
  out.reserve(data.size() + 2);
  out.push_back(Slice{std::string_view(chunk, static_cast<std::size_t>(end - chunk)), nullptr});
  out.insert(out.end(), std::make_move_iterator(data.begin()), std::make_move_iterator(data.end()));
  out.push_back(Slice{"\r\n", nullptr});
  co_return co_await write_out(std::move(out));
}

Task<Result<void>> Http1Connection::finish() {
  ASSERT(started_ && !finished_);
  finished_ = true;
  if (suppress_body_ || !head_.http11) co_return Result<void>();
  Slices out(1, Slice{"0\r\n\r\n", nullptr});
  co_return co_await write_out(std::move(out));
}

// In pieces, so that a slow client shows progress and one that takes nothing is given up.
Task<Result<void>> Http1Connection::write_out(Slices data) {
  Result<void> written;
  if (phase_ != Phase::kAnswering) written = Error(Code::kCancelled, "the connection was closed");
  for (std::size_t left = total_size(data), first = 0; written && left > 0;) {
    Slices piece = take_piece(&data, &first, left, kWritePiece);
    left -= std::min(left, kWritePiece);
    timer_.set(kWriteTimer, service_.limits.write_timeout);
    written = co_await stream_->write(std::move(piece));
    timer_.clear(kWriteTimer);
  }
  if (!written) {
    broken_ = true;
    gone_.stop();
  }
  co_return written;
}

Task<Result<StreamPtr>> Http1Connection::upgrade(Headers headers) {
  if (!head_.http11 || !head_.wants_upgrade)
    co_return Error(Code::kBadRequest, "the client did not ask for an upgrade");
  // Only when it came behind a request that took long: run() has been reading since.
  if (reading_) co_return Error(Code::kBadRequest, "an upgrade cannot be pipelined");
  ASSERT(!responded_);
  responded_ = true;
  std::string head = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const auto& [name, value] : headers) {
    if (!iequals(name, "connection")) append_field(&head, name, value);
  }
  head.append("Connection: Upgrade\r\n\r\n");
  Slices out(1, Slice{head, nullptr});
  auto written = co_await write_out(std::move(out));
  if (!written) co_return written.error();
  finished_ = true;
  phase_ = Phase::kHandedOver;
  wake_.set();
  co_return prefixed_stream(input_.take(), std::move(stream_));
}

// ---- request body

Error Http1Connection::fail_body(Code code, std::string_view message) {
  body_failure_ = Error(code, std::string(message));
  return *body_failure_;
}

Task<Result<std::string>> Http1Connection::read(StopToken stop) {
  if (body_failure_) co_return *body_failure_;
  if (decoder_.done()) co_return std::string();
  if (body_is_too_large()) {
    co_return fail_body(Code::kTooLarge, cat("the request body is over ", service_.limits.max_body_bytes, " bytes"));
  }
  if (head_.expects_continue && !continue_sent_ && input_.empty() && !responded_) {
    Slices out(1, Slice{kContinue, nullptr});
    auto asked = co_await write_out(std::move(out));
    if (!asked) co_return fail_body(asked.error().code(), asked.error().message());
  }
  continue_sent_ = true;
  while (true) {
    auto piece = take_body();
    if (!piece || !piece->empty() || decoder_.done()) co_return piece;
    if (phase_ != Phase::kAnswering) co_return fail_body(Code::kCancelled, "the connection was closed");
    if (end_of_input_) co_return fail_body(Code::kIo, "the client closed the connection within the request body");
    if (body_timed_out_) co_return fail_body(Code::kTimeout, "the request body did not arrive in time");
    if (!timer_.is_set(kBodyTimer) || body_bytes_ - body_bytes_timed_ >= kBodyProgress) {
      body_bytes_timed_ = body_bytes_;
      timer_.set(kBodyTimer, service_.limits.body_timeout);
    }
    body_ready_.reset();
    wake_.set();
    body_wanted_ = true;
    const bool woken = co_await body_ready_.wait(stop);
    body_wanted_ = false;
    if (!woken) co_return Error(Code::kCancelled, "stopped");
  }
}

// What has arrived of the body; empty when nothing has.
Result<std::string> Http1Connection::take_body() {
  std::string piece;
  while (!input_.empty() && !decoder_.done()) {
    const BodyDecoder::Step step = decoder_.next(input_.view());
    piece.append(step.data);
    input_.consume(step.consumed);
    if (decoder_.bad()) return fail_body(Code::kBadRequest, "malformed chunked request body");
  }
  body_bytes_ += piece.size();
  if (body_bytes_ > service_.limits.max_body_bytes) {
    return fail_body(Code::kTooLarge, cat("the request body is over ", service_.limits.max_body_bytes, " bytes"));
  }
  wake_.set();
  return piece;
}

}  // namespace

std::unique_ptr<HttpConnection> make_http1_connection(const HttpService& service, StreamPtr stream, InputBuffer input,
                                                      TlsPeer peer) {
  return std::make_unique<Http1Connection>(service, std::move(stream), std::move(input), std::move(peer));
}

}  // namespace kayak::io
