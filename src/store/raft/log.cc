// log.cc: see log.h.
#include "store/raft/log.h"

#include <algorithm>

#include "base/assert.h"

namespace kayak::store::raft {

RaftLog::RaftLog(Restored restored)
    : compacted_(restored.compacted),
      compacted_term_(restored.compacted_term),
      runs_(std::move(restored.terms)),
      last_(restored.applied),
      memory_first_(restored.applied + 1) {
  ASSERT(restored.applied >= compacted_);
  ASSERT(restored.membership_index <= restored.applied);
  memberships_.push_back({restored.membership_index, std::make_shared<const Membership>(restored.membership)});
  for (Entry& entry : restored.tail) append(std::move(entry));
  ASSERT(term_of(last_).has_value());
  unwritten_ = 0;
  stable_ = last_;
}

std::optional<Term> RaftLog::term_of(LogIndex index) const {
  if (index < compacted_ || index > last_) return std::nullopt;
  if (index == compacted_) return compacted_term_;
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                      [](LogIndex wanted, const TermRun& run) { return wanted < run.first; });
  if (after == runs_.begin()) return std::nullopt;
  return std::prev(after)->term;
}

bool RaftLog::is_up_to_date(LogIndex index, Term term) const {
  return term > last_term() || (term == last_term() && index >= last_);
}

LogIndex RaftLog::last_with_term_up_to(LogIndex index, Term term) const {
  index = std::min(index, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > index) continue;
    if (run->term <= term) return index;
    index = run->first - 1;
  }
  if (index < compacted_ || compacted_term_ <= term) return index;
  return compacted_ > 0 ? compacted_ - 1 : 0;
}

void RaftLog::append(Entry entry) {
  ASSERT(entry.index == last_ + 1);
  ASSERT(entry.term >= last_term());
  if (runs_.empty() || runs_.back().term != entry.term) runs_.push_back({entry.index, entry.term});
  if (entry.membership) memberships_.push_back({entry.index, entry.membership});
  if (unwritten_ == 0) unwritten_ = entry.index;
  memory_bytes_ += entry.bytes();
  last_ = entry.index;
  entries_.push_back(std::move(entry));
}

void RaftLog::truncate(LogIndex last) {
  ASSERT(last >= compacted_ && last + 1 >= memory_first_);
  while (last_ > last) {
    memory_bytes_ -= entries_.back().bytes();
    entries_.pop_back();
    --last_;
  }
  while (!runs_.empty() && runs_.back().first > last) runs_.pop_back();
  while (memberships_.size() > 1 && memberships_.back().index > last) memberships_.pop_back();
  // What an Append under way carries above `last` is no longer what memory holds, even if an entry of the same index
  // and term comes back later: the disk will have been told something else in between.
  for (Pending& pending : pending_) pending.last = std::min(pending.last, last);
  stable_ = std::min(stable_, last);
  unwritten_ = unwritten_ == 0 ? last + 1 : std::min(unwritten_, last + 1);
}

std::vector<Entry> RaftLog::slice(LogIndex first, LogIndex last, std::size_t max_bytes) const {
  std::vector<Entry> out;
  std::size_t bytes = 0;
  for (LogIndex index = first; index <= last; ++index) {
    const Entry& entry = at(index);
    bytes += entry.bytes();
    if (!out.empty() && bytes > max_bytes) break;
    out.push_back(entry);
  }
  return out;
}

const Entry& RaftLog::at(LogIndex index) const {
  ASSERT(in_memory(index));
  return entries_[index - memory_first_];
}

void RaftLog::trim(LogIndex up_to, std::size_t budget) {
  up_to = std::min(up_to, stable_);
  while (memory_bytes_ > budget && !entries_.empty() && memory_first_ <= up_to) {
    memory_bytes_ -= entries_.front().bytes();
    entries_.pop_front();
    ++memory_first_;
  }
}

void RaftLog::compact(LogIndex index) {
  if (index <= compacted_) return;
  const std::optional<Term> term = term_of(index);
  ASSERT(term);
  while (runs_.size() > 1 && runs_[1].first <= index + 1) runs_.erase(runs_.begin());
  if (!runs_.empty() && runs_.front().first <= index) runs_.front().first = index + 1;
  if (!runs_.empty() && runs_.front().first > last_) runs_.clear();
  while (memberships_.size() > 1 && memberships_[1].index <= index) memberships_.erase(memberships_.begin());
  compacted_ = index;
  compacted_term_ = *term;
  while (!entries_.empty() && memory_first_ <= index) {
    memory_bytes_ -= entries_.front().bytes();
    entries_.pop_front();
    ++memory_first_;
  }
}

void RaftLog::reset(const SnapshotMeta& snapshot) {
  compacted_ = last_ = snapshot.index;
  compacted_term_ = snapshot.term;
  runs_.clear();
  entries_.clear();
  memory_bytes_ = 0;
  memory_first_ = snapshot.index + 1;
  memberships_ = {{snapshot.membership_index, snapshot.membership}};
  for (Pending& pending : pending_) pending.last = 0;
  stable_ = 0;
  unwritten_ = 0;
  reset_unwritten_ = true;
}

const RaftLog::PlacedMembership& RaftLog::membership_at(LogIndex index) const {
  for (auto placed = memberships_.rbegin(); placed != memberships_.rend(); ++placed) {
    if (placed->index <= index) return *placed;
  }
  ASSERT(false && "nobody remembers the membership of an entry this old");
  return memberships_.front();
}

Restored RaftLog::restored_at(LogIndex last) const {
  Restored restored;
  restored.compacted = compacted_;
  restored.compacted_term = compacted_term_;
  for (const TermRun& run : runs_) {
    if (run.first <= last) restored.terms.push_back(run);
  }
  restored.applied = last;
  const PlacedMembership& placed = membership_at(last);
  restored.membership = *placed.membership;
  restored.membership_index = placed.index;
  return restored;
}

std::vector<Entry> RaftLog::take_unwritten(std::uint64_t number) {
  if (unwritten_ == 0 && !reset_unwritten_) return {};
  std::vector<Entry> out;
  if (unwritten_ != 0) {
    for (LogIndex index = unwritten_; index <= last_; ++index) out.push_back(at(index));
  }
  pending_.push_back({number, last_});
  unwritten_ = 0;
  reset_unwritten_ = false;
  return out;
}

void RaftLog::written(std::uint64_t number) {
  while (!pending_.empty() && pending_.front().number <= number) {
    stable_ = std::max(stable_, pending_.front().last);
    pending_.pop_front();
  }
}

}  // namespace kayak::store::raft
