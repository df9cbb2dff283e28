// kv_rows.h: the rows of one server in memory, as its database would hold them: encoded, ordered, swept by compaction.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/row_reader.h"

namespace kayak::sim {

class MemoryRows final : public store::RowReader {
 public:
  using Rows = std::map<store::RowId, std::shared_ptr<const std::string>>;
  void append(const store::Entry& entry);
  Result<bool> read(store::RowId row, const std::function<void(const store::RowView&)>& visit) override;
  Result<void> scan(store::RowId first, const std::function<bool(store::RowId, const store::RowView&)>& visit) override;
  Result<store::RowId> first_row_of(store::Revision revision) override;
  struct Tombstone {
    std::string key;
    store::RowId row;
  };
  // Looks at the next `rows` rows below the floor and drops what they supersede, as Database does. The deletions that
  // are gone.
  std::vector<Tombstone> sweep(store::Revision floor, std::size_t rows);

  const Rows& rows() const { return rows_; }
  store::RowId swept_row() const { return swept_row_; }

 private:
  Rows rows_;
  store::RowId swept_row_ = 0;
};

}  // namespace kayak::sim
