// recovery.cc: opening a database: making it, or proving that what is there is all that was ever acknowledged.
// The order matters: everything is read and judged first; only a store found whole is written to (its torn tail is cut
// and its write-ahead log moved into the database).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "store/database.h"
#include "store/sqlite_rows.h"

namespace kayak::store {

namespace {

constexpr char kMagic[16] = {'S', 'Q', 'L', 'i', 't', 'e', ' ', 'f', 'o', 'r', 'm', 'a', 't', ' ', '3', '\0'};
constexpr const char* kSchema =
    "CREATE TABLE log(id INTEGER PRIMARY KEY, entry BLOB NOT NULL);"
    "PRAGMA application_id=0x4b41594b;"  // KAYK
    "PRAGMA user_version=1;";

Result<bool> exists(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT) return false;
  return error_from_errno(errno, cat("looking at ", path));
}

}  // namespace

void remove_database_files(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-journal"}) ::unlink((path + suffix).c_str());
}

namespace {
// Whoever can read these files can read every Secret. Where the modes cannot be changed, the folder has to do.
void make_private(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
    (void)::chmod(path.c_str(), 0600);
  }
}
}  // namespace

namespace {
// SQLite would keep the log beside the file that it leads to, where nothing here looks for it, and what takes the place
// of a database would take that of the link.
Result<void> refuse_link(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return Result<void>();
  return Error(Code::kInvalid, cat(path, " is a symbolic link: only its folder, or one above that, may be one"));
}
}  // namespace

std::string incoming_path(const std::string& path) { return path + ".incoming"; }
std::string copy_path(const std::string& path) { return path + ".copy"; }

Result<std::unique_ptr<Database>> Database::open(const DatabaseOptions& options, const RowSink& sink) {
  Result<LockFile> lock = LockFile::acquire(options.path + "-lock");
  if (!lock) return lock.error();
  std::unique_ptr<Database> database(new Database(options, std::move(*lock)));
  Result<std::unique_ptr<PageVfs>> vfs = PageVfs::create(options.vfs);
  if (!vfs) return vfs.error();
  database->vfs_ = std::move(*vfs);
  if (auto file = refuse_link(options.path); !file) return file.error();
  Result<bool> there = exists(options.path);
  if (!there) return there.error();
  if (auto may = database->may_begin(*there); !may) return may.error();
  // What was being built when a process ended was not asked for again yet.
  for (const std::string& left : {incoming_path(options.path), copy_path(options.path)}) remove_database_files(left);
  if (!*there) {
    const auto mark = database->lock_.mark();
    if ((mark && mark->index > 0) || exists(database->wal_path()).value_or(true)) {
      return damaged(options.path, 0, "the file is missing, but the files beside it belong to a store that was used");
    }
    if (auto made = database->create(); !made) return made.error();
  }
  for (const std::string& file : {options.path, database->wal_path()}) make_private(file);
  if (auto good = database->check_file_header(); !good) return good.error();
  Result<WalReport> wal = database->walk_wal();
  if (!wal) return wal.error();
  if (auto done = database->connect(); !done) return done.error();
  if (auto done = database->find_commit(sink); !done) return done.error();
  if (auto done = database->check_rows(sink); !done) return done.error();
  if (auto done = database->check_nothing_lost(*wal); !done) return done.error();
  // From here on the store is known to be whole.
  if (auto done = database->cut_wal_tail(*wal); !done) return done.error();
  const int rc =
      sqlite3_wal_checkpoint_v2(database->connection_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (rc == SQLITE_OK) {
    if (auto done = database->check_free_list(); !done) return done.error();
    if (auto done = database->note_free_pages(); !done) return done.error();
  } else {
    // On a full disk the log simply stays as long as it is: what is there can be read.
    Error error = database->failure(rc, "moving the write-ahead log into the database");
    if (error.code() != Code::kNoSpace) return error;
  }
  database->lock_.set_mark(LockFile::Mark{database->tail_.last, database->tail_.revision});
  return database;
}

// Only a restore builds a database where there is none: who killed it wants anything but an empty store.
Result<void> Database::may_begin(bool there) const {
  const std::string incoming = incoming_path(options_.path);
  if (there || options_.first_member == raft::kNobody || !file_exists(incoming)) return Result<void>();
  return Error(Code::kConflict,
               cat("a snapshot was being restored to ", options_.path,
                   " when that was interrupted: restore it again, or remove ", incoming, " to begin without any data"));
}

Connection make_database_file(const std::string& path, const PageVfs& vfs, const std::string& store_id, int* rc) {
  remove_database_files(path);
  // Its mode is that of the files that SQLite makes beside it. A failure is SQLite's to report.
  Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)).reset();
  sqlite3* raw = nullptr;
  *rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs.name());
  Connection connection(raw);
  int reserved = static_cast<int>(kPageReserved);
  const std::string page_size = cat("PRAGMA page_size=", kPageBytes);
  if (*rc == SQLITE_OK) *rc = sqlite3_file_control(raw, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  for (const char* sql :
       {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA synchronous=FULL", page_size.c_str(), "BEGIN", kSchema}) {
    if (*rc == SQLITE_OK) *rc = sqlite3_exec(raw, sql, nullptr, nullptr, nullptr);
  }
  if (*rc == SQLITE_OK) {
    sqlite3_stmt* insert = nullptr;
    const std::string identity = encode_identity(Identity{kFormat, store_id});
    *rc = sqlite3_prepare_v2(raw, "INSERT INTO log(id, entry) VALUES(0, ?1)", -1, &insert, nullptr);
    Statement owner(insert);
    if (*rc == SQLITE_OK) {
      sqlite3_bind_blob64(insert, 1, identity.data(), identity.size(), SQLITE_STATIC);
      if (sqlite3_step(insert) != SQLITE_DONE) *rc = sqlite3_errcode(raw);
    }
  }
  if (*rc == SQLITE_OK) *rc = sqlite3_exec(raw, "COMMIT", nullptr, nullptr, nullptr);
  return connection;
}

// Under another name first: a database is there whole or not at all.
Result<void> Database::create() const {
  const std::string path = options_.path + ".new";
  int rc = SQLITE_OK;
  Connection connection = make_database_file(path, *vfs_, options_.store_id, &rc);
  if (rc == SQLITE_OK) rc = insert_first_rows(connection.get());
  if (rc == SQLITE_OK) rc = sqlite3_exec(connection.get(), "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
  Result<void> done;
  if (rc != SQLITE_OK) done = failure(rc, "making the database");
  connection.reset();
  if (done && ::rename(path.c_str(), options_.path.c_str()) != 0) {
    done = error_from_errno(errno, cat("renaming ", path));
  }
  if (done) return sync_folder_of(options_.path);
  remove_database_files(path);
  return done;
}

// A store that begins a group begins with an entry that says so, as if its first leader had written it.
std::vector<std::pair<RowId, std::string>> Database::first_rows() const {
  std::vector<std::pair<RowId, std::string>> rows;
  if (options_.first_member == raft::kNobody) return rows;
  constexpr Term kFirstTerm = 1;
  rows.emplace_back(static_cast<RowId>(MetaRow::kHardState),
                    encode_hard_state(raft::HardState{kFirstTerm, options_.first_member, 1}));
  raft::Membership alone;
  alone.voters = {options_.first_member};
  Entry first;
  first.index = 1;
  first.term = kFirstTerm;
  first.revision = kFirstRevision;
  Effect& effect = first.effects.emplace_back();
  effect.type = EffectType::kMembership;
  effect.membership = std::make_shared<const raft::Membership>(std::move(alone));
  std::string row;
  encode_row(first, 0, RowContext(), &row);
  rows.emplace_back(row_id(1, 0), std::move(row));
  return rows;
}

// SQLite's code.
int Database::insert_first_rows(sqlite3* connection) const {
  int rc = sqlite3_exec(connection, "BEGIN", nullptr, nullptr, nullptr);
  for (const auto& [row, bytes] : first_rows()) {
    if (rc != SQLITE_OK) return rc;
    sqlite3_stmt* insert = nullptr;
    rc = sqlite3_prepare_v2(connection, "INSERT INTO log(id, entry) VALUES(?1, ?2)", -1, &insert, nullptr);
    const Statement owner(insert);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(insert, 1, row);
    sqlite3_bind_blob64(insert, 2, bytes.data(), bytes.size(), SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) return sqlite3_errcode(connection);
  }
  return rc == SQLITE_OK ? sqlite3_exec(connection, "COMMIT", nullptr, nullptr, nullptr) : rc;
}

// What SQLite would otherwise read without a checksum.
Result<void> Database::check_file_header() const {
  Fd fd(::open(options_.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("opening ", options_.path));
  char page[kPageBytes];
  const ssize_t size = ::pread(fd.get(), page, sizeof page, 0);
  if (size < 0) return error_from_errno(errno, cat("reading ", options_.path));
  if (size != static_cast<ssize_t>(sizeof page)) return damaged(options_.path, 0, "the file is cut short");
  if (std::memcmp(page, kMagic, sizeof kMagic) != 0) return damaged(options_.path, 0, "not a SQLite database");
  const bool ours = page[16] == static_cast<char>(kPageBytes >> 8) && page[17] == 0 && page[18] == 2 && page[19] == 2 &&
                    page[20] == static_cast<char>(kPageReserved);
  if (!ours) return damaged(options_.path, 16, "the header is not one that Kayak writes");
  // Its checksum is not looked at yet: a crash while the log was moved may have torn it, and the log then holds it.
  return Result<void>();
}

Result<WalReport> Database::walk_wal() const {
  WalWalker walker(kPageBytes, kPageReserved);
  Fd fd(::open(wal_path().c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return walker.report();
    return error_from_errno(errno, cat("opening ", wal_path()));
  }
  std::string bytes(kWalFrameHeaderBytes + kPageBytes, '\0');
  // How much of `size` bytes at `at` there is.
  auto read_at = [&](std::uint64_t at, std::size_t size) -> ssize_t {
    ssize_t got = 0;
    do {
      got = ::pread(fd.get(), bytes.data(), size, static_cast<off_t>(at));
    } while (got < 0 && errno == EINTR);
    return got;
  };
  std::uint64_t at = kWalHeaderBytes;
  ssize_t got = read_at(0, kWalHeaderBytes);
  if (got == static_cast<ssize_t>(kWalHeaderBytes)) {
    walker.header(std::string_view(bytes).substr(0, kWalHeaderBytes));
    while ((got = read_at(at, bytes.size())) == static_cast<ssize_t>(bytes.size())) {
      walker.frame(bytes);
      at += bytes.size();
    }
  }
  if (got < 0) return error_from_errno(errno, cat("reading ", wal_path()));
  return walker.report();
}

// The newest row says most, as it was written last.
Result<void> Database::find_commit(const RowSink& sink) {
  Resetter resetter{last_.get()};
  Result<bool> any = step_row(last_, "reading the end of the log");
  if (!any) return any.error();
  if (*any) {
    const RowId row = sqlite3_column_int64(last_.get(), 0);
    // What cannot be read here is told of when its turn comes.
    const Result<RowView> view = decode_row(row, blob_of(last_.get(), 1));
    if (view) found_.hard.commit = view->commit;
  }
  const auto take_hard = [this](std::string_view bytes) -> Result<void> {
    Result<raft::HardState> hard = decode_hard_state(bytes);
    if (!hard) return damaged(options_.path, 0, hard.error().message());
    hard->commit = std::max(hard->commit, found_.hard.commit);
    found_.hard = *hard;
    return Result<void>();
  };
  Resetter other{select_.get()};
  sqlite3_bind_int64(select_.get(), 1, static_cast<RowId>(MetaRow::kHardState));
  Result<bool> there = step_row(select_, "reading the hard state");
  if (!there) return there.error();
  if (*there) {
    if (auto done = take_hard(blob_of(select_.get(), 0)); !done) return done;
  }
  hard_ = found_.hard;
  if (sink.begin) sink.begin(found_.hard.commit);
  return Result<void>();
}

Result<bool> Database::check_meta_row(RowId row, std::string_view bytes, bool* identified) {
  if (row >= kFirstLogRow) return false;
  if (row == static_cast<RowId>(MetaRow::kIdentity)) {
    Result<Identity> identity = decode_identity(bytes);
    if (!identity) return damaged(options_.path, 0, identity.error().message());
    if (identity->format != kFormat) {
      return Error(Code::kInvalid, cat(options_.path, " has format ", identity->format,
                                       ", which another version of Kayak made; this one reads format ", kFormat));
    }
    found_.store_id = identity->store_id;
    *identified = true;
    return true;
  }
  if (row == static_cast<RowId>(MetaRow::kProgress)) {
    Result<Progress> progress = decode_progress(bytes);
    if (!progress) return damaged(options_.path, 0, progress.error().message());
    progress_ = *progress;
    // Of the entry that the snapshot was taken at there may be no row, but it was on disk.
    tail_.last = progress_.base_index;
    tail_.revision = progress_.base_revision;
    if (progress_.base_index != 0) found_.base_term = progress_.swept_term;
    return true;
  }
  // It was read before.
  if (row == static_cast<RowId>(MetaRow::kHardState)) return true;
  return damaged(options_.path, 0, cat("there is a row ", row, ", which nothing writes"));
}

Result<void> Database::check_rows(const RowSink& sink) {
  Statement all;
  sqlite3_stmt* made = nullptr;
  int rc = sqlite3_prepare_v2(connection_.get(), "SELECT id, entry FROM log ORDER BY id", -1, &made, nullptr);
  all.reset(made);
  if (rc != SQLITE_OK) return failure(rc, "reading the log");
  bool last_before = true, identified = false;
  std::uint64_t kept = 0;
  while ((rc = sqlite3_step(all.get())) == SQLITE_ROW) {
    const RowId row = sqlite3_column_int64(all.get(), 0);
    const std::string_view bytes = blob_of(all.get(), 1);
    Result<bool> meta = check_meta_row(row, bytes, &identified);
    if (!meta) return meta.error();
    if (*meta) continue;
    Result<RowView> view = decode_row(row, bytes);
    if (!view) return damaged(options_.path, 0, cat("log entry ", row_index(row), ": ", view.error().message()));
    const bool complete = row > progress_.swept_row;
    if (complete) {
      if (auto done = check_row_order(row, *view, last_before); !done) return done;
    } else {
      ++kept;
    }
    if (sink.row) {
      if (auto done = sink.row(row, *view, complete); !done) return damaged(options_.path, 0, done.error().message());
    }
    last_before = view->last;
    note_row(row, *view);
  }
  if (rc != SQLITE_DONE) return failure(rc, "reading the log");
  if (!identified) return damaged(options_.path, 0, "the identity row is missing");
  if (kept != progress_.kept_rows) {
    return damaged(options_.path, 0, cat(kept, " rows are left of the compacted log instead of ", progress_.kept_rows));
  }
  if (!last_before && tail_.last_row > progress_.swept_row) {
    return damaged(options_.path, 0, cat("log entry ", row_index(tail_.last_row), " ends in its middle"));
  }
  find_compacted();
  found_.last = tail_.last;
  tail_.claim = tail_.last;
  if (found_.hard.commit > tail_.last) {
    return damaged(options_.path, 0,
                   cat("log entry ", found_.hard.commit, " was committed, but the log ends with ", tail_.last));
  }
  return Result<void>();
}

void Database::note_row(RowId row, const RowView& view) {
  tail_.last_row = row;
  tail_.last = std::max(tail_.last, row_index(row));
  tail_.revision = std::max(tail_.revision, view.revision);
  if (view.type == EffectType::kMembership) tail_.membership_rows.push_back(row);
  if (row_index(row) <= row_index(progress_.swept_row)) return;
  const bool new_run = found_.terms.empty() || found_.terms.back().term != view.term;
  if (new_run) found_.terms.push_back(raft::TermRun{row_index(row), view.term});
}

// What was swept is not whole any more; before a gap in the revisions there may be whole entries, but whoever was given
// them one by one would not know of the gap.
void Database::find_compacted() {
  found_.compacted = progress_.swept_row == 0 ? 0 : row_index(progress_.swept_row);
  found_.compacted_term = progress_.swept_term;
  if (progress_.base_index <= found_.compacted) return;
  found_.compacted = progress_.base_index;
  std::vector<raft::TermRun>& terms = found_.terms;
  const auto above = std::find_if(terms.begin(), terms.end(),
                                  [this](const raft::TermRun& run) { return run.first > progress_.base_index; });
  if (above == terms.begin()) return;
  auto last = std::prev(above);
  found_.compacted_term = last->term;
  last->first = progress_.base_index + 1;
  terms.erase(terms.begin(), last);
  // The newest run ends with the log, all others where the next one begins.
  const LogIndex end = terms.size() > 1 ? terms[1].first : tail_.last + 1;
  if (terms.front().first == end) terms.erase(terms.begin());
}

// Above the swept part every row follows the one before it without a gap.
Result<void> Database::check_row_order(RowId row, const RowView&, bool last_before) const {
  // Rows that compaction left before the swept mark say nothing about the order behind it.
  const bool behind_mark = tail_.last_row <= progress_.swept_row;
  const RowId before = behind_mark ? progress_.swept_row : tail_.last_row;
  const RowId next_effect = before + 1;
  const RowId next_entry = row_id(row_index(before) + 1, 0);
  const bool follows = behind_mark && before != 0 ? row == next_effect || row == next_entry
                                                  : row == (last_before ? next_entry : next_effect);
  if (follows) return Result<void>();
  return damaged(options_.path, 0,
                 cat("log entries between ", row_index(before), " and ", row_index(row), " are missing"));
}

Result<void> Database::check_nothing_lost(const WalReport& wal) const {
  if (wal.commits_after_bad >= 2) {
    return damaged(wal_path(), wal.bad_offset, "good transactions follow a bad frame");
  }
  if (wal.durable_claim > tail_.last || progress_.durable > tail_.last) {
    return damaged(wal_path(), wal.bad_offset,
                   cat("log entry ", std::max(wal.durable_claim, progress_.durable),
                       " was on disk, but the log now ends with ", tail_.last));
  }
  const auto mark = lock_.mark();
  if (mark && (mark->index > tail_.last || mark->revision > tail_.revision)) {
    return damaged(wal_path(), wal.bad_offset,
                   cat("log entry ", mark->index, " was acknowledged, but the log now ends with ", tail_.last));
  }
  return Result<void>();
}

// A later commit must not be followed by remains of the torn one, or they would look like damage.
Result<void> Database::cut_wal_tail(const WalReport& wal) const {
  const std::uint64_t good =
      wal.header_good ? kWalHeaderBytes + wal.frames * (kWalFrameHeaderBytes + kPageBytes) : std::uint64_t{0};
  struct stat info {};
  if (::stat(wal_path().c_str(), &info) != 0 || static_cast<std::uint64_t>(info.st_size) <= good) return Result<void>();
  Fd fd(::open(wal_path().c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(good)) != 0 || ::fdatasync(fd.get()) != 0) {
    return error_from_errno(errno, cat("cutting ", wal_path()));
  }
  return Result<void>();
}

// Pages on the free list hold nothing, but a broken list would stop a later write: better now than then.
Result<void> Database::check_free_list() {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  char bytes[kPageBytes];
  const std::string_view page(bytes, sizeof bytes);
  auto read_page = [&](std::uint32_t number) {
    return file->pMethods->xRead(file, bytes, kPageBytes, static_cast<sqlite3_int64>(number - 1) * kPageBytes);
  };
  int rc = read_page(1);
  if (rc != SQLITE_OK) return failure(rc, "reading the free list");
  const std::uint32_t pages = big32(page, 28);
  std::uint32_t trunk = big32(page, 32), left = big32(page, 36);
  const Error broken = damaged(options_.path, 32, "the list of free pages is broken");
  while (trunk != 0) {
    if (trunk > pages || left == 0) return broken;
    const std::uint64_t offset = static_cast<std::uint64_t>(trunk - 1) * kPageBytes;
    if (rc = read_page(trunk); rc != SQLITE_OK) return failure(rc, "reading the free list");
    const std::uint32_t leaves = big32(page, 4);
    if (leaves > (kPageBytes - kPageReserved) / 4 - 2 || leaves >= left) {
      return damaged(options_.path, offset, "the list of free pages is broken");
    }
    for (std::uint32_t i = 0; i < leaves; ++i) {
      const std::uint32_t leaf = big32(page, 8 + 4 * i);
      if (leaf == 0 || leaf > pages) return damaged(options_.path, offset, "the list of free pages is broken");
    }
    left -= leaves + 1;
    trunk = big32(page);
  }
  if (left != 0) return broken;
  return Result<void>();
}

}  // namespace kayak::store
