// database_builder.cc: see database_builder.h.
// While it is built the file has no journal and is not synced: nobody reads it before all of it is there.
#include "store/database_builder.h"

#include <sqlite3.h>

#include "base/files.h"
#include "base/strings.h"

namespace kayak::store {

namespace {
// Of one transaction, so of pages in memory.
constexpr std::size_t kTransactionBytes = 1024 * 1024;
}  // namespace

DatabaseBuilder::DatabaseBuilder(Options options)
    : options_(std::move(options)),
      path_(incoming_path(options_.path)),
      reader_(SnapshotReader::Sink{
          nullptr, [this](RowId row, const RowView& view, std::string_view bytes) { return take(row, view, bytes); }}) {
}

DatabaseBuilder::~DatabaseBuilder() {
  insert_.reset();
  connection_.reset();
  if (!finished_) remove_database_files(path_);
}

Result<std::unique_ptr<DatabaseBuilder>> DatabaseBuilder::create(Options options) {
  ASSERT(options.store_id.size() == 16);
  std::unique_ptr<DatabaseBuilder> builder(new DatabaseBuilder(std::move(options)));
  if (auto made = builder->make(); !made) return made.error().while_doing("building a database from a snapshot");
  return builder;
}

Error DatabaseBuilder::failure(int rc, std::string_view doing) const {
  return sqlite_failure(connection_.get(), *vfs_, path_, rc, doing);
}

Result<void> DatabaseBuilder::run(const char* sql, std::string_view doing) {
  const int rc = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? Result<void>() : Result<void>(failure(rc, doing));
}

Result<void> DatabaseBuilder::make() {
  Result<std::unique_ptr<PageVfs>> vfs = PageVfs::create(options_.vfs);
  if (!vfs) return vfs.error();
  vfs_ = std::move(*vfs);
  int rc = SQLITE_OK;
  connection_ = make_database_file(path_, *vfs_, options_.store_id, &rc);
  if (rc != SQLITE_OK) return failure(rc, "making the file");
  sqlite3_extended_result_codes(connection_.get(), 1);
  for (const char* sql : {"PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA secure_delete=OFF"}) {
    if (auto done = run(sql, sql); !done) return done;
  }
  sqlite3_stmt* insert = nullptr;
  rc = sqlite3_prepare_v3(connection_.get(), "INSERT INTO log(id, entry) VALUES(?1, ?2)", -1, SQLITE_PREPARE_PERSISTENT,
                          &insert, nullptr);
  insert_.reset(insert);
  if (rc != SQLITE_OK) return failure(rc, "preparing to write rows");
  return run("BEGIN", "beginning to write rows");
}

Result<std::size_t> DatabaseBuilder::feed(std::string_view bytes) { return reader_.feed(bytes); }

Result<void> DatabaseBuilder::take(RowId row, const RowView& view, std::string_view bytes) {
  if (view.type == EffectType::kMembership) membership_row_ = row;
  const bool member = options_.alone && view.type == EffectType::kPut && !options_.alone->members_prefix.empty() &&
                      view.key.substr(0, options_.alone->members_prefix.size()) == options_.alone->members_prefix;
  if (member) members_.emplace_back(std::string(view.key), row);
  return insert(row, bytes);
}

Result<void> DatabaseBuilder::insert(RowId row, std::string_view bytes) {
  sqlite3_bind_int64(insert_.get(), 1, row);
  sqlite3_bind_blob64(insert_.get(), 2, bytes.data(), bytes.size(), SQLITE_STATIC);
  const int rc = sqlite3_step(insert_.get());
  sqlite3_reset(insert_.get());
  if (rc != SQLITE_DONE) return failure(rc, "writing a row");
  unflushed_bytes_ += bytes.size();
  if (unflushed_bytes_ < kTransactionBytes) return Result<void>();
  unflushed_bytes_ = 0;
  if (auto done = run("COMMIT", "writing rows"); !done) return done;
  return run("BEGIN", "beginning to write rows");
}

Result<void> DatabaseBuilder::append(const Entry& entry) {
  std::string bytes;
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    encode_row(entry, i, RowContext{entry.index - 1, entry.index - 1}, &bytes);
    if (auto done = insert(row_id(entry.index, i), bytes); !done) return done;
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
  if (auto done = insert(static_cast<RowId>(MetaRow::kProgress), encode_progress(progress)); !done) return done;
  return insert(static_cast<RowId>(MetaRow::kHardState), encode_hard_state(hard));
}

Result<void> DatabaseBuilder::sync_file() {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  const int rc = file->pMethods->xSync(file, SQLITE_SYNC_FULL);
  return rc == SQLITE_OK ? Result<void>() : Result<void>(failure(rc, "syncing"));
}

Result<void> DatabaseBuilder::write_out() {
  if (auto done = run("COMMIT", "writing rows"); !done) return done;
  insert_.reset();
  // Through a journal into the mode that Kayak's databases have: that is written in their header.
  for (const char* sql : {"PRAGMA synchronous=FULL", "PRAGMA journal_mode=DELETE", "PRAGMA journal_mode=WAL"}) {
    if (auto done = run(sql, sql); !done) return done;
  }
  return sync_file();
}

Result<SnapshotHead> DatabaseBuilder::finish(std::optional<raft::HardState> hard) {
  ASSERT(!finished_);
  if (hard) options_.hard = *hard;
  if (auto whole = reader_.finish(); !whole) return whole.error();
  const SnapshotHead head = *reader_.head();
  last_ = head.index;
  Result<void> done = options_.alone ? go_on_alone() : Result<void>();
  if (done) done = put_meta();
  if (done) done = write_out();
  if (!done) return done.error();
  connection_.reset();
  if (auto synced = sync_folder_of(path_); !synced) return synced.error();
  finished_ = true;
  return head;
}

}  // namespace kayak::store
