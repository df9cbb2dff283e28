// image_store.h: the ImageStore's class, private to this folder.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/images/image_files.h"
#include "agent/images/images.h"
#include "agent/images/layer_unpack.h"
#include "agent/images/registries.h"
#include "agent/images/registry_client.h"

namespace kayak::agent {

class ImageStoreImpl final : public ImageStore {
 public:
  ImageStoreImpl(Context context, ImageStoreOptions options, Registries registries);
  Task<Result<ImageRef>> pull(Reference reference, PullOptions options, StopToken stop) override;
  Task<Result<std::vector<ImageRef>>> import(std::string path, StopToken stop) override;
  ImageRef find(const Reference& reference) override;
  ImageRef find_by_id(const std::string& id) override;
  std::vector<ImageRef> list() override;
  Task<Result<void>> remove(Reference reference) override;

 private:
  friend class ImageStore;
  // One pull that several callers wait for. The first one's stop token drives it.
  struct Flight {
    io::Event done;
    std::optional<Result<ImageRef>> result;
  };
  void refresh();
  Task<Result<ImageRef>> pull_once(Reference reference, PullOptions options, StopToken stop);
  Task<Result<ImageRef>> pull_from(RegistryEndpoint endpoint, Reference reference, PullOptions options, StopToken stop);
  Task<Result<void>> fetch_layers(RegistryClient& client, const Manifest& manifest,
                                  const std::vector<std::string>& diff_ids, PullOptions options, StopToken stop);
  Task<Result<void>> unpack(int layer_fd, Compression compression, std::string diff_id, std::string chain,
                            std::vector<std::string> below, StopToken stop);
  std::vector<std::string> folders_below(const std::vector<std::string>& chains, std::size_t layer) const;
  Task<Result<ImageRef>> keep(StoredImage image, std::string name);
  Task<Result<ImageRef>> import_image(std::string folder, std::string config_path, std::vector<std::string> layer_paths,
                                      std::vector<std::string> names, std::string manifest_digest, StopToken stop);

  Context context_;
  ImageStoreOptions options_;
  Registries registries_;
  ImageFiles files_;
  std::vector<ImageRef> images_;
  std::int64_t seen_change_ = 0;
  bool dirty_ = true;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace kayak::agent
