// kv_rows.cc: see kv_rows.h.
#include "sim/kv_rows.h"

namespace kayak::sim {

using store::RowId;
using store::RowView;

void MemoryRows::append(const store::Entry& entry) {
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    std::string bytes;
    store::encode_row(entry, i, {entry.index - 1, entry.index - 1}, &bytes);
    rows_[store::row_id(entry.index, i)] = std::make_shared<const std::string>(std::move(bytes));
  }
}

Result<bool> MemoryRows::read(RowId row, const std::function<void(const RowView&)>& visit) {
  const auto found = rows_.find(row);
  if (found == rows_.end()) return false;
  Result<RowView> view = store::decode_row(row, *found->second);
  if (!view) return view.error();
  visit(*view);
  return true;
}

Result<void> MemoryRows::scan(RowId first, const std::function<bool(RowId, const RowView&)>& visit) {
  for (auto at = rows_.lower_bound(first); at != rows_.end(); ++at) {
    Result<RowView> view = store::decode_row(at->first, *at->second);
    if (!view) return view.error();
    if (!visit(at->first, *view)) break;
  }
  return {};
}

Result<RowId> MemoryRows::first_row_of(store::Revision revision) {
  RowId found = rows_.empty() ? store::kFirstLogRow : rows_.rbegin()->first + 1;
  const auto look = [&](RowId row, const RowView& view) {
    if (view.revision >= revision) found = row;
    return view.revision < revision;
  };
  if (auto done = scan(swept_row_ + 1, look); !done) return done.error();
  return found;
}

std::vector<MemoryRows::Tombstone> MemoryRows::sweep(store::Revision floor, std::size_t rows) {
  std::vector<RowId> dead;
  std::vector<Tombstone> tombstones;
  std::size_t looked_at = 0;
  const auto look = [&](RowId row, const RowView& view) {
    if (view.revision >= floor || looked_at == rows) return false;
    ++looked_at;
    if (view.previous_row != 0) dead.push_back(view.previous_row);
    if (view.type == store::EffectType::kDelete || view.type == store::EffectType::kNoop ||
        view.type == store::EffectType::kLeaseRevoke) {
      dead.push_back(row);
    }
    if (view.type == store::EffectType::kDelete) tombstones.push_back({std::string(view.key), row});
    swept_row_ = row;
    return true;
  };
  (void)scan(swept_row_ + 1, look);
  for (const RowId row : dead) rows_.erase(row);
  return tombstones;
}

}  // namespace kayak::sim
