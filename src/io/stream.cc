// stream.cc: making streams: listeners, connects, adopted descriptors.
#include "io/stream.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/strings.h"
#include "io/address.h"
#include "io/fd_stream.h"

namespace kayak::io {

namespace {

using namespace std::chrono_literals;

void set_option(int fd, int level, int option, int value) {
  // Tuning only: a kernel that refuses one still carries bytes.
  static_cast<void>(::setsockopt(fd, level, option, &value, sizeof(value)));
}

void tune_tcp(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer that lost power is noticed in 30 + 4 * 15 s, by the kernel alone.
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

bool out_of_descriptors(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }
// Failures of the connection that was to be accepted, not of the listener. Source: accept(2).
bool peer_went_away(int error) {
  return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN || error == ENOPROTOOPT ||
         error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH || error == EOPNOTSUPP ||
         error == ENETUNREACH || error == EPERM;
}

class FdListener final : public Listener, private Poller::Watcher {
 public:
  FdListener(Context context, Fd fd, bool tcp) : context_(context.named("io")), fd_(std::move(fd)), tcp_(tcp) {}
  ~FdListener() override {
    ASSERT(!in_.in_use);
    if (watched_) context_.loop.poller().remove(fd_.get(), static_cast<Watcher&>(*this));
    if (!path_.empty()) remove_socket_file();
  }

  Result<void> start() {
    auto added = context_.loop.poller().add(fd_.get(), EPOLLIN | EPOLLET, static_cast<Watcher&>(*this));
    watched_ = added.ok();
    return added;
  }
  void own_path(const std::string& path) {
    path_ = path;
    static_cast<void>(::stat(path.c_str(), &identity_));
  }

  Task<Result<StreamPtr>> accept(StopToken stop) override {
    InUse guard(in_);
    Duration pause = 10ms;
    for (;;) {
      if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
      if (++turn_accepts_ % 64 == 0) co_await context_.loop.yield();
      Fd accepted(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (accepted) {
        if (tcp_) tune_tcp(accepted.get());
        auto stream = FdStream::create(context_.loop, std::move(accepted));
        if (stream) co_return StreamPtr(std::move(*stream));
        continue;  // the descriptor was closed: the client sees a reset
      }
      const int error = errno;
      if (peer_went_away(error)) continue;
      if (out_of_descriptors(error)) {
        report_exhaustion(error);
        if (auto slept = co_await context_.loop.sleep(pause, stop); !slept) co_return slept.error();
        pause = std::min<Duration>(pause * 2, 500ms);
        continue;
      }
      if (error != EAGAIN && error != EWOULDBLOCK) co_return error_from_errno(error, "accept");
      in_.ready = false;
      ReadinessWait wait(in_, fd_, stop);
      co_await wait;
    }
  }
  Endpoint local() const override { return local_address(fd_.get()).endpoint(); }

 private:
  void on_events(std::uint32_t) override {
    in_.ready = true;
    in_.wake();
  }
  void report_exhaustion(int error) {
    const Instant now = context_.clock.now();
    if (next_report_ && now < *next_report_) return;
    next_report_ = now + 10s;
    context_.log.warn(
        "cannot accept connections, waiting until descriptors are free",
        {{"listen", tcp_ ? local().to_string() : path_}, {"error", error_from_errno(error, "accept").message()}});
  }
  // Only what we made: another process may have replaced it meanwhile.
  void remove_socket_file() {
    struct stat now {};
    if (::stat(path_.c_str(), &now) != 0) return;
    if (now.st_dev == identity_.st_dev && now.st_ino == identity_.st_ino) ::unlink(path_.c_str());
  }

  Context context_;
  Fd fd_;
  bool tcp_;
  bool watched_ = false;
  Readiness in_;
  unsigned turn_accepts_ = 0;
  std::optional<Instant> next_report_;
  std::string path_;
  struct stat identity_ {};
};

// Frees `path` for a new socket when the one there has no listener any more.
Result<void> remove_stale_socket(const std::string& path, const UnixAddress& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return Result<void>();
    return error_from_errno(errno, path);
  }
  if (!S_ISSOCK(status.st_mode)) return Error(Code::kAlreadyExists, cat(path, " exists and is not a socket"));
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return error_from_errno(errno, "socket");
  const int rc = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length);
  if (rc == 0 || errno != ECONNREFUSED) {
    return Error(Code::kAlreadyExists, cat("another process listens on ", path));
  }
  return remove_file(path);
}

}  // namespace

Task<Result<void>> Stream::wait_readable(StopToken) { co_return Result<void>(); }

Result<std::unique_ptr<Listener>> listen_tcp(Context context, const Endpoint& at, int backlog) {
  auto address = socket_address(at);
  if (!address) return address.error();
  Fd fd(::socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const std::string doing = cat("listening on ", at.to_string());
  if (!fd) return error_from_errno(errno, doing);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  // "::" serves IPv4 too, as Go's listener does.
  if (address->any.sa_family == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(fd.get(), &address->any, address->length()) != 0 || ::listen(fd.get(), backlog) != 0) {
    const int error = errno;
    if (error != EADDRINUSE) return error_from_errno(error, doing);
    const std::string holder = port_holder(at);
    return Error(Code::kIo, cat(doing, ": the address is in use by ", holder.empty() ? "another process" : holder));
  }
  auto listener = std::make_unique<FdListener>(context, std::move(fd), true);
  if (auto started = listener->start(); !started) return started.error();
  return std::unique_ptr<Listener>(std::move(listener));
}

Result<std::unique_ptr<Listener>> listen_unix(Context context, const std::string& path) {
  auto address = unix_address(path);
  if (!address) return address.error();
  if (auto removed = remove_stale_socket(path, *address); !removed) return removed.error();
  const std::string doing = cat("listening on ", path);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return error_from_errno(errno, doing);
  // The file that bind makes takes the socket's own mode: there is no moment in which others can connect.
  if (::fchmod(fd.get(), 0600) != 0) return error_from_errno(errno, doing);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address->address), address->length) != 0 ||
      ::listen(fd.get(), 128) != 0) {
    return error_from_errno(errno, doing);
  }
  auto listener = std::make_unique<FdListener>(context, std::move(fd), false);
  listener->own_path(path);
  if (auto started = listener->start(); !started) return started.error();
  return std::unique_ptr<Listener>(std::move(listener));
}

Task<Result<StreamPtr>> connect_tcp(Context context, Endpoint to, StopToken stop) {
  const std::string doing = cat("connecting to ", to.to_string());
  auto address = socket_address(to);
  if (!address) co_return address.error();
  if (stop.stopped()) co_return Error(Code::kCancelled, cat(doing, ": stopped"));
  Fd fd(::socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return error_from_errno(errno, doing);
  tune_tcp(fd.get());
  const bool pending = ::connect(fd.get(), &address->any, address->length()) != 0;
  if (pending && errno != EINPROGRESS && errno != EINTR) co_return error_from_errno(errno, doing);
  auto stream = FdStream::create(context.loop, std::move(fd), pending);
  if (!stream) co_return stream.error().while_doing(doing);
  if (pending) {
    auto connected = co_await (*stream)->finish_connect(stop);
    if (!connected) co_return connected.error().while_doing(doing);
  }
  co_return StreamPtr(std::move(*stream));
}

Task<Result<StreamPtr>> connect_unix(Context context, std::string path, StopToken stop) {
  const std::string doing = cat("connecting to ", path);
  auto address = unix_address(path);
  if (!address) co_return address.error();
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return error_from_errno(errno, doing);
  Duration pause = 1ms;
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->address), address->length) != 0) {
    // A full backlog says EAGAIN and cannot be waited for by polling. Source: connect(2).
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return error_from_errno(errno, doing);
    if (auto slept = co_await context.loop.sleep(pause, stop); !slept) co_return slept.error().while_doing(doing);
    pause = std::min<Duration>(pause * 2, 50ms);
  }
  auto stream = FdStream::create(context.loop, std::move(fd));
  if (!stream) co_return stream.error().while_doing(doing);
  co_return StreamPtr(std::move(*stream));
}

void tune_for_peers(Stream& plain, Duration unacknowledged, int unsent_bytes) {
  const auto* stream = dynamic_cast<const FdStream*>(&plain);
  if (stream == nullptr) return;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(unacknowledged).count();
  set_option(stream->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(ms));
  set_option(stream->fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_bytes);
}

Result<StreamPtr> adopt_fd(Context context, Fd fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return error_from_errno(errno, "fcntl");
  }
  auto stream = FdStream::create(context.loop, std::move(fd));
  if (!stream) return stream.error();
  return StreamPtr(std::move(*stream));
}

Result<std::pair<StreamPtr, StreamPtr>> stream_pair(Context context) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
    return error_from_errno(errno, "socketpair");
  }
  Fd a(fds[0]), b(fds[1]);
  auto first = FdStream::create(context.loop, std::move(a));
  if (!first) return first.error();
  auto second = FdStream::create(context.loop, std::move(b));
  if (!second) return second.error();
  return std::make_pair(StreamPtr(std::move(*first)), StreamPtr(std::move(*second)));
}

}  // namespace kayak::io
