// sqlite_rows.h: two small tools for statements, private to the files that see SQLite.
#pragma once

#include <sqlite3.h>

#include <string_view>

namespace kayak::store {

// The view ends with the next step or reset of the statement.
inline std::string_view blob_of(sqlite3_stmt* statement, int column) {
  const void* bytes = sqlite3_column_blob(statement, column);
  const int size = sqlite3_column_bytes(statement, column);
  return bytes == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(bytes), size);
}

// Ends a statement's run when a function is left, so that no read transaction stays open: it would pin the log.
struct Resetter {
  sqlite3_stmt* statement;
  ~Resetter() { sqlite3_reset(statement); }
};

}  // namespace kayak::store
