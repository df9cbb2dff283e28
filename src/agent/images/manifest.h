// manifest.h: manifests, indexes and configurations of images, read strictly and within limits.
// Owns nothing: text in, values out. Source: OCI image-spec manifest.md, image-index.md, config.md; Docker schema 2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/images/images.h"

namespace kayak::agent {

inline constexpr std::size_t kMaxManifestBytes = 8 * 1024 * 1024;
inline constexpr std::size_t kMaxLayers = 256;

struct Descriptor {
  std::string media_type, digest;
  std::uint64_t size = 0;
  std::string architecture, os, variant;  // of an index entry
};

enum class Compression : std::uint8_t { kNone, kGzip, kZstd };

struct LayerDescriptor {
  Descriptor blob;
  Compression compression = Compression::kGzip;
};

// A manifest of one image or an index of several; exactly one of the two (CVE-2021-41190).
struct Manifest {
  bool is_index = false;
  std::vector<Descriptor> manifests;    // of an index
  Descriptor config;                    // of an image
  std::vector<LayerDescriptor> layers;  // the lowest first
};
// Errors: Corrupt, with what is wrong.
Result<Manifest> parse_manifest(std::string_view text, std::string_view content_type);

// The entry for linux/`architecture`; for arm the highest variant that this processor runs. Errors: NotFound.
Result<Descriptor> choose_platform(const std::vector<Descriptor>& manifests, std::string_view architecture);

struct ParsedConfig {
  ImageConfig config;
  std::vector<std::string> diff_ids;  // digests of the uncompressed layers, the lowest first
};
// Errors: Corrupt.
Result<ParsedConfig> parse_image_config(std::string_view text);

}  // namespace kayak::agent
