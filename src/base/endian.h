// endian.h: whole numbers as bytes in a stated order, as files and frames hold them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"

namespace kayak {

// The last `size` (at most 8) bytes of `number`, the least one first, over those at `at`.
inline void write_little(char* at, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) at[i] = static_cast<char>(number >> (8 * i));
}
inline void put_little(std::string* out, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out->push_back(static_cast<char>(number >> (8 * i)));
}
inline void put_big32(std::string* out, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

// The four bytes from `at` on, which must be there.
inline std::uint32_t little32(std::string_view bytes, std::size_t at = 0) {
  ASSERT(at <= bytes.size() && bytes.size() - at >= 4);
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return number;
}
inline std::uint32_t big32(std::string_view bytes, std::size_t at = 0) {
  ASSERT(at <= bytes.size() && bytes.size() - at >= 4);
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

}  // namespace kayak
