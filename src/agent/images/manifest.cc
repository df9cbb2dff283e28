// manifest.cc: see manifest.h.
#include "agent/images/manifest.h"

#include <array>

#include "base/strings.h"

namespace kayak::agent {

namespace {

constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, std::string(what)); }

std::vector<std::string> strings_of(const json::Value* list) {
  std::vector<std::string> out;
  if (!list || !list->is_array()) return out;
  for (const json::Value& item : list->as_array()) {
    if (item.is_string()) out.push_back(item.as_string());
  }
  return out;
}

std::string text_of(const json::Value& object, std::string_view key) {
  const json::Value* value = object.find(key);
  return value ? std::string(value->string_or()) : "";
}

Result<Descriptor> parse_descriptor(const json::Value& value) {
  Descriptor descriptor;
  descriptor.media_type = text_of(value, "mediaType");
  descriptor.digest = text_of(value, "digest");
  if (!valid_digest(descriptor.digest)) return corrupt("a descriptor has no valid sha256 digest");
  const json::Value* size = value.find("size");
  if (!size || !size->is_int() || size->as_int() < 0) return corrupt("a descriptor has no valid size");
  descriptor.size = static_cast<std::uint64_t>(size->as_int());
  if (const json::Value* platform = value.find("platform")) {
    descriptor.architecture = text_of(*platform, "architecture");
    descriptor.os = text_of(*platform, "os");
    descriptor.variant = text_of(*platform, "variant");
  }
  return descriptor;
}

Result<Compression> compression_of(std::string_view media_type) {
  struct Row {
    std::string_view type;
    Compression compression;
  };
  constexpr std::array kRows = {
      Row{"application/vnd.oci.image.layer.v1.tar", Compression::kNone},
      Row{"application/vnd.oci.image.layer.v1.tar+gzip", Compression::kGzip},
      Row{"application/vnd.oci.image.layer.v1.tar+zstd", Compression::kZstd},
      Row{"application/vnd.oci.image.layer.nondistributable.v1.tar", Compression::kNone},
      Row{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::kGzip},
      Row{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Compression::kZstd},
      Row{"application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::kGzip},
      Row{"application/vnd.docker.image.rootfs.diff.tar", Compression::kNone},
      Row{"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::kZstd},
  };
  for (const Row& row : kRows) {
    if (row.type == media_type) return row.compression;
  }
  return corrupt(cat("layer of unknown media type ", quote(media_type.substr(0, 200))));
}

bool is_manifest_type(std::string_view type) {
  return type == kOciManifest || type == kOciIndex || type == kDockerManifest || type == kDockerList;
}

Result<Manifest> parse_index(const json::Value& document) {
  Manifest manifest;
  manifest.is_index = true;
  for (const json::Value& entry : document.find("manifests")->as_array()) {
    Result<Descriptor> descriptor = parse_descriptor(entry);
    if (!descriptor) return descriptor.error();
    manifest.manifests.push_back(std::move(*descriptor));
  }
  return manifest;
}

Result<Manifest> parse_image(const json::Value& document) {
  Manifest manifest;
  const json::Value* config = document.find("config");
  if (!config || !config->is_object()) return corrupt("the manifest has no config");
  Result<Descriptor> config_descriptor = parse_descriptor(*config);
  if (!config_descriptor) return config_descriptor.error();
  manifest.config = std::move(*config_descriptor);
  if (manifest.config.size > kMaxManifestBytes) return corrupt("the image's config is larger than 8 MiB");
  const json::Array& layers = document.find("layers")->as_array();
  if (layers.size() > kMaxLayers)
    return corrupt(cat("the image has ", layers.size(), " layers, more than ", kMaxLayers));
  for (const json::Value& entry : layers) {
    Result<Descriptor> blob = parse_descriptor(entry);
    if (!blob) return blob.error();
    Result<Compression> compression = compression_of(blob->media_type);
    if (!compression) return compression.error();
    manifest.layers.push_back(LayerDescriptor{std::move(*blob), *compression});
  }
  return manifest;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view text, std::string_view content_type) {
  if (text.size() > kMaxManifestBytes) return corrupt("the manifest is larger than 8 MiB");
  std::vector<std::string> duplicates;
  json::ReadOptions options;
  options.duplicates = &duplicates;
  Result<json::Value> document = json::read(text, options);
  if (!document) return corrupt(cat("the manifest is not JSON: ", document.error().message()));
  if (!document->is_object()) return corrupt("the manifest is not a JSON object");
  // Two readers could take different members for true.
  if (!duplicates.empty()) return corrupt(cat("the manifest repeats the key ", quote(duplicates.front())));
  const json::Value* manifests = document->find("manifests");
  const json::Value* layers = document->find("layers");
  if (manifests && layers) return corrupt("the manifest has both manifests and layers");
  std::string_view type = document->find("mediaType") ? document->find("mediaType")->string_or() : "";
  content_type = content_type.substr(0, content_type.find(';'));
  if (const json::Value* version = document->find("schemaVersion"); version && version->int_or(0) == 1) {
    return corrupt("the manifest is of Docker schema 1, which no current tool makes; push the image again");
  }
  if (!type.empty() && !is_manifest_type(type)) {
    return corrupt(cat("the manifest is of unknown media type ", quote(type.substr(0, 200))));
  }
  const bool known = is_manifest_type(content_type);
  if (type.empty() && known) type = content_type;
  if (!type.empty() && known && type != content_type) {
    return corrupt(
        cat("the manifest says it is ", quote(type.substr(0, 200)), " but was served as ", quote(content_type)));
  }
  const bool index_type = type == kOciIndex || type == kDockerList;
  const bool image_type = type == kOciManifest || type == kDockerManifest;
  if (manifests && manifests->is_array() && !image_type) return parse_index(*document);
  if (layers && layers->is_array() && !index_type) return parse_image(*document);
  return corrupt("the manifest has neither layers nor manifests of its media type");
}

Result<Descriptor> choose_platform(const std::vector<Descriptor>& manifests, std::string_view architecture) {
  const Descriptor* best = nullptr;
  for (const Descriptor& entry : manifests) {
    if (entry.os != "linux" || entry.architecture != architecture) continue;
    // armhf boards run up to v7; arm64's only variant is v8.
    if (architecture == "arm" && entry.variant > "v7") continue;
    if (!best || entry.variant > best->variant) best = &entry;
  }
  if (best) return *best;
  return Error(Code::kNotFound, cat("no match for platform linux/", architecture, " in manifest"));
}

Result<ParsedConfig> parse_image_config(std::string_view text) {
  Result<json::Value> document = json::read(text);
  if (!document || !document->is_object()) return corrupt("the image's config is not a JSON object");
  ParsedConfig parsed;
  if (const json::Value* diff_ids = document->at({"rootfs", "diff_ids"})) parsed.diff_ids = strings_of(diff_ids);
  for (const std::string& id : parsed.diff_ids) {
    if (!valid_digest(id)) return corrupt("the image's config has an invalid diff_id");
  }
  const json::Value* config = document->find("config");
  if (!config || !config->is_object()) return parsed;
  parsed.config.entrypoint = strings_of(config->find("Entrypoint"));
  parsed.config.cmd = strings_of(config->find("Cmd"));
  parsed.config.env = strings_of(config->find("Env"));
  parsed.config.working_dir = text_of(*config, "WorkingDir");
  parsed.config.user = text_of(*config, "User");
  parsed.config.stop_signal = text_of(*config, "StopSignal");
  if (const json::Value* volumes = config->find("Volumes"); volumes && volumes->is_object()) {
    for (const auto& [path, unused] : volumes->as_object()) parsed.config.volumes.push_back(path);
  }
  return parsed;
}

}  // namespace kayak::agent
