// fuzz-deps: kayak_io
// HTTP/1.1 responses: what a hostile server says never crashes and is bounded; the request's method comes first.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "io/http_parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::io;
  if (size == 0) return 0;
  const std::string_view method = (data[0] & 1) != 0 ? "HEAD" : "GET";
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  HeadScanner scanner(4096, 30);
  if (scanner.scan(bytes) != HeadScanner::Found::kEnd) return 0;
  Headers headers;
  const auto head = parse_response_head(bytes.substr(0, scanner.size()), method, &headers);
  if (!head) return 0;
  ASSERT(head->status >= 100 && head->status <= 999);
  ASSERT(method != "HEAD" || head->framing == BodyFraming::kNone);
  for (const auto& [name, value] : headers) {
    ASSERT(!name.empty());
    for (const char c : value) ASSERT(c != '\r' && c != '\n' && c != '\0');
  }
  std::string_view rest = bytes.substr(scanner.size());
  BodyDecoder decoder(head->framing, head->length);
  std::uint64_t body = 0;
  while (!rest.empty() && !decoder.done() && !decoder.bad()) {
    const BodyDecoder::Step step = decoder.next(rest);
    ASSERT(step.consumed >= step.data.size() && step.consumed <= rest.size());
    ASSERT(step.consumed > 0 || decoder.bad());
    body += step.data.size();
    rest.remove_prefix(step.consumed);
  }
  ASSERT(head->framing != BodyFraming::kLength || body <= head->length);
  ASSERT(head->framing != BodyFraming::kLength || decoder.done() == (body == head->length));
  return 0;
}
