// key_index.h: the newest version of every key, in key order, in memory; values stay on disk.
// A record is 48 bytes and the key; the sorted pointers to records, in blocks of at most 64, add about 11.
// Not thread-safe; cursors end with the next change.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "store/entry.h"

namespace kayak::store {

struct KeyMeta {
  Revision create_revision = 0;
  Revision mod_revision = 0;  // of the deletion when `deleted`
  std::int64_t version = 0;
  std::int64_t lease = 0;
  RowId row = 0;  // where this version stands in the log
  std::uint32_t value_bytes : 31 = 0;
  std::uint32_t deleted : 1 = 0;  // a tombstone: kept until compaction, as older revisions are found through it
};

// Derived, so that the length of the key takes the tail padding of KeyMeta.
struct KeyRecord : KeyMeta {
  std::uint32_t key_bytes = 0;
  // The key follows in the same allocation.
  std::string_view key() const { return std::string_view(reinterpret_cast<const char*>(this + 1), key_bytes); }
};

static_assert(sizeof(void*) == 4 || sizeof(KeyRecord) == 48);

class KeyIndex {
 public:
  KeyIndex() = default;
  KeyIndex(KeyIndex&&) noexcept = default;
  KeyIndex& operator=(KeyIndex&&) noexcept = default;

  const KeyRecord* find(std::string_view key) const;  // null when absent
  void put(std::string_view key, const KeyMeta& meta);
  bool erase(std::string_view key);           // true when it was there
  std::size_t size() const { return size_; }  // tombstones too
  std::size_t live() const { return live_; }
  std::size_t memory_bytes() const;  // of records and blocks, without the allocator's own

  class Cursor {
   public:
    const KeyRecord* get() const;  // null at the end
    void next();

   private:
    friend class KeyIndex;
    const KeyIndex* index_ = nullptr;
    std::size_t leaf_ = 0, place_ = 0;
  };
  // At the first key that is not below `key`.
  Cursor seek(std::string_view key) const;

 private:
  struct RecordFree {
    void operator()(KeyRecord* record) const;
  };
  using RecordPtr = std::unique_ptr<KeyRecord, RecordFree>;
  static constexpr std::size_t kLeafRecords = 64;
  struct Leaf {
    std::size_t count = 0;
    RecordPtr records[kLeafRecords];
  };
  struct Place {
    std::size_t leaf = 0, place = 0;
    bool found = false;
  };
  Place locate(std::string_view key) const;
  void insert_at(Place place, RecordPtr record);
  void split(std::size_t leaf, bool at_end);
  void merge_small(std::size_t leaf);
  std::vector<std::unique_ptr<Leaf>> leaves_;  // none empty
  std::size_t size_ = 0, live_ = 0, key_bytes_ = 0;
};

}  // namespace kayak::store
