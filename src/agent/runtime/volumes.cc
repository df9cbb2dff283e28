// volumes.cc: emptyDir and hostPath volumes.
#include "agent/runtime/volumes.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/runtime/mounts.h"
#include "agent/runtime/pod_doc.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

// Everybody in the pod may write; with fsGroup, new files belong to that group.
Result<void> set_owner(const std::string& path, const json::Value& pod) {
  const json::Value* fs_group = pod.at({"spec", "securityContext", "fsGroup"});
  if (::chmod(path.c_str(), 0777) != 0) return error_from_errno(errno, cat("setting the mode of ", path));
  if (fs_group == nullptr || !fs_group->is_int()) return Result<void>();
  if (::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(fs_group->as_int())) != 0 ||
      ::chmod(path.c_str(), 02777) != 0) {
    return error_from_errno(errno, cat("giving ", path, " to the pod's fsGroup"));
  }
  return Result<void>();
}

Result<std::string> empty_dir(const json::Value& pod, const std::string& name, const json::Value& source,
                              const std::string& pod_directory) {
  const std::string path = cat(pod_directory, "/volumes/kubernetes.io~empty-dir/", name);
  const bool was_there = file_exists(path);
  if (Result<void> made = make_directories(path); !made) return made.error();
  if (text_at(source, {"medium"}) == "Memory") {
    const Result<std::string> mounts = read_file("/proc/self/mountinfo", 64 << 20);
    if (mounts && !mounts_below(*mounts, path).empty()) return path;
    std::string options = "mode=0777";
    if (const json::Value* limit = source.find("sizeLimit"); limit != nullptr) {
      const Result<Quantity> size =
          Quantity::parse(limit->is_int() ? cat(limit->as_int()) : std::string(limit->string_or()));
      if (size && size->value() > 0) options += cat(",size=", size->value());
    }
    if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
      return error_from_errno(errno, cat("mounting memory volume ", name));
    }
  } else if (was_there) {
    return path;
  }
  if (Result<void> owned = set_owner(path, pod); !owned) return owned.error();
  return path;
}

Error type_check(std::string_view path, std::string_view problem) {
  return Error(Code::kInvalid, cat("hostPath type check failed: ", path, " ", problem));
}

Result<std::string> host_path(const json::Value& source) {
  const std::string path(text_at(source, {"path"}));
  const std::string_view type = text_at(source, {"type"});
  if (path.empty() || path.front() != '/' || path.find("/../") != std::string::npos) {
    return Error(Code::kInvalid, cat("hostPath ", quote(path), " is not an absolute path"));
  }
  struct stat info {};
  bool there = ::stat(path.c_str(), &info) == 0;
  if (!there && (type == "DirectoryOrCreate" || type.empty())) {
    // Without a type upstream leaves it to the runtime, which makes a directory.
    if (Result<void> made = make_directories(path); !made) return made.error();
    return path;
  }
  if (!there && type == "FileOrCreate") {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd) return error_from_errno(errno, cat("creating hostPath ", path));
    return path;
  }
  struct Row {
    std::string_view type;
    mode_t format;
    std::string_view problem;
  };
  constexpr Row kRows[] = {{"Directory", S_IFDIR, "is not a directory"},
                           {"DirectoryOrCreate", S_IFDIR, "is not a directory"},
                           {"File", S_IFREG, "is not a file"},
                           {"FileOrCreate", S_IFREG, "is not a file"},
                           {"Socket", S_IFSOCK, "is not a socket file"},
                           {"CharDevice", S_IFCHR, "is not a character device"},
                           {"BlockDevice", S_IFBLK, "is not a block device"}};
  for (const Row& row : kRows) {
    if (row.type == type && (!there || (info.st_mode & S_IFMT) != row.format)) return type_check(path, row.problem);
  }
  return path;
}

}  // namespace

Result<std::vector<VolumePath>> prepare_volumes(const json::Value& pod, const std::string& pod_directory) {
  std::vector<VolumePath> out;
  for (const json::Value& volume : items(pod.at({"spec", "volumes"}))) {
    const std::string name(text_at(volume, {"name"}));
    if (!is_path_segment(name)) return Error(Code::kInvalid, cat("volume name ", quote(name), " is not valid"));
    Result<std::string> path =
        Error(Code::kInvalid, cat("volume ", quote(name), " is of a kind that is not supported"));
    if (const json::Value* source = volume.find("hostPath"); source != nullptr) {
      path = host_path(*source);
    } else if (const json::Value* source_dir = volume.find("emptyDir"); source_dir != nullptr) {
      path = empty_dir(pod, name, *source_dir, pod_directory);
    }
    if (!path) return path.error().while_doing(cat("volume ", quote(name)));
    VolumePath entry;
    entry.name = name;
    entry.host_path = std::move(*path);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace kayak::agent
