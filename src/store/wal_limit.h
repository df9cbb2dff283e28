// wal_limit.h: how long the write-ahead log may become before it is moved into the database, so that moving it does not
// keep anybody waiting on this disk, however slow that is. Pure: Storage moves and measures.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace kayak::store {

class WalLimit {
 public:
  static constexpr std::uint64_t kLeastFrames = 64;
  // Of at most 50 ms that anybody may wait: disks have moods.
  static constexpr std::chrono::milliseconds kTarget{25};

  // `most`: of frames; at least kLeastFrames are allowed.
  explicit WalLimit(std::uint64_t most) : most_(std::max(most, kLeastFrames)) {}

  std::uint64_t frames() const { return frames_; }
  // It took so long to move so many.
  // How fast the disk is shows only here, so the first time after a start the log is short. While it takes less than
  // half the target the limit doubles at least: where syncs take most of the time it would else grow slowly, and each
  // page would meanwhile be written more often.
  void moved(std::uint64_t frames, std::chrono::microseconds took) {
    took = std::max(took, std::chrono::microseconds(1));
    const std::uint64_t fits = frames * static_cast<std::uint64_t>(kTarget / std::chrono::microseconds(1)) /
                               static_cast<std::uint64_t>(took / std::chrono::microseconds(1));
    std::uint64_t next = (frames_ + fits) / 2;
    starting_ = starting_ && 2 * took <= kTarget;
    if (starting_) next = std::max(next, 2 * frames_);
    frames_ = std::clamp(next, kLeastFrames, most_);
  }

 private:
  std::uint64_t most_;
  std::uint64_t frames_ = kLeastFrames;
  bool starting_ = true;  // it has never taken more than half the target
};

}  // namespace kayak::store
