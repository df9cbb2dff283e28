// snapshot_test.cc: what a snapshot keeps, where a restore refuses, when the schedule comes and what it removes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/strings.h"
#include "cli/damage.h"
#include "cli/pki.h"
#include "cli/snapshot_list.h"
#include "cli/snapshot_restore.h"
#include "cli/snapshot_save.h"
#include "cli/snapshot_schedule.h"
#include "store/kept_members.h"
#include "support/scratch.h"

using namespace kayak;
using namespace kayak::cli;

namespace {

namespace fs = std::filesystem;

struct Folder {
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
};

template <typename T>
Task<Result<void>> capture(Task<T> task, std::optional<T>* out) {
  Task<T> owned = std::move(task);
  out->emplace(co_await owned);
  co_return Result<void>();
}

// A server's data directory, with keys and a store.
struct Machine {
  explicit Machine(std::string dir) : data_dir(std::move(dir)) {
    REQUIRE(make_directories(data_dir + "/server/db"));
    ServerKeyOptions options;
    options.tls_dir = data_dir + "/server/tls";
    REQUIRE(load_or_make_server_keys(random, clock.wall(), options));
    REQUIRE(write_file_atomic(data_dir + "/server/token",
                              "K10" + std::string(64, 'a') + "::server:a-secret-of-the-cluster\n", 0600));
    store = wait(store::open_sqlite_store(context(), store_options())).value();
  }
  ~Machine() { close(); }
  template <typename T>
  T wait(Task<T> task) {
    std::optional<T> out;
    REQUIRE(loop.run(capture(std::move(task), &out)));
    return std::move(*out);
  }
  Context context() { return Context{loop, clock, random, Log::discard(), metrics}; }
  store::SqliteStoreOptions store_options() const {
    store::SqliteStoreOptions options;
    options.path = data_dir + "/server/db/state.db";
    return options;
  }
  void close() {
    if (!store) return;
    REQUIRE(loop.run(close_it(store.get())));
    store.reset();
  }
  static Task<Result<void>> close_it(store::Store* store) {
    co_await store->close();
    co_return Result<void>();
  }
  void put(const std::string& key, const std::string& value) {
    store::TxnRequest request;
    store::Op& op = request.success.emplace_back();
    op.key = key;
    op.value = std::make_shared<const std::string>(value);
    REQUIRE(wait(store->txn(std::move(request))));
  }
  SnapshotScheduleOptions schedule(std::size_t retention = 2) const {
    SnapshotScheduleOptions options;
    options.cron = "@every 1s";
    options.data_dir = data_dir;
    options.dir = data_dir + "/snapshots";
    options.node = "here";
    options.passphrase_file = data_dir + "/server/token";
    options.retention = retention;
    return options;
  }

  std::string data_dir;
  Loop loop;
  ManualClock clock;
  SystemRandom random;
  Metrics metrics;
  std::unique_ptr<store::Store> store;
};

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::int64_t at(const char* text) {
  std::tm time{};
  REQUIRE(::strptime(text, "%Y-%m-%d %H:%M:%S", &time) != nullptr);
  time.tm_isdst = -1;
  return ::mktime(&time);
}
std::string shown(std::int64_t time) {
  const std::time_t seconds = time;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

}  // namespace

TEST_CASE("the schedule's next time") {
  ::setenv("TZ", "Europe/Berlin", 1);
  ::tzset();
  struct Row {
    const char* cron;
    const char* after;
    const char* next;
  };
  for (const Row& row : {Row{"0 */12 * * *", "2026-11-29 11:59:59", "2026-11-29 12:00:00"},
                         Row{"0 */12 * * *", "2026-11-29 12:00:00", "2026-11-30 00:00:00"},
                         Row{"0 */12 * * *", "2026-11-29 12:00:01", "2026-11-30 00:00:00"},
                         Row{"*/5 * * * *", "2026-12-31 23:57:00", "2027-01-01 00:00:00"},
                         Row{"30 4 1,15 * 5", "2026-11-29 00:00:00", "2026-12-01 04:30:00"},
                         Row{"30 4 * * 5", "2026-11-29 00:00:00", "2026-12-04 04:30:00"},
                         Row{"0 0 29 2 *", "2026-11-29 00:00:00", "2028-02-29 00:00:00"},
                         Row{"@every 90s", "2026-11-29 00:00:00", "2026-11-29 00:01:30"},
                         Row{"@monthly", "2026-11-29 00:00:00", "2026-12-01 00:00:00"}}) {
    CAPTURE(row.cron, row.after);
    CHECK(shown(next_time(api::validation::parse_cron(row.cron).value(), at(row.after))) == row.next);
  }
  CHECK(next_time(api::validation::parse_cron("0 0 30 2 *").value(), at("2026-11-29 00:00:00")) == 0);
  if (fs::exists("/usr/share/zoneinfo/Europe/Berlin")) {
    // 02:30 is left out on that day.
    CHECK(shown(next_time(api::validation::parse_cron("30 2 * * *").value(), at("2026-03-28 12:00:00"))) ==
          "2026-03-30 02:30:00");
  }
  ::unsetenv("TZ");
  ::tzset();
}

TEST_CASE("scheduled snapshots: the newest stay, what was saved by hand is not touched") {
  Folder folder;
  Machine machine(folder.path);
  machine.put("/a", "1");
  SnapshotSchedule schedule(machine.context(), *machine.store, machine.schedule());
  fs::create_directories(folder.path + "/snapshots");
  for (const char* name :
       {"on-demand-here-1", "scheduled-there-1", "scheduled-here-other", ".kayak-snapshot-abcdef.part"}) {
    std::ofstream(cat(folder.path, "/snapshots/", name)) << "x";
  }
  for (int i = 0; i < 4; ++i) {
    machine.clock.set_wall(WallTime{(1'700'000'000 + std::int64_t{i}) * 1'000'000});
    auto saved = machine.wait(schedule.save(StopToken()));
    INFO((saved ? std::string() : saved.error().message()));
    REQUIRE(saved);
  }
  CHECK(names_in(folder.path + "/snapshots") ==
        std::vector<std::string>{"on-demand-here-1", "scheduled-here-1700000002", "scheduled-here-1700000003",
                                 "scheduled-here-other", "scheduled-there-1"});
  struct stat info {};
  REQUIRE(::stat((folder.path + "/snapshots/scheduled-here-1700000003").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  // A clock that was set back does not make the newest the oldest.
  fs::remove_all(folder.path + "/snapshots");
  for (const std::int64_t second : {1'700'000'000, 1'700'000'001, 100}) {
    machine.clock.set_wall(WallTime{second * 1'000'000});
    REQUIRE(machine.wait(schedule.save(StopToken())));
  }
  CHECK(names_in(folder.path + "/snapshots") ==
        std::vector<std::string>{"scheduled-here-100", "scheduled-here-1700000001"});
}

TEST_CASE("a snapshot that cannot be written leaves no half") {
  Folder folder;
  Machine machine(folder.path);
  machine.put("/a", "1");
  fs::create_directories(folder.path + "/snapshots");
  SnapshotScheduleOptions options = machine.schedule();
  options.passphrase_file = folder.path + "/missing";
  SnapshotSchedule without(machine.context(), *machine.store, options);
  CHECK(machine.wait(without.save(StopToken())).error().code() == Code::kNotFound);
  CHECK(names_in(folder.path + "/snapshots").empty());

  // Every write finds no space there.
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  auto output = SnapshotOutput::to_descriptor(full);
  auto state = machine.store->snapshot();
  REQUIRE(state);
  SaveOptions save;
  save.passphrase = "p";
  auto saved = machine.wait(save_snapshot(machine.context(), **state, std::move(save), *output));
  ::close(full);
  REQUIRE_FALSE(saved);
  CHECK(saved.error().code() == Code::kNoSpace);
}

TEST_CASE("two snapshots on their way to one name: the first that is whole gets it, and is not touched") {
  Folder folder;
  const std::string path = folder.path + "/one";
  auto first = SnapshotOutput::create(path).value();
  auto second = SnapshotOutput::create(path).value();
  REQUIRE(first->write("first"));
  REQUIRE(second->write("2"));
  REQUIRE(first->write(", whole"));
  REQUIRE(first->finish());
  const Result<void> late = second->finish();
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Code::kAlreadyExists);
  CHECK(read_file(path).value() == "first, whole");
  second.reset();
  CHECK(names_in(folder.path) == std::vector<std::string>{"one"});
  CHECK(SnapshotOutput::create(path).error().code() == Code::kAlreadyExists);
}

TEST_CASE("what a killed save left goes with the next one; what is being written stays") {
  Folder folder;
  for (const char* name : {".kayak-snapshot-abcdef.part", "theirs.part", ".kayak-snapshot-abcdef"}) {
    std::ofstream(cat(folder.path, "/", name)) << "x";
  }
  fs::create_symlink("theirs.part", folder.path + "/.kayak-snapshot-link00.part");
  auto running = SnapshotOutput::create(folder.path + "/running").value();
  auto next = SnapshotOutput::create(folder.path + "/next").value();
  REQUIRE(next->finish());
  REQUIRE(running->finish());
  CHECK(names_in(folder.path) == std::vector<std::string>{".kayak-snapshot-abcdef", ".kayak-snapshot-link00.part",
                                                          "next", "running", "theirs.part"});
}

TEST_CASE("a list names what is saved, not what is being written or was left by a killed save") {
  Folder folder;
  SystemRandom random;
  store::SnapshotFileWriter writer(random);
  std::string bytes = writer.begin(store::SnapshotInfo(), {}, "p");
  bytes += writer.end();
  for (const char* name : {"saved", ".kayak-snapshot-abcdef.part"}) {
    REQUIRE(write_file_atomic(cat(folder.path, "/", name), bytes, 0600));
  }
  auto running = SnapshotOutput::create(folder.path + "/running").value();
  REQUIRE(running->write(bytes));
  const auto names = [&folder] {
    std::vector<std::string> found;
    const std::vector<ListedSnapshot> listed = list_snapshots(folder.path).value();
    for (const ListedSnapshot& one : listed) found.push_back(one.name);
    std::sort(found.begin(), found.end());
    return found;
  };
  CHECK(names() == std::vector<std::string>{"saved"});
  REQUIRE(running->finish());
  CHECK(names() == std::vector<std::string>{"running", "saved"});
}

TEST_CASE("what a snapshot says of itself does not command the terminal that shows it") {
  Folder folder;
  SystemRandom random;
  store::SnapshotFileWriter writer(random);
  store::SnapshotInfo info;
  info.node = "a\x1b[2Jb";
  info.version = "v1\n\x9bm";
  std::string bytes = writer.begin(info, {}, "p");
  bytes += writer.end();
  RestoreOptions options;
  options.file = folder.path + "/hostile";
  REQUIRE(write_file_atomic(options.file, bytes, 0600));
  const std::string text = check_snapshot(options).value().text;
  CHECK(text.find("taken on a?[2Jb at ") != std::string::npos);
  CHECK(text.find_first_of("\x1b\x9b") == std::string::npos);
}

TEST_CASE("restored: the keys and the state; refused where something would be lost") {
  Folder folder;
  const std::string from = folder.path + "/from", to = folder.path + "/to";
  auto machine = std::make_unique<Machine>(from);
  machine->put("/a", "1");
  machine->put("/kayak/members/0000000000000001", "{}");
  SnapshotSchedule schedule(machine->context(), *machine->store, machine->schedule());
  REQUIRE(machine->wait(schedule.save(StopToken())));
  RestoreOptions options;
  options.file = cat(from, "/snapshots/", names_in(from + "/snapshots").front());
  options.data_dir = to;
  // Of the token the secret alone counts.
  options.passphrases = {"a-secret-of-the-cluster"};
  Loop loop;
  const Context context{loop, machine->clock, machine->random, Log::discard(), machine->metrics};

  SECTION("to a fresh machine") {
    auto restored = restore_snapshot(context, options);
    INFO((restored ? std::string() : restored.error().message()));
    REQUIRE(restored);
    for (const KeptName& kept : kept_names()) {
      CAPTURE(kept.name);
      const std::string old_path = cat(from, "/server/", kept.name), new_path = cat(to, "/server/", kept.name);
      CHECK(read_file(old_path).value() == read_file(new_path).value());
      CHECK(fs::status(old_path).permissions() == fs::status(new_path).permissions());
    }
    // Twice is refused, and says what to do.
    const auto again = restore_snapshot(context, options);
    REQUIRE_FALSE(again);
    CHECK(again.error().code() == Code::kAlreadyExists);
    CHECK(again.error().message().find(cat("move ", to, "/server/db/state.db* to")) != std::string::npos);
  }
  SECTION("beside a running server") {
    options.data_dir = from;
    const auto refused = restore_snapshot(context, options);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kUnavailable);
    CHECK(refused.error().message().find("stop it first") != std::string::npos);
  }
  SECTION("over the keys of another cluster") {
    Machine other(to);
    other.close();
    fs::remove(to + "/server/db/state.db");
    const std::string key = read_file(to + "/server/tls/server-ca.key").value();
    const auto refused = restore_snapshot(context, options);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kAlreadyExists);
    CHECK(refused.error().message().find("of another cluster") != std::string::npos);
    CHECK(read_file(to + "/server/tls/server-ca.key").value() == key);
    CHECK_FALSE(file_exists(to + "/server/db/state.db"));
  }
  SECTION("with a wrong passphrase, or without one") {
    options.passphrases = {"another", "or this one"};
    CHECK(restore_snapshot(context, options).error().code() == Code::kUnauthorized);
    CHECK(check_snapshot(options).error().code() == Code::kUnauthorized);
    options.passphrases.clear();
    CHECK(restore_snapshot(context, options).error().code() == Code::kUnauthorized);
    CHECK(check_snapshot(options));
    CHECK_FALSE(file_exists(to + "/server/db/state.db"));
    CHECK_FALSE(file_exists(to + "/server/tls/server-ca.key"));
  }
  SECTION("with the older of two passphrases") {
    options.passphrases = {"the newer one", "a-secret-of-the-cluster"};
    CHECK(check_snapshot(options));
    CHECK(restore_snapshot(context, options));
  }
  SECTION("of a file that is cut short") {
    const std::string bytes = read_file(options.file).value();
    for (const std::size_t size : {bytes.size() - 1, bytes.size() / 2, std::size_t{0}}) {
      CAPTURE(size);
      REQUIRE(write_file_atomic(folder.path + "/cut", bytes.substr(0, size), 0600));
      options.file = folder.path + "/cut";
      CHECK_FALSE(restore_snapshot(context, options));
      CHECK_FALSE(file_exists(to));
      // What was there before stays.
      fs::create_directories(to + "/server/db");
      CHECK_FALSE(restore_snapshot(context, options));
      CHECK(names_in(to + "/server") == std::vector<std::string>{"db"});
      CHECK(names_in(to + "/server/db").empty());
      fs::remove_all(to);
    }
  }
  SECTION("where one was interrupted") {
    fs::create_directories(to + "/server/db");
    for (const char* name : {"state.db.incoming", "state.db.incoming-journal", "state.db-lock"}) {
      std::ofstream(cat(to, "/server/db/", name)) << "x";
    }
    REQUIRE(restore_snapshot(context, options));
    CHECK(names_in(to + "/server/db") == std::vector<std::string>{"state.db", "state.db-lock"});
  }
  SECTION("where one was interrupted, and cannot be done again at once") {
    fs::create_directories(to + "/server/db");
    std::ofstream(to + "/server/db/state.db.incoming") << "x";
    store::SqliteStoreOptions start = machine->store_options();
    start.path = to + "/server/db/state.db";
    const auto begun_empty = [&] { return machine->wait(store::open_sqlite_store(machine->context(), start)); };
    CHECK(begun_empty().error().code() == Code::kConflict);
    RestoreOptions wrong = options;
    wrong.passphrases = {"another"};
    CHECK(restore_snapshot(context, wrong).error().code() == Code::kUnauthorized);
    const Error refused = begun_empty().error();
    CHECK(refused.code() == Code::kConflict);
    CHECK(refused.message().find("restore it again, or remove " + start.path + ".incoming") != std::string::npos);
    REQUIRE(restore_snapshot(context, options));
    CHECK(names_in(to + "/server/db") == std::vector<std::string>{"state.db", "state.db-lock"});
  }
  SECTION("where it fails late: all is as it was") {
    for (const bool interrupted : {false, true}) {
      CAPTURE(interrupted);
      fs::create_directories(to + "/server/db");
      fs::create_directories(to + "/server/tls/peer.key.new");  // in the way of the last file that is written
      const std::string members = to + "/server/db/members.json", certificate = to + "/server/tls/peer.crt";
      std::ofstream(members + (interrupted ? ".before-restore" : "")) << "those";
      std::ofstream(certificate) << (interrupted ? "of the killed one" : "mine");
      if (interrupted) {
        std::ofstream(certificate + ".before-restore") << "mine";
        std::ofstream(to + "/server/db/state.db.incoming") << "x";
      }
      CHECK_FALSE(restore_snapshot(context, options));
      CHECK(read_file(members).value() == "those");
      CHECK(read_file(certificate).value() == "mine");
      CHECK(names_in(to + "/server") == std::vector<std::string>{"db", "tls"});
      CHECK(names_in(to + "/server/tls") == std::vector<std::string>{"peer.crt", "peer.key.new"});
      // What was not there before is in nobody's way the next time.
      fs::remove(to + "/server/tls/peer.key.new");
      CHECK(restore_snapshot(context, options));
      CHECK(names_in(to + "/server/db") == std::vector<std::string>{"state.db", "state.db-lock"});
      CHECK_FALSE(file_exists(certificate));
      CHECK_FALSE(file_exists(certificate + ".before-restore"));
      fs::remove_all(to);
    }
  }
  SECTION("where the token was changed since") {
    fs::create_directories(to + "/server");
    const std::string token = "K10" + std::string(64, 'a') + "::server:another-secret-since\n";
    REQUIRE(write_file_atomic(to + "/server/token", token, 0600));
    REQUIRE(restore_snapshot(context, options));
    CHECK(read_file(to + "/server/token").value() == token);
  }
}

TEST_CASE("damage: the command that goes back to the newest snapshot of the cluster that is whole") {
  Folder folder;
  const std::string data = folder.path + "/it's here";
  Machine machine(data);
  machine.put("/a", "1");
  SnapshotScheduleOptions schedule_options = machine.schedule(10);
  SnapshotSchedule schedule(machine.context(), *machine.store, schedule_options);
  for (int i = 0; i < 2; ++i) {
    machine.clock.set_wall(WallTime{(1'700'000'000 + std::int64_t{i}) * 1'000'000});
    REQUIRE(machine.wait(schedule.save(StopToken())));
  }
  ServerOptions options;
  options.data_dir = data;
  options.snapshot_dir = schedule_options.dir;
  const Error damage(Code::kCorrupt, "state.db is damaged");
  const WallTime now{std::int64_t{1'700'000'100} * 1'000'000};
  auto text = [&] { return with_way_out(damage, options, now).message(); };
  const std::string word = cat(folder.path, "/it'\\''s here");
  const std::string aside = cat("'", word, "/server/damaged-1700000100'");
  const std::string set_aside = cat("\n  mkdir -m 700 ", aside, " && mv '", word, "/server'/db/state.db* ", aside, "/");
  auto restore = [&](const std::string& rest) {
    return cat(set_aside, " && kayak snapshot restore --data-dir '", word, "' ", rest);
  };
  const std::string newest = "scheduled-here-1700000001", older = "scheduled-here-1700000000";
  CHECK(text().starts_with("state.db is damaged. Nothing was changed. Go back to the newest snapshot, of 2023-11-14T"));
  CHECK(text().ends_with(restore(cat("'", word, "/snapshots/", newest, "'"))));
  options.snapshot_passphrase_file = "/root/phrase";
  CHECK(text().ends_with(restore(cat("--passphrase-file /root/phrase '", word, "/snapshots/", newest, "'"))));
  options.snapshot_passphrase_file.clear();
  // The clock may be wrong.
  machine.put("/a", "2");
  machine.clock.set_wall(WallTime{std::int64_t{100} * 1'000'000});
  REQUIRE(machine.wait(schedule.save(StopToken())));
  CHECK(text().ends_with(restore(cat("'", word, "/snapshots/scheduled-here-100'"))));
  REQUIRE(fs::remove(cat(options.snapshot_dir, "/scheduled-here-100")));
  // A damaged one is passed over.
  std::string bytes = read_file(cat(options.snapshot_dir, "/", newest)).value();
  bytes.pop_back();
  REQUIRE(write_file_atomic(cat(options.snapshot_dir, "/", newest), bytes, 0600));
  CHECK(text().ends_with(restore(cat("'", word, "/snapshots/", older, "'"))));
  // So are those of another cluster.
  fs::remove_all(data + "/server/tls");
  ServerKeyOptions other;
  other.tls_dir = data + "/server/tls";
  REQUIRE(load_or_make_server_keys(machine.random, machine.clock.wall(), other));
  CHECK(text().find("There is no snapshot of this cluster in " + options.snapshot_dir) != std::string::npos);
  CHECK(text().find(restore("<the snapshot>\n")) != std::string::npos);
  CHECK(text().ends_with("then start again:" + set_aside));
  // Where others are known, and lost, it would wait for them when it is started empty.
  store::MemberList list;
  list.cluster = *store::cluster_id(read_file(data + "/server/tls/peer-ca.crt").value());
  store::MemberRecord& lost = list.members.emplace_back();
  lost.name = "lost";
  lost.addresses = {"127.0.0.1:6443"};
  lost.key = std::string(64, '0');
  lost.id = store::member_id(lost.key);
  REQUIRE(store::write_member_list(data + "/server/db/members.json", list));
  CHECK(text().find(restore("<the snapshot>\n")) != std::string::npos);
  CHECK(text().ends_with(cat("then start again, without --server:\n  mkdir -m 700 ", aside, " && mv '", word,
                             "/server'/db/state.db* '", word, "/server'/db/members.json ", aside, "/")));
}
