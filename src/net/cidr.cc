// cidr.cc: IP networks as values.
#include "net/cidr.h"

#include <arpa/inet.h>

#include "base/strings.h"

namespace kayak::net {

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress out;
  const std::string copy(text);
  out.v6 = copy.find(':') != std::string::npos;
  // The C library reads up to a NUL.
  if (text.find('\0') != std::string_view::npos ||
      ::inet_pton(out.v6 ? AF_INET6 : AF_INET, copy.c_str(), out.bytes.data()) != 1) {
    return Error(Code::kInvalid, cat(quote(text), " is not an IP address"));
  }
  return out;
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::int64_t prefix = -1;
  Result<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address || slash == std::string_view::npos || !parse_int64(text.substr(slash + 1), &prefix) || prefix < 0 ||
      prefix > static_cast<std::int64_t>(address->size() * 8) || std::to_string(prefix) != text.substr(slash + 1)) {
    return Error(Code::kInvalid, cat(quote(text), " is not a network like 10.42.0.0/24"));
  }
  Cidr out;
  out.network = *address;
  out.prefix = static_cast<int>(prefix);
  for (std::size_t bit = static_cast<std::size_t>(prefix); bit < address->size() * 8; ++bit) {
    if ((address->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
      return Error(Code::kInvalid, cat(quote(text), " is an address within a network, not a network"));
    }
  }
  return out;
}

bool Cidr::contains(const IpAddress& address) const {
  if (address.v6 != network.v6) return false;
  for (int bit = 0; bit < prefix; ++bit) {
    const int shift = 7 - bit % 8;
    if ((address.bytes[bit / 8] >> shift & 1) != (network.bytes[bit / 8] >> shift & 1)) return false;
  }
  return true;
}

std::uint64_t Cidr::size() const {
  const std::size_t host_bits = network.size() * 8 - static_cast<std::size_t>(prefix);
  return std::uint64_t{1} << std::min<std::size_t>(host_bits, 63);
}

IpAddress Cidr::at(std::uint64_t offset) const {
  ASSERT(offset < size());
  IpAddress out = network;
  for (std::size_t i = network.size(); i > 0 && offset > 0; --i, offset >>= 8) {
    out.bytes[i - 1] = static_cast<std::uint8_t>(out.bytes[i - 1] | (offset & 0xff));
  }
  return out;
}

std::string Cidr::to_string() const { return cat(network.to_string(), "/", prefix); }

}  // namespace kayak::net
