// nft.h: nftables tables built as one netlink transaction, from libnl's attribute calls (libmnl has no static archive).
// A batch is all or nothing in the kernel: a table is replaced without a moment in which it is half there.
// Source: linux/netfilter/nf_tables.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/cidr.h"

namespace kayak::net {

// The expressions of one rule, in order. Each match continues only when it holds.
class NftRule {
 public:
  NftRule& source_in(const Cidr& cidr) { return address_in(cidr, true); }
  NftRule& destination_in(const Cidr& cidr) { return address_in(cidr, false); }
  NftRule& out_interface_is_not(std::string_view name);
  NftRule& accept();
  NftRule& stop();        // `return`: leaves the chain
  NftRule& masquerade();  // with random source ports, which avoids races of conntrack
  const std::string& attributes() const { return attributes_; }

 private:
  NftRule& address_in(const Cidr& cidr, bool source);
  NftRule& verdict(std::int32_t code);
  void add(const char* name, const std::string& data);
  std::string attributes_;  // netlink attributes, ready to send
};

struct NftChain {
  std::string name;
  std::string type;        // "nat", "filter"; empty: not a base chain
  std::uint32_t hook = 0;  // NF_INET_POST_ROUTING, ...
  std::int32_t priority = 0;
  std::vector<NftRule> rules;
};

// Puts `chains` in place of whatever the table held; family inet. Blocking. Errors: Unavailable (the kernel has no
// nf_tables or lacks an expression), Io.
Result<void> replace_nft_table(std::string_view table, const std::vector<NftChain>& chains);
// Ok when there is none.
Result<void> remove_nft_table(std::string_view table);

}  // namespace kayak::net
