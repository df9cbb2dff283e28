// fuzz-deps: kayak_store
// Streams of snapshots: as they are, and with right checksums (the target computes them). What is read as a whole is
// written again as the same bytes.
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/endian.h"
#include "store/checksum.h"
#include "store/snapshot_stream.h"

namespace {

using namespace kayak;
using namespace kayak::store;

// The slice at place `number` of its stream, with its checksum.
std::string sealed(std::string slice, std::size_t number) {
  std::string place;
  put_little(&place, number, 8);
  put_little(&slice, crc32c(0, place + slice), 4);
  return slice;
}

// The input is slices of (length: 2 bytes, little endian; type; payload): their frames are made here.
std::vector<std::string> slices_of(std::string_view input) {
  std::vector<std::string> slices;
  while (input.size() >= 3) {
    const auto low = static_cast<unsigned char>(input[0]), high = static_cast<unsigned char>(input[1]);
    const std::size_t length = std::min<std::size_t>(low | std::size_t{high} << 8, input.size() - 3);
    std::string slice;
    put_little(&slice, length, 4);
    slice.append(input.substr(2, 1 + length));
    slices.push_back(sealed(std::move(slice), slices.size()));
    input.remove_prefix(3 + length);
  }
  return slices;
}

void read(const std::vector<std::string>& slices) {
  SnapshotWriter writer;
  std::string again, all;
  for (const std::string& slice : slices) all += slice;
  auto head = [&](const SnapshotHead& read) {
    again += writer.head(read);
    return Result<void>();
  };
  auto row = [&](RowId id, const RowView&, std::string_view bytes) {
    writer.add(id, bytes);
    return Result<void>();
  };
  SnapshotReader reader(SnapshotReader::Sink{head, row});
  for (const std::string& slice : slices) {
    if (!reader.feed(slice)) return;
    if (writer.waiting_bytes() > 0) again += writer.take_rows();
  }
  if (!reader.complete()) return;
  again += writer.end();
  ASSERT(all.substr(0, again.size()) == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  SnapshotReader reader(SnapshotReader::Sink{});
  (void)reader.feed(bytes);
  (void)reader.finish();
  std::vector<std::string> slices = slices_of(bytes);
  read(slices);
  // The end says the checksum of all before it.
  if (slices.size() < 2) return 0;
  std::uint32_t crc = 0;
  slices.pop_back();
  for (const std::string& slice : slices) crc = crc32c(crc, slice);
  for (int rows = 0; rows < 3; ++rows) {
    std::string payload(1, static_cast<char>(rows));
    put_little(&payload, crc, 4);
    std::vector<std::string> ended = slices;
    ended.push_back(sealed(std::string{5, 0, 0, 0, 3} + payload, slices.size()));
    read(ended);
  }
  return 0;
}
