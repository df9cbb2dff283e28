// watch_hub.h: the watches of one store, with the loop they wait on. Whom an event concerns and where each watch reads
// is decided in watch_cursor.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "store/watch_cursor.h"

namespace kayak::store {

// What the hub needs of its store.
class WatchSource : public WatchView {
 public:
  using Slice = WatchSlice;
  // Events of [from, to] in the range, from the log on disk; at least one revision further, but perhaps not to the end.
  // Errors: Expired, Unavailable, Corrupt, Io.
  virtual Task<Result<Slice>> read_events(std::string key, std::string range_end, Revision from, Revision to,
                                          bool previous) = 0;
  // The values of rows that compaction may not drop meanwhile. Errors: as above.
  virtual Task<Result<std::vector<Bytes>>> read_values(std::vector<RowId> rows) = 0;
};

class WatchHub {
 public:
  WatchHub(Loop& loop, WatchSource& source);
  ~WatchHub();
  Result<std::unique_ptr<Watch>> add(WatchRequest request);
  // After `applied` is readable and in the history.
  void publish(const Applied& applied);
  // After the store's state was replaced by a newer one, and the history begins behind it.
  void restart();
  // Every wait ends with Unavailable.
  void close();
  // Whether anyone wants the previous pair of events.
  bool wants_previous() const;

  struct State;  // shared with the watches, which may outlive the store

 private:
  std::shared_ptr<State> state_;
};

}  // namespace kayak::store
