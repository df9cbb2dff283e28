// fd.cc: closing a descriptor.
#include "base/fd.h"

#include <unistd.h>

#include <cerrno>

#include "base/assert.h"

namespace kayak {

void Fd::reset() {
  const int fd = std::exchange(fd_, -1);
  if (fd < 0) return;
  // Linux releases the descriptor even when close fails, so nothing is retried; a closed one was somebody else's.
  const int saved_errno = errno;
  if (close(fd) != 0) ASSERT(errno != EBADF);
  errno = saved_errno;
}

}  // namespace kayak
