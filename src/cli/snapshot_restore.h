// snapshot_restore.h: reads snapshots: checks one, or makes a server's data directory of it. No server takes part.
#pragma once

#include <string>
#include <vector>

#include "io/loop.h"

namespace kayak::cli {

struct RestoreOptions {
  std::string data_dir;
  std::string file;                      // "-": standard input
  std::vector<std::string> passphrases;  // tried in turn; a check does without any, as far as it can
};
struct RestoreReport {
  std::string text;  // what to tell, in whole lines
};

// Reads all of it. Without a passphrase its structure and checksums, with it everything that a restore would read.
// Blocking. Errors: Corrupt, Invalid, Unauthorized, NotFound, Io.
Result<RestoreReport> check_snapshot(const RestoreOptions& options);

// The keys and the store of a cluster, where there is no store yet. When this fails, what was there before is left as
// it is, and nothing new; where it was killed no server starts before it was run again. A token of the same cluster
// stays: it was changed since. The group is this server alone, under a new identity; the revision is far above the
// snapshot's. Blocking. Errors: AlreadyExists (there is a store, or other keys; says what to do), Unavailable (a server
// runs there), Unauthorized (no passphrase, or a wrong one), those of check_snapshot, NoSpace.
Result<RestoreReport> restore_snapshot(Context context, const RestoreOptions& options);

}  // namespace kayak::cli
