// option_checks.cc: see option_checks.h.
#include "cli/option_checks.h"

#include <arpa/inet.h>

#include "api/validation/cron.h"
#include "base/strings.h"
#include "cli/snapshot_schedule.h"
#include "cli/token.h"
#include "io/http.h"
#include "store/etcd/client.h"
#include "store/member.h"

namespace kayak::cli {

namespace {

bool is_ip(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

}  // namespace

std::string check_ip(const std::string& text) { return is_ip(text) ? "" : "is not an IP address"; }

std::string check_cidr(const std::string& text) {
  const std::size_t slash = text.find('/');
  unsigned char bytes[16];
  std::int64_t bits = 0;
  if (slash == std::string::npos || !parse_int64(text.substr(slash + 1), &bits)) {
    return "is not a range of addresses like 10.42.0.0/16";
  }
  const std::string ip = text.substr(0, slash);
  if (inet_pton(AF_INET6, ip.c_str(), bytes) == 1) return "is an IPv6 range; Kayak serves IPv4 clusters so far";
  if (inet_pton(AF_INET, ip.c_str(), bytes) != 1 || bits < 8 || bits > 30) {
    return "is not a range of addresses like 10.42.0.0/16 (prefix 8 to 30)";
  }
  return "";
}

// RFC 1123 subdomain, as node names are.
std::string check_node_name(const std::string& text) {
  const char* reason =
      "must consist of lower case letters, digits, '-' and '.', and start and end with one of the first two";
  if (text.empty() || text.size() > 253) return "must have 1 to 253 characters";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool edge = i == 0 || i + 1 == text.size() || text[i - 1] == '.' || text[i + 1] == '.';
    if (!(alnum || (!edge && (c == '-' || c == '.')))) return reason;
  }
  return "";
}

std::string check_absolute(const std::string& text) {
  return !text.empty() && text[0] == '/' ? "" : "must be an absolute path";
}

std::string check_label(const std::string& text) {
  const std::size_t equals = text.find('=');
  return equals != std::string::npos && equals > 0 ? "" : "must be key=value";
}

std::string check_taint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const std::string effect = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (colon == 0 || (effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute")) {
    return "must be key[=value]:NoSchedule, :PreferNoSchedule or :NoExecute";
  }
  return "";
}

std::string check_log_level(const std::string& text) {
  LogLevel level;
  return parse_log_level(text, &level) ? "" : "must be trace, debug, info, warn, error or off";
}

std::string check_listen(const std::string& text) {
  return parse_listen_address(text) ? "" : "must be address:port, such as 127.0.0.1:2379";
}

std::string check_runtime(const std::string& text) {
  return text == "runc" || text == "crun" ? "" : "must be runc or crun";
}

std::string check_datastore(const std::string& text) {
  for (const char* other : {"mysql://", "postgres://", "postgresql://", "sqlite://", "nats://"}) {
    if (text.starts_with(other)) return "names a database; Kayak keeps its data in its own store or in etcd";
  }
  const Result<void> good = store::etcd::check_endpoint(text);
  return good ? "" : good.error().message();
}

std::string check_server_url(const std::string& text) {
  const Result<io::Url> url = io::parse_url(text);
  const bool plain = url && url->scheme == "https" && !url->host.empty() && url->query.empty() &&
                     (url->path.empty() || url->path == "/");
  return plain ? "" : "must be like https://first:6443";
}

std::string check_peer_address(const std::string& text) {
  return store::parse_host_port(text) ? "" : "must be host:port, an IPv6 address in brackets";
}

std::string check_schedule(const std::string& text) {
  const Result<api::validation::CronSchedule> schedule = api::validation::parse_cron(text);
  if (!schedule) return cat("is no schedule: ", schedule.error().message());
  if (!schedule->time_zone.empty()) return "must name no time zone: the machine's own counts";
  return next_time(*schedule, 0) != 0 ? "" : "names no day that ever comes";
}

Result<io::Endpoint> parse_listen_address(std::string_view text) {
  io::Endpoint endpoint;
  const std::size_t colon = text.rfind(':');
  std::int64_t port = 0;
  if (colon != std::string_view::npos && parse_int64(text.substr(colon + 1), &port) && port > 0 && port <= 65535) {
    std::string_view host = text.substr(0, colon);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    endpoint.ip = host;
    endpoint.port = static_cast<std::uint16_t>(port);
    if (is_ip(endpoint.ip) && brackets == (host.find(':') != std::string_view::npos)) return endpoint;
  }
  return Error(Code::kInvalid, cat(quote(text), " is not address:port"));
}

namespace {

std::uint32_t ipv4_of(const std::string& text) {
  in_addr address{};
  inet_pton(AF_INET, text.c_str(), &address);
  return ntohl(address.s_addr);
}

struct Range {
  std::uint32_t first, mask;
};
Range range_of(const std::string& cidr) {
  const std::size_t slash = cidr.find('/');
  std::int64_t bits = 0;
  parse_int64(cidr.substr(slash + 1), &bits);
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return Range{ipv4_of(cidr.substr(0, slash)) & mask, mask};
}

// The flags by which servers come together. Whether --server needs a token is known only when the data directory is
// looked at: a server that has joined does not.
std::string check_cluster(const ServerOptions& options) {
  if (options.cluster_init && !options.server.empty()) {
    return "--cluster-init makes a cluster and --server joins one: give one of them";
  }
  if (options.witness && options.server.empty()) {
    return "--witness needs --server: a witness belongs to two servers that are there already";
  }
  if (options.cluster_reset && options.witness) return "--cluster-reset is for servers: a witness has nothing to keep";
  if (options.cluster_reset && !options.server.empty()) {
    return "--cluster-reset leaves this server alone in its cluster: it cannot join another with --server";
  }
  if (!options.token.empty() && !options.token_file.empty()) return "give --token or --token-file, not both";
  if (options.token.empty()) return "";
  const Result<Token> token = parse_token(options.token);
  return token ? "" : cat("--token: ", token.error().message());
}

std::string check_datastore_options(const ServerOptions& options) {
  const bool files =
      !options.datastore_cafile.empty() || !options.datastore_certfile.empty() || !options.datastore_keyfile.empty();
  if (files && options.datastore_endpoint.empty()) {
    return "--datastore-cafile, --datastore-certfile and --datastore-keyfile need --datastore-endpoint";
  }
  if (options.datastore_certfile.empty() != options.datastore_keyfile.empty()) {
    return "--datastore-certfile and --datastore-keyfile go together";
  }
  const bool group = options.witness || options.cluster_reset;
  if (group && !options.datastore_endpoint.empty()) {
    return "--witness and --cluster-reset are for Kayak's own store; the members of --datastore-endpoint are etcd's, "
           "see "
           "etcdctl member";
  }
  if (!options.snapshot_schedule_cron.empty() && !options.datastore_endpoint.empty()) {
    return "--snapshot-schedule-cron saves Kayak's own store; what --datastore-endpoint holds is saved with etcd's "
           "tools, e.g. a timer that runs etcdctl snapshot save";
  }
  return "";
}

}  // namespace

std::string check_together(const ServerOptions& options) {
  const Range pods = range_of(options.cluster_cidr);
  const Range services = range_of(options.service_cidr);
  const std::uint32_t both = pods.mask & services.mask;
  if ((pods.first & both) == (services.first & both)) {
    return cat("--cluster-cidr ", options.cluster_cidr, " and --service-cidr ", options.service_cidr, " overlap");
  }
  if (!is_ip(options.cluster_dns) || (ipv4_of(options.cluster_dns) & services.mask) != services.first) {
    return cat("--cluster-dns ", options.cluster_dns, " is not inside --service-cidr ", options.service_cidr);
  }
  if (options.snapshot_retention == 0) return "--snapshot-retention must be at least 1";
  if (options.https_listen_port == 0) return "--https-listen-port must be 1 to 65535";
  if (options.disable_agent && options.stop_pods_on_exit) {
    return "--stop-pods-on-exit needs the node agent, which --disable-agent leaves out";
  }
  if (std::string wrong = check_cluster(options); !wrong.empty()) return wrong;
  return check_datastore_options(options);
}

}  // namespace kayak::cli
