// grpc_server.cc: frames, routing and trailers; see grpc_server.h.
#include "io/grpc_server.h"

#include "base/strings.h"

namespace kayak::io {

namespace {

Slices framed(std::string message) {
  Slices data;
  data.push_back(Slice::of(grpc_prefix(message.size())));
  if (!message.empty()) data.push_back(Slice::of(std::move(message)));
  return data;
}

Headers answer_headers() {
  Headers headers;
  headers.add("content-type", "application/grpc");
  return headers;
}

Task<void> refuse(HttpExchange& exchange, int status, std::string_view why) {
  Headers headers;
  headers.add("content-type", "text/plain; charset=utf-8");
  headers.add("x-content-type-options", "nosniff");
  Slices body;
  body.push_back(Slice::of(cat(why, "\n")));
  (void)co_await exchange.send(status, std::move(headers), std::move(body));
}

}  // namespace

Error GrpcCall::broken(GrpcStatus::Code status, Code code, std::string message) {
  failure_ = GrpcStatus{status, message};
  return Error(code, std::move(message));
}

Task<Result<std::optional<std::string>>> GrpcCall::read(StopToken stop) {
  for (;;) {
    Result<std::optional<std::string>> message = in_.next();
    if (!message && message.error().code() == Code::kTooLarge) {
      co_return broken(GrpcStatus::Code::kResourceExhausted, Code::kTooLarge, message.error().message());
    }
    if (!message) co_return broken(GrpcStatus::Code::kUnimplemented, Code::kBadRequest, message.error().message());
    if (*message) co_return message;
    Result<std::string> piece = co_await exchange_.body().read(stop);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    in_.append(*piece);
  }
  if (!in_.empty()) {
    co_return broken(GrpcStatus::Code::kInternal, Code::kBadRequest, "grpc: the last message is cut off");
  }
  co_return std::optional<std::string>();
}

Task<Result<void>> GrpcCall::open() {
  if (std::exchange(opened_, true)) co_return Result<void>();
  Headers headers = answer_headers();
  co_return co_await exchange_.start(200, std::move(headers));
}

Task<Result<void>> GrpcCall::write(std::string message) {
  while (writing_) {
    turn_.reset();
    co_await turn_.wait();
  }
  writing_ = true;
  Result<void> done = co_await open();
  if (done) {
    Slices data = framed(std::move(message));
    done = co_await exchange_.write(std::move(data));
  }
  writing_ = false;
  turn_.set();
  co_return done;
}

void GrpcRouter::add(std::string_view service, std::string_view method, GrpcMethod handler,
                     std::size_t max_message_bytes) {
  const std::size_t limit = max_message_bytes != 0 ? max_message_bytes : max_message_bytes_;
  services_[std::string(service)][std::string(method)] = Row{std::move(handler), limit};
}

Task<GrpcStatus> GrpcRouter::run(GrpcCall& call, std::string_view path) const {
  // "/package.Service/Method". The messages are those of grpc-go.
  const std::size_t slash = path.rfind('/');
  const std::string_view service = slash == 0 ? std::string_view() : path.substr(1, slash - 1);
  const std::string_view method = path.substr(slash + 1);
  if (gate_) {
    const GrpcStatus passed = gate_(call.request(), path);
    if (passed.code != GrpcStatus::Code::kOk) co_return passed;
  }
  const auto found = services_.find(service);
  if (found == services_.end()) {
    co_return GrpcStatus{GrpcStatus::Code::kUnimplemented, cat("unknown service ", service)};
  }
  const auto row = found->second.find(method);
  if (row == found->second.end()) {
    co_return GrpcStatus{GrpcStatus::Code::kUnimplemented, cat("unknown method ", method, " for service ", service)};
  }
  call.in_ = GrpcDecoder(row->second.max_message_bytes);  // nothing was read yet
  co_return co_await row->second.handler(call);
}

Task<void> GrpcRouter::serve(HttpExchange& exchange) const {
  const HttpRequest& request = exchange.request();
  const std::string_view type = request.headers.get("content-type");
  if (!request.http2) co_return co_await refuse(exchange, 505, "gRPC needs HTTP/2");
  if (request.method != "POST") co_return co_await refuse(exchange, 405, "gRPC calls are POST requests");
  constexpr std::string_view kGrpc = "application/grpc";
  const bool grpc = type.starts_with(kGrpc) &&
                    (type.size() == kGrpc.size() || type[kGrpc.size()] == '+' || type[kGrpc.size()] == ';');
  if (!grpc) co_return co_await refuse(exchange, 415, "gRPC calls are application/grpc");
  GrpcCall call(exchange, max_message_bytes_);
  GrpcStatus status = co_await run(call, request.path);
  if (call.failure_) status = *call.failure_;
  Headers trailers;
  trailers.add("grpc-status", std::to_string(static_cast<int>(status.code)));
  if (!status.message.empty()) trailers.add("grpc-message", encode_grpc_message(status.message));
  const bool answered = call.answer_ && status.code == GrpcStatus::Code::kOk;
  if (answered && !call.opened_) {
    Headers headers = answer_headers();
    Slices data = framed(std::move(*call.answer_));
    (void)co_await exchange.send_with(200, std::move(headers), std::move(data), std::move(trailers));
    co_return;
  }
  if (!call.opened_ && status.code != GrpcStatus::Code::kOk) {
    // "Trailers-Only": nobody may take the head of a call that is refused for the sign that it was accepted.
    Headers headers = answer_headers();
    for (const auto& [name, value] : trailers) headers.add(name, value);
    (void)co_await exchange.send(200, std::move(headers), Slices());
    co_return;
  }
  Result<void> begun = co_await call.open();
  if (begun && answered) begun = co_await call.write(std::move(*call.answer_));
  if (!begun) co_return;
  (void)co_await exchange.finish_with(std::move(trailers));
}

HttpLimits grpc_limits() {
  HttpLimits limits;
  limits.max_body_bytes = SIZE_MAX;  // of a call; GrpcCall bounds its messages
  limits.body_timeout = Duration::zero();
  limits.any_authority = true;
  return limits;
}

std::string encode_grpc_message(std::string_view message) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : message) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('%');
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

}  // namespace kayak::io
