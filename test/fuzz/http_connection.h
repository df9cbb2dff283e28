// http_connection.h: serves one connection whose client says the fuzzer's bytes, for the fuzzers of the HTTP servers.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "io/http.h"
#include "io/loop.h"

namespace kayak::fuzz {

using namespace kayak::io;

// Says `input` in pieces of varying size, then closes; swallows what is written to it.
class InputStream final : public Stream {
 public:
  explicit InputStream(std::string_view input) : input_(input) {}
  Task<Result<std::size_t>> read(std::span<char> buffer, StopToken) override {
    if (closed_) co_return Error(Code::kCancelled, "closed");
    static constexpr std::size_t kPieces[] = {1, 7, 3000, 2, 64, 900};
    const std::size_t size = std::min({buffer.size(), input_.size(), kPieces[turn_++ % std::size(kPieces)]});
    if (size > 0) std::memcpy(buffer.data(), input_.data(), size);
    input_.remove_prefix(size);
    co_return size;
  }
  Task<Result<void>> write(Slices, StopToken) override {
    if (closed_) co_return Error(Code::kCancelled, "closed");
    co_return Result<void>();
  }
  Task<Result<void>> shutdown(StopToken) override { co_return Result<void>(); }
  void close() override { closed_ = true; }
  Endpoint peer() const override { return Endpoint{"192.0.2.1", 1}; }
  Endpoint local() const override { return Endpoint(); }

 private:
  std::string_view input_;
  std::size_t turn_ = 0;
  bool closed_ = false;
};

// What the server promises its handlers about a request.
inline void check_request(const HttpRequest& request) {
  ASSERT(!request.method.empty());
  ASSERT(request.path.starts_with('/'));
  const auto is_safe = [](char c) { return c > ' ' && static_cast<unsigned char>(c) < 0x7f && c != '#'; };
  ASSERT(std::all_of(request.path.begin(), request.path.end(), is_safe));
  ASSERT(std::all_of(request.query.begin(), request.query.end(), is_safe));
  for (const auto& [name, value] : request.headers) {
    ASSERT(!name.empty());
    for (const char c : value) ASSERT(c != '\r' && c != '\n' && c != '\0');
  }
}

inline Task<void> answer(HttpExchange& exchange) {
  check_request(exchange.request());
  const std::string& method = exchange.request().method;
  if (method == "HEAD") co_return;
  if (exchange.request().path.size() % 3 == 1) {
    auto started = co_await exchange.start(200, exchange.request().headers);
    while (started) {
      auto piece = co_await exchange.body().read();
      if (!piece || piece->empty()) break;
      Slices data(1, Slice::of(std::move(*piece)));
      started = co_await exchange.write(std::move(data));
    }
    if (started && method != "POST") started = co_await exchange.finish();
    co_return;
  }
  auto body = co_await exchange.body().read_all(4096);
  if (!body) co_return;
  Slices data(1, Slice::of(std::move(*body)));
  auto sent = co_await exchange.send(200, exchange.request().headers, std::move(data));
  (void)sent;
}

inline void serve(std::string_view input) {
  static Loop loop;
  static SystemClock clock;
  static SystemRandom random;
  static Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  HttpLimits limits;
  limits.max_header_bytes = 2048;
  limits.max_headers = 20;
  limits.max_body_bytes = 8192;
  limits.max_streams = 8;
  auto stream = std::make_unique<InputStream>(input);
  ASSERT(loop.run(serve_http(context, std::move(stream), TlsPeer(), limits, answer, StopToken())));
}

}  // namespace kayak::fuzz
