// checksum.h: CRC-32C, over rows and pages.
// Source: RFC 3720, appendix B.4 (Castagnoli polynomial).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kayak::store {

// The checksum of `bytes` appended to what `crc` already covers (0: nothing).
std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes);

namespace detail {
// The portable way, for processors without the instruction (and for the test that compares both).
std::uint32_t crc32c_by_table(std::uint32_t crc, std::string_view bytes);
}  // namespace detail

}  // namespace kayak::store
