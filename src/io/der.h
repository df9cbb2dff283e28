// der.h: reading and writing DER, as far as certificates need it. Values in, values out.
// Source: ITU-T X.690.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace kayak::io::der {

enum Tag : std::uint8_t {
  kBoolean = 0x01,
  kInteger = 0x02,
  kBitString = 0x03,
  kOctetString = 0x04,
  kNull = 0x05,
  kOid = 0x06,
  kUtf8String = 0x0c,
  kUtcTime = 0x17,
  kGeneralizedTime = 0x18,
  kSequence = 0x30,
  kSet = 0x31,
};
// [n], primitive or constructed.
constexpr std::uint8_t context_tag(unsigned n, bool constructed) {
  return static_cast<std::uint8_t>((constructed ? 0xa0u : 0x80u) | n);
}

// Takes elements off the front of `rest`.
struct Reader {
  std::string_view rest;
  bool empty() const { return rest.empty(); }
  // The next element, whatever its tag; false when there is none or its length is wrong. Then `rest` is as before.
  bool next(std::uint8_t* tag, std::string_view* content);
  // The next element when it has `tag`; false otherwise.
  bool take(std::uint8_t tag, std::string_view* content);
};

std::string element(std::uint8_t tag, std::string_view content);
std::string sequence(std::initializer_list<std::string_view> parts);
// Dotted text ("2.5.29.17") as content bytes without tag.
std::string oid_bytes(std::string_view dotted);
std::string oid(std::string_view dotted);
std::string bit_string(std::string_view bytes);  // no unused bits

}  // namespace kayak::io::der
