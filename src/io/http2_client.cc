// http2_client.cc: one HTTP/2 connection on nghttp2, seen from the client.
// Owns the byte stream, the nghttp2 session and the streams; a call that its user drops stays with the connection until
// nghttp2 has closed its stream. The server is not trusted: unread bodies are bounded by the windows, heads by limits,
// control frames by rates.
// Source: RFC 9113.
#include "io/http2_client.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "base/strings.h"
#include "io/http2_session.h"

namespace kayak::io {

namespace {

// What may wait unread in response bodies, per stream and per connection (the flow-control windows).
constexpr std::int32_t kStreamWindow = 256 * 1024;
constexpr std::int32_t kConnectionWindow = 1024 * 1024;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr int kMaxInterim = 10;
// Until the server has said how many it takes at once: the first request need not wait, more might be refused.
constexpr std::size_t kStreamsBeforeSettings = 1;
constexpr std::size_t kMaxQueuedFrames = 10'000;

enum TimerSlot { kPingTimer, kWriteTimer, kEndTimer };

class Connection;

// One request, held by its call and, until nghttp2 has closed it, by the connection.
class ClientStream {
 public:
  explicit ClientStream(std::size_t max_body) : max_body_(max_body) {}

  Task<Result<void>> send(std::optional<Slices> data);
  Task<Result<int>> status();
  Task<Result<std::string>> read(StopToken stop);
  void limit(Loop& loop, Duration timeout, const StopToken& stop);
  const StopToken& stop() const { return stop_; }
  Error stop_error() const;
  void abandon();  // nobody looks any more
  // The end as nghttp2 or the connection sees it. Without a failure the response must be complete.
  void close(std::optional<Error> failure);

 private:
  friend class Connection;
  friend class Call;
  // Ends it from our side.
  void abort(Error error);
  Error fail(Error error);
  void drop_input();

  Connection* connection_ = nullptr;  // null when nghttp2 knows it no more
  std::int32_t id_ = 0;
  std::size_t max_body_;
  std::optional<Deadline> deadline_;
  StopToken stop_;
  StopCallback on_stop_;
  std::optional<Error> failure_;
  bool sent_ = false;  // its head is on its way
  bool streams_body_ = false;
  bool may_be_silent_ = false;
  OutputBody out_;

  int status_ = 0;  // of the head that arrives
  bool head_done_ = false;
  int interim_ = 0;
  std::size_t block_bytes_ = 0;
  Headers headers_, trailers_;
  std::string in_;
  std::size_t in_total_ = 0;
  bool in_ended_ = false;
  Event in_ready_;  // head, body, end or failure
};
using ClientStreamPtr = std::shared_ptr<ClientStream>;

class Call final : public Http2Call, public HttpBody {
 public:
  explicit Call(ClientStreamPtr stream) : stream_(std::move(stream)) {}
  ~Call() override { stream_->abandon(); }
  Task<Result<void>> write(Slices data) override {
    std::optional<Slices> some(std::move(data));
    co_return co_await stream_->send(std::move(some));
  }
  Task<Result<void>> finish() override {
    std::optional<Slices> none;
    co_return co_await stream_->send(std::move(none));
  }
  Task<Result<int>> status() override { return stream_->status(); }
  const Headers& headers() const override { return stream_->headers_; }
  HttpBody& body() override { return *this; }
  const Headers& trailers() const override { return stream_->trailers_; }
  Task<Result<std::string>> read(StopToken stop) override { return stream_->read(std::move(stop)); }

 private:
  ClientStreamPtr stream_;
};

class Connection final : public Http2Client {
 public:
  Connection(Context context, StreamPtr stream, Http2ClientOptions options);
  ~Connection() override;
  Task<Result<void>> run(StopToken stop) override;
  Task<Result<std::unique_ptr<Http2Call>>> open(Http2Request request, StopToken stop) override;
  bool usable() const override;

 private:
  friend class ClientStream;
  friend nghttp2_session* make_http2_session<Connection>(Connection& connection, bool server, bool any_authority);
  struct Place;  // in the queue for a stream
  Result<void> submit(const ClientStreamPtr& stream, Http2Request request);
  bool has_place() const;
  void wake_next();
  void feed();
  void make_frames();
  bool is_done() const;
  Task<void> write_frames();
  void reset(std::int32_t id);
  void end(std::uint32_t error, Error why);
  void close();
  void close_streams();
  void on_due(int slot);
  void heard();
  void expect_answer();
  bool something_is_under_way() const;
  Error end_error() const;

  // nghttp2's callbacks: see make_http2_session.
  FrameBatch& batch() { return batch_; }
  ClientStream* find(std::int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
  }
  int on_begin_frame(const nghttp2_frame_hd& hd);
  int on_begin_headers(const nghttp2_frame& frame);
  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int on_frame(const nghttp2_frame& frame);
  void on_head(ClientStream& stream);
  int on_data(std::int32_t id, std::string_view data);
  int on_stream_close(std::int32_t id, std::uint32_t code);
  int on_frame_sent(const nghttp2_frame& frame);
  int on_frame_not_sent(const nghttp2_frame& frame);
  int take_data(std::int32_t, OutputBody& output, std::string_view frame_header, std::size_t length) {
    output.move_to(&batch_, frame_header, length);
    expect_answer();
    return 0;
  }

  Context context_;
  StreamPtr stream_;
  Http2ClientOptions options_;
  LazyTimer timer_;
  InputBuffer input_;
  TaskScope scope_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, ClientStreamPtr> streams_;
  std::deque<Place*> waiting_;
  FrameBatch batch_;
  Event batch_ready_;
  Allowance control_frames_{1000, 100};
  std::string_view violation_;
  bool settings_seen_ = false;
  bool in_nghttp2_ = false;
  bool pinged_ = false;         // and nothing heard since
  bool data_unheard_ = false;   // data was sent, and nothing heard since
  std::size_t waited_for_ = 0;  // of streams_, those whose answer is waited for
  bool goaway_seen_ = false;
  bool ending_ = false;  // no more is read or begun; what is queued goes out
  bool closed_ = false;
  std::optional<Error> why_;  // it ended, unless in order
};

// ---- one request

void ClientStream::limit(Loop& loop, Duration timeout, const StopToken& stop) {
  stop_ = stop;
  if (timeout > Duration::zero()) {
    deadline_.emplace(loop, timeout, stop);
    stop_ = deadline_->token();
  }
}

Error ClientStream::stop_error() const {
  if (deadline_) return deadline_->error("HTTP/2 request");
  return Error(Code::kCancelled, "HTTP/2 request: stopped");
}

Error ClientStream::fail(Error error) {
  if (!failure_) failure_ = std::move(error);
  in_ready_.set();
  out_.moved().set();
  return *failure_;
}

void ClientStream::drop_input() {
  if (connection_ != nullptr && !in_.empty()) nghttp2_session_consume(connection_->session_, id_, in_.size());
  in_.clear();
}

void ClientStream::abort(Error error) {
  if (failure_ || (in_ended_ && out_.all_taken() && out_.ended())) return;
  fail(std::move(error));
  if (connection_ == nullptr) return;
  drop_input();
  connection_->reset(id_);
}

void ClientStream::abandon() {
  on_stop_.reset();
  if (connection_ == nullptr) return;
  drop_input();
  const bool complete = in_ended_ && out_.ended() && out_.all_taken();
  if (!failure_ && !complete) fail(Error(Code::kCancelled, "dropped"));
  Connection* connection = connection_;
  if (!complete) nghttp2_submit_rst_stream(connection->session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
  connection->make_frames();
}

void ClientStream::close(std::optional<Error> failure) {
  on_stop_.reset();
  if (failure) fail(std::move(*failure));
  connection_ = nullptr;
  out_.clear();
  in_ready_.set();
  out_.moved().set();
}

// Sends `data`, or the end.
Task<Result<void>> ClientStream::send(std::optional<Slices> data) {
  ASSERT(streams_body_ && !out_.ended());
  const std::size_t size = data ? total_size(*data) : 0;
  if (data && size == 0) co_return Result<void>();
  const bool ends = !data;
  if (!failure_ && connection_ != nullptr) {
    if (ends) {
      out_.end();
    } else {
      out_.put(std::move(*data), size);
    }
    if (out_.take_deferred()) nghttp2_session_resume_data(connection_->session_, id_);
    connection_->make_frames();
    while (connection_ != nullptr && !failure_ && !out_.all_taken()) {
      out_.moved().reset();
      co_await out_.moved().wait();
    }
    if (!failure_ && out_.all_taken()) co_return Result<void>();
  }
  if (failure_) co_return *failure_;
  // The response is complete already (RFC 9113 8.1): for an end that makes no difference.
  if (ends) co_return Result<void>();
  co_return Error(Code::kIo, "the server has answered without the rest of the request");
}

Task<Result<int>> ClientStream::status() {
  while (!head_done_) {
    if (failure_) co_return *failure_;
    in_ready_.reset();
    co_await in_ready_.wait();
  }
  co_return status_;
}

Task<Result<std::string>> ClientStream::read(StopToken stop) {
  while (true) {
    if (!in_.empty()) {
      std::string piece = std::exchange(in_, std::string());
      if (connection_ != nullptr) {
        nghttp2_session_consume(connection_->session_, id_, piece.size());
        connection_->make_frames();
      }
      co_return piece;
    }
    if (in_ended_) co_return std::string();
    if (failure_) co_return *failure_;
    in_ready_.reset();
    const bool woken = co_await in_ready_.wait(stop);
    if (!woken) co_return Error(Code::kCancelled, "stopped");
  }
}

// ---- nghttp2's callbacks

int Connection::on_begin_frame(const nghttp2_frame_hd& hd) {
  // As in the server: what costs the peer nothing and us something is counted; data and heads earn some.
  constexpr int kPerHead = 2;
  if (hd.type == NGHTTP2_HEADERS) {
    control_frames_.give(kPerHead);
    return 0;
  }
  if (hd.type == NGHTTP2_DATA && (hd.length > 0 || (hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)) return 0;
  if (!control_frames_.take(LazyTimer::now_ms(context_.loop))) violation_ = "the server sends too many control frames";
  // nghttp2 refuses pushes only when the server has acknowledged that we take none.
  if (hd.type == NGHTTP2_PUSH_PROMISE) violation_ = "the server pushes responses that nobody asked for";
  return 0;
}

int Connection::on_begin_headers(const nghttp2_frame& frame) {
  ClientStream* stream = find(frame.hd.stream_id);
  if (stream != nullptr && frame.hd.type == NGHTTP2_HEADERS) stream->block_bytes_ = 0;
  return 0;
}

int Connection::on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  ClientStream* stream = find(frame.hd.stream_id);
  if (stream == nullptr || stream->failure_ || frame.hd.type != NGHTTP2_HEADERS) return 0;
  Headers& fields = stream->head_done_ ? stream->trailers_ : stream->headers_;
  constexpr std::size_t kFieldOverhead = 32;
  stream->block_bytes_ += name.size() + value.size() + kFieldOverhead;
  if (stream->block_bytes_ > options_.max_header_bytes || fields.size() >= options_.max_headers) {
    stream->abort(Error(Code::kTooLarge, "the response's headers are too large"));
    return 0;
  }
  if (name == ":status") {
    stream->status_ = 0;
    for (const char c : value) stream->status_ = stream->status_ * 10 + (c - '0');  // nghttp2 saw to three digits
  } else if (!name.starts_with(':')) {
    fields.add(name, value);
  }
  return 0;
}

void Connection::on_head(ClientStream& stream) {
  if (stream.head_done_ || stream.failure_) return;
  if (stream.status_ < 200) {
    stream.headers_.clear();
    if (++stream.interim_ > kMaxInterim) stream.abort(Error(Code::kIo, "too many interim HTTP responses"));
    return;
  }
  stream.head_done_ = true;
}

int Connection::on_frame(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_SETTINGS) {
    settings_seen_ = true;
    wake_next();
  }
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    // nghttp2 closes the streams that the server has not begun with: see on_stream_close.
    goaway_seen_ = true;
    if (frame.goaway.error_code != NGHTTP2_NO_ERROR && !why_) {
      why_ =
          Error(Code::kIo, cat("the server ended the connection: ", nghttp2_http2_strerror(frame.goaway.error_code)));
    }
    wake_next();
  }
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
  ClientStream* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if (frame.hd.type == NGHTTP2_HEADERS) on_head(*stream);
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !stream->failure_) {
    if (stream->head_done_) {
      stream->in_ended_ = true;
      // The rest of the request is not needed (RFC 9113 8.1): whoever writes it is told so by the stream's end.
      const bool still_sending = !stream->out_.ended() || !stream->out_.all_taken();
      if (still_sending) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_CANCEL);
    } else {
      stream->abort(Error(Code::kIo, "the response ended before its head"));
    }
  }
  stream->in_ready_.set();
  return 0;
}

int Connection::on_data(std::int32_t id, std::string_view data) {
  ClientStream* stream = find(id);
  if (stream == nullptr || stream->failure_) {
    nghttp2_session_consume(session_, id, data.size());
    return 0;
  }
  stream->in_total_ += data.size();
  if (stream->max_body_ != 0 && stream->in_total_ > stream->max_body_) {
    nghttp2_session_consume(session_, id, data.size());
    stream->abort(Error(Code::kTooLarge, cat("the response is over ", stream->max_body_, " bytes")));
    return 0;
  }
  stream->in_.append(data);
  stream->in_ready_.set();
  return 0;
}

int Connection::on_stream_close(std::int32_t id, std::uint32_t code) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return 0;
  const ClientStreamPtr stream = found->second;
  streams_.erase(found);
  if (!stream->may_be_silent_) --waited_for_;
  std::optional<Error> failure;
  if (!stream->in_ended_) {
    const bool untouched = code == NGHTTP2_REFUSED_STREAM && stream->interim_ == 0 && !stream->head_done_;
    failure = untouched ? Error(Code::kUnavailable, "the server did not begin with the request")
                        : Error(Code::kIo, cat("the stream was reset: ", nghttp2_http2_strerror(code)));
  }
  // Its unread body no longer counts against the connection: each is bounded by the stream's own window.
  nghttp2_session_consume_connection(session_, stream->in_.size());
  stream->close(std::move(failure));
  wake_next();
  return 0;
}

int Connection::on_frame_sent(const nghttp2_frame& frame) {
  constexpr int kPerDataFrame = 10;  // the server answers data with window updates
  if (frame.hd.type == NGHTTP2_DATA) control_frames_.give(kPerDataFrame);
  if (frame.hd.type == NGHTTP2_HEADERS) {
    if (ClientStream* stream = find(frame.hd.stream_id)) stream->sent_ = true;
  }
  if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR && !why_) {
    why_ = Error(Code::kIo, cat("the server broke HTTP/2: ", nghttp2_http2_strerror(frame.goaway.error_code)));
  }
  return 0;
}

int Connection::on_frame_not_sent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return 0;
  return on_stream_close(frame.hd.stream_id, NGHTTP2_REFUSED_STREAM);
}

// ---- requests

// Its owner waits in open(); the first in the queue is the next to go.
struct Connection::Place {
  explicit Place(Connection& connection) : connection(connection) { connection.waiting_.push_back(this); }
  Place(const Place&) = delete;
  ~Place() {
    std::erase(connection.waiting_, this);
    connection.wake_next();
  }
  bool is_next() const { return connection.waiting_.front() == this && connection.has_place(); }
  Connection& connection;
  Event ready;
};

bool Connection::usable() const {
  return !ending_ && !closed_ && !goaway_seen_ && nghttp2_session_check_request_allowed(session_) != 0;
}

bool Connection::has_place() const {
  std::size_t limit = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  if (!settings_seen_) limit = std::min(limit, kStreamsBeforeSettings);
  return streams_.size() < std::min(limit, options_.max_streams);
}

void Connection::wake_next() {
  if (!waiting_.empty() && (has_place() || !usable())) waiting_.front()->ready.set();
}

namespace {
bool is_visible(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}
Result<void> check_request(const Http2Request& request) {
  if (!is_visible(request.method) || !is_visible(request.scheme) || !is_visible(request.authority)) {
    return Error(Code::kInvalid, "HTTP/2 request: malformed method, scheme or authority");
  }
  if (!is_visible(request.path) || !request.path.starts_with('/')) {
    return Error(Code::kInvalid, cat("HTTP/2 request: path ", quote(request.path), " is malformed"));
  }
  for (const auto& [name, value] : request.headers) {
    if (!is_visible(name) || name.find(':') != name.npos) {
      return Error(Code::kInvalid, cat("HTTP/2 request: header name ", quote(name), " is malformed"));
    }
  }
  return Result<void>();
}
}  // namespace

Task<Result<std::unique_ptr<Http2Call>>> Connection::open(Http2Request request, StopToken stop) {
  if (auto fine = check_request(request); !fine) co_return fine.error();
  auto stream = std::make_shared<ClientStream>(request.max_body_bytes);
  stream->limit(context_.loop, request.timeout, stop);
  {
    Place place(*this);
    while (usable() && !place.is_next()) {
      place.ready.reset();
      const bool woken = co_await place.ready.wait(stream->stop());
      if (!woken) co_return stream->stop_error();
    }
    if (!usable()) {
      const std::string why = why_ ? why_->message() : "it was ended";
      co_return Error(Code::kUnavailable, cat("the HTTP/2 connection takes no more requests: ", why));
    }
    if (stream->stop().stopped()) co_return stream->stop_error();
    if (auto sent = submit(stream, std::move(request)); !sent) co_return sent.error();
  }
  make_frames();
  auto call = std::make_unique<Call>(std::move(stream));
  co_return std::unique_ptr<Http2Call>(std::move(call));
}

Result<void> Connection::submit(const ClientStreamPtr& stream, Http2Request request) {
  const std::size_t size = total_size(request.body);
  const bool with_body = request.streams_body || size > 0;
  const std::string length = std::to_string(size);
  Http2Fields fields(request.headers);
  fields.add(":method", request.method);
  fields.add(":scheme", request.scheme);
  fields.add(":authority", request.authority);
  fields.add(":path", request.path);
  for (const auto& [name, value] : request.headers) {
    if (!iequals(name, "host") && !iequals(name, "te")) fields.add_from(name, value);
    if (iequals(name, "te") && iequals(value, "trailers")) fields.add_from(name, value);  // RFC 9113 8.2.2
  }
  if (size > 0 && !request.streams_body) fields.add("content-length", length);
  stream->streams_body_ = request.streams_body;
  stream->may_be_silent_ = request.may_be_silent;
  if (size > 0) stream->out_.put(std::move(request.body), size);
  if (!with_body) {
    stream->out_.end_untaken();
  } else if (!request.streams_body) {
    stream->out_.end();
  }
  const nghttp2_data_provider provider = stream->out_.provider();
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), with_body ? &provider : nullptr, nullptr);
  if (id < 0) return Error(Code::kUnavailable, cat("HTTP/2 request: ", nghttp2_strerror(id)));
  stream->id_ = id;
  stream->connection_ = this;
  if (streams_.empty()) heard();
  streams_[id] = stream;
  if (!stream->may_be_silent_ && ++waited_for_ == 1) expect_answer();
  ClientStream* raw = stream.get();
  stream->on_stop_ = StopCallback(stream->stop_, [raw] { raw->abort(raw->stop_error()); });
  return Result<void>();
}

void Connection::reset(std::int32_t id) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  make_frames();
}

// ---- the connection

Connection::Connection(Context context, StreamPtr stream, Http2ClientOptions options)
    : context_(std::move(context)),
      stream_(std::move(stream)),
      options_(options),
      timer_(context_.loop, [this](int slot) { on_due(slot); }) {
  session_ = make_http2_session(*this, false, false);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options_.max_header_bytes)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

Connection::~Connection() {
  ASSERT(waiting_.empty());
  close();
  nghttp2_session_del(session_);
}

Task<Result<void>> Connection::run(StopToken stop) {
  StopCallback on_stop(stop, [this] { end(NGHTTP2_NO_ERROR, Error(Code::kCancelled, "stopped")); });
  scope_.spawn(write_frames());
  make_frames();
  while (!closed_) {
    if (input_.empty()) {
      input_.release();
      auto readable = co_await stream_->wait_readable();
      if (!readable) break;
    }
    auto got = co_await stream_->read(input_.room(kReadSize, kReadSize));
    if (!got || *got == 0) {
      if (!why_ && !ending_ && !goaway_seen_) {
        const std::string reason = got ? std::string("the server closed the connection") : got.error().message();
        why_ = Error(Code::kIo, reason);
      }
      break;
    }
    input_.commit(*got);
    feed();
  }
  on_stop.reset();
  close();
  (void)co_await scope_.join();
  if (why_ && why_->code() != Code::kCancelled) co_return *why_;
  co_return Result<void>();
}

void Connection::heard() {
  pinged_ = data_unheard_ = false;
  if (!ending_ && options_.ping_after > Duration::zero()) timer_.set(kPingTimer, options_.ping_after);
}

// The timer may have run out while there was nothing to wait for.
void Connection::expect_answer() {
  data_unheard_ = true;
  const bool pings = !ending_ && options_.ping_after > Duration::zero();
  if (pings && !timer_.is_set(kPingTimer)) timer_.set(kPingTimer, options_.ping_after);
}

bool Connection::something_is_under_way() const { return waited_for_ > 0 || data_unheard_; }

void Connection::feed() {
  const std::string_view bytes = input_.view();
  if (!ending_) {
    in_nghttp2_ = true;
    const ssize_t used =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    in_nghttp2_ = false;
    heard();
    if (used < 0) {
      end(NGHTTP2_PROTOCOL_ERROR,
          Error(Code::kIo, cat("the server broke HTTP/2: ", nghttp2_strerror(static_cast<int>(used)))));
    } else if (!violation_.empty()) {
      end(NGHTTP2_ENHANCE_YOUR_CALM, Error(Code::kIo, std::string(violation_)));
    } else if (nghttp2_session_get_outbound_queue_size(session_) > kMaxQueuedFrames) {
      end(NGHTTP2_ENHANCE_YOUR_CALM, Error(Code::kIo, "the server reads no answers"));
    }
  }
  input_.consume(bytes.size());
  make_frames();
}

// Ends everything: the server is told why, which it may read or not.
void Connection::end(std::uint32_t error, Error why) {
  if (ending_ || closed_) return;
  if (!why_) why_ = std::move(why);
  nghttp2_session_terminate_session(session_, error);
  make_frames();
  ending_ = true;
  timer_.set(kEndTimer, kLinger);
  close_streams();
  batch_ready_.set();
}

void Connection::make_frames() {
  if (ending_ || in_nghttp2_) return;
  in_nghttp2_ = true;
  const int rc = batch_.full() ? 0 : nghttp2_session_send(session_);
  in_nghttp2_ = false;
  if (rc != 0) {
    if (!why_) why_ = Error(Code::kIo, cat("HTTP/2: ", nghttp2_strerror(rc)));
    close();
    return;
  }
  if (!batch_.empty() || is_done()) batch_ready_.set();
}

bool Connection::is_done() const {
  if (!batch_.empty()) return false;
  return ending_ || (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

Task<void> Connection::write_frames() {
  while (!closed_) {
    if (batch_.empty()) {
      if (is_done()) break;
      batch_ready_.reset();
      co_await batch_ready_.wait();
      continue;
    }
    timer_.set(kWriteTimer, options_.write_timeout);
    auto written = co_await stream_->write(batch_.take());
    timer_.clear(kWriteTimer);
    if (!written) {
      if (!why_) why_ = Error(Code::kIo, written.error().message());
      close();
      co_return;
    }
    make_frames();
  }
  if (closed_) co_return;
  // Both sides have said all they will: what the server still sends is dropped until it closes.
  ending_ = true;
  close_streams();
  timer_.set(kEndTimer, kLinger);
  auto shut = co_await stream_->shutdown();
  if (!shut) close();
}

Error Connection::end_error() const { return why_ ? *why_ : Error(Code::kIo, "the connection was ended"); }

void Connection::close_streams() {
  const Error error = end_error();
  waited_for_ = 0;
  for (auto& [id, stream] : std::exchange(streams_, {})) {
    std::optional<Error> failure;
    if (!stream->in_ended_) {
      const bool unsent = !stream->sent_ && error.code() != Code::kCancelled;
      failure = Error(unsent ? Code::kUnavailable : error.code(), error.message());
    }
    stream->close(std::move(failure));
  }
  for (Place* place : waiting_) place->ready.set();
  // nghttp2 is not called any more, so what it knows of these streams is not used.
}

void Connection::close() {
  if (closed_) return;
  closed_ = ending_ = true;
  stream_->close();
  close_streams();
  batch_ready_.set();
}

void Connection::on_due(int slot) {
  if (slot == kPingTimer) {
    if (!something_is_under_way() || ending_) return;  // the next request or its data sets it again
    if (pinged_) {
      if (!why_) why_ = Error(Code::kTimeout, "the server does not answer a ping");
      close();
      return;
    }
    pinged_ = true;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    timer_.set(kPingTimer, options_.ping_timeout);
    make_frames();
    return;
  }
  if (slot == kWriteTimer && !why_) why_ = Error(Code::kTimeout, "the server takes nothing");
  close();
}

}  // namespace

std::unique_ptr<Http2Client> Http2Client::create(Context context, StreamPtr stream, Http2ClientOptions options) {
  return std::make_unique<Connection>(std::move(context), std::move(stream), options);
}

}  // namespace kayak::io
