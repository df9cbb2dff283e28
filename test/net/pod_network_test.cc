// The pod network with real bridges, veth pairs and nftables, in namespaces of its own: the first test runs the second
// in new ones, which end with it, so that nothing can stay behind on the machine.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <iostream>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "net/net.h"
#include "support/scratch.h"

namespace kayak::net {
namespace {

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (const std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  const int status = ::pclose(pipe);
  if (status != 0) out += cat("(exit ", WEXITSTATUS(status), ")");
  return out;
}

// A process that holds a network namespace.
struct NamespaceHolder {
  NamespaceHolder() {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    pid = ::fork();
    if (pid == 0) {
      const bool made = ::unshare(CLONE_NEWNET) == 0 && ::system("ip link set lo up") == 0;
      if (made && ::write(ready[1], "+", 1) == 1) ::pause();
      ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
  }
  ~NamespaceHolder() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  std::string path() const { return cat("/proc/", pid, "/ns/net"); }
  std::string run(const std::string& command) const { return output_of(cat("nsenter -t ", pid, " -n ", command)); }
  // `work` on a thread inside.
  void inside(const std::function<void()>& work) const {
    std::thread thread([&] {
      const int fd = ::open(path().c_str(), O_RDONLY | O_CLOEXEC);
      if (::setns(fd, CLONE_NEWNET) == 0) work();
      ::close(fd);
    });
    thread.join();
  }
  pid_t pid = -1;
};

sockaddr_in address_of(const std::string& ip, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  ::inet_pton(AF_INET, ip.c_str(), &out.sin_addr);
  return out;
}

// Who the server at `ip` in `server` sees when `client` connects; "" when it cannot.
std::string seen_by(const NamespaceHolder* client, const NamespaceHolder* server, const std::string& ip) {
  constexpr std::uint16_t kPort = 8080;
  int listener = -1;
  const auto listen = [&] {
    listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in at = address_of("0.0.0.0", kPort);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) ::perror("bind");
    ::listen(listener, 1);
  };
  bool connected = false;
  const auto connect = [&] {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{3, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const sockaddr_in to = address_of(ip, kPort);
    connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    ::close(fd);
  };
  if (server != nullptr)
    server->inside(listen);
  else
    listen();
  if (client != nullptr)
    client->inside(connect);
  else
    connect();
  std::string seen;
  if (connected) {
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const int fd = ::accept(listener, reinterpret_cast<sockaddr*>(&peer), &length);
    char text[INET_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
    seen = text;
    ::close(fd);
  }
  ::close(listener);
  return seen;
}

TEST_CASE("pod network: in a namespace of its own") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  if (::system("for tool in ip nft nsenter unshare setpriv; do command -v $tool || exit 1; done >/dev/null 2>&1") !=
      0) {
    WARN("skipped: needs iproute2, nftables and util-linux");
    return;
  }
  if (!std::filesystem::exists("/proc/net/if_inet6")) {
    WARN("skipped: this kernel has no IPv6");
    return;
  }
  const kayak::test::Scratch scratch;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string out =
      output_of(cat("exec setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc sh -c "
                    "\"mount -t sysfs none /sys && KAYAK_TEST_INSIDE=",
                    scratch.path(), " ", self, " '[inside-namespace]'\""));
  INFO(out);
  CHECK(out.find("All tests passed") != std::string::npos);
  CHECK(out.find("skipped") == std::string::npos);
}

struct Machine {
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Loop loop;
  Context context{loop, clock, random, Log::to_fd(2, LogLevel::kWarn), metrics};
};

Task<Result<void>> fail_on(Result<void> result) {
  if (!result) FAIL_CHECK(result.error().message());
  co_return result;
}

// No test macro that throws may stand in a coroutine.
#define NEED(condition)                                                 \
  do {                                                                  \
    CHECK(condition);                                                   \
    if (!(condition)) co_return Error(Code::kInternal, "cannot go on"); \
  } while (false)

Task<Result<void>> use_network(Machine& machine, const PodNetworkOptions options) {
  auto made = PodNetwork::create(machine.context, options);
  NEED(made.ok());
  PodNetwork& network = **made;
  const StopToken stop;
  // Twice: it repairs what is there.
  for (int i = 0; i < 2; ++i) {
    Result<void> started = co_await network.start(stop);
    co_await fail_on(started);
  }
  CHECK(join(network.gateways(), " ") == "10.42.7.1 fd00:42::1");

  const NamespaceHolder a, b, outside;
  Result<PodAddresses> first = co_await network.add("pod-a", a.path(), stop);
  Result<PodAddresses> second = co_await network.add("pod-b", b.path(), stop);
  INFO((first ? "" : first.error().message()));
  NEED(first.ok());
  NEED(second.ok());
  CHECK(join(first->ips, " ") == "10.42.7.2 fd00:42::2");
  CHECK(join(second->ips, " ") == "10.42.7.3 fd00:42::3");
  Result<PodAddresses> repeated = co_await network.add("pod-a", a.path(), stop);
  NEED(repeated.ok());
  CHECK(repeated->ips == first->ips);

  const std::string inside = a.run("ip -o addr show dev eth0");
  INFO(inside);
  CHECK(inside.find("inet 10.42.7.2/24") != std::string::npos);
  CHECK(inside.find("inet6 fd00:42::2/64") != std::string::npos);
  CHECK(a.run("ip route").find("default via 10.42.7.1 dev eth0") != std::string::npos);
  CHECK(a.run("ip -6 route").find("default via fd00:42::1 dev eth0") != std::string::npos);
  CHECK(a.run("cat /proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n");  // CVE-2020-10749
  CHECK(output_of("cat /proc/sys/net/ipv6/conf/ktest0/accept_ra") == "0\n");
  CHECK(output_of("cat /proc/sys/net/ipv4/conf/ktest0/route_localnet") == "0\n");  // CVE-2020-8558
  CHECK(output_of("cat /sys/class/net/ktest0/brif/*/hairpin_mode") == "1\n1\n");

  CHECK(seen_by(&a, &b, "10.42.7.3") == "10.42.7.2");       // pod to pod, no masquerading
  CHECK(seen_by(&a, nullptr, "10.42.7.1") == "10.42.7.2");  // pod to node
  CHECK(seen_by(nullptr, &a, "10.42.7.2") == "10.42.7.1");  // node to pod
  CHECK(seen_by(&a, &a, "10.42.7.2") == "10.42.7.2");       // pod to itself

  // A neighbour of the node: a veth pair to another namespace that knows nothing of pods.
  CHECK(output_of(cat("ip link add kt-out type veth peer name uplink netns ", outside.pid)) == "");
  CHECK(output_of("ip addr add 192.0.2.1/24 dev kt-out && ip link set kt-out up") == "");
  CHECK(outside.run("ip addr add 192.0.2.9/24 dev uplink") == "");
  CHECK(outside.run("ip link set uplink up") == "");
  CHECK(seen_by(&a, &outside, "192.0.2.9") == "192.0.2.1");

  // A new process finds the same pods at the same addresses, and forgets those that are gone.
  auto again = PodNetwork::create(machine.context, options);
  NEED(again.ok());
  Result<void> restarted = co_await (*again)->start(stop);
  co_await fail_on(restarted);
  CHECK(seen_by(&b, &a, "10.42.7.2") == "10.42.7.3");
  std::vector<std::string> kept = {"pod-b"};
  Result<void> tidied = co_await (*again)->keep_only(kept, stop);
  co_await fail_on(tidied);
  CHECK(a.run("ip -o link show dev eth0").find("does not exist") != std::string::npos);
  CHECK(seen_by(nullptr, &b, "10.42.7.3") == "10.42.7.1");
  Result<void> removed = co_await (*again)->remove("pod-b", stop);
  co_await fail_on(removed);
  Result<void> removed_again = co_await (*again)->remove("pod-b", stop);
  co_await fail_on(removed_again);

  // Somebody else's port on our bridge does not keep it alive.
  const NamespaceHolder late;
  Result<PodAddresses> third = co_await (*again)->add("pod-c", late.path(), stop);
  NEED(third.ok());
  CHECK(third->ips.front() == "10.42.7.2");
  Result<void> cleaned = co_await (*again)->cleanup_all(stop);
  co_await fail_on(cleaned);
  CHECK(output_of("ip -o link").find("ktest0") == std::string::npos);
  CHECK(output_of("ip -o link").find("veth") == std::string::npos);
  CHECK(output_of("nft list tables") == "");
  CHECK_FALSE(std::filesystem::exists(options.state_dir));
  Result<void> cleaned_again = co_await (*again)->cleanup_all(stop);
  co_await fail_on(cleaned_again);
  co_return Result<void>();
}

TEST_CASE("pod network: bridge, veth pairs, masquerading", "[.][inside-namespace]") {
  const char* folder = std::getenv("KAYAK_TEST_INSIDE");
  if (folder == nullptr) {  // asked for by its name: it would change this machine's network
    WARN("skipped: runs as a part of 'pod network: in a namespace of its own'");
    return;
  }
  PodNetworkOptions options;
  options.bridge = "ktest0";
  options.pod_cidrs = {"10.42.7.0/24", "fd00:42::/64"};
  options.cluster_cidrs = {"10.42.0.0/16", "fd00:42::/48"};
  options.state_dir = cat(folder, "/net");
  {
    Machine machine;
    REQUIRE(machine.loop.run(use_network(machine, options)).ok());
  }
}

TEST_CASE("pod network: options that make no sense") {
  Machine machine;
  struct Row {
    std::string bridge;
    std::vector<std::string> cidrs;
    std::string message;
  };
  for (const Row& row :
       {Row{"a-name-that-is-too-long",
            {"10.42.0.0/24"},
            "\"a-name-that-is-too-long\" is not a name for a network interface"},
        Row{"", {"10.42.0.0/24"}, "\"\" is not a name for a network interface"},
        Row{"kayak0", {}, "pod networks: one per IP family is needed, one or two"},
        Row{"kayak0", {"10.42.0.0/24", "10.43.0.0/24"}, "pod networks: one per IP family is needed, one or two"},
        Row{"kayak0", {"10.42.0.0/31"}, "pod network 10.42.0.0/31 is too large or too small"},
        Row{"kayak0", {"pods"}, "pod network: \"pods\" is not a network like 10.42.0.0/24"}}) {
    CAPTURE(row.bridge);
    PodNetworkOptions options;
    options.bridge = row.bridge;
    options.pod_cidrs = row.cidrs;
    const auto made = PodNetwork::create(machine.context, options);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().message() == row.message);
  }
}

}  // namespace
}  // namespace kayak::net
