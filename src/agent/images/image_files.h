// image_files.h: the image store's folder on disk. Blocking; every call may run on the pool.
//
//   lock                    flock: taken for each change of images/ and layers/
//   pulls                   flock: shared while layers are being added, exclusive to collect unused ones
//   images/<id>.json        one image: names, digests, config, layers
//   layers/<chain>/         one unpacked layer; <chain> is the first 24 hex digits of its OCI chain id
//   ingest/<random>         what is being fetched or unpacked; swept when nobody holds `pulls`
#pragma once

#include <string>
#include <vector>

#include "agent/images/images.h"
#include "agent/images/manifest.h"
#include "base/fd.h"

namespace kayak::agent {

// An advisory lock on a file, held until destruction.
class FileLock {
 public:
  static Result<FileLock> shared(const std::string& path);
  static Result<FileLock> exclusive(const std::string& path);
  static Result<FileLock> try_exclusive(const std::string& path);  // errors: Busy is Code::kConflict

 private:
  Fd fd_;
};

struct StoredImage {
  std::string id, config_json;
  std::vector<std::string> names, digests, layers;  // layers: chain names
  std::uint64_t size = 0;
};

class ImageFiles {
 public:
  explicit ImageFiles(std::string folder) : folder_(std::move(folder)) {}
  Result<void> prepare();  // makes the folders, sweeps ingest/
  Result<FileLock> hold_pulls() const { return FileLock::shared(folder_ + "/pulls"); }
  Result<std::vector<StoredImage>> load() const;
  std::int64_t changed() const;  // changes whenever images/ does
  // Adds or merges the image; `name` (may be empty) moves here from any other image.
  Result<void> add(StoredImage image, const std::string& name);
  // Errors: NotFound, Conflict (in use).
  Result<void> remove(const Reference& reference);
  std::string layer_folder(const std::string& chain) const { return folder_ + "/layers/" + chain; }
  bool has_layer(const std::string& chain) const;
  // A new empty folder or file below ingest/.
  Result<std::string> new_ingest_folder() const;
  Result<Fd> new_ingest_file() const;  // unlinked: gone when closed
  // Makes an unpacked folder the layer `chain`, durably. A layer that is there already wins.
  Result<void> commit_layer(const std::string& unpacked, const std::string& chain) const;
  const std::string& folder() const { return folder_; }

 private:
  Result<void> write_image(const StoredImage& image) const;
  Result<void> collect_unused() const;
  std::string folder_;
};

// OCI chain id: the name of a layer with everything below it. Source: OCI image-spec config.md, "Layer ChainID".
std::vector<std::string> chain_names(const std::vector<std::string>& diff_ids);

// Removes a folder of ours at the end of a failed or finished work; what cannot be removed now is swept at the next
// start.
void sweep(const std::string& folder);

}  // namespace kayak::agent
