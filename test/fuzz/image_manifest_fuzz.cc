// fuzz-deps: kayak_fuzz_agent
// Manifests, indexes and configurations as a registry sends them: what is taken is complete and within its bounds.
#include <array>

#include "agent/images/manifest.h"
#include "base/assert.h"

using namespace kayak;
using namespace kayak::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 5> kTypes = {"", "application/vnd.oci.image.manifest.v1+json",
                                                      "application/vnd.oci.image.index.v1+json",
                                                      "application/vnd.docker.distribution.manifest.v2+json",
                                                      "application/vnd.docker.distribution.manifest.list.v2+json"};
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (const auto manifest = parse_manifest(text, kTypes[data[0] % kTypes.size()])) {
    ASSERT(manifest->is_index || valid_digest(manifest->config.digest));
    ASSERT(!manifest->is_index || manifest->layers.empty());
    ASSERT(manifest->layers.size() <= kMaxLayers);
    for (const LayerDescriptor& layer : manifest->layers) ASSERT(valid_digest(layer.blob.digest));
    for (const Descriptor& one : manifest->manifests) ASSERT(valid_digest(one.digest));
    const auto chosen = choose_platform(manifest->manifests, "arm");
    ASSERT(!chosen || chosen->os == "linux");
  }
  if (const auto config = parse_image_config(text)) {
    ASSERT(config->diff_ids.size() <= kMaxLayers);
    for (const std::string& id : config->diff_ids) ASSERT(valid_digest(id));
  }
  return 0;
}
