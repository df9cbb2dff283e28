// storage.cc: the thread's loop.
#include "store/storage.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/files.h"
#include "base/strings.h"
#include "store/database_builder.h"

namespace kayak::store {

namespace {

using namespace std::chrono_literals;
// The disk's own time, so not the injected clock: it decides nothing that a simulation could see.
using DiskClock = std::chrono::steady_clock;

constexpr std::size_t kMaxGroupBytes = 4 * 1024 * 1024;
constexpr auto kIdleBeforeCheckpoint = 5ms;
// Who waited for a commit often asks for the next one at once. Where a flush takes a tenth of a millisecond, being put
// to sleep and woken again takes half as long: after such a commit the thread stays awake for a moment.
constexpr auto kLinger = 50us;
constexpr std::size_t kHandOver = 256;  // appends; more of them do not wait for the end of the loop's turn
constexpr auto kQuickCommit = 400us;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::int64_t microseconds_since(DiskClock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(DiskClock::now() - start).count();
}

}  // namespace

Storage::Storage(Loop& loop, Options options, Events events)
    : loop_(loop),
      options_(std::move(options)),
      events_(std::move(events)),
      wal_limit_(options_.wal_bytes / kPageBytes) {}

Task<Result<std::unique_ptr<Storage>>> Storage::open(Loop& loop, Options options, RowSink sink, Events events) {
  struct Opened {
    io::Event done;
    Result<void> result;
  };
  auto opened = std::make_shared<Opened>();
  std::unique_ptr<Storage> storage(new Storage(loop, std::move(options), std::move(events)));
  Loop* to = &loop;
  auto report = [opened, to](Result<void> result) {
    to->post([opened, result = std::move(result)] {
      opened->result = result;
      opened->done.set();
    });
  };
  storage->thread_ = std::thread(&Storage::main, storage.get(), std::move(sink), std::move(report));
  co_await opened->done.wait();
  if (!opened->result) co_return opened->result.error();
  co_return std::move(storage);
}

Storage::~Storage() {
  *alive_ = false;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

void Storage::main(RowSink sink, std::function<void(Result<void>)> opened) {
  pthread_setname_np(pthread_self(), "kayak-storage");
  Result<std::unique_ptr<Database>> database = Database::open(options_.database, sink);
  sink = RowSink();
  if (!database) {
    opened(database.error());
    return;
  }
  database_ = std::move(*database);
  opened(Result<void>());
  opened = nullptr;
  for (;;) {
    Work work = take();
    for (auto& [epoch, job] : work.jobs) {
      const auto start = DiskClock::now();
      static const std::optional<Error> kReplaced =
          Error(Code::kExpired, "another server's state took this one's place");
      std::optional<Error> failure = job(database_.get(), broken_ || epoch == installs_ ? broken_ : kReplaced);
      note_stall(microseconds_since(start));
      if (failure && (failure->code() == Code::kIo || failure->code() == Code::kCorrupt)) break_down(*failure);
    }
    if (!work.appends.empty() || work.sweep) write_group(work);
    if (work.install) install_now(std::move(*work.install));
    if (work.stop) {
      if (close_) close_(broken_ ? Result<void>(*broken_) : database_->close());
      return;
    }
    maintain(work.idle);
  }
}

void Storage::wake() {
  asked_.fetch_add(1, std::memory_order_release);
  wake_.notify_one();
}

// Until something is asked for, or the moment has passed.
void Storage::linger(std::uint64_t asked) const {
  const auto until = DiskClock::now() + kLinger;
  while (asked_.load(std::memory_order_acquire) == asked && DiskClock::now() < until) pause_briefly();
}

Storage::Work Storage::take() {
  Work work;
  std::unique_lock lock(mutex_);
  auto ready = [this] { return stop_ || !jobs_.empty() || may_append() || !sweeps_.empty(); };
  if (std::exchange(may_linger_, false) && !ready()) {
    const std::uint64_t asked = asked_.load(std::memory_order_relaxed);
    lock.unlock();
    linger(asked);
    lock.lock();
  }
  const bool worth_moving = !broken_ && database_->wal_frames() >= std::max(wal_limit_.frames() / 2, checkpoint_after_);
  if (worth_moving) {
    work.idle = !wake_.wait_for(lock, kIdleBeforeCheckpoint, ready);
  } else {
    wake_.wait(lock, ready);
  }
  work.jobs.swap(jobs_);
  for (std::size_t bytes = 0; may_append() && bytes < kMaxGroupBytes; appends_.pop_front()) {
    for (const EntryRef& entry : appends_.front().write.entries) bytes += entry->bytes();
    if (appends_.front().install) {
      // Alone, after what came before it.
      if (work.appends.empty()) {
        work.install = std::move(appends_.front());
        appends_.pop_front();
      }
      break;
    }
    work.appends.push_back(std::move(appends_.front()));
  }
  if (!sweeps_.empty()) {
    work.sweep = std::move(sweeps_.front());
    sweeps_.pop_front();
  }
  // What is queued when the thread is told to stop is still done.
  work.stop = stop_ && !may_append() && sweeps_.empty();
  return work;
}

void Storage::write_group(Work& work) {
  SweepJob* sweep = work.sweep ? &*work.sweep : nullptr;
  Result<SweepResult> swept = SweepResult();
  Result<void> done;
  if (broken_) {
    swept = *broken_;
  } else {
    done = commit(work.appends, sweep, &swept);
    if (!done && done.error().code() == Code::kNoSpace && give_up_copy()) done = commit(work.appends, sweep, &swept);
    if (!done && done.error().code() == Code::kNoSpace && !work.appends.empty()) {
      hold_up(work, done.error());
      // What a sweep frees may be what is missing: it is tried alone.
      if (sweep != nullptr) done = commit(work.appends, sweep, &swept);
    }
    if (!done && done.error().code() != Code::kNoSpace) break_down(done.error());
  }
  if (sweep != nullptr) sweep->done(done ? swept : Result<SweepResult>(done.error()));
}

// The space that a defragmentation takes is the store's first of all. True: there was one.
bool Storage::give_up_copy() {
  return database_->give_up_defragment(
      Error(Code::kNoSpace, "the attempt to defragment was given up: the disk is full, and its space was needed"));
}

void Storage::hold_up(Work& work, const Error& error) {
  {
    std::lock_guard lock(mutex_);
    held_up_ = true;
    appends_.insert(appends_.begin(), std::make_move_iterator(work.appends.begin()),
                    std::make_move_iterator(work.appends.end()));
  }
  work.appends.clear();
  post([this, error] { events_.append_failed(error); });
}

Result<void> Storage::commit(std::vector<PendingAppend>& appends, const SweepJob* sweep, Result<SweepResult>* swept) {
  const auto start = DiskClock::now();
  Appended appended;
  fetch_values(appends, &appended);
  std::vector<LogWrite> writes;
  writes.reserve(appends.size());
  for (PendingAppend& append : appends) {
    appended.entries += append.write.entries.size();
    writes.push_back(std::move(append.write));
  }
  Result<void> done = database_->write_unmarked(writes, sweep == nullptr ? nullptr : &sweep->limits, &**swept);
  const std::int64_t took = microseconds_since(start);
  note_stall(took);
  (*swept)->took = std::chrono::microseconds(took);
  if (!done || appends.empty()) {
    for (std::size_t i = 0; i < appends.size(); ++i) appends[i].write = std::move(writes[i]);
    return done;
  }
  may_linger_ = std::chrono::microseconds(took) < kQuickCommit && several_cores_;
  counters_.commits.fetch_add(1, std::memory_order_relaxed);
  counters_.entries.fetch_add(appended.entries, std::memory_order_relaxed);
  appended.number = appends.back().number;
  appended.commit_time = std::chrono::microseconds(took);
  post([this, appended = std::move(appended)]() mutable { events_.appended(std::move(appended)); });
  // It may lag behind what is on disk anyway, so nobody waits for it.
  database_->mark();
  return done;
}

// A row that cannot be read only lacks here: whoever needs it asks again and gets the error.
void Storage::fetch_values(const std::vector<PendingAppend>& appends, Appended* appended) {
  for (const PendingAppend& append : appends) {
    for (RowId row : append.fetch) {
      auto keep = [&](const RowView& view) {
        appended->fetched.emplace_back(row, std::make_shared<const std::string>(view.value));
      };
      (void)database_->read(row, keep);
    }
  }
}

void Storage::maintain(bool idle) {
  if (broken_) return;
  const std::uint64_t frames = database_->wal_frames();
  if (frames < checkpoint_after_) return;
  if (frames < wal_limit_.frames() && !(idle && frames >= wal_limit_.frames() / 2)) return;
  const auto start = DiskClock::now();
  Result<void> done = database_->checkpoint();
  const std::int64_t took = std::max<std::int64_t>(microseconds_since(start), 1);
  note_stall(took);
  counters_.checkpoints.fetch_add(1, std::memory_order_relaxed);
  checkpoint_after_ = 0;
  if (!done) {
    if (done.error().code() != Code::kNoSpace) return break_down(done.error());
    if (!give_up_copy()) checkpoint_after_ = frames + wal_limit_.frames();
    return;
  }
  wal_limit_.moved(frames, std::chrono::microseconds(took));
}

void Storage::break_down(const Error& error) {
  if (broken_) return;
  broken_ = error;
  post([this, error] { events_.fatal(error); });
}

void Storage::note_stall(std::int64_t microseconds) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(microseconds, 0));
  if (us > counters_.longest_stall_us.load(std::memory_order_relaxed)) {
    counters_.longest_stall_us.store(us, std::memory_order_relaxed);
  }
}

void Storage::post(std::function<void()> action) {
  loop_.post([alive = alive_, action = std::move(action)] {
    if (*alive) action();
  });
}

Storage::DiskTotals Storage::disk_totals() const {
  std::lock_guard lock(mutex_);
  DiskTotals totals;
  if (!database_) return totals;
  totals.database_bytes = database_->database_bytes();
  totals.free_bytes = std::min(database_->free_bytes(), totals.database_bytes);
  totals.written_bytes = database_->counters().written_bytes.load(std::memory_order_relaxed);
  totals.syncs = database_->counters().syncs.load(std::memory_order_relaxed);
  return totals;
}

void Storage::push_job(Epoch epoch, Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.emplace_back(epoch, std::move(job));
  }
  wake();
}

void Storage::append(std::uint64_t number, LogWrite write, std::vector<RowId> fetch) {
  if (staged_.empty()) {
    loop_.at_end_of_turn([this, alive = alive_] {
      if (*alive) hand_over();
    });
  }
  staged_.push_back(PendingAppend{number, std::move(write), std::move(fetch), nullptr});
  if (staged_.size() >= kHandOver) hand_over();
}

// One commit for all that a turn of the loop has written, instead of as many as the thread finds time for meanwhile:
// each of them costs a flush and the page at the log's end once more.
void Storage::hand_over() {
  if (staged_.empty()) return;
  {
    std::lock_guard lock(mutex_);
    appends_.insert(appends_.end(), std::make_move_iterator(staged_.begin()), std::make_move_iterator(staged_.end()));
  }
  staged_.clear();
  wake();
}

void Storage::install(std::uint64_t number, std::shared_ptr<DatabaseBuilder> builder, LogWrite write) {
  hand_over();
  {
    std::lock_guard lock(mutex_);
    appends_.push_back(PendingAppend{number, std::move(write), {}, std::move(builder)});
  }
  wake();
}

void Storage::install_now(PendingAppend append) {
  if (broken_) return;
  auto state = std::make_shared<KvState>();
  const Result<void> done = replace_database(append, state);
  // Nothing can be asked of a database that is closed, so also a full disk ends this: the next start finds the old one
  // or the new one.
  if (!done) return break_down(done.error());
  ++installs_;
  Appended appended;
  appended.number = append.number;
  appended.entries = append.write.entries.size();
  appended.installed = std::move(state);
  post([this, appended = std::move(appended)]() mutable { events_.appended(std::move(appended)); });
}

// One rename decides. What is in the write-ahead log has to be gone by then, or it would be taken for the new one's;
// and so has the mark, which speaks of the old log.
Result<void> Storage::replace_database(PendingAppend& append, std::shared_ptr<KvState> state) {
  ASSERT(append.write.hard);  // as it is by now, or a vote of this term would be forgotten
  const Result<SnapshotHead> built = append.install->finish(append.write.hard);
  if (!built) return built.error();
  if (auto retired = database_->retire(); !retired) return retired;
  {
    std::lock_guard lock(mutex_);
    database_.reset();
  }
  const std::string& path = options_.database.path;
  if (::rename(incoming_path(path).c_str(), path.c_str()) != 0) {
    return error_from_errno(errno, cat("renaming ", incoming_path(path)));
  }
  if (auto synced = sync_folder_of(path); !synced) return synced;
  RowSink sink;
  sink.row = [&state](RowId row, const RowView& view, bool complete) { return state->apply(row, view, complete); };
  Result<std::unique_ptr<Database>> database = Database::open(options_.database, sink);
  if (!database) return database.error();
  {
    std::lock_guard lock(mutex_);
    database_ = std::move(*database);
  }
  const Database::Base base = database_->base();
  state->begin_at(base.index, base.term, base.revision);
  SweepResult swept;
  if (append.write.first == 0) return Result<void>();
  return database_->write(std::span(&append.write, 1), nullptr, &swept);
}

void Storage::retry() {
  {
    std::lock_guard lock(mutex_);
    held_up_ = false;
  }
  wake();
}

void Storage::drop() {
  staged_.clear();
  std::lock_guard lock(mutex_);
  appends_.clear();
  held_up_ = false;
}

Task<Result<SweepResult>> Storage::sweep(SweepLimits limits) {
  struct Shared {
    io::Event done;
    Result<SweepResult> result = SweepResult();
  };
  auto shared = std::make_shared<Shared>();
  Loop* loop = &loop_;
  auto done = [shared, loop](Result<SweepResult> result) {
    loop->post([shared, result = std::move(result)] {
      shared->result = result;
      shared->done.set();
    });
  };
  {
    std::lock_guard lock(mutex_);
    sweeps_.push_back(SweepJob{limits, std::move(done)});
  }
  wake();
  co_await shared->done.wait();
  co_return shared->result;
}

Task<Result<void>> Storage::close() {
  struct Shared {
    io::Event done;
    Result<void> result;
  };
  auto shared = std::make_shared<Shared>();
  Loop* loop = &loop_;
  auto closed = [shared, loop](Result<void> result) {
    loop->post([shared, result = std::move(result)] {
      shared->result = result;
      shared->done.set();
    });
  };
  hand_over();
  {
    std::lock_guard lock(mutex_);
    close_ = std::move(closed);
    stop_ = true;
  }
  wake();
  co_await shared->done.wait();
  thread_.join();
  co_return shared->result;
}

}  // namespace kayak::store
