// fuzz-deps: kayak_base
// The YAML reader and writer: what is read is written so that it reads back as the same value.
#include "base/json.h"
#include "base/strings.h"
#include "base/yaml.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  yaml::ReadLimits limits;
  limits.max_nodes = 50'000;
  std::vector<std::string> duplicates;
  limits.duplicates = &duplicates;
  (void)yaml::read(text, limits);
  const auto documents = yaml::read_all(text, limits);
  if (!documents) return 0;
  for (const json::Value& document : *documents) {
    const std::string written = yaml::write(document);
    const auto again = yaml::read_all(written);
    ASSERT(again && again->size() == 1);
    ASSERT(again->front() == document);
  }
  return 0;
}
