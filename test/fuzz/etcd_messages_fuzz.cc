// fuzz-deps: kayak_store
// etcd_messages_fuzz.cc: bytes from a client of the etcd endpoint. What is read must survive being written and read
// again.
#include <cstdint>
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
  switch (data[0] % 6) {
    case 0:
      check<TxnRequest>(bytes);
      break;
    case 1:
      check<WatchRequest>(bytes);
      break;
    case 2:
      check<RangeRequest>(bytes);
      break;
    case 3:
      check<TxnResponse>(bytes);
      break;
    case 4:
      check<WatchResponse>(bytes);
      break;
    default:
      check<PutRequest>(bytes);
  }
  return 0;
}
