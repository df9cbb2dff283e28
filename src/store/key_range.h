// key_range.h: etcd's notation of key ranges: [key, end); end "": `key` alone; end "\0": everything from `key` on.
#pragma once

#include <string>
#include <string_view>

namespace kayak::store {

struct KeyRange {
  std::string_view key, end;  // views: the range must outlive no text
  bool single() const { return end.empty(); }
  bool unbounded() const { return end.size() == 1 && end.front() == '\0'; }
  // `candidate` is not below `key`.
  bool before_end(std::string_view candidate) const {
    if (single()) return candidate == key;
    return unbounded() || candidate < end;
  }
  bool contains(std::string_view candidate) const { return candidate >= key && before_end(candidate); }
};

}  // namespace kayak::store
