// layer_unpack.cc: see layer_unpack.h.
#include "agent/images/layer_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::agent {

namespace {

Error corrupt(std::string what) { return Error(Code::kCorrupt, std::move(what)); }

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, FreeArchive>;

// Feeds a file to libarchive. Two archives are chained: the outer undoes the compression (format raw), the inner reads
// the tar from the outer's output, so that the digest of the uncompressed bytes can be taken in between.
struct FileSource {
  int fd;
  std::vector<char> buffer = std::vector<char>(256 * 1024);
  static la_ssize_t read(archive* a, void* self, const void** data) {
    FileSource* source = static_cast<FileSource*>(self);
    for (;;) {
      const ssize_t got = ::read(source->fd, source->buffer.data(), source->buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) archive_set_error(a, errno, "reading the layer file");
      *data = source->buffer.data();
      return got;
    }
  }
};

struct HashedSource {
  archive* outer;
  io::Sha256 hash;
  std::uint64_t bytes = 0;
  std::uint64_t max_bytes = 0;
  std::vector<char> buffer = std::vector<char>(256 * 1024);
  static la_ssize_t read(archive* inner, void* self, const void** data) {
    HashedSource* source = static_cast<HashedSource*>(self);
    const la_ssize_t got = archive_read_data(source->outer, source->buffer.data(), source->buffer.size());
    if (got < 0) {
      archive_set_error(inner, EINVAL, "%s",
                        archive_error_string(source->outer) ? archive_error_string(source->outer) : "bad data");
      return -1;
    }
    source->bytes += static_cast<std::uint64_t>(got);
    if (source->bytes > source->max_bytes) {
      archive_set_error(inner, EFBIG, "unpacks to more than %llu bytes",
                        static_cast<unsigned long long>(source->max_bytes));
      return -1;
    }
    source->hash.update(std::string_view(source->buffer.data(), static_cast<std::size_t>(got)));
    *data = source->buffer.data();
    return got;
  }
};

Error archive_failure(archive* a, std::string_view what) {
  const char* text = archive_error_string(a);
  const int number = archive_errno(a);
  if (number == ENOSPC || number == EDQUOT) return Error(Code::kNoSpace, cat(what, ": no space left on device"));
  if (number == EFBIG) return Error(Code::kTooLarge, cat(what, ": ", text ? text : ""));
  return corrupt(cat(what, ": ", text ? text : "unreadable archive"));
}

Fd open_beneath(int root, const std::string& path, std::uint64_t flags, std::uint64_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  // Links inside the layer resolve inside it, as they will in the container.
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return Fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

class Unpacker {
 public:
  Unpacker(int root, const std::vector<std::string>& below, const UnpackLimits& limits)
      : root_(root), below_(below), limits_(limits) {}

  Result<void> add(archive* tar, archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    if (!raw) return corrupt("an entry has no name");
    Result<std::string> path = clean(raw);
    if (!path) return path.error();
    if (path->empty()) return set_root(entry);
    const std::size_t slash = path->rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path->substr(0, slash);
    const std::string name = slash == std::string::npos ? *path : path->substr(slash + 1);
    Result<Fd> parent = parent_folder(folder);
    if (!parent) return parent.error();
    if (name.rfind(".wh.", 0) == 0) return whiteout(parent->get(), name, *path);
    return make(tar, entry, parent->get(), name, *path);
  }

  // Times of folders change while they are filled: they are set at the end, the deepest first.
  Result<void> finish() {
    for (auto it = folder_times_.rbegin(); it != folder_times_.rend(); ++it) {
      Fd fd = open_beneath(root_, it->first, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (fd) ::futimens(fd.get(), it->second.times);
    }
    return Result<void>();
  }

 private:
  struct Times {
    timespec times[2];
  };

  // Without "./" and a trailing slash. Refuses what leads outside.
  Result<std::string> clean(std::string_view raw) const {
    if (!raw.empty() && raw.front() == '/')
      return corrupt(cat("the layer holds the absolute path ", quote(raw.substr(0, 200))));
    std::string out;
    std::size_t depth = 0;
    for (std::string_view part : split(raw, '/')) {
      if (part.empty() || part == ".") continue;
      if (part == "..") return corrupt(cat("the layer holds a path that leads outside: ", quote(raw.substr(0, 200))));
      if (part.size() > 255 || ++depth > limits_.max_depth)
        return corrupt(cat("the layer holds an overlong path: ", quote(raw.substr(0, 200))));
      if (!out.empty()) out += '/';
      out += part;
    }
    return out;
  }

  Result<void> set_root(archive_entry* entry) {
    if (archive_entry_filetype(entry) != AE_IFDIR) return corrupt("the layer's root is not a folder");
    ::fchown(root_, static_cast<uid_t>(archive_entry_uid(entry)), static_cast<gid_t>(archive_entry_gid(entry)));
    ::fchmod(root_, archive_entry_perm(entry) & 07777);
    return Result<void>();
  }

  // The folder an entry goes to, made (0755, root) where the archive left it out.
  Result<Fd> parent_folder(const std::string& path) {
    Fd fd = open_beneath(root_, path, O_PATH | O_DIRECTORY);
    if (fd) return fd;
    if (errno == ENOTDIR || errno == ELOOP) {
      return corrupt(cat("the layer puts files below ", quote(path), ", which is no folder"));
    }
    if (errno != ENOENT) return error_from_errno(errno, cat("opening ", path, " in the layer"));
    std::string made;
    for (std::string_view part : split(path, '/')) {
      Fd above = open_beneath(root_, made.empty() ? "." : made, O_PATH | O_DIRECTORY);
      if (!above) return corrupt(cat("the layer puts files below ", quote(made), ", which is no folder"));
      if (::mkdirat(above.get(), std::string(part).c_str(), 0755) != 0 && errno != EEXIST) {
        return error_from_errno(errno, cat("making ", path, " in the layer"));
      }
      made += cat(made.empty() ? "" : "/", part);
      adopt_metadata(above.get(), std::string(part), made);
    }
    fd = open_beneath(root_, path, O_PATH | O_DIRECTORY);
    if (!fd) return corrupt(cat("the layer puts files below ", quote(path), ", which is no folder"));
    return fd;
  }

  // overlayfs shows the uppermost folder's owner and mode: a made-up 0755 would take the sticky bit from /tmp.
  void adopt_metadata(int parent, const std::string& name, const std::string& path) const {
    for (auto it = below_.rbegin(); it != below_.rend(); ++it) {
      Fd layer(::open(it->c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      Fd folder = layer ? open_beneath(layer.get(), path, O_PATH | O_DIRECTORY) : Fd();
      struct stat info {};
      if (!folder || ::fstat(folder.get(), &info) != 0) continue;
      ::fchownat(parent, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW);
      ::fchmodat(parent, name.c_str(), info.st_mode & 07777, 0);
      return;
    }
  }

  Result<void> whiteout(int parent, const std::string& name, const std::string& path) {
    if (name == ".wh..wh..opq") {
      // fsetxattr needs a real descriptor; the parent is O_PATH.
      Fd folder(::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!folder || ::fsetxattr(folder.get(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
        return error_from_errno(errno, cat("marking ", path, " opaque"));
      }
      return Result<void>();
    }
    if (name.rfind(".wh..wh.", 0) == 0) return Result<void>();  // aufs bookkeeping
    const std::string hidden = name.substr(4);
    if (hidden.empty() || hidden == "." || hidden == "..")
      return corrupt(cat("the layer holds the bad whiteout ", quote(path)));
    if (::mknodat(parent, hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0 && errno != EEXIST) {
      return error_from_errno(errno, cat("hiding ", path));
    }
    return Result<void>();
  }

  // A later entry of the same name replaces an earlier one, but a folder stays a folder.
  Result<void> clear_place(int parent, const std::string& name, bool wants_folder, const std::string& path) {
    struct stat info {};
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return Result<void>();
    if (S_ISDIR(info.st_mode)) {
      if (wants_folder) return Result<void>();
      if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) return Result<void>();
      return corrupt(cat("the layer replaces the folder ", quote(path), " that it filled before"));
    }
    if (::unlinkat(parent, name.c_str(), 0) != 0) return error_from_errno(errno, cat("replacing ", path));
    return Result<void>();
  }

  Result<void> hard_link(const char* target, int parent, const std::string& name, const std::string& path) {
    Result<std::string> clean_target = clean(target);
    if (!clean_target) return corrupt(cat("the hard link ", quote(path), " points outside the layer: ", quote(target)));
    const std::size_t slash = clean_target->rfind('/');
    const std::string folder = slash == std::string::npos ? "." : clean_target->substr(0, slash);
    const std::string base = slash == std::string::npos ? *clean_target : clean_target->substr(slash + 1);
    Fd target_parent = open_beneath(root_, folder, O_PATH | O_DIRECTORY);
    struct stat info {};
    if (!target_parent || ::fstatat(target_parent.get(), base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        S_ISDIR(info.st_mode)) {
      return corrupt(
          cat("the hard link ", quote(path), " points to ", quote(target), ", which the layer does not hold"));
    }
    if (::linkat(target_parent.get(), base.c_str(), parent, name.c_str(), 0) != 0) {
      return error_from_errno(errno, cat("linking ", path));
    }
    return Result<void>();
  }

  Result<void> make(archive* tar, archive_entry* entry, int parent, const std::string& name, const std::string& path) {
    const auto type = archive_entry_filetype(entry);
    const char* link = archive_entry_hardlink(entry);
    const bool wants_folder = !link && type == AE_IFDIR;
    // A device would only matter to a container that mounts its own /dev over it; sockets mean nothing at rest.
    if (!link && (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFSOCK)) return Result<void>();
    if (auto cleared = clear_place(parent, name, wants_folder, path); !cleared) return cleared;
    if (link) return hard_link(link, parent, name, path);
    if (type == AE_IFLNK) {
      const char* target = archive_entry_symlink(entry);
      if (!target) return corrupt(cat("the link ", quote(path), " has no target"));
      if (::symlinkat(target, parent, name.c_str()) != 0) return error_from_errno(errno, cat("linking ", path));
    } else if (type == AE_IFDIR) {
      if (::mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST)
        return error_from_errno(errno, cat("making ", path));
    } else if (type == AE_IFIFO) {
      if (::mkfifoat(parent, name.c_str(), 0600) != 0) return error_from_errno(errno, cat("making ", path));
    } else if (type == AE_IFREG) {
      return make_file(tar, entry, parent, name, path);
    } else {
      return corrupt(cat("the layer holds ", quote(path), " of an unknown type"));
    }
    return set_metadata_by_name(entry, parent, name, path, type);
  }

  Result<void> set_metadata_by_name(archive_entry* entry, int parent, const std::string& name, const std::string& path,
                                    unsigned type) {
    const uid_t uid = static_cast<uid_t>(archive_entry_uid(entry));
    const gid_t gid = static_cast<gid_t>(archive_entry_gid(entry));
    if (::fchownat(parent, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
      return error_from_errno(errno, cat("owning ", path));
    if (type != AE_IFLNK && ::fchmodat(parent, name.c_str(), archive_entry_perm(entry) & 07777, 0) != 0) {
      return error_from_errno(errno, cat("setting the mode of ", path));
    }
    const Times times = times_of(entry);
    if (type == AE_IFDIR) {
      folder_times_.emplace_back(path, times);
    } else {
      ::utimensat(parent, name.c_str(), times.times, AT_SYMLINK_NOFOLLOW);
    }
    return Result<void>();
  }

  static Times times_of(archive_entry* entry) {
    Times times{};
    times.times[1].tv_sec = archive_entry_mtime(entry);
    times.times[1].tv_nsec = archive_entry_mtime_nsec(entry);
    times.times[0] = times.times[1];
    return times;
  }

  Result<void> make_file(archive* tar, archive_entry* entry, int parent, const std::string& name,
                         const std::string& path) {
    Fd file(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return error_from_errno(errno, cat("making ", path));
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int rc = archive_read_data_block(tar, &block, &size, &offset);
      if (rc == ARCHIVE_EOF) break;
      if (rc != ARCHIVE_OK) return archive_failure(tar, cat("reading ", path));
      const char* at = static_cast<const char*>(block);
      while (size > 0) {
        const ssize_t put = ::pwrite(file.get(), at, size, offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return error_from_errno(errno, cat("writing ", path));
        at += put;
        offset += put;
        size -= static_cast<std::size_t>(put);
      }
    }
    const la_int64_t length = archive_entry_size(entry);
    if (::ftruncate(file.get(), length) != 0) return error_from_errno(errno, cat("writing ", path));  // a sparse tail
    if (::fchown(file.get(), static_cast<uid_t>(archive_entry_uid(entry)),
                 static_cast<gid_t>(archive_entry_gid(entry))) != 0 ||
        ::fchmod(file.get(), archive_entry_perm(entry) & 07777) != 0) {
      return error_from_errno(errno, cat("owning ", path));
    }
    set_attributes(entry, file.get());
    const Times times = times_of(entry);
    ::futimens(file.get(), times.times);
    return Result<void>();
  }

  // File capabilities and user attributes; never trusted.overlay.*, which would speak to overlayfs in our name.
  static void set_attributes(archive_entry* entry, int fd) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      if (std::strcmp(name, "security.capability") == 0 || std::strncmp(name, "user.", 5) == 0)
        ::fsetxattr(fd, name, value, size, 0);
    }
  }

  int root_;
  const std::vector<std::string>& below_;
  const UnpackLimits& limits_;
  std::vector<std::pair<std::string, Times>> folder_times_;
};

}  // namespace

Result<void> unpack_layer(int layer_fd, Compression compression, const std::string& folder, const std::string& diff_id,
                          const std::vector<std::string>& below, const UnpackLimits& limits,
                          const std::atomic<bool>& cancelled) {
  if (::lseek(layer_fd, 0, SEEK_SET) < 0) return error_from_errno(errno, "rewinding the layer");
  Fd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return error_from_errno(errno, cat("opening ", folder));

  ArchivePtr outer(archive_read_new());
  FileSource file{layer_fd};
  archive_read_support_format_raw(outer.get());
  if (compression == Compression::kGzip) archive_read_support_filter_gzip(outer.get());
  if (compression == Compression::kZstd) archive_read_support_filter_zstd(outer.get());
  if (archive_read_open(outer.get(), &file, nullptr, FileSource::read, nullptr) != ARCHIVE_OK) {
    return archive_failure(outer.get(), "opening the layer");
  }
  archive_entry* whole = nullptr;
  if (archive_read_next_header(outer.get(), &whole) != ARCHIVE_OK)
    return archive_failure(outer.get(), "opening the layer");
  if (compression != Compression::kNone && archive_filter_count(outer.get()) < 2) {
    return corrupt("the layer is not compressed the way its media type says");
  }

  ArchivePtr tar(archive_read_new());
  HashedSource source{.outer = outer.get(), .hash = io::Sha256()};
  source.max_bytes = limits.max_bytes;
  archive_read_support_format_tar(tar.get());
  archive_read_support_format_empty(tar.get());
  if (archive_read_open(tar.get(), &source, nullptr, HashedSource::read, nullptr) != ARCHIVE_OK) {
    return archive_failure(tar.get(), "opening the layer's tar");
  }
  Unpacker unpacker(root.get(), below, limits);
  archive_entry* entry = nullptr;
  for (std::uint64_t entries = 0;; ++entries) {
    if (cancelled.load(std::memory_order_relaxed)) return Error(Code::kCancelled, "unpacking was stopped");
    const int rc = archive_read_next_header(tar.get(), &entry);
    if (rc == ARCHIVE_EOF) break;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return archive_failure(tar.get(), "reading the layer");
    if (entries >= limits.max_entries)
      return Error(Code::kTooLarge, cat("the layer has more than ", limits.max_entries, " entries"));
    if (auto added = unpacker.add(tar.get(), entry); !added) return added;
  }
  // What stands behind the tar's end marker belongs to the digest too.
  const void* rest = nullptr;
  for (;;) {
    const la_ssize_t got = HashedSource::read(tar.get(), &source, &rest);
    if (got < 0) return archive_failure(tar.get(), "reading the layer's end");
    if (got == 0) break;
  }
  if (cat("sha256:", hex_encode(source.hash.finish())) != diff_id) {
    return corrupt(cat("the unpacked layer does not have the digest ", diff_id, " that the image's config promises"));
  }
  return unpacker.finish();
}

}  // namespace kayak::agent
