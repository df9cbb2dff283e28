// key_index.cc: sorted blocks of records. Two levels are enough: with a million keys a split moves 150 KB of block
// pointers, once in 32 insertions.
#include "store/key_index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace kayak::store {

void KeyIndex::RecordFree::operator()(KeyRecord* record) const {
  record->~KeyRecord();
  ::operator delete(record);
}

KeyIndex::Place KeyIndex::locate(std::string_view key) const {
  // The last leaf whose first key is not above `key`.
  auto above = std::upper_bound(leaves_.begin(), leaves_.end(), key,
                                [](std::string_view k, const auto& leaf) { return k < leaf->records[0]->key(); });
  if (above == leaves_.begin()) return Place{};
  const std::size_t leaf = static_cast<std::size_t>(above - leaves_.begin()) - 1;
  const RecordPtr* begin = leaves_[leaf]->records;
  const RecordPtr* end = begin + leaves_[leaf]->count;
  const RecordPtr* at =
      std::lower_bound(begin, end, key, [](const RecordPtr& record, std::string_view k) { return record->key() < k; });
  return Place{leaf, static_cast<std::size_t>(at - begin), at != end && (*at)->key() == key};
}

const KeyRecord* KeyIndex::find(std::string_view key) const {
  const Place place = locate(key);
  return place.found ? leaves_[place.leaf]->records[place.place].get() : nullptr;
}

void KeyIndex::put(std::string_view key, const KeyMeta& meta) {
  const Place place = locate(key);
  if (place.found) {
    KeyRecord& record = *leaves_[place.leaf]->records[place.place];
    if (record.deleted && !meta.deleted) ++live_;
    if (!record.deleted && meta.deleted) --live_;
    static_cast<KeyMeta&>(record) = meta;
    return;
  }
  void* memory = ::operator new(sizeof(KeyRecord) + key.size());
  RecordPtr record(new (memory) KeyRecord{meta, static_cast<std::uint32_t>(key.size())});
  std::memcpy(static_cast<char*>(memory) + sizeof(KeyRecord), key.data(), key.size());
  insert_at(place, std::move(record));
  ++size_;
  key_bytes_ += key.size();
  if (!meta.deleted) ++live_;
}

void KeyIndex::insert_at(Place place, RecordPtr record) {
  if (leaves_.empty()) leaves_.push_back(std::make_unique<Leaf>());
  if (leaves_[place.leaf]->count == kLeafRecords) {
    // Keys often come in ascending order: a new last leaf keeps the full one full.
    const bool at_end = place.leaf + 1 == leaves_.size() && place.place == kLeafRecords;
    split(place.leaf, at_end);
    const std::size_t left = leaves_[place.leaf]->count;
    if (place.place > left || at_end) place = Place{place.leaf + 1, place.place - left};
  }
  Leaf& leaf = *leaves_[place.leaf];
  RecordPtr* at = leaf.records + place.place;
  std::move_backward(at, leaf.records + leaf.count, leaf.records + leaf.count + 1);
  *at = std::move(record);
  ++leaf.count;
}

void KeyIndex::split(std::size_t leaf, bool at_end) {
  auto right = std::make_unique<Leaf>();
  Leaf& left = *leaves_[leaf];
  if (!at_end) {
    const std::size_t half = left.count / 2;
    std::move(left.records + half, left.records + left.count, right->records);
    right->count = left.count - half;
    left.count = half;
  }
  leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(leaf) + 1, std::move(right));
}

bool KeyIndex::erase(std::string_view key) {
  const Place place = locate(key);
  if (!place.found) return false;
  Leaf& leaf = *leaves_[place.leaf];
  RecordPtr* at = leaf.records + place.place;
  if (!(*at)->deleted) --live_;
  key_bytes_ -= (*at)->key_bytes;
  --size_;
  std::move(at + 1, leaf.records + leaf.count, at);
  leaf.records[--leaf.count].reset();
  merge_small(place.leaf);
  return true;
}

// Keeps blocks from thinning out: an empty one goes, a small one joins its left neighbour when both fit.
void KeyIndex::merge_small(std::size_t leaf) {
  Leaf& thin = *leaves_[leaf];
  if (thin.count > kLeafRecords / 4) return;
  if (thin.count > 0) {
    if (leaf == 0) return;
    Leaf& left = *leaves_[leaf - 1];
    if (left.count + thin.count > kLeafRecords * 3 / 4) return;
    std::move(thin.records, thin.records + thin.count, left.records + left.count);
    left.count += thin.count;
  }
  leaves_.erase(leaves_.begin() + static_cast<std::ptrdiff_t>(leaf));
}

std::size_t KeyIndex::memory_bytes() const {
  return size_ * sizeof(KeyRecord) + key_bytes_ + leaves_.size() * sizeof(Leaf) + leaves_.capacity() * sizeof(void*);
}

KeyIndex::Cursor KeyIndex::seek(std::string_view key) const {
  const Place place = locate(key);
  Cursor cursor;
  cursor.index_ = this;
  cursor.leaf_ = place.leaf;
  cursor.place_ = place.place;
  if (cursor.leaf_ < leaves_.size() && cursor.place_ == leaves_[cursor.leaf_]->count) {
    ++cursor.leaf_;
    cursor.place_ = 0;
  }
  return cursor;
}

const KeyRecord* KeyIndex::Cursor::get() const {
  return leaf_ < index_->leaves_.size() ? index_->leaves_[leaf_]->records[place_].get() : nullptr;
}

void KeyIndex::Cursor::next() {
  if (++place_ == index_->leaves_[leaf_]->count) {
    ++leaf_;
    place_ = 0;
  }
}

}  // namespace kayak::store
