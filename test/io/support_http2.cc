// support_http2.cc: see support_http2.h.
#include "io/support_http2.h"

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "base/strings.h"

namespace kayak::test {

std::string u32(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}
std::uint32_t read_u32(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string h2_frame(H2Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  std::string frame = u32(static_cast<std::uint32_t>(payload.size())).substr(1);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  return frame.append(u32(stream)).append(payload);
}

std::string hpack(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  const auto text = [&](std::string_view piece) {
    if (piece.size() < 127) {
      out.push_back(static_cast<char>(piece.size()));
    } else {
      out.push_back(127);
      std::size_t rest = piece.size() - 127;
      for (; rest >= 128; rest >>= 7) out.push_back(static_cast<char>(128 | (rest & 127)));
      out.push_back(static_cast<char>(rest));
    }
    out.append(piece);
  };
  for (const auto& [name, value] : fields) {
    out.push_back(0);
    text(name);
    text(value);
  }
  return out;
}

std::string h2_get(std::uint32_t stream, std::string_view path) {
  return h2_frame(kHeaders, kEndStream | kEndHeaders, stream,
                  hpack({{":method", "GET"}, {":scheme", "http"}, {":authority", "t"}, {":path", std::string(path)}}));
}

H2Client::H2Client(std::uint16_t port, const std::vector<std::pair<std::uint16_t, std::uint32_t>>& settings)
    : RawClient(port) {
  ASSERT(nghttp2_hd_inflate_new(&inflater_) == 0);
  std::string payload;
  for (const auto& [id, value] : settings) payload += u32(id).substr(2) + u32(value);
  send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(kSettings, 0, 0, payload));
}
H2Client::~H2Client() { nghttp2_hd_inflate_del(inflater_); }

H2Frame H2Client::read_frame() {
  const std::string head = read_exactly(9);
  H2Frame frame;
  if (head.size() < 9) return frame;
  const std::size_t size = read_u32(std::string(1, '\0') + head.substr(0, 3));
  frame.type = static_cast<unsigned char>(head[3]);
  frame.flags = static_cast<std::uint8_t>(head[4]);
  frame.stream = read_u32(head.substr(5));
  frame.payload = read_exactly(size);
  if (frame.payload.size() < size) frame.type = -1;
  return frame;
}

void H2Client::take(const H2Frame& frame) {
  Response& response = responses[frame.stream];
  switch (frame.type) {
    case kHeaders: {
      std::string_view bytes = frame.payload;
      int flags = 0;
      while (true) {
        nghttp2_nv field{};
        const ssize_t used =
            nghttp2_hd_inflate_hd2(inflater_, &field, &flags, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                   bytes.size(), (frame.flags & kEndHeaders) != 0 ? 1 : 0);
        ASSERT(used >= 0);
        bytes.remove_prefix(static_cast<std::size_t>(used));
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
          const std::string name(reinterpret_cast<char*>(field.name), field.namelen);
          const std::string value(reinterpret_cast<char*>(field.value), field.valuelen);
          response.headers[name] = value;
          if (name == ":status") response.status = std::stoi(value);
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && bytes.empty()) break;
      }
      nghttp2_hd_inflate_end_headers(inflater_);
      response.ended = (frame.flags & kEndStream) != 0;
      break;
    }
    case kData:
      response.body += frame.payload;
      response.ended = (frame.flags & kEndStream) != 0;
      if (answer && !frame.payload.empty()) {
        const std::string size = u32(static_cast<std::uint32_t>(frame.payload.size()));
        send(h2_frame(kWindowUpdate, 0, 0, size) + h2_frame(kWindowUpdate, 0, frame.stream, size));
      }
      break;
    case kRstStream:
      response.reset = static_cast<int>(read_u32(frame.payload));
      break;
    case kSettings:
      if (answer && (frame.flags & kAck) == 0) send(h2_frame(kSettings, kAck, 0, ""));
      break;
    case kGoAway:
      goaway_last = read_u32(frame.payload);
      goaway = static_cast<int>(read_u32(frame.payload.substr(4)));
      break;
    case -1:
      connection_ended = true;
      break;
    default:
      break;
  }
}

bool H2Client::run_until(const std::function<bool()>& condition) {
  while (!condition() && !connection_ended) take(read_frame());
  return condition();
}

H2Client::Response H2Client::response_to(std::uint32_t stream) {
  run_until([&] { return responses[stream].ended || responses[stream].reset >= 0; });
  return responses[stream];
}

}  // namespace kayak::test
