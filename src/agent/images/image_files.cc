// image_files.cc: see image_files.h.
#include "agent/images/image_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "agent/runtime/mounts.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::agent {

namespace {

Result<Fd> open_lock(const std::string& path, int operation) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return error_from_errno(errno, cat("opening ", path));
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return Error(Code::kConflict, cat(path, " is locked"));
    return error_from_errno(errno, cat("locking ", path));
  }
  return fd;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

json::Value list_of(const std::vector<std::string>& texts) {
  json::Array list;
  for (const std::string& text : texts) list.emplace_back(text);
  return json::Value(std::move(list));
}

std::vector<std::string> texts_of(const json::Value* list) {
  std::vector<std::string> texts;
  if (!list || !list->is_array()) return texts;
  for (const json::Value& item : list->as_array()) texts.emplace_back(item.string_or());
  return texts;
}

Result<StoredImage> parse_stored(const std::string& path) {
  Result<std::string> text = read_file(path, 2 * kMaxManifestBytes);
  if (!text) return text.error();
  Result<json::Value> document = json::read(*text);
  if (!document) return document.error().while_doing(path);
  StoredImage image;
  if (const json::Value* id = document->find("id")) image.id = id->string_or();
  if (const json::Value* config = document->find("config")) image.config_json = config->string_or();
  image.names = texts_of(document->find("names"));
  image.digests = texts_of(document->find("digests"));
  image.layers = texts_of(document->find("layers"));
  if (const json::Value* size = document->find("size")) image.size = static_cast<std::uint64_t>(size->int_or(0));
  if (!valid_digest(image.id)) return Error(Code::kCorrupt, cat(path, " names no image"));
  return image;
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

}  // namespace

Result<FileLock> FileLock::shared(const std::string& path) {
  Result<Fd> fd = open_lock(path, LOCK_SH);
  if (!fd) return fd.error();
  FileLock lock;
  lock.fd_ = std::move(*fd);
  return lock;
}
Result<FileLock> FileLock::exclusive(const std::string& path) {
  Result<Fd> fd = open_lock(path, LOCK_EX);
  if (!fd) return fd.error();
  FileLock lock;
  lock.fd_ = std::move(*fd);
  return lock;
}
Result<FileLock> FileLock::try_exclusive(const std::string& path) {
  Result<Fd> fd = open_lock(path, LOCK_EX | LOCK_NB);
  if (!fd) return fd.error();
  FileLock lock;
  lock.fd_ = std::move(*fd);
  return lock;
}

void sweep(const std::string& folder) { static_cast<void>(remove_tree(folder).ok()); }

std::vector<std::string> chain_names(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> names;
  std::string chain;
  for (const std::string& diff_id : diff_ids) {
    chain = chain.empty() ? diff_id : cat("sha256:", hex_encode(io::sha256(cat(chain, " ", diff_id))));
    names.push_back(chain.substr(7, 24));
  }
  return names;
}

Result<void> ImageFiles::prepare() {
  for (const char* part : {"", "/images", "/layers", "/ingest"}) {
    if (auto made = make_directories(folder_ + part, 0700); !made) return made;
  }
  // Nobody pulls: what is in ingest/ belongs to a killed process, and unused layers can go.
  Result<FileLock> alone = FileLock::try_exclusive(folder_ + "/pulls");
  if (!alone) return alone.error().code() == Code::kConflict ? Result<void>() : Result<void>(alone.error());
  for (const std::string& name : names_in(folder_ + "/ingest")) sweep(cat(folder_, "/ingest/", name));
  Result<FileLock> lock = FileLock::exclusive(folder_ + "/lock");
  if (!lock) return lock.error();
  return collect_unused();
}

Result<std::vector<StoredImage>> ImageFiles::load() const {
  std::vector<StoredImage> images;
  for (const std::string& name : names_in(folder_ + "/images")) {
    if (name.size() < 6 || name.substr(name.size() - 5) != ".json") continue;
    Result<StoredImage> image = parse_stored(cat(folder_, "/images/", name));
    if (!image) {
      if (image.error().code() == Code::kNotFound) continue;  // removed since it was listed
      return image.error();
    }
    images.push_back(std::move(*image));
  }
  return images;
}

std::int64_t ImageFiles::changed() const {
  struct stat info {};
  if (::stat((folder_ + "/images").c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
}

Result<void> ImageFiles::write_image(const StoredImage& image) const {
  json::Object object;
  object.set("id", image.id);
  object.set("names", list_of(image.names));
  object.set("digests", list_of(image.digests));
  object.set("layers", list_of(image.layers));
  object.set("size", static_cast<std::int64_t>(image.size));
  object.set("config", image.config_json);
  return write_file_atomic(cat(folder_, "/images/", image.id.substr(7), ".json"),
                           json::write(json::Value(std::move(object))), 0600);
}

Result<void> ImageFiles::add(StoredImage image, const std::string& name) {
  Result<FileLock> lock = FileLock::exclusive(folder_ + "/lock");
  if (!lock) return lock.error();
  Result<std::vector<StoredImage>> all = load();
  if (!all) return all.error();
  for (StoredImage& other : *all) {
    if (other.id == image.id) {
      for (const std::string& n : other.names) add_once(image.names, n);
      for (const std::string& d : other.digests) add_once(image.digests, d);
      continue;
    }
    auto at = std::find(other.names.begin(), other.names.end(), name);
    if (name.empty() || at == other.names.end()) continue;
    other.names.erase(at);  // the tag has moved; the image stays for those who run it by digest
    if (auto written = write_image(other); !written) return written;
  }
  add_once(image.names, name);
  return write_image(image);
}

bool ImageFiles::has_layer(const std::string& chain) const { return file_exists(layer_folder(chain)); }

Result<std::string> ImageFiles::new_ingest_folder() const {
  std::string path = cat(folder_, "/ingest/XXXXXX");
  if (!::mkdtemp(path.data())) return error_from_errno(errno, cat("creating ", path));
  ::chmod(path.c_str(), 0755);
  return path;
}

Result<Fd> ImageFiles::new_ingest_file() const {
  std::string path = cat(folder_, "/ingest/XXXXXX");
  Fd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("creating ", path));
  ::unlink(path.c_str());
  return fd;
}

Result<void> ImageFiles::commit_layer(const std::string& unpacked, const std::string& chain) const {
  Fd fd(::open(unpacked.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0) return error_from_errno(errno, cat("flushing ", unpacked));
  Result<FileLock> lock = FileLock::exclusive(folder_ + "/lock");
  if (!lock) return lock.error();
  if (has_layer(chain)) {
    sweep(unpacked);
    return Result<void>();
  }
  if (::rename(unpacked.c_str(), layer_folder(chain).c_str()) != 0)
    return error_from_errno(errno, cat("keeping layer ", chain));
  Fd layers(::open((folder_ + "/layers").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!layers || ::fsync(layers.get()) != 0) return error_from_errno(errno, "flushing the layers folder");
  return Result<void>();
}

// Under `lock` and, exclusively, `pulls`: layers that no image names and no mount uses.
Result<void> ImageFiles::collect_unused() const {
  Result<std::vector<StoredImage>> all = load();
  if (!all) return all.error();
  std::set<std::string> used;
  for (const StoredImage& image : *all) used.insert(image.layers.begin(), image.layers.end());
  Result<std::string> mounts = read_file("/proc/self/mountinfo", 64 << 20);
  for (const std::string& chain : names_in(folder_ + "/layers")) {
    if (used.count(chain) != 0) continue;
    if (mounts && mounts->find(chain) != std::string::npos) continue;  // a container's rootfs stands on it
    const std::string trash = cat(folder_, "/ingest/unused-", chain);
    if (::rename(layer_folder(chain).c_str(), trash.c_str()) == 0) sweep(trash);
  }
  return Result<void>();
}

Result<void> ImageFiles::remove(const Reference& reference) {
  Result<FileLock> alone = FileLock::try_exclusive(folder_ + "/pulls");
  Result<FileLock> lock = FileLock::exclusive(folder_ + "/lock");
  if (!lock) return lock.error();
  Result<std::vector<StoredImage>> all = load();
  if (!all) return all.error();
  const std::string by_digest = reference.digest.empty() ? "" : cat(reference.name(), "@", reference.digest);
  for (StoredImage& image : *all) {
    auto& list = by_digest.empty() ? image.names : image.digests;
    auto at = std::find(list.begin(), list.end(), by_digest.empty() ? reference.with_tag() : by_digest);
    if (at == list.end()) continue;
    if (by_digest.empty()) list.erase(at);
    if (by_digest.empty() && !image.names.empty()) return write_image(image);
    Result<std::string> mounts = read_file("/proc/self/mountinfo", 64 << 20);
    for (const std::string& chain : image.layers) {
      if (mounts && mounts->find(chain) != std::string::npos) {
        return Error(Code::kConflict,
                     cat("image ", reference.to_string(), " is used by a container; delete its pod first"));
      }
    }
    const std::string path = cat(folder_, "/images/", image.id.substr(7), ".json");
    if (::unlink(path.c_str()) != 0) return error_from_errno(errno, cat("removing ", path));
    return alone ? collect_unused() : Result<void>();  // a pull is under way: the layers go at the next chance
  }
  return Error(Code::kNotFound, cat("image ", reference.to_string(), " is not here; `kayak image ls` lists what is"));
}

}  // namespace kayak::agent
