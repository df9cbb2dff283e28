// fuzz-deps: kayak_store
// member_fuzz.cc: records and lists of members, as they come from the store, a file or a joining server: what is
// accepted says the same when it is written again, and its addresses can be dialled.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "store/member.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::store;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_host_port(text);
  const raft::NodeId id = parse_member_id(text);
  if (id != raft::kNobody) ASSERT(member_id_text(id).ends_with(text));
  const Result<MemberList> list = decode_member_list(text);
  if (!list) return 0;
  for (const MemberRecord& member : list->members) {
    const Result<MemberRecord> again = decode_member(member_key(member.id), encode_member(member));
    ASSERT(again && *again == member);
    for (const std::string& address : member.addresses) ASSERT(parse_host_port(address));
  }
  const Result<MemberList> twice = decode_member_list(encode_member_list(*list));
  ASSERT(twice && *twice == *list);
  return 0;
}
