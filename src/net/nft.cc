// nft.cc: nftables transactions over netlink.
#include "net/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "net/netlink.h"

namespace kayak::net {
namespace {

constexpr int kMaxReply = 64 * 1024;

// Attributes are gathered with libnl into a message whose payload is then taken out: rules are values.
class Attributes {
 public:
  Attributes() : message_(nlmsg_alloc_size(64 * 1024)) { ASSERT(message_); }
  nl_msg* get() const { return message_.get(); }
  std::string take() const {
    const nlmsghdr* header = nlmsg_hdr(message_.get());
    return std::string(static_cast<const char*>(nlmsg_data(header)), static_cast<std::size_t>(nlmsg_datalen(header)));
  }
  // Big endian, as nf_tables wants its numbers.
  void put_be32(int type, std::uint32_t value) const { nla_put_u32(message_.get(), type, htonl(value)); }
  void put_data(int type, const void* bytes, std::size_t size) const {
    nlattr* nest = nla_nest_start(message_.get(), type);
    nla_put(message_.get(), NFTA_DATA_VALUE, static_cast<int>(size), bytes);
    nla_nest_end(message_.get(), nest);
  }

 private:
  NlMessage message_;
};

// One transaction: messages between the batch's begin and end.
class Batch {
 public:
  Batch() { bracket(NFNL_MSG_BATCH_BEGIN); }
  // `attributes`: the message's payload after its nfgenmsg header.
  void add(int type, int flags, const std::string& attributes, std::string what) {
    append(NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_REQUEST | NLM_F_ACK | flags, NFPROTO_INET, 0, attributes);
    what_.push_back(std::move(what));
  }
  Result<void> send();

 private:
  void bracket(int type) { append(type, NLM_F_REQUEST, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, std::string()); }
  void append(int type, int flags, std::uint8_t family, std::uint16_t resource, const std::string& attributes) {
    nlmsghdr header{};
    nfgenmsg body{};
    header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof body) + attributes.size());
    header.nlmsg_type = static_cast<std::uint16_t>(type);
    header.nlmsg_flags = static_cast<std::uint16_t>(flags);
    header.nlmsg_seq = next_sequence_++;
    body.nfgen_family = family;
    body.version = NFNETLINK_V0;
    body.res_id = htons(resource);
    bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
    bytes_.append(reinterpret_cast<const char*>(&body), sizeof body);
    bytes_.append(attributes);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  Result<void> read_answers(int fd);

  std::string bytes_;
  std::vector<std::string> what_;  // of the messages with sequence 1, 2, ...
  std::uint32_t next_sequence_ = 0;
};

Result<void> Batch::send() {
  bracket(NFNL_MSG_BATCH_END);
  Result<NlSocket> socket = open_netlink(NETLINK_NETFILTER);
  if (!socket) return socket.error();
  const int fd = nl_socket_get_fd(socket->get());
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent =
      ::sendto(fd, bytes_.data(), bytes_.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  if (sent < 0) return error_from_errno(errno, "sending nftables rules");
  return read_answers(fd);
}

// The kernel answers every message that asks for it; the first error is the one that matters, as it undid the rest.
Result<void> Batch::read_answers(int fd) {
  std::string buffer(kMaxReply, '\0');
  std::size_t waiting = what_.size();
  while (waiting > 0) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "reading nftables answers");
    auto* header = reinterpret_cast<nlmsghdr*>(buffer.data());
    for (int left = static_cast<int>(n); nlmsg_ok(header, left) != 0; header = nlmsg_next(header, &left)) {
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      const auto* answer = static_cast<const nlmsgerr*>(nlmsg_data(header));
      const std::size_t index = header->nlmsg_seq - 1;  // 0 is the batch's begin
      if (answer->error != 0) {
        const std::string what = index < what_.size() ? what_[index] : "nftables transaction";
        if (answer->error == -EOPNOTSUPP || answer->error == -EPROTONOSUPPORT) {
          return Error(Code::kUnavailable, cat(what, ": the kernel does not support it (is nf_tables there?)"));
        }
        return error_from_errno(-answer->error, what);
      }
      if (waiting > 0) --waiting;
    }
  }
  return Result<void>();
}

std::string table_attributes(std::string_view table) {
  Attributes out;
  nla_put_string(out.get(), NFTA_TABLE_NAME, std::string(table).c_str());
  return out.take();
}

std::string chain_attributes(std::string_view table, const NftChain& chain) {
  Attributes out;
  nla_put_string(out.get(), NFTA_CHAIN_TABLE, std::string(table).c_str());
  nla_put_string(out.get(), NFTA_CHAIN_NAME, chain.name.c_str());
  if (!chain.type.empty()) {
    nlattr* hook = nla_nest_start(out.get(), NFTA_CHAIN_HOOK);
    out.put_be32(NFTA_HOOK_HOOKNUM, chain.hook);
    out.put_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(chain.priority));
    nla_nest_end(out.get(), hook);
    nla_put_string(out.get(), NFTA_CHAIN_TYPE, chain.type.c_str());
  }
  return out.take();
}

std::string rule_attributes(std::string_view table, const NftChain& chain, const NftRule& rule) {
  Attributes out;
  nla_put_string(out.get(), NFTA_RULE_TABLE, std::string(table).c_str());
  nla_put_string(out.get(), NFTA_RULE_CHAIN, chain.name.c_str());
  nla_put(out.get(), NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, static_cast<int>(rule.attributes().size()),
          rule.attributes().data());
  return out.take();
}

void add_removal(Batch& batch, std::string_view table) {
  // Made first, so that removing it cannot fail for its absence.
  batch.add(NFT_MSG_NEWTABLE, NLM_F_CREATE, table_attributes(table), cat("nftables table ", table));
  batch.add(NFT_MSG_DELTABLE, 0, table_attributes(table), cat("removing nftables table ", table));
}

}  // namespace

// An expression: its name and its own attributes, as one element of the rule's list.
void NftRule::add(const char* name, const std::string& data) {
  Attributes out;
  nlattr* element = nla_nest_start(out.get(), NFTA_LIST_ELEM);
  nla_put_string(out.get(), NFTA_EXPR_NAME, name);
  nla_put(out.get(), NFTA_EXPR_DATA | NLA_F_NESTED, static_cast<int>(data.size()), data.data());
  nla_nest_end(out.get(), element);
  attributes_ += out.take();
}

NftRule& NftRule::address_in(const Cidr& cidr, bool source) {
  const std::size_t size = cidr.network.size();
  Attributes family;
  family.put_be32(NFTA_META_DREG, NFT_REG_1);
  family.put_be32(NFTA_META_KEY, NFT_META_NFPROTO);
  add("meta", family.take());
  const std::uint8_t wanted = cidr.network.v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
  Attributes is_family;
  is_family.put_be32(NFTA_CMP_SREG, NFT_REG_1);
  is_family.put_be32(NFTA_CMP_OP, NFT_CMP_EQ);
  is_family.put_data(NFTA_CMP_DATA, &wanted, 1);
  add("cmp", is_family.take());

  // Offsets in the network header: IPv4 saddr 12, daddr 16; IPv6 saddr 8, daddr 24.
  const std::uint32_t offset = cidr.network.v6 ? (source ? 8 : 24) : (source ? 12 : 16);
  Attributes load;
  load.put_be32(NFTA_PAYLOAD_DREG, NFT_REG_1);
  load.put_be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
  load.put_be32(NFTA_PAYLOAD_OFFSET, offset);
  load.put_be32(NFTA_PAYLOAD_LEN, static_cast<std::uint32_t>(size));
  add("payload", load.take());

  std::uint8_t mask[16] = {}, none[16] = {};
  for (int bit = 0; bit < cidr.prefix; ++bit)
    mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | 0x80 >> bit % 8);
  Attributes masked;
  masked.put_be32(NFTA_BITWISE_SREG, NFT_REG_1);
  masked.put_be32(NFTA_BITWISE_DREG, NFT_REG_1);
  masked.put_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(size));
  masked.put_data(NFTA_BITWISE_MASK, mask, size);
  masked.put_data(NFTA_BITWISE_XOR, none, size);
  add("bitwise", masked.take());

  Attributes equal;
  equal.put_be32(NFTA_CMP_SREG, NFT_REG_1);
  equal.put_be32(NFTA_CMP_OP, NFT_CMP_EQ);
  equal.put_data(NFTA_CMP_DATA, cidr.network.bytes.data(), size);
  add("cmp", equal.take());
  return *this;
}

NftRule& NftRule::out_interface_is_not(std::string_view name) {
  Attributes load;
  load.put_be32(NFTA_META_DREG, NFT_REG_1);
  load.put_be32(NFTA_META_KEY, NFT_META_OIFNAME);
  add("meta", load.take());
  char padded[IFNAMSIZ] = {};
  name.copy(padded, IFNAMSIZ - 1);
  Attributes differs;
  differs.put_be32(NFTA_CMP_SREG, NFT_REG_1);
  differs.put_be32(NFTA_CMP_OP, NFT_CMP_NEQ);
  differs.put_data(NFTA_CMP_DATA, padded, sizeof padded);
  add("cmp", differs.take());
  return *this;
}

NftRule& NftRule::verdict(std::int32_t code) {
  Attributes out;
  out.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  nlattr* data = nla_nest_start(out.get(), NFTA_IMMEDIATE_DATA);
  nlattr* inner = nla_nest_start(out.get(), NFTA_DATA_VERDICT);
  out.put_be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
  nla_nest_end(out.get(), inner);
  nla_nest_end(out.get(), data);
  add("immediate", out.take());
  return *this;
}

NftRule& NftRule::accept() { return verdict(NF_ACCEPT); }
NftRule& NftRule::stop() { return verdict(NFT_RETURN); }

NftRule& NftRule::masquerade() {
  Attributes out;
  out.put_be32(NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
  add("masq", out.take());
  return *this;
}

Result<void> replace_nft_table(std::string_view table, const std::vector<NftChain>& chains) {
  Batch batch;
  add_removal(batch, table);
  batch.add(NFT_MSG_NEWTABLE, NLM_F_CREATE, table_attributes(table), cat("nftables table ", table));
  for (const NftChain& chain : chains) {
    batch.add(NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain_attributes(table, chain), cat("nftables chain ", chain.name));
    for (const NftRule& rule : chain.rules) {
      batch.add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule_attributes(table, chain, rule),
                cat("nftables rule in ", chain.name));
    }
  }
  return batch.send();
}

Result<void> remove_nft_table(std::string_view table) {
  Batch batch;
  add_removal(batch, table);
  Result<void> removed = batch.send();
  // Without nf_tables in the kernel there is no table.
  if (!removed && removed.error().code() == Code::kUnavailable) return Result<void>();
  return removed;
}

}  // namespace kayak::net
