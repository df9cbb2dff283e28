// fuzz-deps: kayak_store
// Snapshot files without their passphrase: as they are, and with right checksums (the target computes them).
#include "base/assert.h"
#include "base/endian.h"
#include "store/checksum.h"
#include "store/snapshot_file.h"

namespace {

using namespace kayak;
using namespace kayak::store;

Result<void> read(std::string_view bytes, std::size_t piece) {
  SnapshotFileReader reader(std::nullopt, SnapshotFileReader::Sink());
  while (!bytes.empty()) {
    if (auto fed = reader.feed(bytes.substr(0, piece)); !fed) return fed;
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return reader.finish();
}

// The input is records of (length: 2 bytes, little endian; type; body) behind the magic word.
std::string file_of(std::string_view input) {
  std::string out = "kayak snapshot file 1\n";
  while (input.size() >= 3) {
    const auto low = static_cast<unsigned char>(input[0]), high = static_cast<unsigned char>(input[1]);
    const std::size_t length = std::min<std::size_t>(low | std::size_t{high} << 8, input.size() - 3);
    std::string record;
    put_little(&record, length, 4);
    record.append(input.substr(2, 1 + length));
    put_little(&record, crc32c(0, record), 4);
    out += record;
    input.remove_prefix(3 + length);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string& file : {std::string(bytes), file_of(bytes)}) {
    // However it is cut, it is the same file.
    ASSERT(read(file, SIZE_MAX).ok() == read(file, 3).ok());
  }
  return 0;
}
