// damage.cc: see damage.h.
#include "cli/damage.h"

#include <algorithm>
#include <optional>

#include "base/files.h"
#include "base/random.h"
#include "base/strings.h"
#include "cli/join.h"
#include "cli/rejoin.h"
#include "cli/snapshot_list.h"
#include "cli/snapshot_restore.h"
#include "cli/snapshot_save.h"
#include "store/member.h"

namespace kayak::cli {

namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;

// As one word of a shell's line.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+,:@").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The newest that is whole, as far as can be seen without its passphrase. Revisions of one cluster never go back, as
// the clock of a board may.
std::optional<ListedSnapshot> newest_whole(const std::string& folder, const std::string& cluster) {
  Result<std::vector<ListedSnapshot>> found = list_snapshots(folder);
  if (!found) return std::nullopt;
  const auto older = [](const auto& a, const auto& b) { return a.info.revision < b.info.revision; };
  if (!cluster.empty()) std::stable_sort(found->begin(), found->end(), older);
  for (auto one = found->rbegin(); one != found->rend(); ++one) {
    if (!cluster.empty() && one->info.cluster != cluster) continue;
    RestoreOptions check;
    check.file = cat(folder, "/", one->name);
    if (check_snapshot(check)) return *one;
  }
  return std::nullopt;
}

// Whether it would wait for others to take it in, if it were started without its database.
bool knows_others(const std::string& server_dir) {
  SystemRandom random;
  const Result<LocalState> state = look_at(random, server_dir);
  return state && has_peers(*state);
}

}  // namespace

Error with_way_out(const Error& damage, const ServerOptions& options, WallTime now) {
  const std::string server_dir = options.data_dir + "/server";
  const std::string folder = options.snapshot_dir.empty() ? snapshot_folder(options.data_dir) : options.snapshot_dir;
  const std::string aside = shell_word(cat(server_dir, "/damaged-", now.seconds()));
  const std::string database = shell_word(server_dir) + "/db/state.db*";
  // The database and what belongs to it, and nothing else: keys and token stay, and the snapshots beside it.
  const auto move = [&aside](const std::string& files) {
    return cat("mkdir -m 700 ", aside, " && mv ", files, " ", aside, "/");
  };
  const std::string restore = cat(" && kayak snapshot restore --data-dir ", shell_word(options.data_dir), " ");
  std::string text = cat(damage.message(), ". Nothing was changed. ");
  const Result<std::string> ca = read_file(server_dir + "/tls/peer-ca.crt", kMaxPemBytes);
  const std::string cluster = ca ? store::cluster_id(*ca).value_or("") : "";
  if (const std::optional<ListedSnapshot> newest = newest_whole(folder, cluster)) {
    const bool own_passphrase = !options.snapshot_passphrase_file.empty() && newest->name.starts_with("scheduled-");
    text += cat("Go back to the newest snapshot, of ", format_time(WallTime{newest->info.created * 1'000'000}),
                ", with this command, then start again:\n  ", move(database), restore,
                own_passphrase ? cat("--passphrase-file ", shell_word(options.snapshot_passphrase_file), " ") : "",
                shell_word(cat(folder, "/", newest->name)));
  } else {
    const bool others = knows_others(server_dir);
    text += cat("There is no snapshot of this cluster in ", folder,
                ". If you have one elsewhere, go back to it with this command, then start again:\n  ", move(database),
                restore,
                "<the snapshot>\nWithout any the cluster can only begin anew: empty, but with its keys and its token. "
                "For that, run this alone, then start again",
                others ? ", without --server" : "", ":\n  ",
                move(others ? cat(database, " ", shell_word(server_dir), "/db/members.json") : database));
  }
  return Error(damage.code(), std::move(text));
}

}  // namespace kayak::cli
