// line_cutter.cc: lines and times of a CRI log.
#include "shim/line_cutter.h"

namespace kayak::shim {
namespace {

size_t find_newline(const char* data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '\n') return i;
  }
  return size;
}

void copy(char* to, const char* from, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = from[i];
}

void put_digits(char* to, int64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) to[i] = (char)('0' + value % 10);
}

}  // namespace

void LineCutter::feed(const char* data, size_t size, LineSink& sink) {
  while (size > 0) {
    const size_t end = find_newline(data, size);
    if (held_ > 0) {
      const size_t room = kMaxLine - held_;
      const size_t n = end < room ? end : room;
      copy(buffer_ + held_, data, n);
      held_ += n;
      data += n;
      size -= n;
      if (size == 0) return;
      // A line of exactly kMaxLine bytes is whole: only more of it makes a partial record.
      const bool whole = n == end;
      sink.line(whole ? 'F' : 'P', buffer_, held_);
      held_ = 0;
      if (whole) ++data, --size;
      continue;
    }
    if (end > kMaxLine) {
      sink.line('P', data, kMaxLine);
      data += kMaxLine;
      size -= kMaxLine;
      continue;
    }
    if (end == size) {
      copy(buffer_, data, size);
      held_ = size;
      return;
    }
    sink.line('F', data, end);
    data += end + 1;
    size -= end + 1;
  }
}

void LineCutter::finish(LineSink& sink) {
  if (held_ > 0) sink.line('P', buffer_, held_);
  held_ = 0;
}

void write_time(int64_t unix_ns, char* to) {
  int64_t seconds = unix_ns / 1'000'000'000;
  const int64_t days = seconds / 86400;
  seconds %= 86400;
  // Days since 1970 to a civil date (proleptic Gregorian), eras of 400 years starting in March.
  const int64_t z = days + 719468;
  const int64_t era = z / 146097, doe = z - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  const int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
  const int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
  copy(to, "0000-00-00T00:00:00.000000000Z", kTimeBytes);
  put_digits(to, year, 4);
  put_digits(to + 5, month, 2);
  put_digits(to + 8, day, 2);
  put_digits(to + 11, seconds / 3600, 2);
  put_digits(to + 14, seconds / 60 % 60, 2);
  put_digits(to + 17, seconds % 60, 2);
  put_digits(to + 20, unix_ns % 1'000'000'000, 9);
}

}  // namespace kayak::shim
