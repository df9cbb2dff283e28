// state.h: what the log says so far: the newest version of every key, the revision, the compaction floor.
// Its changes are a pure function of the rows, in order: the same at the leader, at a follower and at start.
#pragma once

#include "store/entry.h"
#include "store/key_index.h"

namespace kayak::store {

class KvState {
 public:
  // Takes one row, whose predecessors in the log (those that compaction left) were taken before. With `complete` the
  // predecessor of an update must be known: above what compaction swept nothing is missing.
  // Errors: Corrupt when it contradicts what came before.
  Result<void> apply(RowId row, const RowView& view, bool complete);
  // A view of one effect of an entry, as it would be read back.
  static RowView view_of(const Entry& entry, std::size_t ordinal);
  // Compaction dropped the tombstone of `key` in `row`; nothing when the key has a newer row.
  void forget_tombstone(std::string_view key, RowId row);

  const KeyIndex& keys() const { return keys_; }
  LogIndex applied() const { return applied_; }
  Term term() const { return term_; }  // of the last entry
  Revision revision() const { return revision_; }
  Revision floor() const { return floor_; }  // 0: never compacted
  RowId compact_row() const { return compact_row_; }
  // The newest in what was applied; null: none yet.
  const raft::MembershipRef& membership() const { return membership_; }
  LogIndex membership_index() const { return membership_row_ == 0 ? 0 : row_index(membership_row_); }

 private:
  KeyIndex keys_;
  LogIndex applied_ = 0;
  Term term_ = 0;
  Revision revision_ = kFirstRevision;
  Revision floor_ = 0;
  RowId compact_row_ = 0;  // of the newest compaction
  raft::MembershipRef membership_;
  RowId membership_row_ = 0;
};

}  // namespace kayak::store
