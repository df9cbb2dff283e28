// kv_disk.cc: see kv_disk.h.
#include "sim/kv_disk.h"

#include <unistd.h>

#include "base/assert.h"
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

KvDisk::KvDisk(const std::string& folder, std::uint64_t seed, bool lying)
    : path_(folder + "/state.db"), lying_(lying), random_(seed) {
  put_in_disk();
}

void KvDisk::put_in_disk() {
  disk_ = std::make_unique<store::test::TestDisk>();
  disk_->lying = lying_;
  disk_->recording = true;
}

void KvDisk::open(const store::RowSink& sink) {
  store::DatabaseOptions options;
  options.path = path_;
  options.vfs = disk_->vfs();
  options.store_id = std::string(16, 's');
  auto opened = store::Database::open(options, sink);
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
    ASSERT(!append.install);
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

// The files are what is left of them, and the next life records anew.
void KvDisk::tear(std::size_t operations) {
  database_.reset();
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
  const bool cuts = truncates(under_way, database_->durable());
  if (!under_way.empty() && dice.chance(0.8)) {
    store::SweepResult swept;
    (void)write(under_way, sweep, &swept);
  }
  tear(before + dice.below(disk_->operations() - before + 1));
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
  content.compacted = found.compacted;
  content.last = found.last;
  std::erase_if(content.entries, [&](const store::EntryRef& entry) { return entry->index <= content.compacted; });
  return content;
}

bool KvDisk::check(const SimDisk& model) {
  const Content content = read_all();
  const auto is = [&](const DiskContents& wanted) {
    bool same = content.hard.term == wanted.hard.term && content.hard.vote == wanted.hard.vote &&
                content.last == wanted.last_index();
    for (const store::EntryRef& entry : content.entries) {
      same = same && entry->index <= wanted.last_index() &&
             bytes_of(store::to_raft(entry)) == bytes_of(wanted.entries[entry->index - wanted.base.index - 1]);
    }
    return same;
  };
  SimDisk after = model;
  after.end_sync();
  if (is(after.contents())) return true;
  if (is(model.contents())) return false;
  throw Violation(cat("after a power loss the database ends with entry ", content.last, " in term ", content.hard.term,
                      "; on disk were ", model.contents().last_index(), " in term ", model.contents().hard.term,
                      ", on their way ", after.contents().last_index(), " in term ", after.contents().hard.term));
}

}  // namespace kayak::sim
