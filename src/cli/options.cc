// options.cc: the commands and their flags, by CLI11 (this file alone sees it); what completes and checks them is in
// flags.h and option_checks.h.
#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/strings.h"
#include "cli/flags.h"
#include "cli/option_checks.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

constexpr const char* kDefaultConfig = "/etc/kayak/config.yaml";
constexpr const char* kServersConfig =
    "The server's config file: what it says of this command's flags, above all data-dir, counts here, too "
    "[$KAYAK_CONFIG]";
constexpr const char* kDefaultDataDir = "/var/lib/kayak";

void add_flags(CLI::App& app, std::vector<Flag>& flags) {
  for (Flag& flag : flags) {
    const std::string name = cat("--", flag.name);
    const std::string help = cat(flag.help, " [$", variable_of(flag), "]");
    if (flag.boolean) flag.option = app.add_flag(name, *flag.boolean, help);
    if (flag.text) flag.option = app.add_option(name, *flag.text, help)->capture_default_str();
    if (flag.number) {
      auto take = [&flag, name](const std::string& text) {
        const std::string reason = assign(flag, {text});
        if (!reason.empty()) throw CLI::ValidationError(name, cat(quote(text), " ", reason));
      };
      flag.option = app.add_option_function<std::string>(name, take, help)
                        ->type_name("UINT")
                        ->default_str(std::to_string(*flag.number));
    }
    if (flag.list) flag.option = app.add_option(name, *flag.list, help)->delimiter(',')->take_all();
    if (!flag.list && !flag.boolean) flag.option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
}

// --config of a command, and what it comes to.
struct Config {
  std::string path = kDefaultConfig;
  CLI::Option* option = nullptr;
  void add(CLI::App& app, const char* help) { option = app.add_option("--config", path, help)->capture_default_str(); }
  ConfigFile file(const std::vector<std::string>& environment, bool shared) const {
    ConfigFile file{path, option->count() > 0, shared};
    if (file.required) return file;
    const std::string value = environment_value(environment, "KAYAK_CONFIG", &file.required);
    if (file.required) file.path = value;
    return file;
  }
};

std::string complete(std::vector<Flag>& flags, const ConfigFile& file, const std::vector<std::string>& environment) {
  for (Flag& flag : flags) flag.given = flag.option->count() > 0;
  return complete_flags(flags, file, environment);
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

// What asks a witness for something that it has not got. "" or one line of error.
std::string check_witness_flags(const std::vector<Flag>& flags) {
  constexpr std::string_view kNotItsOwn[] = {"etcd-listen",
                                             "tls-san",
                                             "node-label",
                                             "node-taint",
                                             "runtime",
                                             "private-registry",
                                             "stop-pods-on-exit",
                                             "snapshot-schedule-cron",
                                             "snapshot-retention",
                                             "snapshot-dir",
                                             "snapshot-passphrase-file"};
  for (const Flag& flag : flags) {
    const bool no_use = std::find(std::begin(kNotItsOwn), std::end(kNotItsOwn), flag.name) != std::end(kNotItsOwn);
    if (flag.given && no_use) {
      return cat("--", flag.name, " is of no use beside --witness: a witness has no data, no API and no node");
    }
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
           "<data-dir>/server/tls/etcd-client.crt is, may read everything, secrets included, and write it but for "
           "/kayak/members/. Off by default: the machine's root has <data-dir>/server/etcd.sock",
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
       .help = "Join the cluster of this server, e.g. https://first:6443; needs its token. With --datastore-endpoint: "
               "take that cluster's keys",
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
  Config config, image_config, snapshot_config, member_config;
  config.add(*server_app, "YAML file with flag names as keys [$KAYAK_CONFIG]");

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
  image_config.add(*image_app, kServersConfig);
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
  snapshot_config.add(*snapshot_app, kServersConfig);
  add_snapshot_verbs(*snapshot_app, &snapshot);
  CLI::App* member_app = app.add_subcommand("member", "Look after the cluster's servers; asks the one of this machine");
  member_app->require_subcommand(1);
  std::vector<Flag> member_flags = {
      {.name = "data-dir", .help = "The server's --data-dir", .text = &line.member.data_dir, .check = check_absolute},
  };
  add_flags(*member_app, member_flags);
  member_config.add(*member_app, kServersConfig);
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
    if (const std::vector<std::string> unknown = app.remaining(true); !unknown.empty()) {
      return fail(cat("The following argument was not expected: ", unknown.front(), " (see kayak --help)"));
    }
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
    if (std::string error = complete(image_flags, image_config.file(environment, true), environment); !error.empty())
      return fail(error);
  } else if (snapshot_app->parsed()) {
    line.command = CommandLine::Command::kSnapshot;
    snapshot.verb = snapshot_app->get_subcommands().front()->get_name();
    if (std::string error = complete(snapshot_flags, snapshot_config.file(environment, true), environment);
        !error.empty())
      return fail(error);
  } else if (member_app->parsed()) {
    line.command = CommandLine::Command::kMember;
    line.member.verb = member_app->get_subcommands().front()->get_name();
    line.member.json = member_output == "json";
    if (std::string error = complete(member_flags, member_config.file(environment, true), environment); !error.empty())
      return fail(error);
  } else if (server_app->parsed()) {
    line.command = CommandLine::Command::kServer;
    const ConfigFile file = config.file(environment, false);
    if (std::string error = complete(server_flags, file, environment); !error.empty()) return fail(error);
    while (server.data_dir.size() > 1 && server.data_dir.back() == '/') server.data_dir.pop_back();
    if (std::string error = check_together(server); !error.empty()) return fail(error);
    if (server.witness) {
      if (std::string error = check_witness_flags(server_flags); !error.empty()) return fail(error);
    }
    parse_log_level(log_level, &server.log_level);
  } else {
    line.exit_code = args.empty() ? 2 : 0;
    line.text = app.help();
  }
  return line;
}

}  // namespace kayak::cli
