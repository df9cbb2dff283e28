// apply.cc: from the start of a command (kubectl apply) to the moment its Deployment is available, seen by a watch that
// stands before the command starts: no client that has to start first blurs the end.
#include <unistd.h>

#include "base/json.h"
#include "base/strings.h"
#include "bench/bench.h"
#include "bench/kubeconfig.h"
#include "io/process.h"

extern char** environ;

namespace kayak::bench {

using namespace std::chrono_literals;

namespace {

constexpr Duration kPatience = 120s;

// Whether a watch event says that all replicas are available.
bool is_available(std::string_view line, std::int64_t replicas) {
  Result<json::Value> event = json::read(line);
  if (!event) return false;
  const json::Value* available = event->at({"object", "status", "availableReplicas"});
  return available && available->int_or(0) >= replicas;
}

// Reads the watch's events until the Deployment is available.
Task<Result<void>> wait_available(io::HttpBody* events, std::int64_t replicas, StopToken stop) {
  std::string text;
  for (;;) {
    Result<std::string> piece = co_await events->read(stop);
    if (!piece) co_return piece.error();
    if (piece->empty()) co_return Error(Code::kUnavailable, "the watch ended before the Deployment was available");
    text += *piece;
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      if (is_available(std::string_view(text).substr(0, end), replicas)) co_return Result<void>();
      text.erase(0, end + 1);
    }
  }
}

Task<Result<void>> run_command(Context context, std::vector<std::string> command, Instant start, double* took_ms) {
  io::SpawnOptions options;
  options.program = command.front();
  options.args.assign(command.begin() + 1, command.end());
  for (char** entry = environ; *entry; ++entry) options.env.emplace_back(*entry);
  Result<io::RunOutput> ran = co_await io::run_program(context, std::move(options));
  if (!ran) co_return ran.error();
  if (!ran->status.ok()) co_return Error(Code::kInternal, cat(command.front(), ": ", ran->err));
  *took_ms = static_cast<double>((context.clock.now() - start).count()) / 1e6;
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> measure_apply(Context context, Options options) {
  if (options.rest().empty()) co_return Error(Code::kInvalid, "want the command after --");
  Result<io::HttpTarget> target = target_of_kubeconfig(options.text("kubeconfig"));
  if (!target) co_return target.error();
  const std::unique_ptr<io::HttpClient> client = io::HttpClient::create(context, std::move(*target));
  io::HttpClientRequest request;
  request.path = cat("/apis/apps/v1/namespaces/default/deployments?watch=1&fieldSelector=metadata.name%3D",
                     io::percent_encode(options.text("deployment")));
  Result<io::HttpClientResponse> watch = co_await client->request(std::move(request));
  if (!watch) co_return watch.error();
  if (watch->status != 200) co_return Error(Code::kInternal, cat("the watch was answered by ", watch->status));

  const Instant start = context.clock.now();
  io::Deadline deadline(context.loop, kPatience);
  double applied_ms = 0;
  io::TaskScope scope(deadline.token());
  scope.spawn(run_command(context, options.rest(), start, &applied_ms));
  Result<void> available = co_await wait_available(watch->body.get(), options.number("replicas", 1), scope.token());
  const double available_ms = static_cast<double>((context.clock.now() - start).count()) / 1e6;
  Result<void> ran = co_await scope.join();
  if (!ran) co_return ran;
  if (!available) co_return available;
  report("available_ms", available_ms, "from the command's start to the Deployment's availability");
  report("applied_ms", applied_ms, "of them until the command had ended");
  co_return Result<void>();
}

}  // namespace kayak::bench
