// database_builder.h: makes a database file from the stream of a snapshot (snapshot_stream.h): for a follower that is
// too far behind, and for a restore.
// It is built beside the place where it will stand, under incoming_path(); until finish() has succeeded there is
// nothing that anyone would take for a database, and what a crash leaves goes with the next open. Putting it in place
// is the caller's: the database that was there is closed first (its log is then in it), then one rename. Every call
// blocks, on the disk: not for the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database_writer.h"
#include "store/snapshot_stream.h"

namespace kayak::store {

class DatabaseBuilder {
 public:
  // The state goes on in a new group of one: the log gets a membership of `self` alone, in a new term. What the old
  // group kept of its members (`members_prefix`) is deleted, or they would be called.
  struct Alone {
    raft::NodeId self = raft::kNobody;
    std::string members_prefix;
    // The revision goes up by so much: clients may have seen what was written after the snapshot, and must not take
    // the revisions that follow for those.
    Revision skip = 0;
  };
  struct Options {
    std::string path;      // of the database that it will be
    std::string vfs;       // the SQLite VFS to stand on; empty: the system's
    std::string store_id;  // 16 bytes, of the new database
    raft::HardState hard;  // of a follower: term and vote; ignored with `alone`
    std::optional<Alone> alone;
  };

  // Removes what an earlier one left. Errors: NoSpace, Io.
  static Result<std::unique_ptr<DatabaseBuilder>> create(Options options);
  DatabaseBuilder(const DatabaseBuilder&) = delete;
  DatabaseBuilder& operator=(const DatabaseBuilder&) = delete;

  // The next bytes of the stream, cut as they come. How many of them belong to it: after its end, less than all.
  // Errors: Corrupt, Invalid (a newer format, or with `alone` numbers so high that none follow), NoSpace, Io; nothing
  // goes on after one.
  Result<std::size_t> feed(std::string_view bytes);
  // What was fed is on disk when it returns: finish() is then short, and needs hardly any space.
  Result<void> flush() { return writer_->flush(); }
  bool complete() const { return reader_.complete(); }
  const std::optional<SnapshotHead>& head() const { return reader_.head(); }
  // All of it is on disk when this returns, under incoming_path(), with its folder. Errors: as of feed(); Corrupt when
  // the stream has not come to its end.
  // `hard`: instead of the one in the options, as it is by now.
  Result<SnapshotHead> finish(std::optional<raft::HardState> hard = std::nullopt);

 private:
  explicit DatabaseBuilder(Options options);
  Result<void> check_room(const SnapshotHead& head) const;
  Result<void> take(RowId row, const RowView& view, std::string_view bytes);
  Result<void> put_meta();
  Result<void> go_on_alone();
  Result<void> append(const Entry& entry);

  Options options_;
  const std::string path_;  // where it is built
  std::unique_ptr<DatabaseWriter> writer_;
  SnapshotReader reader_;
  RowId membership_row_ = 0;
  // Keys under Alone::members_prefix and their rows.
  std::vector<std::pair<std::string, RowId>> members_;
  LogIndex last_ = 0;  // entry of the log that is made
  bool finished_ = false;
};

}  // namespace kayak::store
