// signals.cc: see signals.h. signalfd, so that a signal is one more readable descriptor of the loop.
#include "io/signals.h"

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <span>

#include "base/fd.h"
#include "io/stream.h"

namespace kayak::io {

Task<Result<int>> wait_for_signal(Context context, StopToken stop) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  if (::pthread_sigmask(SIG_BLOCK, &wanted, nullptr) != 0) co_return error_from_errno(errno, "blocking signals");
  Fd fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) co_return error_from_errno(errno, "watching for signals");
  Result<StreamPtr> stream = adopt_fd(context, std::move(fd));
  if (!stream) co_return stream.error();
  signalfd_siginfo info{};
  const std::span<char> buffer(reinterpret_cast<char*>(&info), sizeof info);
  Result<std::size_t> got = co_await (*stream)->read(buffer, stop);
  if (!got) co_return got.error();
  co_return static_cast<int>(info.ssi_signo);
}

}  // namespace kayak::io
