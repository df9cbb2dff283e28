// database_writer.h: writes the rows of a new database file, which nobody reads before it is whole: for a state that
// came as a stream (database_builder.h) and for the copy of a defragmentation (database_copy.h). While it is written
// the file has no journal: a crash leaves nothing of worth. Putting it in place is the caller's. Every call blocks, on
// the disk.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "store/database.h"

namespace kayak::store {

class DatabaseWriter {
 public:
  // Removes what lies at `path` and its companions. `vfs`: as in DatabaseOptions. Errors: NoSpace, Io.
  static Result<std::unique_ptr<DatabaseWriter>> create(std::string path, const std::string& vfs,
                                                        const std::string& store_id);
  ~DatabaseWriter();  // removes the file unless finish() succeeded
  DatabaseWriter(const DatabaseWriter&) = delete;
  DatabaseWriter& operator=(const DatabaseWriter&) = delete;

  // The identity row is there. Errors, of all that follow: NoSpace, Io; nothing goes on after one.
  Result<void> insert(RowId row, std::string_view bytes);
  // What was inserted is on disk when it returns.
  Result<void> flush();
  // Rows from `first` on, in order, as they are read back from the file, until `visit` returns false. Between flush()
  // and the next insert(). Errors: also Corrupt.
  Result<void> scan(RowId first, const std::function<bool(RowId row, std::string_view bytes)>& visit);
  // All of it is on disk when this returns, in the mode of Kayak's databases, and closed. Its name is the caller's to
  // make last, with the folder.
  Result<void> finish();

  const DiskCounters& counters() const { return vfs_->counters(); }

 private:
  explicit DatabaseWriter(std::string path) : path_(std::move(path)) {}
  Result<void> make(const std::string& store_id);
  Result<void> prepare(const char* sql, Statement* statement);
  Result<void> run(const char* sql, std::string_view doing);
  Result<void> sync_file();
  Error failure(int rc, std::string_view doing) const;

  const std::string path_;
  std::unique_ptr<PageVfs> vfs_;
  Connection connection_;
  Statement insert_, scan_;
  std::size_t uncommitted_bytes_ = 0;
  bool finished_ = false;
};

}  // namespace kayak::store
