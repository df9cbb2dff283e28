// watch_cursor.h: the pure part of watches: whom a transaction concerns, where each watch reads, what it is told.
// No loop, no thread, no disk: watch_hub.h waits and reads around it for the store, test/sim does for the simulation.
// A watch is a cursor (the next revision it wants) and owns no queue: it reads from the shared history, or from the log
// on disk when it has fallen behind. Watches of the same range share a group, which remembers the revisions that
// matched, so that an event costs one comparison per group and a quiet watch nothing.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/history.h"
#include "store/key_range.h"

namespace kayak::store {

// What watches see of their store.
class WatchView {
 public:
  virtual ~WatchView() = default;
  virtual Revision revision() const = 0;
  virtual Revision compacted() const = 0;
  virtual History& history() = 0;
};

// Events read from the log on disk.
struct WatchSlice {
  std::vector<WatchBatch> batches;
  Revision next = 0;  // everything below was looked at
};

// What a reader does next.
struct WatchStep {
  enum class Kind : std::uint8_t {
    kWait,        // until woken
    kGive,        // `batches`
    kFail,        // with `error`: it is over
    kReadEvents,  // of [from, to] from disk, for took_events()
    kReadValues,  // of `rows` from disk, for took_values()
  };
  Kind kind = Kind::kWait;
  std::vector<WatchBatch> batches{};
  std::optional<Error> error{};
  Revision from = 0, to = 0;
  std::vector<RowId> rows{};
};

class WatchCursor;

// The watches of one range.
struct WatchGroup {
  std::string key, range_end;
  Revision since = 0;            // from here on `matched` knows every revision
  std::deque<Revision> matched;  // those that the history still holds
  Revision dropped = 0;          // the highest that it has lost
  std::vector<WatchCursor*> watches;
  KeyRange range() const { return KeyRange{key, range_end}; }
};

// All watches of one store. Cursors may outlive the store, not this.
class WatchGroups : public std::enable_shared_from_this<WatchGroups> {
 public:
  explicit WatchGroups(WatchView& view) : view_(&view) {}
  // `wake` runs when a waiting cursor has something to do. Errors: Expired, Invalid, Unavailable (closed).
  Result<std::unique_ptr<WatchCursor>> add(WatchRequest request, std::function<void()> wake);
  // After `applied` is readable and in the history. True: somebody watches, and progress is due after kProgressDelay.
  bool publish(const Applied& applied);
  // Every watch that has seen less than all is told how far it has seen.
  void send_progress();
  // The store's state was replaced by a newer one: of the revisions between nobody was told.
  void restart();
  void close();
  WatchView* view() const { return view_; }  // null once closed
  bool wants_previous() const { return want_previous_ > 0; }
  static constexpr Duration kProgressDelay = std::chrono::milliseconds(100);

 private:
  friend class WatchCursor;
  using Key = std::pair<std::string, std::string>;
  void match(WatchGroup& group, Revision revision);
  void leave(WatchCursor* cursor, const WatchGroup& group);
  template <typename F>
  void for_each_group(F visit) {
    for (auto& [key, group] : ranges_) visit(*group);
    for (auto& [key, group] : singles_) visit(*group);
  }

  WatchView* view_;
  std::map<Key, std::shared_ptr<WatchGroup>> ranges_;
  std::map<std::string, std::shared_ptr<WatchGroup>, std::less<>> singles_;
  std::size_t want_previous_ = 0;
};

class WatchCursor {
 public:
  WatchCursor(std::shared_ptr<WatchGroups> groups, std::shared_ptr<WatchGroup> group, Revision next, bool previous,
              std::function<void()> wake);
  ~WatchCursor();
  WatchCursor(const WatchCursor&) = delete;
  WatchCursor& operator=(const WatchCursor&) = delete;

  WatchStep step();
  // After kReadEvents. Nothing to give: step again.
  std::vector<WatchBatch> took_events(WatchSlice slice);
  // After kReadValues; `values` in the order of the rows.
  std::vector<WatchBatch> took_values(const std::vector<Bytes>& values);
  // The next step comes at once and says how far this watch has seen, events or not.
  void request_progress();

  const WatchGroup& group() const { return *group_; }
  bool previous() const { return previous_; }

 private:
  friend class WatchGroups;
  struct Collected {
    std::vector<WatchBatch> batches;
    Revision next = 0;
    // Previous values that only the disk has.
    struct Missing {
      std::size_t batch, event;
      Revision revision;
      std::size_t ordinal;
      RowId row;
    };
    std::vector<Missing> missing;
    std::size_t bytes = 0;
  };
  void offer_progress(Revision revision);
  void skip_quiet();
  void collect(const Applied& applied, Collected* out) const;
  Collected collect_from_memory() const;
  std::vector<WatchBatch> finish(std::vector<WatchBatch> batches, Revision next);

  std::shared_ptr<WatchGroups> groups_;
  std::shared_ptr<WatchGroup> group_;
  Revision next_;  // the first revision that was not given out
  Revision told_;  // the reader knows that it has seen everything up to here
  bool previous_;
  bool progress_wanted_ = false;
  std::function<void()> wake_;
  Collected collected_;  // waits for values
};

}  // namespace kayak::store
