// row_reader.h: the rows of a log, as reads of the past need them. Database (database.h) is one; so is a table in
// memory (test/sim).
#pragma once

#include <functional>

#include "store/entry.h"

namespace kayak::store {

class RowReader {
 public:
  virtual ~RowReader() = default;
  // Shows the row to `visit` (the view ends with the call); false when there is no such row. Errors: Corrupt, Io.
  virtual Result<bool> read(RowId row, const std::function<void(const RowView& view)>& visit) = 0;
  // Rows from `first` on, in order, until `visit` returns false. Errors: Corrupt, Io.
  virtual Result<void> scan(RowId first, const std::function<bool(RowId row, const RowView& view)>& visit) = 0;
  // The first row above the swept ones whose revision is not below `revision`; one past the newest when there is none.
  virtual Result<RowId> first_row_of(Revision revision) = 0;
};

}  // namespace kayak::store
