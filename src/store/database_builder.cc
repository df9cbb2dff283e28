// database_builder.cc: see database_builder.h.
#include "store/database_builder.h"

#include "base/files.h"
#include "base/strings.h"
#include "store/packed.h"

namespace kayak::store {

namespace {
// What a store that goes on may still use up.
constexpr Term kLastTerm = UINT64_MAX / 2;
constexpr LogIndex kLastIndex = kMaxLogIndex / 2;
constexpr Revision kLastRevision = kMaxRevision / 2;
}  // namespace

DatabaseBuilder::DatabaseBuilder(Options options)
    : options_(std::move(options)),
      path_(incoming_path(options_.path)),
      reader_(SnapshotReader::Sink{
          [this](const SnapshotHead& head) { return check_room(head); },
          [this](RowId row, const RowView& view, std::string_view bytes) { return take(row, view, bytes); }}) {}

Result<std::unique_ptr<DatabaseBuilder>> DatabaseBuilder::create(Options options) {
  ASSERT(options.store_id.size() == 16);
  std::unique_ptr<DatabaseBuilder> builder(new DatabaseBuilder(std::move(options)));
  const Options& own = builder->options_;
  Result<std::unique_ptr<DatabaseWriter>> made = DatabaseWriter::create(builder->path_, own.vfs, own.store_id);
  if (!made) return made.error().while_doing("building a database from a snapshot");
  builder->writer_ = std::move(*made);
  return builder;
}

Result<std::size_t> DatabaseBuilder::feed(std::string_view bytes) { return reader_.feed(bytes); }

// Of a group the leader has made it, whose numbers are this server's already; a file is anyone's.
Result<void> DatabaseBuilder::check_room(const SnapshotHead& head) const {
  const bool room = head.term <= kLastTerm && head.index <= kLastIndex && head.revision <= kLastRevision;
  if (room || !options_.alone) return Result<void>();
  return Error(Code::kInvalid, "the snapshot's term, log index or revision is so high that no store can go on from it");
}

Result<void> DatabaseBuilder::take(RowId row, const RowView& view, std::string_view bytes) {
  if (view.type == EffectType::kMembership) membership_row_ = row;
  const bool member = options_.alone && view.type == EffectType::kPut && !options_.alone->members_prefix.empty() &&
                      view.key.substr(0, options_.alone->members_prefix.size()) == options_.alone->members_prefix;
  if (member) members_.emplace_back(std::string(view.key), row);
  return writer_->insert(row, bytes);
}

Result<void> DatabaseBuilder::append(const Entry& entry) {
  std::string bytes;
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    encode_row(entry, i, RowContext{entry.index - 1, entry.index - 1}, &bytes);
    if (auto done = writer_->insert(row_id(entry.index, i), bytes); !done) return done;
  }
  last_ = entry.index;
  return Result<void>();
}

Result<void> DatabaseBuilder::go_on_alone() {
  const SnapshotHead& head = *reader_.head();
  Entry entry;
  entry.index = head.index + 1;
  entry.term = head.term + 1;
  entry.revision = head.revision + options_.alone->skip;
  Effect& membership = entry.effects.emplace_back();
  membership.type = EffectType::kMembership;
  membership.membership = std::make_shared<const raft::Membership>(raft::Membership{{options_.alone->self}, {}, 0});
  membership.previous_row = membership_row_;
  if (auto done = append(entry); !done) return done;
  if (members_.empty()) return Result<void>();
  ++entry.index;
  ++entry.revision;
  entry.effects.clear();
  for (const auto& [key, row] : members_) {
    Effect& gone = entry.effects.emplace_back();
    gone.type = EffectType::kDelete;
    gone.key = key;
    gone.previous_row = row;
  }
  return append(entry);
}

// What makes it a database whose log begins after the snapshot.
Result<void> DatabaseBuilder::put_meta() {
  const SnapshotHead& head = *reader_.head();
  Progress progress;
  progress.swept_row = last_row_up_to(head.index);
  progress.kept_rows = reader_.rows();
  progress.durable = head.index;
  progress.swept_term = head.term;
  progress.base_index = head.index;
  progress.base_revision = head.revision + (options_.alone ? options_.alone->skip : 0);
  raft::HardState hard = options_.hard;
  hard.commit = head.index;
  if (options_.alone) hard = raft::HardState{head.term + 1, options_.alone->self, last_};
  ASSERT(hard.term >= head.term);
  if (auto done = writer_->insert(static_cast<RowId>(MetaRow::kProgress), encode_progress(progress)); !done)
    return done;
  return writer_->insert(static_cast<RowId>(MetaRow::kHardState), encode_hard_state(hard));
}

Result<SnapshotHead> DatabaseBuilder::finish(std::optional<raft::HardState> hard) {
  ASSERT(!finished_);
  if (hard) options_.hard = *hard;
  if (auto whole = reader_.finish(); !whole) return whole.error();
  const SnapshotHead head = *reader_.head();
  last_ = head.index;
  Result<void> done = options_.alone ? go_on_alone() : Result<void>();
  if (done) done = put_meta();
  if (done) done = writer_->finish();
  if (!done) return done.error();
  if (auto synced = sync_folder_of(path_); !synced) {
    remove_database_files(path_);
    return synced.error();
  }
  finished_ = true;
  return head;
}

}  // namespace kayak::store
