// mounts.cc: mounts and directory trees of pods.
#include "agent/runtime/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::size_t kMaxMountData = 4095;  // mount(2) takes one page
constexpr long kNsfsMagic = 0x6e736673;

// "\040" and the like, as the kernel writes white space and backslashes in mountinfo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3';
    if (!escape) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
    i += 3;
  }
  return out;
}

std::string overlay_options(const std::vector<std::string>& layers, const std::string& upper, const std::string& work) {
  std::string lower;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) lower += (lower.empty() ? "" : ":") + *layer;
  return cat("lowerdir=", lower, ",upperdir=", upper, ",workdir=", work);
}

int mount_once(const std::string& options, const std::string& target) {
  // Nothing of a container's layer outlives the machine: `volatile` spares it all syncs. Kernels before 5.10 lack it.
  for (const char* extra : {",volatile", ""}) {
    if (::mount("overlay", target.c_str(), "overlay", 0, (options + extra).c_str()) == 0) return 0;
    if (errno != EINVAL) return errno;
  }
  return errno;
}

Result<void> remove_entries(int fd, dev_t device, const std::string& path);

Result<void> remove_entry(int parent, const char* name, dev_t device, const std::string& path) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return Result<void>();
  if (errno != EISDIR && errno != EPERM) return error_from_errno(errno, cat("removing ", path));
  const Fd child(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!child) return error_from_errno(errno, cat("opening ", path));
  struct stat info {};
  if (::fstat(child.get(), &info) != 0) return error_from_errno(errno, path);
  if (info.st_dev != device) return Error(Code::kIo, cat("not removing ", path, ": something is mounted there"));
  if (Result<void> removed = remove_entries(child.get(), device, path); !removed) return removed.error();
  if (::unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
    return error_from_errno(errno, cat("removing ", path));
  return Result<void>();
}

Result<void> remove_entries(int fd, dev_t device, const std::string& path) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(copy >= 0 ? ::fdopendir(copy) : nullptr, ::closedir);
  if (!directory) return error_from_errno(errno, cat("reading ", path));
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (Result<void> removed = remove_entry(fd, entry->d_name, device, cat(path, "/", name)); !removed)
      return removed.error();
  }
  return Result<void>();
}

}  // namespace

Result<void> mount_overlay(const std::vector<std::string>& layers, const std::string& upper, const std::string& work,
                           const std::string& target) {
  for (const std::string& layer : layers) {
    struct stat info {};
    if (::stat(layer.c_str(), &info) != 0) return error_from_errno(errno, cat("image layer ", layer));
  }
  std::string options = overlay_options(layers, upper, work);
  std::vector<Fd> open_layers;
  if (options.size() + 16 > kMaxMountData) {
    // Many layers: their descriptors have short names.
    std::vector<std::string> names;
    for (const std::string& layer : layers) {
      open_layers.emplace_back(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!open_layers.back()) return error_from_errno(errno, cat("image layer ", layer));
      names.push_back(cat("/proc/self/fd/", open_layers.back().get()));
    }
    options = overlay_options(names, upper, work);
  }
  const int error = mount_once(options, target);
  return error == 0
             ? Result<void>()
             : error_from_errno(error, cat("mounting the root file system (overlay of ", layers.size(), " layers)"));
}

std::vector<std::string> mounts_below(std::string_view mountinfo, std::string_view directory) {
  std::vector<std::string> out;
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::vector<std::string_view> cells = split(line, ' ');
    if (cells.size() < 5) continue;
    std::string point = unescape(cells[4]);
    const bool below = point.size() > directory.size() && point[directory.size()] == '/';
    if (point.compare(0, directory.size(), directory) == 0 && (below || point.size() == directory.size()))
      out.push_back(std::move(point));
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Result<void> unmount_below(const std::string& directory) {
  // The kernel prints no length for it; what is larger than this is not ours alone.
  const Result<std::string> mountinfo = read_file("/proc/self/mountinfo", 64 << 20);
  if (!mountinfo) return mountinfo.error();
  for (const std::string& point : mounts_below(*mountinfo, directory)) {
    if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
      return error_from_errno(errno, cat("unmounting ", point));
    }
  }
  return Result<void>();
}

Result<void> remove_tree(const std::string& directory) {
  struct stat info {};
  if (::lstat(directory.c_str(), &info) != 0)
    return errno == ENOENT ? Result<void>() : Result<void>(error_from_errno(errno, directory));
  if (Result<void> gone = unmount_below(directory); !gone) return gone.error();
  const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("opening ", directory));
  if (::fstat(fd.get(), &info) != 0) return error_from_errno(errno, directory);
  if (Result<void> removed = remove_entries(fd.get(), info.st_dev, directory); !removed) return removed.error();
  if (::rmdir(directory.c_str()) != 0 && errno != ENOENT) return error_from_errno(errno, cat("removing ", directory));
  return Result<void>();
}

Result<void> replace_file(const std::string& path, std::string_view content, unsigned mode) {
  const std::string temporary = path + ".tmp";
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return error_from_errno(errno, cat("creating ", temporary));
  const bool whole = ::fchmod(fd.get(), mode) == 0 &&
                     ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size());
  if (whole && ::rename(temporary.c_str(), path.c_str()) == 0) return Result<void>();
  const int error = errno;
  ::unlink(temporary.c_str());
  return error_from_errno(error, cat("writing ", path));
}

bool is_namespace(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == kNsfsMagic;
}

std::string read_in_root(const std::string& root, const char* path, std::size_t max_bytes) {
  const Fd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const Fd fd(static_cast<int>(::syscall(SYS_openat2, root_fd.get(), path, &how, sizeof how)));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::string();
  std::string out(max_bytes, '\0');
  std::size_t used = 0;
  while (used < max_bytes) {
    const ssize_t n = ::read(fd.get(), out.data() + used, max_bytes - used);
    if (n <= 0) break;
    used += static_cast<std::size_t>(n);
  }
  out.resize(used);
  return out;
}

}  // namespace kayak::agent
