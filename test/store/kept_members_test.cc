// kept_members_test.cc: which list of members a witness goes by, whatever the order in which it hears of them.
#include "store/kept_members.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "store/support_store.h"

namespace kayak::store {
namespace {

using store::test::Harness;
using store::test::TempFolder;

// Tells by its only member which one it is.
MemberList list_of(raft::Term term, std::uint64_t version, const std::string& name) {
  MemberRecord member;
  member.name = name;
  member.addresses = {"192.0.2.1:6443"};
  member.key = std::string(64, 'a');
  member.id = member_id(member.key);
  MemberList list;
  list.cluster = "0123456789abcdef";
  list.members = {member};
  list.term = term;
  list.version = version;
  return list;
}

TEST_CASE("a later leader's list is not replaced by an earlier one's, also after a restart") {
  struct Row {
    MemberList told;
    bool taken;
  };
  const Row rows[] = {
      {list_of(0, 0, "found"), true},     {list_of(0, 0, "joined"), true}, {list_of(3, 2, "first"), true},
      {list_of(0, 0, "a-server"), false}, {list_of(3, 1, "late"), false},  {list_of(3, 2, "again"), true},
      {list_of(2, 9, "deposed"), false},  {list_of(3, 3, "second"), true}, {list_of(5, 1, "leader"), true},
      {list_of(3, 4, "deposed"), false},  {list_of(5, 1, "leader"), true},
  };
  for (const bool restarts : {false, true}) {
    CAPTURE(restarts);
    TempFolder folder;
    Harness harness;
    const std::string path = folder.file("members.json");
    std::string in_force;
    auto note = [&in_force](const MemberList& list) { in_force = list.members[0].name; };
    auto kept = std::make_unique<KeptMembers>(harness.loop, path, MemberList(), note);
    std::string expected;
    for (const Row& row : rows) {
      CAPTURE(row.told.term, row.told.version);
      const Result<void> taken = harness.wait(kept->take(row.told));
      CHECK(taken.ok() == row.taken);
      if (!taken) CHECK(taken.error().code() == Code::kConflict);
      if (row.taken) expected = row.told.members[0].name;
      CHECK(in_force == expected);
      const Result<MemberList> read = read_member_list(path);
      REQUIRE(read);
      CHECK(*read == kept->list());
      if (restarts) kept = std::make_unique<KeptMembers>(harness.loop, path, *read, note);
    }
    CHECK(kept->list().members[0].name == "leader");
  }
}

Task<Result<void>> take(KeptMembers* kept, MemberList list) {
  auto taken = co_await kept->take(std::move(list));
  CHECK(taken);
  co_return Result<void>();
}

TEST_CASE("lists that come while one is written are in the file in the end, and one that was not written is again") {
  TempFolder folder;
  Harness harness;
  const std::string path = folder.file("db/members.json");
  KeptMembers kept(harness.loop, path, MemberList(), [](const MemberList&) {});
  const MemberList first = list_of(1, 1, "first");
  CHECK_FALSE(harness.wait(kept.take(first)));  // the folder is not there
  CHECK(kept.list() == first);
  std::filesystem::create_directory(folder.file("db"));
  CHECK(harness.wait(kept.take(first)));
  CHECK(*read_member_list(path) == first);
  io::TaskScope scope;
  for (std::uint64_t i = 2; i < 20; ++i) scope.spawn(take(&kept, list_of(1, i, cat("list-", i))));
  REQUIRE(harness.wait(scope.join()));
  CHECK(read_member_list(path)->members[0].name == "list-19");
}

}  // namespace
}  // namespace kayak::store
