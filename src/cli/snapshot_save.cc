// snapshot_save.cc: see snapshot_save.h.
#include "cli/snapshot_save.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/token.h"
#include "store/member.h"
#include "store/snapshot_stream.h"

namespace kayak::cli {

namespace {

constexpr std::size_t kMaxKeptBytes = 1024 * 1024;
constexpr std::string_view kPartPrefix = ".kayak-snapshot-", kPartSuffix = ".part";
constexpr int kAttempts = 10;
constexpr std::string_view kPeerCa = "tls/peer-ca.crt";

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

bool is_there(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// What a save that was killed has left in `folder`. Who is at it still holds its lock. A failure is none of the saving:
// at worst a file stays.
void remove_leftovers(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kPartPrefix) || !name.ends_with(kPartSuffix)) continue;
    const std::string path = cat(folder, "/", name);
    // Over NFS only who may write can lock.
    const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  }
}

// Never over what has come there meanwhile. Errors: AlreadyExists, Io.
Result<void> rename_to_free_name(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return Result<void>();
  // Not every file system can do that, e.g. NFS.
  if (errno == EINVAL || errno == ENOSYS) {
    if (::link(from.c_str(), to.c_str()) == 0) {
      ::unlink(from.c_str());
      return Result<void>();
    }
    // Nor links: what is left is to look first.
    const bool no_links = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS;
    if (no_links && !is_there(to) && ::rename(from.c_str(), to.c_str()) == 0) return Result<void>();
    if (no_links && is_there(to)) errno = EEXIST;
  }
  if (errno == EEXIST) return Error(Code::kAlreadyExists, cat(to, " exists"));
  return error_from_errno(errno, cat("putting ", to, " in place"));
}

}  // namespace

const std::vector<KeptName>& kept_names() {
  static const std::vector<KeptName> kNames = {
      {"tls/server-ca.crt", true},      {"tls/server-ca.key", true},       {"tls/client-ca.crt", true},
      {"tls/client-ca.key", true},      {"tls/front-proxy-ca.crt", true},  {"tls/front-proxy-ca.key", true},
      {"tls/peer-ca.crt", true},        {"tls/peer-ca.key", true},         {"tls/etcd-client-ca.crt", true},
      {"tls/etcd-client-ca.key", true}, {"tls/service-account.key", true}, {"token", false},
  };
  return kNames;
}

Result<std::vector<store::KeptFile>> read_kept_files(const std::string& data_dir) {
  std::vector<store::KeptFile> files;
  for (const KeptName& kept : kept_names()) {
    const std::string path = cat(data_dir, "/server/", kept.name);
    Result<std::string> bytes = read_file(path, kMaxKeptBytes);
    if (!bytes && bytes.error().code() == Code::kNotFound && !kept.required) continue;
    if (!bytes) return bytes.error().while_doing("reading what a snapshot keeps");
    struct stat info {};
    const bool known = ::stat(path.c_str(), &info) == 0;
    files.push_back(store::KeptFile{kept.name, known ? info.st_mode & 0777U : 0600U, std::move(*bytes)});
  }
  return files;
}

std::string cluster_of(const std::vector<store::KeptFile>& files) {
  for (const store::KeptFile& file : files) {
    if (file.name == kPeerCa) return store::cluster_id(file.bytes).value_or("");
  }
  return "";
}

Result<std::string> read_passphrase(const std::string& file) {
  Result<std::string> text = read_file(file, kMaxKeptBytes);
  if (!text) return text.error().while_doing("reading the passphrase");
  const std::string_view passphrase = trim(*text);
  if (passphrase.empty()) return Error(Code::kInvalid, cat(file, " holds no passphrase"));
  Result<Token> token = parse_token(passphrase);
  return token ? std::move(token->secret) : std::string(passphrase);
}

std::string snapshot_folder(const std::string& data_dir) { return data_dir + "/server/db/snapshots"; }

std::string snapshot_name(const std::string& prefix, const std::string& node, WallTime now) {
  return cat(prefix, "-", node, "-", now.seconds());
}

Result<std::unique_ptr<SnapshotOutput>> SnapshotOutput::create(const std::string& path) {
  const std::string folder = folder_of(path);
  if (auto made = make_directories(folder, 0700); !made) return made.error();
  if (is_there(path)) return Error(Code::kAlreadyExists, cat(path, " exists"));
  remove_leftovers(folder);
  std::unique_ptr<SnapshotOutput> output(new SnapshotOutput(path, Fd(), -1));
  // Its name may be lost to someone who clears up before it is locked.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string name = cat(folder, "/", kPartPrefix, "XXXXXX", kPartSuffix);
    Fd fd(::mkostemps(name.data(), static_cast<int>(kPartSuffix.size()), O_CLOEXEC));
    if (!fd) return error_from_errno(errno, cat("making a file in ", folder));
    output->part_ = std::move(name);
    struct stat info {};
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    if (::fstat(fd.get(), &info) != 0 || info.st_nlink == 0) continue;
    output->fd_ = fd.get();
    output->owned_ = std::move(fd);
    return output;
  }
  return Error(Code::kIo, cat("others remove what is made in ", folder));
}

std::unique_ptr<SnapshotOutput> SnapshotOutput::to_descriptor(int fd) {
  return std::unique_ptr<SnapshotOutput>(new SnapshotOutput("", Fd(), fd));
}

SnapshotOutput::~SnapshotOutput() {
  if (!part_.empty() && !finished_) ::unlink(part_.c_str());
}

Result<void> SnapshotOutput::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return error_from_errno(errno, cat("writing ", path_.empty() ? "the snapshot" : path_));
    bytes.remove_prefix(static_cast<std::size_t>(written));
    bytes_ += static_cast<std::uint64_t>(written);
  }
  return Result<void>();
}

Result<void> SnapshotOutput::finish() {
  if (path_.empty()) return Result<void>();
  if (::fsync(fd_) != 0) return error_from_errno(errno, cat("syncing ", path_));
  if (auto placed = rename_to_free_name(part_, path_); !placed) return placed;
  finished_ = true;
  const Fd folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems of other machines have no such call for a folder.
  const bool synced = folder && (::fsync(folder.get()) == 0 || errno == EINVAL || errno == EOPNOTSUPP);
  if (!synced) return error_from_errno(errno, cat("syncing ", folder_of(path_)));
  return Result<void>();
}

Task<Result<store::SnapshotInfo>> save_snapshot(Context context, store::StateStream& stream, SaveOptions options,
                                                SnapshotOutput& output, StopToken stop) {
  store::SnapshotReader reader{store::SnapshotReader::Sink()};
  store::SnapshotFileWriter writer(context.random);
  store::SnapshotInfo info;
  info.node = options.node;
  info.cluster = cluster_of(options.files);
  info.version = kVersion;
  info.created = context.clock.wall().seconds();
  bool begun = false;
  while (!reader.complete()) {
    Result<std::optional<std::string>> slice = co_await stream.next(stop);
    if (!slice) co_return slice.error();
    if (!*slice) break;
    const Result<std::size_t> used = reader.feed(**slice);
    if (!used) co_return used.error();
    (*slice)->resize(*used);  // what follows the end of the stream is the transport's
    if (!begun && reader.head()) {
      begun = true;
      info.revision = reader.head()->revision;
      info.keys = static_cast<std::int64_t>(reader.head()->keys);
      // A second of a small board's core.
      auto begin = [&] { return output.write(writer.begin(info, options.files, options.passphrase)); };
      const Result<void> written = co_await context.loop.offload(std::move(begin));
      if (!written) co_return written.error();
    }
    if (!begun) co_return Error(Code::kCorrupt, "the state of the store does not begin with its head");
    auto pack = [&output, &writer, bytes = std::move(**slice)] { return output.write(writer.data(bytes)); };
    const Result<void> written = co_await context.loop.offload(std::move(pack));
    if (!written) co_return written.error();
    if (options.progress) options.progress(output.bytes());
  }
  if (auto whole = reader.finish(); !whole) co_return whole.error();
  auto end = [&] {
    const Result<void> written = output.write(writer.end());
    return written ? output.finish() : written;
  };
  const Result<void> finished = co_await context.loop.offload(std::move(end));
  if (!finished) co_return finished.error();
  co_return info;
}

}  // namespace kayak::cli
