// fuzz-deps: kayak_fuzz_api
// Two JSON documents, one a line: the second is a strategic merge patch of the first.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/schema.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = text.find('\n');
  if (line_end == text.npos) return 0;
  const Result<json::Value> original = json::read(text.substr(0, line_end));
  const Result<json::Value> patch = json::read(text.substr(line_end + 1));
  if (!original || !patch) return 0;
  for (const std::string_view name :
       {"k8s.io.api.core.v1.Pod", "k8s.io.api.core.v1.PodSpec", "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"}) {
    const api::Message& message = *api::find_message(name);
    const Result<json::Value> merged = api::strategic_merge(message, *original, *patch);
    if (merged) (void)api::decode_json(message, *merged);
  }
  return 0;
}
