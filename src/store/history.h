// history.h: the newest transactions, in memory up to a number of bytes: watches and values read soon after their write
// come from here. What fell out is read from the log on disk.
#pragma once

#include <deque>
#include <vector>

#include "store/database.h"
#include "store/key_index.h"

namespace kayak::store {

// One applied transaction, with what its effects replaced.
struct Applied {
  struct Previous {
    KeyMeta meta;  // row 0: the key was not there
    Bytes value;   // null: not in memory, it stands in meta.row
  };
  EntryRef entry;
  std::vector<Previous> previous;  // one per effect
};

class History {
 public:
  explicit History(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  // The oldest revision that is held; when none is, the one that is expected next.
  Revision first() const { return first_; }
  // Revisions follow each other without a gap. `next` is the revision expected after start.
  void start_at(Revision next) { first_ = next; }
  void push(Applied applied);
  const Applied* find(Revision revision) const;
  Bytes value(Revision mod_revision, RowId row) const;  // null: not here
  // Keeps a previous value that was read from disk for the next reader.
  void keep_previous(Revision revision, std::size_t ordinal, Bytes value);
  std::size_t bytes() const { return bytes_; }

 private:
  static std::size_t cost(const Applied& applied);
  void trim();
  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  Revision first_ = 0;
  std::deque<Applied> entries_;
  std::deque<std::size_t> costs_;
};

}  // namespace kayak::store
