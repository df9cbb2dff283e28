// options_test.cc: the flags by which servers come together: from the command line and variables, and what is refused
// in one line that does not repeat a secret.
#include "cli/options.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/files.h"
#include "cli/flags.h"
#include "support/scratch.h"

namespace kayak::cli {
namespace {

using Args = std::vector<std::string>;

CommandLine parse(Args args, const Args& environment = {}) {
  // No config file of this machine has a say.
  if (!args.empty() && args.front() == "server") args.insert(args.end(), {"--config", "/dev/null"});
  return parse_command_line(args, environment);
}

TEST_CASE("the flags of a server that joins") {
  const CommandLine line =
      parse({"server", "--server", "https://first:6443", "--peer-address", "192.0.2.1:7443,boat.example:6443"},
            {"KAYAK_TOKEN=0123456789abcdef", "KAYAK_WITNESS=true"});
  REQUIRE(line.exit_code == -1);
  CHECK(line.command == CommandLine::Command::kServer);
  CHECK(line.server.server == "https://first:6443");
  CHECK(line.server.token == "0123456789abcdef");
  CHECK(line.server.peer_addresses == Args{"192.0.2.1:7443", "boat.example:6443"});
  CHECK(line.server.witness);
  CHECK(parse({"server", "--cluster-init"}).server.cluster_init);
  CHECK(parse({"server", "--cluster-reset"}).server.cluster_reset);
  CHECK(parse({"server", "--server", "https://first/"}).exit_code == -1);
}

TEST_CASE("a server's config file that its owner alone may read has a say with nobody else") {
  const test::Scratch scratch;
  const std::string path = scratch.file("config.yaml");
  REQUIRE(write_file_atomic(path, "data-dir: /mine\ntoken: a-secret\n", 0600));
  struct Row {
    bool owner, required, shared;
    std::string data_dir, error;
  };
  for (const Row& row : {Row{true, false, true, "/mine", ""}, Row{false, false, true, "/usual", ""},
                         Row{false, true, true, "/usual", "EACCES"}, Row{false, false, false, "/usual", "EACCES"}}) {
    CAPTURE(row.owner, row.required, row.shared);
    std::string data_dir = "/usual", token;
    std::vector<Flag> flags = {{.name = "data-dir", .help = "", .text = &data_dir}};
    if (!row.shared) flags.push_back({.name = "token", .help = "", .text = &token});
    const bool root = ::geteuid() == 0;
    if (!row.owner) REQUIRE((root ? ::seteuid(65534) : ::chmod(path.c_str(), 0)) == 0);
    const std::string error = complete_flags(flags, ConfigFile{path, row.required, row.shared}, {});
    if (!row.owner) REQUIRE((root ? ::seteuid(0) : ::chmod(path.c_str(), 0600)) == 0);
    CHECK(data_dir == row.data_dir);
    CHECK((row.error.empty() ? error.empty() : error.find(row.error) != std::string::npos));
  }
}

TEST_CASE("the verbs of members") {
  const CommandLine list = parse({"member", "list", "-o", "json", "--data-dir", "/x"});
  REQUIRE(list.exit_code == -1);
  CHECK(list.command == CommandLine::Command::kMember);
  CHECK(list.member.verb == "list");
  CHECK(list.member.json);
  CHECK(list.member.data_dir == "/x");
  const CommandLine remove = parse({"member", "remove", "boat"});
  CHECK(remove.member.verb == "remove");
  CHECK(remove.member.member == "boat");
  for (const Args& wrong : {Args{"member"}, Args{"member", "remove"}, Args{"member", "promote"},
                            Args{"member", "sink", "a"}, Args{"member", "list", "-o", "yaml"}}) {
    CHECK(parse(wrong).exit_code == 2);
  }
}

TEST_CASE("flags of joining that make no sense") {
  struct Row {
    Args args;
    std::string says;
  };
  const std::string url = "https://first:6443";
  for (const Row& row :
       {Row{{"--server", "http://first:6443"}, "must be like"}, Row{{"--server", "first"}, "must be like"},
        Row{{"--server", url + "/x"}, "must be like"}, Row{{"--server", url, "--cluster-init"}, "one of them"},
        Row{{"--witness"}, "needs --server"}, Row{{"--cluster-reset", "--server", url}, "alone"},
        Row{{"--cluster-reset", "--witness", "--server", url}, "a witness has nothing"},
        Row{{"--datastore-endpoint", "https://etcd:2379", "--snapshot-schedule-cron", "@daily"},
            "etcdctl snapshot save"},
        Row{{"--token", "SeCrEt"}, "fewer than 16"}, Row{{"--token", "SeCrEt SeCrEt SeCrEt"}, "printable"},
        Row{{"--token", "SeCrEtSeCrEtSeCrEt", "--token-file", "/x"}, "not both"},
        Row{{"--token-file", "x"}, "absolute"}, Row{{"--peer-address", "boat"}, "host:port"},
        Row{{"--peer-address", "2001:db8::1:6443"}, "host:port"}}) {
    Args args = {"server"};
    args.insert(args.end(), row.args.begin(), row.args.end());
    const CommandLine line = parse(args);
    CAPTURE(row.says, line.text);
    CHECK(line.exit_code == 2);
    CHECK(line.text.find(row.says) != std::string::npos);
    CHECK(line.text.find("SeCrEt") == std::string::npos);
    CHECK(line.text.find('\n') == line.text.size() - 1);
  }
}

}  // namespace
}  // namespace kayak::cli
