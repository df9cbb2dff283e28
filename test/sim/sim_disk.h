// sim_disk.h: one node's disk: what is durable, what is on its way, and what a crash leaves of the latter.
// Writes are transactions, as SQLite's are: a torn one is cut back to nothing at the next start, and so is all after
// it.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "sim/sim_random.h"
#include "sim/state_machine.h"
#include "store/raft/raft.h"

namespace kayak::sim {

// The state machine's image after entry `index`, with what the core wants to know of the log before it.
struct Base {
  raft::LogIndex index = 0;
  raft::Term term = 0;
  raft::Membership membership;
  raft::LogIndex membership_index = 0;
  StateMachine::ImageRef image;
};

struct DiskContents {
  raft::HardState hard;
  std::optional<raft::WitnessRecord> record;
  Base base;
  std::deque<raft::Entry> entries;  // those above base.index

  raft::LogIndex last_index() const { return base.index + entries.size(); }
  // The entry is there, or in the base.
  bool holds(raft::LogIndex index, raft::Term term) const {
    if (index <= base.index) return true;
    return index <= last_index() && entries[index - base.index - 1].term == term;
  }
};

class SimDisk {
 public:
  struct Write {
    std::optional<raft::Append> append;
    std::optional<Base> base;  // beside an append: the snapshot that it installs; alone: a compaction
  };

  void queue(Write write) { queued_.push_back(std::move(write)); }
  bool idle() const { return queued_.empty(); }
  bool syncing() const { return syncing_ > 0; }
  // All that is queued shares the next flush; with `installs_alone`, but for the install of a snapshot.
  void begin_sync(bool installs_alone);
  // The flush is done. Returns the number of the last Append in it, 0 when there was none.
  std::uint64_t end_sync();
  // The number that end_sync() will return.
  std::uint64_t number_under_way() const;
  // Some of what was on its way may have arrived: a prefix of it.
  void crash(Dice& dice);
  // All of what was being flushed has arrived, or nothing.
  void crash(bool kept);
  static bool installs(const Write& write) { return write.append && write.append->install; }
  std::vector<Write> under_way() const { return {queued_.begin(), queued_.begin() + static_cast<long>(syncing_)}; }

  const DiskContents& contents() const { return contents_; }
  DiskContents& begin_with() { return contents_; }  // before the first start
  // An older copy in the place of what was there; not while the node is up.
  void go_back(DiskContents older) { contents_ = std::move(older); }

 private:
  void apply(Write write);

  DiskContents contents_;
  std::deque<Write> queued_;
  std::size_t syncing_ = 0;  // so many from the front
};

}  // namespace kayak::sim
