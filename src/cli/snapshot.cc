// snapshot.cc: `kayak snapshot save|ls|check|restore`. Saving asks the server of this machine for the state and reads
// the keys beside it; the other verbs need no server.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/host.h"
#include "cli/join.h"
#include "cli/local_call.h"
#include "cli/option_checks.h"
#include "cli/print.h"
#include "cli/process.h"
#include "cli/server.h"
#include "cli/snapshot_list.h"
#include "cli/snapshot_restore.h"
#include "cli/snapshot_save.h"
#include "cli/token.h"
#include "io/signals.h"
#include "store/etcd/messages.h"
#include "store/snapshot_stream.h"

namespace kayak::cli {

namespace {

// The state of the server of this machine, over its etcd endpoint.
class ServedState final : public store::StateStream {
 public:
  explicit ServedState(io::GrpcClientCall& call) : call_(call) {}
  store::Revision revision() const override { return revision_; }
  std::uint64_t keys() const override { return 0; }
  Task<Result<std::optional<std::string>>> next(StopToken stop) override {
    Result<std::optional<std::string>> message = co_await call_.receive(stop);
    if (!message) co_return message.error();
    if (!*message) co_return std::optional<std::string>();
    Result<store::etcd::SnapshotResponse> response = store::etcd::decode<store::etcd::SnapshotResponse>(**message);
    if (!response) co_return response.error();
    revision_ = response->header.revision;
    co_return std::optional<std::string>(std::move(response->blob));
  }

 private:
  io::GrpcClientCall& call_;
  store::Revision revision_ = 0;
};

// One line that is rewritten; nothing when nobody watches.
std::function<void(std::uint64_t)> progress_line() {
  if (::isatty(2) == 0) return nullptr;
  return [](std::uint64_t bytes) { std::fprintf(stderr, "\rsnapshot: %s ", size_text(bytes).c_str()); };
}

// The file that opens a snapshot: the one that was named, else the server's token.
Result<std::string> passphrase_for(const SnapshotOptions& options) {
  if (!options.passphrase_file.empty()) return read_passphrase(options.passphrase_file);
  const std::string token = options.data_dir + "/server/token";
  Result<std::string> secret = read_passphrase(token);
  if (secret || secret.error().code() != Code::kNotFound) return secret;
  return Error(Code::kNotFound, cat("a snapshot is encrypted: name a file with its passphrase, --passphrase-file (",
                                    token, ", which is used otherwise, does not exist)"));
}

Task<Result<void>> save_from(Context context, io::Http2Client& client, SnapshotOptions options, SaveOptions save,
                             StopToken stop) {
  io::GrpcRequest request = local_request("/etcdserverpb.Maintenance/Snapshot");
  request.max_message_bytes = store::kMaxSnapshotSliceBytes + 64 * 1024;
  Result<std::unique_ptr<io::GrpcClientCall>> call = co_await io::GrpcClientCall::open(client, std::move(request));
  if (!call) co_return call.error();
  Result<void> asked = co_await (*call)->send(io::Slices());
  if (asked) asked = co_await (*call)->finish_sending();
  if (!asked) co_return asked;
  ServedState state(**call);
  const bool to_stdout = options.output == "-";
  const std::string path = !options.output.empty()
                               ? options.output
                               : cat(options.dir, "/", snapshot_name(options.name, save.node, context.clock.wall()));
  Result<std::unique_ptr<SnapshotOutput>> output = SnapshotOutput::to_descriptor(1);
  if (!to_stdout) output = SnapshotOutput::create(path);
  if (!output) co_return output.error();
  Result<store::SnapshotInfo> info = co_await save_snapshot(context, state, std::move(save), **output, stop);
  if (::isatty(2) != 0) std::fputs("\n", stderr);
  if (!info) co_return plain_error(info.error());
  std::fprintf(to_stdout ? stderr : stdout, "%s: revision %lld, %lld keys, %s\n", to_stdout ? "snapshot" : path.c_str(),
               static_cast<long long>(info->revision), static_cast<long long>(info->keys),
               size_text((*output)->bytes()).c_str());
  co_return Result<void>();
}

Task<Result<void>> stop_at_signal(Context context, io::StopSource* stop, StopToken end) {
  const Result<int> signal = co_await io::wait_for_signal(context, end);
  if (signal) stop->stop();
  co_return Result<void>();
}

// As the server calls itself: its --node-name is among its flags, not among ours.
std::string node_name_of_server(Random& random, const std::string& data_dir) {
  const Result<LocalState> state = look_at(random, data_dir + "/server");
  const store::MemberRecord* self = state && state->peers ? state->peers->find(state->self) : nullptr;
  return self != nullptr && check_node_name(self->name).empty() ? self->name : host_name();
}

Task<Result<void>> save(Context context, SnapshotOptions options, StopToken stop) {
  SaveOptions save;
  save.node = node_name_of_server(context.random, options.data_dir);
  save.progress = progress_line();
  Result<std::string> passphrase = passphrase_for(options);
  if (!passphrase) co_return passphrase.error();
  save.passphrase = std::move(*passphrase);
  auto work = [&](io::Http2Client& client) -> Task<Result<void>> {
    Result<std::vector<store::KeptFile>> files = read_kept_files(options.data_dir);
    if (!files) co_return files.error();
    save.files = std::move(*files);
    co_return co_await save_from(context, client, options, std::move(save), stop);
  };
  Result<void> saved = co_await with_local_server(context, options.data_dir, work, stop);
  if (!saved && stop.stopped()) co_return Error(Code::kCancelled, "interrupted: no snapshot was saved");
  co_return saved;
}

// A file that is half written goes when a signal ends the program. A pipe has nothing to clear up, and must end at once
// although nobody reads from it.
Task<Result<void>> save_until_signal(Context context, SnapshotOptions options) {
  if (options.output == "-") co_return co_await save(context, options, StopToken());
  io::StopSource stop;
  io::TaskScope signals;
  signals.spawn(stop_at_signal(context, &stop, signals.token()));
  Result<void> saved = co_await save(context, options, stop.token());
  signals.stop();
  (void)co_await signals.join();
  co_return saved;
}

void print_json(const std::string& folder, const std::vector<ListedSnapshot>& snapshots) {
  json::Array items;
  for (const ListedSnapshot& one : snapshots) {
    json::Object item;
    item.set("name", one.name);
    item.set("location", cat("file://", folder, "/", one.name));
    item.set("size", static_cast<std::int64_t>(one.bytes));
    item.set("created", format_time(WallTime{one.info.created * 1'000'000}));
    item.set("revision", one.info.revision);
    item.set("keys", one.info.keys);
    item.set("node", one.info.node);
    item.set("cluster", one.info.cluster);
    item.set("version", one.info.version);
    items.emplace_back(std::move(item));
  }
  std::printf("%s\n", json::write_pretty(json::Value(std::move(items))).c_str());
}

Result<void> list(const SnapshotOptions& options) {
  Result<std::vector<ListedSnapshot>> found = list_snapshots(options.dir);
  // The first snapshot makes the folder of a server that has named none.
  const bool none_yet = !found && found.error().code() == Code::kNotFound &&
                        options.dir == snapshot_folder(options.data_dir) &&
                        file_exists(options.data_dir + "/server/db");
  if (!found && !none_yet) return found.error();
  const std::vector<ListedSnapshot> snapshots = found ? std::move(*found) : std::vector<ListedSnapshot>();
  if (options.json) {
    print_json(options.dir, snapshots);
    return Result<void>();
  }
  std::size_t width = 4;
  for (const ListedSnapshot& one : snapshots) width = std::max(width, one.name.size());
  std::printf("%-*s  %10s  %-20s  %s\n", static_cast<int>(width), "NAME", "SIZE", "CREATED", "REVISION");
  for (const ListedSnapshot& one : snapshots) {
    std::printf("%-*s  %10s  %-20s  %lld\n", static_cast<int>(width), one.name.c_str(), size_text(one.bytes).c_str(),
                format_time(WallTime{one.info.created * 1'000'000}).c_str(), static_cast<long long>(one.info.revision));
  }
  return Result<void>();
}

// A snapshot is named by its path, or by its name in the folder.
std::string path_of(const SnapshotOptions& options) {
  const bool named = options.file.find('/') == std::string::npos && !file_exists(options.file) &&
                     file_exists(cat(options.dir, "/", options.file));
  return named ? cat(options.dir, "/", options.file) : options.file;
}

Result<void> run(Context context, const SnapshotOptions& options) {
  if (options.verb == "save") return context.loop.run(save_until_signal(context, options));
  if (options.verb == "ls") return list(options);
  RestoreOptions restore;
  restore.data_dir = options.data_dir;
  restore.file = path_of(options);
  const bool check = options.verb == "check";
  const bool named = !options.passphrase_file.empty();
  Result<std::string> passphrase = passphrase_for(options);
  if (passphrase) restore.passphrases.push_back(std::move(*passphrase));
  if (!passphrase && named) return passphrase.error();
  // What was saved before the token was changed opens with the one of then.
  const std::string server_dir = options.data_dir + "/server";
  if (!named) {
    Result<std::vector<std::string>> older = read_old_secrets(server_dir);
    if (!older) return older.error();
    restore.passphrases.insert(restore.passphrases.end(), older->begin(), older->end());
  }
  const bool tried = !restore.passphrases.empty();
  Result<RestoreReport> report = check ? check_snapshot(restore) : restore_snapshot(context, restore);
  const bool not_opened = !report && report.error().code() == Code::kUnauthorized;
  if (not_opened && !tried) return passphrase.error();
  if (not_opened && !named) {
    return Error(Code::kUnauthorized,
                 cat(report.error().message(), " (", server_dir, "/token was tried",
                     restore.passphrases.size() > 1 ? cat(", and those of ", old_tokens_path(server_dir)) : "",
                     "; name another with --passphrase-file)"));
  }
  if (!report) return report.error();
  std::fputs(report->text.c_str(), stdout);
  return Result<void>();
}

}  // namespace

int run_snapshot(const SnapshotOptions& options) {
  SnapshotOptions complete = options;
  if (complete.dir.empty()) complete.dir = snapshot_folder(complete.data_dir);
  return run_tool([&complete](const Context& context) { return run(context, complete); });
}

}  // namespace kayak::cli
