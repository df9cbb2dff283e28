// options.cc: flags by CLI11 (this file alone sees it), then KAYAK_* variables, then the config file, then the checks.
#include "cli/options.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>

#include "api/validation/cron.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "cli/token.h"
#include "io/http.h"
#include "io/tls.h"
#include "store/etcd/client.h"
#include "store/member.h"

namespace kayak::cli {

namespace {

constexpr const char* kDefaultConfig = "/etc/kayak/config.yaml";
constexpr const char* kDefaultDataDir = "/var/lib/kayak";

// ---- checks of single values; each returns "" or the reason

bool is_ip(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

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
  return schedule->time_zone.empty() ? "" : "must name no time zone: the machine's own counts";
}

// ---- one table of flags per verb

struct Flag {
  const char* name;  // without --
  const char* help;
  std::vector<std::string>* list = nullptr;  // exactly one of list, text, number and boolean
  std::string* text = nullptr;
  std::uint16_t* number = nullptr;
  bool* boolean = nullptr;
  std::function<std::string(const std::string&)> check = nullptr;
  CLI::Option* option = nullptr;
};

std::string variable_of(const Flag& flag) {
  std::string name = "KAYAK_";
  for (const char* c = flag.name; *c != '\0'; ++c) name += *c == '-' ? '_' : static_cast<char>(std::toupper(*c));
  return name;
}

void add_flags(CLI::App& app, std::vector<Flag>& flags) {
  for (Flag& flag : flags) {
    const std::string name = cat("--", flag.name);
    const std::string help = cat(flag.help, " [$", variable_of(flag), "]");
    if (flag.boolean) flag.option = app.add_flag(name, *flag.boolean, help);
    if (flag.text) flag.option = app.add_option(name, *flag.text, help)->capture_default_str();
    if (flag.number) flag.option = app.add_option(name, *flag.number, help)->capture_default_str();
    if (flag.list) flag.option = app.add_option(name, *flag.list, help)->delimiter(',')->take_all();
    if (!flag.list && !flag.boolean) flag.option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
}

// Assigns a value that came from a variable or the config file; "" or the reason.
std::string assign(Flag& flag, const std::vector<std::string>& values) {
  if (flag.list) {
    for (const std::string& value : values) {
      for (std::string_view part : split(value, ',')) flag.list->emplace_back(part);
    }
    return "";
  }
  if (values.size() != 1) return "takes one value";
  const std::string& value = values.front();
  if (flag.text) *flag.text = value;
  if (flag.number) {
    std::int64_t number = 0;
    if (!parse_int64(value, &number) || number < 0 || number > 65535) return "is not a number from 0 to 65535";
    *flag.number = static_cast<std::uint16_t>(number);
  }
  if (flag.boolean) {
    if (value != "true" && value != "false") return "must be true or false";
    *flag.boolean = value == "true";
  }
  return "";
}

// The config file's values by flag name. Errors: the file's path and what is wrong with it.
Result<std::map<std::string, std::vector<std::string>>> read_config(const std::string& path) {
  std::map<std::string, std::vector<std::string>> values;
  Result<std::string> text = read_file(path, 1 << 20);
  if (!text) return text.error();
  if (trim(*text).empty()) return values;
  yaml::ReadLimits limits;
  std::vector<std::string> duplicates;
  limits.duplicates = &duplicates;
  Result<json::Value> document = yaml::read(*text, limits);
  if (!document) return document.error();
  if (!duplicates.empty()) return Error(Code::kBadRequest, cat("key ", quote(duplicates.front()), " stands twice"));
  if (document->is_null()) return values;
  if (!document->is_object()) return Error(Code::kBadRequest, "must hold flag names as keys, e.g. 'node-name: boat'");
  for (const auto& [key, value] : document->as_object()) {
    auto scalar = [](const json::Value& v) { return v.is_string() ? v.as_string() : json::write(v); };
    if (value.is_array()) {
      std::vector<std::string>& list = values[key];
      for (const json::Value& item : value.as_array()) {
        if (item.is_object() || item.is_array())
          return Error(Code::kBadRequest, cat(quote(key), " holds more than text"));
        list.push_back(scalar(item));
      }
    } else if (value.is_object() || value.is_null()) {
      return Error(Code::kBadRequest, cat(quote(key), " needs a value or a list of values"));
    } else {
      values[key].push_back(scalar(value));
    }
  }
  return values;
}

std::string environment_value(const std::vector<std::string>& environment, const std::string& name, bool* found) {
  *found = false;
  for (const std::string& entry : environment) {
    if (entry.size() > name.size() && entry[name.size()] == '=' && entry.compare(0, name.size(), name) == 0) {
      *found = true;
      return entry.substr(name.size() + 1);
    }
  }
  return "";
}

// Fills what the command line left open, then checks every value. "" or one line of error.
std::string complete(std::vector<Flag>& flags, const std::string& config_path, bool config_required,
                     const std::vector<std::string>& environment) {
  std::map<std::string, std::vector<std::string>> config;
  if (config_required || file_exists(config_path)) {
    auto read = read_config(config_path);
    if (!read) return cat("config file ", config_path, ": ", read.error().message());
    config = std::move(*read);
  }
  for (auto& [key, values] : config) {
    const bool known = std::any_of(flags.begin(), flags.end(), [&key = key](const Flag& f) { return key == f.name; });
    if (!known)
      return cat("config file ", config_path, ": unknown key ", quote(key), "; keys are flag names without --");
  }
  for (Flag& flag : flags) {
    std::string source = cat("--", flag.name);
    if (flag.option->count() == 0) {
      bool in_environment = false;
      const std::string value = environment_value(environment, variable_of(flag), &in_environment);
      std::string reason;
      if (in_environment) {
        source = variable_of(flag);
        reason = assign(flag, {value});
      } else if (auto it = config.find(flag.name); it != config.end()) {
        source = cat("config file ", config_path, ": ", flag.name);
        reason = assign(flag, it->second);
      }
      if (!reason.empty()) return cat(source, " ", reason);
    }
    if (!flag.check) continue;
    if (flag.text && !flag.text->empty()) {
      if (std::string reason = flag.check(*flag.text); !reason.empty())
        return cat(source, " ", quote(*flag.text), " ", reason);
    }
    if (flag.list) {
      for (const std::string& item : *flag.list) {
        if (std::string reason = flag.check(item); !reason.empty()) return cat(source, " ", quote(item), " ", reason);
      }
    }
  }
  return "";
}

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

// What only makes sense, or not, together.
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
  return check_cluster(options);
}

void add_snapshot_verbs(CLI::App& app, SnapshotOptions* options) {
  CLI::App* save = app.add_subcommand("save", "Save the running server's state and keys, encrypted");
  CLI::Option* name = save->add_option("--name", options->name, "The snapshot is called <name>-<node>-<time>")
                          ->capture_default_str()
                          ->check([](const std::string& text) {
                            const bool plain = !text.empty() && text.find('/') == std::string::npos && text[0] != '.';
                            return plain ? std::string() : std::string("must be the beginning of a file's name");
                          });
  save->add_option("--output", options->output, "Write to this file instead, or to standard output: -")->excludes(name);
  CLI::App* list = app.add_subcommand("ls", "List the snapshots in the folder");
  auto set_json = [options](const std::string& format) { options->json = format == "json"; };
  list->add_option_function<std::string>("-o", set_json, "Output: table or json")
      ->check(CLI::IsMember({"table", "json"}));
  CLI::App* check = app.add_subcommand("check", "Read a snapshot whole and say whether it is good");
  CLI::App* restore =
      app.add_subcommand("restore", "Make a new server's data directory from a snapshot; no server may run on it");
  for (CLI::App* verb : {check, restore}) {
    verb->add_option("file", options->file, "Path, name in the folder, or - for standard input")->required();
  }
  for (CLI::App* verb : {save, list, check, restore}) verb->fallthrough();
}

std::string check_datastore_together(const ServerOptions& options) {
  const bool files =
      !options.datastore_cafile.empty() || !options.datastore_certfile.empty() || !options.datastore_keyfile.empty();
  if (files && options.datastore_endpoint.empty()) {
    return "--datastore-cafile, --datastore-certfile and --datastore-keyfile need --datastore-endpoint";
  }
  if (options.datastore_certfile.empty() != options.datastore_keyfile.empty()) {
    return "--datastore-certfile and --datastore-keyfile go together";
  }
  const bool group = !options.server.empty() || options.witness || options.cluster_reset;
  if (group && !options.datastore_endpoint.empty()) {
    return "--server, --witness and --cluster-reset are for Kayak's own store; the members of --datastore-endpoint are "
           "etcd's, see etcdctl member";
  }
  if (!options.snapshot_schedule_cron.empty() && !options.datastore_endpoint.empty()) {
    return "--snapshot-schedule-cron saves Kayak's own store; what --datastore-endpoint holds is saved with etcd's "
           "tools, e.g. a timer that runs etcdctl snapshot save";
  }
  return "";
}

CommandLine fail(std::string line) {
  CommandLine result;
  result.exit_code = 2;
  result.text = cat("kayak: ", line, "\n");
  return result;
}

}  // namespace

std::string ServerOptions::instance() const {
  return data_dir == kDefaultDataDir ? "" : hex_encode(io::sha256(data_dir).substr(0, 3));
}

std::string ServerOptions::run_dir() const {
  const std::string id = instance();
  return id.empty() ? "/run/kayak" : cat("/run/kayak-", id);
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

CommandLine parse_command_line(const std::vector<std::string>& args, const std::vector<std::string>& environment) {
  CommandLine line;
  ServerOptions& server = line.server;
  std::string log_level = "info";
  std::string config_path = kDefaultConfig;

  CLI::App app("Kayak: Kubernetes for one small boat. One binary is a whole cluster.", "kayak");
  app.require_subcommand(0, 1);
  app.set_help_all_flag("--help-all", "Help of every command");

  CLI::App* server_app = app.add_subcommand("server", "Run a Kubernetes server and, unless told otherwise, a node");
  std::vector<Flag> server_flags = {
      {.name = "data-dir", .help = "Folder that holds all state", .text = &server.data_dir, .check = check_absolute},
      {.name = "bind-address", .help = "Address the API listens on", .text = &server.bind_address, .check = check_ip},
      {.name = "https-listen-port", .help = "Port the API listens on", .number = &server.https_listen_port},
      {.name = "advertise-address",
       .help = "Address told to the cluster (default: the node's)",
       .text = &server.advertise_address,
       .check = check_ip},
      {.name = "etcd-listen",
       .help =
           "address:port for etcd clients (etcdctl) over TLS. Who shows a certificate of the etcd client CA there, as "
           "<data-dir>/server/tls/etcd-client.crt is, may read and write everything, secrets included. Off by "
           "default: the machine's root has <data-dir>/server/etcd.sock",
       .text = &server.etcd_listen,
       .check = check_listen},
      {.name = "tls-san", .help = "More names or addresses for the serving certificate", .list = &server.tls_sans},
      {.name = "write-kubeconfig",
       .help = "Where the admin kubeconfig is written, mode 0600",
       .text = &server.write_kubeconfig,
       .check = check_absolute},
      {.name = "cluster-cidr", .help = "Addresses of pods", .text = &server.cluster_cidr, .check = check_cidr},
      {.name = "service-cidr", .help = "Addresses of services", .text = &server.service_cidr, .check = check_cidr},
      {.name = "cluster-dns",
       .help = "Address of the cluster's DNS service",
       .text = &server.cluster_dns,
       .check = check_ip},
      {.name = "disable-agent", .help = "Run no node here", .boolean = &server.disable_agent},
      {.name = "stop-pods-on-exit",
       .help = "End the node's containers when the server stops",
       .boolean = &server.stop_pods_on_exit},
      {.name = "node-name",
       .help = "Name of this node (default: the host's name)",
       .text = &server.node_name,
       .check = check_node_name},
      {.name = "node-ip",
       .help = "Address of this node (default: that of the default route)",
       .text = &server.node_ip,
       .check = check_ip},
      {.name = "node-label",
       .help = "Labels of the node at registration, key=value",
       .list = &server.node_labels,
       .check = check_label},
      {.name = "node-taint",
       .help = "Taints of the node at registration, key=value:effect",
       .list = &server.node_taints,
       .check = check_taint},
      {.name = "private-registry",
       .help = "Registry mirrors and credentials",
       .text = &server.private_registry,
       .check = check_absolute},
      {.name = "runtime", .help = "OCI runtime: runc or crun", .text = &server.runtime, .check = check_runtime},
      {.name = "datastore-endpoint",
       .help = "An existing etcd cluster to keep all data in: https://host:2379, one or more",
       .list = &server.datastore_endpoint,
       .check = check_datastore},
      {.name = "datastore-cafile",
       .help = "CA of the datastore's certificates (default: the system's)",
       .text = &server.datastore_cafile,
       .check = check_absolute},
      {.name = "datastore-certfile",
       .help = "Client certificate for the datastore",
       .text = &server.datastore_certfile,
       .check = check_absolute},
      {.name = "datastore-keyfile",
       .help = "Key of the client certificate for the datastore",
       .text = &server.datastore_keyfile,
       .check = check_absolute},
      {.name = "cluster-init",
       .help = "Accepted for k3s' sake: without --server a server always begins a cluster that others can join",
       .boolean = &server.cluster_init},
      {.name = "server",
       .help = "Join the cluster of this server, e.g. https://first:6443; needs its token",
       .text = &server.server,
       .check = check_server_url},
      {.name = "token",
       .help = "The cluster's secret, at least 16 characters, or all of the first server's <data-dir>/server/token, "
               "which names its CA, too. Other users of the machine see command lines: better --token-file",
       .text = &server.token},
      {.name = "token-file", .help = "File that holds the token", .text = &server.token_file, .check = check_absolute},
      {.name = "peer-address",
       .help = "host:port at which other servers reach this one (default: the advertised address and port)",
       .list = &server.peer_addresses,
       .check = check_peer_address},
      {.name = "witness",
       .help = "Be the third vote of two servers: no data, no API, no node; needs --server",
       .boolean = &server.witness},
      {.name = "cluster-reset",
       .help = "Last resort when most servers are lost: make this one the only member, keep its data, and end",
       .boolean = &server.cluster_reset},
      {.name = "snapshot-schedule-cron",
       .help = "When the server saves a snapshot of itself, e.g. '0 */12 * * *' or @daily (default: never)",
       .text = &server.snapshot_schedule_cron,
       .check = check_schedule},
      {.name = "snapshot-retention",
       .help = "So many scheduled snapshots are kept",
       .number = &server.snapshot_retention},
      {.name = "snapshot-dir",
       .help = "Folder of snapshots, better on another disk (default: <data-dir>/server/db/snapshots)",
       .text = &server.snapshot_dir,
       .check = check_absolute},
      {.name = "snapshot-passphrase-file",
       .help = "File with the passphrase of scheduled snapshots (default: <data-dir>/server/token)",
       .text = &server.snapshot_passphrase_file,
       .check = check_absolute},
      {.name = "log-level",
       .help = "trace, debug, info, warn, error or off",
       .text = &log_level,
       .check = check_log_level},
  };
  add_flags(*server_app, server_flags);
  CLI::Option* config =
      server_app->add_option("--config", config_path, "YAML file with flag names as keys [$KAYAK_CONFIG]")
          ->capture_default_str();

  CLI::App* image_app = app.add_subcommand("image", "Look after the node's images; works while the server runs");
  image_app->require_subcommand(1);
  std::vector<Flag> image_flags = {
      {.name = "data-dir", .help = "The server's --data-dir", .text = &line.image.data_dir, .check = check_absolute},
      {.name = "private-registry",
       .help = "Registry mirrors and credentials",
       .text = &line.image.private_registry,
       .check = check_absolute},
  };
  add_flags(*image_app, image_flags);
  struct Verb {
    const char* name;
    const char* help;
    const char* argument;  // null: none
  };
  for (const Verb& verb : {Verb{"pull", "Pull images from their registries", "reference"},
                           Verb{"import", "Import images from docker or OCI archives", "archive"},
                           Verb{"ls", "List the images", nullptr}, Verb{"rm", "Remove images", "reference"}}) {
    CLI::App* verb_app = image_app->add_subcommand(verb.name, verb.help);
    verb_app->fallthrough();  // --data-dir may stand behind the verb
    if (verb.argument) verb_app->add_option(verb.argument, line.image.names, "One or more")->required();
  }

  CLI::App* snapshot_app = app.add_subcommand("snapshot", "Save a cluster's state and keys in a file, and restore it");
  snapshot_app->require_subcommand(1);
  SnapshotOptions& snapshot = line.snapshot;
  std::vector<Flag> snapshot_flags = {
      {.name = "data-dir", .help = "The server's --data-dir", .text = &snapshot.data_dir, .check = check_absolute},
      {.name = "snapshot-dir",
       .help = "Folder of snapshots (default: <data-dir>/server/db/snapshots)",
       .text = &snapshot.dir,
       .check = check_absolute},
      {.name = "passphrase-file",
       .help = "File with the passphrase of snapshots (default: <data-dir>/server/token)",
       .text = &snapshot.passphrase_file},
  };
  add_flags(*snapshot_app, snapshot_flags);
  add_snapshot_verbs(*snapshot_app, &snapshot);
  CLI::App* member_app = app.add_subcommand("member", "Look after the cluster's servers; asks the one of this machine");
  member_app->require_subcommand(1);
  std::vector<Flag> member_flags = {
      {.name = "data-dir", .help = "The server's --data-dir", .text = &line.member.data_dir, .check = check_absolute},
  };
  add_flags(*member_app, member_flags);
  std::string member_output;
  for (const Verb& verb : {Verb{"list", "List the members", nullptr}, Verb{"add", "Say how a server joins", nullptr},
                           Verb{"remove", "Remove a member for good", "member"},
                           Verb{"promote", "Give a learner its vote now", "member"}}) {
    CLI::App* verb_app = member_app->add_subcommand(verb.name, verb.help);
    verb_app->fallthrough();
    if (verb.argument) verb_app->add_option(verb.argument, line.member.member, "Its id or its name")->required();
    if (verb.name == std::string_view("list")) {
      verb_app->add_option("-o,--output", member_output, "json, or a table when it is not given")
          ->check(CLI::IsMember({"json"}));
    }
  }

  CLI::App* version_app = app.add_subcommand("version", "Print the version");

  try {
    // CLI11 takes them last first.
    std::vector<std::string> reversed(args.rbegin(), args.rend());
    app.parse(reversed);
  } catch (const CLI::CallForAllHelp&) {
    line.exit_code = 0;
    line.text = app.help("", CLI::AppFormatMode::All);
    return line;
  } catch (const CLI::CallForHelp&) {
    const CLI::App* shown = &app;
    std::string parents;
    while (!shown->get_subcommands().empty()) {
      parents += cat(parents.empty() ? "" : " ", shown->get_name());
      shown = shown->get_subcommands().front();
    }
    line.exit_code = 0;
    line.text = shown->help(parents);
    return line;
  } catch (const CLI::Error& e) {
    std::string what = e.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    return fail(cat(what, " (see kayak --help)"));
  } catch (const std::exception& e) {
    return fail(e.what());
  }

  if (version_app->parsed()) {
    line.command = CommandLine::Command::kVersion;
  } else if (image_app->parsed()) {
    line.command = CommandLine::Command::kImage;
    line.image.verb = image_app->get_subcommands().front()->get_name();
    if (std::string error = complete(image_flags, "", false, environment); !error.empty()) return fail(error);
  } else if (snapshot_app->parsed()) {
    line.command = CommandLine::Command::kSnapshot;
    snapshot.verb = snapshot_app->get_subcommands().front()->get_name();
    if (std::string error = complete(snapshot_flags, "", false, environment); !error.empty()) return fail(error);
  } else if (member_app->parsed()) {
    line.command = CommandLine::Command::kMember;
    line.member.verb = member_app->get_subcommands().front()->get_name();
    line.member.json = member_output == "json";
    if (std::string error = complete(member_flags, "", false, environment); !error.empty()) return fail(error);
  } else if (server_app->parsed()) {
    line.command = CommandLine::Command::kServer;
    bool in_environment = false;
    if (config->count() == 0) {
      const std::string value = environment_value(environment, "KAYAK_CONFIG", &in_environment);
      if (in_environment) config_path = value;
    }
    const bool required = config->count() > 0 || in_environment;
    if (std::string error = complete(server_flags, config_path, required, environment); !error.empty())
      return fail(error);
    while (server.data_dir.size() > 1 && server.data_dir.back() == '/') server.data_dir.pop_back();
    if (std::string error = check_together(server); !error.empty()) return fail(error);
    if (std::string error = check_datastore_together(server); !error.empty()) return fail(error);
    parse_log_level(log_level, &server.log_level);
  } else {
    line.exit_code = args.empty() ? 2 : 0;
    line.text = app.help();
  }
  return line;
}

}  // namespace kayak::cli
