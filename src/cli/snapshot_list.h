// snapshot_list.h: which snapshots are in a folder, by what their heads say.
#pragma once

#include <string>
#include <vector>

#include "store/snapshot_file.h"

namespace kayak::cli {

struct ListedSnapshot {
  std::string name;
  std::uint64_t bytes = 0;
  store::SnapshotInfo info;
};
// Oldest first; what is no snapshot is left out. Only heads are read: a snapshot in the list may be damaged.
// Blocking. Errors: NotFound, Io (it is no folder, or cannot be read).
Result<std::vector<ListedSnapshot>> list_snapshots(const std::string& folder);

}  // namespace kayak::cli
