// grpc_frame.h: gRPC's messages as bytes: the compressed flag, the length (4 bytes, big endian), the message. Nothing
// is compressed here. Source: grpc/grpc, doc/PROTOCOL-HTTP2.md.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak::io {

// Cuts bytes into messages.
class GrpcDecoder {
 public:
  explicit GrpcDecoder(std::size_t max_message) : max_message_(max_message) {}
  void append(std::string_view bytes);
  // The next whole message; nullopt when more bytes are needed. Errors, in grpc-go's words: TooLarge, Io (it is
  // compressed).
  Result<std::optional<std::string>> next();
  bool empty() const { return begin_ == buffer_.size(); }  // no part of a message is left

 private:
  std::size_t max_message_;
  std::string buffer_;
  std::size_t begin_ = 0;
};
// The five bytes before a message of `size` bytes.
std::string grpc_prefix(std::size_t size);

}  // namespace kayak::io
