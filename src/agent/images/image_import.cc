// image_import.cc: images from archives: `docker save` files and OCI layouts, each a tar that may be compressed.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "agent/images/image_store.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::agent {

namespace {

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

// A relative path without "." and ".." parts, or nothing.
std::string plain_path(std::string_view raw) {
  std::string out;
  for (std::string_view part : split(raw, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return "";
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

// The archive's regular files into `folder`; links become copies by hard link where their target came earlier (old
// `docker save` links equal layers).
Result<void> spread_archive(const std::string& path, const std::string& folder) {
  std::unique_ptr<archive, FreeArchive> tar(archive_read_new());
  archive_read_support_format_tar(tar.get());
  archive_read_support_filter_gzip(tar.get());
  archive_read_support_filter_zstd(tar.get());
  if (archive_read_open_filename(tar.get(), path.c_str(), 256 * 1024) != ARCHIVE_OK) {
    return Error(Code::kBadRequest, cat(path, ": ", archive_error_string(tar.get())));
  }
  archive_entry* entry = nullptr;
  for (int entries = 0;; ++entries) {
    const int rc = archive_read_next_header(tar.get(), &entry);
    if (rc == ARCHIVE_EOF) return Result<void>();
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
      return Error(Code::kCorrupt, cat(path, ": ", archive_error_string(tar.get())));
    if (entries > 10'000)
      return Error(Code::kTooLarge, cat(path, " holds more than 10,000 files; is it an image archive?"));
    const char* raw = archive_entry_pathname(entry);
    const std::string name = raw ? plain_path(raw) : "";
    if (name.empty()) continue;
    const std::string target = cat(folder, "/", name);
    if (const std::size_t slash = target.rfind('/'); slash != std::string::npos) {
      if (auto made = make_directories(target.substr(0, slash), 0700); !made) return made;
    }
    if (const char* link =
            archive_entry_filetype(entry) == AE_IFLNK ? archive_entry_symlink(entry) : archive_entry_hardlink(entry)) {
      const std::string base = archive_entry_hardlink(entry)
                                   ? ""
                                   : name.substr(0, name.rfind('/') == std::string::npos ? 0 : name.rfind('/') + 1);
      // "../<id>/layer.tar" of old archives: resolved by name, never by following a link on disk.
      std::string resolved;
      const std::string path_of_link = cat(base, link);
      for (std::string_view part : split(path_of_link, '/')) {
        if (part == "..") {
          resolved = resolved.find('/') == std::string::npos ? "" : resolved.substr(0, resolved.rfind('/'));
        } else if (!part.empty() && part != ".") {
          resolved += cat(resolved.empty() ? "" : "/", part);
        }
      }
      ::link(cat(folder, "/", resolved).c_str(), target.c_str());
      continue;
    }
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    Fd file(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return error_from_errno(errno, cat("unpacking ", name, " of ", path));
    if (archive_read_data_into_fd(tar.get(), file.get()) != ARCHIVE_OK) {
      return Error(archive_errno(tar.get()) == ENOSPC ? Code::kNoSpace : Code::kCorrupt,
                   cat("unpacking ", name, " of ", path, ": ", archive_error_string(tar.get())));
    }
  }
}

Compression compression_of_file(int fd) {
  unsigned char magic[4] = {};
  if (::pread(fd, magic, sizeof magic, 0) != sizeof magic) return Compression::kNone;
  if (magic[0] == 0x1f && magic[1] == 0x8b) return Compression::kGzip;
  if (magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd) return Compression::kZstd;
  return Compression::kNone;
}

Result<json::Value> read_json(const std::string& path) {
  Result<std::string> text = read_file(path, kMaxManifestBytes);
  if (!text) return text.error();
  return json::read(*text);
}

// One image of an archive: paths below the spread folder.
struct Found {
  std::string config_path, manifest_digest;
  std::vector<std::string> layer_paths, names;
};

std::vector<Found> find_docker_images(const json::Value& manifest) {
  std::vector<Found> found;
  if (!manifest.is_array()) return found;
  for (const json::Value& entry : manifest.as_array()) {
    Found image;
    if (const json::Value* config = entry.find("Config")) image.config_path = plain_path(config->string_or());
    const json::Value* layers = entry.find("Layers");
    for (const json::Value& layer : layers && layers->is_array() ? layers->as_array() : json::Array()) {
      image.layer_paths.push_back(plain_path(layer.string_or()));
    }
    const json::Value* tags = entry.find("RepoTags");
    for (const json::Value& tag : tags && tags->is_array() ? tags->as_array() : json::Array()) {
      image.names.emplace_back(tag.string_or());
    }
    found.push_back(std::move(image));
  }
  return found;
}

std::string blob_path(const std::string& digest) { return cat("blobs/sha256/", digest.substr(7)); }

Result<std::vector<Found>> find_oci_images(const std::string& folder, const json::Value& index,
                                           const std::string& architecture) {
  std::vector<Found> found;
  const json::Value* manifests = index.find("manifests");
  if (!manifests || !manifests->is_array()) return Error(Code::kCorrupt, "index.json lists no manifests");
  for (const json::Value& entry : manifests->as_array()) {
    const json::Value* digest_value = entry.find("digest");
    std::string digest = digest_value ? std::string(digest_value->string_or()) : "";
    Found image;
    image.manifest_digest = digest;
    if (const json::Value* name = entry.at({"annotations", "io.containerd.image.name"})) {
      image.names.emplace_back(name->string_or());
    } else if (const json::Value* ref = entry.at({"annotations", "org.opencontainers.image.ref.name"})) {
      image.names.emplace_back(ref->string_or());
    }
    for (int depth = 0; depth < 2; ++depth) {
      if (!valid_digest(digest)) return Error(Code::kCorrupt, "index.json names an invalid digest");
      Result<std::string> text = read_file(cat(folder, "/", blob_path(digest)), kMaxManifestBytes);
      if (!text) return text.error();
      if (cat("sha256:", hex_encode(io::sha256(*text))) != digest)
        return Error(Code::kCorrupt, cat("blob ", digest, " has another digest"));
      Result<Manifest> manifest = parse_manifest(*text, "");
      if (!manifest) return manifest.error();
      if (manifest->is_index) {
        Result<Descriptor> chosen = choose_platform(manifest->manifests, architecture);
        if (!chosen) return chosen.error();
        digest = chosen->digest;
        continue;
      }
      image.config_path = blob_path(manifest->config.digest);
      for (const LayerDescriptor& layer : manifest->layers) image.layer_paths.push_back(blob_path(layer.blob.digest));
      break;
    }
    found.push_back(std::move(image));
  }
  return found;
}

Result<std::vector<Found>> find_images(const std::string& path, const std::string& folder,
                                       const std::string& architecture) {
  if (auto spread = spread_archive(path, folder); !spread) return spread.error();
  // Newer `docker save` files are both; the docker manifest carries the names.
  if (file_exists(folder + "/manifest.json")) {
    Result<json::Value> manifest = read_json(folder + "/manifest.json");
    if (!manifest) return manifest.error().while_doing("manifest.json");
    return find_docker_images(*manifest);
  }
  if (file_exists(folder + "/index.json")) {
    Result<json::Value> index = read_json(folder + "/index.json");
    if (!index) return index.error().while_doing("index.json");
    return find_oci_images(folder, *index, architecture);
  }
  return Error(Code::kBadRequest, "holds neither manifest.json (docker save) nor index.json (OCI layout)");
}

}  // namespace

Task<Result<std::vector<ImageRef>>> ImageStoreImpl::import(std::string path, StopToken stop) {
  Result<FileLock> lock = files_.hold_pulls();
  if (!lock) co_return lock.error();
  Result<std::string> folder = files_.new_ingest_folder();
  if (!folder) co_return folder.error();
  const std::string spread = *folder;
  auto look = [path, spread, architecture = options_.architecture] { return find_images(path, spread, architecture); };
  Result<std::vector<Found>> found = co_await context_.loop.offload(std::move(look));
  std::vector<ImageRef> images;
  std::optional<Error> failure;
  if (!found) {
    failure = found.error();
  } else if (found->empty()) {
    failure = Error(Code::kBadRequest, "holds no image");
  } else {
    for (const Found& image : *found) {
      Result<ImageRef> one =
          co_await import_image(spread, image.config_path, image.layer_paths, image.names, image.manifest_digest, stop);
      if (!one) {
        failure = one.error();
        break;
      }
      images.push_back(std::move(*one));
    }
  }
  auto clean = [spread] { sweep(spread); };
  co_await context_.loop.offload(std::move(clean));
  if (failure) co_return failure->while_doing(cat("importing ", path));
  co_return images;
}

Task<Result<ImageRef>> ImageStoreImpl::import_image(std::string folder, std::string config_path,
                                                    std::vector<std::string> layer_paths,
                                                    std::vector<std::string> names, std::string manifest_digest,
                                                    StopToken stop) {
  Result<std::string> config_text = read_file(cat(folder, "/", config_path), kMaxManifestBytes);
  if (!config_text) co_return config_text.error();
  Result<ParsedConfig> config = parse_image_config(*config_text);
  if (!config) co_return config.error();
  if (config->diff_ids.size() != layer_paths.size())
    co_return Error(Code::kCorrupt, "the config lists other layers than the manifest");
  const std::vector<std::string> chains = chain_names(config->diff_ids);
  StoredImage image;
  image.id = cat("sha256:", hex_encode(io::sha256(*config_text)));
  image.layers = chains;
  image.size = config_text->size();
  image.config_json = std::move(*config_text);
  for (std::size_t i = 0; i < layer_paths.size(); ++i) {
    Fd file(::open(cat(folder, "/", layer_paths[i]).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) co_return Error(Code::kCorrupt, cat("the archive lacks the layer ", layer_paths[i]));
    struct stat info {};
    ::fstat(file.get(), &info);
    image.size += static_cast<std::uint64_t>(info.st_size);
    if (files_.has_layer(chains[i])) continue;
    const Compression compression = compression_of_file(file.get());
    std::vector<std::string> below = folders_below(chains, i);
    Result<void> unpacked =
        co_await unpack(file.get(), compression, config->diff_ids[i], chains[i], std::move(below), stop);
    if (!unpacked) co_return unpacked.error().while_doing(cat("layer ", layer_paths[i]));
  }
  std::vector<Reference> references;
  for (const std::string& name : names) {
    Result<Reference> reference = Reference::parse(name);
    if (!reference) co_return reference.error();
    references.push_back(std::move(*reference));
  }
  for (const Reference& reference : references) {
    if (!manifest_digest.empty()) image.digests.push_back(cat(reference.name(), "@", manifest_digest));
  }
  if (references.empty()) co_return co_await keep(image, std::string());
  Result<ImageRef> kept = Error(Code::kInternal, "no name was kept");
  for (const Reference& reference : references) {
    kept = co_await keep(image, reference.with_tag());
    if (!kept) break;
  }
  co_return kept;
}

}  // namespace kayak::agent
