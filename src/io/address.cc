// address.cc: text to socket address and back, and who holds a port.
#include "io/address.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/strings.h"

namespace kayak::io {

std::string Endpoint::to_string() const {
  if (ip.empty()) return "";
  const bool v6 = ip.find(':') != std::string::npos;
  return v6 ? cat("[", ip, "]:", port) : cat(ip, ":", port);
}

Endpoint SocketAddress::endpoint() const {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "";
  Endpoint out;
  if (any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    out.port = ntohs(v4.sin_port);
  } else if (any.sa_family == AF_INET6) {
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof(text));
    } else {
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    }
    out.port = ntohs(v6.sin6_port);
  }
  out.ip = text;
  return out;
}

Result<SocketAddress> socket_address(const Endpoint& endpoint) {
  SocketAddress out;
  if (inet_pton(AF_INET, endpoint.ip.c_str(), &out.v4.sin_addr) == 1) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(endpoint.port);
    return out;
  }
  std::string ip = endpoint.ip;
  unsigned scope = 0;
  if (const std::size_t percent = ip.find('%'); percent != std::string::npos) {
    const std::string zone = ip.substr(percent + 1);
    std::int64_t number = 0;
    scope = if_nametoindex(zone.c_str());
    if (scope == 0 && parse_int64(zone, &number) && number > 0 && number <= INT32_MAX) {
      scope = static_cast<unsigned>(number);
    }
    if (scope == 0) return Error(Code::kInvalid, cat("no network interface ", quote(zone), " for ", endpoint.ip));
    ip.resize(percent);
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, ip.c_str(), &v6) != 1) {
    return Error(Code::kInvalid, cat(quote(endpoint.ip), " is not an IP address"));
  }
  out.v6 = sockaddr_in6{};
  out.v6.sin6_family = AF_INET6;
  out.v6.sin6_addr = v6;
  out.v6.sin6_port = htons(endpoint.port);
  out.v6.sin6_scope_id = scope;
  return out;
}

bool is_numeric_address(const std::string& text) {
  Endpoint endpoint;
  endpoint.ip = text;
  return socket_address(endpoint).ok();
}

namespace {
using AddressCall = int (*)(int, sockaddr*, socklen_t*);
SocketAddress ask(AddressCall call, int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  SocketAddress out;
  if (call(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return out;
  if (storage.ss_family == AF_INET) std::memcpy(&out.v4, &storage, sizeof(out.v4));
  if (storage.ss_family == AF_INET6) std::memcpy(&out.v6, &storage, sizeof(out.v6));
  return out;
}
}  // namespace

SocketAddress local_address(int fd) { return ask(::getsockname, fd); }
SocketAddress peer_address(int fd) { return ask(::getpeername, fd); }

Result<UnixAddress> unix_address(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Error(Code::kInvalid, "the path of a unix socket is empty or holds a NUL byte");
  }
  UnixAddress out;
  std::string usable = path;
  if (usable.size() >= sizeof(out.address.sun_path)) {
    const std::filesystem::path whole(path);
    const std::string parent = whole.parent_path().string();
    out.directory = Fd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!out.directory) return error_from_errno(errno, cat("opening ", parent));
    usable = cat("/proc/self/fd/", out.directory.get(), "/", whole.filename().string());
  }
  if (usable.size() >= sizeof(out.address.sun_path)) {
    return Error(Code::kInvalid, cat("the path of the unix socket is too long: ", path));
  }
  out.address.sun_family = AF_UNIX;
  std::memcpy(out.address.sun_path, usable.data(), usable.size());
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + usable.size() + 1);
  return out;
}

namespace {

// The inode of a listening socket on `port`, 0 when there is none. Source: proc(5), /proc/net/tcp.
std::uint64_t listening_inode(const char* table, std::uint16_t port) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout;
    std::uint64_t inode = 0;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const std::size_t colon = local.rfind(':');
    if (state != "0A" || colon == std::string::npos) continue;  // 0A: TCP_LISTEN
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port) return inode;
  }
  return 0;
}

bool holds_socket(const std::string& fd_directory, const std::string& wanted) {
  DIR* directory = ::opendir(fd_directory.c_str());
  if (directory == nullptr) return false;
  bool found = false;
  while (const dirent* entry = found ? nullptr : ::readdir(directory)) {
    char target[64];
    const ssize_t n = ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof(target));
    found = n > 0 && std::string_view(target, static_cast<std::size_t>(n)) == wanted;
  }
  ::closedir(directory);
  return found;
}

}  // namespace

std::string port_holder(const Endpoint& at) {
  std::uint64_t inode = listening_inode("/proc/net/tcp", at.port);
  if (inode == 0) inode = listening_inode("/proc/net/tcp6", at.port);
  if (inode == 0) return "";
  const std::string wanted = cat("socket:[", inode, "]");
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return "";
  std::string holder;
  while (const dirent* entry = holder.empty() ? ::readdir(processes) : nullptr) {
    std::int64_t pid = 0;
    if (!parse_int64(entry->d_name, &pid) || pid <= 0) continue;
    if (!holds_socket(cat("/proc/", pid, "/fd"), wanted)) continue;
    std::ifstream comm(cat("/proc/", pid, "/comm"));
    std::string name;
    std::getline(comm, name);
    holder = cat("process ", pid, " ", quote(name));
  }
  ::closedir(processes);
  return holder;
}

}  // namespace kayak::io
