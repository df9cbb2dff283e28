// kv_disk.h: the real database of one simulated server, on files that lose or tear what was not flushed when the power
// goes. SimDisk (sim_disk.h) stays beside it as the model of what must be there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/sim_disk.h"
#include "store/database_builder.h"
#include "store/support_vfs.h"

namespace kayak::sim {

class KvDisk {
 public:
  // `folder` exists.
  KvDisk(const std::string& folder, std::uint64_t seed, ShellMutant mutant);

  // Throws Violation when it cannot be opened.
  void open(const store::RowSink& sink);
  store::Database& database() { return *database_; }

  // What a disk is flushing, as one transaction. Errors: NoSpace, Io.
  Result<void> write(const std::vector<SimDisk::Write>& writes, const store::SweepLimits* sweep,
                     store::SweepResult* swept);
  // A snapshot comes in; a builder that another has is in the way. Errors: NoSpace, Io.
  bool may_build() const { return !incoming_; }
  Result<void> begin_snapshot();
  Result<void> feed(std::string_view bytes);
  void drop_snapshot() { incoming_.reset(); }
  // What the disk is flushing: it takes the place of the database, in the steps of Storage::replace_database(). After
  // an error nothing is open.
  Result<void> install(const SimDisk::Write& write, const store::RowSink& sink);
  void fail_next_sync() { disk_->fail_syncs = 1; }
  void set_full(bool full);

  // The power goes, somewhere within the flush if there is one. True: all that was being flushed is there; false:
  // nothing of it. Throws Violation when it is neither, or what was flushed before is not there.
  bool power_loss(Dice& dice, const SimDisk& model, const store::SweepLimits* sweep);

 private:
  struct Content {
    raft::HardState hard;
    store::LogIndex base = 0, compacted = 0, last = 0;
    std::vector<store::EntryRef> entries;  // above `compacted`
  };
  void put_in_disk();
  store::DatabaseOptions options() const;
  void tear(std::size_t operations);
  Content read_all();
  bool check(const SimDisk& model);

  const std::string path_;
  const ShellMutant mutant_;
  SeededRandom random_;
  raft::HardState written_hard_;
  std::unique_ptr<store::test::TestDisk> disk_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<store::DatabaseBuilder> incoming_;
  std::size_t mark_lowered_ = SIZE_MAX;  // after so many operations of the disk
};

}  // namespace kayak::sim
