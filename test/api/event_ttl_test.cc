// event_ttl_test.cc: which events leave, and that each is looked at, however many there are.
#include "api/event_ttl.h"

#include <catch2/catch.hpp>
#include <utility>

#include "api/schema.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::ApiFixture;

namespace {

constexpr int kNamespaces = 7, kEvents = 300;  // more than one turn looks at, and no multiple of that

std::string namespace_name(int i) { return cat("ns", i); }

// Events of a process before this one: every third is two hours old, and of these every other was repeated since.
Task<Result<void>> write_events(ApiFixture& f) {
  const WallTime now = f.clock.wall();
  const std::string old = format_time(now + std::chrono::hours(-2)), young = format_time(now);
  for (int ns = 0; ns < kNamespaces; ++ns) {
    store::TxnRequest txn;
    for (int i = 0; i < kEvents; ++i) {
      const std::string name = cat(i % 3 != 0 ? "young" : i % 6 != 0 ? "repeated" : "old", i);
      const std::string managed =
          cat(R"([{"manager":"m","operation":"Update","apiVersion":"v1","time":")", i % 6 != 0 ? young : old, R"("}])");
      store::Op op;
      op.type = store::Op::Type::kPut;
      op.key = storage_key(kinds::events(), namespace_name(ns), name);
      op.value = std::make_shared<const std::string>(cat(
          R"({"kind":"Event","apiVersion":"v1","metadata":{"name":")", name, R"(","namespace":")", namespace_name(ns),
          R"(","creationTimestamp":")", i % 3 != 0 ? young : old, R"(","managedFields":)", managed, "}}"));
      txn.success.push_back(std::move(op));
      if (txn.success.size() < 100 && i + 1 < kEvents) continue;
      auto done = co_await f.store.txn(std::exchange(txn, store::TxnRequest()), StopToken());
      if (!done) co_return done.error();
    }
  }
  co_return Result<void>();
}

Task<Result<void>> old_ones_leave(ApiFixture& f) {
  const std::size_t stay = kNamespaces * (kEvents - kEvents / 6);
  std::vector<ObjectRef> left;
  for (int tries = 0; tries < 2000; ++tries) {
    auto listed = co_await f.call(f.request(Verb::kList, kinds::events()));
    if (!listed) co_return listed.error();
    left = listed->list->items;
    if (left.size() <= stay) break;
    auto slept = co_await f.loop.sleep(std::chrono::milliseconds(5));
    if (!slept) co_return slept;
  }
  CHECK(left.size() == stay);
  for (const ObjectRef& event : left) {
    if (event->name().starts_with("old")) FAIL_CHECK(cat(event->namespace_(), "/", event->name(), " is left"));
  }
  co_return Result<void>();
}

constexpr int kMany = 70;  // more than are removed at once

std::string many_name(int i) { return cat("e", 100 + i); }

// As the server writes it, or a repeat would change more than it says.
store::Bytes canonical(const std::string& text) {
  const Message& message = *kinds::events().message;
  Result<json::Value> document = decode_json(message, *json::read(text));
  ASSERT(document.ok());
  canonicalize(message, *document);
  return std::make_shared<const std::string>(json::write(*document));
}

Task<Result<void>> write_many(ApiFixture& f) {
  const std::string old = format_time(f.clock.wall() + std::chrono::hours(-2));
  store::TxnRequest txn;
  for (int i = 0; i < kMany; ++i) {
    store::Op op;
    op.key = storage_key(kinds::events(), "default", many_name(i));
    op.value = canonical(cat(R"({"kind":"Event","apiVersion":"v1","metadata":{"name":")", many_name(i),
                             R"(","namespace":"default","creationTimestamp":")", old,
                             R"(","managedFields":[{"manager":"test","operation":"Update","apiVersion":"v1","time":")",
                             old, R"(","fieldsType":"FieldsV1","fieldsV1":{"f:count":{}}}]},"count":1})"));
    txn.success.push_back(std::move(op));
  }
  auto done = co_await f.store.txn(std::move(txn), StopToken());
  if (!done) co_return done.error();
  co_return Result<void>();
}

bool deletes(const store::TxnRequest& txn) {
  return !txn.success.empty() && txn.success.front().type == store::Op::Type::kDelete;
}

Task<Result<void>> repeated_one_stays(ApiFixture& f) {
  // The first are on their way out, the last has yet to be.
  const std::string last = many_name(kMany - 1);
  const store::Revision before = f.store.revision();
  ApiRequest repeat = f.request(Verb::kPatch, kinds::events(), "default", last);
  repeat.patch_type = PatchType::kMerge;
  repeat.body = *json::read(R"({"count":2})");
  auto repeated = co_await f.call(std::move(repeat));
  if (!repeated) co_return repeated.error();
  CHECK(f.store.revision() == before);  // it was not written
  f.store.hold_txns([](const store::TxnRequest&) { return false; });
  std::vector<ObjectRef> left;
  for (int tries = 0; tries < 2000 && (tries == 0 || left.size() > 1); ++tries) {
    auto slept = co_await f.loop.sleep(std::chrono::milliseconds(5));
    if (!slept) co_return slept;
    auto listed = co_await f.call(f.request(Verb::kList, kinds::events(), "default"));
    if (!listed) co_return listed.error();
    left = listed->list->items;
  }
  CHECK(left.size() == 1);
  if (left.size() == 1) CHECK(left[0]->name() == last);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("events of a former process leave by their times, all of them and no others") {
  ApiFixture fixture;
  REQUIRE(fixture.loop.run(write_events(fixture)).ok());
  const Result<void> done = fixture.run(old_ones_leave);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

TEST_CASE("an event that is repeated while others leave stays") {
  ApiFixture fixture;
  REQUIRE(fixture.loop.run(write_many(fixture)).ok());
  fixture.store.hold_txns(deletes);
  const Result<void> done = fixture.run(repeated_one_stays);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}
