// grpc.cc: see grpc.h.
#include "io/grpc.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/strings.h"
#include "io/http_internal.h"

namespace kayak::io {

namespace {

constexpr int kUnknown = 2;

struct CodeRow {
  std::string_view name;
  Code code;
};
// The index is gRPC's code.
constexpr std::array kCodes = {
    CodeRow{"OK", Code::kInternal},
    CodeRow{"CANCELLED", Code::kIo},  // by the server: kCancelled would mean our own stop token
    CodeRow{"UNKNOWN", Code::kInternal},
    CodeRow{"INVALID_ARGUMENT", Code::kInvalid},
    CodeRow{"DEADLINE_EXCEEDED", Code::kTimeout},
    CodeRow{"NOT_FOUND", Code::kNotFound},
    CodeRow{"ALREADY_EXISTS", Code::kAlreadyExists},
    CodeRow{"PERMISSION_DENIED", Code::kForbidden},
    CodeRow{"RESOURCE_EXHAUSTED", Code::kTooManyRequests},
    CodeRow{"FAILED_PRECONDITION", Code::kConflict},
    CodeRow{"ABORTED", Code::kConflict},
    CodeRow{"OUT_OF_RANGE", Code::kExpired},  // etcd: the revision was compacted
    CodeRow{"UNIMPLEMENTED", Code::kMethodNotAllowed},
    CodeRow{"INTERNAL", Code::kInternal},
    CodeRow{"UNAVAILABLE", Code::kUnavailable},
    CodeRow{"DATA_LOSS", Code::kCorrupt},
    CodeRow{"UNAUTHENTICATED", Code::kUnauthorized},
};

const CodeRow& row_of(int code) {
  const bool known = code >= 0 && static_cast<std::size_t>(code) < kCodes.size();
  return kCodes[known ? static_cast<std::size_t>(code) : kUnknown];
}

// As the specification asks, escapes that are none are kept as they are.
std::string decode_message(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* begin = text.data() + i + 1;
      const auto [end, error] = std::from_chars(begin, begin + 2, value, 16);
      if (error == std::errc() && end == begin + 2) {
        out.push_back(static_cast<char>(value));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

// At most eight digits and a unit.
std::string timeout_text(Duration timeout) {
  const auto ms = std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
  constexpr std::int64_t kMost = 99'999'999;
  if (ms <= kMost) return cat(ms, "m");
  return cat(std::min(ms / 1000, kMost), "S");
}

bool is_reserved(std::string_view name) {
  return iequals(name, "content-type") || iequals(name, "te") ||
         (name.size() >= 5 && iequals(name.substr(0, 5), "grpc-"));
}

}  // namespace

Error grpc_error(const GrpcClientStatus& status) {
  const CodeRow& row = row_of(status.code);
  return Error(row.code, cat("gRPC ", row.name, ": ", status.message));
}

std::optional<GrpcClientStatus> parse_grpc_status(const Headers& fields) {
  if (!fields.has("grpc-status")) return std::nullopt;
  const std::string_view text = fields.get("grpc-status");
  GrpcClientStatus status;
  status.message = decode_message(fields.get("grpc-message"));
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status.code);
  const bool fine = error == std::errc() && end == text.data() + text.size() && status.code >= 0 && !text.empty();
  if (!fine) {
    status.message = cat("the server's grpc-status is malformed: ", quote(text));
    status.code = kUnknown;
  }
  return status;
}

int grpc_code_of_http(int http_status) {
  constexpr int kInternalCode = 13, kUnauthenticated = 16, kDenied = 7, kUnimplemented = 12, kUnavailableCode = 14;
  switch (http_status) {
    case 400:
      return kInternalCode;
    case 401:
      return kUnauthenticated;
    case 403:
      return kDenied;
    case 404:
      return kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return kUnavailableCode;
    default:
      return kUnknown;
  }
}

Task<Result<std::unique_ptr<GrpcClientCall>>> GrpcClientCall::open(Http2Client& client, GrpcRequest request,
                                                                   StopToken stop) {
  Http2Request out;
  out.method = "POST";
  out.scheme = std::move(request.scheme);
  out.authority = std::move(request.authority);
  out.path = std::move(request.method);
  out.timeout = request.timeout;
  out.may_be_silent = request.may_be_silent;
  out.streams_body = true;
  out.max_body_bytes = 0;  // each message has its limit, and the window bounds what waits
  out.headers.add("te", "trailers");
  out.headers.add("content-type", "application/grpc");
  if (request.timeout > Duration::zero()) out.headers.add("grpc-timeout", timeout_text(request.timeout));
  for (const auto& [name, value] : request.metadata) {
    if (!is_reserved(name)) out.headers.add(name, value);
  }
  auto call = co_await client.open(std::move(out), stop);
  if (!call) co_return call.error();
  co_return std::unique_ptr<GrpcClientCall>(new GrpcClientCall(std::move(*call), request.max_message_bytes));
}

Task<Result<void>> GrpcClientCall::send(Slices message) {
  Slices data;
  data.reserve(message.size() + 1);
  data.push_back(Slice::of(grpc_prefix(total_size(message))));
  data.insert(data.end(), message.begin(), message.end());
  co_return co_await call_->write(std::move(data));
}

Task<Result<void>> GrpcClientCall::send_framed(Slices bytes) { co_return co_await call_->write(std::move(bytes)); }

Task<Result<void>> GrpcClientCall::accepted() {
  if (failure_) co_return *failure_;
  if (head_checked_) co_return Result<void>();
  auto fine = co_await check_head();
  if (!fine) failure_ = fine.error();
  co_return fine;
}

Task<Result<void>> GrpcClientCall::finish_sending() { co_return co_await call_->finish(); }

// Whether a gRPC server answers at all.
Task<Result<void>> GrpcClientCall::check_head() {
  auto http = co_await call_->status();
  if (!http) co_return http.error();
  head_checked_ = true;
  const std::string_view type = call_->headers().get("content-type");
  status_ = parse_grpc_status(call_->headers());  // "Trailers-Only": the call ends with its head
  const bool is_grpc = *http == 200 && type.starts_with("application/grpc");
  if (is_grpc && (!status_ || status_->code == 0)) co_return Result<void>();
  if (!status_) {
    status_ = GrpcClientStatus();
    status_->code = grpc_code_of_http(*http);
    status_->message = cat("no gRPC response: HTTP status ", *http, ", content type ", quote(type));
  }
  if (status_->code == 0) status_->code = kUnknown;
  co_return grpc_error(*status_);
}

// The response's end has come: what was its status?
Result<void> GrpcClientCall::ended() {
  status_ = parse_grpc_status(call_->trailers());
  if (!status_) status_ = parse_grpc_status(call_->headers());  // "Trailers-Only": one block for both
  if (!status_) return Error(Code::kIo, "gRPC: the response ended without a status");
  if (status_->code != 0) return grpc_error(*status_);
  if (!decoder_.empty()) return Error(Code::kIo, "gRPC: the response ended within a message");
  return Result<void>();
}

Task<Result<std::optional<std::string>>> GrpcClientCall::receive(StopToken stop) {
  if (failure_) co_return *failure_;
  if (auto fine = co_await accepted(); !fine) co_return fine.error();
  while (true) {
    auto message = decoder_.next();
    if (!message) failure_ = message.error();
    if (!message || *message) co_return message;
    auto piece = co_await call_->body().read(stop);
    if (!piece) co_return piece.error();  // said again by the next read, unless `stop` alone ended this one
    if (piece->empty()) {
      auto end = ended();
      if (!end) failure_ = end.error();
      if (!end) co_return *failure_;
      co_return std::optional<std::string>();
    }
    decoder_.append(*piece);
  }
}

Task<Result<std::string>> grpc_unary(Http2Client& client, GrpcRequest request, std::string message, StopToken stop) {
  auto call = co_await GrpcClientCall::open(client, std::move(request), stop);
  if (!call) co_return call.error();
  Slices data(1, Slice::of(std::move(message)));
  auto sent = co_await (*call)->send(std::move(data));
  if (sent) sent = co_await (*call)->finish_sending();
  // A server may refuse before it has read everything: its status says more than the failed write.
  auto reply = co_await (*call)->receive();
  if (!reply) co_return reply.error();
  if (!*reply) co_return Error(Code::kIo, "gRPC: the server answered OK without a message");
  auto more = co_await (*call)->receive();
  if (!more) co_return more.error();
  if (*more) co_return Error(Code::kIo, "gRPC: the server answered with more than one message");
  co_return std::move(**reply);
}

}  // namespace kayak::io
