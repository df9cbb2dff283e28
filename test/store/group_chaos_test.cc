// group_chaos_test.cc: servers of a group crash, are cut off, close, hand over and compact while counters are counted
// up through all of them. What was acknowledged is there, once; what a read returned was never older than that; all
// servers and all watches tell the same history. SEED repeats the order of events, GROUP_SECONDS makes it last longer.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "base/strings.h"
#include "store/support_group.h"

namespace kayak::store {
namespace {

using namespace store::test;
using namespace std::chrono_literals;

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : random(seed) {}

  // One counter's clients; what they know of it.
  struct Counter {
    std::int64_t acknowledged = 0;  // the highest that anyone was told
  };
  struct Write {
    std::string key;
    Revision acknowledged = 0;  // 0: not
    bool refused = false;       // surely not done
  };

  Task<void> count_up(Group* group, int client, StopToken stop);
  Task<void> watch(Group* group, GroupServer* server, StopToken alive);
  void check(Group& group);

  SeededRandom random;
  std::map<std::string, Counter> counters;
  std::vector<Write> writes;
  std::map<Revision, std::string> history;  // as the first watch told it
  std::map<const GroupServer*, Revision> seen;
  std::string failure;
  std::uint64_t reads = 0, unknown = 0;
};

GroupServer* anyone(Group& group, Random& random) {
  std::vector<GroupServer*> up;
  for (const auto& server : group.servers) {
    if (server->is_up()) up.push_back(server.get());
  }
  return up.empty() ? nullptr : up[random.below(up.size())];
}

TxnRequest count_request(const std::string& counter, Revision mod_revision, std::int64_t value,
                         const std::string& tag) {
  TxnRequest request;
  request.compares.push_back(compare(counter, Compare::Target::kModRevision, Compare::Result::kEqual, mod_revision));
  request.success.push_back(put_op(counter, cat(value)));
  request.success.push_back(put_op(tag, cat(counter, " ", value)));
  return request;
}

// Reads a counter and writes one more, with a key of its own in the same transaction.
Task<void> Chaos::count_up(Group* group, int client, StopToken stop) {
  for (int number = 0; !stop.stopped(); ++number) {
    (void)co_await group->harness.loop.sleep(std::chrono::milliseconds(1 + random.below(10)), stop);
    const std::string counter = cat("counter-", random.below(3));
    GroupServer* server = anyone(*group, random);
    if (server == nullptr) continue;
    const std::int64_t least = counters[counter].acknowledged;
    RangeRequest read;
    read.key = counter;
    auto found = co_await server->store().range(std::move(read), server->alive());
    if (!found) continue;
    ++reads;
    const bool there = !found->kvs.empty();
    const std::int64_t value = there ? std::stoll(*found->kvs[0].value) : 0;
    if (value < least) failure = cat("a read of ", counter, " at ", server->name, " gave ", value, " after ", least);
    server = anyone(*group, random);
    if (server == nullptr) continue;
    const std::string tag = cat("tag/", client, "/", number);
    TxnRequest request = count_request(counter, there ? found->kvs[0].mod_revision : 0, value + 1, tag);
    auto done = co_await server->store().txn(std::move(request), server->alive());
    Write write{tag};
    if (!done) ++unknown;
    if (done && done->succeeded) {
      write.acknowledged = done->revision;
      counters[counter].acknowledged = std::max(counters[counter].acknowledged, value + 1);
    }
    write.refused = done && !done->succeeded;
    writes.push_back(std::move(write));
  }
}

// Everything that happens at one server, as long as it lives, from where its last life was left.
Task<void> Chaos::watch(Group* group, GroupServer* server, StopToken alive) {
  while (!alive.stopped() && server->is_up()) {
    WatchRequest request;
    request.key = request.range_end = std::string(1, '\0');
    request.start_revision = std::max<Revision>(seen[server] + 1, 2);
    auto watch = server->store().watch(std::move(request));
    while (watch) {
      auto batches = co_await (*watch)->next(alive);
      const bool expired = !batches && batches.error().code() == Code::kExpired && server->is_up();
      if (expired) seen[server] = server->store().revision();
      if (!batches) break;
      for (WatchBatch& batch : *batches) {
        if (batch.revision < seen[server]) failure = cat(server->name, " went back to ", batch.revision);
        seen[server] = batch.revision;
        if (batch.events.empty()) continue;
        const std::string said = text(std::vector<WatchBatch>{std::move(batch)});
        const auto [known, first] = history.emplace(seen[server], said);
        if (!first && known->second != said) failure = cat(server->name, " saw ", said, " instead of ", known->second);
      }
    }
    if (!watch && watch.error().code() == Code::kExpired) seen[server] = server->store().revision();
    (void)co_await group->harness.loop.sleep(5ms, alive);
  }
}

void Chaos::check(Group& group) {
  REQUIRE(failure == "");
  REQUIRE(group.differences() == "");
  std::map<std::string, KeyValue> there;
  RangeRequest all;
  all.key = "a";
  all.range_end = "z";
  auto found = group.harness.wait(group.leader().store().range(std::move(all), StopToken()));
  REQUIRE(found);
  std::map<std::string, std::int64_t> tags;
  for (KeyValue& kv : found->kvs) {
    if (kv.key.starts_with("tag/")) {
      CHECK(kv.version == 1);  // applied once
      ++tags[kv.value->substr(0, kv.value->find(' '))];
    }
    const std::string key = kv.key;
    there[key] = std::move(kv);
  }
  for (const Write& write : writes) {
    CAPTURE(write.key, write.acknowledged);
    if (write.acknowledged != 0) {
      REQUIRE(there.count(write.key) == 1);
      REQUIRE(there[write.key].mod_revision == write.acknowledged);
    }
    if (write.refused) REQUIRE(there.count(write.key) == 0);
  }
  for (const auto& [counter, known] : counters) {
    CAPTURE(counter);
    const std::int64_t value = there.count(counter) == 0 ? 0 : std::stoll(*there[counter].value);
    CHECK(value >= known.acknowledged);
    CHECK(value == tags[counter]);  // nothing lost, nothing twice
  }
}

// What can happen to a group. Each leaves it able to go on after heal() and starts.
void strike(Group& group, Random& random) {
  GroupServer* server = random.below(2) == 0 ? group.leader_now() : anyone(group, random);
  if (server == nullptr) return;
  switch (random.below(9)) {
    case 0:
      for (const auto& one : group.servers) {
        if (one->is_up()) one->crash();
      }
      return;
    case 1:
    case 2:
      return server->crash();
    case 3:
      return server->close();
    case 4:
      return group.isolate({server->id()});
    case 5: {
      const GroupServer* to = anyone(group, random);
      (void)group.harness.wait(server->store().transfer_leadership(to->id(), server->alive()));
      return;
    }
    case 6: {
      const Revision revision = server->store().revision();
      (void)group.harness.wait(
          server->store().compact(revision - static_cast<Revision>(random.below(20)), server->alive()));
      return;
    }
    case 7: {
      // It goes on by itself, through whatever comes next.
      io::StopSource gone;
      gone.stop();
      (void)group.harness.wait(server->store().defragment(gone.token()));
      return;
    }
    default:
      server->disk().sync_delay_us = static_cast<int>(random.below(100'000));
      return;
  }
}

TEST_CASE("a group keeps what it acknowledged through crashes, cuts and changes of the leader") {
  const std::uint64_t seed = test_seed();
  INFO("SEED=" << seed);
  Chaos chaos(seed);
  SeededRandom random(seed ^ 0x5eed);
  Group group(150ms);
  for (std::size_t i = 0; i < 3; ++i) group.add().wal_bytes = 256 * 1024;
  group.make(3);
  io::TaskScope watches;
  auto start = [&](GroupServer& server) {
    const Result<void> started = server.start();
    INFO(server.name);
    if (!started) FAIL(started.error().message());
    watches.spawn(chaos.watch(&group, &server, server.alive()));
  };
  for (const auto& server : group.servers) watches.spawn(chaos.watch(&group, server.get(), server->alive()));
  const Instant until = group.harness.clock.now() + std::chrono::seconds(test_rounds("GROUP_SECONDS", 15));
  int rounds = 0;
  for (; group.harness.clock.now() < until && chaos.failure.empty(); ++rounds) {
    io::StopSource stop;
    io::TaskScope clients;
    for (int client = 0; client < 4; ++client)
      clients.spawn(chaos.count_up(&group, 10 * rounds + client, stop.token()));
    for (std::uint64_t i = 1 + random.below(4); i > 0; --i) {
      group.harness.run_for(std::chrono::milliseconds(random.below(400)));
      strike(group, random);
      group.harness.run_for(std::chrono::milliseconds(random.below(300)));
      if (random.below(2) == 0) group.heal();
      for (const auto& server : group.servers) {
        if (!server->is_up() && random.below(2) == 0) start(*server);
      }
    }
    group.heal();
    for (const auto& server : group.servers) {
      if (!server->is_up()) start(*server);
      server->disk().sync_delay_us = 0;
    }
    const std::size_t writes = chaos.writes.size();
    CHECK(group.eventually([&] { return chaos.writes.size() > writes + 4; }));  // writes resume
    stop.stop();
    REQUIRE(group.harness.wait(clients.join()));
    chaos.check(group);
  }
  WARN(rounds << " rounds, " << chaos.writes.size() << " writes, " << chaos.unknown << " of unknown outcome, "
              << chaos.reads << " reads");
  for (const auto& server : group.servers) {
    CHECK(server->fatal.empty());
    server->close();
  }
  REQUIRE(group.harness.wait(watches.join()));
  for (const auto& server : group.servers) REQUIRE(server->start());
  chaos.check(group);
}

}  // namespace
}  // namespace kayak::store
