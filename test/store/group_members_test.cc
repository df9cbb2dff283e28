// group_members_test.cc: how the leader takes in who asks, what it refuses, and who may ask for what. The group is a
// table; the way to other members is not used.
#include "store/group_members.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "store/support_etcd_call.h"
#include "store/support_store.h"
#include "store/support_transport.h"
#include "support/fake_group.h"

namespace kayak::store {
namespace {

using store::test::Call;
using store::test::Driver;
using store::test::Harness;
using store::test::options_in;
using store::test::run_call;
using store::test::TempFolder;

MemberRecord record_of(char digit, const std::string& name) {
  MemberRecord member;
  member.name = name;
  member.addresses = {cat("192.0.2.", digit, ":6443")};
  member.key = std::string(64, digit);
  member.id = member_id(member.key);
  return member;
}

class Group final : public Members {
 public:
  std::vector<Member> members() const override { return list; }
  Task<Result<void>> add_learner(MemberRecord member, StopToken) override { co_return add(member, "learner"); }
  Task<Result<void>> add_witness(MemberRecord member, StopToken) override { co_return add(member, "witness"); }
  Task<Result<void>> promote(raft::NodeId id, StopToken) override { co_return note(cat("promote ", id)); }
  Task<Result<void>> remove(raft::NodeId id, StopToken) override {
    std::erase_if(list, [id](const Member& one) { return one.id == id; });
    co_return note(cat("remove ", member_id_text(id).substr(0, 1)));
  }
  Task<Result<void>> update_addresses(raft::NodeId, std::vector<std::string>, StopToken) override {
    co_return note("update");
  }
  Task<Result<void>> transfer_leadership(raft::NodeId, StopToken) override { co_return note("lead"); }

  void put(const MemberRecord& record, Member::Role role) {
    std::erase_if(list, [&record](const Member& one) { return one.id == record.id; });
    list.push_back(Member{record.id, record.name, record.key, record.addresses, role});
  }
  std::vector<Member> list;
  std::vector<std::string> asked;

 private:
  Result<void> add(const MemberRecord& member, const char* role) {
    put(member, *role == 'w' ? Member::Role::kWitness : Member::Role::kLearner);
    return note(cat("add ", role, " ", member.name));
  }
  Result<void> note(std::string what) {
    asked.push_back(std::move(what));
    return Result<void>();
  }
};

constexpr const char* kCluster = "00000000000000aa";

struct Fixture {
  TempFolder folder;
  Driver d{options_in(folder)};
  Group group;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<GroupMembers> members;

  Fixture() {
    REQUIRE(d.open());
    group.put(record_of('1', "first"), Member::Role::kVoter);
    group.put(record_of('2', "second"), Member::Role::kVoter);
    group.put(record_of('3', "witness"), Member::Role::kWitness);
    TransportOptions options;
    options.self = record_of('1', "").id;
    options.cluster = parse_member_id(kCluster);
    Transport::Events events;
    events.message = [](raft::Message) {};
    events.unreachable = [](raft::NodeId) {};
    transport = Transport::create(d.harness.context(), codec_, std::move(options), std::move(events));
    GroupMembersOptions own;
    own.self = record_of('1', "first");
    own.cluster = kCluster;
    members = std::make_unique<GroupMembers>(d.harness.context(), d.store(), group, *transport, std::move(own));
    transport->set_peers(peers_of(members->list()));
  }

  // What a caller with the key of `digit` is answered: "ok", the error's message, or the status of the call.
  // `organization`: of its certificate.
  std::string ask(char digit, const PeerChange& change, std::string_view method = kJoinMethod,
                  std::string_view cluster = kCluster, std::string_view organization = "") {
    Call call(method);
    io::CertificateInfo certificate;
    certificate.public_key_sha256 = std::string(64, digit);
    if (!organization.empty()) certificate.organizations.emplace_back(organization);
    call.request().peer.certificate = io::SharedCertificate(std::move(certificate));
    call.request().peer.realm = std::string(kPeerServerName);
    call.request().headers.add("kayak-cluster", cluster);
    std::optional<std::string> bytes;
    const std::string status =
        run_call(d.harness, transport->http_handler(), &call, encode_peer_change(change), &bytes);
    if (!bytes) return status;
    const Result<PeerChanged> answer = decode_peer_changed(*bytes);
    REQUIRE(answer);
    return answer->error ? answer->error->message() : "ok";
  }

 private:
  class NoCodec final : public raft::PayloadCodec {
    void encode(const raft::Payload&, std::string*) const override {}
    Result<raft::PayloadRef> decode(std::string_view) const override { return Error(Code::kBadRequest, "no"); }
  } codec_;
};

PeerChange join_of(MemberRecord member, raft::NodeId replaces = raft::kNobody) {
  PeerChange change;
  change.member = std::move(member);
  if (replaces != raft::kNobody) change.replaces = {record_of('8', "").id, replaces};
  return change;
}
PeerChange change_of(PeerChange::Verb verb) {
  PeerChange change;
  change.verb = verb;
  change.id = record_of('2', "").id;
  change.addresses = {"boat:1"};
  return change;
}

TEST_CASE("a new server is taken in as a learner, and asks again without harm") {
  Fixture f;
  CHECK(f.ask('7', join_of(record_of('7', "third"))) == "ok");
  CHECK(f.group.asked == std::vector<std::string>{"add learner third"});
  CHECK(f.ask('7', join_of(record_of('7', "third"))) == "ok");
  CHECK(f.group.asked.size() == 2);  // who knows whether the first is committed; it writes nothing that is there
  MemberRecord moved = record_of('7', "third");
  moved.addresses = {"198.51.100.7:6443"};
  f.transport->set_peers(peers_of(f.members->list()));
  CHECK(f.ask('7', join_of(moved)) == "ok");
  CHECK(f.group.asked.size() == 3);
  CHECK(f.group.list.back().addresses == moved.addresses);
  CHECK(f.transport->addresses_of(moved.id).at(0) == moved.addresses[0]);
}

TEST_CASE("a name that is taken, and a server that lost its disk") {
  Fixture f;
  CHECK(f.ask('7', join_of(record_of('7', "second"))).find("kayak member remove 2222222222222222") !=
        std::string::npos);
  CHECK(f.ask('7', join_of(record_of('7', "second"), record_of('1', "").id)).find("another --node-name") !=
        std::string::npos);
  CHECK(f.group.asked.empty());
  CHECK(f.ask('7', join_of(record_of('7', "second"), record_of('2', "").id)) == "ok");
  CHECK(f.group.asked == std::vector<std::string>{"remove 2", "add learner second"});
}

TEST_CASE("a server that lost its disk and has another name now leaves nobody behind") {
  Fixture f;
  f.group.put(record_of('8', "second"), Member::Role::kLearner);  // taken in, and lost again before it could vote
  f.group.put(record_of('2', "second-before"), Member::Role::kVoter);
  CHECK(f.ask('7', join_of(record_of('7', "witness"), record_of('2', "").id)).find("another --node-name") !=
        std::string::npos);
  CHECK(f.group.asked.empty());
  CHECK(f.ask('7', join_of(record_of('7', "renamed"), record_of('2', "").id)) == "ok");
  CHECK(f.group.asked == std::vector<std::string>{"remove 8", "remove 2", "add learner renamed"});
  // Only who was the same: a witness is none.
  CHECK(f.ask('6', join_of(record_of('6', "other"), record_of('3', "").id)) == "ok");
  CHECK(f.group.asked.back() == "add learner other");
}

TEST_CASE("a witness's certificate is good for a witness, also for one that was removed") {
  Fixture f;
  MemberRecord other = record_of('7', "third");
  const std::string refused = "the certificate of a witness is good for a witness alone";
  CHECK(f.ask('7', join_of(other), kJoinMethod, kCluster, kWitnessOrganization) == refused);
  const PeerChange in_its_stead = join_of(record_of('7', "second"), record_of('2', "").id);
  CHECK(f.ask('7', in_its_stead, kJoinMethod, kCluster, kWitnessOrganization) == refused);
  CHECK(f.group.asked.empty());
  other.role = MemberRecord::Role::kWitness;
  CHECK(f.ask('7', join_of(other), kJoinMethod, kCluster, kWitnessOrganization) == "ok");
}

TEST_CASE("who was removed and comes back as if nothing had happened stays out") {
  Fixture f;
  PeerChange back = join_of(record_of('7', "third"));
  back.returns = true;
  CHECK(f.ask('7', back).find("was removed from this cluster") != std::string::npos);
  CHECK(f.group.asked.empty());
  PeerChange known = join_of(record_of('2', "second"));
  known.member->addresses = {"198.51.100.2:6443"};
  known.returns = true;
  CHECK(f.ask('2', known) == "ok");  // it has only moved
  known.member->name = "first";
  CHECK(f.ask('2', known).find("another --node-name") != std::string::npos);
}

TEST_CASE("nobody changes from a server to a witness, or speaks for another") {
  Fixture f;
  MemberRecord witness = record_of('2', "second");
  witness.role = MemberRecord::Role::kWitness;
  CHECK(f.ask('2', join_of(witness)).find("is a server, not a witness") != std::string::npos);
  CHECK(f.ask('3', join_of(record_of('3', "witness"))).find("is a witness, not a server") != std::string::npos);
  const std::string refused = "only a server of the cluster may ask this, or a new one for itself";
  CHECK(f.ask('8', join_of(record_of('7', "third"))) == refused);  // a stranger for another
  CHECK(f.ask('3', join_of(record_of('7', "third"))) == refused);  // the witness for another
  CHECK(f.group.asked.empty());
  CHECK(f.ask('2', join_of(record_of('7', "third"))) == "ok");  // a member that was asked
}

TEST_CASE("changes are for servers of the cluster") {
  Fixture f;
  using Verb = PeerChange::Verb;
  for (const Verb verb : {Verb::kPromote, Verb::kRemove, Verb::kAddresses, Verb::kLead}) {
    CHECK(f.ask('8', change_of(verb), kChangeMethod).starts_with("7 "));  // a stranger
    CHECK(f.ask('8', change_of(verb), kJoinMethod).starts_with("3 "));    // by another door
    CHECK(f.ask('3', change_of(verb), kChangeMethod) == "7 a witness is given no data");
  }
  CHECK(f.group.asked.empty());
  CHECK(f.ask('2', change_of(Verb::kPromote), kChangeMethod) == "ok");
  CHECK(f.ask('2', change_of(Verb::kRemove), kChangeMethod) == "ok");
  CHECK(f.group.asked.size() == 2);
  CHECK(f.ask('2', change_of(Verb::kLead), kChangeMethod, "00000000000000bb").starts_with("9 "));
}

// A witness that takes the list of the members when it `answers`.
struct Listener {
  bool answers = false;
  MemberList told;

  static Task<io::GrpcStatus> take(Listener* listener, io::GrpcCall& call) {
    auto bytes = co_await call.read();
    if (!listener->answers) co_return io::GrpcStatus{io::GrpcStatus::Code::kUnavailable, "not now"};
    Result<PeerChanged> message = decode_peer_changed(**bytes);
    if (!message) co_return io::GrpcStatus{io::GrpcStatus::Code::kInvalidArgument, "no list"};
    listener->told = message->members;
    std::string out = encode_peer_changed(*message);
    const Result<void> written = co_await call.write(std::move(out));
    co_return io::GrpcStatus{written ? io::GrpcStatus::Code::kOk : io::GrpcStatus::Code::kUnavailable, ""};
  }
};

MemberRecord record_of(const store::test::TestMember& member, const std::string& name) {
  MemberRecord record;
  record.id = member.id();
  record.name = name;
  record.addresses = member.info().addresses;
  record.key = member.identity.key;
  return record;
}

Task<Result<void>> promote(GroupMembers* members, raft::NodeId id, bool* ended) {
  Result<void> done = co_await members->promote(id, StopToken());
  *ended = true;
  co_return done;
}

TEST_CASE("nobody gets a vote before the witness has been told of it") {
  using namespace std::chrono_literals;
  TempFolder folder;
  Driver d{options_in(folder)};
  REQUIRE(d.open());
  const store::test::PeerCa ca;
  store::test::TestMember leader(d.harness, ca, ca.issue()), witness(d.harness, ca, ca.issue());
  Listener listener;
  witness.on_create = [&listener](Transport& transport) {
    transport.router().add("kayak.Peer", "Members",
                           [&listener](io::GrpcCall& call) { return Listener::take(&listener, call); });
  };
  leader.start();
  witness.start();
  store::test::introduce({&leader, &witness});
  Group group;
  group.put(record_of(leader, "leader"), Member::Role::kVoter);
  group.put(record_of('2', "newcomer"), Member::Role::kLearner);
  group.put(record_of(witness, "witness"), Member::Role::kWitness);
  const raft::NodeId newcomer = record_of('2', "").id;
  GroupMembersOptions own;
  own.self = record_of(leader, "leader");
  own.cluster = member_id_text(store::test::kTestCluster);
  GroupMembers members(d.harness.context(), d.store(), group, leader.transport(), own);
  io::TaskScope scope;
  scope.spawn(members.run(scope.token()));
  bool ended = false;
  scope.spawn(promote(&members, newcomer, &ended));
  d.harness.run_for(500ms);
  CHECK(group.asked.empty());
  CHECK_FALSE(members.witness_knows(newcomer));
  listener.answers = true;
  REQUIRE(store::test::eventually(d.harness, [&] { return ended; }));
  CHECK(group.asked == std::vector<std::string>{cat("promote ", newcomer)});
  CHECK(members.witness_knows(newcomer));
  CHECK(listener.told.find(newcomer) != nullptr);
  // Of one that comes later, or to another witness, nothing was said yet.
  group.put(record_of('4', "later"), Member::Role::kLearner);
  CHECK_FALSE(members.witness_knows(record_of('4', "").id));
  std::erase_if(group.list, [&](const Member& one) { return one.id == witness.id(); });
  CHECK(members.witness_knows(record_of('4', "").id));  // there is none
  group.put(record_of('5', "another"), Member::Role::kWitness);
  CHECK_FALSE(members.witness_knows(newcomer));
  scope.stop();
  REQUIRE(d.harness.wait(scope.join()));
  leader.stop();
  witness.stop();
}

// A server whose record is being written, by the leader, when the leadership comes to it.
struct MovedServer {
  Harness harness;
  kayak::test::FakeGroupStore store;
  kayak::test::FakeTransport transport;
  io::Event leader_answers;
  std::vector<raft::NodeId> called;

  MovedServer() {
    transport.on_client = [this](raft::NodeId to, StopToken stop) { return connect(to, std::move(stop)); };
  }
  Task<kayak::test::FakeTransport::Connection> connect(raft::NodeId to, StopToken stop) {
    called.push_back(to);
    if (to == record_of('2', "").id) (void)co_await leader_answers.wait(stop);
    co_return Error(Code::kUnavailable, "not reached");
  }
  void led_by(char digit, raft::Term term) {
    Leadership leadership;
    leadership.self = record_of('1', "").id;
    leadership.leader = record_of(digit, "").id;
    leadership.leads = leadership.leader == leadership.self;
    leadership.term = term;
    store.set(leadership);
  }
  void put(const MemberRecord& record, Member::Role role) {
    std::erase_if(store.list, [&record](const Member& one) { return one.id == record.id; });
    store.list.push_back(Member{record.id, record.name, record.key, record.addresses, role});
  }
};

TEST_CASE("a witness is told by a leader that became one while its own record was being written") {
  MovedServer moved;
  const MemberRecord self = record_of('1', "first");
  MemberRecord before = self;
  before.addresses = {"198.51.100.1:6443"};
  moved.put(before, Member::Role::kVoter);
  moved.put(record_of('2', "second"), Member::Role::kVoter);
  moved.put(record_of('3', "witness"), Member::Role::kWitness);
  moved.led_by('2', 5);
  GroupMembersOptions options;
  options.self = self;
  options.cluster = kCluster;
  GroupMembers members(moved.harness.context(), moved.store, moved.store, moved.transport, std::move(options));
  io::TaskScope scope;
  scope.spawn(members.run(scope.token()));
  moved.harness.run_for(std::chrono::milliseconds(20));
  REQUIRE(moved.called == std::vector<raft::NodeId>{record_of('2', "").id});
  moved.put(self, Member::Role::kVoter);
  moved.led_by('1', 6);
  moved.leader_answers.set();
  const auto told = [&] { return moved.called.back() == record_of('3', "").id; };
  for (int i = 0; i < 50 && !told(); ++i) moved.harness.run_for(std::chrono::milliseconds(100));
  CHECK(told());
  scope.stop();
  REQUIRE(moved.harness.wait(scope.join()).ok());
}

}  // namespace
}  // namespace kayak::store
