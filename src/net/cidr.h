// cidr.h: IP networks as values: parsing, membership, counting addresses. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak::net {

struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // the first 4 for IPv4
  std::size_t size() const { return v6 ? 16 : 4; }
  bool operator==(const IpAddress&) const = default;
  std::string to_string() const;
  static Result<IpAddress> parse(std::string_view text);
};

struct Cidr {
  IpAddress network;  // host bits are zero
  int prefix = 0;
  // "10.42.0.0/24". Errors: Invalid (not a network, or bits beyond the prefix are set).
  static Result<Cidr> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  // The address at `offset` from the network's own. ASSERTs that it lies inside.
  IpAddress at(std::uint64_t offset) const;
  // Addresses in it, at most 2^63.
  std::uint64_t size() const;
  std::string to_string() const;
};

}  // namespace kayak::net
