// lock_file.cc: flock(2) and the 32 bytes of the mark.
#include "store/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "store/checksum.h"

namespace kayak::store {

namespace {
// On disk, in the byte order of the machine: the file never leaves it.
struct MarkBytes {
  char magic[8];
  std::uint64_t index;
  std::int64_t revision;
  std::uint32_t zero;
  std::uint32_t crc;
};
static_assert(sizeof(MarkBytes) == 32);
constexpr char kMagic[8] = {'K', 'A', 'Y', 'A', 'K', 'A', 'C', 'K'};

std::uint32_t crc_of(const MarkBytes& bytes) {
  return crc32c(0, std::string_view(reinterpret_cast<const char*>(&bytes), offsetof(MarkBytes, crc)));
}
}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path) {
  constexpr int kAttempts = 100;  // against holders that go just then; a file system that counts no links never ends it
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return error_from_errno(errno, cat("opening ", path));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return error_from_errno(errno, cat("locking ", path));
      return Error(Code::kUnavailable, cat("busy: another process holds ", path));
    }
    // Who held it may have removed it in between: then it keeps nobody away.
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return error_from_errno(errno, cat("looking at ", path));
    if (info.st_nlink > 0) return LockFile(std::move(fd));
  }
  return Error(Code::kUnavailable,
               cat("locking ", path, ": the file is removed again and again, or its file system does ",
                   "not count links; put the data directory on ext4, xfs or the like"));
}

void LockFile::remove(const std::string& path) const { ::unlink(path.c_str()); }

std::optional<LockFile::Mark> LockFile::mark() const {
  MarkBytes bytes;
  if (::pread(fd_.get(), &bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return std::nullopt;
  if (std::memcmp(bytes.magic, kMagic, sizeof kMagic) != 0 || bytes.crc != crc_of(bytes)) return std::nullopt;
  return Mark{bytes.index, bytes.revision};
}

namespace {
MarkBytes bytes_of(LockFile::Mark mark) {
  MarkBytes bytes{};
  std::memcpy(bytes.magic, kMagic, sizeof kMagic);
  bytes.index = mark.index;
  bytes.revision = mark.revision;
  bytes.crc = crc_of(bytes);
  return bytes;
}
}  // namespace

void LockFile::set_mark(Mark mark) const {
  const MarkBytes bytes = bytes_of(mark);
  [[maybe_unused]] const ssize_t written = ::pwrite(fd_.get(), &bytes, sizeof bytes, 0);
}

Result<void> LockFile::sync_mark(Mark mark) const {
  const MarkBytes bytes = bytes_of(mark);
  if (::pwrite(fd_.get(), &bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    return error_from_errno(errno, "writing the lock file");
  }
  if (::fdatasync(fd_.get()) != 0) return error_from_errno(errno, "syncing the lock file");
  return Result<void>();
}

}  // namespace kayak::store
