// snapshot_save.h: writes a snapshot of a store, with the keys of its cluster, to a file: for `kayak snapshot save` and
// for the server's schedule. Which files are kept beside the store is decided here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "io/loop.h"
#include "store/snapshot_file.h"

namespace kayak::cli {

// What a cluster cannot be brought back without, of <data-dir>/server: CA keys, the service-account key, the token.
// What a server makes anew (its certificates, its identity among the servers) is not in it.
struct KeptName {
  const char* name;
  bool required;
};
const std::vector<KeptName>& kept_names();
// Errors: NotFound (a required one), Io.
Result<std::vector<store::KeptFile>> read_kept_files(const std::string& data_dir);
// store::cluster_id; empty when the peer CA is not among `files`.
std::string cluster_of(const std::vector<store::KeptFile>& files);

// The passphrase of `file`: its text without blanks at the ends; of a whole server token the secret alone, so that
// both forms of the token open the same snapshots. Errors: NotFound, Io, Invalid (empty).
Result<std::string> read_passphrase(const std::string& file);

std::string snapshot_folder(const std::string& data_dir);
// "<prefix>-<node>-<seconds since 1970>"
std::string snapshot_name(const std::string& prefix, const std::string& node, WallTime now);

// A file that is there whole or not at all, mode 0600; or a descriptor that is written as it comes. Until it is whole
// it is a locked file of another name in the same folder; several may be on their way to one name, and one of them gets
// it.
class SnapshotOutput {
 public:
  // Makes the folder, mode 0700, and removes what others that were killed have left in it. Errors: AlreadyExists,
  // NoSpace, Io.
  static Result<std::unique_ptr<SnapshotOutput>> create(const std::string& path);
  // Not owned, e.g. 1.
  static std::unique_ptr<SnapshotOutput> to_descriptor(int fd);
  ~SnapshotOutput();  // removes what was not finished
  // Both block. Errors: NoSpace, Io; of finish() also AlreadyExists, when the name was taken meanwhile.
  Result<void> write(std::string_view bytes);
  Result<void> finish();
  std::uint64_t bytes() const { return bytes_; }

 private:
  SnapshotOutput(std::string path, Fd owned, int fd) : path_(std::move(path)), owned_(std::move(owned)), fd_(fd) {}
  std::string path_;  // empty: a descriptor
  std::string part_;  // what it is called until finish()
  Fd owned_;
  int fd_;
  std::uint64_t bytes_ = 0;
  bool finished_ = false;
};

struct SaveOptions {
  std::string node;
  std::vector<store::KeptFile> files;
  std::string passphrase;
  std::function<void(std::uint64_t bytes)> progress;  // may be empty
};
// All of `stream`; it is on disk when this returns. What is saved has been looked at: it is whole. Errors: Corrupt, Io,
// NoSpace, Unavailable, Cancelled.
Task<Result<store::SnapshotInfo>> save_snapshot(Context context, store::StateStream& stream, SaveOptions options,
                                                SnapshotOutput& output, StopToken stop = StopToken());

}  // namespace kayak::cli
