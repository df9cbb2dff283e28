// support_http2.h: an HTTP/2 client made of single frames, to say what a well-behaved library would not.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/support_http.h"

struct nghttp2_hd_inflater;

namespace kayak::test {

// Frame types and flags of RFC 9113.
enum H2Type : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9
};
constexpr std::uint8_t kAck = 1, kEndStream = 1, kEndHeaders = 4;

struct H2Frame {
  int type = -1;  // -1: the connection ended
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;
  std::string payload;
};
// Big-endian.
std::string u32(std::uint32_t value);
std::uint32_t read_u32(std::string_view bytes);
std::string h2_frame(H2Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
// HPACK literals without indexing or Huffman coding.
std::string hpack(const std::vector<std::pair<std::string, std::string>>& fields);
std::string h2_get(std::uint32_t stream, std::string_view path);

class H2Client : public RawClient {
 public:
  // Says the preface and SETTINGS with `settings` (id, value).
  explicit H2Client(std::uint16_t port, const std::vector<std::pair<std::uint16_t, std::uint32_t>>& settings = {});
  ~H2Client();
  H2Frame read_frame();

  struct Response {
    int status = 0;
    std::string body;
    std::map<std::string, std::string> headers;
    bool ended = false;
    int reset = -1;  // RST_STREAM's code
  };
  std::map<std::uint32_t, Response> responses;
  int goaway = -1;  // GOAWAY's code
  std::uint32_t goaway_last = 0;
  bool connection_ended = false;
  bool answer = true;  // acknowledge settings and give back windows
  // Reads frames until `condition` holds or the connection ends; whether it holds.
  bool run_until(const std::function<bool()>& condition);
  Response response_to(std::uint32_t stream);  // runs until it has ended or was reset

 private:
  void take(const H2Frame& frame);
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace kayak::test
