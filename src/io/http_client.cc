// http_client.cc: HTTP/1.1 requests to one server over kept-alive connections.
// Owns the connections; a response body holds its own until it was read to its end. The server is not trusted: heads,
// framing and interim responses are bounded, and what comes beyond a response ends the connection.
// Source: RFC 9110, RFC 9112.
#include <algorithm>

#include "base/strings.h"
#include "io/http_internal.h"
#include "io/http_parse.h"

namespace kayak::io {

namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kMaxFields = 200;
constexpr std::size_t kReadSize = 64 * 1024;
constexpr int kMaxInterim = 10;
// Servers close connections that idle; one this old is not worth the try.
constexpr std::uint64_t kMaxIdleMs = 60'000;
// A request that must not be sent twice only goes where the server has hardly had the time to hang up.
constexpr std::uint64_t kMaxIdleOnceMs = 1'000;

struct Connection {
  StreamPtr stream;
  InputBuffer input;
  std::uint64_t idle_since = 0;  // ms
  bool reused = false;
};
using ConnectionPtr = std::unique_ptr<Connection>;

// Shared with the bodies, which may outlive the client.
struct Pool {
  Pool(Loop& loop, std::size_t max_idle) : loop(loop), max_idle(max_idle) {}
  Loop& loop;
  std::size_t max_idle;
  bool closed = false;  // the client is gone
  std::vector<ConnectionPtr> idle;

  ConnectionPtr take(std::uint64_t max_idle_ms) {
    const std::uint64_t now = LazyTimer::now_ms(loop);
    std::erase_if(idle, [&](const ConnectionPtr& one) { return now - one->idle_since > kMaxIdleMs; });
    if (idle.empty() || now - idle.back()->idle_since > max_idle_ms) return nullptr;
    ConnectionPtr connection = std::move(idle.back());  // the youngest is the likeliest to be alive
    idle.pop_back();
    return connection;
  }
  void give_back(ConnectionPtr connection) {
    // Bytes that no request asked for would be taken for the next response.
    if (closed || !connection->input.empty() || max_idle == 0) return;
    connection->input.release();
    connection->idle_since = LazyTimer::now_ms(loop);
    connection->reused = true;
    if (idle.size() >= max_idle) idle.erase(idle.begin());
    idle.push_back(std::move(connection));
  }
};

class ResponseBody final : public HttpBody {
 public:
  ResponseBody(std::shared_ptr<Pool> pool, ConnectionPtr connection, const ResponseHead& head, Duration timeout)
      : pool_(std::move(pool)),
        connection_(std::move(connection)),
        decoder_(head.framing, head.length),
        keep_alive_(head.keep_alive),
        timeout_(timeout) {
    end_if_done();
  }

  Task<Result<std::string>> read(StopToken stop) override {
    if (failure_) co_return *failure_;
    while (connection_) {
      std::string piece = take();
      if (decoder_.bad()) co_return fail(Code::kIo, "the response has malformed chunks");
      end_if_done();
      if (!piece.empty()) co_return piece;
      if (!connection_) break;
      auto got = co_await fill(stop);
      if (!got) co_return got.error();
      if (*got > 0) continue;
      if (decoder_.framing() != BodyFraming::kToEnd) {
        co_return fail(Code::kIo, "the server closed the connection within the response");
      }
      connection_.reset();
    }
    co_return std::string();
  }

 private:
  std::string take() {
    std::string piece;
    InputBuffer& input = connection_->input;
    while (!input.empty() && !decoder_.done()) {
      const BodyDecoder::Step step = decoder_.next(input.view());
      piece.append(step.data);
      input.consume(step.consumed);
      if (decoder_.bad()) break;
    }
    return piece;
  }

  // Reads once; 0 at the end of the stream.
  Task<Result<std::size_t>> fill(StopToken stop) {
    std::optional<Deadline> deadline;
    if (timeout_.count() > 0) {
      deadline.emplace(pool_->loop, timeout_, stop);
      stop = deadline->token();
    }
    auto got = co_await connection_->stream->read(connection_->input.room(kReadSize, kReadSize), stop);
    if (got) {
      connection_->input.commit(*got);
      co_return *got;
    }
    if (deadline && deadline->expired()) co_return fail(Code::kTimeout, "the response stopped coming");
    if (got.error().code() == Code::kCancelled) co_return got.error();
    co_return fail(got.error().code(), got.error().message());
  }

  void end_if_done() {
    if (!connection_ || !decoder_.done()) return;
    if (keep_alive_) pool_->give_back(std::move(connection_));
    connection_.reset();
  }

  Error fail(Code code, std::string_view message) {
    failure_ = Error(code, std::string(message));
    connection_.reset();
    return *failure_;
  }

  std::shared_ptr<Pool> pool_;
  ConnectionPtr connection_;  // null when the body was read to its end, or failed
  BodyDecoder decoder_;
  bool keep_alive_;
  Duration timeout_;
  std::optional<Error> failure_;
};

bool is_idempotent(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

// Nothing of a request may end its first line early: callers build paths from names that others chose.
Result<void> check_request(const HttpClientRequest& request) {
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7f; };
  const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-'; };
  if (request.method.empty() || !std::all_of(request.method.begin(), request.method.end(), is_letter)) {
    return Error(Code::kInvalid, cat("HTTP method ", quote(request.method), " is malformed"));
  }
  if (!request.path.starts_with('/') || !std::all_of(request.path.begin(), request.path.end(), is_visible)) {
    return Error(Code::kInvalid, cat("HTTP path ", quote(request.path), " is malformed"));
  }
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), [&](char c) { return is_visible(c) && c != ':'; })) {
      return Error(Code::kInvalid, cat("HTTP header name ", quote(name), " is malformed"));
    }
  }
  return Result<void>();
}

class Client final : public HttpClient {
 public:
  Client(Context context, HttpTarget target, std::size_t max_idle)
      : context_(std::move(context)),
        target_(std::move(target)),
        pool_(std::make_shared<Pool>(context_.loop, max_idle)) {
    if (target_.tls) target_.tls->alpn.assign(1, "http/1.1");
  }
  ~Client() override {
    pool_->closed = true;
    pool_->idle.clear();
  }

  Task<Result<HttpClientResponse>> request(HttpClientRequest request, StopToken stop) override {
    if (auto fine = check_request(request); !fine) co_return fine.error();
    Deadline deadline(context_.loop, request.header_timeout, stop);
    const bool idempotent = is_idempotent(request.method);
    ConnectionPtr connection = pool_->take(idempotent ? kMaxIdleMs : kMaxIdleOnceMs);
    if (connection) {
      bool answered = false;
      auto response = co_await exchange(std::move(connection), request, deadline, &answered);
      const bool dead = !response && !answered && !deadline.token().stopped();
      if (!dead || !idempotent) co_return response;
    }
    auto fresh = co_await connect(deadline);
    if (!fresh) co_return fresh.error();
    bool answered = false;
    co_return co_await exchange(std::move(*fresh), request, deadline, &answered);
  }

 private:
  std::string where() const {
    return target_.unix_path.empty() ? Endpoint{target_.host, target_.port}.to_string() : target_.unix_path;
  }

  Task<Result<ConnectionPtr>> connect(const Deadline& deadline) {
    Result<StreamPtr> stream = StreamPtr();
    if (target_.unix_path.empty()) {
      stream = co_await connect_host(context_, target_.host, target_.port, deadline.token());
    } else {
      stream = co_await connect_unix(context_, target_.unix_path, deadline.token());
    }
    if (stream && target_.tls) {
      auto secured = co_await tls_connect(context_, std::move(*stream), *target_.tls, deadline.token());
      if (secured) {
        stream = StreamPtr(std::move(*secured));
      } else {
        stream = secured.error();
      }
    }
    if (!stream) {
      if (deadline.token().stopped()) co_return deadline.error(cat("connecting to ", where()));
      const Code code = stream.error().code();
      const bool said_why = code == Code::kUnauthorized || code == Code::kTimeout || code == Code::kInvalid;
      co_return Error(said_why ? code : Code::kUnavailable,
                      cat("connecting to ", where(), ": ", stream.error().message()));
    }
    auto connection = std::make_unique<Connection>();
    connection->stream = std::move(*stream);
    co_return connection;
  }

  std::string build_head(const HttpClientRequest& request) const {
    std::string head = cat(request.method, " ", request.path, " HTTP/1.1\r\n");
    const bool is_address6 = target_.host.find(':') != std::string::npos;
    std::string host = is_address6 ? cat("[", target_.host, "]") : target_.host;
    if (target_.unix_path.empty() && target_.port != (target_.tls ? 443 : 80)) host += cat(":", target_.port);
    append_field(&head, "Host", host);
    for (const auto& [name, value] : request.headers) {
      const bool ours = iequals(name, "host") || iequals(name, "content-length") || iequals(name, "connection") ||
                        iequals(name, "transfer-encoding");
      if (!ours) append_field(&head, name, value);
    }
    const std::size_t size = total_size(request.body);
    const bool has_body_by_nature = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    if (size > 0 || has_body_by_nature) append_field(&head, "Content-Length", std::to_string(size));
    return head.append("\r\n");
  }

  // `*answered` is set when the server said anything at all: then the request is not repeated.
  Task<Result<HttpClientResponse>> exchange(ConnectionPtr connection, const HttpClientRequest& request,
                                            const Deadline& deadline, bool* answered) {
    const std::string head = build_head(request);
    Slices out;
    out.reserve(request.body.size() + 1);
    out.push_back(Slice{head, nullptr});
    out.insert(out.end(), request.body.begin(), request.body.end());
    auto written = co_await connection->stream->write(std::move(out), deadline.token());
    if (!written && deadline.token().stopped()) co_return deadline.error(cat("sending the request to ", where()));
    // Even when the request could not be sent whole, the server may have said why it took no more.
    HttpClientResponse response;
    auto parsed = co_await read_head(*connection, request.method, deadline, &response.headers, answered);
    if (!parsed) {
      if (!written && !*answered) co_return written.error().while_doing(cat("sending the request to ", where()));
      co_return parsed.error().while_doing(cat("response of ", where()));
    }
    if (!written) parsed->keep_alive = false;
    response.status = parsed->status;
    response.body = std::make_unique<ResponseBody>(pool_, std::move(connection), *parsed, request.body_timeout);
    co_return response;
  }

  Task<Result<ResponseHead>> read_head(Connection& connection, std::string_view method, const Deadline& deadline,
                                       Headers* headers, bool* answered) {
    HeadScanner scanner(kMaxHead, kMaxFields);
    for (int interim = 0;;) {
      switch (scanner.scan(connection.input.view())) {
        case HeadScanner::Found::kBad:
          co_return Error(Code::kIo, "malformed HTTP response head");
        case HeadScanner::Found::kTooLarge:
        case HeadScanner::Found::kLineTooLong:
          co_return Error(Code::kIo, "the HTTP response head is too large");
        case HeadScanner::Found::kEnd: {
          auto head = parse_response_head(connection.input.view().substr(0, scanner.size()), method, headers);
          connection.input.consume(scanner.size());
          scanner.reset();
          if (!head || head->status >= 200) co_return head;
          if (head->status == 101) co_return Error(Code::kIo, "the server switched protocols unasked");
          if (++interim > kMaxInterim) co_return Error(Code::kIo, "too many interim HTTP responses");
          continue;
        }
        case HeadScanner::Found::kMore:
          break;
      }
      auto got = co_await connection.stream->read(connection.input.room(kMaxHead, 8 * 1024), deadline.token());
      if (!got && deadline.token().stopped()) co_return deadline.error("waiting for the HTTP response");
      if (!got) co_return got.error();
      if (*got == 0) co_return Error(Code::kIo, "the server closed the connection before it answered");
      *answered = true;
      connection.input.commit(*got);
    }
  }

  Context context_;
  HttpTarget target_;
  std::shared_ptr<Pool> pool_;
};

}  // namespace

std::unique_ptr<HttpClient> HttpClient::create(Context context, HttpTarget target, std::size_t max_idle) {
  return std::make_unique<Client>(std::move(context), std::move(target), max_idle);
}

}  // namespace kayak::io
