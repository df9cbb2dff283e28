// Real containers: runc, namespaces, control groups, shims. The first test runs the others one after the other in
// network, mount and process namespaces of their own, which end with it, also when it is killed. Control groups are
// what it removes itself, those of test programs that were killed included.
#include "agent/runtime/runtime.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "agent/runtime/cgroups.h"
#include "base/files.h"
#include "base/strings.h"
#include "net/net.h"
#include "support/scratch.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using namespace std::chrono_literals;
using test::js;

// No test macro that throws may stand in a coroutine.
#define NEED(condition)                                                 \
  do {                                                                  \
    CHECK(condition);                                                   \
    if (!(condition)) co_return Error(Code::kInternal, "cannot go on"); \
  } while (false)

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (const std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  const int status = ::pclose(pipe);
  if (status != 0) out += cat("(exit ", WEXITSTATUS(status), ")");
  return out;
}

std::string test_folder() { return std::getenv("KAYAK_TEST_FOLDER"); }
// The last characters of the folder's name are nobody else's.
std::string test_name() { return "kayak-test-" + test_folder().substr(test_folder().rfind('-') + 1); }

RuntimeOptions test_options() {
  RuntimeOptions options;
  options.run_dir = test_folder() + "/run";
  options.data_dir = test_folder() + "/data";
  options.kubelet_dir = test_folder() + "/kubelet";
  options.pod_log_dir = test_folder() + "/log/pods";
  options.container_log_dir = test_folder() + "/log/containers";
  options.cgroup_parent = test_name();
  return options;
}

struct Machine {
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Loop loop;
  Context context{loop, clock, random, Log::to_fd(2, LogLevel::kError), metrics};
  std::unique_ptr<net::PodNetwork> network;
  std::unique_ptr<Runtime> runtime;
};

// A process of kayak: network and runtime, with what an earlier one left.
Task<Result<std::vector<SandboxStatus>>> boot(Machine& machine, RuntimeOptions options) {
  net::PodNetworkOptions network;
  network.bridge = "ktest1";
  network.pod_cidrs = {"10.42.8.0/24"};
  network.state_dir = options.run_dir + "/net";
  auto made = net::PodNetwork::create(machine.context, network);
  if (!made) co_return made.error();
  machine.network = std::move(*made);
  const StopToken stop;
  Result<void> started = co_await machine.network->start(stop);
  if (!started) co_return started.error();
  Result<std::unique_ptr<Runtime>> runtime = co_await Runtime::create(machine.context, *machine.network, options);
  if (!runtime) co_return runtime.error();
  machine.runtime = std::move(*runtime);
  Result<std::vector<SandboxStatus>> adopted = co_await machine.runtime->adopt(stop);
  co_return adopted;
}

json::Document pod_document(const std::string& uid, const std::string& spec) {
  return test::shared(js("{'metadata':{'name':'web','namespace':'default','uid':'" + uid + "'},'spec':" + spec + "}"));
}
// One container "c" that runs a shell script; `more` are further members of the container, `spec` of the pod.
json::Document script_pod(const std::string& uid, const std::string& script, const std::string& more = "",
                          const std::string& spec = "") {
  json::Value pod = js("{'metadata':{'name':'web','namespace':'default','uid':'" + uid + "'},'spec':{" + spec +
                       (spec.empty() ? "" : ",") + "'containers':[{'name':'c','image':'busybox'" +
                       (more.empty() ? "" : "," + more) + "}]}}");
  json::Value& container = pod["spec"]["containers"].as_array()[0];
  container["command"] = json::Array({"/bin/sh", "-c", json::Value(script)});
  return test::shared(std::move(pod));
}

LocalImage busybox() {
  const std::string layer = test_folder() + "/layer";
  if (!file_exists(layer + "/bin/sh")) {
    std::filesystem::create_directories(layer + "/bin");
    std::filesystem::create_directories(layer + "/etc");
    std::filesystem::create_directories(layer + "/tmp");
    std::filesystem::copy_file("/bin/busybox", layer + "/bin/busybox");
    for (const char* applet : {"sh",    "cat",  "ls", "sleep",    "grep",  "id", "touch", "seq",  "wget",
                               "httpd", "ping", "nc", "hostname", "mount", "ps", "test",  "stat", "echo",
                               "kill",  "dd",   "rm", "unshare",  "pwd",   "tr", "tail",  "head"}) {
      std::filesystem::create_symlink("busybox", layer + "/bin/" + applet);
    }
    std::ofstream(layer + "/etc/passwd") << "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n";
    std::ofstream(layer + "/etc/group") << "root:x:0:\nweb:x:1000:\nlogs:x:4:web\n";
  }
  LocalImage image;
  image.id = "sha256:0";
  image.reference = "busybox@sha256:0";
  image.layers = {layer};
  return image;
}

Task<Result<std::string>> start(Machine& machine, json::Document pod, std::uint32_t attempt = 0) {
  const StopToken stop;
  SandboxSpec sandbox;
  sandbox.pod = pod;
  sandbox.host_ips = {"192.0.2.1"};
  Result<SandboxStatus> made = co_await machine.runtime->create_sandbox(std::move(sandbox), stop);
  if (!made) co_return made.error();
  ContainerSpec spec;
  spec.pod = pod;
  spec.name = "c";
  spec.attempt = attempt;
  spec.image = busybox();
  spec.env.pod_ips = made->ips;
  spec.memo = "memo";
  Result<std::string> id = co_await machine.runtime->create_container(std::move(spec), stop);
  if (!id) co_return id.error();
  Result<void> started = co_await machine.runtime->start_container(*id, stop);
  if (!started) co_return started.error();
  co_return *id;
}

// The container's end, at most half a minute away: the machine may be busy.
Task<Result<ContainerStatus>> ended(Machine& machine, std::string id) {
  io::Deadline deadline(machine.loop, 30s);
  for (;;) {
    const std::optional<ContainerStatus> status = machine.runtime->container(id);
    if (!status) co_return Error(Code::kNotFound, "no such container");
    if (status->state == ContainerState::kExited) co_return *status;
    std::optional<RuntimeEvent> event = co_await machine.runtime->events().pop(deadline.token());
    if (!event) co_return Error(Code::kTimeout, "the container does not end");
  }
}

// What the container printed: the texts of its log.
std::string log_text(const ContainerStatus& status);

// Until the container has written exactly `text`.
Task<Result<void>> logged(Machine& machine, std::string id, std::string text) {
  for (int i = 0; i < 500; ++i) {
    const std::optional<ContainerStatus> status = machine.runtime->container(id);
    if (status && log_text(*status) == text) co_return Result<void>();
    Result<void> slept = co_await machine.loop.sleep(20ms);
    if (!slept) co_return slept.error();
  }
  co_return Error(Code::kTimeout, cat("the container has not written '", text, "'"));
}

std::string log_text(const ContainerStatus& status) {
  std::ifstream file(status.log_path);
  std::string line, out;
  while (std::getline(file, line)) {
    std::string_view rest = line;
    std::string_view tag;
    for (int i = 0; i < 3; ++i) {
      tag = rest.substr(0, rest.find(' '));
      rest.remove_prefix(tag.size() + 1);
    }
    out += rest;
    if (tag == "F") out += "\n";
  }
  return out;
}

Task<Result<std::string>> output(Machine& machine, json::Document pod) {
  Result<std::string> id = co_await start(machine, pod);
  if (!id) co_return id.error();
  Result<ContainerStatus> end = co_await ended(machine, *id);
  if (!end) co_return end.error();
  const std::string text = log_text(*end);
  const StopToken stop;
  Result<void> removed = co_await machine.runtime->remove_sandbox(end->pod_uid, false, stop);
  if (!removed) co_return removed.error();
  co_return text;
}

using Scenario = Task<Result<void>> (*)(Machine&);

Task<Result<void>> with_machine(Machine& machine, Scenario scenario) {
  Result<std::vector<SandboxStatus>> booted = co_await boot(machine, test_options());
  INFO((booted ? "" : booted.error().message()));
  NEED(booted.ok());
  Result<void> done = co_await scenario(machine);
  co_await machine.runtime->close();
  co_return done;
}

void run(Scenario scenario) {
  if (!std::getenv("KAYAK_TEST_INSIDE")) {  // asked for by its name: it would build its bridge on this machine
    WARN("skipped: runs as a part of 'runtime: with real containers'");
    return;
  }
  Machine machine;
  const Result<void> done = machine.loop.run(with_machine(machine, scenario));
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

// Control groups whose test's folder is gone.
void remove_old_groups() {
  std::istringstream groups(shell("find /sys/fs/cgroup -maxdepth 2 -type d -name 'kayak-test-*'"));
  for (std::string group; std::getline(groups, group);) {
    const std::string end = group.substr(group.size() - 7);  // with its dash
    if (shell(cat("ls -d /tmp/kayak-test.*", end, " 2>/dev/null | wc -l")) == "0\n") {
      shell(cat("find ", group, " -depth -type d -exec rmdir {} ';'"));
    }
  }
}

TEST_CASE("runtime: with real containers") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  if (::system(
          "for tool in runc unshare setpriv busybox ip nft; do command -v $tool || exit 1; done >/dev/null 2>&1") !=
      0) {
    WARN("skipped: needs runc, busybox-static, iproute2, nftables and util-linux");
    return;
  }
  const kayak::test::Scratch scratch;
  const std::string& folder = scratch.path();
  ::setenv("KAYAK_TEST_FOLDER", folder.c_str(), 1);
  remove_old_groups();
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  // The shell is there to collect the processes that lose their parents.
  const std::string out =
      shell(cat("exec setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc sh -c "
                "\"KAYAK_TEST_INSIDE=1 ",
                self, " '[inside-namespaces]'; exit \\$?\""));
  INFO(out);
  CHECK(out.find("All tests passed") != std::string::npos);
  CHECK(out.find("skipped") == std::string::npos);
  {
    Machine machine;
    const Result<void> removed = machine.loop.run(remove_everything(machine.context, test_options()));
    INFO((removed ? "" : removed.error().message()));
    CHECK(removed.ok());
  }
  CHECK(shell(cat("find /sys/fs/cgroup -maxdepth 2 -name ", test_name())) == "");
  CHECK(shell(cat("grep -c ", folder, " /proc/self/mountinfo")) == "0\n(exit 1)");
}

// ---- scenarios

Task<Result<void>> runs_and_logs(Machine& machine) {
  Result<std::string> id = co_await start(
      machine, script_pod("u-1", "echo out; echo err >&2; printf note > /dev/termination-log; printf part; exit 3",
                          "'terminationMessagePath':'/dev/termination-log'"));
  INFO((id ? "" : id.error().message()));
  NEED(id.ok());
  Result<ContainerStatus> end = co_await ended(machine, *id);
  NEED(end.ok());
  CHECK(end->exit_code == 3);
  CHECK(end->signal == 0);
  CHECK(end->reason == "Error");
  CHECK(end->message == "note");
  CHECK(end->memo == "memo");
  CHECK(end->image_id == "busybox@sha256:0");
  CHECK(end->started >= end->created);
  CHECK(end->finished >= end->started);
  CHECK(end->log_path == test_options().pod_log_dir + "/default_web_u-1/c/0.log");
  const std::string log = shell("cut -d' ' -f2- " + end->log_path + " | sort");
  CHECK(log == "stderr F err\nstdout F out\nstdout P part\n");
  CHECK(std::filesystem::read_symlink(cat(test_options().container_log_dir, "/web_default_c-", *id, ".log")) ==
        end->log_path);

  // The next attempt beside it; then both go.
  Result<std::string> again = co_await start(machine, script_pod("u-1", "exit 0"), 1);
  NEED(again.ok());
  Result<ContainerStatus> fine = co_await ended(machine, *again);
  NEED(fine.ok());
  CHECK(fine->reason == "Completed");
  CHECK(fine->attempt == 1);
  CHECK(machine.runtime->sandbox("u-1")->containers.size() == 2);
  const StopToken stop;
  Result<void> removed = co_await machine.runtime->remove_container(*id, stop);
  NEED(removed.ok());
  CHECK_FALSE(file_exists(end->log_path));
  CHECK(file_exists(fine->log_path));
  CHECK_FALSE(machine.runtime->container(*id).has_value());
  Result<void> gone = co_await machine.runtime->remove_sandbox("u-1", false, stop);
  NEED(gone.ok());
  CHECK(machine.runtime->list().empty());
  CHECK_FALSE(file_exists(fine->log_path));
  const RuntimeOptions options = test_options();
  for (const std::string& path : {options.run_dir + "/pods", options.run_dir + "/shim", options.run_dir + "/runc",
                                  options.data_dir + "/containers", options.kubelet_dir + "/pods", options.pod_log_dir,
                                  options.container_log_dir}) {
    CAPTURE(path);
    CHECK(std::filesystem::is_empty(path));
  }
  CHECK(shell(cat("find /sys/fs/cgroup -path '*", test_name(), "*podu-1*'")) == "");
  CHECK(shell("ip -o link show type veth") == "");
  co_return Result<void>();
}
TEST_CASE("runtime: runs a container, logs it, removes all of it", "[.][inside-namespaces]") { run(runs_and_logs); }

Task<Result<void>> is_confined(Machine& machine) {
  Result<std::string> text = co_await output(
      machine,
      script_pod("u-2",
                 "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '; ls "
                 "/proc/self/fd | tr '\\n' ' '; echo;"
                 "touch /sys/x 2>/dev/null || echo sys-ro; touch /proc/sys/kernel/hostname 2>/dev/null && echo proc-rw;"
                 "cat /proc/kcore 2>/dev/null | head -c 1; cat /proc/timer_list; echo masked; ls /dev | tr '\\n' ' '; "
                 "echo; hostname; pwd; id -u;"
                 "unshare -m true 2>&1 | head -1; cat /proc/1/oom_score_adj; dd if=/dev/vda of=/dev/null count=1 2>&1 "
                 "| head -1"));
  INFO((text ? *text : text.error().message()));
  NEED(text.ok());
  // The 14 capabilities, as a mask.
  for (const char* line : {"CapInh: 0000000000000000", "CapPrm: 00000000a80425fb", "CapEff: 00000000a80425fb",
                           "CapBnd: 00000000a80425fb", "CapAmb: 0000000000000000", "NoNewPrivs: 0", "Seccomp: 2",
                           "sys-ro", "masked", "web\n/\n0\n", "Operation not permitted"}) {
    CAPTURE(line);
    CHECK(text->find(line) != std::string::npos);
  }
  CHECK(text->find("proc-rw") == std::string::npos);
  CHECK(text->find("\n0 1 2 3 \n") != std::string::npos);  // 3 is ls's own (CVE-2024-21626)
  CHECK(text->find("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero") !=
        std::string::npos);
  CHECK(text->find("\n1000\n") != std::string::npos);  // oom_score_adj of a best-effort pod

  Result<std::string> strict =
      co_await output(machine, script_pod("u-3",
                                          "grep -E '^(CapEff|NoNewPrivs):' /proc/self/status | tr '\\t' ' '; id; touch "
                                          "/x 2>/dev/null || echo root-ro; touch /v/y && echo volume-rw",
                                          "'securityContext':{'runAsUser':1000,'allowPrivilegeEscalation':false,'"
                                          "readOnlyRootFilesystem':true,'capabilities':{'drop':['ALL']}},"
                                          "'volumeMounts':[{'name':'v','mountPath':'/v'}]",
                                          "'securityContext':{'supplementalGroups':[77]},'volumes':[{'name':'v','"
                                          "emptyDir':{'medium':'Memory','sizeLimit':'1Mi'}}]"));
  INFO((strict ? *strict : strict.error().message()));
  NEED(strict.ok());
  for (const char* line : {"CapEff: 0000000000000000", "NoNewPrivs: 1",
                           "uid=1000(web) gid=1000(web) groups=4(logs),77,1000(web)", "root-ro", "volume-rw"}) {
    CAPTURE(line);
    CHECK(strict->find(line) != std::string::npos);
  }
  co_return Result<void>();
}
TEST_CASE("runtime: a container is confined", "[.][inside-namespaces]") { run(is_confined); }

Task<Result<void>> stops(Machine& machine) {
  const StopToken stop;
  Result<std::string> polite =
      co_await start(machine, script_pod("u-4", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"));
  NEED(polite.ok());
  Result<void> up = co_await logged(machine, *polite, "up\n");
  NEED(up.ok());
  Result<void> stopped = co_await machine.runtime->stop_container(*polite, 10, stop);
  NEED(stopped.ok());
  Result<ContainerStatus> end = co_await ended(machine, *polite);
  NEED(end.ok());
  CHECK(end->exit_code == 7);
  CHECK(log_text(*end) == "up\nbye\n");
  Result<std::string> deaf =
      co_await start(machine, script_pod("u-5", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"));
  NEED(deaf.ok());
  // Before it has said so, the signal would meet runc's init instead of the shell.
  Result<void> said = co_await logged(machine, *deaf, "deaf\n");
  NEED(said.ok());
  const Instant before = machine.clock.now();
  Result<void> killed = co_await machine.runtime->stop_container(*deaf, 1, stop);
  NEED(killed.ok());
  CHECK(machine.clock.now() - before >= 1s);
  Result<ContainerStatus> dead = co_await ended(machine, *deaf);
  NEED(dead.ok());
  CHECK(dead->exit_code == 137);
  CHECK(dead->signal == SIGKILL);
  CHECK(dead->reason == "Error");
  // Removal of a running one kills it.
  Result<std::string> running = co_await start(machine, script_pod("u-6", "sleep 1000"));
  NEED(running.ok());
  for (const char* uid : {"u-4", "u-5", "u-6"}) {
    Result<void> removed = co_await machine.runtime->remove_sandbox(uid, false, stop);
    NEED(removed.ok());
  }
  co_return Result<void>();
}
TEST_CASE("runtime: stops containers with grace and without", "[.][inside-namespaces]") { run(stops); }

Task<Result<void>> fails_to_start(Machine& machine) {
  const StopToken stop;
  Result<std::string> missing =
      co_await start(machine, pod_document("u-7", "{'containers':[{'name':'c','command':['/no/such/program']}]}"));
  CHECK_FALSE(missing.ok());
  CHECK(missing.error().message().find("/no/such/program") != std::string::npos);
  const std::optional<SandboxStatus> sandbox = machine.runtime->sandbox("u-7");
  NEED(sandbox.has_value());
  NEED(sandbox->containers.size() == 1);
  CHECK(sandbox->containers[0].reason == "StartError");
  CHECK(sandbox->containers[0].exit_code == 128);
  Result<std::string> user =
      co_await start(machine, script_pod("u-7", "true", "'securityContext':{'runAsNonRoot':true}"), 1);
  CHECK_FALSE(user.ok());
  CHECK(user.error().code() == Code::kInvalid);
  CHECK(user.error().message().find("container has runAsNonRoot and image will run as root") == 0);
  CHECK(machine.runtime->sandbox("u-7")->containers.size() == 1);
  Result<std::string> volume = co_await start(
      machine,
      script_pod("u-8", "true", "", "'volumes':[{'name':'h','hostPath':{'path':'/no/such','type':'Directory'}}]"));
  CHECK_FALSE(volume.ok());
  CHECK(volume.error().message() == "volume \"h\": hostPath type check failed: /no/such is not a directory");
  CHECK_FALSE(machine.runtime->sandbox("u-8").has_value());
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-7", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: what cannot start says why and leaves nothing", "[.][inside-namespaces]") { run(fails_to_start); }

Task<Result<void>> runs_out_of_memory(Machine& machine) {
  const StopToken stop;
  Result<std::string> id =
      co_await start(machine, script_pod("u-40", "dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived",
                                         "'resources':{'limits':{'memory':'48Mi'}}"));
  INFO((id ? "" : id.error().message()));
  NEED(id.ok());
  Result<ContainerStatus> end = co_await ended(machine, *id);
  NEED(end.ok());
  INFO(log_text(*end));
  // On v1 the kernel kills one process: the shell lives on and says so. On v2 the whole container goes.
  CHECK((end->reason == "OOMKilled" || log_text(*end).find("survived") != std::string::npos));
  Result<std::string> whole = co_await start(machine,
                                             script_pod("u-40", "exec dd if=/dev/zero of=/dev/null bs=200M count=1",
                                                        "'resources':{'limits':{'memory':'48Mi'}}"),
                                             1);
  NEED(whole.ok());
  Result<ContainerStatus> killed = co_await ended(machine, *whole);
  NEED(killed.ok());
  CHECK(killed->reason == "OOMKilled");
  CHECK(killed->exit_code == 137);
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-40", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: out of memory", "[.][inside-namespaces]") { run(runs_out_of_memory); }

Task<Result<void>> rotates_logs(Machine& machine) {
  const StopToken stop;
  // 3 MB without a newline, then lines: rotation at 10 MiB is not reached by one; 16 KiB records are.
  Result<std::string> id = co_await start(
      machine, script_pod("u-41", "dd if=/dev/zero bs=1M count=3 2>/dev/null | tr '\\0' x; echo; echo last"));
  NEED(id.ok());
  Result<ContainerStatus> end = co_await ended(machine, *id);
  NEED(end.ok());
  std::ifstream file(end->log_path);
  std::string line;
  std::size_t bytes = 0, records = 0, longest = 0;
  std::string last;
  while (std::getline(file, line)) {
    ++records;
    longest = std::max(longest, line.size());
    const std::size_t head = 30 + 1 + 6 + 1 + 1 + 1;
    if (line.size() > head) bytes += line.size() - head;
    last = line.substr(std::min(line.size(), head));
  }
  CHECK(last == "last");
  CHECK(bytes == (3 << 20) + 4);
  CHECK(records == 3 * 64 + 1);
  CHECK(longest == 16 * 1024 + 40);
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-41", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: one huge line in the log (security 26)", "[.][inside-namespaces]") { run(rotates_logs); }

Task<Result<void>> pods_talk(Machine& machine) {
  const StopToken stop;
  Result<std::string> server =
      co_await start(machine, script_pod("u-9", "echo hello > /tmp/index.html; httpd -f -p 80 -h /tmp"));
  NEED(server.ok());
  const std::string ip = machine.runtime->sandbox("u-9")->ips.front();
  Result<std::string> text = co_await output(
      machine, script_pod("u-10", cat("for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://", ip,
                                      "/ && break; sleep 0.1; done; ping -c 1 -W 2 ", ip,
                                      " | grep -c '1 packets received'; grep web /etc/hosts; cat /etc/hostname")));
  NEED(text.ok());
  CHECK(text->find("hello\n1\n10.42.8.3\tweb\nweb\n") != std::string::npos);
  INFO(*text);
  // The pod network's host side: a hostNetwork pod.
  Result<std::string> host = co_await output(
      machine,
      script_pod("u-11", cat("wget -q -O - http://", ip, "/; cat /sys/class/net/ktest1/address || ls /sys/class/net"),
                 "", "'hostNetwork':true"));
  NEED(host.ok());
  CHECK(host->find("hello\n") == 0);
  Result<PodStats> stats = co_await machine.runtime->stats("u-9", stop);
  NEED(stats.ok());
  CHECK(stats->pod.memory_usage_bytes > 0);
  CHECK(stats->pod.cpu_usage_nanoseconds > 0);
  CHECK(stats->containers.size() == 1);
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-9", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: pods reach each other and the host", "[.][inside-namespaces]") { run(pods_talk); }

Task<Result<void>> shares_processes(Machine& machine) {
  const StopToken stop;
  Result<std::string> id = co_await start(
      machine, script_pod("u-12", "sleep 987 & cat /proc/1/comm; ls /proc/1/root/ 2>&1 | head -1; exit 4", "",
                          "'shareProcessNamespace':true"));
  INFO((id ? "" : id.error().message()));
  NEED(id.ok());
  Result<ContainerStatus> end = co_await ended(machine, *id);
  NEED(end.ok());
  CHECK(end->exit_code == 4);
  const std::string text = log_text(*end);
  CHECK(text.find("kayak-init\n") == 0);
  INFO(text);
  // What it left running in the shared namespace is gone with it.
  CHECK(shell("pgrep -f '^sleep 987' | wc -l") == "0\n");
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-12", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: a shared process namespace", "[.][inside-namespaces]") { run(shares_processes); }

int shim_pid(const std::string& uid) {
  const Result<std::string> text = read_file(cat(test_options().run_dir, "/shim/", uid, "/lock"));
  std::int64_t pid = 0;
  return text && parse_int64(trim(*text), &pid) ? static_cast<int>(pid) : -1;
}

Task<Result<void>> survives_shim(Machine& machine) {
  const StopToken stop;
  Result<std::string> id =
      co_await start(machine, script_pod("u-13", "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.1; done; exit 5"));
  NEED(id.ok());
  Result<void> slept = co_await machine.loop.sleep(250ms);
  NEED(slept.ok());
  const int first = shim_pid("u-13");
  NEED(::kill(first, SIGKILL) == 0);
  Result<ContainerStatus> end = co_await ended(machine, *id);
  NEED(end.ok());
  CHECK(shim_pid("u-13") != first);
  CHECK(log_text(*end) == "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n");
  // Kernels before 6.15 do not tell the outcome of a process that is not one's child.
  const bool told = end->exit_code == 5 && end->reason == "Error";
  const bool unknown = end->exit_code == 137 && end->reason == "ContainerStatusUnknown";
  CAPTURE(end->exit_code, end->reason);
  CHECK((told || unknown));
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-13", false, stop);
  NEED(removed.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: kill -9 of a shim", "[.][inside-namespaces]") { run(survives_shim); }

Task<Result<void>> first_life(Machine& machine) {
  const StopToken stop;
  Result<std::string> one =
      co_await start(machine, script_pod("u-20", "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done; exit 6"));
  NEED(one.ok());
  Result<std::string> two = co_await start(machine, script_pod("u-21", "exit 9"));
  NEED(two.ok());
  Result<ContainerStatus> end = co_await ended(machine, *two);
  NEED(end.ok());
  Result<std::string> three = co_await start(machine, script_pod("u-22", "sleep 1000"));
  NEED(three.ok());
  // Prepared, never started.
  ContainerSpec spec;
  spec.pod = script_pod("u-22", "sleep 1000");
  spec.name = "c";
  spec.attempt = 1;
  spec.image = busybox();
  Result<std::string> half = co_await machine.runtime->create_container(std::move(spec), stop);
  NEED(half.ok());
  co_return Result<void>();
}
Task<Result<void>> second_life(Machine& machine) {
  const StopToken stop;
  std::optional<SandboxStatus> one = machine.runtime->sandbox("u-20");
  NEED(one.has_value());
  CHECK(one->ready);
  CHECK(one->ips == std::vector<std::string>{"10.42.8.2"});
  NEED(one->containers.size() == 1);
  CHECK(one->containers[0].state == ContainerState::kRunning);
  CHECK(one->containers[0].started.microseconds > 0);
  CHECK(one->containers[0].memo == "memo");
  Result<ContainerStatus> end = co_await ended(machine, one->containers[0].id);
  NEED(end.ok());
  CHECK(end->exit_code == 6);
  CHECK(log_text(*end) == "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
  const std::optional<SandboxStatus> two = machine.runtime->sandbox("u-21");
  NEED(two.has_value());
  CHECK(two->containers[0].state == ContainerState::kExited);
  CHECK(two->containers[0].exit_code == 9);
  // Its shim was killed while nobody was there, too.
  const std::optional<SandboxStatus> three = machine.runtime->sandbox("u-22");
  NEED(three.has_value());
  NEED(three->containers.size() == 2);
  CHECK(three->containers[0].state == ContainerState::kRunning);
  CHECK(three->containers[1].state == ContainerState::kExited);
  CHECK(three->containers[1].reason == "ContainerStatusUnknown");
  Result<void> stopped = co_await machine.runtime->stop_container(three->containers[0].id, 0, stop);
  NEED(stopped.ok());
  for (const char* uid : {"u-20", "u-21", "u-22"}) {
    Result<void> removed = co_await machine.runtime->remove_sandbox(uid, false, stop);
    NEED(removed.ok());
  }
  CHECK(std::filesystem::is_empty(test_options().run_dir + "/pods"));
  co_return Result<void>();
}
TEST_CASE("runtime: the next process adopts what runs, without restarting any", "[.][inside-namespaces]") {
  run(first_life);
  REQUIRE(::kill(shim_pid("u-22"), SIGKILL) == 0);
  run(second_life);
}

Task<Result<void>> after_reboot(Machine& machine) {
  const StopToken stop;
  const std::optional<SandboxStatus> sandbox = machine.runtime->sandbox("u-30");
  NEED(sandbox.has_value());
  CHECK_FALSE(sandbox->ready);
  NEED(sandbox->containers.size() == 1);
  CHECK(sandbox->containers[0].reason == "ContainerStatusUnknown");
  CHECK(sandbox->containers[0].exit_code == 137);
  Result<void> removed = co_await machine.runtime->remove_sandbox("u-30", false, stop);
  NEED(removed.ok());
  CHECK(std::filesystem::is_empty(test_options().run_dir + "/pods"));
  CHECK(shell("pgrep -f '^sleep 765' | wc -l") == "0\n");
  co_return Result<void>();
}
Task<Result<void>> before_reboot(Machine& machine) {
  Result<std::string> id = co_await start(machine, script_pod("u-30", "sleep 765"));
  NEED(id.ok());
  co_return Result<void>();
}
TEST_CASE("runtime: a sandbox whose namespaces are gone is not ready", "[.][inside-namespaces]") {
  run(before_reboot);
  shell(cat("umount -l ", test_options().run_dir, "/pods/u-30/net"));
  run(after_reboot);
}

}  // namespace
}  // namespace kayak::agent
