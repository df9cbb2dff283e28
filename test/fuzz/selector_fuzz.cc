// fuzz-deps: kayak_fuzz_api
// Label and field selectors: what a selector prints reads back as the same selector.
#include "api/selector.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto labels = api::LabelSelector::parse(text);
  if (labels) {
    const auto again = api::LabelSelector::parse(labels->to_string());
    ASSERT(again && again->to_string() == labels->to_string());
    ASSERT(again->matches({{"a", "b"}}) == labels->matches({{"a", "b"}}));
  }
  const auto fields = api::FieldSelector::parse(text);
  if (fields) (void)fields->matches({{"a", "b"}});
  return 0;
}
