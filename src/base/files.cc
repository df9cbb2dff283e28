// files.cc: see files.h.
#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/strings.h"

namespace kayak {

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("opening ", path));
  std::string content;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) continue;
      return error_from_errno(errno, cat("reading ", path));
    }
    if (got == 0) return content;
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > max_bytes) {
      return Error(Code::kTooLarge, cat("reading ", path, ": larger than ", max_bytes, " bytes"));
    }
  }
}

Result<void> sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return error_from_errno(errno, cat("flushing ", folder));
  return Result<void>();
}

namespace {
Result<void> write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return error_from_errno(errno, cat("writing ", path));
    }
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return Result<void>();
}
}  // namespace

Result<void> write_file_atomic(const std::string& path, std::string_view content, unsigned mode) {
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return error_from_errno(errno, cat("creating ", temporary));
  auto fail = [&](Error error) {
    ::unlink(temporary.c_str());
    return error;
  };
  // The umask took bits from the mode above; those that remain missing are given back here.
  if (::fchmod(fd.get(), mode) != 0) return fail(error_from_errno(errno, cat("setting the mode of ", temporary)));
  if (auto written = write_all(fd.get(), content, temporary); !written) return fail(written.error());
  if (::fsync(fd.get()) != 0) return fail(error_from_errno(errno, cat("flushing ", temporary)));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail(error_from_errno(errno, cat("renaming to ", path)));
  return sync_folder_of(path);
}

Result<void> make_directories(const std::string& path, unsigned mode) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return error_from_errno(errno, cat("creating ", part));
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return error_from_errno(errno, path);
  if (!S_ISDIR(info.st_mode)) return Error(Code::kIo, cat(path, " is not a folder"));
  return Result<void>();
}

Result<void> make_private_directories(const std::string& path) {
  if (auto made = make_directories(path, 0700); !made) return made;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return error_from_errno(errno, path);
  if ((info.st_mode & 077) == 0 || ::chmod(path.c_str(), 0700) == 0) return Result<void>();
  return error_from_errno(errno, cat("closing ", path, " to other users"));
}

Result<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return error_from_errno(errno, cat("removing ", path));
  return Result<void>();
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace kayak
