// wal.cc: the walk over the frames of a write-ahead log.
#include "store/wal.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/endian.h"

namespace kayak::store {

namespace {

constexpr std::uint32_t kMagicLittle = 0x377f0682;  // checksums over little-endian words
constexpr std::uint32_t kMagicBig = 0x377f0683;
constexpr std::uint32_t kVersion = 3007000;

std::uint32_t big16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at])) << 8 |
         static_cast<unsigned char>(bytes[at + 1]);
}

// SQLite's own varint: big endian, seven bits a byte, the ninth byte whole. False at the end of `bytes`.
bool sqlite_varint(std::string_view* bytes, std::uint64_t* value) {
  *value = 0;
  for (int i = 0; i < 9; ++i) {
    if (bytes->empty()) return false;
    const auto byte = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    if (i == 8) {
      *value = *value << 8 | byte;
      return true;
    }
    *value = *value << 7 | (byte & 0x7f);
    if (byte < 0x80) return true;
  }
  return true;
}

// How much of a cell's payload a table leaf page holds itself. Source: SQLite file format, section 1.6.
std::uint64_t local_payload(std::uint64_t payload, std::uint64_t usable) {
  const std::uint64_t most = usable - 35;
  if (payload <= most) return payload;
  const std::uint64_t least = (usable - 12) * 32 / 255 - 23;
  const std::uint64_t local = least + (payload - least) % (usable - 4);
  return local <= most ? local : least;
}

// The claim of the row in one cell; 0 when it has none.
LogIndex claim_of_cell(std::string_view cell, std::uint64_t usable, bool intact) {
  std::uint64_t payload = 0, row = 0;
  if (!sqlite_varint(&cell, &payload) || !sqlite_varint(&cell, &row)) return 0;
  const std::uint64_t local = local_payload(payload, usable);
  if (local > cell.size() || row > static_cast<std::uint64_t>(INT64_MAX)) return 0;
  std::string_view record = cell.substr(0, local);
  std::uint64_t header_bytes = 0, id_type = 0, blob_type = 0;
  if (!sqlite_varint(&record, &header_bytes) || !sqlite_varint(&record, &id_type) ||
      !sqlite_varint(&record, &blob_type) || id_type != 0 || blob_type < 12 || blob_type % 2 != 0) {
    return 0;
  }
  const std::uint64_t blob_bytes = (blob_type - 12) / 2;
  const auto id = static_cast<RowId>(row);
  if (local == payload) {
    if (blob_bytes > record.size()) return 0;
    const std::string_view blob = record.substr(0, blob_bytes);
    if (id == static_cast<RowId>(MetaRow::kProgress)) {
      Result<Progress> progress = decode_progress(blob);
      return progress ? progress->durable : 0;
    }
    Result<RowView> view = decode_row(id, blob);
    return view ? view->durable : 0;
  }
  return intact ? decode_durable(id, record).value_or(0) : 0;
}

}  // namespace

LogIndex durable_claim_of_page(std::string_view page, std::uint32_t reserved, bool intact) {
  constexpr unsigned char kTableLeaf = 0x0d;
  if (page.size() < 512 || reserved > 255 || static_cast<unsigned char>(page[0]) != kTableLeaf) return 0;
  const std::uint64_t usable = page.size() - reserved;
  const std::size_t cells = std::min<std::size_t>(big16(page, 3), usable / 4);
  LogIndex claim = 0;
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t place = 8 + 2 * i;
    if (place + 2 > usable) break;
    const std::size_t cell = big16(page, place);
    if (cell < 8 || cell >= usable) continue;
    claim = std::max(claim, claim_of_cell(page.substr(cell, usable - cell), usable, intact));
  }
  return claim;
}

WalWalker::Checksum WalWalker::sum(Checksum seed, std::string_view bytes) const {
  // Words in the order of the machine that wrote them, nearly always ours.
  const bool swap = big_endian_ != (std::endian::native == std::endian::big);
  std::uint32_t a = seed.a, b = seed.b;
  const char* at = bytes.data();
  for (const char* end = at + bytes.size() / 8 * 8; at != end; at += 8) {
    std::uint32_t words[2];
    std::memcpy(words, at, sizeof words);
    a += (swap ? __builtin_bswap32(words[0]) : words[0]) + b;
    b += (swap ? __builtin_bswap32(words[1]) : words[1]) + a;
  }
  return Checksum{a, b};
}

void WalWalker::header(std::string_view bytes) {
  ASSERT(bytes.size() == kWalHeaderBytes);
  const std::uint32_t magic = big32(bytes, 0);
  big_endian_ = magic == kMagicBig;
  salts_ = std::string(bytes.substr(16, 8));
  stored_ = Checksum{big32(bytes, 24), big32(bytes, 28)};
  chain_ = stored_;
  report_.header_good = (magic == kMagicLittle || magic == kMagicBig) && big32(bytes, 4) == kVersion &&
                        big32(bytes, 8) == page_bytes_ && sum(Checksum(), bytes.substr(0, 24)) == stored_;
  broken_ = !report_.header_good;
  report_.bad_offset = report_.header_good ? kWalHeaderBytes : 0;
}

void WalWalker::frame(std::string_view bytes) {
  ASSERT(bytes.size() == kWalFrameHeaderBytes + page_bytes_);
  const std::string_view page = bytes.substr(kWalFrameHeaderBytes);
  const bool same_generation = bytes.substr(8, 8) == salts_;
  const bool commit = big32(bytes, 4) != 0;
  const Checksum stored{big32(bytes, 16), big32(bytes, 20)};
  ++report_.frames_seen;
  if (!broken_) {
    const Checksum expected = sum(sum(chain_, bytes.substr(0, 8)), page);
    if (same_generation && big32(bytes, 0) != 0 && expected == stored) {
      chain_ = stored_ = stored;
      report_.bad_offset += bytes.size();
      if (commit) report_.frames = report_.frames_seen;
      return;
    }
    broken_ = true;
  }
  // The chain is broken, but the sum that the frame before has stored still tells whether this frame is whole.
  const bool intact = sum(sum(stored_, bytes.substr(0, 8)), page) == stored;
  stored_ = stored;
  if (same_generation && intact && commit && report_.header_good) ++report_.commits_after_bad;
  report_.durable_claim = std::max(report_.durable_claim, durable_claim_of_page(page, reserved_, intact));
}

WalReport WalWalker::report() const { return report_; }

}  // namespace kayak::store
