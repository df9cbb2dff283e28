// restore.h: a server's database from the stream of a snapshot, where there is none yet: a cluster that was lost
// begins anew, with this server alone. A front door beside store.h, for `kayak snapshot restore`.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "store/lock_file.h"
#include "store/snapshot_stream.h"

namespace kayak::store {

class DatabaseBuilder;

class Restore {
 public:
  struct Options {
    std::string path;  // of the database, as in SqliteStoreOptions; its folder must exist
    raft::NodeId self = raft::kNobody;
    Random* random = nullptr;  // for the id of the new store
  };
  // Keeps servers away until this ends. Every call blocks, on the disk.
  // Errors: Unavailable (a server runs there), AlreadyExists (there is a database), NoSpace, Io.
  static Result<std::unique_ptr<Restore>> begin(Options options);
  ~Restore();  // leaves what it found unless finish() succeeded
  // Another one was killed here.
  bool interrupted() const { return interrupted_; }
  // The next bytes of the stream; what follows its end is ignored. Errors: Corrupt, Invalid (a newer format), NoSpace,
  // Io.
  Result<void> feed(std::string_view bytes);
  // The state is whole and on disk, though not yet where a server looks for it. Errors: as of feed().
  Result<SnapshotHead> prepare();
  // The one step with which there is a store. A process that is killed before leaves a store that cannot be opened, as
  // its caller may have put keys in place: it has to be restored again. Errors: Io.
  Result<void> finish();

 private:
  Restore(std::string path, LockFile lock, bool made_lock);
  std::string path_;
  LockFile lock_;
  const bool made_lock_;  // there was none before
  std::unique_ptr<DatabaseBuilder> builder_;
  bool interrupted_ = false, prepared_ = false, finished_ = false;
};

}  // namespace kayak::store
