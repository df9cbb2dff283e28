// image_pull.cc: bringing an image from a registry: manifest, config, then layer by layer, each checked before it is
// seen.
#include <sys/statvfs.h>

#include <algorithm>

#include "agent/images/image_store.h"
#include "base/strings.h"

namespace kayak::agent {

namespace {

// Failures of the image itself; another endpoint would give the same.
bool final_failure(Code code) { return code == Code::kCorrupt || code == Code::kNoSpace || code == Code::kCancelled; }

// The compressed layers must fit with some room; unpacking can still run out and is cleaned up then.
Result<void> check_space(const std::string& folder, std::uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return Result<void>();
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free_bytes > bytes) return Result<void>();
  return Error(Code::kNoSpace, cat("the image's layers have ", bytes, " bytes, the disk under ", folder, " has ",
                                   free_bytes, " free; no space left on device"));
}

}  // namespace

std::vector<std::string> ImageStoreImpl::folders_below(const std::vector<std::string>& chains,
                                                       std::size_t layer) const {
  std::vector<std::string> below;
  for (std::size_t i = 0; i < layer; ++i) below.push_back(files_.layer_folder(chains[i]));
  return below;
}

Task<Result<ImageRef>> ImageStoreImpl::keep(StoredImage image, std::string name) {
  const std::string id = image.id;
  auto work = [files = files_, image = std::move(image), name]() mutable { return files.add(std::move(image), name); };
  Result<void> added = co_await context_.loop.offload(std::move(work));
  dirty_ = true;
  if (!added) co_return added.error();
  ImageRef kept = find_by_id(id);
  if (!kept) co_return Error(Code::kIo, cat("image ", id, " was removed while it was being added"));
  co_return kept;
}

Task<Result<ImageRef>> ImageStoreImpl::pull(Reference reference, PullOptions options, StopToken stop) {
  const std::string key = reference.to_string();
  while (auto running = flights_.count(key) ? flights_[key] : nullptr) {
    const bool done = co_await running->done.wait(stop);
    if (!done) co_return Error(Code::kCancelled, cat("pulling ", key, " was stopped"));
    // A stop of the one who pulled is not ours: pull again.
    if (running->result && (running->result->ok() || running->result->error().code() != Code::kCancelled)) {
      co_return *running->result;
    }
  }
  auto flight = std::make_shared<Flight>();
  flights_[key] = flight;
  Result<ImageRef> result = co_await pull_once(std::move(reference), std::move(options), stop);
  flights_.erase(key);
  flight->result.emplace(result);
  flight->done.set();
  co_return result;
}

Task<Result<ImageRef>> ImageStoreImpl::pull_once(Reference reference, PullOptions options, StopToken stop) {
  Result<std::vector<RegistryEndpoint>> endpoints = registries_.endpoints(reference);
  if (!endpoints) co_return endpoints.error();
  Result<FileLock> lock = files_.hold_pulls();
  if (!lock) co_return lock.error();
  std::optional<Error> failure;
  for (const RegistryEndpoint& endpoint : *endpoints) {
    // Credentials from the pod come first, then those of registries.yaml (which may be none).
    std::vector<Credentials> attempts = options.credentials;
    attempts.push_back(endpoint.credentials);
    std::optional<Error> first;
    for (const Credentials& credentials : attempts) {
      RegistryEndpoint attempt = endpoint;
      attempt.credentials = credentials;
      Result<ImageRef> pulled = co_await pull_from(attempt, reference, options, stop);
      if (pulled || final_failure(pulled.error().code())) co_return pulled;
      const Code code = pulled.error().code();
      // What was wrong with the credentials given is worth more than that none were not enough either.
      if (!first) first = pulled.error().while_doing(cat("from ", endpoint.to_string()));
      if (code != Code::kUnauthorized && code != Code::kForbidden) break;
    }
    failure = std::move(first);
  }
  co_return failure->while_doing(cat("failed to pull image ", quote(reference.to_string())));
}

Task<Result<ImageRef>> ImageStoreImpl::pull_from(RegistryEndpoint endpoint, Reference reference, PullOptions options,
                                                 StopToken stop) {
  RegistryClient client(context_, endpoint);
  const std::string wanted = reference.digest.empty() ? reference.tag : reference.digest;
  Result<FetchedManifest> fetched = co_await client.manifest(wanted, stop);
  if (!fetched) co_return fetched.error();
  const std::string top_digest = fetched->digest;
  Result<Manifest> manifest = parse_manifest(fetched->text, fetched->content_type);
  if (!manifest) co_return manifest.error();
  if (manifest->is_index) {
    Result<Descriptor> chosen = choose_platform(manifest->manifests, options_.architecture);
    if (!chosen) co_return chosen.error();
    fetched = co_await client.manifest(chosen->digest, stop);
    if (!fetched) co_return fetched.error();
    manifest = parse_manifest(fetched->text, fetched->content_type);
    if (!manifest) co_return manifest.error();
    if (manifest->is_index) co_return Error(Code::kCorrupt, "the image's index points to another index");
  }

  Result<Fd> config_file = files_.new_ingest_file();
  if (!config_file) co_return config_file.error();
  auto no_progress = std::function<void(std::uint64_t)>();
  Result<void> got_config = co_await client.blob(manifest->config, config_file->get(), no_progress, stop);
  if (!got_config) co_return got_config.error();
  std::string config_text(manifest->config.size, '\0');
  if (::pread(config_file->get(), config_text.data(), config_text.size(), 0) !=
      static_cast<ssize_t>(config_text.size())) {
    co_return error_from_errno(errno, "reading the image's config");
  }
  Result<ParsedConfig> config = parse_image_config(config_text);
  if (!config) co_return config.error();
  if (config->diff_ids.size() != manifest->layers.size()) {
    co_return Error(Code::kCorrupt, cat("the manifest lists ", manifest->layers.size(), " layers, the config ",
                                        config->diff_ids.size()));
  }
  Result<void> layers = co_await fetch_layers(client, *manifest, config->diff_ids, options, stop);
  if (!layers) co_return layers.error();

  StoredImage image;
  image.id = manifest->config.digest;
  image.config_json = std::move(config_text);
  image.layers = chain_names(config->diff_ids);
  image.digests = {cat(reference.name(), "@", top_digest)};
  if (fetched->digest != top_digest) image.digests.push_back(cat(reference.name(), "@", fetched->digest));
  image.size = manifest->config.size;
  for (const LayerDescriptor& layer : manifest->layers) image.size += layer.blob.size;
  co_return co_await keep(std::move(image), reference.with_tag());
}

Task<Result<void>> ImageStoreImpl::fetch_layers(RegistryClient& client, const Manifest& manifest,
                                                const std::vector<std::string>& diff_ids, PullOptions options,
                                                StopToken stop) {
  const std::vector<std::string> chains = chain_names(diff_ids);
  std::uint64_t total = 0, done = 0;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    if (!files_.has_layer(chains[i])) total += manifest.layers[i].blob.size;
  }
  if (auto fits = check_space(files_.folder(), total); !fits) co_return fits.error();
  std::function<void(std::uint64_t)> progress = [&done, total, &options](std::uint64_t bytes) {
    done += bytes;
    if (options.progress) options.progress(done, total);
  };
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    if (files_.has_layer(chains[i])) continue;
    const LayerDescriptor& layer = manifest.layers[i];
    Result<Fd> file = files_.new_ingest_file();
    if (!file) co_return file.error();
    Result<void> fetched = co_await client.blob(layer.blob, file->get(), progress, stop);
    if (!fetched) co_return fetched.error();
    std::vector<std::string> below = folders_below(chains, i);
    Result<void> unpacked =
        co_await unpack(file->get(), layer.compression, diff_ids[i], chains[i], std::move(below), stop);
    if (!unpacked) co_return unpacked.error().while_doing(cat("layer ", layer.blob.digest));
  }
  co_return Result<void>();
}

}  // namespace kayak::agent
