// support_io.cc: see support.h.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/fd.h"
#include "base/strings.h"
#include "io/support.h"

namespace kayak::test {

namespace {
constexpr const char* kCodeNames[] = {"Internal",
                                      "BadRequest",
                                      "Unauthorized",
                                      "Forbidden",
                                      "NotFound",
                                      "MethodNotAllowed",
                                      "NotAcceptable",
                                      "AlreadyExists",
                                      "Conflict",
                                      "Expired",
                                      "Gone",
                                      "TooLarge",
                                      "UnsupportedMediaType",
                                      "Invalid",
                                      "TooManyRequests",
                                      "Unavailable",
                                      "ServerTimeout",
                                      "Timeout",
                                      "Cancelled",
                                      "Io",
                                      "NoSpace",
                                      "Corrupt"};
}

std::string says(const Error& error) {
  return cat(kCodeNames[static_cast<std::size_t>(error.code())], ": ", error.message());
}

LogFile::LogFile() : fd_(::memfd_create("test-log", MFD_CLOEXEC)) { ASSERT(fd_); }
Log LogFile::log() { return Log::to_fd(fd_.get(), LogLevel::kTrace); }
std::string LogFile::text() const {
  std::string text;
  char buffer[4096];
  off_t at = 0;
  for (ssize_t n; (n = ::pread(fd_.get(), buffer, sizeof(buffer), at)) > 0; at += n) text.append(buffer, n);
  return text;
}

}  // namespace kayak::test
