// gateway.cc: puts through etcd's JSON gateway: what a client without gRPC gets.
#include <memory>
#include <vector>

#include "base/strings.h"
#include "bench/bench.h"
#include "bench/request.h"
#include "bench/writes.h"

namespace kayak::bench {

namespace {

std::string put_body(const std::string& key, std::size_t bytes) {
  return cat(R"({"key":")", base64_encode(key), R"(","value":")", base64_encode(std::string(bytes, 'x')), R"("})");
}

// A connection for each client.
Task<Result<Load>> gateway_level(Context context, io::HttpTarget target, WriteLevel level, std::size_t number,
                                 Duration length) {
  std::vector<std::unique_ptr<io::HttpClient>> clients;
  for (std::size_t i = 0; i < level.clients; ++i) clients.push_back(io::HttpClient::create(context, target, 1));
  Action put = [&clients, number, bytes = level.bytes](std::size_t client, std::uint64_t count) {
    return send(clients[client].get(), "POST", "/v3/kv/put", put_body(write_key(number, client, count), bytes), 200);
  };
  co_return co_await run_load(context, level.clients, length, std::move(put));
}

}  // namespace

Task<Result<void>> measure_gateway(Context context, Options options) {
  const Result<io::Url> url = io::parse_url(options.text("target"));
  if (!url) co_return url.error();
  io::HttpTarget target;
  target.host = url->host;
  target.port = url->port;
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  std::size_t number = static_cast<std::size_t>(options.number("round", 0)) * 100;
  for (const WriteLevel& level : write_levels(options)) {
    Result<Load> load = co_await gateway_level(context, target, level, number++, length);
    if (!load) co_return load.error();
    report_writes(options.text("as", "etcd_json"), level, *load, ", through the JSON gateway");
  }
  co_return Result<void>();
}

}  // namespace kayak::bench
