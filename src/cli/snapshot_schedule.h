// snapshot_schedule.h: the server saves a snapshot of itself at the times that --snapshot-schedule-cron names, and
// keeps the newest few. Snapshots that were saved by hand are never touched. Source: k3s docs, "etcd-snapshot"
// (schedule, retention, names).
#pragma once

#include <string>

#include "api/validation/cron.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::cli {

// The first time after `after` that `schedule` names, by the machine's own time zone, in seconds since 1970; 0: there
// is none (the 30th of February). An hour that a zone leaves out or repeats is met at most once.
std::int64_t next_time(const api::validation::CronSchedule& schedule, std::int64_t after);

struct SnapshotScheduleOptions {
  std::string cron;  // checked by parse_cron
  std::string data_dir, dir, node;
  std::string passphrase_file;  // read each time
  std::size_t retention = 5;    // at least 1
};

class SnapshotSchedule {
 public:
  // `store` outlives it.
  SnapshotSchedule(Context context, store::Store& store, SnapshotScheduleOptions options);
  // Until `stop` fires. A failure is logged and ends nothing: the next time comes.
  Task<Result<void>> run(StopToken stop);
  // One snapshot now, then the oldest beyond the retention go. Errors: those of save_snapshot and read_passphrase.
  Task<Result<void>> save(StopToken stop);

 private:
  std::string prefix() const;
  Result<void> prune(const std::string& saved) const;
  Context context_;
  store::Store& store_;
  const SnapshotScheduleOptions options_;
};

}  // namespace kayak::cli
