// fuzz-deps: kayak_fuzz_agent
// WWW-Authenticate challenges of registries: a value is part of what was said, escapes aside.
#include "agent/images/challenge.h"
#include "base/assert.h"

using namespace kayak::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string_view key : {"realm", "service", "scope"}) {
    const std::string value = challenge_parameter(text, key);
    ASSERT(value.size() < size || value.empty());
    ASSERT(value.find('\\') != std::string::npos || text.find(value) != text.npos || text.find('\\') != text.npos);
  }
  return 0;
}
