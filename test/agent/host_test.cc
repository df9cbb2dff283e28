// What touches the machine without containers: control groups in trees of files, mounts, volumes, records.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "agent/runtime/bundle.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/mounts.h"
#include "agent/runtime/sandbox.h"
#include "agent/runtime/volumes.h"
#include "base/files.h"
#include "base/strings.h"
#include "support/scratch.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using test::js;
using test::pod_with;

struct Folder {
  void put(const std::string& file, const std::string& content) const {
    std::filesystem::create_directories((path + "/" + file).substr(0, (path + "/" + file).rfind('/')));
    std::ofstream(path + "/" + file) << content;
  }
  std::string get(const std::string& file) const {
    const auto text = read_file(path + "/" + file);
    return text ? *text : "(none)";
  }
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
};

CgroupLimits some_limits() {
  CgroupLimits limits;
  limits.cpu_shares = 1024;
  limits.cpu_quota_micros = 50'000;
  limits.memory_bytes = 64 << 20;
  limits.pids = 100;
  return limits;
}

TEST_CASE("cgroups: version 2 in a tree of files") {
  const Folder folder;
  folder.put("cgroup.controllers", "cpuset cpu io memory pids\n");
  folder.put("cgroup.subtree_control", "");
  const auto cgroups = Cgroups::open(folder.path, "kayak");
  REQUIRE(cgroups.ok());
  CHECK(cgroups->v2());
  const std::string path = cgroups->pod_path(QosClass::kBurstable, "u-1");
  CHECK(path == "/kayak/burstable/podu-1");
  CHECK(cgroups->pod_path(QosClass::kGuaranteed, "u-1") == "/kayak/podu-1");
  CHECK(cgroups->pod_path(QosClass::kBestEffort, "u-1") == "/kayak/besteffort/podu-1");
  // The kernel makes these; files stand for them.
  for (const char* group : {"kayak", "kayak/burstable"}) folder.put(std::string(group) + "/cgroup.subtree_control", "");
  for (const char* file : {"cpu.weight", "cpu.max", "memory.max", "pids.max"})
    folder.put(path.substr(1) + "/" + file, "");
  REQUIRE(cgroups->make_pod(path, some_limits()).ok());
  CHECK(folder.get(path.substr(1) + "/cpu.weight") == "39");
  CHECK(folder.get(path.substr(1) + "/cpu.max") == "50000 100000");
  CHECK(folder.get(path.substr(1) + "/memory.max") == "67108864");
  CHECK(folder.get(path.substr(1) + "/pids.max") == "100");
  CHECK(folder.get("kayak/burstable/cgroup.subtree_control").find('+') != std::string::npos);

  folder.put(path.substr(1) + "/memory.current", "1000000\n");
  folder.put(path.substr(1) + "/memory.stat", "anon 300000\nfile 700000\ninactive_file 600000\n");
  folder.put(path.substr(1) + "/cpu.stat", "usage_usec 1234\nuser_usec 1000\n");
  folder.put(path.substr(1) + "/pids.current", "3\n");
  folder.put(path.substr(1) + "/memory.events", "low 0\nhigh 0\nmax 5\noom 1\noom_kill 0\n");
  const auto stats = cgroups->stats(path);
  REQUIRE(stats.ok());
  CHECK(stats->cpu_usage_nanoseconds == 1'234'000);
  CHECK(stats->memory_usage_bytes == 1'000'000);
  CHECK(stats->memory_working_set_bytes == 400'000);
  CHECK(stats->memory_rss_bytes == 300'000);
  CHECK(stats->processes == 3);
  CHECK_FALSE(cgroups->oom_killed(path));
  folder.put(path.substr(1) + "/memory.events", "low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\n");
  CHECK(cgroups->oom_killed(path));
  CHECK(cgroups->stats("/kayak/podgone").error().code() == Code::kNotFound);
  CHECK(cgroups->pods() == std::vector<std::string>{path});
}

TEST_CASE("cgroups: version 1 in a tree of files") {
  const Folder folder;
  for (const char* name : {"memory", "cpu,cpuacct", "cpuset", "pids", "systemd"})
    folder.put(std::string(name) + "/cgroup.procs", "");
  folder.put("cpuset/cpuset.cpus", "0-3\n");
  folder.put("cpuset/cpuset.mems", "0\n");
  const auto cgroups = Cgroups::open(folder.path, "kayak");
  REQUIRE(cgroups.ok());
  CHECK_FALSE(cgroups->v2());
  CHECK_FALSE(cgroups->swap_accounting());
  const std::string path = "/kayak/besteffort/podu-1";
  for (const char* part : {"/kayak", "/kayak/besteffort", "/kayak/besteffort/podu-1", "/kayak/shims"}) {
    folder.put(cat("cpuset", part, "/cpuset.cpus"), "");
    folder.put(cat("cpuset", part, "/cpuset.mems"), "");
  }
  for (const char* file : {"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"})
    folder.put(cat("cpu,cpuacct", path, "/", file), "");
  folder.put("cpu,cpuacct/kayak/besteffort/cpu.shares", "1024");
  folder.put("memory" + path + "/memory.limit_in_bytes", "");
  folder.put("pids" + path + "/pids.max", "");
  REQUIRE(cgroups->make_pod(path, some_limits()).ok());
  CHECK(folder.get("cpu,cpuacct" + path + "/cpu.shares") == "1024");
  CHECK(folder.get("cpu,cpuacct" + path + "/cpu.cfs_quota_us") == "50000");
  CHECK(folder.get("memory" + path + "/memory.limit_in_bytes") == "67108864");
  CHECK(folder.get("pids" + path + "/pids.max") == "100");
  CHECK(folder.get("cpuset" + path + "/cpuset.cpus") == "0-3");  // else nobody could enter
  CHECK(folder.get("cpu,cpuacct/kayak/besteffort/cpu.shares").substr(0, 1) == "2");
  CHECK(std::filesystem::is_directory(folder.path + "/systemd" + path));
  const auto joins = cgroups->join_files(cgroups->shims_path());
  REQUIRE(joins.ok());
  CHECK(joins->size() == 5);
}

TEST_CASE("cgroups: a machine that cannot be a node says what to do") {
  const Folder folder;
  CHECK(Cgroups::open(folder.path, "kayak").error().message().find("no cgroups are mounted") == 0);
  folder.put("cgroup.controllers", "cpuset cpu io pids\n");
  const auto cgroups = Cgroups::open(folder.path, "kayak");
  REQUIRE_FALSE(cgroups.ok());
  CHECK(cgroups.error().code() == Code::kUnavailable);
  CHECK(cgroups.error().message().find("cgroup_enable=memory") != std::string::npos);
}

TEST_CASE("mounts: those below a directory, the last one first") {
  const std::string mountinfo =
      "22 27 0:21 / /proc rw - proc proc rw\n"
      "40 27 0:30 / /run/kayak/pods/a/shm rw - tmpfs shm rw\n"
      "41 27 0:31 / /run/kayak/pods/a rw - tmpfs x rw\n"
      "42 27 0:32 / /run/kayak/pods/ab/net rw - nsfs nsfs rw\n"
      "43 27 0:33 / /run/kayak/pods/a/with\\040space rw - tmpfs x rw\n"
      "broken line\n";
  CHECK(join(mounts_below(mountinfo, "/run/kayak/pods/a"), "|") ==
        "/run/kayak/pods/a/with space|/run/kayak/pods/a|/run/kayak/pods/a/shm");
  CHECK(mounts_below(mountinfo, "/run/kayak/pods/x").empty());
}

TEST_CASE("mounts: a tree is removed, what links point to stays") {
  const Folder folder;
  folder.put("keep/file", "x");
  folder.put("tree/a/b/c", "x");
  std::filesystem::create_directory_symlink(folder.path + "/keep", folder.path + "/tree/a/link");
  std::filesystem::create_directory_symlink("/etc", folder.path + "/tree/etc");
  REQUIRE(remove_tree(folder.path + "/tree").ok());
  CHECK_FALSE(file_exists(folder.path + "/tree"));
  CHECK(folder.get("keep/file") == "x");
  CHECK(remove_tree(folder.path + "/tree").ok());
  // A link in its place is not followed.
  std::filesystem::create_directory_symlink(folder.path + "/keep", folder.path + "/tree");
  CHECK_FALSE(remove_tree(folder.path + "/tree").ok());
  CHECK(folder.get("keep/file") == "x");
}

TEST_CASE("mounts: files of an image are looked up inside it alone") {
  const Folder folder;
  folder.put("root/etc/passwd", "inside");
  folder.put("outside", "secret");
  CHECK(read_in_root(folder.path + "/root", "etc/passwd", 100) == "inside");
  std::filesystem::remove(folder.path + "/root/etc/passwd");
  std::filesystem::create_symlink("../../../../../../" + folder.path + "/outside", folder.path + "/root/etc/passwd");
  CHECK(read_in_root(folder.path + "/root", "etc/passwd", 100).empty());
  std::filesystem::create_symlink(folder.path + "/outside", folder.path + "/root/etc/group");
  CHECK(read_in_root(folder.path + "/root", "etc/group", 100).empty());
  folder.put("root/etc/big", std::string(1000, 'x'));
  CHECK(read_in_root(folder.path + "/root", "etc/big", 100).size() == 100);
  REQUIRE(::mkfifo((folder.path + "/root/etc/fifo").c_str(), 0600) == 0);
  CHECK(read_in_root(folder.path + "/root", "etc/fifo", 100).empty());  // and does not hang
}

TEST_CASE("volumes: hostPath types and emptyDir") {
  const Folder folder;
  folder.put("there/file", "x");
  const auto volumes = [&](const std::string& source) {
    const auto made = prepare_volumes(
        pod_with("{'securityContext':{'fsGroup':2000},'volumes':[{'name':'v'," + source + "}]}"), folder.path + "/pod");
    return made ? made->front().host_path : "error: " + made.error().message();
  };
  const std::string dir = folder.path + "/there", file = dir + "/file";
  struct Row {
    std::string path, type, out;
  };
  for (const Row& row :
       {Row{dir, "", dir}, Row{dir, "Directory", dir}, Row{file, "File", file},
        Row{dir + "/new", "DirectoryOrCreate", dir + "/new"}, Row{dir + "/newfile", "FileOrCreate", dir + "/newfile"},
        Row{file, "Directory", "error: volume \"v\": hostPath type check failed: " + file + " is not a directory"},
        Row{dir, "File", "error: volume \"v\": hostPath type check failed: " + dir + " is not a file"},
        Row{file, "Socket", "error: volume \"v\": hostPath type check failed: " + file + " is not a socket file"},
        Row{file, "CharDevice",
            "error: volume \"v\": hostPath type check failed: " + file + " is not a character device"},
        Row{file, "BlockDevice", "error: volume \"v\": hostPath type check failed: " + file + " is not a block device"},
        Row{"relative", "", "error: volume \"v\": hostPath \"relative\" is not an absolute path"},
        Row{"/a/../b", "", "error: volume \"v\": hostPath \"/a/../b\" is not an absolute path"}}) {
    CAPTURE(row.path, row.type);
    CHECK(volumes("'hostPath':{'path':'" + row.path + "','type':'" + row.type + "'}") == row.out);
  }
  const std::string empty = volumes("'emptyDir':{}");
  CHECK(empty == folder.path + "/pod/volumes/kubernetes.io~empty-dir/v");
  struct stat info {};
  REQUIRE(::stat(empty.c_str(), &info) == 0);
  if (::geteuid() == 0) {
    CHECK((info.st_mode & 07777) == 02777);
    CHECK(info.st_gid == 2000);
  }
}

TEST_CASE("sandbox: helper arguments") {
  RuntimeOptions options;
  const PodPaths paths = pod_paths(options, "u-1", "default", "web");
  CHECK(paths.logs == "/var/log/pods/default_web_u-1");
  SandboxRecord record;
  record.hostname = "web";
  const auto args = [&](const std::string& spec) {
    return join(sandbox_helper_args(pod_with(spec), paths, record, {"/cg/procs"}), " ");
  };
  CHECK(args("{}") ==
        "sandbox /run/kayak/pods/u-1 net uts hostname=web ipc shm=67108864 "
        "default-sysctl=net.ipv4.ip_unprivileged_port_start=0 "
        "default-sysctl=net.ipv4.ping_group_range=0 2147483647");
  CHECK(args("{'securityContext':{'sysctls':[{'name':'net/ipv4/ping_group_range','value':'1 2'}]}}") ==
        "sandbox /run/kayak/pods/u-1 net uts hostname=web ipc shm=67108864 sysctl=net.ipv4.ping_group_range=1 2 "
        "default-sysctl=net.ipv4.ip_unprivileged_port_start=0");
  record.shared_pid = true;
  record.host_network = true;
  CHECK(args("{}") == "sandbox /run/kayak/pods/u-1 ipc shm=67108864 pid cgroup=/cg/procs");
  record.host_ipc = true;
  record.shared_pid = false;
  CHECK(args("{}") == "sandbox /run/kayak/pods/u-1");
}

TEST_CASE("records: written and read again") {
  SandboxRecord sandbox;
  sandbox.uid = "u-1";
  sandbox.namespace_ = "default";
  sandbox.name = "web";
  sandbox.ips = {"10.42.0.2", "fd00::2"};
  sandbox.host_ipc = sandbox.complete = true;
  sandbox.created.microseconds = 123456789;
  const auto again = sandbox_from_json(*json::read(json::write(to_json(sandbox))));
  REQUIRE(again.ok());
  CHECK(json::write(to_json(*again)) == json::write(to_json(sandbox)));
  CHECK_FALSE(sandbox_from_json(js("{'uid':'../x','namespace':'a','name':'b'}")).ok());
  ContainerRecord container;
  container.id = "abc";
  container.name = "c";
  container.attempt = 7;
  container.stop_signal = 3;
  container.fallback_to_logs = true;
  const auto same = container_from_json(*json::read(json::write(to_json(container))));
  REQUIRE(same.ok());
  CHECK(json::write(to_json(*same)) == json::write(to_json(container)));
  CHECK_FALSE(container_from_json(js("{'id':'a/b','name':'c'}")).ok());
}

TEST_CASE("bundle: stop signals") {
  struct Row {
    std::string text;
    int signal;
  };
  for (const Row& row : {Row{"", 15}, Row{"SIGTERM", 15}, Row{"TERM", 15}, Row{"SIGQUIT", 3}, Row{"3", 3},
                         Row{"SIGRTMIN+3", 37}, Row{"RTMAX-1", 63}, Row{"0", 15}, Row{"65", 15}, Row{"SIGNONE", 15},
                         Row{"RTMIN+31", 15}, Row{"SIGWINCH", 28}}) {
    CAPTURE(row.text);
    CHECK(parse_signal(row.text) == row.signal);
  }
}

TEST_CASE("bundle: termination messages") {
  const Folder folder;
  ContainerRecord record;
  record.termination_file = folder.path + "/message";
  record.log_path = folder.path + "/0.log";
  folder.put("message", std::string(5000, 'a') + "end");
  CHECK(termination_message(record, 1).size() == 4096);
  CHECK(termination_message(record, 1).substr(4093) == "end");
  folder.put("message", "");
  folder.put("0.log",
             "2026-11-23T20:50:47.123456789Z stdout F one\n2026-11-23T20:50:47.123456789Z stderr P tw\n"
             "2026-11-23T20:50:47.123456789Z stderr F o\ngarbage\n");
  CHECK(termination_message(record, 1).empty());  // policy File
  record.fallback_to_logs = true;
  CHECK(termination_message(record, 0).empty());
  CHECK(termination_message(record, 1) == "one\ntwo\n");
  std::string log;
  for (int i = 0; i < 1000; ++i) log += cat("2026-11-23T20:50:47.123456789Z stdout F line ", i, "\n");
  folder.put("0.log", log);
  const std::string message = termination_message(record, 1);
  CHECK(message.size() <= 2048);
  CHECK(message.substr(0, 9) == "line 920\n");
  CHECK(message.substr(message.size() - 9) == "line 999\n");
}

}  // namespace
}  // namespace kayak::agent
