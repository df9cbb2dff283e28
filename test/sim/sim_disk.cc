// sim_disk.cc: see sim_disk.h.
#include "sim/sim_disk.h"

#include <algorithm>

#include "base/assert.h"

namespace kayak::sim {

void SimDisk::apply(Write write) {
  if (write.base) {
    if (write.append) {
      contents_.entries.clear();  // a snapshot replaces the log
    } else {
      ASSERT(write.base->index >= contents_.base.index && write.base->index <= contents_.last_index());
      const auto gone = static_cast<std::ptrdiff_t>(write.base->index - contents_.base.index);
      contents_.entries.erase(contents_.entries.begin(), contents_.entries.begin() + gone);
    }
    contents_.base = std::move(*write.base);
  }
  if (!write.append) return;
  raft::Append& append = *write.append;
  contents_.hard = append.hard;
  if (append.record) contents_.record = append.record;
  if (append.first == 0) return;
  ASSERT(append.first > contents_.base.index && append.first <= contents_.last_index() + 1);
  contents_.entries.resize(append.first - contents_.base.index - 1);
  for (raft::Entry& entry : append.entries) contents_.entries.push_back(std::move(entry));
}

void SimDisk::begin_sync(bool installs_alone) {
  syncing_ = queued_.size();
  if (!installs_alone) return;
  for (std::size_t i = 0; i < syncing_; ++i) {
    if (installs(queued_[i])) syncing_ = std::max<std::size_t>(i, 1);
  }
}

std::uint64_t SimDisk::number_under_way() const {
  for (std::size_t i = syncing_; i > 0; --i) {
    if (queued_[i - 1].append) return queued_[i - 1].append->number;
  }
  return 0;
}

std::uint64_t SimDisk::end_sync() {
  const std::uint64_t number = number_under_way();
  for (; syncing_ > 0; --syncing_) {
    apply(std::move(queued_.front()));
    queued_.pop_front();
  }
  return number;
}

void SimDisk::crash(bool kept) {
  if (kept) end_sync();
  queued_.clear();
  syncing_ = 0;
}

void SimDisk::crash(Dice& dice) {
  const std::size_t kept = queued_.empty() || dice.chance(0.5) ? 0 : dice.below(queued_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(std::move(queued_[i]));
  queued_.clear();
  syncing_ = 0;
}

}  // namespace kayak::sim
