// mounts.h: mounts and directory trees of pods. Blocking: for the pool.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kayak::agent {

// An overlay of `layers` (bottom first) at `target`, written to in `upper`. All directories exist but those of the
// layers must, too. Errors: Io (names what the kernel refused), NotFound.
Result<void> mount_overlay(const std::vector<std::string>& layers, const std::string& upper, const std::string& work,
                           const std::string& target);
// The mount points in `mountinfo` (as /proc/self/mountinfo has it) at or below `directory`, the last mounted first.
std::vector<std::string> mounts_below(std::string_view mountinfo, std::string_view directory);
// Detaches everything that is mounted at or below `directory`.
Result<void> unmount_below(const std::string& directory);
// unmount_below, then the directory with all that is in it; never crosses into another file system. Ok when it is not
// there.
Result<void> remove_tree(const std::string& directory);
// The old content or the new one for every reader, but nothing is flushed: none of what pods have on a node outlives
// the machine's run, and an fsync on an SD card takes up to 0.4 s.
Result<void> replace_file(const std::string& path, std::string_view content, unsigned mode);
// Is a namespace pinned at `path`?
bool is_namespace(const std::string& path);
// A file of the root file system at `root`, with links resolved inside it alone; "" when there is none.
std::string read_in_root(const std::string& root, const char* path, std::size_t max_bytes);

}  // namespace kayak::agent
