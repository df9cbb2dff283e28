// rejoin.cc: see rejoin.h.
#include "cli/rejoin.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {

constexpr std::string_view kAside = ".damaged-";

std::string mark_path(const std::string& server_dir) { return server_dir + "/db/replaces"; }

// One copy of a damaged database is kept for whoever wants to look: disks are small.
Result<void> remove_earlier(const std::string& database) {
  const std::filesystem::path path(database);
  const std::string begin = cat(path.filename().string(), kAside);
  std::vector<std::string> earlier;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(path.parent_path(), failed), end; !failed && entry != end;
       entry.increment(failed)) {  // a range-for would throw at a folder that cannot be read
    if (entry->path().filename().string().starts_with(begin)) earlier.push_back(entry->path().string());
  }
  for (const std::string& copy : earlier) {
    if (auto removed = remove_file(copy); !removed) return removed;
  }
  return Result<void>();
}

// The lock holds a mark of how far the old log went: it goes, too.
Result<void> set_aside(const std::string& database, WallTime now) {
  if (file_exists(database)) {
    if (auto removed = remove_earlier(database); !removed) return removed;
    const std::string aside = cat(database, kAside, now.microseconds / 1'000'000);
    // The log first: a database that is left without it is found as lost as before.
    for (const char* suffix : {"-wal", ""}) {
      if (::rename((database + suffix).c_str(), (aside + suffix).c_str()) != 0 && errno != ENOENT) {
        return error_from_errno(errno, cat("setting ", database, suffix, " aside"));
      }
    }
  }
  for (const char* suffix : {"-wal", "-shm", "-lock"}) {
    if (auto removed = remove_file(database + suffix); !removed) return removed;
  }
  return sync_folder_of(database);
}

}  // namespace

bool has_peers(const LocalState& state) {
  if (!state.peers) return false;
  return std::any_of(state.peers->members.begin(), state.peers->members.end(), [&state](const auto& member) {
    return member.role == store::MemberRecord::Role::kVoter && member.id != state.self && !state.gave_up(member.id);
  });
}

bool has_lost_store(const LocalState& state, const ServerOptions& options) {
  if (state.has_store || state.self == store::raft::kNobody) return false;
  // One that has only begun to join has had no database yet, and goes on with that.
  if (state.peers) return !state.joining() && has_peers(state);
  return !options.server.empty();
}

Result<void> become_another(LocalState* state, const std::string& server_dir, WallTime now) {
  if (state->self != store::raft::kNobody && !state->gave_up(state->self)) {
    std::vector<store::raft::NodeId> ids = state->replaced;
    ids.push_back(state->self);
    // The first was a member; of the others the last may have become one.
    if (ids.size() > store::MemberLimits::kReplaced) ids.erase(ids.begin() + 1);
    std::string text;
    for (const store::raft::NodeId id : ids) text += store::member_id_text(id) + "\n";
    if (auto marked = write_file_atomic(mark_path(server_dir), text, 0600); !marked) return marked;
    state->replaced = std::move(ids);
  }
  if (auto aside = set_aside(server_dir + "/db/state.db", now); !aside) return aside;
  // A certificate without its key is taken for damage; a key without one gets another.
  for (const char* name : {"/tls/peer.crt", "/tls/peer.key"}) {
    if (auto removed = remove_file(server_dir + name); !removed) return removed;
  }
  if (auto synced = sync_folder_of(server_dir + "/tls/peer.key"); !synced) return synced;
  state->self = store::raft::kNobody;
  state->has_store = false;
  return Result<void>();
}

Result<void> forget_replaced(const std::string& server_dir) { return remove_file(mark_path(server_dir)); }

Result<std::vector<store::raft::NodeId>> read_replaced(const std::string& server_dir) {
  constexpr std::size_t kMaxBytes = 1024;
  std::vector<store::raft::NodeId> ids;
  const Result<std::string> text = read_file(mark_path(server_dir), kMaxBytes);
  if (!text && text.error().code() == Code::kNotFound) return ids;
  if (!text) return text.error();
  for (const std::string_view line : split(trim(*text), '\n')) {
    ids.push_back(store::parse_member_id(trim(line)));
    if (ids.back() == store::raft::kNobody)
      return Error(Code::kCorrupt, mark_path(server_dir) + " holds no member's id");
  }
  return ids;
}

JoinOutcome rejoin(const LocalState& state, const std::string& token) {
  JoinOutcome outcome;
  outcome.joining = true;
  outcome.replaces = state.replaced;
  outcome.token = token;
  outcome.peers = *state.peers;
  std::erase_if(outcome.peers.members, [&state](const auto& member) { return state.gave_up(member.id); });
  return outcome;
}

}  // namespace kayak::cli
