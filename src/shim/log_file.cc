// log_file.cc: CRI log files.
#include "shim/log_file.h"

#include "shim/directory.h"
#include "shim/text.h"

namespace kayak::shim {
namespace {
constexpr size_t kMaxPath = 1024;
constexpr int kSeekEnd = 2;
constexpr size_t kSuffixBytes = 23;  // ".20261123-205047.123456"
}  // namespace

int LogFile::open(const char* path, int64_t max_bytes, int64_t max_files) {
  close_file();
  path_ = path;
  max_bytes_ = max_bytes;
  max_files_ = max_files;
  fd_ = shim::open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
  if (fd_ < 0) return fd_;
  size_ = file_size(fd_);
  // A shim that was killed within a write may have left half a record: the next one starts on a line of its own.
  char last = '\n';
  if (size_ > 0 && call(__NR_lseek, fd_, -1L, kSeekEnd) >= 0 && read(fd_, &last, 1) == 1 && last != '\n') {
    if (write(fd_, "\n", 1) == 1) ++size_;
  }
  return 0;
}

void LogFile::close_file() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void LogFile::begin(const char* stream) {
  stream_ = stream;
  write_time(now_ns(), time_);
}

void LogFile::line(char tag, const char* text, size_t size) {
  if (lines_ == kBatch) flush();
  char* head = heads_[lines_];
  size_t n = 0;
  for (; n < kTimeBytes; ++n) head[n] = time_[n];
  head[n++] = ' ';
  for (const char* c = stream_; *c != 0; ++c) head[n++] = *c;
  head[n++] = ' ';
  head[n++] = tag;
  head[n++] = ' ';
  IoVec* part = &parts_[lines_ * 3];
  part[0].base = head;
  part[0].length = n;
  part[1].base = text;
  part[1].length = size;
  part[2].base = "\n";
  part[2].length = 1;
  batch_bytes_ += n + size + 1;
  ++lines_;
}

void LogFile::flush() {
  if (lines_ == 0) return;
  if (size_ > 0 && size_ + (int64_t)batch_bytes_ > max_bytes_) rotate();
  const long written = fd_ < 0 ? -1 : writev(fd_, parts_, lines_ * 3);
  if (written == (long)batch_bytes_) {
    size_ += written;
  } else {
    lost_ += lines_;
    // Part of a record must not stay: the next one would seem to belong to it.
    if (written > 0 && call(__NR_ftruncate, fd_, (long)size_) < 0) size_ += written;
  }
  lines_ = 0;
  batch_bytes_ = 0;
}

void LogFile::rotate() {
  // 2026-11-23T20:50:47.123456789Z -> 20261123-205047.123456
  char time[kTimeBytes];
  write_time(now_ns(), time);
  Text<kMaxPath> rotated;
  rotated.add(path_).add('.');
  for (const int i : {0, 1, 2, 3, 5, 6, 8, 9}) rotated.add(time[i]);
  rotated.add('-');
  for (const int i : {11, 12, 14, 15, 17, 18}) rotated.add(time[i]);
  rotated.add('.');
  for (int i = 20; i < 26; ++i) rotated.add(time[i]);
  if (rotated.cut() || rename(path_, rotated.get()) < 0) return;  // goes on growing; tried again at the next batch
  close_file();
  fd_ = shim::open(path_, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
  size_ = 0;
  drop_old();
}

// Removes the oldest rotated files until there are max_files_ with the current one.
void LogFile::drop_old() {
  Text<kMaxPath> folder;
  const char* base = path_;
  for (const char* c = path_; *c != 0; ++c) {
    if (*c == '/') base = c + 1;
  }
  for (const char* c = path_; c != base; ++c) folder.add(*c);
  const size_t base_length = text_length(base);
  for (int round = 0; round < 64; ++round) {  // bounded: another process may be filling the directory
    Text<256> oldest;
    int count = 0;
    Directory directory(folder.get());
    while (const char* name = directory.next()) {
      bool ours = text_length(name) == base_length + kSuffixBytes && name[base_length] == '.';
      for (size_t i = 0; ours && i < base_length; ++i) ours = name[i] == base[i];
      if (!ours) continue;
      ++count;
      bool older = oldest.size() == 0;
      for (size_t i = base_length; !older && name[i] != 0; ++i) {
        if (name[i] == oldest.get()[i]) continue;
        older = name[i] < oldest.get()[i];
        break;
      }
      if (!older) continue;
      oldest.clear();
      oldest.add(name);
    }
    if (count < max_files_ || count == 0) return;
    Text<kMaxPath> path;
    path.add(folder.get()).add(oldest.get());
    if (unlink(path.get()) < 0) return;
  }
}

}  // namespace kayak::shim
