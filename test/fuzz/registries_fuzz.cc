// fuzz-deps: kayak_fuzz_agent
// registries.yaml: no crash, and what is taken names hosts that can be reached.
#include "agent/images/registries.h"
#include "base/assert.h"

using namespace kayak;
using namespace kayak::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto registries = Registries::parse(text);
  if (!registries) {
    ASSERT(registries.error().message().find('\n') == std::string::npos);
    return 0;
  }
  // The administrator's own patterns may take their time, and his files are not ours to read here.
  if (text.find("rewrite") != text.npos || text.find("_file") != text.npos || text.find('\\') != text.npos) return 0;
  for (const std::string_view image : {"busybox", "localhost:5000/a/b:1", "ghcr.io/x/y"}) {
    const auto endpoints = registries->endpoints(Reference::parse(image).value());
    if (!endpoints) continue;
    ASSERT(!endpoints->empty());
    for (const RegistryEndpoint& one : *endpoints)
      ASSERT(!one.host.empty() && one.port != 0 && !one.repository.empty());
  }
  return 0;
}
