// text.h: fixed buffers, numbers and NUL-separated fields, without a C library. Pure; also compiled for the tests.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace kayak::shim {

inline size_t text_length(const char* text) {
  size_t n = 0;
  while (text[n] != 0) ++n;
  return n;
}
inline bool same(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

// Builds a NUL-terminated text in place. What does not fit is cut, and `cut()` tells.
template <size_t N>
class Text {
 public:
  Text& add(const char* text) {
    while (*text != 0) add(*text++);
    return *this;
  }
  Text& add(char c) {
    if (used_ + 1 < N) {
      data_[used_++] = c;
      data_[used_] = 0;
    } else {
      cut_ = true;
    }
    return *this;
  }
  Text& add_number(int64_t value) {
    char digits[24];
    size_t n = 0;
    uint64_t rest = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    do digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0) add('-');
    while (n > 0) add(digits[--n]);
    return *this;
  }
  // A field of a message: the text and its NUL.
  Text& add_field(const char* text) {
    add(text);
    if (used_ + 1 < N) {
      data_[used_++] = 0;
      data_[used_] = 0;
    } else {
      cut_ = true;
    }
    return *this;
  }
  Text& add_number_field(int64_t value) { return add_number(value).add_field(""); }
  void clear() {
    used_ = 0;
    data_[0] = 0;
    cut_ = false;
  }
  const char* get() const { return data_; }
  size_t size() const { return used_; }
  bool cut() const { return cut_; }

 private:
  char data_[N] = {0};
  size_t used_ = 0;
  bool cut_ = false;
};

// The decimal number that `text` starts with, after spaces; moves `text` past it. False when there is none.
bool take_number(const char*& text, int64_t* value);

// Points `fields` at the NUL-terminated fields of `bytes`; how many, or -1 when the last one does not end or there are
// more than `max`.
int take_fields(const char* bytes, size_t size, const char** fields, int max);

// 1..64 lower-case hexadecimal digits: safe as a file name.
bool is_container_id(const char* text);

}  // namespace kayak::shim
