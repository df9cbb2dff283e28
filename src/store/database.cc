// database.cc: the connection, its statements, and what runs through them every day. Opening and proving stands in
// recovery.cc.
#include "store/database.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/files.h"
#include "base/strings.h"
#include "store/database_copy.h"
#include "store/sqlite_rows.h"

namespace kayak::store {

namespace {

std::uint64_t file_bytes(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

Error damaged(const std::string& file, std::uint64_t offset, std::string_view what) {
  return Error(Code::kCorrupt, cat(file, " is damaged at byte ", offset, ": ", what));
}

void ConnectionCloser::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
void StatementFinalizer::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Database::Database(const DatabaseOptions& options, LockFile lock) : options_(options), lock_(std::move(lock)) {}
Database::~Database() = default;

Error Database::failure(int rc, std::string_view doing) const {
  return sqlite_failure(connection_.get(), *vfs_, options_.path, rc, doing);
}

Error sqlite_failure(sqlite3* connection, const PageVfs& vfs, const std::string& path, int rc, std::string_view doing) {
  int system_error = connection != nullptr ? sqlite3_system_errno(connection) : 0;
  const bool wrote = rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_FSYNC;
  if (system_error == 0 && wrote) system_error = vfs.last_errno();
  std::string what =
      cat(doing, ": ", connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(rc), " (SQLite ", rc,
          system_error != 0 ? cat(", ", error_from_errno(system_error, "").message()) : "", ")");
  // A quota that is used up is a full disk that SQLite does not know.
  const bool quota = rc == SQLITE_IOERR_WRITE && (system_error == EDQUOT || system_error == ENOSPC);
  if ((rc & 0xff) == SQLITE_FULL || quota) return Error(Code::kNoSpace, cat(path, ": ", what));
  if (auto damage = vfs.damage()) {
    return damaged(damage->file, damage->offset, "a page's checksum does not match its bytes");
  }
  const bool corrupt = (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB || rc == SQLITE_IOERR_SHORT_READ;
  if (corrupt) return damaged(path, 0, what);
  return Error(Code::kIo, cat(path, ": ", what));
}

Result<void> Database::connect() {
  sqlite3* connection = nullptr;
  const int rc =
      sqlite3_open_v2(options_.path.c_str(), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs_->name());
  connection_.reset(connection);
  if (rc != SQLITE_OK) return failure(rc, "opening");
  sqlite3_extended_result_codes(connection, 1);
  // A close that was not asked for must leave the files as a crash would.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  int keep_wal = 1;
  sqlite3_file_control(connection, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_wal);
  // Exclusive before the first access: then the index of the log lives in our memory, not in a shared file. No spill:
  // a transaction reaches the log in one piece, as wal.h supposes. Deleted rows are not overwritten with zeros.
  for (const char* pragma : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA synchronous=FULL", "PRAGMA cache_spill=OFF",
                             "PRAGMA secure_delete=OFF", "PRAGMA wal_autocheckpoint=0", "PRAGMA cache_size=-1024",
                             "PRAGMA cell_size_check=ON", "PRAGMA trusted_schema=OFF"}) {
    // The first pragma that reads the file finds out whether it can be read.
    const int done = sqlite3_exec(connection, pragma, nullptr, nullptr, nullptr);
    if (done != SQLITE_OK) return failure(done, pragma);
  }
  // After the pragmas: wal_autocheckpoint is a hook, too, and takes the place of what was there.
  sqlite3_wal_hook(
      connection,
      [](void* self, sqlite3*, const char*, int frames) {
        static_cast<Database*>(self)->wal_frames_ = static_cast<std::uint64_t>(frames);
        return SQLITE_OK;
      },
      this);
  return prepare();
}

Result<void> Database::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&insert_, "INSERT INTO log(id, entry) VALUES(?1, ?2)"},
      {&replace_, "INSERT OR REPLACE INTO log(id, entry) VALUES(?1, ?2)"},
      {&remove_, "DELETE FROM log WHERE id = ?1"},
      {&cut_, "DELETE FROM log WHERE id >= ?1"},
      {&last_, "SELECT id, entry FROM log ORDER BY id DESC LIMIT 1"},
      {&select_, "SELECT entry FROM log WHERE id = ?1"},
      {&scan_, "SELECT id, entry FROM log WHERE id >= ?1 ORDER BY id"},
      {&free_pages_, "PRAGMA freelist_count"},
  };
  for (const auto& [statement, sql] : statements) {
    sqlite3_stmt* made = nullptr;
    const int rc = sqlite3_prepare_v3(connection_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    statement->reset(made);
    if (rc != SQLITE_OK) return failure(rc, cat("preparing ", sql));
  }
  return Result<void>();
}

Result<void> Database::step(const Statement& statement, std::string_view doing) {
  Resetter resetter{statement.get()};
  const int rc = sqlite3_step(statement.get());
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) return failure(rc, doing);
  return Result<void>();
}

Result<bool> Database::step_row(const Statement& statement, std::string_view doing) {
  const int rc = sqlite3_step(statement.get());
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) return failure(rc, doing);
  return rc == SQLITE_ROW;
}

void Database::rollback() {
  // Some failures have rolled back already.
  if (sqlite3_get_autocommit(connection_.get()) == 0) (void)step(rollback_, "rolling back");
}

Result<void> Database::write(std::span<const LogWrite> writes, const SweepLimits* sweep_limits, SweepResult* swept) {
  Result<void> done = write_unmarked(writes, sweep_limits, swept);
  if (done) mark();
  return done;
}

void Database::mark() {
  if (marked_ == tail_.last) return;
  lock_.set_mark(LockFile::Mark{tail_.last, tail_.revision});
  marked_ = tail_.last;
}

Result<void> Database::lost(LogIndex acknowledged) {
  const Result<void> marked = lock_.sync_mark(LockFile::Mark{acknowledged, tail_.revision});
  return Error(Code::kCorrupt, cat(options_.path, " lacks what this server had acknowledged to the others: log entry ",
                                   acknowledged, ", and its log ends with ", tail_.last,
                                   ". Its disk has lost what it had reported as flushed, or an older copy of the files "
                                   "was put in their place. With the next start this server comes back as another "
                                   "member",
                                   marked ? "" : cat(" (not marked as lost: ", marked.error().message(), ")")));
}

Result<void> Database::write_unmarked(std::span<const LogWrite> writes, const SweepLimits* sweep_limits,
                                      SweepResult* swept) {
  if (auto done = forget_before_truncation(writes); !done) return done;
  Progress progress = progress_;
  Tail tail = tail_;
  raft::HardState hard = hard_;
  Result<void> done = step(begin_, "beginning a transaction");
  for (const LogWrite& write : writes) {
    if (done) done = apply(write, &tail, &progress, &hard);
  }
  if (copy_ && sweep_limits != nullptr) {
    *swept = SweepResult();
    swept->held_back = true;
    sweep_limits = nullptr;
  }
  if (done && sweep_limits != nullptr) done = sweep(*sweep_limits, tail.claim, &progress, swept);
  if (done && sweep_limits != nullptr && swept->looked_at > 0) done = keep_commit(*sweep_limits, &hard);
  if (done) done = step(commit_, "committing");
  if (!done) {
    rollback();
    return done;
  }
  progress_ = progress;
  hard_ = hard;
  tail_ = std::move(tail);
  tail_.claim = tail_.last;
  return Result<void>();
}

// The write-ahead log keeps frames of former rounds behind its end, and the mark lies beside it: both say of entries
// that are about to go that they were on disk. That is true, and is not to be taken for a loss at the next start.
Result<void> Database::forget_before_truncation(std::span<const LogWrite> writes) {
  LogIndex keep = tail_.last;
  for (const LogWrite& write : writes) {
    if (write.first != 0) keep = std::min(keep, write.first - 1);
  }
  if (keep == tail_.last) return Result<void>();
  give_up_defragment(
      Error(Code::kUnavailable, "the defragmentation was given up: another server leads and has cut the log"));
  const int rc = sqlite3_wal_checkpoint_v2(connection_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (rc != SQLITE_OK) return failure(rc, "moving the write-ahead log into the database");
  wal_frames_ = 0;
  marked_ = 0;
  return lock_.sync_mark(LockFile::Mark{keep, 0});
}

Result<void> Database::apply(const LogWrite& write, Tail* tail, Progress* progress, raft::HardState* hard) {
  if (write.hard) {
    const LogIndex commit = std::max(write.hard->commit, hard->commit);
    *hard = raft::HardState{write.hard->term, write.hard->vote, commit};
    if (auto done = put_meta(MetaRow::kHardState, encode_hard_state(*hard)); !done) return done;
  }
  if (write.first == 0) return Result<void>();
  if (write.first <= tail->last) {
    if (auto done = truncate(write.first, tail); !done) return done;
    if (progress->durable > tail->last) {
      progress->durable = tail->last;
      if (auto done = put_meta(MetaRow::kProgress, encode_progress(*progress)); !done) return done;
    }
  }
  if (write.base_revision != 0) {
    if (auto done = begin_at(write.base_revision, tail, progress); !done) return done;
  }
  return append(write, tail);
}

Result<void> Database::begin_at(Revision revision, Tail* tail, Progress* progress) {
  ASSERT(revision >= tail->revision);
  progress->base_index = tail->last;
  progress->base_revision = tail->revision = revision;
  return put_meta(MetaRow::kProgress, encode_progress(*progress));
}

Result<void> Database::truncate(LogIndex first, Tail* tail) {
  const RowId from = row_id(first, 0);
  ASSERT(from > progress_.swept_row);  // what was swept is committed
  sqlite3_bind_int64(cut_.get(), 1, from);
  if (auto done = step(cut_, "cutting the log"); !done) return done;
  while (!tail->membership_rows.empty() && tail->membership_rows.back() >= from) tail->membership_rows.pop_back();
  tail->last = first - 1;
  tail->claim = std::min(tail->claim, tail->last);
  tail->last_row = 0;
  tail->revision = progress_.base_revision;
  Resetter resetter{last_.get()};
  Result<bool> found = step_row(last_, "reading the end of the log");
  if (!found) return found.error();
  if (!*found) return Result<void>();
  const RowId row = sqlite3_column_int64(last_.get(), 0);
  if (row < kFirstLogRow) return Result<void>();
  Result<RowView> view = decode_row(row, blob_of(last_.get(), 1));
  if (!view) return damaged(options_.path, 0, cat("log entry ", row_index(row), ": ", view.error().message()));
  tail->last_row = row;
  tail->revision = std::max(tail->revision, view->revision);
  return Result<void>();
}

Result<void> Database::append(const LogWrite& write, Tail* tail) {
  ASSERT(write.entries.empty() || write.first == tail->last + 1);
  for (const EntryRef& entry : write.entries) {
    ASSERT(entry->index == tail->last + 1);
    // Raft's own entries know neither the revision at their place nor the row of the membership before.
    Entry own;
    const Entry* from = entry.get();
    if (entry->revision == 0) {
      own = *entry;
      own.revision = std::max<Revision>(tail->revision, kFirstRevision);
      Effect& effect = own.effects.front();
      const bool follows = effect.type == EffectType::kMembership && !tail->membership_rows.empty();
      if (follows) effect.previous_row = tail->membership_rows.back();
      from = &own;
    }
    const RowContext context{tail->claim, std::min(write.commit, from->index - 1)};
    for (std::size_t i = 0; i < from->effects.size(); ++i) {
      encode_row(*from, i, context, &buffer_);
      tail->last_row = row_id(from->index, i);
      if (from->effects[i].type == EffectType::kMembership) tail->membership_rows.push_back(tail->last_row);
      sqlite3_bind_int64(insert_.get(), 1, tail->last_row);
      sqlite3_bind_blob64(insert_.get(), 2, buffer_.data(), buffer_.size(), SQLITE_STATIC);
      if (auto done = step(insert_, "appending to the log"); !done) return done;
    }
    tail->last = from->index;
    tail->revision = from->revision;
  }
  return Result<void>();
}

Result<void> Database::keep_commit(const SweepLimits& limits, raft::HardState* hard) {
  if (limits.commit <= hard->commit) return Result<void>();
  hard->commit = limits.commit;
  return put_meta(MetaRow::kHardState, encode_hard_state(*hard));
}

// Each row below the floor names the row that it superseded, which nobody sees any more; a deletion goes with it.
// Rows go in the order of the log, so that after a crash no old version outlives its tombstone.
Result<void> Database::sweep(const SweepLimits& limits, LogIndex claim, Progress* progress, SweepResult* swept) {
  *swept = SweepResult();
  swept->done = true;
  std::vector<RowId> dead;
  std::size_t bytes = 0;
  Result<void> decoded;
  auto look = [&](RowId row, const RowView& view) {
    if (view.revision >= limits.floor) return false;
    if (swept->looked_at >= limits.rows || bytes >= limits.bytes) {
      swept->done = false;
      return false;
    }
    ++swept->looked_at;
    bytes += view.key.size() + view.value.size();
    if (view.previous_row != 0) dead.push_back(view.previous_row);
    const bool says_nothing_now =
        view.type == EffectType::kDelete || view.type == EffectType::kNoop || view.type == EffectType::kLeaseRevoke;
    if (says_nothing_now) dead.push_back(row);
    if (view.type == EffectType::kDelete) swept->tombstones.push_back({std::string(view.key), row});
    progress->swept_row = row;
    progress->swept_term = view.term;
    return true;
  };
  if (auto done = scan(progress->swept_row + 1, look); !done) return done;
  if (swept->looked_at == 0) return Result<void>();
  // Neighbours together: a page that loses all its rows is freed without being written.
  std::sort(dead.begin(), dead.end());
  for (RowId row : dead) {
    sqlite3_bind_int64(remove_.get(), 1, row);
    if (auto done = step(remove_, "dropping a dead row"); !done) return done;
    swept->deleted += static_cast<std::size_t>(sqlite3_changes(connection_.get()));
  }
  swept->swept_row = progress->swept_row;
  progress->kept_rows += swept->looked_at - swept->deleted;
  progress->durable = claim;
  return put_meta(MetaRow::kProgress, encode_progress(*progress));
}

Result<void> Database::put_meta(MetaRow row, std::string_view bytes) {
  sqlite3_bind_int64(replace_.get(), 1, static_cast<RowId>(row));
  sqlite3_bind_blob64(replace_.get(), 2, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  return step(replace_, "writing a meta row");
}

Result<bool> Database::read(RowId row, const std::function<void(const RowView& view)>& visit) {
  Resetter resetter{select_.get()};
  sqlite3_bind_int64(select_.get(), 1, row);
  Result<bool> found = step_row(select_, "reading a row");
  if (!found || !*found) return found;
  Result<RowView> view = decode_row(row, blob_of(select_.get(), 0));
  if (!view) return damaged(options_.path, 0, cat("log entry ", row_index(row), ": ", view.error().message()));
  visit(*view);
  return true;
}

Result<void> Database::scan(RowId first, const std::function<bool(RowId row, const RowView& view)>& visit) {
  return scan_bytes(first, [&visit](RowId row, const RowView& view, std::string_view) { return visit(row, view); });
}

Result<void> Database::scan_bytes(
    RowId first, const std::function<bool(RowId row, const RowView& view, std::string_view bytes)>& visit) {
  Resetter resetter{scan_.get()};
  sqlite3_bind_int64(scan_.get(), 1, std::max(first, kFirstLogRow));
  for (;;) {
    Result<bool> found = step_row(scan_, "reading the log");
    if (!found) return found.error();
    if (!*found) return Result<void>();
    const RowId row = sqlite3_column_int64(scan_.get(), 0);
    const std::string_view bytes = blob_of(scan_.get(), 1);
    Result<RowView> view = decode_row(row, bytes);
    if (!view) return damaged(options_.path, 0, cat("log entry ", row_index(row), ": ", view.error().message()));
    if (!visit(row, *view, bytes)) return Result<void>();
  }
}

Result<RowId> Database::first_row_of(Revision revision) {
  // Revisions ascend with row ids; the ids themselves have gaps, so a probe looks at the next row that exists.
  RowId low = progress_.swept_row + 1, high = tail_.last_row + 1;
  while (low < high) {
    const RowId middle = low + (high - low) / 2;
    RowId found = high;
    bool below = false;
    auto look = [&](RowId row, const RowView& view) {
      found = row;
      below = view.revision < revision;
      return false;
    };
    if (auto done = scan(middle, look); !done) return done.error();
    if (below) {
      low = found + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<void> Database::checkpoint() {
  int frames = 0, moved = 0;
  const int rc = sqlite3_wal_checkpoint_v2(connection_.get(), "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
  if (rc != SQLITE_OK) return failure(rc, "moving the write-ahead log into the database");
  // Once all is moved, SQLite begins the log anew with the next commit.
  if (frames == moved) wal_frames_ = 0;
  return note_free_pages();
}

Result<void> Database::note_free_pages() {
  Resetter resetter{free_pages_.get()};
  Result<bool> row = step_row(free_pages_, "counting free pages");
  if (!row) return row.error();
  free_bytes_.store(static_cast<std::uint64_t>(sqlite3_column_int64(free_pages_.get(), 0)) * kPageBytes,
                    std::memory_order_relaxed);
  return Result<void>();
}

std::uint64_t Database::database_bytes() const { return file_bytes(options_.path) + file_bytes(wal_path()); }

Result<void> Database::retire() {
  copy_.reset();
  if (auto done = lock_.sync_mark(LockFile::Mark()); !done) return done;
  return close_without_log();
}

// SQLite neither syncs the log when it empties it nor the folder when it deletes it: after a power cut the log could be
// back beside a new file, and would be taken for its own.
Result<void> Database::close_without_log() {
  if (auto done = close(true); !done) return done;
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_->name());
  const int rc = vfs->xDelete(vfs, wal_path().c_str(), 1);
  if (rc == SQLITE_OK) return Result<void>();
  if (rc == SQLITE_IOERR_DELETE_NOENT) return sync_folder_of(wal_path());
  return failure(rc, "deleting the write-ahead log");
}

Result<void> Database::close() {
  copy_.reset();
  return close(false);
}

Result<void> Database::close(bool keep_log) {
  const int rc = sqlite3_wal_checkpoint_v2(connection_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  Result<void> done;
  if (rc != SQLITE_OK) done = failure(rc, "moving the write-ahead log into the database");
  if (done) {
    // Everything is in one file now: the log may go with the connection.
    int keep_wal = keep_log ? 1 : 0;
    sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_PERSIST_WAL, &keep_wal);
    sqlite3_db_config(connection_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  }
  // All of them, or SQLite would keep the connection until the last is gone.
  for (Statement* s :
       {&begin_, &commit_, &rollback_, &insert_, &replace_, &remove_, &cut_, &select_, &scan_, &last_, &free_pages_}) {
    s->reset();
  }
  connection_.reset();
  return done;
}

}  // namespace kayak::store
