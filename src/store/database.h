// database.h: the SQLite file of one node: one table, one connection, one thread.
//   log(id INTEGER PRIMARY KEY, entry BLOB): the rows of entry.h, and those of MetaRow below them.
// Owns the file, its write-ahead log and its lock; knows rows, not keys. Every call may block: the storage thread's.
// Failures: NoSpace leaves everything as it was before the call; after Io or Corrupt nothing may be written any more.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/entry.h"
#include "store/lock_file.h"
#include "store/page_vfs.h"
#include "store/raft/log.h"
#include "store/row_reader.h"
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

struct DatabaseOptions {
  std::string path;
  std::string vfs;       // the SQLite VFS to stand on; empty: the system's
  std::string store_id;  // 16 random bytes, for a database that is made
  // Of the group that a database that is made begins; kNobody: it joins one, and its log comes from there.
  raft::NodeId first_member = raft::kNobody;
};

// What one Append of the Raft core asks for.
struct LogWrite {
  std::optional<raft::HardState> hard;  // term and vote, when they have changed
  LogIndex first = 0;                   // the log from here on goes, then `entries` follow; 0: there are none
  std::vector<EntryRef> entries;
  LogIndex commit = 0;  // known when it was made
  // Not 0: `entries` follow a gap in the revisions. The log before them, which is committed, counts from here on as one
  // state at this revision (see Database::Base), and its entries go to nobody any more.
  Revision base_revision = 0;
};
// What goes on after a part of the history was lost (a restore, a reset of the membership) goes on so many revisions
// later: clients may have seen what was written in that part, and must not take the revisions that follow for those.
// At a thousand writes a second it takes eleven days to use so many; the numbers have room for it.
constexpr Revision kSkippedRevisions = 1'000'000'000;
// What the log says beyond the state: what RaftCore wants at a start (raft::Restored).
struct LogFound {
  std::string store_id;
  raft::HardState hard;
  LogIndex compacted = 0;  // entries up to here are not whole any more, or lie before a gap in the revisions
  Term compacted_term = 0;
  Term base_term = 0;                // see Database::Base, as far as the open needs it: the rows may know a later one
  std::vector<raft::TermRun> terms;  // of the entries above `compacted`
  LogIndex last = 0;
};
// Takes the log's rows at a start.
struct RowSink {
  // Before the first row: entries up to `commit` are known to be committed.
  std::function<void(LogIndex commit)> begin;
  // Log rows in order; `complete` as in KvState::apply.
  std::function<Result<void>(RowId row, const RowView& view, bool complete)> row;
};

struct SweepLimits {
  Revision floor = 0;  // rows of lower revisions may go
  // Entries up to here made that floor, so the next start must know that they are committed: else it would look for
  // rows that are gone.
  LogIndex commit = 0;
  std::size_t rows = 256;
  std::size_t bytes = 1024 * 1024;
};
struct SweepResult {
  bool done = false;       // nothing is left below the floor
  bool held_back = false;  // a defragmentation is under way: nothing was done
  std::size_t looked_at = 0, deleted = 0;
  RowId swept_row = 0;  // all up to here are swept
  Duration took{};      // with the commit
  struct Tombstone {
    std::string key;
    RowId row;
  };
  std::vector<Tombstone> tombstones;  // that are gone now
};

class DatabaseCopy;

class Database final : public RowReader {
 public:
  // Makes the database when there is none; otherwise proves that what is there is whole (write-ahead log, pages, rows,
  // their order, the mark) and gives every row to `sink`. Nothing is written before that.
  // Errors: Unavailable (another process), Corrupt (says what is damaged and what to do), NoSpace, Io, Invalid (made
  // by a newer version, or a symbolic link), Conflict (a restore was interrupted).
  static Result<std::unique_ptr<Database>> open(const DatabaseOptions& options, const RowSink& sink);
  ~Database() override;  // leaves the files as a crash would, unless close() went before
  // Moves everything into the one database file. Errors: NoSpace, Io.
  Result<void> close();

  // As close(), for good: another file will stand in the place of this one.
  Result<void> retire();

  // What the open found.
  const LogFound& found() const { return found_; }

  // Does `writes` in order and sweeps one slice when asked to; all of it or nothing, on disk when this returns. Either
  // may be empty.
  Result<void> write(std::span<const LogWrite> writes, const SweepLimits* sweep, SweepResult* swept);
  // The same without the mark, for who answers first: mark() follows.
  Result<void> write_unmarked(std::span<const LogWrite> writes, const SweepLimits* sweep, SweepResult* swept);
  void mark();
  // Another server knows that the entry was acknowledged, and the log ends before it: every later open will find that.
  // Errors: Corrupt, always.
  Result<void> lost(LogIndex acknowledged);
  Result<bool> read(RowId row, const std::function<void(const RowView& view)>& visit) override;
  Result<void> scan(RowId first, const std::function<bool(RowId row, const RowView& view)>& visit) override;
  Result<RowId> first_row_of(Revision revision) override;
  // As scan(), with the bytes of each row.
  Result<void> scan_bytes(RowId first,
                          const std::function<bool(RowId row, const RowView& view, std::string_view bytes)>& visit);

  // Defragmentation (database_copy.cc): all rows are copied into a file beside this one, which then takes its place, so
  // that what was freed goes back to the file system. In steps, between which everything else goes on but sweeps.
  // Errors of the first: Conflict (one is under way), NoSpace (too little is free on the file system).
  Result<void> begin_defragment();
  // Copies rows of about so many bytes, or reads as many back from the copy; true: the copy has taken the place of this
  // file. After an error there is no copy any more, and all but Corrupt and Io leave everything as it was. Errors also:
  // NoSpace, Unavailable (given up meanwhile), Internal (the copy could not be written or read back).
  Result<bool> defragment(std::size_t bytes);
  // `why` is what defragment() then says. False: there is none.
  bool give_up_defragment(Error why);

  // Moves the write-ahead log into the database. NoSpace is an answer like another: it goes on growing.
  Result<void> checkpoint();
  std::uint64_t wal_frames() const { return wal_frames_; }
  std::uint64_t database_bytes() const;  // both files
  LogIndex durable() const { return tail_.last; }
  RowId swept_row() const { return progress_.swept_row; }
  const std::string& store_id() const { return found_.store_id; }
  // The state with which a database begins that was built from a snapshot, or whose log goes on behind a gap in the
  // revisions; index 0: it began empty.
  struct Base {
    LogIndex index = 0;
    Term term = 0;
    Revision revision = 0;
  };
  Base base() const { return Base{progress_.base_index, found_.base_term, progress_.base_revision}; }
  const DiskCounters& counters() const { return vfs_->counters(); }
  // Of the database's file: what nothing is kept in, and what is written next takes. As the last checkpoint found it;
  // any thread may ask.
  std::uint64_t free_bytes() const { return free_bytes_.load(std::memory_order_relaxed); }

 private:
  Database(const DatabaseOptions& options, LockFile lock);
  Result<void> close(bool keep_log);
  Result<void> close_without_log();
  Result<void> check_space_to_copy();
  Result<bool> step_of_copy(std::size_t bytes);
  Result<void> finish_copy();
  Result<void> take_place(const std::string& path);
  Result<void> may_begin(bool there) const;
  Result<void> create() const;
  std::vector<std::pair<RowId, std::string>> first_rows() const;
  int insert_first_rows(sqlite3* connection) const;
  Result<void> connect();
  Result<void> prepare();
  Result<void> check_file_header() const;
  Result<void> note_free_pages();
  Result<WalReport> walk_wal() const;
  Result<void> find_commit(const RowSink& sink);
  Result<void> check_rows(const RowSink& sink);
  Result<bool> check_meta_row(RowId row, std::string_view bytes, bool* identified);
  void note_row(RowId row, const RowView& view);
  void find_compacted();
  Result<void> check_row_order(RowId row, const RowView& view, bool last_before) const;
  Result<void> check_nothing_lost(const WalReport& wal) const;
  Result<void> cut_wal_tail(const WalReport& wal) const;
  Result<void> check_free_list();
  Result<void> put_meta(MetaRow row, std::string_view bytes);
  // Where the log ends, and what a row says of those before it. A transaction works on a copy.
  struct Tail {
    LogIndex last = 0;
    Revision revision = 0;  // of the last entry
    RowId last_row = 0;
    std::vector<RowId> membership_rows;  // of all memberships in the log
    LogIndex claim = 0;                  // for RowContext::durable
  };
  Result<void> forget_before_truncation(std::span<const LogWrite> writes);
  Result<void> apply(const LogWrite& write, Tail* tail, Progress* progress, raft::HardState* hard);
  Result<void> begin_at(Revision revision, Tail* tail, Progress* progress);
  Result<void> truncate(LogIndex first, Tail* tail);
  Result<void> append(const LogWrite& write, Tail* tail);
  Result<void> keep_commit(const SweepLimits& limits, raft::HardState* hard);
  Result<void> sweep(const SweepLimits& limits, LogIndex claim, Progress* progress, SweepResult* swept);
  Result<void> step(const Statement& statement, std::string_view doing);
  Result<bool> step_row(const Statement& statement, std::string_view doing);
  void rollback();
  std::string wal_path() const { return options_.path + "-wal"; }
  Error failure(int rc, std::string_view doing) const;

  DatabaseOptions options_;
  LockFile lock_;
  std::unique_ptr<PageVfs> vfs_;
  Connection connection_;
  Statement begin_, commit_, rollback_, insert_, replace_, remove_, cut_, select_, scan_, last_, free_pages_;
  std::atomic<std::uint64_t> free_bytes_{0};
  std::string buffer_;  // of the row being written
  std::uint64_t wal_frames_ = 0;
  Tail tail_;
  LogIndex marked_ = 0;  // by mark()
  Progress progress_;
  raft::HardState hard_;  // as written
  LogFound found_;
  std::unique_ptr<DatabaseCopy> copy_;  // of a defragmentation that is under way
  RowId copy_began_at_ = 0;             // the newest row then
  int copy_rounds_ = 0;                 // that have ended: the first over all rows, others over what came meanwhile
  std::optional<Error> given_up_;       // why there is none any more
};

// A new database file at `path`, with nothing but its table and identity, open with a rollback journal; null and
// SQLite's code in `*rc` when it cannot be made. What is there under the name and its companions' goes first.
Connection make_database_file(const std::string& path, const PageVfs& vfs, const std::string& store_id, int* rc);
// What SQLite's `rc` means for the file at `path`. `connection` may be null.
Error sqlite_failure(sqlite3* connection, const PageVfs& vfs, const std::string& path, int rc, std::string_view doing);
void remove_database_files(const std::string& path);
// Where a database is built that will take the place of the one at `path` (database_builder.h).
std::string incoming_path(const std::string& path);
// The same for the copy of a defragmentation (database_copy.h).
std::string copy_path(const std::string& path);

// What a person should do about a damaged store, appended to every Corrupt error of the open.
Error damaged(const std::string& file, std::uint64_t offset, std::string_view what);

}  // namespace kayak::store
