// snapshot_list.cc: see snapshot_list.h.
#include "cli/snapshot_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {

// Nothing when it is no snapshot.
std::optional<store::SnapshotInfo> read_info(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // it may be a pipe
  std::string bytes(64 * 1024, '\0');
  const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
  if (got <= 0) return std::nullopt;
  store::SnapshotFileReader reader(std::nullopt, store::SnapshotFileReader::Sink());
  (void)reader.feed(std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
  return reader.info();
}

}  // namespace

Result<std::vector<ListedSnapshot>> list_snapshots(const std::string& folder) {
  std::vector<ListedSnapshot> listed;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) return error_from_errno(errno, cat("listing ", folder));
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name.front() == '.') continue;
    const std::string path = cat(folder, "/", name);
    std::optional<store::SnapshotInfo> info = read_info(path);
    struct stat status {};
    if (info && ::stat(path.c_str(), &status) == 0) {
      listed.push_back({name, static_cast<std::uint64_t>(status.st_size), std::move(*info)});
    }
  }
  std::sort(listed.begin(), listed.end(),
            [](const ListedSnapshot& a, const ListedSnapshot& b) { return a.info.created < b.info.created; });
  return listed;
}

}  // namespace kayak::cli
