#include "store/support_vfs.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/strings.h"
#include "store/database.h"
#include "store/support_store.h"

namespace kayak::store::test {

namespace {
struct Operation {
  enum class Type { kWrite, kTruncate, kSync, kRemove, kRename, kFolderSync } type;
  std::string path;
  std::int64_t at = 0;  // or the length
  std::string bytes;    // or the new path
};
}  // namespace

struct TestDisk::Impl {
  TestDisk* disk = nullptr;
  sqlite3_vfs vfs{};
  sqlite3_vfs* below = nullptr;
  std::string name;
  mutable std::mutex mutex;
  std::map<std::string, std::int64_t> sizes;
  std::map<std::string, ino_t> inodes;       // of the files when they were opened last
  std::map<std::string, std::string> start;  // contents when recording first saw a file
  std::vector<Operation> operations;
  mutable std::mutex gate;
  std::condition_variable changed;
  std::int64_t allowed = INT64_MAX;  // operations that may yet begin
  int under_way = 0, waiting = 0;

  // `path` is being opened: whether it is what was its copy when that was opened.
  void note_copy_in_place(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return;
    const std::string copy = copy_path(path);
    bool placed = false;
    {
      std::lock_guard lock(mutex);
      const auto known = inodes.find(copy);
      placed = known != inodes.end() && known->second == info.st_ino && !file_exists(copy);
      if (placed) inodes.erase(known);
      if (placed) sizes.erase(copy);
      inodes[path] = info.st_ino;
    }
    if (!placed) return;
    record({Operation::Type::kRename, copy, 0, path});
    record({Operation::Type::kFolderSync, "", 0, ""});
  }

  static Impl* of(sqlite3_vfs* v) { return static_cast<Impl*>(v->pAppData); }
  void record(Operation operation) {
    if (!disk->recording) return;
    std::lock_guard lock(mutex);
    operations.push_back(std::move(operation));
  }
  bool fits(const std::string& path, std::int64_t end) {
    std::lock_guard lock(mutex);
    std::int64_t total = 0;
    // Not all files are removed through SQLite.
    for (const auto& [p, size] : sizes) total += disk->capacity == INT64_MAX || file_exists(p) ? size : 0;
    std::int64_t& size = sizes[path];
    if (end <= size) return true;
    if (total - size + end > disk->capacity) return false;
    size = end;
    return true;
  }
};

namespace {

// One operation: waits while the disk is held.
class Begun {
 public:
  explicit Begun(TestDisk::Impl* impl) : impl_(*impl) {
    std::unique_lock lock(impl_.gate);
    ++impl_.waiting;
    impl_.changed.wait(lock, [this] { return impl_.allowed > 0; });
    --impl_.waiting;
    --impl_.allowed;
    ++impl_.under_way;
  }
  Begun(const Begun&) = delete;
  Begun& operator=(const Begun&) = delete;
  ~Begun() {
    std::lock_guard lock(impl_.gate);
    --impl_.under_way;
    impl_.changed.notify_all();
  }

 private:
  TestDisk::Impl& impl_;
};

struct File {
  sqlite3_file base;
  TestDisk::Impl* impl;
  std::string* path;
  sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
File* self(sqlite3_file* f) { return reinterpret_cast<File*>(f); }

int f_close(sqlite3_file* f) {
  const int rc = self(f)->below()->pMethods->xClose(self(f)->below());
  delete self(f)->path;
  return rc;
}
int f_read(sqlite3_file* f, void* b, int n, sqlite3_int64 at) {
  return self(f)->below()->pMethods->xRead(self(f)->below(), b, n, at);
}
int f_write(sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
  File* file = self(f);
  const Begun begun(file->impl);
  TestDisk& disk = *file->impl->disk;
  if (disk.fail_writes > 0) {
    --disk.fail_writes;
    return SQLITE_IOERR_WRITE;
  }
  if (!file->impl->fits(*file->path, at + size)) {
    // As a real disk: part of it is written.
    const int part = size / 2 / 512 * 512;
    if (part > 0) file->below()->pMethods->xWrite(file->below(), bytes, part, at);
    return SQLITE_FULL;
  }
  file->impl->record({Operation::Type::kWrite, *file->path, at,
                      std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))});
  return file->below()->pMethods->xWrite(file->below(), bytes, size, at);
}
int f_truncate(sqlite3_file* f, sqlite3_int64 size) {
  const Begun begun(self(f)->impl);
  self(f)->impl->record({Operation::Type::kTruncate, *self(f)->path, size, ""});
  {
    std::lock_guard lock(self(f)->impl->mutex);
    self(f)->impl->sizes[*self(f)->path] = size;
  }
  return self(f)->below()->pMethods->xTruncate(self(f)->below(), size);
}
int f_sync(sqlite3_file* f, int flags) {
  const Begun begun(self(f)->impl);
  TestDisk& disk = *self(f)->impl->disk;
  if (disk.fail_syncs > 0) {
    --disk.fail_syncs;
    return SQLITE_IOERR_FSYNC;
  }
  if (disk.lying) return SQLITE_OK;
  if (disk.sync_delay_us > 0) ::usleep(static_cast<useconds_t>(disk.sync_delay_us.load()));
  const int rc = self(f)->below()->pMethods->xSync(self(f)->below(), flags);
  self(f)->impl->record({Operation::Type::kSync, *self(f)->path, 0, ""});
  return rc;
}
int f_size(sqlite3_file* f, sqlite3_int64* size) {
  return self(f)->below()->pMethods->xFileSize(self(f)->below(), size);
}
int f_lock(sqlite3_file* f, int l) { return self(f)->below()->pMethods->xLock(self(f)->below(), l); }
int f_unlock(sqlite3_file* f, int l) { return self(f)->below()->pMethods->xUnlock(self(f)->below(), l); }
int f_check(sqlite3_file* f, int* out) { return self(f)->below()->pMethods->xCheckReservedLock(self(f)->below(), out); }
int f_control(sqlite3_file* f, int op, void* a) {
  return self(f)->below()->pMethods->xFileControl(self(f)->below(), op, a);
}
int f_sector(sqlite3_file* f) { return self(f)->below()->pMethods->xSectorSize(self(f)->below()); }
int f_flags(sqlite3_file* f) { return self(f)->below()->pMethods->xDeviceCharacteristics(self(f)->below()); }

const sqlite3_io_methods kMethods = {1,      f_close,  f_read,  f_write,   f_truncate, f_sync, f_size,
                                     f_lock, f_unlock, f_check, f_control, f_sector,   f_flags};

int v_open(sqlite3_vfs* v, const char* path, sqlite3_file* f, int flags, int* out) {
  TestDisk::Impl* impl = TestDisk::Impl::of(v);
  File* file = self(f);
  file->base.pMethods = nullptr;
  const int rc = impl->below->xOpen(impl->below, path, file->below(), flags, out);
  if (rc != SQLITE_OK) return rc;
  file->impl = impl;
  file->path = new std::string(path == nullptr ? "" : path);
  file->base.pMethods = &kMethods;
  if (path != nullptr) impl->note_copy_in_place(path);
  const std::string contents = path == nullptr ? std::string() : read_file(path);
  std::lock_guard lock(impl->mutex);
  impl->sizes[*file->path] = static_cast<std::int64_t>(contents.size());
  if (impl->disk->recording) impl->start.emplace(*file->path, contents);
  return SQLITE_OK;
}
int v_delete(sqlite3_vfs* v, const char* path, int sync) {
  TestDisk::Impl* impl = TestDisk::Impl::of(v);
  const Begun begun(impl);
  impl->record({Operation::Type::kRemove, path, 0, ""});
  if (sync != 0) impl->record({Operation::Type::kFolderSync, "", 0, ""});
  {
    std::lock_guard lock(impl->mutex);
    impl->sizes.erase(path);
  }
  return impl->below->xDelete(impl->below, path, sync);
}

// One file as the power failure finds it.
struct Fate {
  std::string synced;
  std::vector<const Operation*> since;
  bool removed = false;

  static void apply(std::string* content, const Operation& op, Random* random) {
    if (op.type == Operation::Type::kTruncate) {
      if (random == nullptr || random->below(2) == 0) content->resize(static_cast<std::size_t>(op.at));
      return;
    }
    const auto end = static_cast<std::size_t>(op.at) + op.bytes.size();
    constexpr std::size_t kSector = 512;
    for (std::size_t at = static_cast<std::size_t>(op.at); at < end;) {
      const std::size_t next = std::min(end, at / kSector * kSector + kSector);
      if (random == nullptr || random->below(2) == 0) {
        if (content->size() < next) content->resize(next, '\0');
        content->replace(at, next - at, op.bytes, at - static_cast<std::size_t>(op.at), next - at);
      }
      at = next;
    }
  }
};

}  // namespace

TestDisk::TestDisk() : impl_(std::make_unique<Impl>()) {
  impl_->disk = this;
  impl_->below = sqlite3_vfs_find(nullptr);
  impl_->name = cat("test-disk-", reinterpret_cast<std::uintptr_t>(this));
  impl_->vfs = *impl_->below;
  impl_->vfs.iVersion = 1;
  impl_->vfs.pNext = nullptr;
  impl_->vfs.zName = impl_->name.c_str();
  impl_->vfs.pAppData = impl_.get();
  impl_->vfs.szOsFile = static_cast<int>(sizeof(File)) + impl_->below->szOsFile;
  impl_->vfs.xOpen = v_open;
  impl_->vfs.xDelete = v_delete;
  impl_->vfs.xAccess = [](sqlite3_vfs* v, const char* p, int f, int* o) {
    return Impl::of(v)->below->xAccess(Impl::of(v)->below, p, f, o);
  };
  impl_->vfs.xFullPathname = [](sqlite3_vfs* v, const char* p, int n, char* o) {
    return Impl::of(v)->below->xFullPathname(Impl::of(v)->below, p, n, o);
  };
  impl_->vfs.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
  ASSERT(sqlite3_vfs_register(&impl_->vfs, 0) == SQLITE_OK);
}
TestDisk::~TestDisk() { sqlite3_vfs_unregister(&impl_->vfs); }
const char* TestDisk::vfs() const { return impl_->name.c_str(); }

void TestDisk::hold_after(std::size_t count) {
  std::unique_lock lock(impl_->gate);
  impl_->allowed = static_cast<std::int64_t>(count);
  impl_->changed.notify_all();
  if (count == 0) impl_->changed.wait(lock, [this] { return impl_->under_way == 0; });
}
bool TestDisk::held() const {
  std::lock_guard lock(impl_->gate);
  return impl_->waiting > 0 && impl_->allowed <= 0 && impl_->under_way == 0;
}
void TestDisk::let_go() {
  std::lock_guard lock(impl_->gate);
  impl_->allowed = INT64_MAX;
  impl_->changed.notify_all();
}

std::size_t TestDisk::operations() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->operations.size();
}

void TestDisk::renamed(const std::string& from, const std::string& to) {
  impl_->record({Operation::Type::kRename, from, 0, to});
}
void TestDisk::folder_synced() { impl_->record({Operation::Type::kFolderSync, "", 0, ""}); }

std::map<std::string, std::string> TestDisk::after_power_loss(std::size_t count, Random& random) const {
  std::lock_guard lock(impl_->mutex);
  // Some power failures lose nothing, some all; most are in between.
  const std::uint64_t mood = random.below(8);
  std::size_t synced = count;  // the folder as it was then is there
  if (folders_lag) {
    for (synced = count; synced > 0 && impl_->operations[synced - 1].type != Operation::Type::kFolderSync;) --synced;
  }
  const auto happened = [&](std::size_t i) { return i < synced || mood == 1 || (mood > 1 && random.below(2) == 0); };
  std::map<std::string, Fate> files;
  for (const auto& [path, content] : impl_->start) files[path].synced = content;
  for (std::size_t i = 0; i < count; ++i) {
    const Operation& op = impl_->operations[i];
    if (op.type == Operation::Type::kFolderSync) continue;
    Fate& fate = files[op.path];
    switch (op.type) {
      case Operation::Type::kSync:
        for (const Operation* done : fate.since) Fate::apply(&fate.synced, *done, nullptr);
        fate.since.clear();
        fate.removed = false;
        break;
      case Operation::Type::kRemove:
        if (!happened(i)) break;
        fate = Fate();
        fate.removed = true;
        break;
      case Operation::Type::kRename:
        if (!happened(i)) break;
        files[op.bytes] = std::move(fate);
        files.erase(op.path);
        break;
      default:
        fate.removed = false;
        fate.since.push_back(&op);
    }
  }
  std::map<std::string, std::string> found;
  for (auto& [path, fate] : files) {
    if (fate.removed && fate.since.empty()) continue;
    for (const Operation* op : fate.since) {
      if (mood == 0) continue;
      Fate::apply(&fate.synced, *op, mood == 1 ? nullptr : &random);
    }
    found[path] = std::move(fate.synced);
  }
  return found;
}

}  // namespace kayak::store::test
