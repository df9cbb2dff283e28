// member_records_test.cc: changes of the membership at the engine itself, and what is left of those that are refused.
#include <catch2/catch.hpp>
#include <filesystem>

#include "store/embedded.h"
#include "store/member.h"
#include "store/support_store.h"

namespace kayak::store {
namespace {

using store::test::Harness;
using store::test::options_in;
using store::test::TempFolder;

MemberRecord witness(const std::string& name, char key = 'a') {
  MemberRecord record;
  record.name = name;
  record.addresses = {"192.0.2.7:6443"};
  record.key = std::string(64, key);
  record.id = member_id(record.key);
  record.role = MemberRecord::Role::kWitness;
  return record;
}

std::unique_ptr<EmbeddedStore> open_in(const TempFolder& folder, Harness& harness) {
  EmbeddedOptions options;
  options.store = options_in(folder);
  Result<std::unique_ptr<EmbeddedStore>> store = harness.wait(open_embedded_store(harness.context(), options));
  REQUIRE(store);
  return std::move(*store);
}

std::int64_t records(Harness& harness, Store& store) {
  RangeRequest range;
  range.key = std::string(kMemberPrefix);
  range.range_end = "/kayak/members0";
  return harness.wait(store.range(std::move(range)))->count;
}

Result<TxnResponse> write_record(Harness& harness, Store& store, const MemberRecord& record, Op::Type type) {
  TxnRequest txn;
  Op& op = txn.success.emplace_back();
  op.type = type;
  op.key = member_key(record.id);
  if (type == Op::Type::kPut) op.value = std::make_shared<const std::string>(encode_member(record));
  return harness.wait(store.txn(std::move(txn)));
}

Task<bool> close_it(Store& store) {
  co_await store.close();
  co_return true;
}

TEST_CASE("a server that is not taken in leaves no record behind") {
  TempFolder folder;
  Harness harness;
  const std::unique_ptr<EmbeddedStore> store = open_in(folder, harness);
  // One server is too few for a witness.
  const Result<void> refused = harness.wait(store->add_witness(witness("w")));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Code::kInvalid);
  CHECK(records(harness, *store) == 0);
  // A record that stood before is not this change's to remove.
  REQUIRE(write_record(harness, *store, witness("before"), Op::Type::kPut));
  CHECK_FALSE(harness.wait(store->add_witness(witness("w"))));
  CHECK(records(harness, *store) == 1);
  CHECK(harness.wait(close_it(*store)));
}

TEST_CASE("a member that was removed by the last write is not heard after a crash") {
  TempFolder folder, after;
  Harness harness;
  const MemberRecord gone = witness("gone", 'a'), stays = witness("stays", 'b');
  const std::unique_ptr<EmbeddedStore> before = open_in(folder, harness);
  for (const auto& record : {gone, stays}) REQUIRE(write_record(harness, *before, record, Op::Type::kPut));
  REQUIRE(write_record(harness, *before, gone, Op::Type::kDelete));
  // As kill -9 leaves it: what was written last is on the disk and not yet known to be committed.
  std::filesystem::copy(folder.path(), after.path());
  CHECK(harness.wait(close_it(*before)));
  EmbeddedOptions options;
  options.store = options_in(after);
  std::vector<MemberRecord> told;
  options.members_changed = [&told](const std::vector<MemberRecord>& members) { told = members; };
  auto store = harness.wait(open_embedded_store(harness.context(), options));
  REQUIRE(store);
  CHECK(told == std::vector<MemberRecord>{stays});
  CHECK(harness.wait(close_it(**store)));
}

TEST_CASE("a server says on /metrics who leads") {
  TempFolder folder;
  Harness harness;
  const std::unique_ptr<EmbeddedStore> store = open_in(folder, harness);
  CHECK(store->healthy());
  TxnRequest txn;
  Op& put = txn.success.emplace_back();
  put.key = "a";
  put.value = std::make_shared<const std::string>("1");
  REQUIRE(harness.wait(store->txn(std::move(txn))));
  const std::string text = harness.metrics.to_text();
  const std::string applied = std::to_string(store->stats().applied);
  for (const std::string& line :
       {std::string("etcd_server_has_leader 1\n"), std::string("etcd_server_is_leader 1\n"),
        std::string("etcd_server_leader_changes_seen_total 1\n"), std::string("etcd_server_proposals_failed_total 0\n"),
        "etcd_server_proposals_committed_total " + applied + "\n",
        "etcd_server_proposals_applied_total " + applied + "\n", std::string("kayak_store_members{role=\"voter\"} 1\n"),
        std::string("kayak_store_members{role=\"witness\"} 0\n")}) {
    CAPTURE(line, text);
    CHECK(text.find(line) != std::string::npos);
  }
  CHECK(harness.wait(close_it(*store)));
}

}  // namespace
}  // namespace kayak::store
