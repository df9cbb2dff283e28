// restore.cc: see restore.h.
#include "store/restore.h"

#include <fcntl.h>

#include <cstdio>
#include <span>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "store/database_builder.h"
#include "store/member.h"

namespace kayak::store {

Restore::Restore(std::string path, LockFile lock, bool made_lock)
    : path_(std::move(path)), lock_(std::move(lock)), made_lock_(made_lock) {}

Restore::~Restore() {
  builder_.reset();
  if (finished_) return;
  remove_database_files(incoming_path(path_));
  // What that one's caller has put in place is there still.
  if (interrupted_) Fd(::open(incoming_path(path_).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).reset();
  if (made_lock_) lock_.remove(path_ + "-lock");
}

Result<std::unique_ptr<Restore>> Restore::begin(Options options) {
  const bool had_lock = file_exists(options.path + "-lock");
  Result<LockFile> lock = LockFile::acquire(options.path + "-lock");
  if (!lock) return lock.error();
  std::unique_ptr<Restore> restore(new Restore(options.path, std::move(*lock), !had_lock));
  for (const char* suffix : {"", "-wal"}) {
    if (!file_exists(options.path + suffix)) continue;
    return Error(Code::kAlreadyExists, cat("there is a store already: ", options.path, suffix));
  }
  restore->interrupted_ = file_exists(incoming_path(options.path));
  DatabaseBuilder::Options build;
  build.path = options.path;
  build.store_id.resize(16);
  options.random->fill(std::as_writable_bytes(std::span<char>(build.store_id)));
  build.alone = DatabaseBuilder::Alone{options.self, std::string(kMemberPrefix), kSkippedRevisions};
  Result<std::unique_ptr<DatabaseBuilder>> builder = DatabaseBuilder::create(std::move(build));
  if (!builder) return builder.error();
  restore->builder_ = std::move(*builder);
  return restore;
}

Result<void> Restore::feed(std::string_view bytes) {
  Result<std::size_t> used = builder_->feed(bytes);
  return used ? Result<void>() : Result<void>(used.error());
}

Result<SnapshotHead> Restore::prepare() {
  Result<SnapshotHead> head = builder_->finish();
  prepared_ = head.ok();
  return head;
}

Result<void> Restore::finish() {
  ASSERT(prepared_);
  // What was acknowledged by a store that is not there any more counts for nothing.
  if (auto done = lock_.sync_mark(LockFile::Mark()); !done) return done;
  if (std::rename(incoming_path(path_).c_str(), path_.c_str()) != 0) {
    return error_from_errno(errno, cat("putting ", path_, " in its place"));
  }
  const Result<void> synced = sync_folder_of(path_);
  finished_ = synced.ok();
  if (!finished_) remove_database_files(path_);
  return synced;
}

}  // namespace kayak::store
