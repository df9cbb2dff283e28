// fuzz-deps: kayak_api
// heartbeat_wire_fuzz.cc: heartbeats of another server: what is accepted says the same when it is written again.
#include <cstdint>
#include <string_view>

#include "api/heartbeat_wire.h"
#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::api;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<std::vector<Heartbeat>> beats = decode_heartbeats(bytes);
  if (!beats) return 0;
  const std::string encoded = encode_heartbeats(*beats);
  const Result<std::vector<Heartbeat>> again = decode_heartbeats(encoded);
  ASSERT(again && again->size() == beats->size());
  ASSERT(encode_heartbeats(*again) == encoded);
  for (const Heartbeat& beat : *beats) {
    ASSERT(beat.kind != nullptr && beat.text);
    (void)Object::from_stored(*beat.kind, beat.text, beat.revision);
  }
  return 0;
}
