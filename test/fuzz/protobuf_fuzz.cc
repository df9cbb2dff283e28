// fuzz-deps: kayak_fuzz_api
// Protobuf bytes of any message: no crash, bounded memory, and what decodes encodes to bytes that decode to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/schema.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)api::decode_envelope(bytes);
  if (size < 2) return 0;
  const auto messages = api::all_messages();
  const api::Message& message = *messages[(data[0] | data[1] << 8) % messages.size()];
  bytes.remove_prefix(2);
  const Result<json::Value> document = api::decode_protobuf(message, bytes);
  if (!document) return 0;
  const std::string encoded = api::encode_protobuf(message, *document);
  const Result<json::Value> again = api::decode_protobuf(message, encoded);
  // Zero times and empty raw values lose nothing; a value that no longer decodes would be a lost object.
  if (!again) std::abort();
  if (json::write(*again) != json::write(*document)) std::abort();
  return 0;
}
