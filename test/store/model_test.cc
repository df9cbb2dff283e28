// model_test.cc: random transactions, compactions and restarts against a plain map of every revision.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/support_model.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;

namespace {

void check_reads(Driver& d, const Model& model, Random& random) {
  CHECK(d.store().revision() == model.revision());
  auto newest = state_of(d);
  REQUIRE(newest.ok());
  CHECK(text(*newest) == text(model.at(model.revision())));
  CHECK(lease_text(d) == lease_text(model));
  const Revision lowest = d.compacted() + 1;
  for (int i = 0; i < 5; ++i) {
    const Revision at =
        lowest + static_cast<Revision>(random.below(static_cast<std::uint64_t>(model.revision() - lowest + 1)));
    CAPTURE(at);
    auto past = state_of(d, at);
    REQUIRE(past.ok());
    CHECK(text(*past) == text(model.at(at)));
  }
}

// As change_lease(), with numbers of all kinds, and what is refused.
void change_any_lease(Driver& d, Model& model, Random& random) {
  const auto lease = static_cast<std::int64_t>(random.below(5)) - 2;
  CAPTURE(lease);
  if (lease == 0) {
    auto chosen = d.grant(0);
    REQUIRE(chosen.ok());
    REQUIRE(d.store().revision() == model.revision());
    model.grant(chosen->id);
  } else if (model.leases().contains(lease)) {
    model.revoke(lease);
    auto revoked = d.revoke(lease);
    REQUIRE(revoked.ok());
    REQUIRE(*revoked == model.revision());
  } else {
    REQUIRE(d.revoke(lease).error().code() == Code::kNotFound);
    REQUIRE(d.put("key-100", "no", lease).error().code() == Code::kNotFound);
    REQUIRE(d.grant(lease).ok());
    REQUIRE(d.grant(lease).error().code() == Code::kAlreadyExists);
    model.grant(lease);
  }
  REQUIRE(d.store().revision() == model.revision());
}

// Follows the changes from a random retained revision and arrives at the newest state.
void check_watch(Driver& d, const Model& model, Random& random) {
  // Of the oldest revision that it keeps, etcd has neither deletions nor previous pairs.
  const Revision kept = d.compacted() + 1;
  const Revision lowest = std::min(d.on_etcd() && kept > 1 ? kept + 1 : kept, model.revision());
  if (d.on_etcd() && lowest == kept && kept > 1) return;
  const Revision start =
      lowest + static_cast<Revision>(random.below(static_cast<std::uint64_t>(model.revision() - lowest + 1)));
  CAPTURE(start, lowest);
  auto watch = d.store().watch(WatchRequest{std::string(1, '\0'), std::string(1, '\0'), start});
  REQUIRE(watch.ok());
  ModelState state = start > 1 ? model.at(start - 1) : ModelState();
  Revision seen = std::max<Revision>(start - 1, 1);  // revision 1 is the empty store: no event has it
  while (seen < model.revision()) {
    auto batches = d.harness.wait((*watch)->next());
    REQUIRE(batches.ok());
    for (const WatchBatch& batch : *batches) {
      if (batch.events.empty()) {
        REQUIRE(batch.revision >= seen);
        seen = batch.revision;
        continue;
      }
      REQUIRE(batch.revision == seen + 1);
      for (const WatchEvent& event : batch.events) {
        auto before = state.find(event.kv.key);
        REQUIRE(event.previous.has_value() == (before != state.end()));
        if (event.previous) {
          REQUIRE(*event.previous->value == before->second.value);
          REQUIRE(event.previous->mod_revision == before->second.mod_revision);
          REQUIRE(event.previous->version == before->second.version);
        }
        if (event.type == WatchEvent::Type::kDelete) {
          state.erase(event.kv.key);
        } else {
          state[event.kv.key] = ModelValue{*event.kv.value, event.kv.create_revision, event.kv.mod_revision,
                                           event.kv.version, event.kv.lease};
        }
      }
      seen = batch.revision;
      REQUIRE(text(state) == text(model.at(seen)));
    }
  }
}

}  // namespace

TEST_CASE("random transactions, leases, compactions and restarts agree with a map of every revision") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  for (int run = 0; run < test_rounds("MODEL_RUNS", 4); ++run) {
    CAPTURE(run);
    TempFolder folder;
    SqliteStoreOptions options = options_in(folder);
    options.history_bytes = run % 2 == 0 ? 3000 : 1'000'000;
    options.wal_bytes = 256 * 1024;
    Driver d(options, engine);
    REQUIRE(d.open().ok());
    Model model;
    for (int step = 0; step < 400; ++step) {
      CAPTURE(step);
      const std::uint64_t what = random.below(100);
      if (what < 10) {
        change_any_lease(d, model, random);
      } else if (what < 90 || model.revision() == 1) {
        TxnRequest request = model.random_txn(random, 12, 9000);
        model.apply(request);
        auto done = d.txn(request);
        REQUIRE(done.ok());
        REQUIRE(done->revision == model.revision());
      } else if (what < 93) {
        const Revision low = d.compacted() + 1;
        const Revision at =
            low + static_cast<Revision>(random.below(static_cast<std::uint64_t>(model.revision() - low + 1)));
        auto compacted = d.compact(at);
        CAPTURE(at, low);
        REQUIRE((compacted.ok() || compacted.error().code() == Code::kExpired));
        if (random.below(2) == 0) d.finish_sweep();
      } else if (what < 95) {
        d.close();
        REQUIRE(d.open().ok());
      } else if (what < 98) {
        check_reads(d, model, random);
      } else {
        check_watch(d, model, random);
      }
    }
    check_reads(d, model, random);
    REQUIRE(d.compact(model.revision()).ok());
    d.finish_sweep();
    check_reads(d, model, random);
    d.close();
    REQUIRE(d.open().ok());
    check_reads(d, model, random);
    if (!d.on_etcd()) CHECK(d.store().stats().keys == model.at(model.revision()).size());
  }
}

namespace {

// Adds one to a number key until it has done so `times` times.
Task<Result<void>> increment(Store* store, std::string key, int times, int* retries) {
  for (int done = 0; done < times;) {
    RangeRequest get;
    get.key = key;
    auto found = co_await store->range(std::move(get), StopToken());
    if (!found) co_return found.error();
    const int number = found->kvs.empty() ? 0 : std::stoi(*found->kvs[0].value);
    const Revision mod = found->kvs.empty() ? 0 : found->kvs[0].mod_revision;
    TxnRequest swap;
    swap.compares.push_back(compare(key, Compare::Target::kModRevision, Compare::Result::kEqual, mod));
    swap.success.push_back(put_op(key, cat(number + 1)));
    swap.failure.push_back(range_op(key));
    auto swapped = co_await store->txn(std::move(swap), StopToken());
    if (!swapped) co_return swapped.error();
    if (swapped->succeeded) {
      ++done;
    } else {
      ++*retries;
      // What a failed compare shows is committed: the store answers at least as new.
      if (swapped->responses[0].range.kvs[0].mod_revision > store->revision()) {
        co_return Error(Code::kInternal, "an answer came before its revision was readable");
      }
    }
  }
  co_return Result<void>();
}

Task<Result<void>> increment_together(Store* store, int clients, int times, int* retries) {
  io::TaskScope scope;
  for (int i = 0; i < clients; ++i) scope.spawn(increment(store, cat("n", i % 3), times, retries));
  auto joined = co_await scope.join();
  co_return joined;
}

}  // namespace

TEST_CASE("concurrent compare-and-swaps lose nothing and share commits") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kEtcd);
  CAPTURE(engine);
  TempFolder folder;
  Driver d(options_in(folder), engine);
  REQUIRE(d.open().ok());
  int retries = 0;
  REQUIRE(d.harness.wait(increment_together(&d.store(), 30, 40, &retries)).ok());
  CHECK(d.get("n0") == "400");
  CHECK(d.get("n1") == "400");
  CHECK(d.get("n2") == "400");
  CHECK(d.store().revision() == 1201);
  CHECK(retries > 0);
  if (d.on_etcd()) return;  // how it groups its commits is its own affair
  const Stats stats = d.store().stats();
  CAPTURE(stats.commits, stats.written_entries, retries);
  CHECK(stats.written_entries == 1201);  // the first is the term's
  CHECK(stats.commits < stats.written_entries);
}
