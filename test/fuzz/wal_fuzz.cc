// fuzz-deps: kayak_store
// The walk over a write-ahead log: as it comes, or (first byte) with a header and frames whose checksums are right, so
// that the fuzzer gets past them. What it reports lies within what it saw.
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "store/wal.h"

namespace {

using namespace kayak::store;

constexpr std::size_t kPageBytes = 512, kFrameBytes = kWalFrameHeaderBytes + kPageBytes;

struct Sums {
  std::uint32_t a = 0, b = 0;
  void add(std::string_view bytes) {
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      a += kayak::big32(bytes, i) + b;
      b += kayak::big32(bytes, i + 4) + a;
    }
  }
  void write(char* to) const {
    const std::uint32_t words[2] = {__builtin_bswap32(a), __builtin_bswap32(b)};
    std::memcpy(to, words, 8);
  }
};

// Makes `wal` a log of big-endian checksums whose first `good` frames follow each other.
void repair(std::string& wal, std::size_t good) {
  std::memcpy(wal.data(), "\x37\x7f\x06\x83\x00\x2d\xe2\x18\x00\x00\x02\x00", 12);
  Sums sums;
  sums.add(std::string_view(wal).substr(0, 24));
  sums.write(wal.data() + 24);
  for (std::size_t at = kWalHeaderBytes; at + kFrameBytes <= wal.size() && good > 0; at += kFrameBytes, --good) {
    wal[at + 3] = static_cast<char>(wal[at + 3] | 1);  // a page number is not 0
    std::memcpy(wal.data() + at + 8, wal.data() + 16, 8);
    sums.add(std::string_view(wal).substr(at, 8));
    sums.add(std::string_view(wal).substr(at + kWalFrameHeaderBytes, kPageBytes));
    sums.write(wal.data() + at + 16);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 + kWalHeaderBytes) return 0;
  std::string wal(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t frames = (wal.size() - kWalHeaderBytes) / kFrameBytes,
                    good = std::min<std::size_t>(frames, data[0] & 7);
  const std::uint32_t reserved = (data[0] & 8) != 0 ? 8 : 0;
  if ((data[0] & 16) != 0) repair(wal, good);
  WalWalker walker(kPageBytes, reserved);
  const std::string_view bytes(wal);
  walker.header(bytes.substr(0, kWalHeaderBytes));
  for (std::size_t i = 0; i < frames; ++i) walker.frame(bytes.substr(kWalHeaderBytes + i * kFrameBytes, kFrameBytes));
  const WalReport report = walker.report();
  ASSERT(report.frames_seen == frames && report.frames <= frames && report.commits_after_bad <= frames);
  ASSERT(report.bad_offset <= kWalHeaderBytes + frames * kFrameBytes);
  ASSERT(report.header_good || report.frames == 0);
  if ((data[0] & 16) != 0) ASSERT(report.header_good && report.bad_offset >= kWalHeaderBytes + good * kFrameBytes);
  if (wal.size() >= kPageBytes) (void)durable_claim_of_page(bytes.substr(0, kPageBytes), reserved, (data[0] & 32) != 0);
  return 0;
}
