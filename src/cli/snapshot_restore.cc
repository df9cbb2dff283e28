// snapshot_restore.cc: see snapshot_restore.h.
// The order of a restore: everything is read and written beside its place first, then the keys, and last, in one step,
// the store. Until then no server begins an empty cluster there, under keys that the nodes of the old one trust: what
// fails is taken back, and where a restore was killed the store does not open (store/restore.h).
#include "cli/snapshot_restore.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "cli/pki.h"
#include "cli/snapshot_save.h"
#include "cli/token.h"
#include "io/tls.h"
#include "store/member.h"
#include "store/restore.h"
#include "store/snapshot_file.h"
#include "store/snapshot_stream.h"

namespace kayak::cli {

namespace {

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr std::size_t kMaxKeptBytes = 1024 * 1024;
// What our own stream begins with when it was saved as it is, by `etcdctl snapshot save`: without keys and passphrase.
constexpr std::string_view kStreamMagic = "kayak snapshot\n";
constexpr std::size_t kStreamMagicAt = 5;
constexpr std::string_view kTokenName = "token";

struct Snapshot {
  std::optional<store::SnapshotInfo> info;  // none of a plain stream
  std::vector<store::KeptFile> files;
};
using StreamSink = std::function<Result<void>(std::string_view bytes)>;

Result<std::string> read_piece(int fd) {
  std::string piece(kPieceBytes, '\0');
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_from_errno(errno, "reading the snapshot");
    piece.resize(static_cast<std::size_t>(got));
    return piece;
  }
}

// Of a pipe as much as of a file: a head is never cut.
Result<std::string> read_first_piece(int fd) {
  std::string first;
  for (;;) {
    Result<std::string> piece = read_piece(fd);
    if (!piece) return piece;
    first += *piece;
    if (piece->empty() || first.size() >= kPieceBytes) return first;
  }
}

bool is_plain_stream(std::string_view begin) {
  return begin.size() > kStreamMagicAt + kStreamMagic.size() &&
         begin.substr(kStreamMagicAt, kStreamMagic.size()) == kStreamMagic;
}

// All bytes of `fd` after `piece`, through `take`.
Result<void> for_each_piece(int fd, std::string piece, const StreamSink& take) {
  while (!piece.empty()) {
    if (auto taken = take(piece); !taken) return taken;
    Result<std::string> next = read_piece(fd);
    if (!next) return next.error();
    piece = std::move(*next);
  }
  return Result<void>();
}

// The reader that opens what begins with `first`, and has been given that.
Result<void> start_reader(const std::vector<std::string>& passphrases, const store::SnapshotFileReader::Sink& sink,
                          std::string_view first, std::optional<store::SnapshotFileReader>* reader) {
  Result<void> fed;
  if (passphrases.empty()) return reader->emplace(std::nullopt, sink).feed(first);
  for (const std::string& passphrase : passphrases) {
    fed = reader->emplace(passphrase, sink).feed(first);
    if (fed || fed.error().code() != Code::kUnauthorized) break;
  }
  return fed;
}

// Reads the file; `stream` gets the bytes of the state, those of a plain stream with what stands behind its end.
Result<Snapshot> read_snapshot(const RestoreOptions& options, bool needs_passphrase, const StreamSink& stream) {
  Fd owned;
  if (options.file != "-") {
    owned = Fd(::open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!owned) return error_from_errno(errno, cat("opening ", options.file));
  }
  const int fd = owned ? owned.get() : 0;
  Result<std::string> first = read_first_piece(fd);
  if (!first) return first.error();
  Snapshot snapshot;
  if (is_plain_stream(*first)) {
    if (auto read = for_each_piece(fd, std::move(*first), stream); !read) return read.error();
    return snapshot;
  }
  if (needs_passphrase && options.passphrases.empty())
    return Error(Code::kUnauthorized, "it is encrypted, and opens with its passphrase alone");
  store::SnapshotFileReader::Sink sink;
  sink.files = [&snapshot](std::vector<store::KeptFile> files) {
    snapshot.files = std::move(files);
    return Result<void>();
  };
  sink.data = stream;
  std::optional<store::SnapshotFileReader> reader;
  // A wrong passphrase is known by the head, before anything is given on; the file is read once, as it may be a pipe.
  Result<void> begun = start_reader(options.passphrases, sink, *first, &reader);
  if (!begun) return begun.error();
  Result<std::string> second = read_piece(fd);
  if (!second) return second.error();
  auto feed = [&reader](std::string_view bytes) { return reader->feed(bytes); };
  if (auto read = for_each_piece(fd, std::move(*second), feed); !read) return read.error();
  if (auto whole = reader->finish(); !whole) return whole.error();
  snapshot.info = reader->info();
  return snapshot;
}

// Anyone may have written the head: it must not command the terminal.
std::string shown(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

std::string describe(const store::SnapshotInfo& info) {
  return cat("taken on ", shown(info.node), " at ", format_time(WallTime{info.created * 1'000'000}), ", revision ",
             info.revision, ", ", info.keys, " keys, cluster ", shown(info.cluster), ", kayak ", shown(info.version));
}

// The token may have been changed since the snapshot was taken: the same CA with another secret.
bool is_newer_token(const store::KeptFile& file, const std::string& there) {
  if (file.name != kTokenName) return false;
  const Result<Token> kept = parse_token(file.bytes), now = parse_token(there);
  return kept && now && !now->ca_hash.empty() && kept->ca_hash == now->ca_hash;
}

// Files of another cluster are in the way: nothing of them is overwritten.
Result<void> check_files(const std::string& server_dir, const std::vector<store::KeptFile>& files) {
  for (const store::KeptFile& file : files) {
    const bool ours = std::any_of(kept_names().begin(), kept_names().end(),
                                  [&](const KeptName& kept) { return file.name == kept.name; });
    if (!ours)
      return Error(Code::kInvalid, cat("the snapshot holds a file ", quote(file.name), ", which is not known"));
    const std::string path = cat(server_dir, "/", file.name);
    const Result<std::string> there = read_file(path, kMaxKeptBytes);
    if (!there && there.error().code() != Code::kNotFound) return there.error();
    if (there && *there != file.bytes && !is_newer_token(file, *there)) {
      return Error(Code::kAlreadyExists, cat(path, " is of another cluster than the snapshot. Move ", server_dir,
                                             "/tls and ", server_dir, "/token away, then restore again"));
    }
  }
  return Result<void>();
}

// What a restore has changed: taken back, unless it is kept. No step back needs space.
class Changes {
 public:
  Changes() = default;
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() {
    for (const std::string& path : files_) ::unlink(path.c_str());
    for (const std::string& path : aside_) ::rename((path + kAside).c_str(), path.c_str());
    for (auto path = folders_.rbegin(); path != folders_.rend(); ++path) ::rmdir(path->c_str());  // the empty ones
  }
  // As make_directories; parents that it makes stay.
  Result<void> make_folder(const std::string& path, unsigned mode) {
    const bool there = file_exists(path);
    Result<void> made = make_directories(path, mode);
    if (made && !there) folders_.push_back(path);
    return made;
  }
  // What is there already has the same content, and stays.
  Result<void> write(const std::string& path, const std::string& content, unsigned mode) {
    if (!file_exists(path)) files_.push_back(path);
    return write_file_atomic(path, content, mode);
  }
  // `interrupted`: a restore was killed here before; what that one has set aside is what was there.
  Result<void> set_aside(const std::string& path, bool interrupted) {
    const std::string aside = path + kAside;
    const bool before = interrupted && file_exists(aside);
    if (auto removed = remove_file(before ? path : aside); !removed) return removed;
    aside_.push_back(path);
    if (before || ::rename(path.c_str(), aside.c_str()) == 0 || errno == ENOENT) return Result<void>();
    return error_from_errno(errno, cat("setting ", path, " aside"));
  }
  void keep() {
    for (const std::string& path : aside_) ::unlink((path + kAside).c_str());
    files_.clear();
    aside_.clear();
    folders_.clear();
  }

 private:
  static constexpr const char* kAside = ".before-restore";
  std::vector<std::string> files_, aside_, folders_;
};

Result<void> write_files(const std::string& server_dir, const std::vector<store::KeptFile>& files, Changes* changes) {
  for (const store::KeptFile& file : files) {
    const std::string path = cat(server_dir, "/", file.name);
    if (file.name == kTokenName && file_exists(path)) continue;
    if (auto written = changes->write(path, file.bytes, file.mode & 0777U); !written) return written;
  }
  return Result<void>();
}

// This server comes back as another member: who it was may still be known to others, with a log that it no longer has.
Result<void> change_identity(const std::string& server_dir, const std::string& key, bool interrupted,
                             Changes* changes) {
  for (const char* name : {"/tls/peer.crt", "/tls/peer.key", "/db/members.json"}) {
    if (auto aside = changes->set_aside(server_dir + name, interrupted); !aside) return aside;
  }
  return changes->write(server_dir + "/tls/peer.key", key, 0600);
}

Error why_not(const Error& error, const std::string& data_dir) {
  if (error.code() == Code::kUnavailable) {
    return Error(error.code(), cat("a server runs on ", data_dir, ": stop it first (", error.message(), ")"));
  }
  if (error.code() == Code::kAlreadyExists) {
    return Error(error.code(), cat(error.message(),
                                   ". A snapshot is restored where there is none, so that nothing is lost: with the ",
                                   "server stopped, move ", data_dir,
                                   "/server/db/state.db* to another folder (that alone: token, keys and snapshots are "
                                   "needed where they are), then restore again"));
  }
  return error;
}

}  // namespace

Result<RestoreReport> check_snapshot(const RestoreOptions& options) {
  store::SnapshotReader reader{store::SnapshotReader::Sink()};
  auto feed = [&reader](std::string_view bytes) {
    const Result<std::size_t> used = reader.feed(bytes);
    return used ? Result<void>() : Result<void>(used.error());
  };
  Result<Snapshot> snapshot = read_snapshot(options, false, feed);
  if (!snapshot) return snapshot.error().while_doing(options.file);
  const bool opened = !snapshot->info || !options.passphrases.empty();
  if (opened) {
    if (auto whole = reader.finish(); !whole) return whole.error().while_doing(options.file);
  }
  std::string what = snapshot->info ? describe(*snapshot->info)
                                    : cat("taken with etcdctl, revision ", reader.head()->revision, ", ",
                                          reader.head()->keys, " keys, without the keys of its cluster");
  const char* verdict = opened ? "whole" : "not damaged; its contents can be looked at with the passphrase alone";
  return RestoreReport{cat(options.file, ": ", what, "\n", verdict, "\n")};
}

Result<RestoreReport> restore_snapshot(Context context, const RestoreOptions& options) {
  const std::string server_dir = options.data_dir + "/server";
  Changes changes;
  if (auto made = changes.make_folder(options.data_dir, 0711); !made) return made.error();
  for (const char* folder : {"", "/tls", "/db"}) {
    if (auto made = changes.make_folder(server_dir + folder, 0700); !made) return made.error();
  }
  Result<std::string> key = io::generate_key_pem(context.random);
  if (!key) return key.error();
  const Result<std::string> public_key = io::public_key_of(context.random, *key);
  if (!public_key) return public_key.error();
  store::Restore::Options restore_options;
  restore_options.path = server_dir + "/db/state.db";
  restore_options.self = store::member_id(hex_encode(io::sha256(*public_key)));
  restore_options.random = &context.random;
  Result<std::unique_ptr<store::Restore>> restore = store::Restore::begin(std::move(restore_options));
  if (!restore) return why_not(restore.error(), options.data_dir);
  auto feed = [&restore](std::string_view bytes) { return (*restore)->feed(bytes); };
  Result<Snapshot> snapshot = read_snapshot(options, true, feed);
  if (!snapshot) return snapshot.error();
  Result<store::SnapshotHead> head = (*restore)->prepare();
  if (!head) return head.error();
  if (auto good = check_files(server_dir, snapshot->files); !good) return good.error();
  if (auto written = write_files(server_dir, snapshot->files, &changes); !written) return written.error();
  const Result<void> changed = change_identity(server_dir, *key, (*restore)->interrupted(), &changes);
  if (!changed) return changed.error();
  if (auto done = (*restore)->finish(); !done) return done.error();
  changes.keep();
  std::string text = cat("restored revision ", head->revision, ", ", head->keys, " keys, to ", options.data_dir, "\n");
  if (!snapshot->info) {
    text += cat("The snapshot holds no keys: with none in ", server_dir,
                "/tls the cluster gets new ones, and kubeconfigs, nodes and tokens of the old one do not work.\n");
  }
  text += cat("Start it: kayak server --data-dir ", options.data_dir, "\n");
  return RestoreReport{std::move(text)};
}

}  // namespace kayak::cli
