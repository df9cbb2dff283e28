// group_full_disk_test.cc: the disk of a group's leader is full: another one leads, and nobody hears of a conflict with
// a write of his own. The disk of a follower is full that needs the whole state: it asks for it now and then, until
// there is space.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "base/strings.h"
#include "store/support_group.h"

namespace kayak::store {
namespace {

using namespace store::test;
using namespace std::chrono_literals;

struct Created {
  int done = 0, unknown = 0, refused = 0;
  int ended() const { return done + unknown + refused; }
};

// Puts a key that nobody else writes, unless it is there.
Task<void> create(Store* store, std::string key, StopToken stop, Created* out) {
  TxnRequest request;
  Compare absent;
  absent.key = key;
  absent.target = Compare::Target::kVersion;
  request.compares.push_back(std::move(absent));
  request.success.push_back(put_op(key, std::string(20'000, 'x')));
  auto done = co_await store->txn(std::move(request), std::move(stop));
  ++(!done ? out->unknown : done->succeeded ? out->done : out->refused);
}

TEST_CASE("a leader whose disk is full hands over, and no write is made twice") {
  Group group;
  group.make(3);
  REQUIRE(group.leader().put("before", "1"));
  for (int round = 0; round < 3; ++round) {
    GroupServer& full = group.leader();
    GroupServer& other = group.follower();
    full.disk().capacity = static_cast<std::int64_t>(full.store().stats().database_bytes);
    io::TaskScope writes;
    Created created;
    for (int i = 0; i < 300 && full.leads(); ++i) {
      for (GroupServer* server : {&full, &other}) {
        writes.spawn(create(&server->store(), cat(round, "-", i, "-", server->name), server->alive(), &created));
      }
      group.harness.run_for(5ms);
    }
    CHECK_FALSE(full.leads());
    GroupServer& next = group.leader();
    CHECK(&next != &full);
    CHECK(next.put(cat("after-", round), "1"));
    full.disk().capacity = INT64_MAX;
    REQUIRE(group.harness.wait(writes.join()));
    CHECK(created.refused == 0);
    CHECK(created.unknown > 0);  // what was under way when the disk was full
    CHECK(group.differences() == "");
  }
}

TEST_CASE("a follower whose disk is full is not level with the group, however well it answers") {
  Group group;
  group.make(3);
  GroupServer& leader = group.leader();
  GroupServer& full = group.follower();
  const auto pace = [&] {
    for (const Member& member : leader.store().members()) {
      if (member.id == full.id()) return member.pace;
    }
    std::abort();
  };
  REQUIRE(leader.put("before", "x"));
  REQUIRE(group.eventually([&] { return pace() == Member::Pace::kLevel; }));
  full.disk().capacity = 0;
  REQUIRE(leader.put("large", std::string(20'000, 'x')));
  REQUIRE(group.eventually([&] { return pace() == Member::Pace::kUnclear; }));
  group.harness.run_for(1s);
  CHECK(pace() == Member::Pace::kUnclear);
  full.disk().capacity = INT64_MAX;
  REQUIRE(group.eventually([&] { return pace() == Member::Pace::kLevel; }));
  CHECK(group.differences() == "");
}

TEST_CASE("who is level, and who is behind") {
  constexpr Instant kBegin{1'000'000'000'000};
  raft::Progress progress(1, kBegin);
  CHECK(pace_of(progress, 5, kBegin + 1s) == Member::Pace::kUnclear);  // a new leader has not heard yet
  CHECK(pace_of(progress, 5, kBegin + 15s) == Member::Pace::kBehind);
  progress.acknowledged(5);
  const auto heard = [&](Instant now, raft::LogIndex commit) {
    progress.contact = now;
    progress.note_level(commit, now);
    return pace_of(progress, commit, now);
  };
  CHECK(heard(kBegin + 20s, 5) == Member::Pace::kLevel);
  CHECK(pace_of(progress, 5, kBegin + 34s) == Member::Pace::kLevel);
  CHECK(pace_of(progress, 5, kBegin + 35s) == Member::Pace::kBehind);  // silent
  CHECK(heard(kBegin + 40s, 5) == Member::Pace::kLevel);
  CHECK(heard(kBegin + 41s, 6) == Member::Pace::kLevel);
  CHECK(heard(kBegin + 42s, 7) == Member::Pace::kUnclear);
  CHECK(heard(kBegin + 54s, 7) == Member::Pace::kUnclear);
  CHECK(heard(kBegin + 55s, 7) == Member::Pace::kBehind);  // it answers, and takes nothing
  progress.acknowledged(6);
  CHECK(heard(kBegin + 55500ms, 8) == Member::Pace::kUnclear);  // it has what was committed 15 s ago
  progress.acknowledged(8);
  CHECK(heard(kBegin + 57s, 8) == Member::Pace::kLevel);
}

// What `server` has counted under `name`.
double counted(const GroupServer& server, const std::string& name) {
  const std::string text = server.metrics.to_text();
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

TEST_CASE("a follower whose disk is too full for the state does not ask for it all the time") {
  struct Row {
    const char* what;
    std::int64_t space;
  };
  for (const Row& row : {Row{"the new file cannot be begun", 0}, Row{"it cannot be ended", 400'000},
                         Row{"its last rows find no space", 1'150'000}}) {
    CAPTURE(row.what);
    Group group;
    group.make(3);
    GroupServer& leader = group.leader();
    GroupServer& behind = group.follower();
    behind.close();
    leave_behind(group, leader, 60, 20'000);
    REQUIRE(behind.start());
    // It has room for its own log, but not for a second database.
    behind.disk().capacity = static_cast<std::int64_t>(behind.store().stats().database_bytes) + row.space;
    const auto failed = [&] { return group.cuts.failed_fetches[behind.id()]; };
    REQUIRE(group.eventually([&] { return failed() > 0 || !behind.fatal.empty(); }));
    INFO((behind.fatal.empty() ? std::string() : behind.fatal.front().message()));
    REQUIRE(behind.fatal.empty());
    const int before = failed();
    group.harness.run_for(2s);
    // After another 0.5 s, 1 s, and so on.
    CHECK(failed() - before >= 1);
    CHECK(failed() - before <= 3);
    CHECK(counted(leader, "kayak_store_snapshot_sends_total") <= failed() + 1);
    CHECK(behind.store().revision() < leader.store().revision());
    behind.disk().capacity = INT64_MAX;
    CHECK(group.differences(leader.store().compacted() + 1) == "");
    CHECK(behind.fatal.empty());
  }
}

}  // namespace
}  // namespace kayak::store
