// reset_membership_test.cc: the last resort: a member of a group that is lost goes on alone, with all it has.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/database.h"
#include "store/member.h"
#include "store/members.h"
#include "store/support_snapshot.h"
#include "store/support_store.h"

namespace kayak::store {
namespace {

using store::test::Driver;
using store::test::options_in;
using store::test::TempFolder;

SqliteStoreOptions options_of(const TempFolder& folder, std::uint64_t id) {
  SqliteStoreOptions options = options_in(folder);
  options.member_id = id;
  return options;
}

// The log of a follower: `entries` puts that were committed, then a membership of three and `tail` puts that were not.
void make_follower(const std::string& path, int entries, int tail) {
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
}

TEST_CASE("one of three goes on alone, with all that is on its disk") {
  for (const int tail : {0, 3}) {
    CAPTURE(tail);
    TempFolder folder;
    make_follower(options_in(folder).path, 5, tail);
    REQUIRE(reset_membership(options_in(folder).path, 2));
    Driver d(options_of(folder, 2));
    const Result<void> opened = d.open();
    INFO((opened ? "" : opened.error().message()));
    REQUIRE(opened);
    CHECK(d.store().leadership().leads);
    CHECK(d.store().leadership().term > 5);
    CHECK(d.range("key", "kez")->count == 5 + tail);
    // The others' records went, in one revision; its own stays.
    CHECK(d.store().revision() == 10 + tail);
    const auto records = d.range("/kayak/members/", "/kayak/members0");
    CHECK(records->count == 1);
    CHECK(records->kvs.at(0).key == member_key(2));
    REQUIRE(d.put("more", "1"));
    d.close();
    // Doing it again changes nothing.
    REQUIRE(reset_membership(options_in(folder).path, 2));
    REQUIRE(d.open());
    CHECK(d.get("more") == "1");
  }
}

TEST_CASE("one whose state came as a whole goes on at its revision, though no row is as new") {
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
  CHECK(d.store().revision() == at);
  CHECK(d.get("a") == "1");
  CHECK(d.put("c", "1").value() == at + 1);
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
