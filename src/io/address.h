// address.h: socket addresses as values, for the files of src/io.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "io/stream.h"

namespace kayak::io {

// An IPv4 or IPv6 address with port, small enough to be kept per connection.
struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  SocketAddress() : v6{} {}
  socklen_t length() const { return any.sa_family == AF_INET6 ? sizeof(v6) : sizeof(v4); }
  // Empty unless it is IPv4 or IPv6; IPv4 mapped into IPv6 reads as IPv4.
  Endpoint endpoint() const;
};

// Errors: Invalid (not a numeric address). "fe80::1%eth0" is understood.
Result<SocketAddress> socket_address(const Endpoint& endpoint);
bool is_numeric_address(const std::string& text);
SocketAddress local_address(int fd);
SocketAddress peer_address(int fd);

// The address of a unix socket at `path`. A path too long for sockaddr_un goes through its opened directory, which
// has to stay open while the address is used.
struct UnixAddress {
  sockaddr_un address{};
  socklen_t length = 0;
  Fd directory;
};
Result<UnixAddress> unix_address(const std::string& path);

// Who listens on the TCP port of `at`, for people: `process 123 "k3s-server"`, or "" when /proc does not tell.
std::string port_holder(const Endpoint& at);

}  // namespace kayak::io
