// fuzz-deps: kayak_fuzz_agent
// Image references: the canonical text reads as itself, and no part of it can lead a path or a URL astray.
#include "agent/images/reference.h"
#include "base/assert.h"

using kayak::agent::Reference;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto reference = Reference::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!reference) {
    ASSERT(!reference.error().message().empty());
    return 0;
  }
  ASSERT(!reference->registry.empty() && !reference->repository.empty());
  ASSERT(reference->repository.find("..") == std::string::npos && reference->repository.front() != '/');
  for (const char c : reference->to_string())
    ASSERT(c > ' ' && c < 0x7f && c != '?' && c != '#' && c != '\\' && c != '%');
  ASSERT(reference->tag.find('/') == std::string::npos && reference->registry.find('/') == std::string::npos);
  const auto again = Reference::parse(reference->to_string());
  ASSERT(again && again->to_string() == reference->to_string());
  return 0;
}
