// transport_test.cc: servers of a group on loopback: what arrives, who is refused, what is given up and what it may
// cost.
#include "store/transport/transport.h"

#include <fcntl.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/protobuf_wire.h"
#include "base/strings.h"
#include "store/support_transport.h"
#include "store/transport/peer_link.h"

namespace kayak::store::test {
namespace {

using namespace std::chrono_literals;

std::vector<std::uint64_t> up_to(std::uint64_t last) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t i = 1; i <= last; ++i) out.push_back(i);
  return out;
}

struct Three {
  Harness harness;
  PeerCa ca;
  TestMember a{harness, ca, ca.issue()}, b{harness, ca, ca.issue()}, c{harness, ca, ca.issue()};
  std::vector<TestMember*> all{&a, &b, &c};
  Three() {
    for (TestMember* member : all) member->start();
    introduce(all);
  }
  // Whether a heartbeat from one gets to the other, however many it takes.
  bool connected(TestMember& from, TestMember& to) {
    to.received.clear();
    std::uint64_t round = 0;
    return eventually(harness, [&] {
      from.transport().send(heartbeat(from.id(), to.id(), ++round));
      return !to.heartbeats_from(from.id()).empty();
    });
  }
};

}  // namespace

TEST_CASE("transport: everything arrives, in order in each lane") {
  Three group;
  for (TestMember* from : group.all) {
    for (TestMember* to : group.all) {
      if (from == to) continue;
      for (std::uint64_t i = 1; i <= 1000; ++i) from->transport().send(heartbeat(from->id(), to->id(), i));
      for (std::uint64_t i = 1; i <= 100; ++i) from->transport().send(append(from->id(), to->id(), i, 30'000));
    }
  }
  for (TestMember* from : group.all) {
    for (TestMember* to : group.all) {
      if (from == to) continue;
      CHECK(eventually(group.harness, [&] { return to->appends_from(from->id()).size() >= 100; }));
      CHECK(eventually(group.harness, [&] { return to->heartbeats_from(from->id()).size() >= 1000; }));
      CHECK(to->heartbeats_from(from->id()) == up_to(1000));
      CHECK(to->appends_from(from->id()) == up_to(100));
    }
    CHECK(from->unreachable.empty());
  }
}

TEST_CASE("transport: a heartbeat does not queue behind megabytes") {
  Three group;
  REQUIRE(group.connected(group.a, group.b));
  group.b.received.clear();
  for (std::uint64_t i = 1; i <= 4; ++i) {
    group.a.transport().send(append(group.a.id(), group.b.id(), i, 1'000'000));
  }
  group.a.transport().send(heartbeat(group.a.id(), group.b.id(), 7));
  REQUIRE(eventually(group.harness, [&] { return group.b.received.size() == 5; }));
  std::size_t place = 0;
  while (!std::holds_alternative<raft::Heartbeat>(group.b.received[place].body)) ++place;
  CHECK(place <= 1);
}

TEST_CASE("transport: who may call, and in whose name") {
  Three group;
  const PeerCa other_ca;
  const PeerIdentity stranger = group.ca.issue(), foreign = other_ca.issue();
  const raft::NodeId a = group.a.id(), b = group.b.id(), c = group.c.id();
  const BlobCodec codec;
  const std::string message = raft::encode(heartbeat(b, a, 3), codec);
  const std::string bytes = io::grpc_prefix(message.size()) + message;
  {
    const RawPeer refused(group.harness, group.ca, foreign, group.a);
    CHECK(refused.dialled() != "ok");
  }
  struct Row {
    std::string what;
    const PeerIdentity& identity;
    io::Headers metadata;
    std::string answer;
  };
  for (const Row& row : {
           Row{"a member", group.b.identity, names(kTestCluster, b, a), "ok"},
           Row{"another cluster", group.b.identity, names(0x99, b, a),
               "gRPC FAILED_PRECONDITION: the call is from cluster 0000000000000099, this is 0000000000001234"},
           Row{"a stranger", stranger, names(kTestCluster, b, a),
               cat("gRPC PERMISSION_DENIED: the key ", stranger.key, " is not that of a member of this group")},
           Row{"another member's name", group.b.identity, names(kTestCluster, c, a),
               cat("gRPC PERMISSION_DENIED: the caller's key is not that of member ", member_id_text(c))},
           Row{"for another member", group.b.identity, names(kTestCluster, b, c),
               cat("gRPC FAILED_PRECONDITION: the call is for member ", member_id_text(c), ", this is ",
                   member_id_text(a))},
           Row{"no names", group.b.identity, io::Headers(),
               "gRPC INVALID_ARGUMENT: the call does not say from whom it is for whom"},
       }) {
    CAPTURE(row.what);
    group.a.received.clear();
    RawPeer peer(group.harness, group.ca, row.identity, group.a);
    REQUIRE(peer.dialled() == "ok");
    CHECK(peer.call(kMessagesMethod, row.metadata, bytes) == row.answer);
    CHECK(group.a.received.size() == (row.answer == "ok" ? 1 : 0));
    CHECK(peer.usable());
  }
}

TEST_CASE("transport: messages that are none end the call, not the server") {
  Three group;
  const raft::NodeId a = group.a.id(), b = group.b.id(), c = group.c.id();
  const BlobCodec codec;
  const auto framed = [](const std::string& bytes) { return io::grpc_prefix(bytes.size()) + bytes; };
  const std::string good = framed(raft::encode(heartbeat(b, a, 1), codec));
  std::string cut = raft::encode(append(b, a, 1, 100), codec);
  cut.resize(cut.size() - 10);
  struct Row {
    std::string what, bytes, answer;
    std::size_t received;
  };
  for (const Row& row : {
           Row{"good ones", good + good, "ok", 2},
           Row{"garbage", good + framed("\xff\xff\xff\xff\xff"), "gRPC INVALID_ARGUMENT: ", 1},
           Row{"cut off within", framed(cut) + good, "gRPC INVALID_ARGUMENT: ", 0},
           Row{"empty", framed(""), "gRPC INVALID_ARGUMENT: ", 0},
           Row{"cut off at the end", good + good.substr(0, 8), "gRPC INTERNAL: ", 1},
           Row{"another's", framed(raft::encode(heartbeat(c, a, 1), codec)) + good,
               cat("gRPC PERMISSION_DENIED: a message from ", member_id_text(c), " in a call of ", member_id_text(b)),
               0},
           Row{"for another", framed(raft::encode(heartbeat(b, c, 1), codec)),
               cat("gRPC INVALID_ARGUMENT: a message for ", member_id_text(c)), 0},
           Row{"oversized", good + io::grpc_prefix(UINT32_MAX) + "x", "gRPC RESOURCE_EXHAUSTED: ", 1},
           Row{"compressed", std::string("\1\0\0\0\1x", 6), "gRPC UNIMPLEMENTED: ", 0},
       }) {
    CAPTURE(row.what);
    group.a.received.clear();
    RawPeer peer(group.harness, group.ca, group.b.identity, group.a);
    REQUIRE(peer.dialled() == "ok");
    const std::string answer = peer.call(kMessagesMethod, names(kTestCluster, b, a), row.bytes);
    CHECK(answer.starts_with(row.answer));
    CHECK(group.a.received.size() == row.received);
    CHECK(peer.call(kMessagesMethod, names(kTestCluster, b, a), good) == "ok");
  }
  CHECK(group.connected(group.b, group.a));
}

TEST_CASE("transport: a witness is listened to as a witness alone") {
  Three group;
  const raft::NodeId a = group.a.id(), b = group.b.id();
  PeerInfo witness = group.b.info();
  witness.witness = true;
  group.a.transport().set_peers({witness, group.c.info()});
  const BlobCodec codec;
  struct Row {
    std::string what;
    raft::Body body;
    bool heard;
  };
  for (const Row& row : {
           Row{"a vote", raft::RequestVoteReply{false, true}, true},
           Row{"an answer to a heartbeat", raft::HeartbeatReply{7}, true},
           Row{"that it has a record", raft::RecordInSyncReply{1}, true},
           Row{"a heartbeat", raft::Heartbeat{0, 1}, false},
           Row{"an entry of its own", append(b, a, 1, 10).body, false},
           Row{"that it has entries", raft::AppendEntriesReply{.index = 1}, false},
           Row{"a candidacy", raft::RequestVote{1, 1}, false},
           Row{"a state", raft::InstallSnapshot{}, false},
           Row{"about a state", raft::InstallSnapshotReply{1}, false},
           Row{"a record", raft::RecordInSync{{.term = 1, .version = 1}}, false},
           Row{"an order to campaign", raft::TimeoutNow{}, false},
           Row{"a read", raft::ReadIndex{1}, false},
           Row{"the answer to a read", raft::ReadIndexReply{1, 1}, false},
       }) {
    CAPTURE(row.what);
    group.a.received.clear();
    RawPeer peer(group.harness, group.ca, group.b.identity, group.a);
    REQUIRE(peer.dialled() == "ok");
    const std::string message = raft::encode({b, a, 3, row.body}, codec);
    const std::string answer =
        peer.call(kMessagesMethod, names(kTestCluster, b, a), io::grpc_prefix(message.size()) + message);
    const std::string refused =
        cat("gRPC PERMISSION_DENIED: a witness votes: what member ", member_id_text(b), " says is not for it to say");
    CHECK(answer == (row.heard ? "ok" : refused));
    CHECK(group.a.received.size() == (row.heard ? 1 : 0));
  }
}

namespace {

// "/test.Service/Open" and "/test.Service/Closed" say who calls.
Task<io::GrpcStatus> tell_caller(Transport& transport, io::GrpcCall& call) {
  (void)co_await call.read();
  const auto caller = transport.caller(call.request());
  std::string name = caller ? member_id_text(*caller) : "a stranger";
  const Result<void> written = co_await call.write(std::move(name));
  co_return io::GrpcStatus{written ? io::GrpcStatus::Code::kOk : io::GrpcStatus::Code::kUnavailable, ""};
}

void add_services(Transport& transport) {
  for (const char* method : {"Open", "Closed"}) {
    transport.router().add("test.Service", method,
                           [&transport](io::GrpcCall& call) { return tell_caller(transport, call); });
  }
  transport.open_to_strangers("/test.Service/Open");
}

using Client = Result<std::shared_ptr<io::Http2Client>>;

Task<std::string> ask(Transport& transport, raft::NodeId to, std::string method) {
  auto client = co_await transport.client(to, StopToken());
  if (!client) co_return says(client);
  io::GrpcRequest request = transport.request(to, method);
  request.timeout = 5s;
  auto answer = co_await io::grpc_unary(**client, std::move(request), "");
  co_return answer ? *answer : says(answer);
}

}  // namespace

TEST_CASE("transport: services of members, and those that strangers may call") {
  Harness harness;
  const PeerCa ca;
  TestMember a(harness, ca, ca.issue()), b(harness, ca, ca.issue());
  a.on_create = b.on_create = add_services;
  a.start();
  b.start();
  introduce({&a, &b});
  CHECK(harness.wait(ask(b.transport(), a.id(), "/test.Service/Open")) == member_id_text(b.id()));
  CHECK(harness.wait(ask(b.transport(), a.id(), "/test.Service/Closed")) == member_id_text(b.id()));
  const PeerIdentity stranger = ca.issue();
  RawPeer peer(harness, ca, stranger, a);
  REQUIRE(peer.dialled() == "ok");
  CHECK(peer.call("/test.Service/Open", io::Headers(), io::grpc_prefix(0)) == "ok");
  CHECK(peer.call("/test.Service/Closed", io::Headers(), io::grpc_prefix(0)) ==
        cat("gRPC PERMISSION_DENIED: the key ", stranger.key, " is not that of a member of this group"));
  CHECK(peer.call("/test.Service/None", io::Headers(), io::grpc_prefix(0)).starts_with("gRPC PERMISSION_DENIED: "));
}

TEST_CASE("transport: a server hears from the others that it is no member any more") {
  Harness harness;
  const PeerCa ca;
  TestMember a(harness, ca, ca.issue()), b(harness, ca, ca.issue());
  a.start();
  b.start();
  introduce({&a, &b});
  a.transport().send(heartbeat(a.id(), b.id(), 1));
  CHECK(eventually(harness, [&] { return b.heartbeats_from(a.id()).size() == 1; }));
  CHECK(a.refused.empty());
  b.transport().set_peers({});
  CHECK(eventually(harness, [&] {
    a.transport().send(heartbeat(a.id(), b.id(), 2));
    return !a.refused.empty();
  }));
  CHECK(a.refused.at(0) == b.id());
  CHECK(b.heartbeats_from(a.id()).size() == 1);
}

TEST_CASE("transport: the connection of calls is shared, made when it is needed, and its lack explained") {
  Three group;
  Transport& from = group.a.transport();
  const auto client = [&](raft::NodeId to) { return group.harness.wait(from.client(to, StopToken())); };
  const Client first = client(group.b.id()), second = client(group.b.id());
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->get() == second->get());
  CHECK(says(client(42)) == "NotFound: no member 000000000000002a");
  group.b.stop();
  CHECK(eventually(group.harness, [&] { return !(*first)->usable(); }));
  const std::string why = says(client(group.b.id()));
  CAPTURE(why);
  CHECK(why.starts_with(cat("Unavailable: member ", group.b.info().name, " cannot be reached: ")));
  CHECK(why.find("Connection refused") != std::string::npos);
  group.b.start();
  introduce(group.all);
  const Client third = client(group.b.id());
  REQUIRE(third);
  CHECK(third->get() != first->get());
  io::StopSource stop;
  stop.stop();
  group.c.stop();
  CHECK(says(group.harness.wait(from.client(group.c.id(), stop.token()))).starts_with("Cancelled: "));
}

TEST_CASE("transport: a member that comes back elsewhere, or at one address of several, is found") {
  Three group;
  REQUIRE(group.connected(group.a, group.b));
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    group.b.stop();
    group.a.unreachable.clear();
    CHECK(eventually(group.harness, [&] {
      group.a.transport().send(heartbeat(group.a.id(), group.b.id(), 1));
      return !group.a.unreachable.empty();
    }));
    CHECK(group.a.unreachable.front() == group.b.id());
    group.b.start();  // on another port
    introduce(group.all);
    CHECK(group.connected(group.a, group.b));
    CHECK(group.connected(group.b, group.a));
  }
  // Several addresses, of which one is right.
  group.b.stop();
  group.b.start();
  std::vector<PeerInfo> peers{group.b.info()};
  peers[0].addresses.insert(peers[0].addresses.begin(), {"127.0.0.1:1", "nonsense"});
  group.a.transport().set_peers(peers);
  group.b.transport().set_peers({group.a.info()});
  CHECK(group.connected(group.a, group.b));
}

// A follower that came back with an old list has to answer the leader before it can learn from the log where that is.
TEST_CASE("transport: a member that others look for in the wrong place says where it is in its calls") {
  Three group;
  REQUIRE(group.connected(group.a, group.b));
  std::vector<PeerInfo> wrong(1);
  const std::string right = cat("127.0.0.1:", group.a.port());
  for (const auto& [stated, first] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "127.0.0.1:1"},
           {{"nonsense"}, "127.0.0.1:1"},
           {std::vector<std::string>(MemberLimits::kAddresses + 1, right), "127.0.0.1:1"},
           {{"127.0.0.1:2", right}, "127.0.0.1:2"},
       }) {
    CAPTURE(stated);
    group.a.stop();
    group.a.stated = stated;
    group.a.start();
    group.a.transport().set_peers({group.b.info()});
    wrong[0] = group.a.info();
    wrong[0].addresses = {"127.0.0.1:1"};
    group.b.transport().set_peers(wrong);
    CHECK(group.connected(group.a, group.b));
    CHECK(group.b.transport().addresses_of(group.a.id()).front() == first);
    CHECK(group.b.transport().addresses_of(group.a.id()).back() == "127.0.0.1:1");
  }
  // The one that works is not the first: a's port is another with every start.
  group.b.transport().heard_at(group.a.id(), {"127.0.0.1:2", cat("127.0.0.1:", group.a.port())});
  CHECK(group.connected(group.b, group.a));
  // What the log says later is tried as well.
  group.b.transport().set_peers({group.a.info()});
  CHECK(group.b.transport().addresses_of(group.a.id()) ==
        std::vector<std::string>{"127.0.0.1:2", cat("127.0.0.1:", group.a.port())});
  CHECK(group.b.transport().addresses_of(group.c.id()).empty());
}

TEST_CASE("transport: who is a member no more is heard no more") {
  Three group;
  REQUIRE(group.connected(group.b, group.a));
  group.a.transport().set_peers({group.c.info()});
  group.b.unreachable.clear();
  CHECK(eventually(group.harness, [&] { return !group.b.unreachable.empty(); }));
  group.a.received.clear();
  for (int i = 0; i < 20; ++i) {
    group.b.transport().send(heartbeat(group.b.id(), group.a.id(), 1));
    group.harness.run_for(10ms);
  }
  CHECK(group.a.received.empty());
  // Nor is it told anything.
  group.a.unreachable.clear();
  group.a.transport().send(heartbeat(group.a.id(), group.b.id(), 1));
  CHECK(eventually(group.harness, [&] { return !group.a.unreachable.empty(); }));
  introduce(group.all);
  CHECK(group.connected(group.b, group.a));
}

// ---- members that do not do their part

namespace {

enum class Trouble { kSaysNothing, kReadsNothing, kTakesNoBody };

Task<void> never_read(io::HttpExchange& exchange, StopToken stop) {
  io::Headers headers;
  headers.add("content-type", "application/grpc");
  (void)co_await exchange.start(200, std::move(headers));
  io::Event never;
  io::StopSource either(stop);
  io::StopCallback on_gone(exchange.gone(), [&] { either.stop(); });
  (void)co_await never.wait(either.token());
}

Task<void> swallow(io::Stream& stream, StopToken stop) {
  std::string buffer(64 * 1024, '\0');
  while (true) {
    auto got = co_await stream.read(buffer, stop);
    if (!got || *got == 0) co_return;
  }
}

// Takes connections and ends their handshakes, but that is all.
Task<Result<void>> bad_server(Context context, io::Listener& listener, io::TlsServer& tls, Trouble trouble,
                              StopToken stop) {
  io::TaskScope scope;
  std::vector<std::unique_ptr<io::TlsStream>> streams;
  while (true) {
    auto plain = co_await listener.accept(stop);
    if (!plain) break;
    auto stream = co_await tls.handshake(std::move(*plain), stop);
    if (!stream) continue;
    if (trouble == Trouble::kTakesNoBody) {
      const io::TlsPeer peer{{}, "h2", ""};
      scope.spawn(io::serve_http(
          context, std::move(*stream), peer, peer_limits(),
          [stop](io::HttpExchange& exchange) { return never_read(exchange, stop); }, stop));
      continue;
    }
    streams.push_back(std::move(*stream));
    if (trouble == Trouble::kSaysNothing) scope.spawn(swallow(*streams.back(), stop));
  }
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("transport: a member that takes nothing or says nothing is given up, and costs a bounded memory") {
  struct Row {
    Trouble trouble;
    std::string error;
  };
  for (const Row& row : {
           Row{Trouble::kSaysNothing, "the server does not answer a ping"},
           Row{Trouble::kReadsNothing, "the server does not answer a ping"},
           Row{Trouble::kTakesNoBody, "the member takes nothing"},
       }) {
    CAPTURE(row.error);
    Harness harness;
    const PeerCa ca;
    const TempFolder folder;
    const std::string log = folder.file("log");
    const Fd log_fd(::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    TestMember a(harness, ca, ca.issue());
    a.log = Log::to_fd(log_fd.get(), LogLevel::kDebug);
    a.start();
    const PeerIdentity bad = ca.issue();
    io::TlsServerOptions options;
    options.certificate_pem = bad.certificate_pem;
    options.key_pem = bad.key_pem;
    options.alpn = {"h2"};
    auto tls = io::TlsServer::create(harness.context(), options);
    REQUIRE(tls);
    const io::TlsRealm realm{
        std::string(kPeerServerName), bad.certificate_pem, bad.key_pem, ca.pem(), {std::string(kPeerProtocol)}};
    REQUIRE((*tls)->set_realm(realm));
    auto listener = io::listen_tcp(harness.context(), io::Endpoint{"127.0.0.1", 0});
    REQUIRE(listener);
    io::StopSource stop;
    io::TaskScope scope;
    scope.spawn(bad_server(harness.context(), **listener, **tls, row.trouble, stop.token()));
    PeerInfo info;
    info.id = bad.id;
    info.name = "bad";
    info.addresses = {(*listener)->local().to_string()};
    info.key = bad.key;
    a.transport().set_peers({info});

    std::size_t most = 0;
    const bool noticed = eventually(harness, [&] {
      for (std::uint64_t i = 1; i <= 20; ++i) {
        a.transport().send(append(a.id(), bad.id, i, 500'000));
        a.transport().send(heartbeat(a.id(), bad.id, i));
      }
      most = std::max(most, Blob::live);
      return a.unreachable.size() > 50 && read_file(log).find(row.error) != std::string::npos;
    });
    CAPTURE(read_file(log));
    CHECK(noticed);
    CHECK(most <= 5'000'000);  // append_bytes, and the one that is being sent
    stop.stop();
    CHECK(says(harness.wait(scope.join())) == "ok");
    a.stop();
    CHECK(Blob::live == 0);
  }
}

// ---- snapshots

namespace {

struct Snapshots {
  std::size_t slices = 0, slice_bytes = 0;
  std::size_t fail_at = SIZE_MAX;
  std::size_t made = 0;
  int open = 0;
};

class Reader final : public PeerSnapshot {
 public:
  explicit Reader(Snapshots& snapshots) : snapshots_(snapshots) { ++snapshots_.open; }
  ~Reader() override { --snapshots_.open; }
  Task<Result<std::optional<std::string>>> next() override {
    if (snapshots_.made == snapshots_.fail_at) co_return Error(Code::kIo, "the disk broke");
    if (snapshots_.made == snapshots_.slices) co_return std::optional<std::string>();
    co_return std::optional<std::string>(
        std::string(snapshots_.slice_bytes, static_cast<char>('a' + snapshots_.made++ % 26)));
  }

 private:
  Snapshots& snapshots_;
};

constexpr raft::SnapshotId kSnapshot = 0xfedcba9876543210;

PeerSnapshotSource source_of(Snapshots& snapshots) {
  return [&snapshots](raft::NodeId, raft::SnapshotId id) -> Result<std::unique_ptr<PeerSnapshot>> {
    if (id != kSnapshot) return Error(Code::kNotFound, cat("no snapshot ", member_id_text(id)));
    return std::unique_ptr<PeerSnapshot>(std::make_unique<Reader>(snapshots));
  };
}

struct Pulled {
  std::size_t slices = 0, bytes = 0;
  std::size_t refuse_at = SIZE_MAX;
  std::size_t most_ahead = 0;
  bool in_order = true;
};

Task<Result<void>> take_slice(Context context, const Snapshots& snapshots, Pulled& pulled, std::string slice) {
  if (pulled.slices == pulled.refuse_at) co_return Error(Code::kNoSpace, "the disk is full");
  (void)co_await context.loop.sleep(1ms);
  pulled.in_order = pulled.in_order && slice.front() == static_cast<char>('a' + pulled.slices % 26);
  ++pulled.slices;
  pulled.bytes += slice.size();
  pulled.most_ahead = std::max(pulled.most_ahead, snapshots.made - pulled.slices);
  co_return Result<void>();
}

Task<Result<void>> pull(TestMember& to, raft::NodeId from, raft::SnapshotId id, PeerSnapshotSink sink, StopToken stop) {
  co_return co_await to.transport().fetch_snapshot(from, id, std::move(sink), std::move(stop));
}

}  // namespace

TEST_CASE("transport: snapshots are pulled slice by slice, as fast as they are taken") {
  struct Row {
    std::string what;
    raft::SnapshotId id;
    std::size_t fail_at, refuse_at;
    std::string error;
    std::size_t slices;
  };
  constexpr std::size_t kSlices = 200, kSliceBytes = 100'000;
  for (const Row& row : {
           Row{"whole", kSnapshot, SIZE_MAX, SIZE_MAX, "ok", kSlices},
           Row{"another", 5, SIZE_MAX, SIZE_MAX, "NotFound: gRPC NOT_FOUND: no snapshot 0000000000000005", 0},
           Row{"broken at its sender", kSnapshot, 50, SIZE_MAX, "Unavailable: gRPC UNAVAILABLE: the disk broke", 50},
           Row{"refused by its receiver", kSnapshot, SIZE_MAX, 7, "error: the disk is full", 7},
       }) {
    CAPTURE(row.what);
    Three group;
    Snapshots snapshots{kSlices, kSliceBytes, row.fail_at};
    group.a.transport().serve_snapshots(source_of(snapshots));
    Pulled pulled;
    pulled.refuse_at = row.refuse_at;
    const Context context = group.harness.context();
    PeerSnapshotSink sink = [&](std::string slice) { return take_slice(context, snapshots, pulled, std::move(slice)); };
    const auto done = group.harness.wait(pull(group.b, group.a.id(), row.id, sink, StopToken()));
    CHECK(says(done) == row.error);
    CHECK(pulled.slices == row.slices);
    CHECK(pulled.in_order);
    // Windows and buffers on the way, not the whole.
    CHECK(pulled.most_ahead <= 40);
    CHECK(eventually(group.harness, [&] { return snapshots.open == 0; }));
  }
}

TEST_CASE("transport: a snapshot ends with its receiver, and messages go on beside it") {
  Three group;
  Snapshots snapshots{100'000, 100'000, SIZE_MAX};
  group.a.transport().serve_snapshots(source_of(snapshots));
  Pulled pulled;
  io::StopSource stop;
  io::TaskScope scope;
  const Context context = group.harness.context();
  PeerSnapshotSink sink = [&](std::string slice) { return take_slice(context, snapshots, pulled, std::move(slice)); };
  scope.spawn(pull(group.b, group.a.id(), kSnapshot, sink, stop.token()));
  CHECK(eventually(group.harness, [&] { return pulled.slices > 20; }));
  CHECK(group.connected(group.a, group.b));
  CHECK(group.connected(group.b, group.a));
  CHECK(snapshots.open == 1);
  stop.stop();
  (void)group.harness.wait(scope.join());
  CHECK(eventually(group.harness, [&] { return snapshots.open == 0; }));
  // A request that is none.
  RawPeer peer(group.harness, group.ca, group.b.identity, group.a);
  REQUIRE(peer.dialled() == "ok");
  const io::Headers named = names(kTestCluster, group.b.id(), group.a.id());
  CHECK(peer.call(kSnapshotMethod, named, io::grpc_prefix(1) + "\xff") ==
        "gRPC INVALID_ARGUMENT: the request is malformed");
  CHECK(peer.call(kSnapshotMethod, named, "") == "gRPC INVALID_ARGUMENT: which snapshot is not said");
}

TEST_CASE("transport: addresses, ids and keys as text") {
  struct Row {
    std::string text;
    std::string host;
    int port;
  };
  for (const Row& row : {
           Row{"a.example:6443", "a.example", 6443},
           Row{"10.0.0.1:1", "10.0.0.1", 1},
           Row{"[::1]:65535", "::1", 65535},
           Row{"::1:6443", "", 0},
           Row{"a:65536", "", 0},
           Row{"a:0", "", 0},
           Row{"a:", "", 0},
           Row{"a:+1", "", 0},
           Row{":6443", "", 0},
           Row{"[]:6443", "", 0},
           Row{"a", "", 0},
           Row{"", "", 0},
           Row{"u@a:1", "", 0},
           Row{"a b:1", "", 0},
       }) {
    CAPTURE(row.text);
    const auto parsed = parse_host_port(row.text);
    CHECK(parsed.ok() == (row.port != 0));
    if (parsed) CHECK(parsed->host == row.host);
    if (parsed) CHECK(parsed->port == row.port);
  }
  CHECK(member_id_text(0xfedcba9876543210) == "fedcba9876543210");
  CHECK(parse_member_id("fedcba9876543210") == 0xfedcba9876543210);
  CHECK(parse_member_id("fedcba987654321x") == raft::kNobody);
  CHECK(member_id("00000000000000ff" + std::string(48, '7')) == 255);
  CHECK(member_id(std::string(64, '0')) == 1);
  CHECK(member_id("ff") == raft::kNobody);
  CHECK(member_id(std::string(64, 'g')) == raft::kNobody);
}

}  // namespace kayak::store::test
