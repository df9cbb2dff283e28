// group_full_disk_test.cc: the disk of a group's leader is full: another one leads, and nobody hears of a conflict with
// a write of his own.
#include <catch2/catch.hpp>

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

}  // namespace
}  // namespace kayak::store
