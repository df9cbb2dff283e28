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
  for (const Row& row : {Row{"the new file cannot be begun", 0}, Row{"it cannot be ended", 400'000}}) {
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
    REQUIRE(group.eventually([&] { return failed() > 0; }));
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
