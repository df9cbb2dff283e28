// database_writer.cc: see database_writer.h.
#include "store/database_writer.h"

#include <sqlite3.h>

#include <utility>

#include "store/sqlite_rows.h"

namespace kayak::store {

namespace {
// Of one transaction, so of pages in memory.
constexpr std::size_t kTransactionBytes = 1024 * 1024;
}  // namespace

DatabaseWriter::~DatabaseWriter() {
  insert_.reset();
  scan_.reset();
  connection_.reset();
  if (!finished_) remove_database_files(path_);
}

Result<std::unique_ptr<DatabaseWriter>> DatabaseWriter::create(std::string path, const std::string& vfs,
                                                               const std::string& store_id) {
  std::unique_ptr<DatabaseWriter> writer(new DatabaseWriter(std::move(path)));
  Result<std::unique_ptr<PageVfs>> made = PageVfs::create(vfs);
  if (!made) return made.error();
  writer->vfs_ = std::move(*made);
  if (auto done = writer->make(store_id); !done) return done.error();
  return writer;
}

Error DatabaseWriter::failure(int rc, std::string_view doing) const {
  return sqlite_failure(connection_.get(), *vfs_, path_, rc, doing);
}

Result<void> DatabaseWriter::run(const char* sql, std::string_view doing) {
  const int rc = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? Result<void>() : Result<void>(failure(rc, doing));
}

Result<void> DatabaseWriter::prepare(const char* sql, Statement* statement) {
  sqlite3_stmt* made = nullptr;
  const int rc = sqlite3_prepare_v3(connection_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  statement->reset(made);
  return rc == SQLITE_OK ? Result<void>() : Result<void>(failure(rc, "preparing to write rows"));
}

Result<void> DatabaseWriter::make(const std::string& store_id) {
  int rc = SQLITE_OK;
  connection_ = make_database_file(path_, *vfs_, store_id, &rc);
  if (rc != SQLITE_OK) return failure(rc, "making the file");
  sqlite3_extended_result_codes(connection_.get(), 1);
  for (const char* sql : {"PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA secure_delete=OFF"}) {
    if (auto done = run(sql, sql); !done) return done;
  }
  if (auto done = prepare("INSERT INTO log(id, entry) VALUES(?1, ?2)", &insert_); !done) return done;
  if (auto done = prepare("SELECT id, entry FROM log WHERE id >= ?1 ORDER BY id", &scan_); !done) return done;
  return run("BEGIN", "beginning to write rows");
}

Result<void> DatabaseWriter::insert(RowId row, std::string_view bytes) {
  sqlite3_bind_int64(insert_.get(), 1, row);
  sqlite3_bind_blob64(insert_.get(), 2, bytes.data(), bytes.size(), SQLITE_STATIC);
  const int rc = sqlite3_step(insert_.get());
  sqlite3_reset(insert_.get());
  if (rc != SQLITE_DONE) return failure(rc, "writing a row");
  uncommitted_bytes_ += bytes.size();
  if (uncommitted_bytes_ < kTransactionBytes) return Result<void>();
  uncommitted_bytes_ = 0;
  if (auto done = run("COMMIT", "writing rows"); !done) return done;
  return run("BEGIN", "beginning to write rows");
}

Result<void> DatabaseWriter::flush() {
  uncommitted_bytes_ = 0;
  if (auto done = run("COMMIT", "writing rows"); !done) return done;
  if (auto done = sync_file(); !done) return done;
  return run("BEGIN", "beginning to write rows");
}

Result<void> DatabaseWriter::scan(RowId first, const std::function<bool(RowId row, std::string_view bytes)>& visit) {
  // What is in memory would be compared with itself.
  sqlite3_db_release_memory(connection_.get());
  Resetter resetter{scan_.get()};
  sqlite3_bind_int64(scan_.get(), 1, first);
  int rc = SQLITE_ROW;
  while ((rc = sqlite3_step(scan_.get())) == SQLITE_ROW) {
    if (!visit(sqlite3_column_int64(scan_.get(), 0), blob_of(scan_.get(), 1))) return Result<void>();
  }
  return rc == SQLITE_DONE ? Result<void>() : Result<void>(failure(rc, "reading rows back"));
}

Result<void> DatabaseWriter::sync_file() {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  const int rc = file->pMethods->xSync(file, SQLITE_SYNC_FULL);
  return rc == SQLITE_OK ? Result<void>() : Result<void>(failure(rc, "syncing"));
}

Result<void> DatabaseWriter::finish() {
  if (auto done = run("COMMIT", "writing rows"); !done) return done;
  insert_.reset();
  scan_.reset();
  // Through a journal into the mode that Kayak's databases have: that is written in their header. One sync at the end
  // is enough, as nothing of it counts before.
  for (const char* sql : {"PRAGMA journal_mode=DELETE", "PRAGMA journal_mode=WAL"}) {
    if (auto done = run(sql, sql); !done) return done;
  }
  if (auto done = sync_file(); !done) return done;
  connection_.reset();
  finished_ = true;
  return Result<void>();
}

}  // namespace kayak::store
