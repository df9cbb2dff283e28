// join_server.cc: see join_server.h.
#include "cli/join_server.h"

#include "base/strings.h"
#include "cli/token.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

io::Headers headers_of(std::string_view type) {
  io::Headers headers;
  headers.add("content-type", type);
  headers.add("x-content-type-options", "nosniff");
  headers.add("cache-control", "no-store");
  return headers;
}

Task<void> refuse(io::HttpExchange& exchange, int status, std::string_view why) {
  io::Headers headers = headers_of("text/plain; charset=utf-8");
  if (status == 429) headers.add("retry-after", std::to_string(FailureLimiter::kInterval / std::chrono::seconds(1)));
  io::Slices body;
  body.push_back(io::Slice::of(cat(why, "\n")));
  (void)co_await exchange.send(status, std::move(headers), std::move(body));
}

int status_of(Code code) {
  switch (code) {
    case Code::kUnauthorized:
      return 401;
    case Code::kTooManyRequests:
      return 429;
    case Code::kTooLarge:
      return 413;
    case Code::kBadRequest:
    case Code::kInvalid:
      return 400;
    default:
      return 500;
  }
}

void add_pair(JoinBundle* bundle, const std::string& name, const KeyPair& pair, bool with_key) {
  bundle->files[name + ".crt"] = pair.certificate_pem;
  if (with_key) bundle->files[name + ".key"] = pair.key_pem;
}

}  // namespace

JoinServer::JoinServer(Context context, const ServerKeys& keys, std::string secret, MemberSource members)
    : context_(std::move(context)), keys_(keys), secret_(std::move(secret)), members_(std::move(members)) {}

io::HttpHandler JoinServer::in_front_of(io::HttpHandler next) {
  return [this, next = std::move(next)](io::HttpExchange& exchange) {
    const std::string& path = exchange.request().path;
    if (path == kCaCertsPath) return serve_ca(exchange);
    if (path == kBundlePath) return serve_bundle(exchange);
    return next(exchange);
  };
}

Task<void> JoinServer::serve_ca(io::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  if (method != "GET" && method != "HEAD") co_return co_await refuse(exchange, 405, "only GET");
  io::Slices body;
  body.push_back(io::Slice::of(keys_.server_ca.certificate_pem));
  (void)co_await exchange.send(200, headers_of("application/x-pem-file"), std::move(body));
}

Task<void> JoinServer::serve_bundle(io::HttpExchange& exchange) {
  if (exchange.request().method != "POST") co_return co_await refuse(exchange, 405, "only POST");
  const std::string source = exchange.request().remote.ip;
  Result<std::string> response = co_await answer(exchange);
  if (!response) {
    const Error& error = response.error();
    if (error.code() == Code::kCancelled) co_return;
    const char* event = error.code() == Code::kUnauthorized ? "a server that does not know the token was turned away"
                                                            : "a joining server was turned away";
    if (error.code() != Code::kTooManyRequests)
      context_.log.warn(event, {{"source", source}, {"why", error.message()}});
    co_return co_await refuse(exchange, status_of(error.code()), error.message());
  }
  io::Slices body;
  body.push_back(io::Slice::of(std::move(*response)));
  (void)co_await exchange.send(200, headers_of("application/octet-stream"), std::move(body));
}

Task<Result<std::string>> JoinServer::answer(io::HttpExchange& exchange) {
  const std::string source = exchange.request().remote.ip;
  if (!limiter_.allows(source, context_.clock.now())) {
    co_return Error(Code::kTooManyRequests, "too many wrong tokens from this address");
  }
  const std::string authorization(exchange.request().headers.get("authorization"));
  Result<std::string> body = co_await exchange.body().read_all(kMaxJoinRequestBytes, exchange.gone());
  if (!body) co_return body.error();
  if (!key_) co_await derive_key();
  // Asked again: many may have come while the body was on its way.
  if (!limiter_.allows(source, context_.clock.now())) {
    co_return Error(Code::kTooManyRequests, "too many wrong tokens from this address");
  }
  const bool scheme = authorization.starts_with(kJoinScheme);
  if (!scheme || !key_->proves(*body, std::string_view(authorization).substr(kJoinScheme.size()))) {
    limiter_.failed(source, context_.clock.now());
    co_return Error(Code::kUnauthorized, "the token is not this cluster's");
  }
  Result<JoinRequest> request = decode_join_request(*body);
  if (!request) co_return request.error();
  Result<JoinBundle> bundle = bundle_for(*request);
  if (!bundle) co_return bundle.error();
  context_.log.info(
      request->witness ? "gave a joining witness its certificate" : "gave a joining server the cluster's keys",
      {{"name", request->name}, {"source", source}});
  co_return key_->seal(context_.random, request->nonce, encode_join_bundle(*bundle));
}

Result<JoinBundle> JoinServer::bundle_for(const JoinRequest& request) {
  JoinBundle bundle;
  Result<std::string> cluster = store::cluster_id(keys_.peer_ca.certificate_pem);
  if (!cluster) return cluster.error();
  bundle.members.cluster = std::move(*cluster);
  if (members_) bundle.members.members = members_();
  const bool with_keys = !request.witness;
  add_pair(&bundle, "server-ca", keys_.server_ca, with_keys);
  add_pair(&bundle, "client-ca", keys_.client_ca, with_keys);
  add_pair(&bundle, "front-proxy-ca", keys_.front_proxy_ca, with_keys);
  add_pair(&bundle, "peer-ca", keys_.peer_ca, with_keys);
  add_pair(&bundle, "etcd-client-ca", keys_.etcd_client_ca, with_keys);
  if (with_keys) {
    bundle.files["service-account.key"] = keys_.service_account_key_pem;
    return bundle;
  }
  Result<std::string> public_key = io::requested_public_key(request.certificate_request);
  if (!public_key) return public_key.error();
  Result<std::string> certificate =
      issue_witness_certificate(context_.random, context_.clock.wall(), keys_.peer_ca, *public_key);
  if (!certificate) return certificate.error();
  bundle.files["peer.crt"] = std::move(*certificate);
  return bundle;
}

Task<void> JoinServer::derive_key() {
  if (deriving_) {
    co_await derived_.wait();
    co_return;
  }
  deriving_ = true;
  const std::string secret = secret_, hash = ca_hash(keys_.server_ca.certificate_pem);
  auto work = [secret, hash] { return JoinKey::derive(secret, hash); };
  JoinKey key = co_await context_.loop.offload(std::move(work));
  key_ = std::move(key);
  derived_.set();
}

}  // namespace kayak::cli
