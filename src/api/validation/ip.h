// ip.h: IP addresses and address ranges in API fields.
// Source: apimachinery pkg/util/validation (ip.go); RFC 5952 for the text of IPv6 addresses.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/validation/field.h"

namespace kayak::api::validation {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  // IPv4: the first four
  bool v6 = false;
  bool mapped = false;         // was written as ::ffff:a.b.c.d, and is now that IPv4 address
  bool leading_zeros = false;  // an IPv4 part was written like 010
  std::string to_string() const;
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_link_local_unicast() const;
  bool is_link_local_multicast() const;
};
// False when `text` is no address. Leading zeros are accepted and noted, as old objects have them.
bool parse_ip(std::string_view text, IpAddress* address);

struct IpRange {
  IpAddress address;
  unsigned prefix_length = 0;
  bool leading_zeros = false;     // in the address or the length
  bool host_bits = false;         // the address has bits beyond the prefix
  std::string to_string() const;  // the network: host bits cleared
};
bool parse_cidr(std::string_view text, IpRange* range);
bool range_contains(const IpRange& range, const IpAddress& address);

// New fields: canonical text only.
field::ErrorList valid_ip(const field::Path& path, std::string_view value);
field::ErrorList valid_cidr(const field::Path& path, std::string_view value);
// Fields that are older than the strict rules: no leading zeros, no mapped addresses, but any spelling of IPv6.
field::ErrorList valid_legacy_ip(const field::Path& path, std::string_view value);
field::ErrorList valid_legacy_cidr(const field::Path& path, std::string_view value);

}  // namespace kayak::api::validation
