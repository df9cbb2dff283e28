// fuzz-deps: kayak_io
// What a server says to the HTTP/2 client and to a gRPC call: raw bytes, or (first byte odd) frames whose lengths are
// right, so that the fuzzer gets past the framing.
#include <cstdint>
#include <string>
#include <string_view>

#include "http_connection.h"
#include "io/grpc.h"

namespace {

using namespace kayak;
using namespace kayak::fuzz;

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

Task<Result<void>> read_plain(Http2Client& client) {
  Http2Request request;
  request.authority = "t";
  request.max_body_bytes = 8192;
  auto call = co_await client.open(std::move(request));
  if (!call) co_return Result<void>();
  auto status = co_await (*call)->status();
  if (!status) co_return Result<void>();
  ASSERT(*status >= 200 && *status <= 999);
  auto body = co_await (*call)->body().read_all(8192);
  if (body) ASSERT((*call)->headers().size() <= 20 && (*call)->trailers().size() <= 20);
  co_return Result<void>();
}

Task<Result<void>> read_messages(Http2Client& client) {
  GrpcRequest request;
  request.authority = "t";
  request.method = "/a.B/C";
  request.max_message_bytes = 1000;
  auto call = co_await GrpcClientCall::open(client, std::move(request));
  if (!call) co_return Result<void>();
  Slices data(1, Slice::of(std::string(100'000, 'x')));
  auto sent = co_await (*call)->send(std::move(data));
  while (sent) {
    auto message = co_await (*call)->receive();
    if (!message || !*message) break;
    ASSERT((*message)->size() <= 1000);
  }
  co_return Result<void>();
}

Task<Result<void>> talk(Context context, std::string_view input) {
  Http2ClientOptions options;
  options.max_header_bytes = 2048;
  options.max_headers = 20;
  StreamPtr stream = std::make_unique<InputStream>(input);
  auto client = Http2Client::create(context, std::move(stream), options);
  StopSource stop;
  TaskScope scope;
  scope.spawn(read_plain(*client));
  scope.spawn(read_messages(*client));
  scope.spawn(client->run(stop.token()));
  (void)co_await scope.join();
  co_return Result<void>();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string input;
  if ((data[0] & 1) == 0) {
    input.append(bytes);
  } else {
    append_frame(&input, 4, 0, 0, "");
    while (bytes.size() >= 4) {
      const auto length = static_cast<std::uint8_t>(bytes[3]);
      const std::string_view payload = bytes.substr(4, length);
      append_frame(&input, static_cast<std::uint8_t>(bytes[0]) % 12, static_cast<std::uint8_t>(bytes[1]),
                   static_cast<std::uint8_t>(bytes[2]) % 16, payload);
      bytes.remove_prefix(4 + payload.size());
    }
  }
  static Loop loop;
  static SystemClock clock;
  static SystemRandom random;
  static Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  ASSERT(loop.run(talk(context, input)));
  return 0;
}
