// request.cc: see request.h.
#include "bench/request.h"

#include "base/strings.h"

namespace kayak::bench {

namespace {
constexpr std::size_t kMaxAnswer = std::size_t{256} * 1024 * 1024;
}  // namespace

Task<Result<std::size_t>> send(io::HttpClient* client, std::string method, std::string path, std::string body,
                               int wanted) {
  io::HttpClientRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  if (!body.empty()) {
    request.headers.add("Content-Type", "application/json");
    request.body.push_back(io::Slice::of(std::move(body)));
  }
  Result<io::HttpClientResponse> response = co_await client->request(std::move(request));
  if (!response) co_return response.error();
  std::size_t bytes = 0;
  std::string head;
  for (;;) {
    Result<std::string> piece = co_await response->body->read();
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    if (bytes == 0) head = piece->substr(0, 300);
    bytes += piece->size();
    if (bytes > kMaxAnswer) co_return Error(Code::kTooLarge, "the answer does not end");
  }
  if (response->status != wanted) {
    co_return Error(Code::kInternal, cat("want status ", wanted, ", got ", response->status, ": ", head));
  }
  co_return bytes;
}

}  // namespace kayak::bench
