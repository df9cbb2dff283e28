// fuzz-deps: kayak_store
// witness_file_fuzz.cc: a witness' state as a disk gives it back. The checksum is made right first, or nothing behind
// it would ever be reached: what is accepted says the same when it is written again.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "store/checksum.h"
#include "store/witness_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::store;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)decode_witness_state(bytes);
  constexpr std::size_t kHead = 9;
  if (bytes.size() < kHead) return 0;
  const std::uint32_t crc = crc32c(0, std::string_view(bytes).substr(kHead));
  for (std::size_t i = 0; i < 4; ++i) bytes[5 + i] = static_cast<char>(crc >> (24 - 8 * i));
  const Result<WitnessState> state = decode_witness_state(bytes);
  if (!state) return 0;
  const Result<WitnessState> again = decode_witness_state(encode_witness_state(*state));
  ASSERT(again && *again == *state);
  return 0;
}
