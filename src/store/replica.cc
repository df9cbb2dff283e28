// replica.cc: see replica.h.
#include "store/replica.h"

#include <algorithm>

#include "base/strings.h"
#include "store/member.h"
#include "store/reads.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
// How long a read waits for somebody to lead: an election, and another one when votes were split.
constexpr Duration kReadPatience = 10s;
constexpr Duration kReadPause = 50ms;
// What may wait for a disk that hangs or is full: a leader goes on sending, as it takes what is not acknowledged for
// lost. More is not taken, and comes again.
constexpr std::size_t kMaxUnwrittenBytes = 32 * 1024 * 1024;
// Applying may take so long in one turn of the loop, which is looked at after so many entries: a follower that catches
// up, or a leader with many small writes, must not keep everything else from its turn.
constexpr Duration kApplySlice = 4ms;
constexpr std::size_t kApplyAtOnce = 32;
}  // namespace

Error removed_while_away() {
  return Error(Code::kUnavailable, "this server was removed from its cluster while it was away; its log says more");
}

Replica::Replica(Context context, Storage& storage, raft::Options options, Host host)
    : context_(std::move(context)),
      storage_(storage),
      options_(options),
      host_(std::move(host)),
      next_read_(context_.random.next() >> 1) {}

Replica::~Replica() {
  for (auto& [id, read] : reads_) read->done.set();
  for (auto& [index, read] : waiting_reads_) read->done.set();
}

void Replica::start(raft::Restored restored) {
  applied_ = restored.applied;
  written_hard_ = restored.hard;
  core_ = std::make_unique<raft::RaftCore>(options_, std::move(restored), context_.random, now());
  running_ = true;
  core_->advance(now());
  settle();
}

void Replica::start_over(LogIndex applied, Duration pause) {
  if (stopped_) return;
  unwritten_.clear();
  unwritten_bytes_ = 0;
  raft::Restored restored = core_->log().restored_at(applied);
  restored.hard = {core_->term(), raft::kNobody, applied};
  written_hard_ = {};  // the next term is written in any case
  number_base_ = last_number_;
  running_ = false;
  core_ = std::make_unique<raft::RaftCore>(options_, std::move(restored), context_.random, now());
  timer_at_ = now() + pause;
  timer_ = context_.loop.after(pause, [this] { on_timer(); });
  host_.changed();
}

void Replica::start_over_now() {
  if (!running_ && !stopped_) on_timer();
}

void Replica::stop() {
  running_ = false;
  stopped_ = true;
  timer_.cancel();
  scope_.stop();
  for (auto& [id, read] : reads_) read->done.set();
  for (auto& [index, read] : waiting_reads_) {
    read->confirmed = false;  // its entry will not be applied any more
    read->done.set();
  }
  waiting_reads_.clear();
}

Task<void> Replica::join() {
  const Result<void> joined = co_await scope_.join();
  ASSERT(joined.ok());
}

bool Replica::alone() const {
  const raft::Membership& group = core_->membership();
  return group.voters.size() == 1 && group.voters.front() == options_.id && group.learners.empty() &&
         group.witness == raft::kNobody;
}

void Replica::appended(std::uint64_t number, Duration took) {
  if (!running_ || number <= number_base_) return;  // of a core that is gone
  for (; !unwritten_.empty() && unwritten_.front().first <= number; unwritten_.pop_front()) {
    unwritten_bytes_ -= unwritten_.front().second;
  }
  full_.reset();
  core_->advance(now());
  if (!alone()) core_->fsync_took(took);
  core_->appended(number - number_base_);
  settle();
}

bool Replica::overfull(const raft::Message& message) const {
  const auto* append = std::get_if<raft::AppendEntries>(&message.body);
  if (append == nullptr || append->entries.empty()) return false;
  const bool behind = core_->more_committed() && core_->log().memory_bytes() > kMaxUnwrittenBytes;
  return unwritten_bytes_ > kMaxUnwrittenBytes || behind;
}

void Replica::receive(raft::Message message) {
  if (!running_ || overfull(message)) return;
  if (auto* append = std::get_if<raft::AppendEntries>(&message.body)) {
    for (const raft::Entry& entry : append->entries) {
      const Result<void> good = check_payload(entry);
      if (good) continue;
      context_.log.warn("a message was dropped", {{"from", cat(message.from)}, {"error", good.error().message()}});
      return;
    }
  }
  const raft::NodeId from = message.from;
  const std::uint64_t refused = core_->refused();
  core_->advance(now());
  core_->step(std::move(message));
  const std::uint64_t all = core_->refused();
  // The first, the second, the fourth, the eighth: whoever says such things may say many.
  if (all != refused && (all & (all - 1)) == 0) {
    context_.log.warn("a message was dropped: no sound member says that",
                      {{"member", member_id_text(from)}, {"dropped", all}});
  }
  settle();
}

void Replica::peer_unreachable(raft::NodeId node) {
  if (!running_) return;
  core_->advance(now());
  core_->peer_unreachable(node);
  settle();
}

void Replica::snapshot_ready(raft::NodeId to, raft::SnapshotId id, LogIndex index) {
  core_->advance(now());
  core_->snapshot_ready(to, id, index);
  settle();
}

void Replica::snapshot_failed(raft::NodeId to) {
  core_->advance(now());
  core_->snapshot_failed(to);
  settle();
}

void Replica::snapshot_fetched(raft::SnapshotId id, bool complete) {
  if (!running_) return;
  core_->advance(now());
  core_->snapshot_fetched(id, complete);
  settle();
}

void Replica::compacted(LogIndex index) {
  if (index > core_->log().compacted()) core_->compact(index);
}

Result<void> Replica::propose(std::shared_ptr<const Entry> entry) {
  ASSERT(entry->index == core_->log().last_index() + 1 && entry->term == core_->term());
  core_->advance(now());
  Result<void> done = Error(Code::kUnavailable, "this server no longer leads");
  if (leads() && entry->term == core_->term()) {
    const Result<LogIndex> index = core_->propose(std::move(entry));
    done = index ? Result<void>() : Result<void>(index.error());
  }
  settle();  // in any case: that it leads no more may be news to the host, which would ask again at once
  return done;
}

Result<LogIndex> Replica::change_membership(const raft::MembershipChange& change) {
  core_->advance(now());
  Result<LogIndex> index = core_->change_membership(change);
  settle();
  return index;
}

std::optional<raft::RaftCore::Hindrance> Replica::hindrance(const raft::MembershipChange& change) {
  core_->advance(now());
  settle();  // also of this the host is to know when it leads no more
  return core_->hindrance(change);
}

void Replica::stand_aside() {
  if (!running_) return;
  core_->advance(now());
  core_->stand_aside();
  settle();
}

Result<void> Replica::transfer_leadership(raft::NodeId to) {
  core_->advance(now());
  Result<void> done = core_->transfer_leadership(to);
  settle();
  return done;
}

Task<Result<void>> Replica::confirm(StopToken stop) {
  // In a group of one nothing was acknowledged that is not applied here.
  if (alone()) co_return Result<void>();
  // Also one that a leader has vouched for: what it waits for may never be written to a disk that hangs.
  const io::Deadline patience(context_.loop, kReadPatience, stop);
  for (;;) {
    if (!running_) co_return Error(Code::kUnavailable, "the store has stopped");
    if (core_->stands_aside()) co_return removed_while_away();
    auto read = std::make_shared<Read>();
    const std::uint64_t id = ++next_read_;
    reads_.emplace(id, read);
    core_->advance(now());
    core_->read(id);
    settle();
    const bool told = co_await read->done.wait(patience.token());
    if (!told) {
      reads_.erase(id);
      std::erase_if(waiting_reads_, [&read](const auto& waiting) { return waiting.second == read; });
      if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while waiting for the leader");
      co_return Error(Code::kUnavailable,
                      "this server does not catch up with the others: its disk may be full or slow");
    }
    if (read->error) co_return *read->error;
    if (read->confirmed) co_return Result<void>();
    if (patience.expired()) co_return Error(Code::kUnavailable, "no server leads: a majority of them does not answer");
    const Result<void> slept = co_await context_.loop.sleep(kReadPause, stop);
    if (!slept) co_return slept.error();
  }
}

// What the core says may lead to calls of it (an entry that is applied lets someone propose the next one): these wait
// for their turn.
void Replica::settle(bool all) {
  if (settling_) {
    again_ = true;
    return;
  }
  settling_ = true;
  do {
    again_ = false;
    const bool may_apply = all || !slice_end_ || now() < *slice_end_;
    raft::Output output = core_->take_output(may_apply ? kApplyAtOnce : 0);
    if (!output.committed.empty()) begin_slice();
    perform(output);
    if (may_apply && core_->more_committed()) again_ = true;
  } while (again_);
  settling_ = false;
  host_.changed();
  set_timer();
}

void Replica::apply_all() {
  if (running_ && core_->more_committed()) settle(true);
}

void Replica::begin_slice() {
  if (slice_end_ || stopped_) return;
  slice_end_ = now() + kApplySlice;
  scope_.spawn(next_turn());
}

Task<void> Replica::next_turn() {
  co_await context_.loop.yield();
  slice_end_.reset();
  if (running_ && core_->more_committed()) settle();
}

void Replica::perform(raft::Output& output) {
  for (raft::Message& message : output.messages) {
    if (host_.send) host_.send(std::move(message));
  }
  if (output.append) write(std::move(*output.append));
  if (output.installed) {
    applied_ = output.installed->index;
    host_.installed();
  }
  for (const raft::Entry& entry : output.committed) {
    ASSERT(entry.index == applied_ + 1);
    host_.apply(stored(entry));
    applied_ = entry.index;
  }
  for (const raft::ReadDone& done : output.reads) {
    auto read = reads_.extract(done.id);
    if (!read) continue;
    read.mapped()->confirmed = done.confirmed;
    if (done.confirmed) {
      waiting_reads_.emplace(done.index, std::move(read.mapped()));
    } else {
      read.mapped()->done.set();
    }
  }
  serve_reads();
  for (const raft::Fetch& wanted : output.fetches) scope_.spawn(fetch_entries(wanted));
  for (const raft::NodeId to : output.snapshots_wanted) host_.snapshot_wanted(to);
  for (const raft::SnapshotId id : output.snapshots_released) host_.snapshot_released(id);
  if (output.snapshot_fetch) host_.fetch_snapshot(*output.snapshot_fetch);
  if (output.lost && host_.lost) host_.lost(*output.lost);
}

void Replica::serve_reads() {
  while (!waiting_reads_.empty() && waiting_reads_.begin()->first <= applied_) {
    waiting_reads_.begin()->second->done.set();
    waiting_reads_.erase(waiting_reads_.begin());
  }
  if (!full_) return;
  for (auto& [index, read] : waiting_reads_) {
    read->error = full_;
    read->done.set();
  }
  waiting_reads_.clear();
}

void Replica::disk_is_full(const Error& error) {
  full_ = error;
  serve_reads();
}

void Replica::write(raft::Append append) {
  LogWrite write;
  if (append.hard.term != written_hard_.term || append.hard.vote != written_hard_.vote) write.hard = append.hard;
  written_hard_ = append.hard;
  write.commit = append.hard.commit;
  write.first = append.first;
  std::vector<RowId> fetch;
  write.entries.reserve(append.entries.size());
  for (const raft::Entry& entry : append.entries) {
    write.entries.push_back(stored(entry));
    std::vector<RowId> rows = host_.rows_to_fetch(*write.entries.back());
    fetch.insert(fetch.end(), rows.begin(), rows.end());
  }
  last_number_ = number_base_ + append.number;
  std::size_t bytes = 0;
  for (const EntryRef& entry : write.entries) bytes += entry->bytes();
  if (bytes > 0) unwritten_.emplace_back(last_number_, bytes);
  unwritten_bytes_ += bytes;
  if (append.install) {
    write.hard = append.hard;  // of the new database
    host_.install(last_number_, std::move(write));
  } else {
    storage_.append(last_number_, std::move(write), std::move(fetch));
  }
}

// For a follower that needs what is no longer in memory.
Task<void> Replica::fetch_entries(raft::Fetch wanted) {
  auto read = [wanted](Database& database) {
    return read_entries(database, database.swept_row(), wanted.first, wanted.max_bytes);
  };
  Result<std::vector<EntryRef>> entries = co_await storage_.call(storage_.epoch(), std::move(read));
  if (!running_) co_return;
  std::vector<raft::Entry> out;
  if (entries) {
    for (const EntryRef& entry : *entries) out.push_back(to_raft(entry));
  }
  core_->advance(now());
  core_->fetched(wanted.to, wanted.first, std::move(out));
  settle();
}

// A timer that is due early only looks again: it need not be moved with every heartbeat.
void Replica::set_timer() {
  if (!running_) return;
  const Instant deadline = core_->deadline();
  if (deadline.nanoseconds == INT64_MAX) {
    timer_.cancel();
    timer_at_.reset();
    return;
  }
  if (timer_at_ && *timer_at_ <= deadline) return;
  timer_at_ = deadline;
  timer_ = context_.loop.after(std::max(deadline - now(), Duration(0)), [this] { on_timer(); });
}

void Replica::on_timer() {
  timer_at_.reset();
  running_ = true;
  core_->advance(now());
  settle();
}

}  // namespace kayak::store
