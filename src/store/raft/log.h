// log.h: the log as the core sees it: the newest entries in memory, the terms of all, and how far the disk is.
// Older entries are only on disk and come back through the shell; entries up to compacted() are gone as entries.
// The term of every entry stays in memory: terms only grow along the log, so a few runs hold them.
// Source: the dissertation, 3.5 (log matching), 5.1 (compaction).
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "store/raft/types.h"

namespace kayak::store::raft {

// Entries from `first` to where the next run begins have `term`.
struct TermRun {
  LogIndex first = 0;
  Term term = 0;
};

// What a node found on its disk when it started.
struct Restored {
  HardState hard;
  std::optional<WitnessRecord> record;  // a witness's
  LogIndex compacted = 0;               // entries up to here cannot be sent to anyone any more
  Term compacted_term = 0;              // of the entry at `compacted`
  std::vector<TermRun> terms;           // of the entries above `compacted` and up to `applied`
  LogIndex applied = 0;                 // the state machine is here; at most hard.commit
  Membership membership;                // as of `applied`; empty: not in a group yet
  LogIndex membership_index = 0;        // of the entry that brought it; 0: the group began with it
  std::vector<Entry> tail;              // all entries above `applied`
};

class RaftLog {
 public:
  explicit RaftLog(Restored restored);

  LogIndex last_index() const { return last_; }
  Term last_term() const { return *term_of(last_); }
  LogIndex compacted() const { return compacted_; }
  std::optional<Term> term_of(LogIndex index) const;  // none below compacted() and above last_index()
  bool matches(LogIndex index, Term term) const { return term_of(index) == term; }
  // A log that ends with (index, term) holds no less than this one (dissertation, 3.6.1).
  bool is_up_to_date(LogIndex index, Term term) const;
  // The highest index up to `index` whose term is at most `term`: nothing between the two can match a log whose entry
  // at `index` has `term`. Below compacted() when everything known is newer.
  LogIndex last_with_term_up_to(LogIndex index, Term term) const;

  void append(Entry entry);      // at the end
  void truncate(LogIndex last);  // drops what is above
  // From `first` on, as many as fit in `max_bytes`, at least one. All must be in memory.
  std::vector<Entry> slice(LogIndex first, LogIndex last, std::size_t max_bytes) const;
  const Entry& at(LogIndex index) const;
  bool in_memory(LogIndex index) const { return index >= memory_first_ && index <= last_; }
  std::size_t memory_bytes() const { return memory_bytes_; }  // of the entries that are in memory
  // Lets go of entries up to `up_to` that are on disk until the rest is within `budget` bytes.
  void trim(LogIndex up_to, std::size_t budget);
  void compact(LogIndex index);
  // The log is what stands before `snapshot`; it counts as durable when the Append that carries it is.
  void reset(const SnapshotMeta& snapshot);

  // The newest membership in the log, committed or not: it is the one in force.
  const MembershipRef& membership() const { return memberships_.back().membership; }
  LogIndex membership_index() const { return memberships_.back().index; }
  struct PlacedMembership {
    LogIndex index;
    MembershipRef membership;
  };
  // What a start would find if the log ended with the entry at `last`, which is applied.
  Restored restored_at(LogIndex last) const;
  // In force after the entry at `index`, which is not below what is compacted or was applied at the start.
  const PlacedMembership& membership_at(LogIndex index) const;

  // What the disk has not been told yet.
  bool has_unwritten() const { return unwritten_ != 0; }
  LogIndex unwritten_first() const { return unwritten_; }
  // The entries that Append `number` carries.
  std::vector<Entry> take_unwritten(std::uint64_t number);
  void written(std::uint64_t number);  // Appends up to this one are on disk
  // The log up to here is on this disk as it is in memory.
  LogIndex stable() const { return stable_; }

 private:
  struct Pending {
    std::uint64_t number;
    LogIndex last;  // what of it still is in the log
  };
  LogIndex compacted_ = 0;
  Term compacted_term_ = 0;
  std::vector<TermRun> runs_;
  LogIndex last_ = 0;
  std::deque<Entry> entries_;  // from memory_first_ to last_
  LogIndex memory_first_ = 1;
  std::size_t memory_bytes_ = 0;
  std::vector<PlacedMembership> memberships_;  // by index; never empty
  LogIndex unwritten_ = 0;                     // everything from here on was changed; 0: nothing
  bool reset_unwritten_ = false;               // reset() was called since take_unwritten()
  std::deque<Pending> pending_;
  LogIndex stable_ = 0;
};

}  // namespace kayak::store::raft
