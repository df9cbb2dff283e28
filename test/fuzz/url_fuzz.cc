// fuzz-deps: kayak_io
// URLs, queries and percent-encoding: what is taken is well-formed, and encoding comes back.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "io/http.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto url = parse_url(text)) {
    ASSERT(url->scheme == "http" || url->scheme == "https");
    ASSERT(!url->host.empty() && url->host.find_first_of(" /?#@\r\n") == std::string::npos);
    ASSERT(url->port != 0);
    ASSERT(url->path.starts_with('/'));
    ASSERT(url->path.find_first_of("?# \r\n") == std::string::npos);
  }
  const auto encoded = percent_encode(text);
  const auto decoded = percent_decode(encoded);
  ASSERT(decoded && *decoded == text);
  (void)percent_decode(text);
  if (const auto pairs = parse_query(text)) {
    // Written again, the pairs read as themselves.
    std::string query;
    for (const auto& [name, value] : *pairs) query += percent_encode(name) + "=" + percent_encode(value) + "&";
    const auto again = parse_query(query);
    ASSERT(again && *again == *pairs);
  }
  return 0;
}
