// endpoint.cc: see endpoint.h.
#include "bench/endpoint.h"

#include "base/strings.h"
#include "io/stream.h"
#include "store/etcd/client_links.h"

namespace kayak::bench {

Task<Result<std::unique_ptr<Endpoint>>> Endpoint::open(Context context, std::string targets, std::size_t connections) {
  const std::vector<std::string_view> all = split(targets, ',');
  for (const std::string_view one : all) {
    std::unique_ptr<Endpoint> endpoint(new Endpoint(context));
    const std::string target(one);
    Result<void> connected = co_await endpoint->connect(target);
    if (!connected) co_return connected.error().while_doing("connecting to " + target);
    Result<bool> leads = true;
    if (all.size() > 1) leads = co_await endpoint->leads();
    if (!leads || !*leads) {
      co_await endpoint->close();
      continue;
    }
    while (endpoint->connections_.size() < connections) {
      connected = co_await endpoint->connect(target);
      if (!connected) break;
    }
    if (connected) co_return std::move(endpoint);
    co_await endpoint->close();
    co_return connected.error().while_doing("connecting to " + target);
  }
  co_return Error(Code::kUnavailable, cat("none of ", targets, " leads"));
}

Task<Result<void>> Endpoint::connect(std::string target) {
  Result<store::etcd::Target> to = store::etcd::parse_target(target);
  if (!to) co_return to.error();
  Result<io::StreamPtr> stream = Error(Code::kInternal, "");
  if (to->host.empty()) {
    stream = co_await io::connect_unix(context_, to->unix_path);
  } else {
    stream = co_await io::connect_host(context_, to->host, to->port);
  }
  if (!stream) co_return stream.error();
  const io::Http2ClientOptions options;
  connections_.push_back(std::make_unique<Connection>(io::Http2Client::create(context_, std::move(*stream), options)));
  scope_.spawn(connections_.back()->client->run(scope_.token()));
  co_return Result<void>();
}

Task<Result<bool>> Endpoint::leads() const {
  auto status = co_await kv(0).status();
  if (!status.result) co_return status.result.error();
  co_return status.result->leader != 0 && status.result->leader == status.result->header.member_id;
}

Task<void> Endpoint::close() {
  scope_.stop();
  (void)co_await scope_.join();
}

}  // namespace kayak::bench
