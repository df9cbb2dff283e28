// grpc_frame.cc: see grpc_frame.h.
#include "io/grpc_frame.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/strings.h"

namespace kayak::io {

namespace {
constexpr std::size_t kPrefix = 5;
}  // namespace

void GrpcDecoder::append(std::string_view bytes) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes);
}

Result<std::optional<std::string>> GrpcDecoder::next() {
  const std::string_view left = std::string_view(buffer_).substr(begin_);
  if (left.size() < kPrefix) return std::optional<std::string>();
  if (left[0] != 0) return Error(Code::kIo, "grpc: compressed messages are not supported");
  const std::size_t size = big32(left, 1);
  if (size > max_message_) {
    return Error(Code::kTooLarge, cat("grpc: received message larger than max (", size, " vs. ", max_message_, ")"));
  }
  if (left.size() - kPrefix < size) return std::optional<std::string>();
  begin_ += kPrefix + size;
  return std::optional<std::string>(left.substr(kPrefix, size));
}

std::string grpc_prefix(std::size_t size) {
  ASSERT(size <= UINT32_MAX);
  std::string prefix(1, '\0');
  put_big32(&prefix, static_cast<std::uint32_t>(size));
  return prefix;
}

}  // namespace kayak::io
