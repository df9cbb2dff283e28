// fuzz-deps: kayak_store
// peer_change_fuzz.cc: what a peer asks about the group, and what it answers: what is accepted says the same when it is
// written again.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "store/peer_change.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::store;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const Result<PeerChange> change = decode_peer_change(bytes)) {
    const Result<PeerChange> again = decode_peer_change(encode_peer_change(*change));
    ASSERT(again);
    ASSERT(encode_peer_change(*again) == encode_peer_change(*change));
    ASSERT(!change->member || check_member(*change->member));
  }
  if (const Result<PeerChanged> answer = decode_peer_changed(bytes)) {
    const Result<PeerChanged> again = decode_peer_changed(encode_peer_changed(*answer));
    ASSERT(again);
    ASSERT(again->error.has_value() == answer->error.has_value());
    ASSERT(again->members == answer->members);
  }
  return 0;
}
