// support_etcd_call.h: calls of etcd's services without a network.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "io/grpc_server.h"
#include "io/task.h"

namespace kayak::store::test {

inline std::string framed(std::string_view message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message.size() >> shift));
  out.append(message);
  return out;
}

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
  Task<Result<void>> send(int status, io::Headers, io::Slices) override {
    http_status = status;
    co_return Result<void>();
  }
  Task<Result<void>> start(int status, io::Headers) override {
    http_status = status;
    co_return Result<void>();
  }
  Task<Result<void>> write(io::Slices data) override {
    std::string bytes;
    for (const io::Slice& slice : data) bytes.append(slice.bytes);
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
  int http_status = 0;
  std::string status, message;
};

}  // namespace kayak::store::test
