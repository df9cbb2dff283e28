// print.h: how commands show things to people.
#pragma once

#include <cstdint>
#include <string>

#include "base/strings.h"

namespace kayak::cli {

// "20.5kB", "1.3MB": decimal units, as container tools print them.
inline std::string size_text(std::uint64_t bytes) {
  if (bytes >= 1'000'000) return cat(bytes / 1'000'000, ".", bytes / 100'000 % 10, "MB");
  return cat(bytes / 1000, ".", bytes / 100 % 10, "kB");
}

}  // namespace kayak::cli
