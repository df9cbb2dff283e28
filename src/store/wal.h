// wal.h: reads a SQLite write-ahead log frame by frame, before SQLite does.
// SQLite ends its own reading at the first bad frame and drops what follows without a word. Only the transaction that
// was being written when the power went may be bad, so this says whether good commits or proof of later ones follow.
// Pure: frames in, a report out. Source: SQLite file format, section 4 (the write-ahead log).
#pragma once

#include <cstdint>
#include <string_view>

#include "store/entry.h"

namespace kayak::store {

constexpr std::size_t kWalHeaderBytes = 32;
constexpr std::size_t kWalFrameHeaderBytes = 24;

struct WalReport {
  bool header_good = false;       // false: SQLite takes the log for empty
  std::uint64_t frames = 0;       // good ones up to the last good commit: what SQLite will use
  std::uint64_t frames_seen = 0;  // all, stale ones of earlier generations too
  std::uint64_t bad_offset = 0;   // of the first frame that does not continue the chain (the end when none)
  // Of the header's generation, after the first bad frame. One may be the end of the torn transaction itself; two
  // cannot, as a transaction begins only when the one before it is on disk.
  std::uint64_t commits_after_bad = 0;
  // The highest entry that an intact row beyond the good frames says was on disk before it.
  LogIndex durable_claim = 0;
};

class WalWalker {
 public:
  // `page_bytes` and `reserved` as in the database's header.
  WalWalker(std::uint32_t page_bytes, std::uint32_t reserved) : page_bytes_(page_bytes), reserved_(reserved) {}
  // The first 32 bytes, then each whole frame (24 bytes and a page) in order.
  void header(std::string_view bytes);
  void frame(std::string_view bytes);
  WalReport report() const;

 private:
  struct Checksum {
    std::uint32_t a = 0, b = 0;
    bool operator==(const Checksum&) const = default;
  };
  Checksum sum(Checksum seed, std::string_view bytes) const;

  std::uint32_t page_bytes_, reserved_;
  bool big_endian_ = false;
  std::string salts_;    // of the header
  Checksum chain_;       // of the good frames so far
  Checksum stored_;      // in the frame before, whatever it is worth
  bool broken_ = false;  // the chain has ended
  WalReport report_;
};

// The highest LogIndex that the rows of a table leaf page claim as durable; 0 when the page is none or has none. With
// `intact` (the page's own checksum matched) the head of a row that continues elsewhere counts, too.
LogIndex durable_claim_of_page(std::string_view page, std::uint32_t reserved, bool intact);

}  // namespace kayak::store
