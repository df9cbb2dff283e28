// resolve_test.cc: names to addresses: numeric, hosts file, a name server on loopback that answers as told.
#include "io/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "io/support.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;
using kayak::test::TestContext;

namespace {

// A name server on its own thread. Knows two.test (two A records, one AAAA), refuses to answer silent.test, says
// NXDOMAIN to the rest.
class NameServer {
 public:
  NameServer() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(at);
    REQUIRE(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), length) == 0);
    REQUIRE(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
    address_ = cat("127.0.0.1:", ntohs(at.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~NameServer() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    stopping_ = true;
    // shutdown(2) does not wake a datagram socket everywhere: one datagram does.
    Fd poke(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    socklen_t length = sizeof(at);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &length);
    ::sendto(poke.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&at), length);
    thread_.join();
  }
  const std::string& address() const { return address_; }

 private:
  void serve() {
    while (!stopping_) {
      unsigned char query[512];
      sockaddr_in from{};
      socklen_t length = sizeof(from);
      const ssize_t n = ::recvfrom(fd_.get(), query, sizeof(query), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 17) continue;
      std::string name;
      std::size_t at = 12;
      while (query[at] != 0) {
        name.append(reinterpret_cast<char*>(query + at + 1), query[at]).append(".");
        at += query[at] + 1u;
      }
      const int type = query[at + 2];
      if (name == "silent.test.") continue;
      std::string reply(reinterpret_cast<char*>(query), at + 5);
      std::string answers;
      int count = 0;
      auto add = [&](const std::string& address) {
        answers += std::string("\xc0\x0c\x00", 3) + static_cast<char>(type) +
                   std::string("\x00\x01\x00\x00\x00\x3c\x00", 7) + static_cast<char>(address.size()) + address;
        ++count;
      };
      const bool known = name == "two.test.";
      if (known && type == 1) {
        add(std::string("\x7f\x00\x00\x07", 4));
        add(std::string("\x7f\x00\x00\x08", 4));
      }
      if (known && type == 28) add(std::string(15, '\0') + '\x01');
      reply[2] = '\x81';
      reply[3] = known ? '\x80' : '\x83';
      reply[6] = 0;
      reply[7] = static_cast<char>(count);
      for (int i = 8; i < 12; ++i) reply[static_cast<std::size_t>(i)] = 0;
      reply += answers;
      ::sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  Fd fd_;
  std::string address_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

Task<Result<void>> look_up(Context context, ResolveSources sources, std::string host, std::string* seen) {
  auto found = co_await resolve_from(context, sources, host);
  *seen = found ? join(*found, " ") : test::says(found);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("a hosts file is read as hosts(5) says") {
  const std::string hosts =
      "127.0.0.1 localhost\n"
      "# 1.1.1.1 commented\n"
      "10.0.0.1\tnode-a node-a.lan # 10.0.0.9 node-c\r\n"
      "  10.0.0.2 node-b node-a\n"
      "fd00::1 node-a\n"
      "10.0.0.1 node-a\n"
      "nonsense node-a\n"
      "10.0.0.3";
  struct Row {
    std::string host, addresses;
  };
  for (const Row& row : {Row{"node-a", "10.0.0.1 10.0.0.2 fd00::1"}, Row{"NODE-A.lan.", "10.0.0.1"},
                         Row{"node-b", "10.0.0.2"}, Row{"node-c", ""}, Row{"commented", ""}, Row{"10.0.0.1", ""}}) {
    CAPTURE(row.host);
    CHECK(join(addresses_in_hosts(hosts, row.host), " ") == row.addresses);
  }
  CHECK(addresses_in_hosts("", "a").empty());
}

TEST_CASE("names resolve: numeric, hosts, name server") {
  TestContext t;
  NameServer server;
  test::Scratch dir;
  ResolveSources sources{
      .hosts_file = dir.path() + "/hosts", .servers = server.address(), .timeout_ms = 30, .tries = 2};
  std::ofstream(sources.hosts_file) << "192.0.2.9 listed\n192.0.2.10 two.hosts\n";
  struct Row {
    std::string host, seen;
  };
  for (const Row& row :
       {Row{"1.2.3.4", "1.2.3.4"}, Row{"::1", "::1"}, Row{"listed", "192.0.2.9"}, Row{"localhost", "127.0.0.1 ::1"},
        Row{"a.localhost.", "127.0.0.1 ::1"}, Row{"none.test", "NotFound: looking up none.test: no such host"},
        Row{"silent.test", "Timeout: looking up silent.test: the name servers did not answer"},
        Row{"", "Invalid: \"\" is not a host name"}, Row{"a b", "Invalid: \"a b\" is not a host name"},
        Row{"a..b", "Invalid: \"a..b\" is not a host name"},
        Row{std::string(254, 'a'), cat("Invalid: \"", std::string(254, 'a'), "\" is not a host name")}}) {
    CAPTURE(row.host);
    std::string seen;
    CHECK(test::says(t.loop.run(look_up(t.context(), sources, row.host, &seen))) == "ok");
    CHECK(seen == row.seen);
  }
  std::string seen;
  CHECK(test::says(t.loop.run(look_up(t.context(), sources, "two.test", &seen))) == "ok");
  // The order between the families is that of RFC 6724 on this machine.
  CHECK((seen == "127.0.0.7 127.0.0.8 ::1" || seen == "::1 127.0.0.7 127.0.0.8"));
  INFO(seen);
}

namespace {
Task<Result<void>> stopped_look_up(Context context, ResolveSources sources) {
  Deadline deadline(context.loop, 5ms);
  auto found = co_await resolve_from(context, sources, "silent.test", deadline.token());
  CHECK(test::says(found) == "Cancelled: looking up silent.test: stopped");
  co_return Result<void>();
}
Task<Result<void>> accept_one(Listener& listener) {
  auto accepted = co_await listener.accept();
  co_return accepted ? Result<void>() : Result<void>(accepted.error());
}
Task<Result<void>> by_name(Context context) {
  Endpoint any;
  any.ip = "127.0.0.1";
  auto listener = listen_tcp(context, any);
  if (!listener) co_return listener.error();
  TaskScope scope;
  scope.spawn(accept_one(**listener));
  auto stream = co_await connect_host(context, "localhost", (*listener)->local().port);
  CHECK(test::says(stream) == "ok");
  co_await scope.join();
  const std::uint16_t port = (*listener)->local().port;
  listener->reset();
  auto refused = co_await connect_host(context, "127.0.0.1", port);
  CHECK(test::says(refused) ==
        cat("Io: 127.0.0.1: connecting to 127.0.0.1:", port, ": connect: Connection refused (ECONNREFUSED)"));
  co_return Result<void>();
}
}  // namespace

TEST_CASE("a look-up can be stopped; connecting by name") {
  TestContext t;
  NameServer server;
  ResolveSources sources{.hosts_file = "/nonexistent", .servers = server.address(), .timeout_ms = 5000, .tries = 2};
  CHECK(test::says(t.loop.run(stopped_look_up(t.context(), sources))) == "ok");
  CHECK(test::says(t.loop.run(by_name(t.context()))) == "ok");
}
