// fuzz-deps: kayak_fuzz_api
// JSON by the schema of any message: no crash, and a canonical document stays as it is when decoded again, with
// defaults too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/defaults.h"
#include "api/schema.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  if (size < 2) return 0;
  const auto messages = api::all_messages();
  const api::Message& message = *messages[(data[0] | data[1] << 8) % messages.size()];
  Result<json::Value> input = json::read(std::string_view(reinterpret_cast<const char*>(data) + 2, size - 2));
  if (!input) return 0;
  api::DecodeIssues issues;
  Result<json::Value> document = api::decode_json(message, *std::move(input), &issues);
  if (!document) return 0;
  const std::string text = json::write(*document);
  const Result<json::Value> again = api::decode_json(message, *document);
  if (!again || json::write(*again) != text) std::abort();
  api::apply_defaults(message, *document);
  const std::string with_defaults = json::write(*document);
  api::apply_defaults(message, *document);
  if (json::write(*document) != with_defaults) std::abort();
  (void)api::encode_protobuf(message, *document);
  return 0;
}
