// The Node that a machine becomes: what is read, what is registered, what is reported.
#include "agent/node/node_info.h"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "base/version.h"
#include "support/scratch.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

namespace fs = std::filesystem;
using test::js;

struct Folder {
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
  void file(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path + name).parent_path());
    REQUIRE(write_file_atomic(path + name, text, 0600).ok());
  }
};

TEST_CASE("node: what a machine says of itself") {
  Folder root;
  root.file("/etc/machine-id", "abc123\n");
  root.file("/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
  root.file("/proc/sys/kernel/random/boot_id", "boot-1\n");
  root.file("/proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\nSwapTotal:       1024 kB\n");
  const MachineInfo info = read_machine_info(root.path, root.path);
  CHECK(info.machine_id == "abc123");
  CHECK(info.system_uuid == "abc123");  // a board without DMI
  CHECK(info.boot_id == "boot-1");
  CHECK(info.os_image == "Debian GNU/Linux 12 (bookworm)");
  CHECK(info.memory_bytes == 2048 * 1024);
  CHECK(info.swap_bytes == 1024 * 1024);
  CHECK(info.cpus > 0);
  CHECK(info.disk_bytes > 0);
  const MachineInfo bare = read_machine_info(root.path + "/none", root.path);
  CHECK(bare.os_image == "Linux");
  CHECK(bare.memory_bytes == 0);
}

TEST_CASE("node: pressure") {
  struct Row {
    std::string available, threads;
    bool memory, pids;
  };
  for (const Row& row : {Row{"204800", "1/100", false, false}, Row{"51200", "1/100", true, false},
                         Row{"204800", "1/950", false, true}}) {
    CAPTURE(row.available, row.threads);
    Folder root;
    root.file("/proc/meminfo", cat("MemAvailable: ", row.available, " kB\n"));
    root.file("/proc/sys/kernel/pid_max", "1000\n");
    root.file("/proc/loadavg", cat("0.10 0.20 0.30 ", row.threads, " 5678\n"));
    const MachinePressure pressure = read_pressure(root.path, root.path);
    CHECK(pressure.memory == row.memory);
    CHECK(pressure.pids == row.pids);
  }
}

NodeConfig config() {
  NodeConfig config;
  config.name = "boat";
  config.ips = {"192.0.2.1", "2001:db8::1"};
  config.labels = {"disk=ssd", "empty="};
  config.taints = {"a=b:NoSchedule", "c:NoExecute"};
  config.runtime_version = "runc://1.1.5";
  config.control_plane = true;
  return config;
}

MachineInfo machine() {
  MachineInfo machine;
  machine.hostname = "host";
  machine.architecture = "arm64";
  machine.cpus = 4;
  machine.memory_bytes = 1000 * 1024;
  machine.disk_bytes = 2048 * 1024;
  return machine;
}

TEST_CASE("node: as it is registered") {
  const json::Value node = make_node(config(), machine());
  struct Row {
    std::string label, value;
  };
  for (const Row& row :
       {Row{"kubernetes.io/hostname", "boat"}, Row{"kubernetes.io/arch", "arm64"}, Row{"kubernetes.io/os", "linux"},
        Row{"node-role.kubernetes.io/control-plane", "true"}, Row{"disk", "ssd"}, Row{"empty", ""}}) {
    CAPTURE(row.label);
    const json::Value* label = node.at({"metadata", "labels", row.label});
    REQUIRE(label != nullptr);
    CHECK(label->string_or("?") == row.value);
  }
  CHECK(json::write(*node.at({"spec", "taints"})) ==
        R"([{"key":"a","value":"b","effect":"NoSchedule"},{"key":"c","effect":"NoExecute"}])");
}

// "MemoryPressure=False Ready=True"
std::string conditions_text(const json::Value& status) {
  std::string text;
  for (const json::Value& c : status.find("conditions")->as_array())
    text += cat(text.empty() ? "" : " ", c.find("type")->string_or(), "=", c.find("status")->string_or());
  return text;
}

TEST_CASE("node: its status") {
  const json::Value status = node_status(config(), machine(), MachinePressure(), {}, nullptr, "", WallTime());
  CHECK(conditions_text(status) == "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True");
  CHECK(json::write(*status.find("capacity")) ==
        R"({"cpu":"4","ephemeral-storage":"2Mi","memory":"1000Ki","pods":"110"})");
  CHECK(json::write(*status.find("addresses")) ==
        R"([{"type":"InternalIP","address":"192.0.2.1"},{"type":"InternalIP","address":"2001:db8::1"},)"
        R"({"type":"Hostname","address":"host"}])");
  CHECK(status.at({"nodeInfo", "kubeletVersion"})->string_or() == kVersion);
  CHECK(status.at({"nodeInfo", "containerRuntimeVersion"})->string_or() == "runc://1.1.5");
}

TEST_CASE("node: conditions") {
  struct Row {
    const char* what;
    bool pressure;
    std::string problem, holes, existing, wanted, since;  // since: of the last condition
  };
  const std::string now = "2001-01-01T00:00:00Z", before = "2000-01-01T00:00:00Z";
  for (const Row& row : {
           Row{"all is well", false, "", "", "[]",
               "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True", now},
           Row{"nothing is", true, "no runtime", "", "[]",
               "MemoryPressure=True DiskPressure=True PIDPressure=True Ready=False", now},
           Row{"no change keeps the time", false, "", "",
               "[{'type':'Ready','status':'True','lastTransitionTime':'2000-01-01T00:00:00Z'}]",
               "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True", before},
           Row{"a change sets it", false, "", "",
               "[{'type':'Ready','status':'False','lastTransitionTime':'2000-01-01T00:00:00Z'}]",
               "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True", now},
           Row{"an old runtime (security 20)", false, "", "CVE-2025-31133", "[]",
               "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True RuntimeHasKnownHoles=True", now},
           Row{"those of others stay", false, "", "",
               "[{'type':'Theirs','status':'False','lastTransitionTime':'2000-01-01T00:00:00Z'}]",
               "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True Theirs=False", before},
       }) {
    CAPTURE(row.what);
    NodeConfig node = config();
    if (!row.holes.empty()) node.runtime_holes = {row.holes};
    MachinePressure pressure;
    pressure.memory = pressure.disk = pressure.pids = row.pressure;
    WallTime wall;
    REQUIRE(parse_time(now, &wall));
    const json::Value existing = js(row.existing);
    const json::Value status = node_status(node, machine(), pressure, {}, &existing, row.problem, wall);
    CHECK(conditions_text(status) == row.wanted);
    CHECK(status.find("conditions")->as_array().back().find("lastTransitionTime")->string_or() == row.since);
  }
}

}  // namespace
}  // namespace kayak::agent
