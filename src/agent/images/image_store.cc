// image_store.cc: the ImageStore: what is here, and the sharing of work between callers.
// image_pull.cc and image_import.cc bring images in; image_files.cc owns the disk.
#include "agent/images/image_store.h"

#include <sys/utsname.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"

namespace kayak::agent {

namespace {

std::string this_architecture() {
  utsname names{};
  ::uname(&names);
  const std::string machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.rfind("arm", 0) == 0) return "arm";
  return machine;
}

ImageRef to_image(const ImageFiles& files, const StoredImage& stored) {
  auto image = std::make_shared<Image>();
  image->id = stored.id;
  image->names = stored.names;
  image->digests = stored.digests;
  image->size = stored.size;
  if (Result<ParsedConfig> parsed = parse_image_config(stored.config_json)) image->config = std::move(parsed->config);
  for (const std::string& chain : stored.layers) image->layer_folders.push_back(files.layer_folder(chain));
  return image;
}

}  // namespace

Result<std::unique_ptr<ImageStore>> ImageStore::open(Context context, ImageStoreOptions options) {
  Registries registries;
  if (!options.registries.empty() && file_exists(options.registries)) {
    Result<std::string> text = read_file(options.registries, 1 << 20);
    if (!text) return text.error();
    Result<Registries> parsed = Registries::parse(*text);
    if (!parsed) return parsed.error().while_doing(options.registries);
    registries = std::move(*parsed);
  }
  if (options.architecture.empty()) options.architecture = this_architecture();
  auto store = std::make_unique<ImageStoreImpl>(std::move(context), std::move(options), std::move(registries));
  if (auto prepared = store->files_.prepare(); !prepared) return prepared.error();
  return std::unique_ptr<ImageStore>(std::move(store));
}

ImageStoreImpl::ImageStoreImpl(Context context, ImageStoreOptions options, Registries registries)
    : context_(std::move(context)),
      options_(std::move(options)),
      registries_(std::move(registries)),
      files_(options_.folder) {}

// Small files, a handful of them: read on the loop when the folder changed, as callers need the answer now.
void ImageStoreImpl::refresh() {
  const std::int64_t changed = files_.changed();
  if (changed == seen_change_ && !dirty_) return;
  Result<std::vector<StoredImage>> all = files_.load();
  if (!all) {
    context_.log.error("cannot read the image store", {{"error", all.error().message()}});
    return;
  }
  images_.clear();
  for (const StoredImage& stored : *all) images_.push_back(to_image(files_, stored));
  seen_change_ = changed;
  dirty_ = false;
}

ImageRef ImageStoreImpl::find(const Reference& reference) {
  refresh();
  const std::string by_digest = reference.digest.empty() ? "" : cat(reference.name(), "@", reference.digest);
  for (const ImageRef& image : images_) {
    const auto& list = by_digest.empty() ? image->names : image->digests;
    if (std::find(list.begin(), list.end(), by_digest.empty() ? reference.with_tag() : by_digest) != list.end())
      return image;
  }
  return nullptr;
}

ImageRef ImageStoreImpl::find_by_id(const std::string& id) {
  refresh();
  for (const ImageRef& image : images_) {
    if (image->id == id) return image;
  }
  return nullptr;
}

std::vector<ImageRef> ImageStoreImpl::list() {
  refresh();
  return images_;
}

Task<Result<void>> ImageStoreImpl::remove(Reference reference) {
  auto work = [files = files_, reference]() mutable { return files.remove(reference); };
  Result<void> removed = co_await context_.loop.offload(std::move(work));
  dirty_ = true;
  co_return removed;
}

// A layer file into the layer `chain`; the folder is taken away again when anything fails.
Task<Result<void>> ImageStoreImpl::unpack(int layer_fd, Compression compression, std::string diff_id, std::string chain,
                                          std::vector<std::string> below, StopToken stop) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  io::StopCallback on_stop(stop, [cancelled] { cancelled->store(true); });
  auto work = [files = files_, layer_fd, compression, diff_id, chain, below = std::move(below),
               cancelled]() -> Result<void> {
    Result<std::string> folder = files.new_ingest_folder();
    if (!folder) return folder.error();
    Result<void> done = unpack_layer(layer_fd, compression, *folder, diff_id, below, UnpackLimits(), *cancelled);
    if (done) done = files.commit_layer(*folder, chain);
    if (!done) sweep(*folder);
    return done;
  };
  co_return co_await context_.loop.offload(std::move(work));
}

}  // namespace kayak::agent
