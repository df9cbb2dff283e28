// fuzz-deps: kayak_io
// An HTTP/2 connection after its preface: raw bytes, or (first byte odd) frames whose lengths are right, so that the
// fuzzer gets past the framing.
#include <cstdint>
#include <string>
#include <string_view>

#include "http_connection.h"

namespace {

void append_frame(std::string* out, std::uint8_t type, std::uint8_t flags, std::uint8_t stream,
                  std::string_view payload) {
  const char head[9] = {0,
                        static_cast<char>(payload.size() >> 8),
                        static_cast<char>(payload.size()),
                        static_cast<char>(type),
                        static_cast<char>(flags),
                        0,
                        0,
                        0,
                        static_cast<char>(stream)};
  out->append(head, sizeof head).append(payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string input = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  append_frame(&input, 4, 0, 0, "");
  if ((data[0] & 1) == 0) {
    input.append(bytes);
  } else {
    while (bytes.size() >= 4) {
      const auto length = static_cast<std::uint8_t>(bytes[3]);
      const std::string_view payload = bytes.substr(4, length);
      append_frame(&input, static_cast<std::uint8_t>(bytes[0]) % 12, static_cast<std::uint8_t>(bytes[1]),
                   static_cast<std::uint8_t>(bytes[2]) % 16, payload);
      bytes.remove_prefix(4 + payload.size());
    }
  }
  kayak::fuzz::serve(input);
  return 0;
}
