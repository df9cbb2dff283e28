// endpoint_watch.cc: one writer and many watchers over etcd's API: how fast and how late events arrive.
// The writer goes on when everybody has the last event, so that delays are those of the server and not of a backlog.
#include <algorithm>

#include "base/strings.h"
#include "bench/bench.h"
#include "bench/endpoint.h"
#include "bench/writes.h"
#include "store/etcd/messages.h"

namespace kayak::bench {

namespace {

constexpr std::size_t kWatchersOnConnection = 100;
constexpr std::size_t kEventBytes = 256;
constexpr std::string_view kPrefix = "/watched/";
constexpr std::string_view kPrefixEnd = "/watched0";

struct Fan {
  std::size_t watchers = 0;
  std::size_t created = 0;
  std::size_t waiting_for = 0;  // watchers that have not got the last event
  io::Event all;                // they have
  Load load;                    // of events
};

// One watch on a stream of its own.
Task<Result<void>> watch(Context context, const store::etcd::EtcdKv* kv, Fan* fan, StopToken stop) {
  auto call = co_await kv->open_watch();
  if (!call) co_return call.error();
  store::etcd::WatchCreateRequest create;
  create.key = kPrefix;
  create.range_end = kPrefixEnd;
  store::etcd::WatchRequest request;
  request.request = std::move(create);
  io::Slices message(1, io::Slice::of(encode(request)));
  Result<void> sent = co_await (*call)->send(std::move(message));
  if (!sent) co_return sent.error();
  for (;;) {
    Result<std::optional<std::string>> got = co_await (*call)->receive(stop);
    if (stop.stopped()) co_return Result<void>();
    if (!got) co_return got.error();
    if (!*got) co_return Error(Code::kUnavailable, "the server ended a watch");
    Result<store::etcd::WatchResponse> response = store::etcd::decode_watch_response(**got);
    if (!response) co_return response.error();
    if (response->created && ++fan->created == fan->watchers) fan->all.set();
    const std::int64_t now = context.clock.now().nanoseconds;
    for (const store::WatchEvent& event : response->events) {
      std::int64_t written = 0;
      const std::string_view value = *event.kv.value;
      parse_int64(value.substr(0, value.find(' ')), &written);
      fan->load.latencies_us.push_back(static_cast<double>(now - written) / 1e3);
      fan->load.bytes += value.size();
      ++fan->load.requests;
      if (--fan->waiting_for == 0) fan->all.set();
    }
  }
}

Task<Result<void>> write_events(Context context, const store::etcd::EtcdKv* kv, Fan* fan, Duration length) {
  co_await fan->all.wait();  // everybody watches
  const Instant start = context.clock.now();
  std::size_t number = 0;
  while (context.clock.now() - start < length) {
    fan->all.reset();
    fan->waiting_for = fan->watchers;
    std::string value = cat(context.clock.now().nanoseconds, " ");
    value.resize(kEventBytes, 'x');
    store::TxnRequest put =
        put_request(cat(kPrefix, ++number % 100), std::make_shared<const std::string>(std::move(value)));
    auto done = co_await kv->txn(std::move(put));
    if (!done.result) co_return done.result.error();
    co_await fan->all.wait();
  }
  fan->load.seconds = static_cast<double>((context.clock.now() - start).count()) / 1e9;
  co_return Result<void>();
}

Task<Result<void>> run_fan(Context context, const Endpoint* to, Fan* fan, Duration length) {
  io::TaskScope watchers;
  // The last connection is the writer's.
  const std::size_t connections = (fan->watchers + kWatchersOnConnection - 1) / kWatchersOnConnection;
  for (std::size_t i = 0; i < fan->watchers; ++i) {
    watchers.spawn(watch(context, &to->kv(i % connections), fan, watchers.token()));
  }
  Result<void> written = co_await write_events(context, &to->kv(connections), fan, length);
  watchers.stop();
  Result<void> ended = co_await watchers.join();
  co_return written ? ended : written;
}

}  // namespace

Task<Result<void>> measure_watches(Context context, Options options) {
  const std::string prefix = options.text("as", "kayak");
  const std::string target = options.text("target");
  const Duration length = std::chrono::milliseconds(options.number("ms", 2000));
  for (const std::int64_t watchers : options.numbers("watchers", {100, 1000})) {
    Fan fan;
    fan.watchers = static_cast<std::size_t>(watchers);
    const std::size_t connections = (fan.watchers + kWatchersOnConnection - 1) / kWatchersOnConnection + 1;
    auto endpoint = co_await Endpoint::open(context, target, connections);
    if (!endpoint) co_return endpoint.error();
    Result<void> done = co_await run_fan(context, endpoint->get(), &fan, length);
    co_await (*endpoint)->close();
    if (!done) co_return done;
    std::sort(fan.load.latencies_us.begin(), fan.load.latencies_us.end());
    const std::string tail = cat(", ", watchers, " watchers of one prefix");
    report(cat(prefix, "_watch_events_per_s_", watchers), fan.load.per_second(),
           "events of 256 B delivered a second" + tail);
    report(cat(prefix, "_watch_p50_us_", watchers), fan.load.percentile_us(0.50), "from put to event, median" + tail);
    report(cat(prefix, "_watch_p99_us_", watchers), fan.load.percentile_us(0.99), "99th percentile" + tail);
  }
  co_return Result<void>();
}

}  // namespace kayak::bench
