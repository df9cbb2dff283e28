// database_copy.h: the copy of a database that a defragmentation makes: every row of the log under its id, written in
// steps while the database goes on, and read back before anything depends on it.
// What SQLite has freed in the middle of a file it keeps for what is written next, so the file stays as large as it
// ever was. In the copy the rows lie one behind the other. As ids stay what they are, nobody who knows rows has to be
// told. The same file behind its own VFS: what is wrong with the copy says nothing of the database.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store/database.h"
#include "store/database_writer.h"

namespace kayak::store {

// Rows may be added to the database meanwhile, but none of those that are copied may go.
class DatabaseCopy {
 public:
  // At copy_path(). Errors, here and below: NoSpace, Internal.
  static Result<std::unique_ptr<DatabaseCopy>> create(const DatabaseOptions& database, const std::string& store_id);

  // The next rows, of about `bytes`, on disk when it returns; true: there are more. Errors also: those of reading
  // `from`.
  Result<bool> copy(Database& from, std::size_t bytes);
  RowId last_row() const { return copied_.last; }
  // Reads back what was copied, about `bytes`. When checked(), all of it was as it had been written.
  Result<void> check(std::size_t bytes);
  bool checked() const { return checked_.last == copied_.last; }
  Result<void> put_meta(MetaRow row, std::string_view bytes);
  // As DatabaseWriter::finish().
  Result<void> finish();

  const DiskCounters& counters() const { return writer_->counters(); }

 private:
  // Rows that passed by, in their order.
  struct Passed {
    RowId last = kFirstLogRow - 1;
    std::uint32_t sum = 0;  // CRC-32C over ids and bytes
    void add(RowId row, std::string_view bytes);
  };
  explicit DatabaseCopy(std::unique_ptr<DatabaseWriter> writer) : writer_(std::move(writer)) {}

  std::unique_ptr<DatabaseWriter> writer_;
  Passed copied_, checked_;
};

}  // namespace kayak::store
