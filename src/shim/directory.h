// directory.h: the names in a directory, without a C library.
#pragma once

#include "shim/sys.h"

namespace kayak::shim {

class Directory {
 public:
  explicit Directory(const char* path) : fd_(open(path, O_RDONLY | O_DIRECTORY)) {}
  ~Directory() {
    if (fd_ >= 0) close(fd_);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  // The next name but "." and ".."; null at the end. Valid until the next call.
  const char* next() {
    for (;;) {
      if (at_ >= filled_) {
        filled_ = fd_ < 0 ? 0 : call(__NR_getdents64, fd_, buffer_, sizeof buffer_);
        at_ = 0;
        if (filled_ <= 0) return nullptr;
      }
      // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name
      const char* entry = buffer_ + at_;
      at_ += *(const uint16_t*)(entry + 16);
      const char* name = entry + 19;
      if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
      return name;
    }
  }

 private:
  int fd_;
  long at_ = 0, filled_ = 0;
  alignas(8) char buffer_[1024];
};

}  // namespace kayak::shim
