// text.cc: numbers and fields.
#include "shim/text.h"

#include "shim/protocol.h"

namespace kayak::shim {

bool take_number(const char*& text, int64_t* value) {
  while (*text == ' ') ++text;
  const bool negative = *text == '-';
  if (negative) ++text;
  if (*text < '0' || *text > '9') return false;
  uint64_t number = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    if (number > (INT64_MAX - 9) / 10) return false;
    number = number * 10 + (uint64_t)(*text - '0');
  }
  *value = negative ? -(int64_t)number : (int64_t)number;
  return true;
}

int take_fields(const char* bytes, size_t size, const char** fields, int max) {
  int count = 0;
  size_t start = 0;
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) continue;
    if (count == max) return -1;
    fields[count++] = bytes + start;
    start = i + 1;
  }
  return start == size ? count : -1;
}

bool is_container_id(const char* text) {
  size_t n = 0;
  for (; text[n] != 0; ++n) {
    const bool hex = (text[n] >= '0' && text[n] <= '9') || (text[n] >= 'a' && text[n] <= 'f');
    if (!hex || n == kMaxIdBytes) return false;
  }
  return n > 0;
}

}  // namespace kayak::shim
