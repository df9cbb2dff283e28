// options.h: what the command line, KAYAK_* variables and the config file say, checked before anything is touched.
// Precedence: flag, then variable, then config file, then default. Names and defaults are k3s' where they mean the
// same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"

namespace kayak::cli {

struct ServerOptions {
  std::string data_dir = "/var/lib/kayak";
  std::string bind_address = "0.0.0.0";
  std::uint16_t https_listen_port = 6443;
  std::string advertise_address;  // empty: the node's address
  std::string etcd_listen;        // address:port for etcd clients over TLS; empty: none
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
  // How servers come together.
  bool cluster_init = false;                // what a server without `server` does anyway
  std::string server;                       // https://host:port of one that is in the cluster; empty: this is the first
  std::string token;                        // of the cluster (token.h); never logged
  std::string token_file;                   // that holds it
  std::vector<std::string> peer_addresses;  // host:port told to other servers; empty: advertised address and port
  bool witness = false;                     // votes, holds no data
  bool cluster_reset = false;               // makes this server the only member, then ends
  // Snapshots that the server saves of itself (snapshot_schedule.h).
  std::string snapshot_schedule_cron;  // empty: none
  std::uint16_t snapshot_retention = 5;
  std::string snapshot_dir;              // empty: <data-dir>/server/db/snapshots
  std::string snapshot_passphrase_file;  // empty: <data-dir>/server/token

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

struct SnapshotOptions {
  std::string data_dir = "/var/lib/kayak";
  std::string verb;  // save, ls, check, restore
  std::string dir;   // of snapshots; empty: <data-dir>/server/db/snapshots
  std::string name = "on-demand";
  std::string output;           // save: a path, or "-" for standard output; empty: a new name in `dir`
  std::string file;             // check, restore
  std::string passphrase_file;  // empty: <data-dir>/server/token
  bool json = false;            // ls
};

struct MemberOptions {
  std::string data_dir = "/var/lib/kayak";
  std::string verb;    // list, add, remove, promote
  std::string member;  // its id or name: of remove and promote
  bool json = false;   // list
};

struct CommandLine {
  enum class Command { kNone, kServer, kImage, kSnapshot, kMember, kVersion };
  Command command = Command::kNone;
  ServerOptions server;
  ImageOptions image;
  SnapshotOptions snapshot;
  MemberOptions member;
  int exit_code = -1;  // >= 0: print `text` (help, version or one line of error) and exit with it
  std::string text;
};

// Pure but for reading the config file and the given environment. Errors become exit_code 2 and one line that says
// which flag, variable or config key and why.
CommandLine parse_command_line(const std::vector<std::string>& args, const std::vector<std::string>& environment);

}  // namespace kayak::cli
