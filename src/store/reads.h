// reads.h: what is read from the log on disk, on the storage thread: old versions of keys, values, past events.
// Pure functions of the rows; compaction is held back by the caller meanwhile.
#pragma once

#include <vector>

#include "store/key_index.h"
#include "store/log_payload.h"
#include "store/row_reader.h"
#include "store/watch_cursor.h"

namespace kayak::store {

// The values of `rows`, in their order. Errors: Corrupt (a row is missing), Io.
Result<std::vector<Bytes>> read_values(RowReader& log, const std::vector<RowId>& rows);

// A key as it was at a revision, found by following its versions back from `row`.
struct PastVersion {
  RowId row = 0;  // in: where to begin; out: of the version, or where to go on when !settled
  bool settled = false;
  bool found = false;  // the key lived at that revision
  KeyMeta meta;
  Bytes value;
};
// Settles as many of `versions` as about `budget` row reads allow. Errors: Corrupt, Io.
Result<void> read_past(RowReader& log, Revision at, bool values, std::size_t budget,
                       std::vector<PastVersion>* versions);

// Whole entries from `first` on, of about `max_bytes`, at least one; none when `first` is not above `swept`.
// Errors: Corrupt, Io.
Result<std::vector<EntryRef>> read_entries(RowReader& log, RowId swept, LogIndex first, std::size_t max_bytes);

// Events of [from, to] in the range: one slice. Errors: Corrupt, Io.
Result<WatchSlice> read_events(RowReader& log, KeyRange range, Revision from, Revision to, bool previous);

}  // namespace kayak::store
