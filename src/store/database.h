// database.h: the SQLite file of one node: one table, one connection, one thread.
//   log(id INTEGER PRIMARY KEY, entry BLOB): the rows of entry.h, and the two of MetaRow below them.
// Owns the file, its write-ahead log and its lock; knows rows, not keys. Every call may block: the storage thread's.
// Failures: NoSpace leaves everything as it was before the call; after Io or Corrupt nothing may be written any more.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/entry.h"
#include "store/lock_file.h"
#include "store/page_vfs.h"
#include "store/wal.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kayak::store {

struct ConnectionCloser {
  void operator()(sqlite3* connection) const;
};
using Connection = std::unique_ptr<sqlite3, ConnectionCloser>;
struct StatementFinalizer {
  void operator()(sqlite3_stmt* statement) const;
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementFinalizer>;

using EntryRef = std::shared_ptr<const Entry>;

struct DatabaseOptions {
  std::string path;
  std::string vfs;       // the SQLite VFS to stand on; empty: the system's
  std::string store_id;  // 16 random bytes, for a database that is made
};

struct SweepLimits {
  Revision floor = 0;  // rows of lower revisions may go
  std::size_t rows = 256;
  std::size_t bytes = 1024 * 1024;
};
struct SweepResult {
  bool done = false;  // nothing is left below the floor
  std::size_t looked_at = 0, deleted = 0;
  Duration took{};  // with the commit
  struct Tombstone {
    std::string key;
    RowId row;
  };
  std::vector<Tombstone> tombstones;  // that are gone now
};

class Database {
 public:
  // Takes one log row at start, in order; `complete` as in KvState::apply.
  using RowSink = std::function<Result<void>(RowId row, const RowView& view, bool complete)>;

  // Makes the database when there is none; otherwise proves that what is there is whole (write-ahead log, pages, rows,
  // their order, the mark) and gives every row to `sink`. Nothing is written before that.
  // Errors: Unavailable (another process), Corrupt (says what is damaged and what to do), NoSpace, Io, Invalid (made
  // by a newer version).
  static Result<std::unique_ptr<Database>> open(const DatabaseOptions& options, const RowSink& sink);
  ~Database();  // leaves the files as a crash would, unless close() went before
  // Moves everything into the one database file. Errors: NoSpace, Io.
  Result<void> close();

  // Appends `entries`, which continue the log, and sweeps one slice when asked to; all of it or nothing, on disk when
  // this returns. Either may be empty.
  Result<void> write(std::span<const EntryRef> entries, const SweepLimits* sweep, SweepResult* swept);
  // Shows the row to `visit` (the view ends with the call); false when there is no such row. Errors: Corrupt, Io.
  Result<bool> read(RowId row, const std::function<void(const RowView& view)>& visit);
  // Rows from `first` on, in order, until `visit` returns false. Errors: Corrupt, Io.
  Result<void> scan(RowId first, const std::function<bool(RowId row, const RowView& view)>& visit);
  // The first row above the swept ones whose revision is not below `revision`; one past the newest when there is none.
  Result<RowId> first_row_of(Revision revision);

  // Moves the write-ahead log into the database. NoSpace is an answer like another: it goes on growing.
  Result<void> checkpoint();
  std::uint64_t wal_frames() const { return wal_frames_; }
  std::uint64_t database_bytes() const;  // both files
  LogIndex durable() const { return durable_; }
  RowId swept_row() const { return progress_.swept_row; }
  const raft::HardState& hard_state() const { return hard_; }  // as the open found it
  const std::string& store_id() const { return store_id_; }
  // The state with which a database that was built from a snapshot begins; index 0: it began empty.
  struct Base {
    LogIndex index = 0;
    Term term = 0;
    Revision revision = 0;
  };
  Base base() const { return Base{progress_.base_index, base_term_, progress_.base_revision}; }
  bool sweep_pending(Revision floor);
  const DiskCounters& counters() const { return vfs_->counters(); }

 private:
  Database(const DatabaseOptions& options, LockFile lock) : options_(options), lock_(std::move(lock)) {}
  Result<void> create() const;
  Result<void> connect();
  Result<void> prepare();
  Result<void> check_file_header() const;
  Result<WalReport> walk_wal() const;
  Result<void> check_rows(const RowSink& sink);
  Result<void> check_row_order(RowId row, const RowView& view, bool last_before) const;
  Result<void> check_nothing_lost(const WalReport& wal) const;
  Result<void> cut_wal_tail(const WalReport& wal) const;
  Result<void> check_free_list();
  Result<void> put_meta(MetaRow row, std::string_view bytes);
  Result<void> append(std::span<const EntryRef> entries);
  Result<void> sweep(const SweepLimits& limits, Progress* progress, SweepResult* swept);
  Result<void> step(const Statement& statement, std::string_view doing);
  Result<bool> step_row(const Statement& statement, std::string_view doing);
  void rollback();
  std::string wal_path() const { return options_.path + "-wal"; }
  Error failure(int rc, std::string_view doing) const;

  DatabaseOptions options_;
  LockFile lock_;
  std::unique_ptr<PageVfs> vfs_;
  Connection connection_;
  Statement begin_, commit_, rollback_, insert_, replace_, remove_, select_, scan_;
  std::string buffer_;  // of the row being written
  std::uint64_t wal_frames_ = 0;
  LogIndex durable_ = 0;   // the last entry on disk
  Revision revision_ = 0;  // its revision
  RowId last_row_ = 0;
  Progress progress_;
  raft::HardState hard_;
  Term base_term_ = 0;  // as far as the open needs it: the rows may know a later one
  std::string store_id_;
};

// A new database file at `path`, with nothing but its table and identity, open with a rollback journal; null and
// SQLite's code in `*rc` when it cannot be made. What is there under the name and its companions' goes first.
Connection make_database_file(const std::string& path, const PageVfs& vfs, const std::string& store_id, int* rc);
// What SQLite's `rc` means for the file at `path`. `connection` may be null.
Error sqlite_failure(sqlite3* connection, const PageVfs& vfs, const std::string& path, int rc, std::string_view doing);
void remove_database_files(const std::string& path);
// Where a database is built that will take the place of the one at `path` (database_builder.h).
std::string incoming_path(const std::string& path);
Result<void> sync_folder_of(const std::string& path);

// What a person should do about a damaged store, appended to every Corrupt error of the open.
Error damaged(const std::string& file, std::uint64_t offset, std::string_view what);

}  // namespace kayak::store
