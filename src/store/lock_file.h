// lock_file.h: keeps a second process away from a database, and remembers how far it has acknowledged.
// The mark is written after every commit and never synced: after a power cut it may lag, but it never runs ahead of
// what was acknowledged, so a log that ends before its mark has lost something. It costs one small write into the page
// cache per commit.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "store/entry.h"

namespace kayak::store {

class LockFile {
 public:
  struct Mark {
    LogIndex index = 0;
    Revision revision = 0;
  };
  // Makes the file when absent. Errors: Busy as Code::kUnavailable (another process holds it), Io, NoSpace.
  static Result<LockFile> acquire(const std::string& path);
  // Nothing when there is none or it is not readable as one.
  std::optional<Mark> mark() const;
  // A failure is ignored: the mark then lags.
  void set_mark(Mark mark) const;
  // On disk when it returns. Errors: NoSpace, Io.
  Result<void> sync_mark(Mark mark) const;
  // The file, at `path`, while it is still locked.
  void remove(const std::string& path) const;

 private:
  explicit LockFile(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace kayak::store
