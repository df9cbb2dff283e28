// fuzz-deps: kayak_io
// HTTP/1.1 requests: a head reads the same whether it comes whole or byte by byte, body framing too, and a connection
// survives anything.
#include <cstdint>
#include <string_view>

#include "http_connection.h"
#include "io/http_parse.h"

namespace {

using namespace kayak;
using namespace kayak::io;

void check_head(std::string_view bytes) {
  HeadScanner whole(2048, 20), stepped(2048, 20);
  const HeadScanner::Found found = whole.scan(bytes);
  HeadScanner::Found found_stepped = HeadScanner::Found::kMore;
  for (std::size_t end = 1; end <= bytes.size() && found_stepped == HeadScanner::Found::kMore; ++end) {
    found_stepped = stepped.scan(bytes.substr(0, end));
  }
  ASSERT(bytes.empty() || found == found_stepped);
  if (found != HeadScanner::Found::kEnd) return;
  ASSERT(whole.size() == stepped.size() && bytes.substr(0, whole.size()).ends_with("\r\n\r\n"));
  HttpRequest request;
  RequestHead head;
  const HeadRefusal refused = parse_request_head(bytes.substr(0, whole.size()), &request, &head);
  if (refused.status != 0) {
    ASSERT(refused.status >= 400 && refused.status <= 599);
    return;
  }
  if (request.path != "*") fuzz::check_request(request);
  ASSERT(!head.http11 || request.headers.all("host").size() == 1);
  const bool has_length = request.headers.has("content-length"), has_coding = request.headers.has("transfer-encoding");
  ASSERT(!(has_length && has_coding));
  ASSERT((head.framing == BodyFraming::kChunked) == has_coding);
}

std::string decode(std::string_view bytes, std::size_t step, bool* done, bool* bad) {
  BodyDecoder decoder(BodyFraming::kChunked, 0);
  std::string body;
  std::size_t used = 0;
  for (std::size_t end = 0; end < bytes.size() && !decoder.done() && !decoder.bad();) {
    end = std::min(end + step, bytes.size());
    while (used < end && !decoder.done() && !decoder.bad()) {
      const BodyDecoder::Step got = decoder.next(bytes.substr(used, end - used));
      body.append(got.data);
      used += got.consumed;
      ASSERT(got.consumed > 0 || decoder.bad());
    }
  }
  *done = decoder.done();
  *bad = decoder.bad();
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_head(bytes);
  bool done = false, bad = false, done_stepped = false, bad_stepped = false;
  const std::string body = decode(bytes, bytes.size() + 1, &done, &bad);
  ASSERT(body == decode(bytes, 1, &done_stepped, &bad_stepped));
  ASSERT(done == done_stepped && bad == bad_stepped);
  kayak::fuzz::serve(bytes);
  return 0;
}
