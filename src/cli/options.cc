// options.cc: flags by CLI11 (this file alone sees it), then KAYAK_* variables, then the config file, then the checks.
#include "cli/options.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "io/tls.h"
#include "store/etcd/client.h"

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
  if (options.https_listen_port == 0) return "--https-listen-port must be 1 to 65535";
  if (options.disable_agent && options.stop_pods_on_exit) {
    return "--stop-pods-on-exit needs the node agent, which --disable-agent leaves out";
  }
  return "";
}

std::string check_datastore_files(const ServerOptions& options) {
  const bool files =
      !options.datastore_cafile.empty() || !options.datastore_certfile.empty() || !options.datastore_keyfile.empty();
  if (files && options.datastore_endpoint.empty()) {
    return "--datastore-cafile, --datastore-certfile and --datastore-keyfile need --datastore-endpoint";
  }
  if (options.datastore_certfile.empty() != options.datastore_keyfile.empty()) {
    return "--datastore-certfile and --datastore-keyfile go together";
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
    if (std::string error = check_datastore_files(server); !error.empty()) return fail(error);
    parse_log_level(log_level, &server.log_level);
  } else {
    line.exit_code = args.empty() ? 2 : 0;
    line.text = app.help();
  }
  return line;
}

}  // namespace kayak::cli
