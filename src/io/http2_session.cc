// http2_session.cc: see http2_session.h.
#include "io/http2_session.h"

#include "base/assert.h"
#include "base/strings.h"

namespace kayak::io {

namespace {
// Data up to this size is copied next to its frame header, as a slice of its own would cost more.
constexpr std::size_t kCopied = 1024;
}  // namespace

void FrameBatch::append(Slice data) {
  bytes_ += data.bytes.size();
  if (data.bytes.size() <= kCopied) {
    tail_.append(data.bytes);
  } else {
    cut_tail();
    slices_.push_back(std::move(data));
  }
}

Slices FrameBatch::take() {
  cut_tail();
  bytes_ = 0;
  return std::exchange(slices_, Slices());
}

void FrameBatch::cut_tail() {
  if (!tail_.empty()) slices_.push_back(Slice::of(std::exchange(tail_, std::string())));
}

void OutputBody::put(Slices data, std::size_t size) {
  ASSERT(bytes_ == 0);
  slices_ = std::move(data);
  first_ = 0;
  bytes_ = size;
}

nghttp2_data_provider OutputBody::provider() {
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = provide;
  return provider;
}

ssize_t OutputBody::provide(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t length,
                            std::uint32_t* flags, nghttp2_data_source* source, void*) {
  auto& body = *static_cast<OutputBody*>(source->ptr);
  const std::size_t size = std::min(length, body.bytes_);
  if (size == 0 && !body.ended_) {
    body.deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (body.ended_ && size == body.bytes_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!body.trailers_.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (body.submit_trailers(session, id) != 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    body.end_taken_ = true;
    body.moved_.set();
  }
  return static_cast<ssize_t>(size);
}

int OutputBody::submit_trailers(nghttp2_session* session, std::int32_t id) const {
  Http2Fields fields(trailers_);
  for (const auto& [name, value] : trailers_) fields.add_from(name, value);
  return nghttp2_submit_trailer(session, id, fields.data(), fields.size());
}

void OutputBody::move_to(FrameBatch* batch, std::string_view frame_header, std::size_t length) {
  ASSERT(length <= bytes_);
  batch->append(frame_header);
  bytes_ -= length;
  while (length > 0) {
    Slice& slice = slices_[first_];
    const std::string_view bytes = slice.bytes.substr(0, length);
    batch->append(Slice{bytes, slice.owner});
    length -= bytes.size();
    slice.bytes.remove_prefix(bytes.size());
    if (slice.bytes.empty()) slices_[first_++] = Slice();
  }
  if (bytes_ == 0) {
    slices_.clear();
    moved_.set();
  }
}

Http2Fields::Http2Fields(const Headers& headers) {
  std::size_t size = 0;
  for (const auto& [name, value] : headers) size += name.size() + value.size();
  text_.reserve(size);
  constexpr std::size_t kPseudo = 5;
  fields_.reserve(headers.size() + kPseudo);
}

std::string_view Http2Fields::keep(std::string_view piece, bool is_name) {
  const std::size_t begin = text_.size();
  ASSERT(begin + piece.size() <= text_.capacity());
  for (const char c : piece) {
    const bool breaks = c == '\r' || c == '\n' || c == '\0';
    text_.push_back(breaks ? ' ' : is_name && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return std::string_view(text_).substr(begin);
}

void Http2Fields::add(std::string_view name, std::string_view value) {
  fields_.push_back(nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                               reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                               value.size(), NGHTTP2_NV_FLAG_NONE});
}

void Http2Fields::add_from(std::string_view name, std::string_view value) {
  if (iequals(name, "connection") || iequals(name, "content-length") || iequals(name, "transfer-encoding") ||
      iequals(name, "keep-alive") || iequals(name, "proxy-connection") || iequals(name, "upgrade")) {
    return;
  }
  const std::string_view lower = keep(name, true);
  add(lower, keep(value, false));
}

}  // namespace kayak::io
