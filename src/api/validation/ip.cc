// ip.cc: see ip.h.
#include "api/validation/ip.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api::validation {

namespace {

bool parse_decimal(std::string_view text, unsigned max, unsigned* value, bool* leading_zeros) {
  if (text.empty() || text.size() > 8) return false;
  *value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    *value = *value * 10 + static_cast<unsigned>(c - '0');
  }
  *leading_zeros |= text.size() > 1 && text.front() == '0';
  return *value <= max;
}

bool parse_v4(std::string_view text, std::uint8_t* bytes, bool* leading_zeros) {
  const std::vector<std::string_view> parts = split(text, '.');
  if (parts.size() != 4) return false;
  for (std::size_t i = 0; i < 4; ++i) {
    unsigned value = 0;
    if (!parse_decimal(parts[i], 255, &value, leading_zeros)) return false;
    bytes[i] = static_cast<std::uint8_t>(value);
  }
  return true;
}

bool parse_group(std::string_view text, unsigned* value) {
  if (text.empty() || text.size() > 4) return false;
  *value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    *value = *value << 4 | static_cast<unsigned>(digit);
  }
  return true;
}

// The groups of one side of "::" as bytes; the last may be an IPv4 address.
bool parse_groups(std::string_view text, bool may_end_in_v4, std::vector<std::uint8_t>* bytes, bool* leading_zeros) {
  if (text.empty()) return true;
  const std::vector<std::string_view> groups = split(text, ':');
  for (std::size_t i = 0; i < groups.size(); ++i) {
    unsigned value = 0;
    if (may_end_in_v4 && i + 1 == groups.size() && groups[i].find('.') != std::string_view::npos) {
      std::uint8_t v4[4];
      if (!parse_v4(groups[i], v4, leading_zeros)) return false;
      bytes->insert(bytes->end(), v4, v4 + 4);
      continue;
    }
    if (!parse_group(groups[i], &value)) return false;
    bytes->push_back(static_cast<std::uint8_t>(value >> 8));
    bytes->push_back(static_cast<std::uint8_t>(value));
  }
  return bytes->size() <= 16;
}

bool parse_v6(std::string_view text, IpAddress* address) {
  const std::size_t gap = text.find("::");
  std::vector<std::uint8_t> head, tail;
  if (gap == std::string_view::npos) {
    if (!parse_groups(text, true, &head, &address->leading_zeros) || head.size() != 16) return false;
  } else {
    if (!parse_groups(text.substr(0, gap), false, &head, &address->leading_zeros) ||
        !parse_groups(text.substr(gap + 2), true, &tail, &address->leading_zeros) || head.size() + tail.size() > 14) {
      return false;
    }
  }
  std::copy(head.begin(), head.end(), address->bytes.begin());
  std::copy(tail.begin(), tail.end(), address->bytes.end() - static_cast<std::ptrdiff_t>(tail.size()));
  return true;
}

bool is_mapped(const std::array<std::uint8_t, 16>& bytes) {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t b) { return b == 0; }) && bytes[10] == 0xff &&
         bytes[11] == 0xff;
}

void clear_host_bits(IpAddress* address, unsigned prefix_length) {
  const unsigned bits = address->v6 ? 128 : 32;
  for (unsigned bit = prefix_length; bit < bits; ++bit) {
    address->bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
  }
}

}  // namespace

bool parse_ip(std::string_view text, IpAddress* address) {
  *address = IpAddress();
  if (text.find(':') == std::string_view::npos) return parse_v4(text, address->bytes.data(), &address->leading_zeros);
  address->v6 = true;
  if (!parse_v6(text, address)) return false;
  if (is_mapped(address->bytes)) {
    std::copy(address->bytes.begin() + 12, address->bytes.end(), address->bytes.begin());
    std::fill(address->bytes.begin() + 4, address->bytes.end(), std::uint8_t{0});
    address->v6 = false;
    address->mapped = true;
  }
  return true;
}

std::string IpAddress::to_string() const {
  if (!v6) return cat(bytes[0], ".", bytes[1], ".", bytes[2], ".", bytes[3]);
  const auto group = [&](std::size_t i) { return static_cast<unsigned>(bytes[2 * i]) << 8 | bytes[2 * i + 1]; };
  std::size_t best = 8, best_length = 1;  // the first of the longest runs of two or more zero groups becomes "::"
  for (std::size_t i = 0; i < 8;) {
    std::size_t length = 0;
    while (i + length < 8 && group(i + length) == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
    i += std::max<std::size_t>(length, 1);
  }
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == best) {
      text += "::";
      i += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    const unsigned value = group(i);
    constexpr std::string_view kHexDigits = "0123456789abcdef";
    for (int shift = 12; shift >= 0; shift -= 4) {
      if (value >> shift != 0 || shift == 0) text += kHexDigits[value >> shift & 0xf];
    }
  }
  return text;
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}
bool IpAddress::is_loopback() const { return v6 ? to_string() == "::1" : bytes[0] == 127; }
bool IpAddress::is_link_local_unicast() const {
  return v6 ? bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80 : bytes[0] == 169 && bytes[1] == 254;
}
bool IpAddress::is_link_local_multicast() const {
  return v6 ? bytes[0] == 0xff && (bytes[1] & 0x0f) == 2 : bytes[0] == 224 && bytes[1] == 0 && bytes[2] == 0;
}

bool parse_cidr(std::string_view text, IpRange* range) {
  *range = IpRange();
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !parse_ip(text.substr(0, slash), &range->address)) return false;
  const unsigned bits = range->address.v6 || range->address.mapped ? 128 : 32;
  range->leading_zeros = range->address.leading_zeros;
  if (!parse_decimal(text.substr(slash + 1), bits, &range->prefix_length, &range->leading_zeros)) return false;
  if (range->address.mapped) range->prefix_length = range->prefix_length < 96 ? 0 : range->prefix_length - 96;
  IpAddress network = range->address;
  clear_host_bits(&network, range->prefix_length);
  range->host_bits = network.bytes != range->address.bytes;
  return true;
}

std::string IpRange::to_string() const {
  IpAddress network = address;
  clear_host_bits(&network, prefix_length);
  return cat(network.to_string(), "/", prefix_length);
}

bool range_contains(const IpRange& range, const IpAddress& address) {
  if (range.address.v6 != address.v6) return false;
  IpAddress network = range.address, other = address;
  clear_host_bits(&network, range.prefix_length);
  clear_host_bits(&other, range.prefix_length);
  return network.bytes == other.bytes;
}

field::ErrorList valid_legacy_ip(const field::Path& path, std::string_view value) {
  IpAddress address;
  if (!parse_ip(value, &address)) {
    return {field::invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")};
  }
  field::ErrorList errors;
  if (address.leading_zeros) errors.push_back(field::invalid(path, value, "must not have leading 0s"));
  if (address.mapped) errors.push_back(field::invalid(path, value, "must not be an IPv4-mapped IPv6 address"));
  return errors;
}

field::ErrorList valid_ip(const field::Path& path, std::string_view value) {
  field::ErrorList errors = valid_legacy_ip(path, value);
  IpAddress address;
  if (errors.empty() && parse_ip(value, &address) && address.to_string() != value) {
    errors.push_back(field::invalid(path, value, cat("must be in canonical form (", quote(address.to_string()), ")")));
  }
  return errors;
}

field::ErrorList valid_legacy_cidr(const field::Path& path, std::string_view value) {
  IpRange range;
  std::string_view why;
  if (!parse_cidr(value, &range)) {
    why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
  } else if (range.leading_zeros) {
    why = "must not have leading 0s in IP or prefix length";
  } else if (range.address.mapped) {
    why = "must not have an IPv4-mapped IPv6 address";
  } else if (range.host_bits) {
    why = "must not have bits set beyond the prefix length";
  }
  if (why.empty()) return {};
  return {field::invalid(path, value, why)};
}

field::ErrorList valid_cidr(const field::Path& path, std::string_view value) {
  field::ErrorList errors = valid_legacy_cidr(path, value);
  IpRange range;
  if (errors.empty() && parse_cidr(value, &range) && range.to_string() != value) {
    errors.push_back(field::invalid(path, value, cat("must be in canonical form (", quote(range.to_string()), ")")));
  }
  return errors;
}

}  // namespace kayak::api::validation
