// snapshot_test.cc: the state of a store that is being written to, as a stream, and the databases made of it.
#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "store/packed.h"
#include "store/snapshot_source.h"
#include "store/support_model.h"
#include "store/support_snapshot.h"
#include "store/support_vfs.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;

namespace {

void write_some(Driver& d, Model* model, Random& random, int transactions, int keys, std::size_t max_value) {
  for (int i = 0; i < transactions; ++i) {
    if (random.below(6) == 0) change_lease(d, *model, random);
    TxnRequest request = model->random_txn(random, keys, max_value);
    model->apply(request);
    REQUIRE(d.txn(std::move(request)).ok());
  }
}

void write(Driver& d, Model* model, std::vector<Op> ops) {
  TxnRequest request;
  request.success = std::move(ops);
  model->apply(request);
  REQUIRE(d.txn(std::move(request)).ok());
}

SqliteStoreOptions store_at(const std::string& path) {
  SqliteStoreOptions options;
  options.path = path;
  options.compact_interval = Duration(0);
  return options;
}

}  // namespace

TEST_CASE("a store that is written to, compacted and swept meanwhile comes out as it was when it was asked") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    TempFolder folder;
    Model model;
    Driver d(store_at(folder.file("live.db")));
    REQUIRE(d.open().ok());
    write_some(d, &model, random, 200, 80, 20'000);
    if (round % 2 == 0) {
      REQUIRE(d.compact(model.revision() - 20).ok());
      if (round % 4 == 0) d.finish_sweep();
    }
    write_some(d, &model, random, 100, 80, 20'000);
    for (int i = 0; i < 14; ++i) write(d, &model, {put_op(cat("large-", i), std::string(100'000, 'l'))});
    const Revision at = model.revision();
    const std::string leases = lease_text(model);
    int slices = 0;
    auto meanwhile = [&] {
      write_some(d, &model, random, 10, 80, 5'000);
      // Ahead of the reader and behind it.
      write(d, &model, {delete_op(cat("large-", 13 - slices)), put_op(cat("large-", slices), "small")});
      if (++slices == 2) REQUIRE(d.compact(model.revision()).ok());
    };
    auto stream = slices_of(d, meanwhile);
    REQUIRE(stream.ok());
    REQUIRE(slices > 4);

    Driver built(store_at(folder.file("built.db")));
    built.options.member_id = d.store().leadership().self;  // the group of one goes on
    auto head = build_from(joined(*stream), follower_at(built.options.path));
    INFO((head ? std::string() : head.error().message()));
    REQUIRE(head.ok());
    CHECK(head->revision == at);
    auto opened = built.open();
    INFO((opened ? std::string() : opened.error().message()));
    REQUIRE(opened.ok());
    CHECK(built.store().revision() == at);
    REQUIRE(text(state_of(built).value()) == text(model.at(at)));
    REQUIRE(text(state_of(built, at).value()) == text(model.at(at)));
    CHECK(lease_text(built) == leases);
    CHECK(built.range("/", "0", at - 1).error().code() == Code::kExpired);
    // What led to the state is not known, what follows it is.
    CHECK(built.store().watch(WatchRequest{"/", "0", at}).error().code() == Code::kExpired);
    auto watch = built.store().watch(WatchRequest{"/", "0", at + 1});
    REQUIRE(watch.ok());
    REQUIRE(built.put("/new", "x").value() == at + 1);
    auto events = built.harness.wait((*watch)->next());
    REQUIRE(events.ok());
    CHECK(text(*events).find(cat(at + 1, ":put /new=x")) == 0);
    watch->reset();

    // It lives on like any other: written to, compacted, opened again.
    Model after;
    for (int i = 0; i < 50; ++i) REQUIRE(built.txn(after.random_txn(random, 80, 3000)).ok());
    const std::string before_close = text(state_of(built).value());
    const Revision end = built.store().revision();
    REQUIRE(built.compact(end).ok());
    built.finish_sweep();
    built.close();
    opened = built.open();
    INFO((opened ? std::string() : opened.error().message()));
    REQUIRE(opened.ok());
    CHECK(built.store().revision() == end);
    CHECK(text(state_of(built).value()) == before_close);
  }
}

TEST_CASE("the newest entry may have left no row: a built store is at its revision all the same") {
  TempFolder folder;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  REQUIRE(d.put("b", "1").ok());
  REQUIRE(d.remove("b").ok());
  const Revision at = d.store().revision();
  const std::string stream = joined(slices_of(d).value());
  for (const bool used : {false, true}) {
    CAPTURE(used);
    Driver built(store_at(folder.file(cat("built-", used))));
    built.options.member_id = d.store().leadership().self;  // the group of one goes on
    REQUIRE(build_from(stream, follower_at(built.options.path)).ok());
    for (int opened = 0; opened < 3; ++opened) {
      REQUIRE(built.open().ok());
      REQUIRE(built.store().revision() == at + (used ? opened : 0));
      REQUIRE(text(built.range("a", "z")->kvs) == "a=1");
      if (used) REQUIRE(built.put("a", "1").ok());
      built.close();
    }
  }
}

TEST_CASE("an empty store has a snapshot, too") {
  TempFolder folder;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  const std::string stream = joined(slices_of(d).value());
  Driver built(store_at(folder.file("built.db")));
  built.options.member_id = d.store().leadership().self;  // the group of one goes on
  REQUIRE(build_from(stream, follower_at(built.options.path)).ok());
  REQUIRE(built.open().ok());
  CHECK(built.store().revision() == 1);
  CHECK(built.put("a", "1").value() == 2);
}

TEST_CASE("a source that is not read to its end holds nothing up, and outlives its store") {
  TempFolder folder;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  for (int i = 0; i < 50; ++i) REQUIRE(d.put("a", cat(i)).ok());
  auto source = d.store().snapshot();
  REQUIRE(source.ok());
  CHECK((*source)->revision() == 51);
  CHECK((*source)->keys() == 1);
  auto abandoned = d.store().snapshot();
  REQUIRE(d.harness.wait((*abandoned)->next()).ok());
  abandoned->reset();
  REQUIRE(d.harness.wait((*source)->next()).ok());
  d.close();
  CHECK(d.harness.wait((*source)->next()).error().code() == Code::kUnavailable);
}

namespace {

// What a server keeps of its log, without the store around it: rows of every kind can be written.
struct Bench {
  Harness harness;
  KvState state;
  std::multiset<Revision> pins;
  std::set<SnapshotSource*> sources;
  std::unique_ptr<Storage> storage;
  LogIndex index = 0;

  explicit Bench(const std::string& path) {
    Storage::Options options;
    options.database.path = path;
    options.database.store_id = "the leader's id.";
    RowSink sink;
    sink.row = [this](RowId row, const RowView& view, bool complete) { return state.apply(row, view, complete); };
    Storage::Events events;
    events.appended = [](const Appended&) {};
    events.append_failed = events.fatal = [](const Error& error) { FAIL(error.message()); };
    storage = harness.wait(Storage::open(harness.loop, options, sink, events)).value();
    const Database::Base base = storage->base();
    state.begin_at(base.index, base.term, base.revision);
  }
  // One entry with one effect, appended and applied.
  RowId log(Term term, Revision revision, Effect effect) {
    Entry entry;
    entry.index = ++index;
    entry.term = term;
    entry.revision = revision;
    entry.effects.push_back(std::move(effect));
    const RowId row = row_id(index, 0);
    REQUIRE(state.apply(row, view_of(entry, 0), true).ok());
    for (SnapshotSource* source : sources) source->applied(entry);
    LogWrite write;
    write.first = entry.index;
    write.entries.push_back(std::make_shared<const Entry>(std::move(entry)));
    storage->append(index, std::move(write));
    return row;
  }
  std::unique_ptr<SnapshotSource> source() {
    return std::make_unique<SnapshotSource>(SnapshotSource::Host{state, *storage, pins, sources, [](bool) {}});
  }
  // "type row" of each row that the source has left.
  std::string rows(SnapshotSource& source, std::string* stream = nullptr) {
    std::string out;
    auto row = [&out](RowId id, const RowView& view, std::string_view) {
      out += cat(static_cast<int>(view.type), "@", row_index(id), " ");
      return Result<void>();
    };
    SnapshotReader reader(SnapshotReader::Sink{nullptr, row});
    while (!reader.complete()) {
      auto slice = harness.wait(source.next());
      REQUIRE(slice.ok());
      REQUIRE(*slice);
      if (stream != nullptr) *stream += **slice;
      REQUIRE(reader.feed(**slice).ok());
    }
    CHECK(*reader.head() == source.head());
    return out;
  }
};

Effect grant(std::int64_t lease, RowId previous) {
  Effect effect;
  effect.type = EffectType::kLeaseGrant;
  effect.lease = lease;
  effect.ttl = 60;
  effect.previous_row = previous;
  return effect;
}
Effect revoke(std::int64_t lease, RowId previous) {
  Effect effect = grant(lease, previous);
  effect.type = EffectType::kLeaseRevoke;
  return effect;
}
Effect membership(std::vector<raft::NodeId> voters, RowId previous) {
  Effect effect;
  effect.type = EffectType::kMembership;
  effect.membership = std::make_shared<const raft::Membership>(raft::Membership{std::move(voters), {}, 0});
  effect.previous_row = previous;
  return effect;
}
Effect noop() { return Effect(); }
Effect compaction(Revision floor, RowId previous) {
  Effect effect;
  effect.type = EffectType::kCompact;
  effect.floor = floor;
  effect.previous_row = previous;
  return effect;
}
Effect put(const std::string& key, Revision revision, RowId previous, std::int64_t version = 1) {
  Effect effect;
  effect.type = EffectType::kPut;
  effect.key = key;
  effect.value = std::make_shared<const std::string>("value of " + key);
  effect.create_revision = revision;
  effect.version = version;
  effect.previous_row = previous;
  return effect;
}

}  // namespace

TEST_CASE("leases, memberships and compactions: the living alone, as they were at the index") {
  TempFolder folder;
  Bench b(folder.file("live.db"));
  b.log(1, 1, noop());
  const RowId first = b.log(1, 1, membership({5}, 0));           // 2
  const RowId second = b.log(1, 1, membership({5, 7}, first));   // 3
  b.log(1, 1, noop());                                           // 4
  const RowId dead = b.log(1, 1, grant(71, 0));                  // 5
  const RowId lease = b.log(1, 1, grant(70, 0));                 // 6
  b.log(1, 1, revoke(71, dead));                                 // 7
  const RowId key = b.log(2, 2, put("/kayak/members/5", 2, 0));  // 8
  const RowId early = b.log(2, 2, compaction(1, 0));             // 9
  const RowId late = b.log(2, 2, compaction(2, early));          // 10
  auto source = b.source();
  // All of it goes on, and none of that is seen.
  b.log(3, 2, membership({5, 7, 9}, second));
  b.log(3, 2, revoke(70, lease));
  b.log(3, 2, grant(72, 0));
  b.log(3, 2, compaction(2, late));
  b.log(3, 3, put("/kayak/members/5", 2, key, 2));
  std::string stream;
  CHECK(b.rows(*source, &stream) == "5@3 6@6 1@8 3@10 ");
  CHECK(source->head().index == 10);
  CHECK(source->head().term == 2);
  CHECK(source->head().membership.voters == std::vector<raft::NodeId>{5, 7});
  CHECK(source->head().membership_index == 3);
  CHECK(source->head().store_id == "the leader's id.");
  source.reset();
  CHECK(b.pins.empty());
  auto later = b.source();
  CHECK(b.rows(*later) == "5@11 6@13 3@14 1@15 ");
  later.reset();

  SECTION("a follower goes on where the leader's log does") {
    REQUIRE(build_from(stream, follower_at(folder.file("built.db"))).ok());
    Bench built(folder.file("built.db"));
    CHECK(built.state.applied() == 10);
    CHECK(built.state.term() == 2);
    CHECK(built.state.revision() == 2);
    CHECK(built.state.floor() == 2);
    CHECK(built.state.membership()->voters == std::vector<raft::NodeId>{5, 7});
    CHECK(built.state.lease_row(70) == lease);
    CHECK(built.state.lease_row(71) == 0);
    built.index = 10;
    // The leader still kept more of the past.
    built.log(3, 2, compaction(2, late));
    built.log(3, 2, revoke(70, lease));
    auto again = built.source();
    CHECK(built.rows(*again) == "5@3 1@8 3@11 ");
  }
  SECTION("a restored server is a group of its own, in a new term, at a revision that nobody has seen") {
    DatabaseBuilder::Options options = follower_at(folder.file("built.db"));
    options.alone = DatabaseBuilder::Alone{99, "/kayak/members/", 1000};
    REQUIRE(build_from(stream, options).ok());
    Bench built(folder.file("built.db"));
    CHECK(built.state.applied() == 12);
    CHECK(built.state.term() == 3);
    CHECK(built.state.revision() == 1003);
    CHECK(built.state.floor() == 1002);
    CHECK(built.state.membership()->voters == std::vector<raft::NodeId>{99});
    const KeyRecord* member = built.state.keys().find("/kayak/members/5");
    REQUIRE(member != nullptr);
    CHECK(member->deleted);
    auto hard = [](Database& database) { return Result<raft::HardState>(database.found().hard); };
    CHECK(built.harness.wait(built.storage->call(built.storage->epoch(), hard)).value() == raft::HardState{3, 99, 12});
  }
}

TEST_CASE("what was learned of a state is not looked for in the one that took its place") {
  TempFolder folder;
  Bench leader(folder.file("leader.db"));
  leader.log(1, 1, noop());
  leader.log(1, 1, membership({5, 7}, 0));
  leader.log(1, 2, put("key", 2, 0));
  std::string stream;
  auto source = leader.source();
  leader.rows(*source, &stream);
  source.reset();
  Bench b(folder.file("live.db"));
  b.log(1, 1, noop());
  auto made = DatabaseBuilder::create(follower_at(folder.file("live.db")));
  REQUIRE(made.ok());
  std::shared_ptr<DatabaseBuilder> builder = std::move(*made);
  REQUIRE(builder->feed(stream).ok());
  LogWrite write;
  write.hard = raft::HardState{1, 5, 1};
  const Storage::Epoch before = b.storage->epoch();
  auto begun = b.source(), not_begun = b.source();
  REQUIRE(b.harness.wait(begun->next()).ok());
  int done = 0;
  auto look = [&done](Database&) {
    ++done;
    return Result<void>();
  };
  b.storage->install(2, std::move(builder), std::move(write));
  Result<void> looked = b.harness.wait(b.storage->call(before, look));
  for (int i = 0; i < 1000 && looked; ++i) looked = b.harness.wait(b.storage->call(before, look));
  REQUIRE(!looked);
  CHECK(looked.error().code() == Code::kExpired);
  // A snapshot of it ends as with the store: nobody has asked for a revision that could have expired.
  for (const auto& one : {begun.get(), not_begun.get()}) {
    CHECK(b.harness.wait(one->next()).error().code() == Code::kUnavailable);
  }
  done = 0;
  b.storage->installed_seen();
  looked = b.harness.wait(b.storage->call(before, look));
  CHECK((!looked && looked.error().code() == Code::kExpired));
  CHECK(done == 0);
  CHECK(b.harness.wait(b.storage->call(b.storage->epoch(), look)).ok());
  CHECK(done == 1);
}

TEST_CASE("no damaged stream makes a database") {
  TempFolder folder;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  REQUIRE(d.put("a", "1").ok());
  REQUIRE(d.put("b", "2").ok());
  const std::string stream = joined(slices_of(d).value());
  const std::string path = folder.file("built.db");
  auto refused = [&](const std::string& bytes) {
    auto built = build_from(bytes, follower_at(path));
    return !built && built.error().code() == Code::kCorrupt && !file_exists(path) && !file_exists(incoming_path(path));
  };
  for (std::size_t at = 0; at < stream.size(); ++at) {
    CAPTURE(at);
    std::string flipped = stream;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    REQUIRE(refused(flipped));
    REQUIRE(refused(stream.substr(0, at)));
  }
  REQUIRE(build_from(stream, follower_at(path)).ok());
}

TEST_CASE("a snapshot with numbers that leave none to go on with is not restored") {
  TempFolder folder;
  for (const int which : {0, 1, 2, 3}) {
    CAPTURE(which);
    SnapshotHead head;
    head.index = which == 1 ? kMaxLogIndex : 7;
    head.term = which == 2 ? UINT64_MAX : 3;
    head.revision = which == 3 ? kMaxRevision : 5;
    head.store_id = std::string(16, 's');
    SnapshotWriter writer;
    std::string stream = writer.head(head);
    stream += writer.end();
    DatabaseBuilder::Options options = follower_at(folder.file(cat("built-", which)));
    options.alone = DatabaseBuilder::Alone{1, "/members/", kSkippedRevisions};
    const auto built = build_from(stream, options);
    CHECK(built.ok() == (which == 0));
    if (!built) CHECK(built.error().code() == Code::kInvalid);
  }
}

// What is left of the log would be taken for that of the file that stands there next.
TEST_CASE("a database that was retired has no log that a power cut could bring back") {
  TempFolder folder;
  const std::string path = folder.file("state.db");
  TestDisk disk;
  disk.recording = true;
  disk.folders_lag = true;
  DatabaseOptions options;
  options.path = path;
  options.vfs = disk.vfs();
  options.store_id = std::string(16, 's');
  auto database = Database::open(options, {});
  REQUIRE(database.ok());
  auto entry = std::make_shared<Entry>();
  entry->index = entry->term = 1;
  entry->revision = 2;
  entry->effects.emplace_back();
  LogWrite write;
  write.hard = raft::HardState{1, 1, 0};
  write.first = 1;
  write.entries.push_back(std::move(entry));
  SweepResult swept;
  REQUIRE((*database)->write(std::span(&write, 1), nullptr, &swept).ok());
  REQUIRE((*database)->retire().ok());
  database->reset();
  CHECK_FALSE(file_exists(path + "-wal"));
  SeededRandom random{3};
  for (int i = 0; i < 50; ++i) {
    CHECK(disk.after_power_loss(disk.operations(), random).count(path + "-wal") == 0);
  }
}

// What is still to come at the end of a connection would come after the close has said that all went well.
TEST_CASE("a database that was closed has ended, though it is still there") {
  TempFolder folder;
  DatabaseOptions options;
  options.path = folder.file("state.db");
  options.store_id = std::string(16, 's');
  auto database = Database::open(options, {});
  REQUIRE(database.ok());
  REQUIRE(file_exists(options.path + "-wal"));
  REQUIRE((*database)->close().ok());
  CHECK_FALSE(file_exists(options.path + "-wal"));
}

TEST_CASE("a disk that fails or is full while a database is built leaves none") {
  TempFolder folder;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  for (int i = 0; i < 40; ++i) REQUIRE(d.put(cat("k", i), std::string(100'000, 'v')).ok());
  const std::string stream = joined(slices_of(d).value());
  const std::string path = folder.file("built.db");
  TestDisk disk;
  DatabaseBuilder::Options options = follower_at(path);
  options.vfs = disk.vfs();
  auto gone = [&] { return !file_exists(path) && !file_exists(incoming_path(path)); };
  SECTION("no space") {
    for (const std::int64_t capacity : {0, 10'000, 1'000'000, 3'000'000}) {
      CAPTURE(capacity);
      disk.capacity = capacity;
      CHECK(build_from(stream, options).error().code() == Code::kNoSpace);
      CHECK(gone());
    }
  }
  SECTION("a write fails") {
    auto builder = DatabaseBuilder::create(options);
    REQUIRE(builder.ok());
    disk.fail_writes = 1;
    CHECK((*builder)->feed(stream).error().code() == Code::kIo);
    builder->reset();
    CHECK(gone());
  }
  SECTION("the last sync fails") {
    auto builder = DatabaseBuilder::create(options);
    REQUIRE(builder.ok());
    REQUIRE((*builder)->feed(stream).ok());
    disk.fail_syncs = 1;
    CHECK((*builder)->finish().error().code() == Code::kIo);
    builder->reset();
    CHECK(gone());
  }
}

TEST_CASE("the power may go at any write of a build: the store beside it is untouched, a finished one whole") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  Model model;
  Driver d(store_at(folder.file("live.db")));
  REQUIRE(d.open().ok());
  write_some(d, &model, random, 120, 60, 9'000);
  const std::string stream = joined(slices_of(d).value());
  const Revision at = model.revision();

  TestDisk disk;
  disk.recording = true;
  const std::string path = folder.file("built.db");
  DatabaseBuilder::Options options = follower_at(path);
  options.vfs = disk.vfs();
  auto builder = DatabaseBuilder::create(options);
  REQUIRE(builder.ok());
  REQUIRE((*builder)->feed(stream).ok());
  REQUIRE((*builder)->finish().ok());
  const std::size_t finished = disk.operations();
  REQUIRE(finished > 10);

  const std::string old = folder.file("old.db");
  Driver before(store_at(old));
  REQUIRE(before.open().ok());
  REQUIRE(before.put("old", "here").ok());
  before.close();
  for (std::size_t count = 0; count <= finished; count += 1 + random.below(4)) {
    CAPTURE(count);
    for (const auto& [file, bytes] : disk.after_power_loss(count, random)) {
      REQUIRE(file.substr(0, incoming_path(path).size()) == incoming_path(path));
      write_file(old + file.substr(path.size()), bytes);
    }
    Driver after(store_at(old));
    REQUIRE(after.open().ok());
    REQUIRE(after.get("old") == "here");
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      REQUIRE(entry.path().string().find("old.db.incoming") == std::string::npos);
    }
  }
  for (int round = 0; round < 20; ++round) {
    std::string whole;
    for (const auto& [file, bytes] : disk.after_power_loss(finished, random)) {
      if (file == incoming_path(path)) whole = bytes;
    }
    Driver built(store_at(folder.file(cat("whole-", round))));
    built.options.member_id = d.store().leadership().self;  // the group of one goes on
    write_file(built.options.path, whole);
    auto opened = built.open();
    INFO((opened ? std::string() : opened.error().message()));
    REQUIRE(opened.ok());
    REQUIRE(text(state_of(built).value()) == text(model.at(at)));
  }
}
