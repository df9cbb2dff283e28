// snapshot_save.cc: see snapshot_save.h.
#include "cli/snapshot_save.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/files.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/token.h"
#include "store/member.h"
#include "store/snapshot_stream.h"

namespace kayak::cli {

namespace {

constexpr std::size_t kMaxKeptBytes = 1024 * 1024;
constexpr std::string_view kPeerCa = "tls/peer-ca.crt";

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
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
  if (auto made = make_directories(folder_of(path), 0700); !made) return made.error();
  if (file_exists(path)) return Error(Code::kAlreadyExists, cat(path, " exists"));
  std::unique_ptr<SnapshotOutput> output(new SnapshotOutput(path, Fd(), -1));
  Fd fd(::open(output->part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return error_from_errno(errno, cat("making ", output->part()));
  output->fd_ = fd.get();
  output->owned_ = std::move(fd);
  return output;
}

std::unique_ptr<SnapshotOutput> SnapshotOutput::to_descriptor(int fd) {
  return std::unique_ptr<SnapshotOutput>(new SnapshotOutput("", Fd(), fd));
}

SnapshotOutput::~SnapshotOutput() {
  if (!path_.empty() && !finished_) ::unlink(part().c_str());
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
  if (::rename(part().c_str(), path_.c_str()) != 0) return error_from_errno(errno, cat("putting ", path_, " in place"));
  finished_ = true;
  const Fd folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return error_from_errno(errno, cat("syncing ", folder_of(path_)));
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
