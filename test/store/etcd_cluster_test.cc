// etcd_cluster_test.cc: etcd's Cluster service over a group that is a table: what is asked of it, and how its answers
// look.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/etcd/messages.h"
#include "store/etcd/server.h"
#include "store/support_etcd_call.h"
#include "store/support_store.h"

namespace kayak::store::etcd {
namespace {

using store::test::Call;
using store::test::Driver;
using store::test::options_in;
using store::test::run_call;
using store::test::TempFolder;

// Writes down what it is asked, and answers `failure` when that is set.
class Group final : public Members {
 public:
  std::vector<store::Member> members() const override {
    std::vector<store::Member> out;
    for (const raft::NodeId id : {8, 9, 10}) {
      store::Member& member = out.emplace_back();
      member.id = id;
      member.name = cat("server", id);
      member.addresses = {cat("192.0.2.", id, ":6443")};
      member.role = id == 8   ? store::Member::Role::kVoter
                    : id == 9 ? store::Member::Role::kLearner
                              : store::Member::Role::kWitness;
    }
    return out;
  }
  Task<Result<void>> add_learner(MemberRecord member, StopToken) override { co_return note(cat("add ", member.name)); }
  Task<Result<void>> add_witness(MemberRecord member, StopToken) override { co_return note(cat("add ", member.name)); }
  Task<Result<void>> promote(raft::NodeId id, StopToken) override { co_return note(cat("promote ", id)); }
  Task<Result<void>> remove(raft::NodeId id, StopToken) override { co_return note(cat("remove ", id)); }
  Task<Result<void>> update_addresses(raft::NodeId id, std::vector<std::string> addresses, StopToken) override {
    co_return note(cat("update ", id, " ", join(addresses, " ")));
  }
  Task<Result<void>> transfer_leadership(raft::NodeId id, StopToken) override { co_return note(cat("lead ", id)); }

  std::string asked;
  std::optional<Error> failure;

 private:
  Result<void> note(std::string what) {
    asked = std::move(what);
    return failure ? Result<void>(*failure) : Result<void>();
  }
};

struct Fixture {
  TempFolder folder;
  Driver d{options_in(folder)};
  Group group;
  std::unique_ptr<Server> server;
  explicit Fixture(bool external = false) {
    REQUIRE(d.open());
    ServerOptions options;
    options.name = "one";
    options.client_urls = {"unix:///etcd.sock"};
    options.member_id = 8;
    if (!external) options.members = &group;
    server = Server::create(d.store(), options);
  }
  template <typename A, typename Q>
  std::string ask(std::string_view method, const Q& request, A* answer) {
    Call call(method == "MoveLeader" ? cat("/etcdserverpb.Maintenance/", method)
                                     : cat("/etcdserverpb.Cluster/", method));
    std::optional<std::string> bytes;
    std::string status = run_call(d.harness, server->http_handler(), &call, encode(request), &bytes);
    if (!bytes) return status;
    Result<A> decoded = decode<A>(*bytes);
    REQUIRE(decoded);
    *answer = std::move(*decoded);
    return status;
  }
};

TEST_CASE("etcd: the members of the group") {
  Fixture f;
  MemberListResponse list;
  REQUIRE(f.ask("MemberList", Empty(), &list).empty());
  REQUIRE(list.members.size() == 3);
  CHECK(list.members[0].peer_urls == std::vector<std::string>{"https://192.0.2.8:6443"});
  CHECK(list.members[0].client_urls == std::vector<std::string>{"unix:///etcd.sock"});
  CHECK(list.members[1].client_urls.empty());
  CHECK_FALSE(list.members[0].is_learner);
  CHECK(list.members[1].is_learner);
  CHECK(list.members[2].witness);
  CHECK_FALSE(list.members[2].is_learner);
}

TEST_CASE("etcd: changes of the group") {
  Fixture f;
  MemberListResponse list;
  HeaderResponse header;
  CHECK(f.ask("MemberRemove", MemberIdRequest{9}, &list).empty());
  CHECK(f.group.asked == "remove 9");
  CHECK(list.members.size() == 3);
  CHECK(f.ask("MemberPromote", MemberIdRequest{9}, &list).empty());
  CHECK(f.group.asked == "promote 9");
  CHECK(f.ask("MoveLeader", MemberIdRequest{9}, &header).empty());
  CHECK(f.group.asked == "lead 9");
  CHECK(f.ask("MemberUpdate", MemberUpdateRequest{9, {"https://192.0.2.1:1", "https://boat:2"}}, &list).empty());
  CHECK(f.group.asked == "update 9 192.0.2.1:1 boat:2");
}

TEST_CASE("etcd: changes that are refused, as etcd words them") {
  Fixture f;
  MemberListResponse list;
  f.group.asked = "nothing";
  const std::string unknown = "5 etcdserver: member not found", urls = "3 etcdserver: given member URLs are invalid";
  CHECK(f.ask("MemberRemove", MemberIdRequest{7}, &list) == unknown);
  CHECK(f.ask("MemberPromote", MemberIdRequest{7}, &list) == unknown);
  CHECK(f.ask("MemberUpdate", MemberUpdateRequest{7, {"https://boat:2"}}, &list) == unknown);
  CHECK(f.ask("MemberUpdate", MemberUpdateRequest{9, {}}, &list) == urls);
  CHECK(f.ask("MemberUpdate", MemberUpdateRequest{9, {"http://boat:2"}}, &list) == urls);
  CHECK(f.ask("MemberUpdate", MemberUpdateRequest{9, {"https://boat"}}, &list) == urls);
  MemberAddResponse added;
  CHECK(f.ask("MemberAdd", MemberAddRequest{{"https://boat:2"}, true}, &added).find("join by themselves") !=
        std::string::npos);
  CHECK(f.group.asked == "nothing");

  struct Row {
    Error error;
    std::string status;
  };
  for (const Row& row : {Row{Error(Code::kUnavailable, "the learner has not caught up"),
                             "9 etcdserver: can only promote a learner member which is in sync with leader"},
                         Row{Error(Code::kUnavailable, "too few of the members that would be left answer"),
                             "14 etcdserver: too few of the members that would be left answer"},
                         Row{Error(Code::kConflict, "another membership change is under way"),
                             "9 etcdserver: another membership change is under way"},
                         Row{Error(Code::kInvalid, "the last server cannot be removed"),
                             "3 etcdserver: the last server cannot be removed"}}) {
    f.group.failure = row.error;
    CHECK(f.ask("MemberPromote", MemberIdRequest{9}, &list) == row.status);
  }
}

TEST_CASE("etcd: on an external etcd the members are not ours") {
  Fixture f(true);
  MemberListResponse list;
  REQUIRE(f.ask("MemberList", Empty(), &list).empty());
  REQUIRE(list.members.size() == 1);
  CHECK(list.members[0].name == "one");
  for (const char* method : {"MemberRemove", "MemberPromote", "MoveLeader"}) {
    const std::string status = f.ask(method, MemberIdRequest{8}, &list);
    CHECK(status.starts_with("12 "));
    CHECK(status.find("external etcd") != std::string::npos);
  }
}

}  // namespace
}  // namespace kayak::store::etcd
