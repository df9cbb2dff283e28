// storage.h: the storage thread: appends in groups, reads between commits, sweeps and checkpoints when they are due.
// What is asked for while a commit is on its way to the disk shares the next one. The Raft core only sees messages:
// append() with a number, and later Appended with the highest number that is on disk, on the loop, in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "store/database.h"
#include "store/state.h"
#include "store/wal_limit.h"

namespace kayak::store {

class DatabaseBuilder;

// The Appends up to this number are on disk.
struct Appended {
  std::uint64_t number = 0;
  // The rows asked for with the appends, those that there were.
  std::vector<std::pair<RowId, Bytes>> fetched;
  std::size_t entries = 0;
  Duration commit_time{};              // of this group; 0 of an install, which is no measure of what a commit takes
  std::shared_ptr<KvState> installed;  // the state that replaced the one before
};

struct StorageCounters {
  std::atomic<std::uint64_t> commits{0}, entries{0}, checkpoints{0};
  std::atomic<std::uint64_t> longest_stall_us{0};  // of a commit, a checkpoint or a read job
};

class Storage {
 public:
  // All run on the loop.
  struct Events {
    std::function<void(Appended)> appended;
    // No space: nothing of the appends that are waiting is on disk, and none is tried before retry() or drop().
    std::function<void(Error)> append_failed;
    std::function<void(Error)> fatal;  // an I/O error or damage: nothing is written any more
  };
  struct Options {
    DatabaseOptions database;
    std::size_t wal_bytes = 4 * 1024 * 1024;  // the write-ahead log is emptied when it is as long; less on slow disks
  };

  // Opens the database on the new thread; `sink` runs there, too. Errors: as Database::open.
  static Task<Result<std::unique_ptr<Storage>>> open(Loop& loop, Options options, RowSink sink, Events events);
  ~Storage();  // ends the thread; without close() before it, as a crash would

  // What the database found when it was opened.
  const LogFound& found() const { return database_->found(); }
  // Numbers ascend. `fetch`: rows to read beside it, for their values.
  void append(std::uint64_t number, LogWrite write, std::vector<RowId> fetch = {});
  // The database that `builder` has built takes the place of this one, with `write` on top of it, which has the term
  // and vote of this moment: what `builder` knew when it began may be older.
  void install(std::uint64_t number, std::shared_ptr<DatabaseBuilder> builder, LogWrite write);
  // The installs that the loop has seen. Whoever learns row ids takes the epoch in the same turn of the loop: in
  // another one's database they are not there, or what leads to them is not.
  using Epoch = std::uint64_t;
  Epoch epoch() const { return epoch_; }
  void installed_seen() { ++epoch_; }
  // After append_failed: the waiting appends are tried again, or forgotten.
  void retry();
  void drop();
  // Runs `work`, a Result<...>(Database&), on the thread, between commits. It must not take long. Not cancellable.
  // Errors, beside those of `work`: Expired (the database of `epoch` is gone, and nothing was done).
  template <typename F>
  Task<std::invoke_result_t<F, Database&>> call(Epoch epoch, F work);
  // One slice; in the same transaction as waiting appends. Errors: NoSpace, Io, Corrupt, Unavailable.
  Task<Result<SweepResult>> sweep(SweepLimits limits);
  // Finishes what was asked for, moves all into the database file, ends the thread.
  Task<Result<void>> close();

  const StorageCounters& counters() const { return counters_; }
  struct DiskTotals {
    std::uint64_t database_bytes = 0, free_bytes = 0;  // the second: a part of the first
    std::uint64_t written_bytes = 0, syncs = 0;        // since the database was opened
  };
  DiskTotals disk_totals() const;
  // As the open found it.
  Database::Base base() const { return database_->base(); }

 private:
  struct PendingAppend {
    std::uint64_t number;
    LogWrite write;
    std::vector<RowId> fetch;
    std::shared_ptr<DatabaseBuilder> install;  // else null
  };
  // Its failure, for the thread to judge.
  using Job = std::function<std::optional<Error>(Database* database, const std::optional<Error>& broken)>;
  struct SweepJob {
    SweepLimits limits;
    std::function<void(Result<SweepResult>)> done;  // on the storage thread
  };
  struct Work {
    std::vector<std::pair<Epoch, Job>> jobs;
    std::vector<PendingAppend> appends;
    std::optional<PendingAppend> install;
    std::optional<SweepJob> sweep;
    bool stop = false, idle = false;
  };

  Storage(Loop& loop, Options options, Events events);
  void main(RowSink sink, std::function<void(Result<void>)> opened);
  Work take();
  void wake();
  void linger(std::uint64_t asked) const;
  void push_job(Epoch epoch, Job job);
  bool may_append() const { return !appends_.empty() && !held_up_; }
  void write_group(Work& work);
  bool give_up_copy();
  void hold_up(Work& work, const Error& error);
  void hand_over();
  void install_now(PendingAppend append);
  Result<void> replace_database(PendingAppend& append, std::shared_ptr<KvState> state);
  Result<void> commit(std::vector<PendingAppend>& appends, const SweepJob* sweep, Result<SweepResult>* swept);
  void fetch_values(const std::vector<PendingAppend>& appends, Appended* appended);
  void maintain(bool idle);
  void break_down(const Error& error);
  void note_stall(std::int64_t microseconds);
  void post(std::function<void()> action);

  Loop& loop_;
  const Options options_;
  const Events events_;
  // Posted actions find out here whether this still lives.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  StorageCounters counters_;

  std::vector<PendingAppend> staged_;  // the loop's: handed over at the end of its turn

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> asked_{0};  // grows with all that is asked for
  Epoch epoch_ = 0;                      // the loop's
  std::vector<std::pair<Epoch, Job>> jobs_;
  std::deque<PendingAppend> appends_;
  bool held_up_ = false;  // there was no space for them
  std::deque<SweepJob> sweeps_;
  bool stop_ = false;
  std::function<void(Result<void>)> close_;  // after all that was asked for; empty: it ends as a crash would

  // The thread's own.
  std::unique_ptr<Database> database_;  // changed under the mutex; null after an install that failed
  std::optional<Error> broken_;
  Epoch installs_ = 0;
  bool may_linger_ = false;  // the last commit was a quick one
  const bool several_cores_ = std::thread::hardware_concurrency() > 1;
  WalLimit wal_limit_;
  std::uint64_t checkpoint_after_ = 0;  // a full disk refused it: not before the log has so many
  std::thread thread_;
};

template <typename F>
Task<std::invoke_result_t<F, Database&>> Storage::call(Epoch epoch, F work) {
  using R = std::invoke_result_t<F, Database&>;
  struct Shared {
    io::Event done;
    std::optional<R> result;
  };
  auto shared = std::make_shared<Shared>();
  Loop* loop = &loop_;
  Job job = [shared, loop, work = std::move(work)](Database* database, const std::optional<Error>& broken) mutable {
    shared->result.emplace(broken ? R(*broken) : work(*database));
    std::optional<Error> failure;
    if (!*shared->result) failure = shared->result->error();
    loop->post([shared] { shared->done.set(); });
    return failure;
  };
  push_job(epoch, std::move(job));
  co_await shared->done.wait();
  co_return std::move(*shared->result);
}

}  // namespace kayak::store
