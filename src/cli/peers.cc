// peers.cc: see peers.h.
#include "cli/peers.h"

#include <algorithm>

#include "base/strings.h"
#include "store/log_payload.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;
constexpr Duration kRetry = 10s;
// A member that nobody sends anything for so long asks whether it still is one. After a refusal it asks sooner, but not
// at once: one that has only just heard of this server's joining, or of an older list, refuses for a moment.
constexpr Duration kSilence = 30s, kAfterRefusal = 5s;
// Who has been taken in hears of the leader at once.
constexpr Duration kArrival = 10s;
// Between two such questions: doubled while nobody can say.
constexpr Duration kLongestPause = 10min;

// Others that were removed may still ask this server for its vote.
bool is_leaders(const store::raft::Body& body) {
  return std::holds_alternative<store::raft::Heartbeat>(body) ||
         std::holds_alternative<store::raft::AppendEntries>(body) ||
         std::holds_alternative<store::raft::InstallSnapshot>(body);
}

}  // namespace

Peers::Peers(Context context, Options options) : context_(std::move(context)), options_(std::move(options)) {
  store::TransportOptions transport;
  transport.self = options_.cluster.self.id;
  transport.addresses = options_.cluster.self.addresses;
  transport.cluster = store::parse_member_id(options_.cluster.cluster);
  transport.certificate_pem = options_.peer.certificate_pem;
  transport.key_pem = options_.peer.key_pem;
  transport.ca_pem = options_.peer_ca_pem;
  store::Transport::Events events;
  events.message = [this](store::raft::Message message) {
    if (is_leaders(message.body)) hear_leader();
    if (store_ != nullptr) store_->receive(std::move(message));
  };
  events.unreachable = [this](store::raft::NodeId node) {
    if (store_ != nullptr) store_->peer_unreachable(node);
  };
  events.refused = [this](store::raft::NodeId) { refused_.set(); };
  transport_ = store::Transport::create(context_, store::log_payloads(), std::move(transport), std::move(events));
  list_ = options_.join.peers;
  list_.cluster = options_.cluster.cluster;
  written_ = kept_ = list_;
  set_peers(list_.members);
}

void Peers::set_peers(const std::vector<store::MemberRecord>& members) {
  store::MemberList list;
  list.members = members;
  transport_->set_peers(store::peers_of(list));
}

void Peers::members_changed(const std::vector<store::MemberRecord>& members) {
  const store::raft::NodeId self = options_.cluster.self.id;
  const bool was_member = list_.find(self) != nullptr;
  list_.members = members;
  set_peers(members);
  const bool is_member = list_.find(self) != nullptr;
  if (was_member && !is_member) told_removed("its own log");
  // The file keeps the list with this server in it: without, the next start would take it for one that is to join.
  if (!is_member && kept_.find(self) != nullptr) return;
  kept_ = list_;
  list_changed_.set();
  if (members.size() > 1) has_others_.set();
}

void Peers::hear_leader() {
  heard_ = context_.clock.now();
  spoken_to_ = true;
  removed_ = false;
}

void Peers::told_removed(std::string_view said_by) {
  removed_ = true;
  context_.log.error(
      "this server is no member of its cluster any more: it was removed, or the cluster was reset. It takes part no "
      "more. To take part again, stop it, move server/db and server/tls/peer.* of its data directory away and start it "
      "with --server and --token",
      {{"member", store::member_id_text(options_.cluster.self.id)}, {"said_by", said_by}});
}

void Peers::attach(store::EmbeddedStore& store) {
  store_ = &store;
  store::etcd::ServerOptions services;
  services.name = options_.cluster.self.name;
  services.cluster_id = store::parse_member_id(options_.cluster.cluster);
  services.member_id = options_.cluster.self.id;
  services_ = store::etcd::Server::create(store.here(), services);
  services_->add_for_peers(&transport_->router());
  store::GroupMembersOptions members;
  members.self = options_.cluster.self;
  members.cluster = options_.cluster.cluster;
  members_ = std::make_unique<store::GroupMembers>(context_, store, store, *transport_, std::move(members));
}

std::vector<store::MemberRecord> Peers::known() const {
  if (!list_.members.empty()) return list_.members;
  return {options_.cluster.self};
}

Result<void> Peers::serve(io::TlsServer& tls, io::HttpServer& http) {
  if (auto set = tls.set_realm(transport_->realm()); !set) return set.error().while_doing("preparing TLS for peers");
  http.serve_realm(store::peer_limits(), transport_->http_handler());
  return Result<void>();
}

Result<void> Peers::replace_certificate(const KeyPair& peer, io::TlsServer& tls) {
  options_.peer = peer;
  transport_->replace_certificate(peer.certificate_pem, peer.key_pem);
  if (auto set = tls.set_realm(transport_->realm()); !set) return set.error().while_doing("preparing TLS for peers");
  return Result<void>();
}

// Others would look for this server in vain: it is no member yet, or has moved since they heard of it. They have to be
// told from here, as whoever leads cannot reach it.
bool Peers::is_unknown() const {
  const store::MemberRecord& self = options_.cluster.self;
  const store::MemberRecord* known = list_.find(self.id);
  if (known == nullptr) return options_.join.joining;
  return list_.members.size() > 1 && known->addresses != self.addresses;
}

Task<Result<void>> Peers::run(StopToken stop) {
  io::TaskScope scope(stop);
  scope.spawn(transport_->run(scope.token()));
  scope.spawn(members_->run(scope.token()));
  scope.spawn(keep_file(scope.token()));
  if (is_unknown()) scope.spawn(join(scope.token()));
  scope.spawn(watch_place(scope.token()));
  co_return co_await scope.join();
}

store::Announcement Peers::announcement() const {
  store::Announcement announcement = announcement_of(options_.cluster.self, list_, options_.server);
  announcement.certificate_pem = options_.peer.certificate_pem;
  announcement.key_pem = options_.peer.key_pem;
  announcement.ca_pem = options_.peer_ca_pem;
  return announcement;
}

Task<Result<void>> Peers::join(StopToken stop) {
  store::Announcement announcement = this->announcement();
  announcement.replaces = options_.join.replaces;
  Result<store::MemberList> list = co_await store::announce(context_, std::move(announcement), stop);
  if (!list) co_return list.error().code() == Code::kCancelled ? Result<void>() : Result<void>(list.error());
  context_.log.info("the cluster knows this server", {{"cluster", list->cluster}});
  // What the store has learned meanwhile is newer.
  if (list_.find(options_.cluster.self.id) == nullptr) set_peers(list->members);
  co_await expect_leader(stop);
  co_return Result<void>();
}

// The leader sends all that a new server needs, if it reaches it there: what is wrong then nobody sees but here. And
// one that is removed before it has heard anything does not find that in its log.
Task<void> Peers::expect_leader(StopToken stop) {
  bool warned = false;
  const auto has_arrived = [this] { return spoken_to_ || store_->leadership().leads; };
  for (Duration pause = kArrival; !has_arrived(); pause = std::min(2 * pause, kLongestPause)) {
    const Result<void> slept = co_await context_.loop.sleep(pause, stop);
    if (!slept) co_return;
    if (has_arrived()) break;
    std::string said_by;
    store::Announcement question = announcement();
    const Result<store::MemberList> list =
        co_await store::ask_whether_removed(context_, std::move(question), &said_by, stop);
    if (stop.stopped() || has_arrived()) break;
    if (!list && list.error().code() == Code::kForbidden) {
      told_removed(said_by);
      store_->stand_aside();
      co_return;
    }
    if (!list || std::exchange(warned, true)) continue;
    context_.log.warn(
        "the cluster has taken this server in, but its leader does not reach it: is there a firewall between them, or "
        "is another --peer-address or --advertise-address needed?",
        {{"looked_for_at", kayak::join(options_.cluster.self.addresses, ",")}, {"said_by", said_by}});
  }
}

// A server with peers, one of which leads, hears of that one all the time.
bool Peers::may_be_out() const {
  if (removed_ || list_.find(options_.cluster.self.id) == nullptr || list_.members.size() < 2) return false;
  return !store_->leadership().leads;
}

// A server that was away while it was removed hears of it in this way alone: nobody speaks to it, and one that has no
// vote has nothing to say to anyone, either.
Task<Result<void>> Peers::watch_place(StopToken stop) {
  Duration pause = kSilence;
  heard_ = context_.clock.now();
  if (list_.members.size() < 2) (void)co_await has_others_.wait(stop);
  while (!stop.stopped()) {
    bool refused = false;
    Duration rest = pause;
    // When nobody could say before, a refusal is no news.
    if (pause == kSilence) {
      const io::Deadline due(context_.loop, pause, stop);
      refused = co_await refused_.wait(due.token());
      rest = refused ? kAfterRefusal : Duration(0);
    }
    (void)co_await context_.loop.sleep(rest, stop);
    refused_.reset();
    const Instant asked = context_.clock.now();
    const Duration silence = asked - heard_;
    if (stop.stopped()) break;
    if (!may_be_out() || silence < (refused ? kAfterRefusal : kSilence)) {
      pause = kSilence;
      continue;
    }
    std::string said_by;
    store::Announcement question = announcement();
    const Result<store::MemberList> list =
        co_await store::ask_whether_removed(context_, std::move(question), &said_by, stop);
    if (list.ok() || list.error().code() != Code::kForbidden) {
      // Who asks is heard of: a leader that did not find this server knows now where it is.
      if (!list.ok())
        context_.log.debug("nobody says whether this server is a member", {{"error", list.error().message()}});
      pause = std::min(2 * pause, kLongestPause);
      continue;
    }
    if (!may_be_out() || heard_ >= asked) continue;  // a leader has said otherwise meanwhile
    told_removed(said_by);
    store_->stand_aside();
  }
  co_return Result<void>();
}

Task<Result<void>> Peers::keep_file(StopToken stop) {
  while (!stop.stopped()) {
    list_changed_.reset();
    if (kept_ == written_) {
      (void)co_await list_changed_.wait(stop);
      continue;
    }
    const store::MemberList list = kept_;
    auto write = [path = options_.members_path, list] { return store::write_member_list(path, list); };
    const Result<void> written = co_await context_.loop.offload(std::move(write));
    if (written) {
      written_ = list;
      continue;
    }
    // It is needed at a start without a log alone: a full disk is no reason to stop.
    context_.log.warn("members.json could not be written", {{"error", written.error().message()}});
    (void)co_await context_.loop.sleep(kRetry, stop);
  }
  co_return Result<void>();
}

}  // namespace kayak::cli
