// fuzz-deps: kayak_store
// etcd_messages_fuzz.cc: bytes from a client of the etcd endpoint. What is read must survive being written and read
// again.
#include <cstdint>
#include <iterator>
#include <string_view>

#include "store/etcd/messages.h"

namespace {

template <typename M>
void check(std::string_view bytes) {
  using namespace kayak::store::etcd;
  const kayak::Result<M> message = decode<M>(bytes);
  if (!message) return;
  const std::string written = encode(*message);
  const kayak::Result<M> back = decode<M>(written);
  ASSERT(back);
  ASSERT(encode(*back) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak::store::etcd;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr void (*kChecks[])(std::string_view) = {
      check<TxnRequest>,          check<WatchRequest>,           check<RangeRequest>,
      check<TxnResponse>,         check<WatchResponse>,          check<PutRequest>,
      check<LeaseGrantRequest>,   check<LeaseGrantResponse>,     check<LeaseTimeToLiveRequest>,
      check<LeaseLeasesResponse>, check<LeaseKeepAliveResponse>, check<LeaseTimeToLiveResponse>,
      check<StatusResponse>,      check<MemberListResponse>,
  };
  kChecks[data[0] % std::size(kChecks)](bytes);
  return 0;
}
