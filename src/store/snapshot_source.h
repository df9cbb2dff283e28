// snapshot_source.h: the state of an open store at one log index, slice by slice, while writes go on.
// Rows are read in the order of the log, so each is met once. A row was alive at the index when it is still the newest
// of its key, or when an entry after the index superseded it: the store tells the source of every entry that it applies
// meanwhile, and the source keeps the ids of what they supersede ahead of its place.
// A slice costs the storage thread one short read and the loop a look at each of its rows.
#pragma once

#include <memory>
#include <set>

#include "store/snapshot_stream.h"
#include "store/state.h"
#include "store/storage.h"

namespace kayak::store {

class SnapshotSource final : public StateStream {
 public:
  // What it stands on, which ends with detach().
  struct Host {
    const KvState& state;
    Storage& storage;
    std::multiset<Revision>& pins;          // compaction keeps what is needed at these
    std::set<SnapshotSource*>& sources;     // that are told of entries; this one joins and leaves them by itself
    std::function<void(bool begins)> busy;  // around each use of the storage
  };
  // Of the state as it is now.
  explicit SnapshotSource(Host host);
  ~SnapshotSource() override;

  Revision revision() const override { return head_.revision; }
  std::uint64_t keys() const override { return head_.keys; }
  Task<Result<std::optional<std::string>>> next(StopToken stop = StopToken()) override;
  // The head, but for the store's id, which only the database knows.
  const SnapshotHead& head() const { return head_; }

  // An entry after head().index was applied.
  void applied(const Entry& entry);
  // The store closes, or its state is replaced: what is being read is finished, then nothing of it is touched any more.
  void detach();
  void drop();  // the same at once: nobody may be waiting

 private:
  struct Row {
    RowId row = 0;
    EffectType type = EffectType::kNoop;
    std::int64_t lease = 0;
    std::string key, bytes;
  };
  struct Batch {
    std::vector<Row> rows;
    RowId next = 0;  // where the following one begins; 0: nothing is left
  };
  static Result<Batch> read_batch(Database& database, RowId first, RowId last);
  void use(bool begins);
  Task<Result<std::string>> begin();
  Task<Result<void>> gather(StopToken stop);
  bool alive(const Row& row) const;

  std::optional<Host> host_;
  const Storage::Epoch epoch_;
  std::multiset<Revision>::iterator pin_;
  SnapshotHead head_;
  RowId compact_row_, membership_row_;
  SnapshotWriter writer_;
  RowId cursor_ = kFirstLogRow;  // rows below are done; 0: all are
  std::set<RowId> superseded_;   // by entries after head_.index, at or above cursor_
  bool began_ = false, ended_ = false;
  bool using_ = false, closing_ = false;
};

}  // namespace kayak::store
