// fuzz-deps: kayak_fuzz_api
// JSON patch and merge patch: the input is a document and a patch with a NUL between them.
#include "api/json_patch.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t middle = text.find('\0');
  if (middle == std::string_view::npos) return 0;
  const auto document = json::read(text.substr(0, middle));
  const auto patch = json::read(text.substr(middle + 1));
  if (!document || !patch) return 0;
  const auto result = api::apply_json_patch(*document, *patch);
  if (result) ASSERT(json::write(*result).size() <= 8 * size + api::kMaxJsonPatchCopyBytes + 64);
  ASSERT(json::write(api::apply_merge_patch(*document, *patch)).size() <= 8 * size + 64);
  return 0;
}
