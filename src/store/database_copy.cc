// database_copy.cc: the copy, and how it takes the place of its database.
#include "store/database_copy.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/endian.h"
#include "base/files.h"
#include "base/strings.h"
#include "store/checksum.h"
#include "store/sqlite_rows.h"

namespace kayak::store {

namespace {

// What a row costs beside its bytes.
constexpr std::size_t kRowCost = 16;
// Left free for what is written meanwhile: the write-ahead log, twice.
constexpr std::uint64_t kSpareBytes = 8 * 1024 * 1024;
// A store that is written to faster than small steps copy would stay ahead for ever: after so many rounds a step is as
// large as what a few commits can add.
constexpr int kPatientRounds = 8;
constexpr std::size_t kCatchUpBytes = 16 * 1024 * 1024;

// The database is as it was, so no failure of the copy may be taken for one of the database.
Error of_copy(const Error& error) {
  const Code code = error.code() == Code::kNoSpace ? Code::kNoSpace : Code::kInternal;
  return Error(code, cat("to defragment: ", error.message()));
}
Result<void> of_copy(Result<void> done) { return done ? done : Result<void>(of_copy(done.error())); }

std::string mebibytes(std::uint64_t bytes) { return cat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

}  // namespace

void DatabaseCopy::Passed::add(RowId row, std::string_view bytes) {
  char id[8];
  write_little(id, static_cast<std::uint64_t>(row), sizeof id);
  sum = crc32c(crc32c(sum, std::string_view(id, sizeof id)), bytes);
  last = row;
}

Result<std::unique_ptr<DatabaseCopy>> DatabaseCopy::create(const DatabaseOptions& database,
                                                           const std::string& store_id) {
  auto writer = DatabaseWriter::create(copy_path(database.path), database.vfs, store_id);
  if (!writer) return of_copy(writer.error());
  return std::unique_ptr<DatabaseCopy>(new DatabaseCopy(std::move(*writer)));
}

Result<bool> DatabaseCopy::copy(Database& from, std::size_t bytes) {
  std::size_t taken = 0;
  bool more = false;
  Result<void> written;
  auto take = [&](RowId row, const RowView&, std::string_view raw) {
    more = taken >= bytes;
    if (more) return false;
    written = of_copy(writer_->insert(row, raw));
    copied_.add(row, raw);
    taken += raw.size() + kRowCost;
    return written.ok();
  };
  if (auto read = from.scan_bytes(copied_.last + 1, take); !read) return read.error();
  if (written && taken > 0) written = of_copy(writer_->flush());
  if (!written) return written.error();
  return more;
}

Result<void> DatabaseCopy::check(std::size_t bytes) {
  if (checked()) return Result<void>();
  std::size_t seen = 0;
  auto look = [&](RowId row, std::string_view raw) {
    if (seen >= bytes || row > copied_.last) return false;
    checked_.add(row, raw);
    seen += raw.size() + kRowCost;
    return true;
  };
  if (auto read = writer_->scan(checked_.last + 1, look); !read) return of_copy(read.error());
  const bool wrong = seen == 0 || (checked() && checked_.sum != copied_.sum);
  if (wrong) return Error(Code::kInternal, "to defragment: the copy is not what was written");
  return Result<void>();
}

Result<void> DatabaseCopy::put_meta(MetaRow row, std::string_view bytes) {
  return of_copy(writer_->insert(static_cast<RowId>(row), bytes));
}

Result<void> DatabaseCopy::finish() { return of_copy(writer_->finish()); }

// ---- the database's side

Result<void> Database::begin_defragment() {
  if (copy_) return Error(Code::kConflict, "this server's store is being defragmented already");
  given_up_.reset();
  if (auto enough = check_space_to_copy(); !enough) return enough;
  Result<std::unique_ptr<DatabaseCopy>> copy = DatabaseCopy::create(options_, found_.store_id);
  if (!copy) return copy.error();
  copy_ = std::move(*copy);
  copy_began_at_ = tail_.last_row;
  copy_rounds_ = 0;
  return Result<void>();
}

Result<void> Database::check_space_to_copy() {
  Statement pages;
  sqlite3_stmt* made = nullptr;
  const int rc = sqlite3_prepare_v2(connection_.get(), "PRAGMA page_count", -1, &made, nullptr);
  pages.reset(made);
  if (rc != SQLITE_OK) return failure(rc, "counting pages");
  Result<bool> row = step_row(pages, "counting pages");
  if (!row) return row.error();
  const auto all = static_cast<std::uint64_t>(sqlite3_column_int64(pages.get(), 0)) * kPageBytes;
  if (auto done = note_free_pages(); !done) return done;
  struct statvfs disk {};
  if (::statvfs(options_.path.c_str(), &disk) != 0) {
    return Error(Code::kInternal, error_from_errno(errno, "looking for free space").message());
  }
  const std::uint64_t needed = all - free_bytes() + kSpareBytes;
  const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free >= needed) return Result<void>();
  return Error(Code::kNoSpace, cat("to defragment, the store is written anew beside ", options_.path, ", which takes ",
                                   mebibytes(needed), " there, and ", mebibytes(free), " are free"));
}

bool Database::give_up_defragment(Error why) {
  if (!copy_) return false;
  DiskCounters& counters = vfs_->mutable_counters();
  const DiskCounters& own = copy_->counters();
  counters.written_bytes += own.written_bytes;
  counters.writes += own.writes;
  counters.read_bytes += own.read_bytes;
  counters.syncs += own.syncs;
  given_up_ = std::move(why);
  copy_.reset();
  return true;
}

Result<bool> Database::defragment(std::size_t bytes) {
  if (!copy_) return given_up_.value_or(Error(Code::kUnavailable, "no defragmentation was begun"));
  const Result<bool> done = step_of_copy(bytes);
  if (done && !*done) return false;
  give_up_defragment(done ? Error(Code::kUnavailable, "the defragmentation has ended") : done.error());
  return done;
}

// All rows that there were at the beginning are copied, then read back; then those that came meanwhile, which are fewer
// each time, until the last of them fit into one step. That does not end before the copy is in its place, so that
// nothing comes in between.
Result<bool> Database::step_of_copy(std::size_t bytes) {
  const bool first_round = copy_rounds_ == 0;
  if (copy_rounds_ >= kPatientRounds) bytes = std::max(bytes, kCatchUpBytes);
  if (!first_round && !copy_->checked()) {
    if (auto good = copy_->check(bytes); !good) return good.error();
    return false;
  }
  const Result<bool> more = copy_->copy(*this, bytes);
  if (!more) return more;
  if (!*more || copy_->last_row() >= copy_began_at_) ++copy_rounds_;
  if (*more || first_round) return false;
  if (auto good = copy_->check(SIZE_MAX); !good) return good.error();
  if (auto finished = finish_copy(); !finished) return finished.error();
  return true;
}

Result<void> Database::finish_copy() {
  for (const MetaRow row : {MetaRow::kProgress, MetaRow::kHardState}) {
    Resetter resetter{select_.get()};
    sqlite3_bind_int64(select_.get(), 1, static_cast<RowId>(row));
    Result<bool> there = step_row(select_, "reading a meta row");
    if (!there) return there.error();
    if (!*there) continue;
    if (auto done = copy_->put_meta(row, blob_of(select_.get(), 0)); !done) return done;
  }
  // First here: a full disk may refuse it, and up to then there is a way back.
  const int rc = sqlite3_wal_checkpoint_v2(connection_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (rc != SQLITE_OK) return failure(rc, "moving the write-ahead log into the database");
  if (auto done = copy_->finish(); !done) return done;
  const Result<void> placed = take_place(copy_path(options_.path));
  if (!placed) return Error(Code::kIo, cat("while a defragmented copy took its place: ", placed.error().message()));
  return Result<void>();
}

// One rename decides: before it the old file is whole without its log, behind it the new one. The mark stays, as both
// hold the same log, and so does the lock. Nothing can be asked of a database that is closed, so a failure in here ends
// the store, and the next start finds the one or the other.
Result<void> Database::take_place(const std::string& path) {
  if (auto closed = close_without_log(); !closed) return closed;
  if (::rename(path.c_str(), options_.path.c_str()) != 0) return error_from_errno(errno, cat("renaming ", path));
  if (auto synced = sync_folder_of(options_.path); !synced) return synced;
  wal_frames_ = 0;
  if (auto done = connect(); !done) return done;
  return note_free_pages();
}

}  // namespace kayak::store
