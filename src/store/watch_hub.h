// watch_hub.h: the watches of one store: who is woken by what, and where each one reads.
// A watch is a cursor (the next revision it wants) and owns no queue: it reads from the shared history, or from the log
// on disk when it has fallen behind. Watches of the same range share a group, which remembers the revisions that
// matched, so that an event costs one comparison per group and a quiet watch nothing.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "store/history.h"
#include "store/key_range.h"

namespace kayak::store {

// What the hub needs of its store.
class WatchSource {
 public:
  virtual ~WatchSource() = default;
  virtual Revision revision() const = 0;
  virtual Revision compacted() const = 0;
  virtual History& history() = 0;
  struct Slice {
    std::vector<WatchBatch> batches;
    Revision next = 0;  // everything below was looked at
  };
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
  // Every wait ends with Unavailable.
  void close();
  // Whether anyone wants the previous pair of events.
  bool wants_previous() const;

  struct State;  // shared with the watches, which may outlive the store

 private:
  std::shared_ptr<State> state_;
};

}  // namespace kayak::store
