// grpc.h: gRPC calls over an Http2Client: length-prefixed messages both ways, status from trailers. Message bytes are
// opaque here; nothing is compressed.
// Source: grpc/grpc, doc/PROTOCOL-HTTP2.md, doc/statuscodes.md, doc/http-grpc-status-mapping.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/grpc_frame.h"
#include "io/http2_client.h"

namespace kayak::io {

// What the server said about the call as a whole. `code` as in doc/statuscodes.md; 0 is OK.
struct GrpcClientStatus {
  int code = 0;
  std::string message;  // percent-decoded
};
// The failure that `status` (not OK) stands for. Unavailable here does not promise that the server did nothing.
Error grpc_error(const GrpcClientStatus& status);
// Reads grpc-status and grpc-message of `fields`; nullopt when there is no status. A malformed one is UNKNOWN.
std::optional<GrpcClientStatus> parse_grpc_status(const Headers& fields);
// What a response without a grpc-status means by its HTTP status.
int grpc_code_of_http(int http_status);

struct GrpcRequest {
  std::string scheme = "https";
  std::string authority;
  std::string method;                               // "/package.Service/Method"
  Headers metadata;                                 // beside what gRPC itself needs
  Duration timeout = Duration::zero();              // for the whole call, told to the server; zero: no limit
  bool may_be_silent = false;                       // see Http2Request
  std::size_t max_message_bytes = 4 * 1024 * 1024;  // of one that is received; grpc-go's default
};

// One call, streaming in both directions. Destroying it before its end cancels it. Errors as of Http2Call, and those
// of the server's status (grpc_error).
class GrpcClientCall {
 public:
  // `client` must outlive the wait.
  static Task<Result<std::unique_ptr<GrpcClientCall>>> open(Http2Client& client, GrpcRequest request,
                                                            StopToken stop = StopToken());
  // Waits while the server's window is full. When the server has ended the call, receive() says why.
  Task<Result<void>> send(Slices message);
  // Bytes of messages with their grpc_prefix, whole ones or not: many at once, or a large one piece by piece.
  Task<Result<void>> send_framed(Slices bytes);
  // Ends when the server has begun to answer. Errors: as receive().
  Task<Result<void>> accepted();
  Task<Result<void>> finish_sending();
  // The next message; nullopt when the call has ended with OK. `stop` ends the wait alone.
  Task<Result<std::optional<std::string>>> receive(StopToken stop = StopToken());
  // Set when receive() has come to the end.
  const std::optional<GrpcClientStatus>& status() const { return status_; }
  const Headers& headers() const { return call_->headers(); }
  const Headers& trailers() const { return call_->trailers(); }

 private:
  GrpcClientCall(std::unique_ptr<Http2Call> call, std::size_t max_message)
      : call_(std::move(call)), decoder_(max_message) {}
  Task<Result<void>> check_head();
  Result<void> ended();
  std::unique_ptr<Http2Call> call_;
  GrpcDecoder decoder_;
  bool head_checked_ = false;
  std::optional<GrpcClientStatus> status_;
  std::optional<Error> failure_;
};

// One message there, one back. Errors: as above; Io when the server answers OK without exactly one message.
Task<Result<std::string>> grpc_unary(Http2Client& client, GrpcRequest request, std::string message,
                                     StopToken stop = StopToken());

}  // namespace kayak::io
