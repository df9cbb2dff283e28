// der.cc: DER elements with definite lengths.
#include "io/der.h"

#include "base/assert.h"
#include "base/strings.h"

namespace kayak::io::der {

bool Reader::next(std::uint8_t* tag, std::string_view* content) {
  const auto byte = [this](std::size_t i) { return static_cast<std::uint8_t>(rest[i]); };
  if (rest.size() < 2 || (byte(0) & 0x1f) == 0x1f) return false;  // tags beyond 30 do not occur
  std::size_t header = 2, length = byte(1);
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7f;
    if (octets == 0 || octets > 4 || rest.size() < 2 + octets) return false;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = length << 8 | byte(2 + i);
    if (length < 0x80 || length >> (8 * (octets - 1)) == 0) return false;  // DER: the shortest form
    header += octets;
  }
  if (length > rest.size() - header) return false;
  *tag = byte(0);
  *content = rest.substr(header, length);
  rest.remove_prefix(header + length);
  return true;
}

bool Reader::take(std::uint8_t wanted, std::string_view* content) {
  Reader ahead = *this;
  std::uint8_t tag = 0;
  if (!ahead.next(&tag, content) || tag != wanted) return false;
  *this = ahead;
  return true;
}

std::string element(std::uint8_t tag, std::string_view content) {
  std::string out(1, static_cast<char>(tag));
  if (content.size() < 0x80) {
    out += static_cast<char>(content.size());
  } else {
    std::string length;
    for (std::size_t n = content.size(); n > 0; n >>= 8) length.insert(length.begin(), static_cast<char>(n & 0xff));
    out += static_cast<char>(0x80 | length.size());
    out += length;
  }
  return out.append(content);
}

std::string sequence(std::initializer_list<std::string_view> parts) {
  std::string content;
  for (const std::string_view part : parts) content += part;
  return element(kSequence, content);
}

std::string oid_bytes(std::string_view dotted) {
  std::string out;
  std::uint64_t first = 0;
  std::size_t index = 0;
  for (const std::string_view part : split(dotted, '.')) {
    std::int64_t number = 0;
    ASSERT(parse_int64(part, &number) && number >= 0);
    std::uint64_t value = static_cast<std::uint64_t>(number);
    if (index++ == 0) {
      first = value;
      continue;
    }
    if (index == 2) value += first * 40;
    std::string base128(1, static_cast<char>(value & 0x7f));
    while ((value >>= 7) > 0) base128.insert(base128.begin(), static_cast<char>(0x80 | (value & 0x7f)));
    out += base128;
  }
  return out;
}

std::string oid(std::string_view dotted) { return element(kOid, oid_bytes(dotted)); }

std::string bit_string(std::string_view bytes) { return element(kBitString, std::string(1, '\0').append(bytes)); }

}  // namespace kayak::io::der
