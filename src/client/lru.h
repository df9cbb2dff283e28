// lru.h: a map of at most `capacity` entries that forgets the least recently used one.
#pragma once

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace kayak::client {

template <typename V>
class Lru {
 public:
  explicit Lru(std::size_t capacity) : capacity_(capacity) {}
  // The entry, made when absent; it is now the most recently used. Valid until the next call.
  V& use(const std::string& key) {
    auto place = places_.find(key);
    if (place == places_.end()) {
      if (entries_.size() == capacity_) {
        places_.erase(entries_.back().first);
        entries_.pop_back();
      }
      entries_.emplace_front(key, V());
      places_.emplace(entries_.front().first, entries_.begin());
    } else {
      entries_.splice(entries_.begin(), entries_, place->second);
    }
    return entries_.front().second;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<const std::string, V>>;
  std::size_t capacity_;
  Entries entries_;
  std::unordered_map<std::string_view, typename Entries::iterator> places_;  // keys live in the entries
};

}  // namespace kayak::client
