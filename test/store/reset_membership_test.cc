// reset_membership_test.cc: the last resort: a member of a group that is lost goes on alone, with all it has.
#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "store/database.h"
#include "store/member.h"
#include "store/members.h"
#include "store/support_group.h"
#include "store/support_snapshot.h"
#include "store/support_store.h"
#include "store/support_vfs.h"

namespace kayak::store {
namespace {

using store::test::Driver;
using store::test::Group;
using store::test::GroupServer;
using store::test::options_in;
using store::test::TempFolder;
using store::test::TestDisk;

SqliteStoreOptions options_of(const TempFolder& folder, std::uint64_t id) {
  SqliteStoreOptions options = options_in(folder);
  options.member_id = id;
  return options;
}

// The log of a follower: `entries` puts that were committed, then a membership of three and `tail` puts that were not.
// Returns the revision of its end.
Revision make_follower(const std::string& path, int entries, int tail) {
  DatabaseOptions options;
  options.path = path;
  options.store_id = std::string(16, 'i');
  options.first_member = 1;
  RowSink sink;
  sink.begin = [](LogIndex) {};
  sink.row = [](RowId, const RowView&, bool) { return Result<void>(); };
  auto database = Database::open(options, sink);
  REQUIRE(database);
  LogWrite write;
  write.hard = raft::HardState{5, 2, 1};
  write.first = 2;
  const auto add = [&write](Term term, Revision revision, Effect effect) {
    auto entry = std::make_shared<Entry>();
    entry->index = write.first + write.entries.size();
    entry->term = term;
    entry->revision = revision;
    entry->effects.push_back(std::move(effect));
    write.entries.push_back(std::move(entry));
  };
  Revision revision = 1;
  const auto put = [&] {
    Effect effect;
    effect.type = EffectType::kPut;
    effect.create_revision = ++revision;
    effect.key = cat("key", revision);
    effect.value = std::make_shared<const std::string>("value");
    effect.version = 1;
    return effect;
  };
  for (int i = 0; i < entries; ++i) {
    Effect effect = put();
    add(3, revision, std::move(effect));
  }
  Effect group;
  group.type = EffectType::kMembership;
  group.membership = std::make_shared<const raft::Membership>(raft::Membership{{1, 2, 3}, {4}, raft::kNobody});
  add(4, revision, std::move(group));
  for (const raft::NodeId member : {1, 2, 3}) {
    Effect effect = put();
    effect.key = member_key(member);
    add(4, revision, std::move(effect));
  }
  for (int i = 0; i < tail; ++i) {
    Effect effect = put();
    add(5, revision, std::move(effect));
  }
  REQUIRE((*database)->write(std::span(&write, 1), nullptr, nullptr));
  REQUIRE((*database)->close());
  return revision;
}

bool is_too_old(Store& store, Revision start) {
  const auto watch = store.watch(WatchRequest{"key", "kez", start});
  return !watch && watch.error().code() == Code::kExpired;
}

TEST_CASE("one of three goes on alone, with all that is on its disk") {
  for (const int tail : {0, 3}) {
    CAPTURE(tail);
    TempFolder folder;
    const Revision end = make_follower(options_in(folder).path, 5, tail);
    REQUIRE(reset_membership(options_in(folder).path, 2));
    Driver d(options_of(folder, 2));
    const Result<void> opened = d.open();
    INFO((opened ? "" : opened.error().message()));
    REQUIRE(opened);
    CHECK(d.store().leadership().leads);
    CHECK(d.store().leadership().term > 5);
    CHECK(d.range("key", "kez")->count == 5 + tail);
    // The others' records went, in one revision; its own stays.
    CHECK(d.store().revision() == end + kSkippedRevisions + 1);
    const auto records = d.range("/kayak/members/", "/kayak/members0");
    CHECK(records->count == 1);
    CHECK(records->kvs.at(0).key == member_key(2));
    REQUIRE(d.put("more", "1"));
    d.close();
    // Doing it again changes nothing.
    REQUIRE(reset_membership(options_in(folder).path, 2));
    REQUIRE(d.open());
    CHECK(d.get("more") == "1");
    CHECK(d.store().revision() == end + kSkippedRevisions + 2);
  }
}

TEST_CASE("revisions that the lost members may have given are not given again, nor watched from") {
  TempFolder folder;
  const Revision end = make_follower(options_in(folder).path, 5, 0);
  REQUIRE(reset_membership(options_in(folder).path, 2));
  Driver d(options_of(folder, 2));
  for (const bool swept : {false, true}) {
    CAPTURE(swept);
    REQUIRE(d.open());
    if (swept) d.finish_sweep();
    const Revision base = end + kSkippedRevisions;
    for (const Revision old : {Revision{2}, end, end + 1, end + 100, base}) {
      CAPTURE(old);
      CHECK(is_too_old(d.store(), old));
    }
    for (const Revision old : {Revision{2}, end, end + 100})
      CHECK(d.range("key3", "", old).error().code() == Code::kExpired);
    CHECK(d.range("key", "kez", base)->count == 5);
    // What a client read of the lost history: the compare must fail for as long as there is such a revision.
    REQUIRE(d.put("key3", "after"));
    TxnRequest update;
    update.compares = {test::compare("key3", Compare::Target::kModRevision, Compare::Result::kEqual, end + 2)};
    update.success = {test::put_op("key3", "stale")};
    CHECK_FALSE(d.txn(update)->succeeded);
    CHECK(d.get("key3") == "after");
    // Watches go on behind it, also from the disk.
    auto watch = d.store().watch(WatchRequest{"key3", "", base + 1});
    REQUIRE(watch);
    const auto batches = d.harness.wait((*watch)->next());
    REQUIRE(batches);
    CHECK(batches->front().revision == base + 2);
    REQUIRE(batches->front().events.front().previous);
    CHECK(batches->front().events.front().previous->mod_revision == 3);
    watch->reset();
    d.close();
  }
}

// What was before is swept bit by bit like what was compacted; until then it is whole, and is given to nobody.
TEST_CASE("the log before a reset is compacted, however much of it is swept") {
  for (const int tail : {0, 3}) {
    CAPTURE(tail);
    TempFolder folder;
    DatabaseOptions options;
    options.path = options_in(folder).path;
    const Revision end = make_follower(options.path, 5, tail);
    REQUIRE(reset_membership(options.path, 2));
    const LogIndex last = 10 + static_cast<LogIndex>(tail);  // of the log before: nothing of index 1 is left
    bool done = false;
    for (int round = 0; !done; ++round) {
      CAPTURE(round);
      REQUIRE(round < 20);
      RowSink sink;
      auto database = Database::open(options, sink);
      INFO((database ? "" : database.error().message()));
      REQUIRE(database);
      const LogFound& found = (*database)->found();
      CHECK((*database)->base().index == last);
      CHECK((*database)->base().revision == end + kSkippedRevisions);
      CHECK(found.compacted == last);
      CHECK(found.compacted_term == (tail == 0 ? 4 : 5));
      REQUIRE(found.terms.size() == 1);
      CHECK(found.terms.front().first == last + 1);
      CHECK(found.terms.front().term == 6);
      CHECK(found.last == last + 2);
      SweepLimits limits;
      limits.floor = end + kSkippedRevisions;
      limits.commit = last;
      limits.rows = 2;
      SweepResult swept;
      REQUIRE((*database)->write({}, &limits, &swept));
      done = swept.done && swept.looked_at == 0;
      REQUIRE((*database)->close());
    }
  }
}

TEST_CASE("the power may go at any moment of a reset: it has happened or it has not") {
  const std::uint64_t seed = test::test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  TempFolder folder;
  const std::string path = folder.file("state.db"), copy = folder.file("copy.db");
  TestDisk disk;
  const Revision end = make_follower(path, 40, 3);
  const std::string mark_before = test::read_file(path + "-lock");
  disk.recording = true;
  REQUIRE(reset_membership(path, 2, disk.vfs()));
  const std::string mark_after = test::read_file(path + "-lock");
  const std::size_t finished = disk.operations();
  REQUIRE(finished > 3);
  int happened = 0;
  for (int round = 0; round < 10; ++round) {
    for (std::size_t count = 0; count <= finished; ++count) {
      CAPTURE(round, count);
      for (const char* suffix : {"", "-wal", "-lock"}) std::filesystem::remove(copy + suffix);
      for (const auto& [file, bytes] : disk.after_power_loss(count, random)) {
        test::write_file(copy + file.substr(path.size()), bytes);
      }
      // The mark is never synced.
      const bool marked = count == finished && round % 2 == 0;
      test::write_file(copy + "-lock", marked ? mark_after : mark_before);
      SqliteStoreOptions options;
      options.path = copy;
      options.member_id = 2;
      Driver d(options);
      Result<void> opened = d.open();
      INFO((opened ? "" : opened.error().message()));
      REQUIRE(opened);
      if (d.store().leadership().leads) {
        ++happened;
      } else {
        REQUIRE(count < finished);
        CHECK(d.store().revision() <= end);
        RangeRequest here{"key", "kez"};
        here.serializable = true;  // the group is lost
        const auto found = d.range(here);
        REQUIRE(found);
        CHECK(found->count <= 43);
        d.close();
        REQUIRE(reset_membership(copy, 2));
        REQUIRE(d.open());
      }
      REQUIRE(d.store().leadership().leads);
      CHECK(d.store().revision() == end + kSkippedRevisions + 1);
      CHECK(d.range("key", "kez")->count == 43);
      CHECK(is_too_old(d.store(), end + 1));
    }
  }
  CHECK(happened > 10);  // more than the last of each round
  CHECK(happened < 10 * static_cast<int>(finished + 1));
}

// They cannot be given the log from before the gap, as they would miss it.
TEST_CASE("servers that join after a reset know of the gap") {
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    Group group;
    group.make(3);
    for (int i = 0; i < 5; ++i) REQUIRE(group.leader().put("key", cat(i)));
    GroupServer& left = group.leader();
    const Revision end = left.store().revision();
    for (const auto& server : group.servers) server->close();
    REQUIRE(reset_membership(left.path(), left.id()));
    REQUIRE(left.start());
    REQUIRE(left.put("key", "alone"));
    if (restarted) {
      REQUIRE(group.eventually([&] { return !left.store().stats().sweeping; }));
      left.close();
      REQUIRE(left.start());
    }
    CHECK(left.store().revision() == end + kSkippedRevisions + 2);
    for (int i = 0; i < 2; ++i) {
      GroupServer& next = group.add();
      group.join(next);
      REQUIRE(left.put("key", cat("with-", i)));
    }
    CHECK(group.differences(end + kSkippedRevisions + 2) == "");
    for (const auto& server : group.servers) {
      if (!server->is_up()) continue;
      CHECK(is_too_old(server->store(), end + 1));
      CHECK(server->fatal.empty());
    }
  }
}

TEST_CASE("one whose state came as a whole goes on from its revision, though no row is as new") {
  TempFolder folder, other;
  Driver leader(options_of(folder, 1));
  REQUIRE(leader.open());
  REQUIRE(leader.put("a", "1"));
  REQUIRE(leader.put("b", "1"));
  REQUIRE(leader.remove("b"));
  const Revision at = leader.store().revision();
  const std::string path = options_in(other).path;
  REQUIRE(store::test::build_from(store::test::joined(store::test::slices_of(leader).value()),
                                  store::test::follower_at(path)));
  REQUIRE(reset_membership(path, 2));
  Driver d(options_of(other, 2));
  const Result<void> opened = d.open();
  INFO((opened ? "" : opened.error().message()));
  REQUIRE(opened);
  CHECK(d.store().revision() == at + kSkippedRevisions);
  CHECK(d.get("a") == "1");
  CHECK(d.put("c", "1").value() == at + kSkippedRevisions + 1);
}

TEST_CASE("what a reset refuses") {
  TempFolder folder;
  const std::string path = options_in(folder).path;
  CHECK(reset_membership(path, 2).error().code() == Code::kNotFound);
  Driver d(options_of(folder, 7));
  REQUIRE(d.open());
  REQUIRE(d.put("a", "1"));
  CHECK(reset_membership(path, 7).error().code() == Code::kUnavailable);  // a server runs on it
  d.close();
  REQUIRE(reset_membership(path, 7));
  REQUIRE(d.open());
  CHECK(d.get("a") == "1");
}

TEST_CASE("a database that was never filled has nothing to reset") {
  TempFolder folder;
  SqliteStoreOptions options = options_of(folder, 7);
  options.joins = true;
  Driver d(options);
  REQUIRE(d.open());
  d.close();
  const Result<void> reset = reset_membership(options.path, 7);
  REQUIRE_FALSE(reset);
  CHECK(reset.error().message().find("never been a member") != std::string::npos);
}

}  // namespace
}  // namespace kayak::store
