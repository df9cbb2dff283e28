// page_vfs.h: the layer between SQLite and the file system: a checksum on every page of the database file, one system
// call for a run of adjacent writes, and counters.
// A page's CRC-32C (over its number and its bytes) stands in its last 4 bytes, which SQLite leaves alone when the
// database is made with that many reserved. It is computed when the page is written to the database file and compared
// when it is read back; frames of the write-ahead log have SQLite's own sums, which wal.h checks.
// Not for files shared with another process: it hides SQLite's shared memory, which exclusive locking never needs.
// Source: SQLite's documentation of VFS objects.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"

namespace kayak::store {

constexpr std::uint32_t kPageBytes = 4096;
constexpr std::uint32_t kPageReserved = 4;

struct DiskCounters {
  std::atomic<std::uint64_t> written_bytes{0}, read_bytes{0}, writes{0}, syncs{0};
};

// A VFS registered with SQLite for as long as this lives; connections must be closed before.
class PageVfs {
 public:
  struct Damage {
    std::string file;
    std::uint64_t offset = 0;
  };
  // `base` is the VFS below, by name; empty: the system's. Errors: Internal (no VFS of that name).
  static Result<std::unique_ptr<PageVfs>> create(const std::string& base);
  ~PageVfs();
  PageVfs(const PageVfs&) = delete;
  PageVfs& operator=(const PageVfs&) = delete;

  const char* name() const;
  const DiskCounters& counters() const { return counters_; }
  // The first page whose checksum did not match. Any thread.
  std::optional<Damage> damage() const;

  // Of the last write or flush that failed; 0: there was none, or it is not known. Any thread.
  int last_errno() const { return last_errno_.load(std::memory_order_relaxed); }

  // For the methods of the files alone.
  DiskCounters& mutable_counters() { return counters_; }
  void note_damage(const std::string& file, std::uint64_t offset);
  void note_errno(int number) { last_errno_.store(number, std::memory_order_relaxed); }

 private:
  PageVfs() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  DiskCounters counters_;
  std::atomic<int> last_errno_{0};
  mutable std::mutex mutex_;
  std::optional<Damage> damage_;
};

// Writes the checksum of page `number` (from 1) into its last bytes.
void seal_page(std::uint32_t number, char* page);
// A page of zeros is good: SQLite leaves holes for pages that it freed before they were ever written.
bool page_is_good(std::uint32_t number, const char* page);

}  // namespace kayak::store
