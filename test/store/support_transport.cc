// support_transport.cc: see support_transport.h.
#include "store/support_transport.h"

#include <algorithm>

#include "base/strings.h"
#include "store/transport/peer_link.h"

namespace kayak::store::test {

using namespace std::chrono_literals;

std::string says(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return cat("NotFound: ", error.message());
    case Code::kUnavailable:
      return cat("Unavailable: ", error.message());
    case Code::kUnauthorized:
      return cat("Unauthorized: ", error.message());
    case Code::kCancelled:
      return cat("Cancelled: ", error.message());
    case Code::kInvalid:
      return cat("Invalid: ", error.message());
    default:
      return cat("error: ", error.message());
  }
}

// ---- certificates

namespace {

std::string certificate(Random& random, bool is_ca, const std::string& key, const std::string& issuer,
                        const std::string& issuer_key) {
  io::CertificateRequest request;
  request.common_name = is_ca ? "peer-ca" : "kayak-peer";
  request.is_ca = is_ca;
  request.server_auth = request.client_auth = !is_ca;
  const WallTime now = SystemClock().wall();
  request.not_before = now + -1h;
  request.not_after = now + 24h;
  auto issued = io::issue_certificate_pem(random, request, key, issuer, issuer_key);
  ASSERT(issued);
  return *issued;
}

}  // namespace

PeerCa::PeerCa() {
  key_pem_ = *io::generate_key_pem(random_);
  certificate_pem_ = certificate(random_, true, key_pem_, "", "");
}

PeerIdentity PeerCa::issue() const {
  PeerIdentity identity;
  identity.key_pem = *io::generate_key_pem(random_);
  identity.certificate_pem = certificate(random_, false, identity.key_pem, certificate_pem_, key_pem_);
  identity.key = io::parse_certificate_pem(identity.certificate_pem)->public_key_sha256;
  identity.id = member_id(identity.key);
  return identity;
}

// ---- members

TransportTimes quick_times() {
  TransportTimes times;
  times.connect = 1s;
  times.shortest_pause = 5ms;
  times.longest_pause = 100ms;
  times.silence = times.answer = 300ms;
  times.stall = 500ms;
  return times;
}

namespace {
Task<void> no_api(io::HttpExchange& exchange) {
  io::Headers headers;
  io::Slices body;
  (void)co_await exchange.send(404, std::move(headers), std::move(body));
}
}  // namespace

PeerServer::PeerServer(Harness& harness, const Context& context, Transport& transport, const PeerIdentity& identity,
                       std::uint16_t port)
    : harness_(harness) {
  io::TlsServerOptions tls;
  tls.certificate_pem = identity.certificate_pem;  // of the API, which nobody calls here
  tls.key_pem = identity.key_pem;
  tls.alpn = {"h2", "http/1.1"};
  tls_ = std::move(*io::TlsServer::create(context, std::move(tls)));
  ASSERT(tls_->set_realm(transport.realm()));
  auto listener = io::listen_tcp(context, io::Endpoint{"127.0.0.1", port});
  for (int i = 0; i < 1000 && !listener; ++i) {
    harness_.run_for(5ms);
    listener = io::listen_tcp(context, io::Endpoint{"127.0.0.1", port});
  }
  ASSERT(listener);
  port_ = (*listener)->local().port;
  http_ = io::HttpServer::create(context, std::move(*listener), tls_.get(), io::HttpLimits(), no_api);
  http_->serve_realm(peer_limits(), transport.http_handler());
  scope_.spawn(http_->run(stop_.token(), 0ms));
  scope_.spawn(transport.run(stop_.token()));
}

PeerServer::~PeerServer() { stop(); }

void PeerServer::stop() {
  stop_.stop();
  (void)harness_.wait(scope_.join());
  http_.reset();
}

TransportOptions transport_options(const PeerCa& ca, const PeerIdentity& identity, TransportTimes times) {
  TransportOptions options;
  options.self = identity.id;
  options.cluster = kTestCluster;
  options.certificate_pem = identity.certificate_pem;
  options.key_pem = identity.key_pem;
  options.ca_pem = ca.pem();
  options.append_bytes = 4 * 1024 * 1024;
  options.message_bytes = 256 * 1024;
  options.wire.message_bytes = 2 * 1024 * 1024;
  options.times = times;
  return options;
}

TestMember::TestMember(Harness& harness, const PeerCa& ca, PeerIdentity identity, TransportTimes times)
    : identity(std::move(identity)), harness_(harness), ca_(ca), times_(times) {}

TestMember::~TestMember() { stop(); }

void TestMember::start() {
  ASSERT(!server_);
  Transport::Events events;
  events.message = [this](raft::Message message) { received.push_back(std::move(message)); };
  events.unreachable = [this](raft::NodeId id) { unreachable.push_back(id); };
  events.refused = [this](raft::NodeId id) { refused.push_back(id); };
  const Context outer = harness_.context();
  const Context context{outer.loop, outer.clock, outer.random, log, outer.metrics};
  TransportOptions options = transport_options(ca_, identity, times_);
  options.addresses = stated;
  transport_ = Transport::create(context, codec_, std::move(options), std::move(events));
  if (on_create) on_create(*transport_);
  server_ = std::make_unique<PeerServer>(harness_, context, *transport_, identity);
  port_ = server_->port();
}

void TestMember::stop() {
  if (!server_) return;
  server_.reset();
  transport_.reset();
}

PeerInfo TestMember::info() const {
  PeerInfo info;
  info.id = identity.id;
  info.name = cat("m", identity.id % 1000);
  info.addresses = {cat("127.0.0.1:", port_)};
  info.key = identity.key;
  return info;
}

std::vector<std::uint64_t> TestMember::heartbeats_from(raft::NodeId from) const {
  std::vector<std::uint64_t> rounds;
  for (const raft::Message& message : received) {
    const auto* beat = std::get_if<raft::Heartbeat>(&message.body);
    if (message.from == from && beat != nullptr) rounds.push_back(beat->read_round);
  }
  return rounds;
}

std::vector<std::uint64_t> TestMember::appends_from(raft::NodeId from) const {
  std::vector<std::uint64_t> indexes;
  for (const raft::Message& message : received) {
    const auto* append = std::get_if<raft::AppendEntries>(&message.body);
    if (message.from == from && append != nullptr) indexes.push_back(append->entries.at(0).index);
  }
  return indexes;
}

void introduce(const std::vector<TestMember*>& members) {
  std::vector<PeerInfo> peers;
  for (const TestMember* member : members) peers.push_back(member->info());
  for (TestMember* member : members) {
    if (member->is_up()) member->transport().set_peers(peers);
  }
}

raft::Message heartbeat(raft::NodeId from, raft::NodeId to, std::uint64_t round) {
  raft::Heartbeat body;
  body.read_round = round;
  return raft::Message{from, to, 1, body};
}

raft::Message append(raft::NodeId from, raft::NodeId to, raft::LogIndex index, std::size_t bytes) {
  raft::AppendEntries body;
  raft::Entry entry;
  entry.index = index;
  entry.term = 1;
  entry.payload = std::make_shared<Blob>(std::string(bytes, 'x'));
  body.entries.push_back(std::move(entry));
  return raft::Message{from, to, 1, std::move(body)};
}

bool eventually(Harness& harness, const std::function<bool()>& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) harness.run_for(5ms);
  return condition();
}

// ---- calls by hand

namespace {

Task<void> run_client(io::Http2Client& client, StopToken stop) { (void)co_await client.run(stop); }

Task<std::string> make_call(io::Http2Client& client, io::GrpcRequest request, std::string bytes) {
  auto call = co_await io::GrpcClientCall::open(client, std::move(request));
  if (!call) co_return says(call);
  io::Slices data(1, io::Slice::of(std::move(bytes)));
  Result<void> sent = co_await (*call)->send_framed(std::move(data));
  if (sent) sent = co_await (*call)->finish_sending();
  while (true) {
    const auto message = co_await (*call)->receive();
    if (!message) co_return message.error().message();
    if (!*message) co_return "ok";
  }
}

}  // namespace

RawPeer::RawPeer(Harness& harness, const PeerCa& ca, const PeerIdentity& identity, const TestMember& to)
    : harness_(harness) {
  PeerDial dial;
  dial.address = cat("127.0.0.1:", to.port());
  dial.ca_pem = ca.pem();
  dial.certificate_pem = identity.certificate_pem;
  dial.key_pem = identity.key_pem;
  auto connection = harness.wait(dial_peer(harness.context(), std::move(dial), StopToken()));
  dialled_ = says(connection);
  if (!connection) return;
  if (connection->key != to.identity.key) dialled_ = "another key";
  client_ = std::move(connection->client);
  scope_.spawn(run_client(*client_, stop_.token()));
}

RawPeer::~RawPeer() {
  stop_.stop();
  (void)harness_.wait(scope_.join());
}

std::string RawPeer::call(std::string_view method, io::Headers metadata, std::string bytes) {
  io::GrpcRequest request;
  request.authority = std::string(kPeerServerName);
  request.method = std::string(method);
  request.metadata = std::move(metadata);
  request.timeout = 10s;
  return harness_.wait(make_call(*client_, std::move(request), std::move(bytes)));
}

io::Headers names(std::uint64_t cluster, raft::NodeId from, raft::NodeId to) {
  io::Headers metadata;
  metadata.add(kClusterField, member_id_text(cluster));
  metadata.add(kFromField, member_id_text(from));
  metadata.add(kToField, member_id_text(to));
  return metadata;
}

}  // namespace kayak::store::test
