// support_group.cc: see support_group.h.
#include "store/support_group.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/strings.h"
#include "store/log_payload.h"

namespace kayak::store::test {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// A transport from which nothing leaves that the group's cuts do not let through.
class CutTransport final : public Transport {
 public:
  CutTransport(std::unique_ptr<Transport> real, raft::NodeId self, Cuts& cuts)
      : real_(std::move(real)), self_(self), cuts_(cuts) {}

  void set_peers(std::vector<PeerInfo> peers) override { real_->set_peers(std::move(peers)); }
  void heard_at(raft::NodeId id, const std::vector<std::string>& addresses) override { real_->heard_at(id, addresses); }
  std::vector<std::string> addresses_of(raft::NodeId id) const override { return real_->addresses_of(id); }
  void replace_certificate(std::string certificate_pem, std::string key_pem) override {
    real_->replace_certificate(std::move(certificate_pem), std::move(key_pem));
  }
  void send(raft::Message message) override {
    if (std::holds_alternative<raft::InstallSnapshotReply>(message.body)) ++cuts_.failed_fetches[self_];
    if (!cuts_.is_cut(self_, message.to)) real_->send(std::move(message));
  }
  io::GrpcRouter& router() override { return real_->router(); }
  void open_to_strangers(std::string method) override { real_->open_to_strangers(std::move(method)); }
  std::optional<raft::NodeId> caller(const io::HttpRequest& request) const override { return real_->caller(request); }
  Task<Result<std::shared_ptr<io::Http2Client>>> client(raft::NodeId to, StopToken stop) override {
    if (cuts_.is_cut(self_, to)) co_return Error(Code::kUnavailable, "the network is cut");
    co_return co_await real_->client(to, std::move(stop));
  }
  io::GrpcRequest request(raft::NodeId to, std::string_view method) const override {
    return real_->request(to, method);
  }
  void serve_snapshots(PeerSnapshotSource source) override { real_->serve_snapshots(std::move(source)); }
  Task<Result<void>> fetch_snapshot(raft::NodeId from, raft::SnapshotId id, PeerSnapshotSink sink,
                                    StopToken stop) override {
    if (cuts_.is_cut(self_, from)) co_return Error(Code::kUnavailable, "the network is cut");
    co_return co_await real_->fetch_snapshot(from, id, std::move(sink), std::move(stop));
  }
  io::HttpHandler http_handler() override { return real_->http_handler(); }
  io::TlsRealm realm() const override { return real_->realm(); }
  Task<Result<void>> run(StopToken stop) override { return real_->run(std::move(stop)); }

 private:
  std::unique_ptr<Transport> real_;
  const raft::NodeId self_;
  Cuts& cuts_;
};

Log log_of_environment() {
  return std::getenv("GROUP_LOG") == nullptr ? Log::discard() : Log::to_fd(2, LogLevel::kDebug);
}

Task<Result<void>> close_store(Store* store) {
  co_await store->close();
  co_return Result<void>();
}

}  // namespace

class ServerLife {
 public:
  ~ServerLife() { ASSERT(scope_.running() == 0); }

  std::unique_ptr<Transport> transport;
  std::unique_ptr<PeerServer> server;
  std::unique_ptr<EmbeddedStore> store;
  std::unique_ptr<etcd::Server> services;
  std::unique_ptr<GroupMembers> members;
  io::StopSource stop;
  // Of a life that was killed.
  std::unique_ptr<TempFolder> folder;
  std::unique_ptr<TestDisk> disk;

  void run_members() { scope_.spawn(members->run(stop.token())); }
  void end() { scope_.spawn(end_it(this)); }
  bool ended() const { return scope_.running() == 0; }

 private:
  static Task<void> end_it(ServerLife* life) { co_await life->store->close(); }
  io::TaskScope scope_;
};

// ---- one server

GroupServer::GroupServer(Group& group, std::string name)
    : name(std::move(name)),
      identity(group.ca.issue()),
      group_(group),
      folder_(std::make_unique<TempFolder>()),
      path_(folder_->file("state.db")),
      disk_(std::make_unique<TestDisk>()) {}

GroupServer::~GroupServer() {
  if (is_up()) close();
}

Result<void> GroupServer::start(bool joins) {
  ASSERT(!is_up());
  auto life = std::make_unique<ServerLife>();
  ServerLife* of = life.get();
  const Cuts* cuts = &group_.cuts;
  Transport::Events events;
  events.message = [of, cuts](raft::Message message) {
    if (of->store && !cuts->is_cut(message.from, message.to)) of->store->receive(std::move(message));
  };
  events.unreachable = [of](raft::NodeId node) {
    if (of->store) of->store->peer_unreachable(node);
  };
  TransportOptions reachable = transport_options(group_.ca, identity, group_.times);
  reachable.wire = raft::WireLimits();  // an entry may be large
  life->transport = std::make_unique<CutTransport>(
      Transport::create(group_.context, log_payloads(), std::move(reachable), std::move(events)), identity.id,
      group_.cuts);
  life->server = std::make_unique<PeerServer>(group_.harness, group_.context, *life->transport, identity, port_);
  port_ = life->server->port();
  life->transport->set_peers(group_.everyone());

  EmbeddedOptions options;
  options.store.path = path_;
  options.store.vfs = disk_->vfs();
  options.store.compact_interval = 0ms;
  options.store.history_bytes = history_bytes;
  options.store.wal_bytes = wal_bytes;
  options.store.member_id = identity.id;
  options.store.joins = joins;
  options.store.election_timeout = group_.election_timeout;
  options.store.on_fatal = [this](const Error& error) { fatal.push_back(error); };
  options.transport = life->transport.get();
  options.members_changed = [of](const std::vector<MemberRecord>& records) {
    MemberList list;
    list.members = records;
    of->transport->set_peers(peers_of(list));
  };
  const Context& outer = group_.context;
  const Context own{outer.loop, outer.clock, outer.random, outer.log, metrics};
  auto opened = group_.harness.wait(open_embedded_store(own, std::move(options)));
  if (!opened) return opened.error();
  life->store = std::move(*opened);
  etcd::ServerOptions services;
  services.member_id = identity.id;
  life->services = etcd::Server::create(life->store->here(), services);
  life->services->add_for_peers(&life->transport->router());
  GroupMembersOptions members;
  members.self = record();
  members.cluster = member_id_text(kTestCluster);
  life->members = std::make_unique<GroupMembers>(group_.context, *life->store, *life->store, *life->transport, members);
  life_ = std::move(life);
  return Result<void>();
}

void GroupServer::crash() {
  ASSERT(is_up());
  disk_->hold_after(0);
  auto found = std::make_unique<TempFolder>();
  // The mark first: it never runs ahead of the rest.
  const std::string lock = path_ + "-lock";
  fs::copy_file(lock, found->file("state.db-lock"));
  for (const fs::directory_entry& file : fs::directory_iterator(folder_->path())) {
    std::error_code gone;
    if (file.path() != lock) fs::copy_file(file.path(), found->file(file.path().filename().string()), gone);
  }
  std::unique_ptr<ServerLife> life = std::move(life_);
  life->stop.stop();
  life->server->stop();
  disk_->let_go();
  life->folder = std::exchange(folder_, std::move(found));
  life->disk = std::exchange(disk_, std::make_unique<TestDisk>());
  path_ = folder_->file("state.db");
  group_.bury(std::move(life));
}

void GroupServer::close() {
  std::unique_ptr<ServerLife> life = std::move(life_);
  ASSERT(group_.harness.wait(close_store(life->store.get())).ok());
  life->stop.stop();
  life->server->stop();
}

EmbeddedStore& GroupServer::store() { return *life_->store; }
Members& GroupServer::members() { return *life_->members; }
Transport& GroupServer::transport() { return *life_->transport; }
StopToken GroupServer::alive() const { return life_->stop.token(); }
bool GroupServer::leads() const { return is_up() && life_->store->leadership().leads; }

MemberRecord GroupServer::record() const {
  MemberRecord record;
  record.id = identity.id;
  record.name = name;
  record.addresses = {cat("127.0.0.1:", port_)};
  record.key = identity.key;
  return record;
}

Result<TxnResponse> GroupServer::txn(TxnRequest request) {
  return group_.harness.wait(store().txn(std::move(request), alive()));
}

Result<Revision> GroupServer::put(const std::string& key, const std::string& value, std::int64_t lease) {
  TxnRequest request;
  request.success.push_back(put_op(key, value, lease));
  auto done = txn(std::move(request));
  if (!done) return done.error();
  return done->revision;
}

Result<std::string> GroupServer::get(const std::string& key, bool serializable) {
  RangeRequest request;
  request.key = key;
  request.serializable = serializable;
  auto found = group_.harness.wait(store().range(std::move(request), alive()));
  if (!found) return found.error();
  return found->kvs.empty() ? std::string("(none)") : *found->kvs[0].value;
}

// ---- the witness

GroupWitness::GroupWitness(Group& group) : identity(group.ca.issue()), group_(group) {}
GroupWitness::~GroupWitness() { stop(); }

void GroupWitness::start() {
  WitnessNode::Options options;
  options.path = folder_.file("witness");
  auto found = read_witness_state(options.path);
  options.state = found ? *found : WitnessState{identity.id, {}, std::nullopt};
  options.election_timeout = group_.election_timeout;
  options.send = [this](raft::Message message) {
    if (!group_.cuts.is_cut(identity.id, message.to)) transport_->send(std::move(message));
  };
  Transport::Events events;
  events.message = [this](raft::Message message) {
    if (node_ && !group_.cuts.is_cut(message.from, message.to)) node_->receive(std::move(message));
  };
  events.unreachable = [](raft::NodeId) {};
  transport_ = Transport::create(group_.context, no_payloads(), transport_options(group_.ca, identity, group_.times),
                                 std::move(events));
  server_ = std::make_unique<PeerServer>(group_.harness, group_.context, *transport_, identity, port_);
  port_ = server_->port();
  transport_->set_peers(group_.everyone());
  node_ = std::make_unique<WitnessNode>(group_.context, std::move(options));
  scope_ = std::make_unique<io::TaskScope>();
  scope_->spawn(node_->run(scope_->token()));
}

void GroupWitness::stop() {
  if (!node_) return;
  scope_->stop();
  server_->stop();
  (void)group_.harness.wait(scope_->join());
  node_.reset();
  server_.reset();
  transport_.reset();
}

MemberRecord GroupWitness::record() const {
  MemberRecord record;
  record.id = identity.id;
  record.name = "witness";
  record.addresses = {cat("127.0.0.1:", port_)};
  record.key = identity.key;
  record.role = MemberRecord::Role::kWitness;
  return record;
}

// ---- the group

Group::Group(Duration election_timeout)
    : context(Context{harness.loop, harness.clock, harness.random, log_of_environment(), harness.metrics}),
      election_timeout(election_timeout) {}

Group::~Group() {
  heal();
  for (const auto& server : servers) {
    if (server->is_up()) server->crash();
  }
  ASSERT(eventually(
      [this] { return std::all_of(dead_.begin(), dead_.end(), [](const auto& life) { return life->ended(); }); }));
  dead_.clear();
  witness.reset();
}

void Group::bury(std::unique_ptr<ServerLife> life) {
  std::erase_if(dead_, [](const std::unique_ptr<ServerLife>& one) { return one->ended(); });
  life->end();
  dead_.push_back(std::move(life));
}

GroupServer& Group::add() {
  return *servers.emplace_back(std::make_unique<GroupServer>(*this, cat("s", servers.size())));
}

void Group::make(std::size_t count) {
  while (servers.size() < count) add();
  GroupServer& first = at(0);
  ASSERT(first.start().ok());
  ASSERT(harness.wait(first.members().add_learner(first.record(), StopToken())).ok());
  for (std::size_t i = 1; i < count; ++i) join(at(i));
}

Result<void> Group::take_in(const MemberRecord& member) {
  const bool witness = member.role == MemberRecord::Role::kWitness;
  Result<void> done;
  const bool ended = eventually([&] {
    Members& members = leader().members();
    done = harness.wait(witness ? members.add_witness(member, StopToken()) : members.add_learner(member, StopToken()));
    return done.ok() || (done.error().code() != Code::kConflict && done.error().code() != Code::kUnavailable);
  });
  ASSERT(ended);
  return done;
}

void Group::join(GroupServer& server) {
  ASSERT(server.start(true).ok());
  ASSERT(take_in(server.record()).ok());
  ASSERT(eventually([&] { return harness.wait(leader().members().promote(server.id(), StopToken())).ok(); }));
  ASSERT(eventually([&] { return votes(server); }));
}

bool Group::votes(GroupServer& server) {
  const std::vector<Member> members = server.store().members();
  return std::any_of(members.begin(), members.end(), [&](const Member& member) {
    return member.id == server.id() && member.role == Member::Role::kVoter;
  });
}

GroupServer* Group::leader_now() {
  GroupServer* found = nullptr;
  for (const auto& server : servers) {
    if (!server->leads()) continue;
    const bool newer = found == nullptr || found->store().leadership().term < server->store().leadership().term;
    if (newer) found = server.get();
  }
  return found;
}

GroupServer& Group::leader() {
  GroupServer* found = nullptr;
  const bool there = eventually([&] {
    found = leader_now();
    if (found == nullptr) return false;
    std::size_t voters = 0, follow = 0;
    for (const Member& member : found->store().members()) {
      if (member.role == Member::Role::kLearner) continue;
      ++voters;
      follow += member.role == Member::Role::kWitness ? 1 : 0;
      for (const auto& server : servers) {
        const bool one = server->id() == member.id && server->is_up();
        if (one && server->store().leadership().leader == found->id()) ++follow;
      }
    }
    return 2 * follow > voters;
  });
  ASSERT(there);
  return *found;
}

GroupServer& Group::follower() {
  const GroupServer& leads = leader();
  for (const auto& server : servers) {
    if (server->is_up() && server.get() != &leads) return *server;
  }
  std::abort();  // tests ask with two servers up
}

void Group::isolate(const std::vector<raft::NodeId>& some) {
  std::vector<raft::NodeId> all;
  for (const auto& server : servers) all.push_back(server->id());
  if (witness) all.push_back(witness->id());
  const auto among = [&](raft::NodeId id) { return std::find(some.begin(), some.end(), id) != some.end(); };
  for (const raft::NodeId from : all) {
    for (const raft::NodeId to : all) {
      if (among(from) != among(to)) cuts.cut(from, to);
    }
  }
}

bool Group::eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    harness.run_for(5ms);
  }
  return false;
}

std::vector<PeerInfo> Group::everyone() const {
  MemberList list;
  for (const auto& server : servers) list.members.push_back(server->record());
  if (witness) list.members.push_back(witness->record());
  return peers_of(list);
}

std::string Group::state(GroupServer& server) {
  RangeRequest all;
  all.key = all.range_end = std::string(1, '\0');
  all.serializable = true;
  auto found = harness.wait(server.store().range(std::move(all), StopToken()));
  if (!found) return text(found.error());
  std::string out;
  for (const KeyValue& kv : found->kvs) {
    out += cat(kv.key, "=", *kv.value, " ", kv.create_revision, " ", kv.mod_revision, " ", kv.version, " ", kv.lease,
               "\n");
  }
  return out;
}

std::string Group::differences(Revision from) {
  Revision newest = 0;
  const bool read = eventually([&] {
    auto revision = harness.wait(leader().store().current_revision(StopToken()));
    if (revision) newest = *revision;
    return revision.ok();
  });
  if (!read) return "nobody tells the newest revision";
  const bool reached = eventually([&] {
    return std::all_of(servers.begin(), servers.end(),
                       [&](const auto& server) { return !server->is_up() || server->store().revision() >= newest; });
  });
  if (!reached) return cat("somebody does not come to revision ", newest);
  const GroupServer* first = nullptr;
  std::string expected, expected_events;
  for (const auto& server : servers) {
    if (!server->is_up()) continue;
    const std::string state = this->state(*server);
    const std::string happened = from == 0 ? "" : events(*this, server->store(), from, newest);
    if (first == nullptr) {
      first = server.get();
      expected = state;
      expected_events = happened;
    }
    if (state != expected) return cat(first->name, " has\n", expected, "but ", server->name, " has\n", state);
    // Who fetched the state knows nothing of what came before it.
    const bool fetched = happened.find("has been compacted") != std::string::npos;
    if (!fetched && happened != expected_events) {
      return cat(first->name, " saw\n", expected_events, "but ", server->name, " saw\n", happened);
    }
  }
  return "";
}

namespace {
Task<std::string> watch_all(EmbeddedStore* store, Revision from, Revision to) {
  WatchRequest request;
  request.key = request.range_end = std::string(1, '\0');
  request.start_revision = from;
  auto watch = store->watch(std::move(request));
  if (!watch) co_return text(watch.error());
  std::string out;
  for (Revision seen = from - 1; seen < to;) {
    auto batches = co_await (*watch)->next();
    if (!batches) co_return cat(out, text(batches.error()));
    for (const WatchBatch& batch : *batches) {
      seen = std::max(seen, batch.revision);
      if (!batch.events.empty()) out += text(std::vector<WatchBatch>{batch}) + "\n";
    }
  }
  co_return out;
}
}  // namespace

std::string events(Group& group, EmbeddedStore& store, Revision from, Revision to) {
  return group.harness.wait(watch_all(&store, from, to));
}

void leave_behind(Group& group, GroupServer& leader, int keys, std::size_t bytes) {
  constexpr int kAtOnce = 100;
  for (int round = 0; round < 3; ++round) {
    for (int first = 0; first < keys; first += kAtOnce) {
      TxnRequest request;
      for (int i = first; i < std::min(first + kAtOnce, keys); ++i) {
        request.success.push_back(put_op(cat("key-", i), cat(round, std::string(bytes, 'x'))));
      }
      ASSERT(leader.txn(std::move(request)).ok());
    }
  }
  const Revision revision = leader.store().revision();
  const auto everywhere = [&](const std::function<bool(EmbeddedStore & store)>& condition) {
    ASSERT(group.eventually([&] {
      return std::all_of(group.servers.begin(), group.servers.end(),
                         [&](const auto& server) { return !server->is_up() || condition(server->store()); });
    }));
  };
  everywhere([&](EmbeddedStore& store) { return store.revision() >= revision; });
  ASSERT(group.harness.wait(leader.store().compact(revision, StopToken())).ok());
  everywhere([&](EmbeddedStore& store) { return store.compacted() == revision - 1 && !store.stats().sweeping; });
  ASSERT(leader.put("last", "x").ok());
}

}  // namespace kayak::store::test
