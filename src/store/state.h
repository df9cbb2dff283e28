// state.h: what the log says so far: the newest version of every key, the leases, the revision, the floor.
// Its changes are a pure function of the rows, in order: the same at the leader, at a follower and at start.
#pragma once

#include "store/entry.h"
#include "store/key_index.h"
#include "store/lease_table.h"

namespace kayak::store {

class KvState {
 public:
  // Takes one row, whose predecessors in the log (those that compaction left) were taken before. With `complete` the
  // predecessor of an update must be known: above what compaction swept nothing is missing.
  // Errors: Corrupt when it contradicts what came before.
  Result<void> apply(RowId row, const RowView& view, bool complete);
  // Says, after the rows of a snapshot were taken, what they are the state of: the entry at `index` and its revision.
  // There is no history below, so that is also the floor. Index 0: they were no snapshot's.
  void begin_at(LogIndex index, Term term, Revision revision);
  // Compaction dropped the tombstone of `key` in `row`; nothing when the key has a newer row.
  void forget_tombstone(std::string_view key, RowId row);

  const KeyIndex& keys() const { return keys_; }
  const LeaseTable& leases() const { return leases_; }
  LogIndex applied() const { return applied_; }
  Term term() const { return term_; }  // of the last entry
  Revision revision() const { return revision_; }
  Revision floor() const { return floor_; }  // 0: never compacted
  // The state can be read at this revision, but what happened up to it cannot be told: it came as a whole then, or was
  // continued by a server whose state did. 0: nothing is missing.
  Revision base_revision() const { return base_revision_; }
  RowId compact_row() const { return compact_row_; }
  LogIndex membership_index() const { return membership_row_ == 0 ? 0 : row_index(membership_row_); }
  const raft::MembershipRef& membership() const { return membership_; }  // null: none yet
  RowId membership_row() const { return membership_row_; }
  RowId lease_row(std::int64_t lease) const;  // of its grant; 0: there is no such lease

 private:
  KeyIndex keys_;
  LeaseTable leases_;
  LogIndex applied_ = 0;
  Term term_ = 0;
  Revision revision_ = kFirstRevision;
  Revision floor_ = 0;
  Revision compacted_to_ = 0;  // by the newest compaction; the floor is not below it
  Revision base_revision_ = 0;
  RowId compact_row_ = 0;  // of the newest compaction
  raft::MembershipRef membership_;
  RowId membership_row_ = 0;
};

}  // namespace kayak::store
