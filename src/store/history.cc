// history.cc: a queue by revision.
#include "store/history.h"

namespace kayak::store {

namespace {
// Of an entry with one effect: the objects, their allocations and the queue's places.
constexpr std::size_t kEntryOverhead = 400;
}  // namespace

std::size_t History::cost(const Applied& applied) {
  return applied.entry->bytes() + kEntryOverhead * applied.entry->effects.size();
}

void History::push(Applied applied) {
  ASSERT(applied.entry->revision == first_ + static_cast<Revision>(entries_.size()));
  costs_.push_back(cost(applied));
  bytes_ += costs_.back();
  entries_.push_back(std::move(applied));
  trim();
}

void History::trim() {
  while (bytes_ > max_bytes_ && !entries_.empty()) {
    bytes_ -= costs_.front();
    costs_.pop_front();
    entries_.pop_front();
    ++first_;
  }
}

const Applied* History::find(Revision revision) const {
  if (revision < first_ || revision >= first_ + static_cast<Revision>(entries_.size())) return nullptr;
  return &entries_[static_cast<std::size_t>(revision - first_)];
}

Bytes History::value(Revision mod_revision, RowId row) const {
  const Applied* applied = find(mod_revision);
  if (applied == nullptr || applied->entry->index != row_index(row)) return nullptr;
  return applied->entry->effects[row_ordinal(row)].value;
}

void History::keep_previous(Revision revision, std::size_t ordinal, Bytes value) {
  if (find(revision) == nullptr) return;
  const auto place = static_cast<std::size_t>(revision - first_);
  if (entries_[place].previous[ordinal].value) return;
  costs_[place] += value->size();
  bytes_ += value->size();
  entries_[place].previous[ordinal].value = std::move(value);
  trim();
}

}  // namespace kayak::store
