// fd_stream.cc: try first, wait only when the kernel says so.
#include "io/fd_stream.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"

namespace kayak::io {

namespace {

// A stream that never has to wait gives way to the others after so many bytes (a small operation counts as kMinCost):
// about a millisecond of copying on a small board.
constexpr std::uint32_t kTurnBytes = 1024 * 1024;
constexpr std::uint32_t kMinCost = 16 * 1024;

Error stopped() { return Error(Code::kCancelled, "stopped"); }
Error closed() { return Error(Code::kCancelled, "the stream was closed"); }
bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

FdStream::FdStream(Loop& loop, Fd fd, bool socket, bool connecting)
    : loop_(loop), fd_(std::move(fd)), peer_(peer_address(fd_.get())), socket_(socket) {
  in_.ready = out_.ready = !connecting;
}

Result<std::unique_ptr<FdStream>> FdStream::create(Loop& loop, Fd fd, bool connecting) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return error_from_errno(errno, "fstat");
  std::unique_ptr<FdStream> stream(new FdStream(loop, std::move(fd), S_ISSOCK(status.st_mode), connecting));
  auto added =
      loop.poller().add(stream->fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, static_cast<Watcher&>(*stream));
  if (!added) {
    stream->fd_.reset();
    return added.error();
  }
  return stream;
}

FdStream::~FdStream() {
  close();
  // An operation that is still suspended would come back to a dead object: its owner joins it first.
  ASSERT(!in_.in_use && !out_.in_use);
}

void FdStream::close() {
  if (!fd_) return;
  loop_.poller().remove(fd_.get(), static_cast<Watcher&>(*this));
  fd_.reset();
  in_.wake();
  out_.wake();
}

Endpoint FdStream::local() const { return fd_ ? local_address(fd_.get()).endpoint() : Endpoint(); }

void FdStream::on_events(std::uint32_t events) {
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hangup_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    in_.ready = true;
    in_.wake();
  }
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    out_.ready = true;
    out_.wake();
  }
}

bool FdStream::turn_is_over() {
  if (turn_bytes_ < kTurnBytes) return false;
  turn_bytes_ = 0;
  return true;
}

Result<std::optional<std::size_t>> FdStream::try_read(std::span<char> buffer) {
  ASSERT(!buffer.empty());
  if (!fd_) return closed();
  if (!in_.ready) return std::optional<std::size_t>();
  ssize_t n = 0;
  do {
    n = ::read(fd_.get(), buffer.data(), buffer.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (!would_block(errno)) return error_from_errno(errno, "read");
    in_.ready = false;
    return std::optional<std::size_t>();
  }
  const std::size_t got = static_cast<std::size_t>(n);
  // A short read emptied the queue and later arrivals raise a new edge (epoll(7)), unless the end came in the same
  // event as these bytes.
  if (got > 0 && got < buffer.size() && !hangup_) in_.ready = false;
  turn_bytes_ += std::max(static_cast<std::uint32_t>(std::min<std::size_t>(got, kTurnBytes)), kMinCost);
  return std::optional<std::size_t>(got);
}

Result<std::size_t> FdStream::try_write(const iovec* pieces, int count) {
  if (!fd_) return closed();
  if (!out_.ready) return std::size_t(0);
  ssize_t n = 0;
  do {
    if (socket_) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(pieces);
      message.msg_iovlen = static_cast<std::size_t>(count);
      n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    } else {
      n = ::writev(fd_.get(), pieces, count);
    }
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (!would_block(errno)) return error_from_errno(errno, "write");
    out_.ready = false;
    return std::size_t(0);
  }
  turn_bytes_ += std::max(static_cast<std::uint32_t>(std::min<std::size_t>(n, kTurnBytes)), kMinCost);
  return static_cast<std::size_t>(n);
}

// Writes from `*first`, `*skip` bytes into it, and moves both on; what is sent is let go of.
Result<std::size_t> FdStream::try_write_some(Slices& data, std::size_t* first, std::size_t* skip) {
  std::array<iovec, 128> pieces;
  std::size_t count = 0;
  for (std::size_t i = *first; i < data.size() && count < pieces.size(); ++i) {
    const std::string_view bytes = i == *first ? data[i].bytes.substr(*skip) : data[i].bytes;
    if (!bytes.empty()) pieces[count++] = iovec{const_cast<char*>(bytes.data()), bytes.size()};
  }
  std::size_t left = 0;
  if (count > 0) {
    auto wrote = try_write(pieces.data(), static_cast<int>(count));
    if (!wrote || *wrote == 0) return wrote;
    left = *wrote;
  }
  const std::size_t total = left;
  while (*first < data.size() && data[*first].bytes.size() - *skip <= left) {
    left -= data[*first].bytes.size() - *skip;
    data[*first] = Slice();
    *skip = 0;
    ++*first;
  }
  *skip += left;
  return total;
}

Task<Result<std::size_t>> FdStream::read(std::span<char> buffer, StopToken stop) {
  InUse guard(in_);
  for (;;) {
    if (stop.stopped()) co_return stopped();
    if (turn_is_over()) co_await loop_.yield();
    auto got = try_read(buffer);
    if (!got) co_return got.error();
    if (*got) co_return **got;
    turn_bytes_ = 0;
    ReadinessWait wait(in_, fd_, stop);
    co_await wait;
  }
}

Task<Result<void>> FdStream::write(Slices data, StopToken stop) {
  InUse guard(out_);
  std::size_t first = 0, skip = 0;
  for (;;) {
    if (stop.stopped()) co_return stopped();
    if (turn_is_over()) co_await loop_.yield();
    auto wrote = try_write_some(data, &first, &skip);
    if (!wrote) co_return wrote.error();
    if (first == data.size()) co_return Result<void>();
    if (out_.ready) continue;
    turn_bytes_ = 0;
    ReadinessWait wait(out_, fd_, stop);
    co_await wait;
  }
}

Task<Result<void>> FdStream::wait_readable(StopToken stop) {
  InUse guard(in_);
  ReadinessWait wait(in_, fd_, stop);
  co_await wait;
  if (stop.stopped()) co_return stopped();
  if (!fd_) co_return closed();
  co_return Result<void>();
}

Task<Result<void>> FdStream::wait_writable(StopToken stop) {
  InUse guard(out_);
  ReadinessWait wait(out_, fd_, stop);
  co_await wait;
  if (stop.stopped()) co_return stopped();
  if (!fd_) co_return closed();
  co_return Result<void>();
}

Task<Result<void>> FdStream::finish_connect(StopToken stop) {
  for (;;) {
    if (auto waited = co_await wait_writable(stop); !waited) co_return waited;
    int failure = 0;
    socklen_t length = sizeof(failure);
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &failure, &length) != 0) failure = errno;
    if (failure != 0) co_return error_from_errno(failure, "connect");
    peer_ = peer_address(fd_.get());
    if (peer_.any.sa_family != AF_UNSPEC) break;
    out_.ready = false;  // not connected yet: the event was an early one
  }
  hangup_ = false;
  in_.ready = true;
  co_return Result<void>();
}

Task<Result<void>> FdStream::shutdown(StopToken) {
  if (!fd_) co_return closed();
  if (socket_) {
    if (::shutdown(fd_.get(), SHUT_WR) != 0 && errno != ENOTCONN) co_return error_from_errno(errno, "shutdown");
    co_return Result<void>();
  }
  // The write end of a pipe ends by closing it.
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY) co_return Error(Code::kInvalid, "not the write end of a pipe");
  close();
  co_return Result<void>();
}

}  // namespace kayak::io
