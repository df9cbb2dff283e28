// fuzz-deps: kayak_base
// The JSON reader and writer: what is read is written so that it reads back as the same value.
#include <cstdlib>

#include "base/json.h"
#include "base/strings.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> duplicates;
  json::ReadOptions options;
  options.duplicates = &duplicates;
  const auto value = json::read(text, options);
  if (!value) return 0;
  const std::string written = json::write(*value);
  ASSERT(is_valid_utf8(written));
  const auto again = json::read(written);
  ASSERT(again);
  ASSERT(*again == *value);
  ASSERT(json::write(*again) == written);
  const auto pretty = json::read(json::write_pretty(*value));
  ASSERT(pretty && *pretty == *value);
  return 0;
}
