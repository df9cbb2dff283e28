// support_etcd_call.h: calls of etcd's services without a network.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "io/grpc_server.h"
#include "io/task.h"
#include "store/support_store.h"

namespace kayak::store::test {

inline std::string framed(std::string_view message) { return io::grpc_prefix(message.size()).append(message); }

// One gRPC call without a network.
class Call final : public io::HttpExchange, public io::HttpBody {
 public:
  explicit Call(std::string_view path) {
    request_.method = "POST";
    request_.path = path;
    request_.http2 = true;
    request_.headers.add("content-type", "application/grpc");
  }
  io::HttpBody& body() override { return *this; }
  Task<Result<std::string>> read(StopToken stop) override {
    std::optional<std::string> piece = co_await in.pop(stop);
    if (piece) co_return std::move(*piece);
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
    co_return std::string();
  }
  Task<Result<void>> send(int code, io::Headers headers, io::Slices) override {
    http_status = code;
    co_return co_await finish_with(std::move(headers));  // gRPC's "Trailers-Only"
  }
  Task<Result<void>> start(int status, io::Headers) override {
    http_status = status;
    co_return Result<void>();
  }
  Task<Result<void>> write(io::Slices data) override {
    std::string bytes;
    for (const io::Slice& slice : data) bytes.append(slice.bytes);
    if (bytes.size() > most) co_await takes_again.wait();
    out.push(bytes.substr(5));
    co_return Result<void>();
  }
  Task<Result<void>> finish() override { co_return Error(Code::kInternal, "an answer without trailers"); }
  Task<Result<void>> finish_with(io::Headers trailers) override {
    status = std::string(trailers.get("grpc-status"));
    message = std::string(trailers.get("grpc-message"));
    out.close();
    co_return Result<void>();
  }
  StopToken gone() const override { return stop.token(); }
  Task<Result<io::StreamPtr>> upgrade(io::Headers) override { co_return Error(Code::kBadRequest, "no"); }
  io::HttpRequest& request() { return request_; }

  io::Queue<std::string> in, out;  // pieces of the body; messages without their frames
  io::StopSource stop;
  std::size_t most = SIZE_MAX;  // a larger piece of the answer waits for takes_again
  io::Event takes_again;
  int http_status = 0;
  std::string status, message;
};

// Runs `call` to its end: its status as "code message", "" when it is OK.
inline std::string run_call(Harness& harness, const io::HttpHandler& handler, Call* call) {
  io::TaskScope scope;
  scope.spawn(handler(*call));
  ASSERT(harness.wait(scope.join()));
  return call->status == "0" ? std::string() : cat(call->status, " ", call->message);
}
// The same with one request. `answer`: the message that came back, nullopt: none.
inline std::string run_call(Harness& harness, const io::HttpHandler& handler, Call* call, std::string_view request,
                            std::optional<std::string>* answer) {
  call->in.push(framed(request));
  call->in.close();
  std::string status = run_call(harness, handler, call);
  *answer = call->out.try_pop();
  return status;
}

}  // namespace kayak::store::test
