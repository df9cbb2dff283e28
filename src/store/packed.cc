// packed.cc: see packed.h.
#include "store/packed.h"

#include "base/assert.h"

namespace kayak::store {

namespace {

void put_members(std::string* out, const std::vector<raft::NodeId>& members) {
  ASSERT(members.size() <= raft::kMaxMembers);
  put_varint(out, members.size());
  for (const raft::NodeId member : members) put_varint(out, member);
}

}  // namespace

void put_membership(std::string* out, const raft::Membership& membership) {
  put_members(out, membership.voters);
  put_members(out, membership.learners);
  put_varint(out, membership.witness);
}

std::uint64_t PackedReader::varint() {
  std::uint64_t number = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const std::uint8_t b = byte();
    if (!good) return 0;
    if (shift == 63 && b > 1) break;
    number |= std::uint64_t{b & 0x7fU} << shift;
    if (b >= 0x80) continue;
    if (b == 0 && shift > 0) break;  // not the shortest form
    return number;
  }
  good = false;
  return 0;
}

void PackedReader::read_members(std::vector<raft::NodeId>* members) {
  const std::size_t count = number(0, raft::kMaxMembers);
  for (std::size_t i = 0; i < count && good; ++i) {
    const raft::NodeId member = varint();
    // Sorted, none twice, none nobody: one membership has one encoding.
    if (member == raft::kNobody || (!members->empty() && member <= members->back())) good = false;
    members->push_back(member);
  }
}

raft::Membership PackedReader::membership() {
  raft::Membership membership;
  read_members(&membership.voters);
  read_members(&membership.learners);
  membership.witness = varint();
  return membership;
}

}  // namespace kayak::store
