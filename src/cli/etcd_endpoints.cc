// etcd_endpoints.cc: see etcd_endpoints.h.
#include "cli/etcd_endpoints.h"

#include "base/strings.h"
#include "cli/option_checks.h"
#include "io/grpc_server.h"

namespace kayak::cli {

namespace {

io::TlsServerOptions tls_options(const ServerKeys& keys) {
  io::TlsServerOptions tls;
  tls.certificate_pem = keys.etcd_server.certificate_pem;
  tls.key_pem = keys.etcd_server.key_pem;
  tls.client_ca_pem = keys.etcd_client_ca.certificate_pem;
  tls.client_required = true;
  tls.alpn = {"h2"};
  return tls;
}

}  // namespace

EtcdEndpoints::EtcdEndpoints(Context context, const ServerOptions& options, store::Store& store,
                             store::Members* members)
    : context_(std::move(context)), options_(options), store_(store), members_(members) {}

Result<void> EtcdEndpoints::open(const ClusterIdentity& cluster, const ServerKeys& keys, const std::string& advertise) {
  const std::string path = options_.data_dir + "/server/etcd.sock";
  Result<std::unique_ptr<io::Listener>> unix_listener = io::listen_unix(context_, path);
  store::etcd::ServerOptions options;
  options.name = options_.node_name;
  if (unix_listener) options.client_urls.push_back(cat("unix://", path));
  std::unique_ptr<io::Listener> tls_listener;
  if (!options_.etcd_listen.empty()) {
    Result<io::Endpoint> at = parse_listen_address(options_.etcd_listen);
    if (!at) return at.error();
    Result<std::unique_ptr<io::Listener>> listener = io::listen_tcp(context_, *at);
    if (!listener) return listener.error();
    tls_listener = std::move(*listener);
    if (at->ip == "0.0.0.0" || at->ip == "::") at->ip = advertise;
    options.client_urls.push_back(cat("https://", at->to_string()));
  }
  options.cluster_id = store::parse_member_id(cluster.cluster);
  options.member_id = cluster.self.id;
  options.members = members_;
  if (members_ != nullptr) options.protected_prefix = store::kMemberPrefix;
  etcd_ = store::etcd::Server::create(store_, options);
  if (unix_listener) {
    serve(std::move(*unix_listener), nullptr);
  } else {
    context_.log.warn("no etcd endpoint", {{"error", unix_listener.error().message()}});
  }
  if (!tls_listener) return Result<void>();
  Result<std::unique_ptr<io::TlsServer>> tls = io::TlsServer::create(context_.named("tls"), tls_options(keys));
  if (!tls) return tls.error();
  tls_ = std::move(*tls);
  serve(std::move(tls_listener), tls_.get());
  return Result<void>();
}

void EtcdEndpoints::serve(std::unique_ptr<io::Listener> listener, io::TlsServer* tls) {
  http_.push_back(io::HttpServer::create(context_.named("etcd"), std::move(listener), tls, io::grpc_limits(),
                                         etcd_->http_handler()));
}

Result<void> EtcdEndpoints::show(const ServerKeys& keys) {
  return tls_ ? tls_->replace(tls_options(keys)) : Result<void>();
}

void EtcdEndpoints::run(io::TaskScope& scope) {
  for (const auto& http : http_) scope.spawn(http->run(scope.token()));
}

}  // namespace kayak::cli
