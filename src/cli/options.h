// options.h: what the command line, KAYAK_* variables and the config file say, checked before anything is touched.
// Precedence: flag, then variable, then config file, then default. Names and defaults are k3s' where they mean the
// same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace kayak::cli {

struct ServerOptions {
  std::string data_dir = "/var/lib/kayak";
  std::string bind_address = "0.0.0.0";
  std::uint16_t https_listen_port = 6443;
  std::string advertise_address;  // empty: the node's address
  std::vector<std::string> tls_sans;
  std::string write_kubeconfig = "/etc/kayak/kayak.yaml";
  std::string cluster_cidr = "10.42.0.0/16";
  std::string service_cidr = "10.43.0.0/16";
  std::string cluster_dns = "10.43.0.10";
  bool disable_agent = false;
  bool stop_pods_on_exit = false;
  std::string node_name;                 // empty: the host's name, lower case
  std::string node_ip;                   // empty: of the interface with the default route
  std::vector<std::string> node_labels;  // key=value
  std::vector<std::string> node_taints;  // key=value:effect
  std::string private_registry = "/etc/kayak/registries.yaml";
  std::string runtime = "runc";  // runc or crun
  // An existing etcd cluster instead of the embedded store; empty: the embedded one.
  std::vector<std::string> datastore_endpoint;
  std::string datastore_cafile, datastore_certfile, datastore_keyfile;
  LogLevel log_level = LogLevel::kInfo;

  // Names that keep two servers on one machine apart: empty for the default data directory, else 6 hex digits of it.
  std::string instance() const;
  std::string run_dir() const;  // /run/kayak or /run/kayak-<instance>
};

struct ImageOptions {
  std::string data_dir = "/var/lib/kayak";
  std::string verb;                // pull, import, ls, rm
  std::vector<std::string> names;  // references or archive paths
  std::string private_registry = "/etc/kayak/registries.yaml";
};

struct CommandLine {
  enum class Command { kNone, kServer, kImage, kVersion };
  Command command = Command::kNone;
  ServerOptions server;
  ImageOptions image;
  int exit_code = -1;  // >= 0: print `text` (help, version or one line of error) and exit with it
  std::string text;
};

// Pure but for reading the config file and the given environment. Errors become exit_code 2 and one line that says
// which flag, variable or config key and why.
CommandLine parse_command_line(const std::vector<std::string>& args, const std::vector<std::string>& environment);

}  // namespace kayak::cli
