// grpc_server.h: the server side of gRPC on HTTP/2 exchanges: messages in and out, status in trailers.
// What the messages are is the methods' business. Uncompressed messages only: clients send nothing else unless told.
// A client's deadline (grpc-timeout) is left to the client, which resets its stream: gone() fires.
// Source: gRPC, "PROTOCOL-HTTP2"; "Status codes and their use".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "io/grpc_frame.h"
#include "io/http.h"
#include "io/task.h"

namespace kayak::io {

struct GrpcStatus {
  enum class Code : std::uint8_t {
    kOk = 0,
    kCancelled = 1,
    kUnknown = 2,
    kInvalidArgument = 3,
    kDeadlineExceeded = 4,
    kNotFound = 5,
    kAlreadyExists = 6,
    kPermissionDenied = 7,
    kResourceExhausted = 8,
    kFailedPrecondition = 9,
    kAborted = 10,
    kOutOfRange = 11,
    kUnimplemented = 12,
    kInternal = 13,
    kUnavailable = 14,
    kDataLoss = 15,
    kUnauthenticated = 16,
  };
  Code code = Code::kOk;
  std::string message;
};

// One call being answered.
class GrpcCall {
 public:
  GrpcCall(HttpExchange& exchange, std::size_t max_message_bytes) : exchange_(exchange), in_(max_message_bytes) {}

  // The client's next message; nullopt after its last. Errors: TooLarge, BadRequest (no gRPC message), those of
  // HttpBody::read. After an error other than Cancelled the method's status is replaced by the one that says why.
  Task<Result<std::optional<std::string>>> read(StopToken stop = StopToken());
  // Sends one message and ends when it has left our queue. Coroutines that write at the same time take turns.
  // Errors: those of HttpExchange::write.
  Task<Result<void>> write(std::string message);
  // The only message of a unary call: it goes out together with the status, once the method has ended with kOk.
  void answer(std::string message) { answer_ = std::move(message); }
  // Begins the answer before there is a message: a call that streams is told by gone() when the server stops.
  Task<Result<void>> open();
  // Who asks (its certificate) and the call's metadata (the headers).
  const HttpRequest& request() const { return exchange_.request(); }
  // Fires when the client goes away, or, once the answer has begun, when the server stops.
  StopToken gone() const { return exchange_.gone(); }

 private:
  friend class GrpcRouter;
  Error broken(GrpcStatus::Code status, Code code, std::string message);
  HttpExchange& exchange_;
  GrpcDecoder in_;
  bool opened_ = false, writing_ = false;
  Event turn_;
  std::optional<GrpcStatus> failure_;
  std::optional<std::string> answer_;
};

// Whether a call to `method` ("/package.Service/Method", there or not) may go on. Anything but kOk is its status.
using GrpcGate = std::function<GrpcStatus(const HttpRequest& request, std::string_view method)>;
using GrpcMethod = std::function<Task<GrpcStatus>(GrpcCall& call)>;

class GrpcRouter {
 public:
  explicit GrpcRouter(std::size_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}
  // `service` with its package: "etcdserverpb.KV". `max_message_bytes` instead of the router's, when it is not zero.
  void add(std::string_view service, std::string_view method, GrpcMethod handler, std::size_t max_message_bytes = 0);
  // Asked before every call.
  void set_gate(GrpcGate gate) { gate_ = std::move(gate); }
  // Answers one exchange. What is no gRPC gets an HTTP error, a method that is not there Unimplemented.
  Task<void> serve(HttpExchange& exchange) const;

 private:
  struct Row {
    GrpcMethod handler;
    std::size_t max_message_bytes;
  };
  Task<GrpcStatus> run(GrpcCall& call, std::string_view path) const;
  std::size_t max_message_bytes_;
  GrpcGate gate_;
  std::map<std::string, std::map<std::string, Row, std::less<>>, std::less<>> services_;
};

// The limits of a listener for gRPC: calls stay open for as long as both want, and any :authority is taken.
HttpLimits grpc_limits();
// For the grpc-message field: printable ASCII but '%', the rest percent-encoded.
std::string encode_grpc_message(std::string_view message);

}  // namespace kayak::io
