// api_server.cc: the server's parts put together, and the request pipeline's order: deadline, authorization, handler.
#include <optional>

#include "api/api.h"
#include "api/authorizer.h"
#include "api/bootstrap.h"
#include "api/claims.h"
#include "api/deletion.h"
#include "api/discovery.h"
#include "api/event_ttl.h"
#include "api/health.h"
#include "api/heartbeat_fold.h"
#include "api/http_server.h"
#include "api/openapi_handlers.h"
#include "api/pipeline.h"
#include "api/reads.h"
#include "api/request_info.h"
#include "api/request_metrics.h"
#include "api/reviews.h"
#include "api/server_parts.h"
#include "api/service_allocator.h"
#include "api/status.h"
#include "api/subresources.h"
#include "base/strings.h"
#include "base/version.h"

namespace kayak::api {

namespace {

json::Value version_document() {
  json::Value version;
  version["major"] = kVersionMajor;
  version["minor"] = kVersionMinor;
  version["gitVersion"] = kVersion;
  version["gitCommit"] = "";
  version["gitTreeState"] = "clean";
  version["buildDate"] = "1970-01-01T00:00:00Z";  // builds are reproducible
  version["goVersion"] = "";
  version["compiler"] = __VERSION__;
#if defined(__aarch64__)
  version["platform"] = "linux/arm64";
#elif defined(__arm__)
  version["platform"] = "linux/arm";
#else
  version["platform"] = "linux/amd64";
#endif
  return version;
}

PathAnswer text_answer(int status, std::string text, std::string content_type) {
  PathAnswer answer;
  answer.status = status;
  answer.content_type = std::move(content_type);
  answer.body.push_back(io::Slice::of(std::move(text)));
  return answer;
}

WatchCache::Options cache_options(const ApiServerOptions& options) {
  WatchCache::Options cache;
  cache.history_bytes = options.history_bytes;
  cache.history_age = options.history_age;
  return cache;
}

class Server final : public ApiServer {
 public:
  Server(Context context, store::Store& store, ApiServerOptions options, ServiceAllocator services)
      : context_(context.named("api")),
        store_(store),
        options_(std::move(options)),
        services_(std::move(services)),
        cache_(context_, store, cache_options(options_)),
        parts_{context_, store_, options_, cache_, services_, log_hook_},
        metrics_(context_.metrics),
        http_(context_, *this) {
    cache_.add_observer([this](const Kind& kind, const ObjectRef& before, const ObjectRef& after) {
      if (&kind == &kinds::services()) services_.observe(before, after);
    });
    if (!options_.absorb_heartbeats) cache_.heartbeats().close();
    add_checks();
    add_paths();
  }

  Task<Result<void>> run(StopToken stop) override;
  bool ready() const override { return ready_.is_set(); }
  Task<bool> wait_ready(StopToken stop) override { return ready_.wait(std::move(stop)); }
  Task<Result<ApiResponse>> handle(ApiRequest request, StopToken stop) override;
  io::HttpHandler http_handler() override {
    return [this](io::HttpExchange& exchange) { return http_.serve(exchange); };
  }
  WatchCache& cache() override { return cache_; }
  Task<Result<void>> repair_service_claims(std::uint64_t term, StopToken stop) override {
    return repair_claims(parts_, term, std::move(stop));
  }
  void set_log_hook(LogHook hook) override { log_hook_ = std::move(hook); }
  void add_readiness_check(std::string name, HealthCheck check) override {
    checks_.add(std::move(name), HealthChecks::Of::kReadiness, std::move(check));
  }

 private:
  void add_checks();
  void add_paths();
  Task<Result<ApiResponse>> route(ApiRequest& request, StopToken stop);
  Task<Result<ApiResponse>> route_stored(ApiRequest& request, StopToken stop);

  Context context_;
  store::Store& store_;
  ApiServerOptions options_;
  ServiceAllocator services_;
  WatchCache cache_;
  LogHook log_hook_;
  ServerParts parts_;
  HealthChecks checks_;
  RequestMetrics metrics_;
  HttpAdapter http_;
  io::Event ready_;
};

void Server::add_checks() {
  auto fine = [] { return Result<void>(); };
  auto loaded = [this]() -> Result<void> {
    if (cache_.loaded()) return Result<void>();
    return Error(Code::kUnavailable, "the watch cache is being filled");
  };
  auto stands = [this]() -> Result<void> {
    if (ready_.is_set()) return Result<void>();
    return Error(Code::kUnavailable, "the bootstrap objects are being made");
  };
  checks_.add("ping", HealthChecks::Of::kBoth, fine);
  // A server that cannot write now is alive nevertheless: a restart brings no leader.
  checks_.add("etcd", HealthChecks::Of::kAlwaysAlive, [this] { return store_.healthy(); });
  checks_.add("informer-sync", HealthChecks::Of::kReadiness, loaded);
  checks_.add("poststarthook/bootstrap", HealthChecks::Of::kReadiness, stands);
}

void Server::add_paths() {
  for (PathRow& row : discovery_paths()) http_.add_path(std::move(row));
  for (PathRow& row : openapi_handlers(kVersion)) http_.add_path(std::move(row));
  const std::string version = json::write_pretty(version_document());
  http_.add_path(PathRow{"/version", [version](const PathRequest&) -> Result<PathAnswer> {
                           return text_answer(200, version, "application/json");
                         }});
  http_.add_path(PathRow{"/metrics", [this](const PathRequest&) -> Result<PathAnswer> {
                           return text_answer(200, context_.metrics.to_text(), "text/plain; version=0.0.4");
                         }});
  for (std::string_view root : {"/livez/", "/readyz/", "/healthz/"}) {
    http_.add_path(PathRow{std::string(root), [this](const PathRequest& request) -> Result<PathAnswer> {
                             HealthAnswer answer = checks_.answer(request.path, request.query);
                             return text_answer(answer.status, std::move(answer.text), "text/plain; charset=utf-8");
                           }});
  }
  http_.add_path(PathRow{"/", [this](const PathRequest& request) -> Result<PathAnswer> {
                           if (request.path != "/") return no_such_path();
                           json::Array paths;
                           for (const PathRow& row : http_.paths()) {
                             if (row.path != "/")
                               paths.emplace_back(row.path.substr(0, row.path.find_last_not_of('/') + 1));
                           }
                           json::Value document;
                           document["paths"] = std::move(paths);
                           return text_answer(200, json::write_pretty(document), "application/json");
                         }});
}

Task<Result<void>> Server::run(StopToken stop) {
  if (auto loaded = co_await cache_.load(stop); !loaded) co_return loaded.error();
  io::TaskScope scope(stop);
  scope.spawn(cache_.follow(scope.token()));
  auto reconciled = co_await reconcile_bootstrap(*this, parts_, scope.token());
  if (reconciled) {
    ready_.set();
    scope.spawn(expire_events(parts_, scope.token()));
    scope.spawn(keep_folding_heartbeats(context_, store_, cache_, options_.heartbeat_link, options_.heartbeat_age,
                                        scope.token()));
  } else {
    scope.stop();
  }
  auto joined = co_await scope.join();
  cache_.end_watches();
  const HeartbeatLink* link = options_.heartbeat_link;
  if (link == nullptr || link->leads()) co_await fold_last_heartbeats(context_, store_, cache_);
  if (!reconciled && reconciled.error().code() != Code::kCancelled) co_return reconciled.error();
  co_return joined;
}

Task<Result<ApiResponse>> Server::handle(ApiRequest request, StopToken stop) {
  ASSERT(request.kind != nullptr);
  if (request.audit_id.empty()) request.audit_id = context_.random.uuid4();
  RequestMetrics::Started started = metrics_.begin(request, context_.clock.now());
  Result<ApiResponse> response = Error(Code::kUnavailable, "");
  if (auto allowed = authorize(request.user, request); !allowed) {
    response = allowed.error();
  } else if (!cache_.loaded()) {
    StatusDetails details;
    details.retry_after_seconds = 1;
    response = Error(Code::kUnavailable, "the server is starting", std::move(details));
  } else if (request.verb == Verb::kWatch || request.subresource == "log") {
    response = co_await route(request, stop);
  } else {
    io::Deadline deadline(context_.loop, options_.request_timeout, stop);
    response = co_await route(request, deadline.token());
    if (!response && response.error().code() == Code::kCancelled && deadline.expired()) {
      response = Error(Code::kTimeout,
                       "Timeout: request did not complete within requested timeout - context deadline exceeded",
                       StatusDetails());
    }
  }
  if (response) response->audit_id = request.audit_id;
  metrics_.end(started, response ? response->status : http_status(for_client(response.error()).code()),
               context_.clock.now());
  co_return response;
}

Task<Result<ApiResponse>> Server::route(ApiRequest& request, StopToken stop) {
  if (request.kind->storage_prefix.empty()) {
    if (request.kind->plural == "bindings") co_return co_await serve_binding(parts_, request, stop);
    co_return serve_unstored(parts_, request);
  }
  if (request.subresource == "scale") co_return co_await serve_scale(parts_, request, stop);
  if (request.subresource == "binding") co_return co_await serve_binding(parts_, request, stop);
  if (request.subresource == "log") co_return co_await serve_log(parts_, request, stop);
  co_return co_await route_stored(request, stop);
}

Task<Result<ApiResponse>> Server::route_stored(ApiRequest& request, StopToken stop) {
  switch (request.verb) {
    case Verb::kGet:
      return serve_get(parts_, request, std::move(stop));
    case Verb::kList:
      return serve_list(parts_, request, std::move(stop));
    case Verb::kWatch:
      return serve_watch(parts_, request, std::move(stop));
    case Verb::kCreate:
      return serve_create(parts_, request, std::move(stop));
    case Verb::kUpdate:
    case Verb::kPatch:
      return serve_update(parts_, request, std::move(stop));
    case Verb::kDelete:
      return serve_delete(parts_, request, std::move(stop));
    case Verb::kDeleteCollection:
      return serve_delete_collection(parts_, request, std::move(stop));
  }
  ASSERT(false);
}

}  // namespace

std::unique_ptr<ApiServer> ApiServer::create(Context context, store::Store& store, ApiServerOptions options) {
  Result<ServiceAllocator> services =
      ServiceAllocator::create(options.service_cidr, options.node_port_first, options.node_port_last);
  ASSERT(services.ok());  // flags are checked before (ServiceAllocator::create says what is wrong)
  return std::make_unique<Server>(std::move(context), store, std::move(options), std::move(*services));
}

}  // namespace kayak::api
