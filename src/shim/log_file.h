// log_file.h: the CRI log of one container: writes records, rotates by size, keeps a number of files.
// Owns the open file. A full disk loses records, never the container: its output is drained all the same.
// Rotated files are named <log>.YYYYMMDD-hhmmss.uuuuuu: their order is that of their names.
#pragma once

#include "shim/line_cutter.h"
#include "shim/sys.h"

namespace kayak::shim {

class LogFile final : public LineSink {
 public:
  // `path` must outlive the log. -errno when it cannot be opened.
  int open(const char* path, int64_t max_bytes, int64_t max_files);
  void close_file();
  // Records from here on carry this stream name ("stdout", "stderr") and the time of now.
  void begin(const char* stream);
  void line(char tag, const char* text, size_t size) override;
  void flush();  // writes what is gathered; `begin`'s texts must still be there
  int64_t lost() const { return lost_; }

 private:
  static constexpr int kBatch = 48;
  static constexpr size_t kHeadBytes = kTimeBytes + 1 + 6 + 1 + 1 + 1;
  void rotate();
  void drop_old();

  const char* path_ = nullptr;
  int fd_ = -1;
  int64_t size_ = 0, max_bytes_ = 0, max_files_ = 0, lost_ = 0;
  const char* stream_ = "stdout";
  char time_[kTimeBytes];
  int lines_ = 0;
  size_t batch_bytes_ = 0;
  IoVec parts_[kBatch * 3];
  char heads_[kBatch][kHeadBytes];
};

}  // namespace kayak::shim
