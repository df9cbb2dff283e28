// fuzz-deps: kayak_fuzz_agent
// Layers as a registry sends them, unpacked into a folder of their own: nothing beside the folder changes. The first
// byte says how the rest is compressed. Owners and devices need root; without it those entries are refused.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent/images/layer_unpack.h"
#include "base/assert.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"

namespace {

using namespace kayak;
using namespace kayak::agent;

// In memory where there is such a file system: each input makes and removes a folder.
struct Scratch {
  std::string path;
  Scratch() {
    const char* parent = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    // fuzz.sh removes those of processes that are gone.
    std::string pattern = cat(parent, "/kayak-layer.", ::getpid(), ".XXXXXX");
    ASSERT(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
    std::filesystem::create_directory(path + "/beside");
    Fd file(::open((path + "/beside/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT(file && ::write(file.get(), "kept", 4) == 4);
  }
  ~Scratch() { remove(path); }
  static void remove(const std::string& folder) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  bool untouched() const {
    struct stat folder {
    }, file{};
    int names = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path)) names += entry.exists() ? 1 : 0;
    return names == 2 && ::stat((path + "/beside").c_str(), &folder) == 0 && folder.st_nlink == 2 &&
           ::stat((path + "/beside/file").c_str(), &file) == 0 && file.st_nlink == 1 &&
           (file.st_mode & 07777) == 0600 && read_file(path + "/beside/file").value() == "kept";
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch scratch;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  Fd layer(::memfd_create("layer", MFD_CLOEXEC));
  ASSERT(layer && ::write(layer.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  const std::string folder = scratch.path + "/root";
  std::filesystem::create_directory(folder);
  UnpackLimits limits;
  limits.max_bytes = 1 << 20;
  limits.max_entries = 100;
  limits.max_depth = 16;
  const std::string diff_id = cat("sha256:", hex_encode(io::sha256(bytes)));
  const std::atomic<bool> cancelled{false};
  const auto compression = static_cast<Compression>(data[0] % 3);
  const Result<void> unpacked = unpack_layer(layer.get(), compression, folder, diff_id, {}, limits, cancelled);
  ASSERT(unpacked || !unpacked.error().message().empty());
  ASSERT(!unpacked || compression == Compression::kNone);  // the digest is that of the compressed bytes
  ASSERT(scratch.untouched());
  Scratch::remove(folder);
  return 0;
}
