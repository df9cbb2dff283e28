// snapshot_file.h: a file with everything that a cluster is: the state of its store (snapshot_stream.h) and the files
// without which nobody could use it (CA keys, tokens), encrypted under a passphrase.
// In it, one after the other: a plain head that says what it is; a section that the passphrase opens, with the files
// and a random key; the stream in slices under that key, and an end. Each part names its place to the cipher, so
// what is changed, left out, repeated or cut short does not open; each also has a checksum of its ciphertext, so that
// damage is found without the passphrase.
// Values in, values out; deriving a key from the passphrase takes about a second of a small board's core.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "io/seal.h"
#include "store/store.h"

namespace kayak::store {

// What anyone may read of a snapshot. Changes to it are noticed when the passphrase is at hand.
struct SnapshotInfo {
  std::string node;          // the server that it was taken on
  std::string cluster;       // what tells the cluster from others, as hex digits
  std::string version;       // of the Kayak that made it
  std::int64_t created = 0;  // seconds since 1970
  Revision revision = 0;
  std::int64_t keys = 0;
  bool operator==(const SnapshotInfo&) const = default;
};

// A file beside the store, by its path under <data-dir>/server.
struct KeptFile {
  std::string name;
  unsigned mode = 0600;
  std::string bytes;
  bool operator==(const KeptFile&) const = default;
};

class SnapshotFileWriter {
 public:
  // `random` is the kernel's.
  explicit SnapshotFileWriter(Random& random) : random_(random) {}
  // The beginning of the file. Blocks for as long as the passphrase's key takes.
  std::string begin(const SnapshotInfo& info, const std::vector<KeptFile>& files, std::string_view passphrase);
  // A slice of the stream, at most kMaxSnapshotSliceBytes.
  std::string data(std::string_view slice);
  // The end of the file.
  std::string end();

 private:
  std::string part(std::uint8_t type, std::string_view plain);
  Random& random_;
  std::optional<io::SealKey> key_;
  std::uint64_t parts_ = 0;
};

// Takes the bytes of a file in pieces of any size.
class SnapshotFileReader {
 public:
  struct Sink {
    std::function<Result<void>(const SnapshotInfo& info)> info;
    // These two only with the passphrase.
    std::function<Result<void>(std::vector<KeptFile> files)> files;
    std::function<Result<void>(std::string_view slice)> data;
  };
  // Without a passphrase checksums alone are looked at.
  SnapshotFileReader(std::optional<std::string> passphrase, Sink sink);
  ~SnapshotFileReader();

  // Errors: Corrupt (says where), Unauthorized (wrong passphrase), Invalid (another format, no snapshot at all), the
  // sink's. After an error every call fails.
  Result<void> feed(std::string_view bytes);
  // Corrupt when the end has not come.
  Result<void> finish() const;
  const std::optional<SnapshotInfo>& info() const { return info_; }

 private:
  enum class Stage : std::uint8_t { kMagic, kHead, kSecrets, kParts, kComplete };
  std::size_t wanted() const;
  Result<void> advance();
  Result<void> take_head(std::string_view body);
  Result<void> take_secrets(std::string_view body);
  Result<void> take_part(std::uint8_t type, std::string_view body);
  Error corrupt(std::string_view what) const;

  std::optional<std::string> passphrase_;
  Sink sink_;
  Stage stage_ = Stage::kMagic;
  std::string buffer_, associated_;
  std::uint64_t offset_ = 0;
  std::optional<SnapshotInfo> info_;
  std::optional<io::SealKey> key_;
  std::optional<Error> failed_;
  std::uint64_t parts_ = 0;
};

}  // namespace kayak::store
