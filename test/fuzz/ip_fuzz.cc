// fuzz-deps: kayak_fuzz_api kayak_fuzz_agent
// IP addresses and networks: the validator's reader agrees with the C library's, and the canonical text reads as
// itself.
#include <arpa/inet.h>

#include <cstring>

#include "api/validation/ip.h"
#include "base/assert.h"
#include "net/cidr.h"

namespace {

namespace validation = kayak::api::validation;

void check_address(std::string_view text) {
  validation::IpAddress address;
  const bool good = validation::parse_ip(text, &address);
  std::uint8_t raw[16] = {};
  const bool v6 = text.find(':') != text.npos, has_nul = text.find('\0') != text.npos;
  const bool known = !has_nul && ::inet_pton(v6 ? AF_INET6 : AF_INET, std::string(text).c_str(), raw) == 1;
  ASSERT(!known || good);
  ASSERT(!good || known || address.leading_zeros);
  ASSERT(kayak::net::IpAddress::parse(text).ok() == known);
  if (!good) return;
  if (known && address.v6 == v6) ASSERT(std::memcmp(raw, address.bytes.data(), v6 ? 16 : 4) == 0);
  validation::IpAddress again;
  ASSERT(validation::parse_ip(address.to_string(), &again) && again.bytes == address.bytes && again.v6 == address.v6);
  ASSERT(again.to_string() == address.to_string() && !again.leading_zeros);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_address(text);
  validation::IpRange range, again;
  if (validation::parse_cidr(text, &range)) {
    ASSERT(range.prefix_length <= (range.address.v6 ? 128u : 32u));
    ASSERT(validation::range_contains(range, range.address));
    ASSERT(validation::parse_cidr(range.to_string(), &again) && !again.host_bits && !again.leading_zeros);
    ASSERT(again.to_string() == range.to_string());
  }
  if (const auto cidr = kayak::net::Cidr::parse(text)) {
    ASSERT(cidr->contains(cidr->network) && cidr->contains(cidr->at(cidr->size() - 1)));
    const auto same = kayak::net::Cidr::parse(cidr->to_string());
    ASSERT(same && same->network == cidr->network && same->prefix == cidr->prefix);
    ASSERT(validation::parse_cidr(text, &range) && !range.host_bits && !range.leading_zeros);
  }
  return 0;
}
