// resolve.cc: names to addresses by c-ares on the loop; never getaddrinfo, which a static program cannot use.
// Owns one c-ares channel for each look-up: they are rare, and /etc/resolv.conf may have changed since the last.
#include "io/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <sys/epoll.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "base/strings.h"
#include "io/address.h"
#include "io/poller.h"

namespace kayak::io {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxHostsBytes = 16 * 1024 * 1024;  // some people block advertisers there

Result<void> check_name(const std::string& host) {
  // RFC 1035: 253 characters without the final dot; what they may be is left to the server, but for what breaks logs.
  const std::size_t length = host.ends_with('.') ? host.size() - 1 : host.size();
  const bool clean = std::all_of(host.begin(), host.end(), [](unsigned char c) { return c > ' ' && c != 0x7f; });
  if (length == 0 || length > 253 || !clean || host.find("..") != std::string::npos || host.starts_with('.')) {
    return Error(Code::kInvalid, cat(quote(host), " is not a host name"));
  }
  return Result<void>();
}

std::string read_hosts(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char buffer[16 * 1024];
  while (text.size() < kMaxHostsBytes && (file.read(buffer, sizeof(buffer)), file.gcount() > 0)) {
    text.append(buffer, static_cast<std::size_t>(file.gcount()));
  }
  return text;
}

// A channel and what it waits for. Made on the pool (it reads files), used on the loop.
class Lookup {
 public:
  explicit Lookup(Loop& loop) : loop_(loop) {}
  ~Lookup() {
    if (channel_ != nullptr) ares_destroy(channel_);
    ASSERT(sockets_.empty());
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  Result<void> open(const ResolveSources& sources) {
    ares_options options{};
    char lookups[] = "b";  // DNS alone: the hosts file is read by us, off the loop
    options.lookups = lookups;
    options.timeout = sources.timeout_ms;
    options.tries = sources.tries;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<Lookup*>(self)->socket_changed(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    const int mask = ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int rc = ares_init_options(&channel_, &options, mask);
    if (rc == ARES_SUCCESS && !sources.servers.empty())
      rc = ares_set_servers_ports_csv(channel_, sources.servers.c_str());
    if (rc != ARES_SUCCESS) return Error(Code::kIo, cat("setting up name resolution: ", ares_strerror(rc)));
    return Result<void>();
  }

  Task<Result<std::vector<std::string>>> run(std::string host, StopToken stop) {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;  // one entry for each address, not one for each protocol
    auto on_answer = [](void* self, int status, int, ares_addrinfo* answer) {
      static_cast<Lookup*>(self)->answered(status, answer);
    };
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, on_answer, this);
    arm_timer();
    const bool ended = co_await done_.wait(stop);
    if (!ended) {
      ares_cancel(channel_);
      co_return Error(Code::kCancelled, cat("looking up ", host, ": stopped"));
    }
    if (status_ == ARES_SUCCESS && !addresses_.empty()) co_return addresses_;
    co_return failure(host);
  }

 private:
  struct Socket final : Poller::Watcher {
    Socket(Lookup& lookup, int fd) : lookup(lookup), fd(fd) {}
    void on_events(std::uint32_t events) override {
      // c-ares may close the socket and so destroy this object.
      Lookup& owner = lookup;
      const int failed = EPOLLERR | EPOLLHUP;
      const bool in = (events & (EPOLLIN | failed)) != 0, out = (events & (EPOLLOUT | failed)) != 0;
      ares_process_fd(owner.channel_, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
      owner.arm_timer();
    }
    Lookup& lookup;
    int fd;
  };

  void socket_changed(int fd, bool readable, bool writable) {
    auto found = sockets_.find(fd);
    const std::uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (events == 0) {
      if (found == sockets_.end()) return;
      loop_.poller().remove(fd, found->second);
      sockets_.erase(found);
    } else if (found == sockets_.end()) {
      Socket& added = sockets_.try_emplace(fd, *this, fd).first->second;
      // A socket that cannot be watched is one that never answers: the timer deals with it.
      if (!loop_.poller().add(fd, events, added)) sockets_.erase(fd);
    } else {
      loop_.poller().change(fd, events, found->second);
    }
  }
  void arm_timer() {
    timer_.cancel();
    timeval storage{};
    const timeval* left = ares_timeout(channel_, nullptr, &storage);
    if (left == nullptr) return;
    const Duration wait = std::chrono::seconds(left->tv_sec) + std::chrono::microseconds(left->tv_usec);
    timer_ = loop_.after(wait, [this] {
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      arm_timer();
    });
  }
  void answered(int status, ares_addrinfo* answer) {
    status_ = status;
    for (const ares_addrinfo_node* node = answer == nullptr ? nullptr : answer->nodes; node != nullptr;
         node = node->ai_next) {
      SocketAddress address;
      if (node->ai_family == AF_INET) address.v4 = *reinterpret_cast<const sockaddr_in*>(node->ai_addr);
      if (node->ai_family == AF_INET6) address.v6 = *reinterpret_cast<const sockaddr_in6*>(node->ai_addr);
      std::string ip = address.endpoint().ip;
      if (!ip.empty()) addresses_.push_back(std::move(ip));
    }
    if (answer != nullptr) ares_freeaddrinfo(answer);
    done_.set();
  }
  Error failure(const std::string& host) const {
    const std::string doing = cat("looking up ", host);
    switch (status_) {
      case ARES_SUCCESS:  // an answer without addresses
      case ARES_ENODATA:
      case ARES_ENOTFOUND:
      case ARES_ENONAME:
        return Error(Code::kNotFound, cat(doing, ": no such host"));
      case ARES_ETIMEOUT:
        return Error(Code::kTimeout, cat(doing, ": the name servers did not answer"));
      case ARES_ECONNREFUSED:
        return Error(Code::kUnavailable, cat(doing, ": could not reach a name server"));
      case ARES_EBADNAME:
        return Error(Code::kInvalid, cat(quote(host), " is not a host name"));
      default:
        return Error(Code::kUnavailable, cat(doing, ": ", ares_strerror(status_)));
    }
  }

  Loop& loop_;
  ares_channel channel_ = nullptr;
  std::map<int, Socket> sockets_;
  Loop::Timer timer_;
  Event done_;
  int status_ = ARES_SUCCESS;
  std::vector<std::string> addresses_;
};

// RFC 6761, 6.3: these names never reach a name server.
bool is_localhost(const std::string& host) {
  const std::string name = to_lower(host.ends_with('.') ? host.substr(0, host.size() - 1) : host);
  return name == "localhost" || name.ends_with(".localhost");
}

Result<std::vector<std::string>> prepare(const ResolveSources& sources, const std::string& host, Lookup& lookup) {
  std::vector<std::string> known = addresses_in_hosts(read_hosts(sources.hosts_file), host);
  if (known.empty() && is_localhost(host)) known = {"127.0.0.1", "::1"};
  if (!known.empty()) return known;
  if (auto opened = lookup.open(sources); !opened) return opened.error();
  return known;
}

}  // namespace

std::vector<std::string> addresses_in_hosts(std::string_view text, std::string_view host) {
  std::vector<std::string> found;
  if (host.ends_with('.')) host.remove_suffix(1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    std::string address;
    for (constexpr std::string_view kBlank = " \t\r"; !line.empty();) {
      line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
      const std::string_view word = line.substr(0, line.find_first_of(kBlank));
      line.remove_prefix(word.size());
      if (word.empty()) break;
      if (address.empty()) {
        address = word;
      } else if (iequals(word, host)) {
        const bool known = std::find(found.begin(), found.end(), address) != found.end();
        if (!known && is_numeric_address(address)) found.push_back(address);
        break;
      }
    }
  }
  return found;
}

Task<Result<std::vector<std::string>>> resolve_from(Context context, ResolveSources sources, std::string host,
                                                    StopToken stop) {
  if (is_numeric_address(host)) co_return std::vector<std::string>(1, host);
  if (auto checked = check_name(host); !checked) co_return checked.error();
  auto lookup = std::make_shared<Lookup>(context.loop);
  auto work = [sources, host, lookup] { return prepare(sources, host, *lookup); };
  auto known = co_await context.loop.offload(work);
  if (!known || !known->empty()) co_return known;
  if (stop.stopped()) co_return Error(Code::kCancelled, cat("looking up ", host, ": stopped"));
  co_return co_await lookup->run(host, stop);
}

Task<Result<std::vector<std::string>>> resolve(Context context, std::string host, StopToken stop) {
  ResolveSources sources;
  co_return co_await resolve_from(context, sources, std::move(host), stop);
}

Task<Result<StreamPtr>> connect_host(Context context, std::string host, std::uint16_t port, StopToken stop) {
  auto addresses = co_await resolve(context, host, stop);
  if (!addresses) co_return addresses.error();
  std::optional<Error> last;
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    Endpoint to;
    to.ip = (*addresses)[i];
    to.port = port;
    // A host that swallows packets must not keep us from its other addresses.
    Deadline deadline(context.loop, i + 1 < addresses->size() ? 3s : 30s, stop);
    auto stream = co_await connect_tcp(context, to, deadline.token());
    if (stream) co_return stream;
    if (stop.stopped()) co_return stream.error();
    last = deadline.expired() ? deadline.error(cat("connecting to ", to.to_string())) : stream.error();
  }
  co_return last->while_doing(host);
}

}  // namespace kayak::io
