// kv_disk.cc: see kv_disk.h.
#include "sim/kv_disk.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/files.h"
#include "base/strings.h"
#include "sim/violation.h"
#include "store/log_payload.h"
#include "store/support_store.h"

namespace kayak::sim {

namespace {

// Moved into the database beyond so many frames: often, so that crashes meet it.
constexpr std::uint64_t kCheckpointFrames = 60;

bool truncates(const std::vector<SimDisk::Write>& writes, store::LogIndex last) {
  for (const SimDisk::Write& write : writes) {
    if (write.append && write.append->first != 0 && write.append->first <= last) return true;
  }
  return false;
}

std::string bytes_of(const raft::Entry& entry) {
  std::string bytes = cat(entry.index, " ", entry.term, " ", entry.membership ? "m" : "");
  static const store::LogPayloadCodec codec;
  if (entry.payload) codec.encode(*entry.payload, &bytes);
  return bytes;
}

}  // namespace

KvDisk::KvDisk(const std::string& folder, std::uint64_t seed, ShellMutant mutant)
    : path_(folder + "/state.db"), mutant_(mutant), random_(seed) {
  put_in_disk();
}

void KvDisk::put_in_disk() {
  disk_ = std::make_unique<store::test::TestDisk>();
  disk_->lying = mutant_ == ShellMutant::kSyncsLie;
  disk_->recording = true;
  disk_->folders_lag = true;
  mark_lowered_ = SIZE_MAX;
}

store::DatabaseOptions KvDisk::options() const {
  store::DatabaseOptions options;
  options.path = path_;
  options.vfs = disk_->vfs();
  options.store_id = std::string(16, 's');
  return options;
}

void KvDisk::open(const store::RowSink& sink) {
  auto opened = store::Database::open(options(), sink);
  if (!opened) throw Violation("a database does not open: " + opened.error().message());
  database_ = std::move(*opened);
  written_hard_ = database_->found().hard;
}

void KvDisk::set_full(bool full) {
  disk_->capacity = full ? static_cast<std::int64_t>(database_->database_bytes()) : INT64_MAX;
}

Result<void> KvDisk::write(const std::vector<SimDisk::Write>& writes, const store::SweepLimits* sweep,
                           store::SweepResult* swept) {
  std::vector<store::LogWrite> log;
  raft::HardState hard = written_hard_;
  for (const SimDisk::Write& write : writes) {
    const raft::Append& append = *write.append;
    ASSERT(!append.install);  // it has a flush of its own
    store::LogWrite& out = log.emplace_back();
    if (append.hard.term != hard.term || append.hard.vote != hard.vote) out.hard = append.hard;
    hard = append.hard;
    out.commit = append.hard.commit;
    out.first = append.first;
    for (const raft::Entry& entry : append.entries) out.entries.push_back(store::stored(entry));
  }
  if (auto done = database_->write(log, sweep, swept); !done) return done;
  written_hard_ = hard;
  if (database_->wal_frames() < kCheckpointFrames) return {};
  const Result<void> moved = database_->checkpoint();
  if (!moved && moved.error().code() != Code::kNoSpace) return moved;
  return {};
}

Result<void> KvDisk::begin_snapshot() {
  ASSERT(may_build());
  store::DatabaseBuilder::Options build;
  build.path = path_;
  build.vfs = disk_->vfs();
  build.store_id = std::string(16, 's');
  auto made = store::DatabaseBuilder::create(std::move(build));
  if (!made) return made.error();
  incoming_ = std::move(*made);
  return {};
}

Result<void> KvDisk::feed(std::string_view bytes) {
  const Result<std::size_t> used = incoming_->feed(bytes);
  if (!used) return used.error();
  if (*used != bytes.size()) throw Violation("a snapshot ends before its end");
  return {};
}

Result<void> KvDisk::install(const SimDisk::Write& write, const store::RowSink& sink) {
  const std::unique_ptr<store::DatabaseBuilder> builder = std::move(incoming_);
  raft::HardState hard = write.append->hard;
  if (mutant_ == ShellMutant::kInstallForgetsVote) hard.vote = raft::kNobody;
  auto built = builder->finish(hard);
  if (!built) {
    database_.reset();
    return built.error();
  }
  mark_lowered_ = disk_->operations();
  Result<void> retired;
  if (mutant_ != ShellMutant::kInstallKeepsLog) retired = database_->retire();
  database_.reset();
  if (!retired) return retired;
  const std::string incoming = store::incoming_path(path_);
  if (::rename(incoming.c_str(), path_.c_str()) != 0) throw Violation("a database that was built is not there");
  disk_->renamed(incoming, path_);
  if (auto synced = sync_folder_of(path_); !synced) return synced;
  disk_->folder_synced();
  open(sink);
  // As Replica: what it gave to the new database it takes for written, and writes when it changes.
  written_hard_ = write.append->hard;
  return {};
}

// The files are what is left of them, and the next life records anew.
void KvDisk::tear(std::size_t operations) {
  database_.reset();
  incoming_.reset();
  const auto files = disk_->after_power_loss(operations, random_);
  for (const std::string& path : {path_, path_ + "-wal"}) {
    const auto left = files.find(path);
    if (left != files.end()) store::test::write_file(path, left->second);
    if (left == files.end()) ::unlink(path.c_str());
  }
  put_in_disk();
}

bool KvDisk::power_loss(Dice& dice, const SimDisk& model, const store::SweepLimits* sweep) {
  disk_->capacity = INT64_MAX;
  const std::string lock = path_ + "-lock";
  std::string mark = store::test::read_file(lock);
  const std::size_t before = disk_->operations();
  const std::vector<SimDisk::Write> under_way = model.under_way();
  const bool installs = !under_way.empty() && SimDisk::installs(under_way.front());
  // A write that failed has left nothing open.
  bool cuts = database_ && !installs && truncates(under_way, database_->durable());
  if (database_ && !under_way.empty() && dice.chance(0.8)) {
    store::SweepResult swept;
    const Result<void> ignored = installs ? install(under_way.front(), {}) : write(under_way, sweep, &swept);
    (void)ignored;
  }
  const std::size_t last = before + dice.below(disk_->operations() - before + 1);
  cuts = cuts || last > mark_lowered_;
  tear(last);
  // Of the mark, which is never flushed, any older one may be there; when the log is cut, it goes first.
  if (cuts || dice.chance(0.3)) mark.clear();
  store::test::write_file(lock, mark);
  bool kept = check(model);
  while (dice.chance(0.3)) {
    // And again, while it is being opened.
    mark = store::test::read_file(lock);
    tear(dice.below(disk_->operations() + 1));
    store::test::write_file(lock, mark);
    kept = check(model);
  }
  database_.reset();
  return kept;
}

KvDisk::Content KvDisk::read_all() {
  Content content;
  store::EntryAssembler assembler;
  store::RowSink sink;
  sink.row = [&](store::RowId row, const store::RowView& view, bool complete) -> Result<void> {
    store::EntryRef entry = complete ? assembler.add(row, view) : nullptr;
    if (entry) content.entries.push_back(std::move(entry));
    return {};
  };
  open(sink);
  const store::LogFound& found = database_->found();
  content.hard = found.hard;
  content.base = database_->base().index;
  content.compacted = found.compacted;
  content.last = found.last;
  std::erase_if(content.entries, [&](const store::EntryRef& entry) { return entry->index <= content.compacted; });
  return content;
}

bool KvDisk::check(const SimDisk& model) {
  const Content content = read_all();
  const auto is = [&](const DiskContents& wanted) {
    bool same = content.hard.term == wanted.hard.term && content.hard.vote == wanted.hard.vote &&
                content.last == wanted.last_index() && content.base == wanted.base.index;
    for (const store::EntryRef& entry : content.entries) {
      same = same && entry->index > wanted.base.index && entry->index <= wanted.last_index() &&
             bytes_of(store::to_raft(entry)) == bytes_of(wanted.entries[entry->index - wanted.base.index - 1]);
    }
    return same;
  };
  SimDisk after = model;
  after.end_sync();
  if (is(after.contents())) return true;
  if (is(model.contents())) return false;
  const auto text = [](store::LogIndex last, const raft::HardState& hard) {
    return cat("entry ", last, " in term ", hard.term, hard.vote == raft::kNobody ? "" : cat(", vote for ", hard.vote));
  };
  throw Violation(cat("after a power loss the database ends with ", text(content.last, content.hard), "; on disk was ",
                      text(model.contents().last_index(), model.contents().hard), "; on its way ",
                      text(after.contents().last_index(), after.contents().hard)));
}

}  // namespace kayak::sim
