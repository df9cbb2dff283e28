// page_vfs.cc: SQLite's VFS and file methods, passed on to the VFS below.
#include "store/page_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "base/endian.h"
#include "base/strings.h"
#include "store/checksum.h"

namespace kayak::store {

namespace {

constexpr std::size_t kSummed = kPageBytes - kPageReserved;
// Adjacent writes are held back up to here: a commit or a checkpoint then takes few system calls.
constexpr std::size_t kMaxRun = 64 * 1024;

std::uint32_t page_sum(std::uint32_t number, const char* page) {
  char head[4];
  write_little(head, number, sizeof head);
  return crc32c(crc32c(0, std::string_view(head, 4)), std::string_view(page, kSummed));
}

// What a file of ours keeps beside the file below.
struct FileState {
  PageVfs* owner = nullptr;
  std::string name;
  bool database = false;   // pages carry checksums
  bool held_back = false;  // adjacent writes are gathered
  std::vector<char> run;   // written by SQLite, not yet below
  sqlite3_int64 run_at = 0;
};

// SQLite gives szOsFile bytes; the file below lies behind ours.
struct PageFile {
  sqlite3_file base;
  FileState* state;
  sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

PageFile* self(sqlite3_file* file) { return reinterpret_cast<PageFile*>(file); }

// The connection keeps no errno of a commit that fails, but the file does.
int note_failure(PageFile* file, int rc) {
  int number = 0;
  if (rc == SQLITE_OK) return rc;
  file->below()->pMethods->xFileControl(file->below(), SQLITE_FCNTL_LAST_ERRNO, &number);
  file->state->owner->note_errno(number);
  return rc;
}

int write_below(PageFile* file, const void* bytes, int size, sqlite3_int64 at) {
  DiskCounters& counters = file->state->owner->mutable_counters();
  counters.writes.fetch_add(1, std::memory_order_relaxed);
  counters.written_bytes.fetch_add(static_cast<std::uint64_t>(size), std::memory_order_relaxed);
  return note_failure(file, file->below()->pMethods->xWrite(file->below(), bytes, size, at));
}

int flush_run(PageFile* file) {
  FileState* state = file->state;
  if (state->run.empty()) return SQLITE_OK;
  const int rc = write_below(file, state->run.data(), static_cast<int>(state->run.size()), state->run_at);
  // Kept or not, a failed run is SQLite's to roll back: it writes the frames again with the next commit.
  state->run.clear();
  return rc;
}

int file_close(sqlite3_file* f) {
  PageFile* file = self(f);
  const int flushed = flush_run(file);
  const int closed = file->below()->pMethods->xClose(file->below());
  delete file->state;
  file->state = nullptr;
  return flushed != SQLITE_OK ? flushed : closed;
}

int file_read(sqlite3_file* f, void* bytes, int size, sqlite3_int64 at) {
  PageFile* file = self(f);
  if (const int rc = flush_run(file); rc != SQLITE_OK) return rc;
  const int rc = file->below()->pMethods->xRead(file->below(), bytes, size, at);
  file->state->owner->mutable_counters().read_bytes.fetch_add(static_cast<std::uint64_t>(size),
                                                              std::memory_order_relaxed);
  if (rc != SQLITE_OK || !file->state->database) return rc;
  if (size != static_cast<int>(kPageBytes) || at % kPageBytes != 0) return rc;
  if (page_is_good(static_cast<std::uint32_t>(at / kPageBytes) + 1, static_cast<const char*>(bytes))) return rc;
  file->state->owner->note_damage(file->state->name, static_cast<std::uint64_t>(at));
  return SQLITE_IOERR_DATA;
}

int file_write(sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
  PageFile* file = self(f);
  FileState* state = file->state;
  if (!state->held_back) return write_below(file, bytes, size, at);
  const bool adjacent = state->run_at + static_cast<sqlite3_int64>(state->run.size()) == at;
  if (!state->run.empty() && (!adjacent || state->run.size() + static_cast<std::size_t>(size) > kMaxRun)) {
    if (const int rc = flush_run(file); rc != SQLITE_OK) return rc;
  }
  if (state->run.empty()) state->run_at = at;
  const char* from = static_cast<const char*>(bytes);
  state->run.insert(state->run.end(), from, from + size);
  if (state->database && size == static_cast<int>(kPageBytes) && at % kPageBytes == 0) {
    seal_page(static_cast<std::uint32_t>(at / kPageBytes) + 1, state->run.data() + state->run.size() - kPageBytes);
  }
  return SQLITE_OK;
}

int file_truncate(sqlite3_file* f, sqlite3_int64 size) {
  PageFile* file = self(f);
  if (const int rc = flush_run(file); rc != SQLITE_OK) return rc;
  return file->below()->pMethods->xTruncate(file->below(), size);
}

int file_sync(sqlite3_file* f, int flags) {
  PageFile* file = self(f);
  if (const int rc = flush_run(file); rc != SQLITE_OK) return rc;
  file->state->owner->mutable_counters().syncs.fetch_add(1, std::memory_order_relaxed);
  return note_failure(file, file->below()->pMethods->xSync(file->below(), flags));
}

int file_size(sqlite3_file* f, sqlite3_int64* size) {
  PageFile* file = self(f);
  if (const int rc = flush_run(file); rc != SQLITE_OK) return rc;
  return file->below()->pMethods->xFileSize(file->below(), size);
}

int file_lock(sqlite3_file* f, int level) { return self(f)->below()->pMethods->xLock(self(f)->below(), level); }
int file_unlock(sqlite3_file* f, int level) { return self(f)->below()->pMethods->xUnlock(self(f)->below(), level); }
int file_check_lock(sqlite3_file* f, int* out) {
  return self(f)->below()->pMethods->xCheckReservedLock(self(f)->below(), out);
}
int file_control(sqlite3_file* f, int op, void* argument) {
  return self(f)->below()->pMethods->xFileControl(self(f)->below(), op, argument);
}
int file_sector_size(sqlite3_file* f) { return self(f)->below()->pMethods->xSectorSize(self(f)->below()); }
int file_characteristics(sqlite3_file* f) {
  return self(f)->below()->pMethods->xDeviceCharacteristics(self(f)->below());
}

// Version 1: no shared memory and no memory mapping, so that every page passes through xRead and xWrite.
const sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

}  // namespace

struct PageVfs::Impl {
  sqlite3_vfs vfs{};
  sqlite3_vfs* below = nullptr;
  std::string name;
  PageVfs* owner = nullptr;

  static Impl* of(sqlite3_vfs* vfs) { return static_cast<Impl*>(vfs->pAppData); }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* f, int flags, int* out_flags) {
    Impl* impl = of(vfs);
    PageFile* file = self(f);
    file->base.pMethods = nullptr;
    file->state = nullptr;
    const int rc = impl->below->xOpen(impl->below, path, file->below(), flags, out_flags);
    if (rc != SQLITE_OK) {
      if (file->below()->pMethods != nullptr) file->below()->pMethods->xClose(file->below());
      return rc;
    }
    auto* state = new FileState;
    state->owner = impl->owner;
    state->name = path == nullptr ? "(temporary)" : path;
    state->database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    state->held_back = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
    file->state = state;
    file->base.pMethods = &kMethods;
    return SQLITE_OK;
  }
  static int remove(sqlite3_vfs* vfs, const char* path, int sync_directory) {
    return of(vfs)->below->xDelete(of(vfs)->below, path, sync_directory);
  }
  static int access(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
    return of(vfs)->below->xAccess(of(vfs)->below, path, flags, out);
  }
  static int full_path(sqlite3_vfs* vfs, const char* path, int size, char* out) {
    return of(vfs)->below->xFullPathname(of(vfs)->below, path, size, out);
  }
  static int randomness(sqlite3_vfs* vfs, int size, char* out) {
    return of(vfs)->below->xRandomness(of(vfs)->below, size, out);
  }
  static int sleep(sqlite3_vfs* vfs, int microseconds) { return of(vfs)->below->xSleep(of(vfs)->below, microseconds); }
  static int current_time(sqlite3_vfs* vfs, double* out) { return of(vfs)->below->xCurrentTime(of(vfs)->below, out); }
  static int last_error(sqlite3_vfs* vfs, int size, char* out) {
    return of(vfs)->below->xGetLastError(of(vfs)->below, size, out);
  }
};

Result<std::unique_ptr<PageVfs>> PageVfs::create(const std::string& base) {
  sqlite3_vfs* below = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  if (below == nullptr) return Error(Code::kInternal, cat("SQLite has no VFS named ", base));
  std::unique_ptr<PageVfs> owner(new PageVfs);
  owner->impl_ = std::make_unique<Impl>();
  Impl& impl = *owner->impl_;
  impl.below = below;
  impl.owner = owner.get();
  // Two stores in one process must not share a name; the address is one for as long as it is registered.
  impl.name = cat("kayak-", reinterpret_cast<std::uintptr_t>(owner.get()));
  impl.vfs.iVersion = 1;
  impl.vfs.szOsFile = static_cast<int>(sizeof(PageFile)) + below->szOsFile;
  impl.vfs.mxPathname = below->mxPathname;
  impl.vfs.zName = impl.name.c_str();
  impl.vfs.pAppData = &impl;
  impl.vfs.xOpen = Impl::open;
  impl.vfs.xDelete = Impl::remove;
  impl.vfs.xAccess = Impl::access;
  impl.vfs.xFullPathname = Impl::full_path;
  impl.vfs.xRandomness = Impl::randomness;
  impl.vfs.xSleep = Impl::sleep;
  impl.vfs.xCurrentTime = Impl::current_time;
  impl.vfs.xGetLastError = Impl::last_error;
  if (sqlite3_vfs_register(&impl.vfs, 0) != SQLITE_OK) return Error(Code::kInternal, "SQLite refuses our VFS");
  return owner;
}

PageVfs::~PageVfs() {
  if (impl_) sqlite3_vfs_unregister(&impl_->vfs);
}

const char* PageVfs::name() const { return impl_->name.c_str(); }

std::optional<PageVfs::Damage> PageVfs::damage() const {
  std::lock_guard lock(mutex_);
  return damage_;
}

void PageVfs::note_damage(const std::string& file, std::uint64_t offset) {
  std::lock_guard lock(mutex_);
  if (!damage_) damage_ = Damage{file, offset};
}

void seal_page(std::uint32_t number, char* page) {
  write_little(page + kSummed, page_sum(number, page), kPageReserved);
}

bool page_is_good(std::uint32_t number, const char* page) {
  if (little32(std::string_view(page, kPageBytes), kSummed) == page_sum(number, page)) return true;
  // memcmp of a page with itself moved by one: all bytes equal the first, which is 0.
  return page[0] == 0 && std::memcmp(page, page + 1, kPageBytes - 1) == 0;
}

}  // namespace kayak::store
