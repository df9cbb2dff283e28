// images.h: the node's images: pulled from Docker v2/OCI registries or imported from archives, unpacked into layer
// folders that overlayfs stacks. The front door of src/agent/images.
// Owns <data-dir>/agent/images. Several processes may use it at once (`kayak image` beside the server): every change is
// made under a file lock, every image is one small file renamed into place, and a layer folder is complete or absent.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/images/reference.h"
#include "agent/runtime/image_config.h"
#include "base/json.h"
#include "base/result.h"
#include "io/loop.h"

namespace kayak::agent {

struct Image {
  std::string id;                    // digest of the configuration, "sha256:..."
  std::vector<std::string> names;    // canonical references with tags: "docker.io/library/busybox:1.36"
  std::vector<std::string> digests;  // canonical references with digests: "docker.io/library/busybox@sha256:..."
  ImageConfig config;
  std::vector<std::string> layer_folders;  // absolute paths, the lowest first
  std::uint64_t size = 0;                  // bytes of the compressed layers and the configuration
};
using ImageRef = std::shared_ptr<const Image>;

struct Credentials {
  std::string username, password;
};

struct PullOptions {
  // Tried in turn before those of registries.yaml (image pull secrets).
  std::vector<Credentials> credentials;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // bytes; may be empty
};

struct ImageStoreOptions {
  std::string folder;        // <data-dir>/agent/images
  std::string registries;    // path of registries.yaml; may be absent
  std::string architecture;  // OCI name, e.g. "amd64"; empty: this machine's
};

class ImageStore {
 public:
  // Removes what a killed pull left behind. Errors: Io, NoSpace, BadRequest (registries.yaml makes no sense).
  static Result<std::unique_ptr<ImageStore>> open(Context context, ImageStoreOptions options);
  virtual ~ImageStore() = default;

  // Pulls by tag or digest; layers that are here already are not fetched again. Two pulls of one image share the work.
  // Errors: NotFound (no such image), Unauthorized, Unavailable (registry not reachable), Corrupt (digest, size or
  // content is not what was promised; nothing is kept), TooLarge, NoSpace, Cancelled.
  virtual Task<Result<ImageRef>> pull(Reference reference, PullOptions options, StopToken stop = StopToken()) = 0;
  // All images of a docker-archive or OCI layout tar file. Errors: BadRequest, Corrupt, NoSpace, Io.
  virtual Task<Result<std::vector<ImageRef>>> import(std::string path, StopToken stop = StopToken()) = 0;
  // By name, digest or id; null when absent. Sees what other processes changed.
  virtual ImageRef find(const Reference& reference) = 0;
  virtual ImageRef find_by_id(const std::string& id) = 0;
  virtual std::vector<ImageRef> list() = 0;
  // Takes the name away; the last name takes the layers that nothing else uses. Errors: NotFound, Conflict (layers are
  // mounted by a container).
  virtual Task<Result<void>> remove(Reference reference) = 0;
};

}  // namespace kayak::agent
