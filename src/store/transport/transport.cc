// transport.cc: who may come in, what they may say, and the links to all of them.
#include "store/transport/transport.h"

#include <algorithm>
#include <list>
#include <map>
#include <set>

#include "base/protobuf_wire.h"
#include "base/strings.h"
#include "store/transport/peer_link.h"

namespace kayak::store {

namespace {

using Grpc = io::GrpcStatus::Code;
using raft::NodeId;

constexpr std::size_t kMaxRequestBytes = 2 * 1024 * 1024;  // of the services' methods that say nothing else
constexpr std::size_t kMaxConnections = 64;
// A member that reconnects has the old calls and the new ones for a while, in two lanes.
constexpr std::size_t kMaxCallsOfMember = 4;
// A receiver of a snapshot that takes nothing for so long is given up; its disk may be slow, so not too soon.
constexpr Duration kSlowestReader = std::chrono::seconds(60);

io::GrpcStatus status_of(const Error& error) {
  if (error.code() == Code::kNotFound) return io::GrpcStatus{Grpc::kNotFound, error.message()};
  if (error.code() == Code::kCorrupt) return io::GrpcStatus{Grpc::kDataLoss, error.message()};
  return io::GrpcStatus{Grpc::kUnavailable, error.message()};
}

class TransportImpl final : public Transport {
 public:
  TransportImpl(Context context, const raft::PayloadCodec& payloads, TransportOptions options, Events events)
      : settings_{context.named("peers"), payloads, std::move(options), nullptr, nullptr},
        events_(std::move(events)),
        router_(kMaxRequestBytes),
        alive_(std::make_shared<bool>(true)) {
    settings_.unreachable = [this](NodeId id) { post_unreachable(id); };
    settings_.refused = [this](NodeId id) { post_refused(id); };
    router_.set_gate(
        [this](const io::HttpRequest& request, std::string_view method) { return admit(request, method); });
    add(kMessagesMethod, &TransportImpl::receive_messages, settings_.options.wire.message_bytes);
    add(kSnapshotMethod, &TransportImpl::send_snapshot, 0);
  }
  ~TransportImpl() override {
    *alive_ = false;
    ASSERT(calls_.empty());
  }

  void set_peers(std::vector<PeerInfo> peers) override;
  void heard_at(NodeId id, const std::vector<std::string>& addresses) override {
    if (const auto link = links_.find(id); link != links_.end()) link->second->heard_at(addresses);
  }
  std::vector<std::string> addresses_of(NodeId id) const override {
    const auto link = links_.find(id);
    return link == links_.end() ? std::vector<std::string>() : link->second->addresses();
  }
  void replace_certificate(std::string certificate_pem, std::string key_pem) override {
    settings_.options.certificate_pem = std::move(certificate_pem);
    settings_.options.key_pem = std::move(key_pem);
  }
  void send(raft::Message message) override {
    const auto link = links_.find(message.to);
    if (link == links_.end()) return post_unreachable(message.to);
    link->second->send(std::move(message));
  }
  io::GrpcRouter& router() override { return router_; }
  void open_to_strangers(std::string method) override { open_methods_.insert(std::move(method)); }
  std::optional<NodeId> caller(const io::HttpRequest& request) const override;
  Task<Result<std::shared_ptr<io::Http2Client>>> client(NodeId to, StopToken stop) override;
  io::GrpcRequest request(NodeId to, std::string_view method) const override {
    return peer_request(settings_.options, to, method);
  }
  void serve_snapshots(PeerSnapshotSource source) override { snapshots_ = std::move(source); }
  Task<Result<void>> fetch_snapshot(NodeId from, raft::SnapshotId id, PeerSnapshotSink sink, StopToken stop) override;
  io::HttpHandler http_handler() override {
    return [this](io::HttpExchange& exchange) { return router_.serve(exchange); };
  }
  io::TlsRealm realm() const override {
    const TransportOptions& options = settings_.options;
    return io::TlsRealm{std::string(kPeerServerName),
                        options.certificate_pem,
                        options.key_pem,
                        options.ca_pem,
                        {std::string(kPeerProtocol)}};
  }
  Task<Result<void>> run(StopToken stop) override;

 private:
  // A call of a member, that ends when it is a member no more or makes too many.
  struct MemberCall {
    NodeId member;
    std::string_view method;
    io::StopSource stop;
  };
  using MemberCalls = std::list<MemberCall>;
  using Method = Task<io::GrpcStatus> (TransportImpl::*)(io::GrpcCall& call);

  void add(std::string_view path, Method method, std::size_t max_message_bytes) {
    const std::size_t slash = path.rfind('/');
    auto handler = [this, method](io::GrpcCall& call) { return (this->*method)(call); };
    router_.add(path.substr(1, slash - 1), path.substr(slash + 1), handler, max_message_bytes);
  }
  void post_unreachable(NodeId id);
  void post_refused(NodeId id);
  void start(const std::shared_ptr<PeerLink>& link) {
    if (scope_ != nullptr) scope_->spawn(run_link(link, scope_->token()));
  }
  static Task<void> run_link(std::shared_ptr<PeerLink> link, StopToken stop) { co_await link->run(stop); }
  static std::vector<std::string> stated_addresses(const io::HttpRequest& request);
  void end_calls_of(NodeId member);
  void prefer_members() const;
  io::GrpcStatus admit(const io::HttpRequest& request, std::string_view method) const;
  io::GrpcStatus check_names(const io::HttpRequest& request, NodeId* from) const;
  io::GrpcStatus check_message(const raft::Message& message, NodeId from) const;
  MemberCalls::iterator begin_call(NodeId member, std::string_view method, StopToken gone);
  void log_refusal(const io::HttpRequest& request, const io::GrpcStatus& status);
  Task<io::GrpcStatus> receive_messages(io::GrpcCall& call);
  Task<io::GrpcStatus> receive_all(io::GrpcCall& call, NodeId from, StopToken stop);
  Task<io::GrpcStatus> send_snapshot(io::GrpcCall& call);
  Task<Result<void>> pull(io::GrpcClientCall& call, raft::SnapshotId id, const PeerSnapshotSink& sink);

  LinkSettings settings_;
  Events events_;
  io::GrpcRouter router_;
  std::set<std::string, std::less<>> open_methods_;
  PeerSnapshotSource snapshots_;
  std::map<NodeId, std::shared_ptr<PeerLink>> links_;
  std::map<std::string, NodeId, std::less<>> by_key_;
  std::map<NodeId, std::string> seen_at_;  // the numeric address that a member called from last
  MemberCalls calls_;
  io::TaskScope* scope_ = nullptr;  // of run()
  std::shared_ptr<bool> alive_;     // for what was posted
  std::string last_refusal_;        // who is refused tries again and again: one line is enough
};

// ---- members

void TransportImpl::set_peers(std::vector<PeerInfo> peers) {
  std::map<NodeId, std::shared_ptr<PeerLink>> before = std::exchange(links_, {});
  by_key_.clear();
  for (PeerInfo& peer : peers) {
    if (peer.id == settings_.options.self) continue;
    peer.key = to_lower(peer.key);
    by_key_[peer.key] = peer.id;
    const auto known = before.find(peer.id);
    if (known != before.end() && known->second->peer().key == peer.key) {
      known->second->update(std::move(peer));
      links_[known->first] = known->second;
      before.erase(known);
      continue;
    }
    const NodeId id = peer.id;
    links_[id] = std::make_shared<PeerLink>(settings_, std::move(peer));
    start(links_[id]);
  }
  for (const auto& [id, link] : before) {
    link->close();
    end_calls_of(id);
    seen_at_.erase(id);
  }
  prefer_members();
}

void TransportImpl::prefer_members() const {
  std::vector<std::string> addresses;
  for (const auto& [id, link] : links_) {
    for (const std::string& address : link->peer().addresses) {
      const Result<HostPort> place = parse_host_port(address);
      if (place) addresses.push_back(place->host);  // names among them do no harm
    }
  }
  for (const auto& [id, address] : seen_at_) addresses.push_back(address);
  io::prefer_handshakes(settings_.context.loop, addresses);
}

// What a caller says of where it is; nothing when that is no list of addresses.
std::vector<std::string> TransportImpl::stated_addresses(const io::HttpRequest& request) {
  std::vector<std::string> addresses;
  const std::string_view stated = request.headers.get(kAtField);
  if (stated.empty()) return addresses;
  for (const std::string_view address : split(stated, ',')) {
    if (addresses.size() == MemberLimits::kAddresses || !parse_host_port(address)) return {};
    addresses.emplace_back(address);
  }
  return addresses;
}

void TransportImpl::end_calls_of(NodeId member) {
  for (MemberCall& call : calls_) {
    if (call.member == member) call.stop.stop();
  }
}

void TransportImpl::post_unreachable(NodeId id) {
  settings_.context.loop.post([this, id, alive = alive_] {
    if (*alive) events_.unreachable(id);
  });
}

void TransportImpl::post_refused(NodeId id) {
  if (!events_.refused) return;
  settings_.context.loop.post([this, id, alive = alive_] {
    if (*alive) events_.refused(id);
  });
}

Task<Result<void>> TransportImpl::run(StopToken stop) {
  io::TaskScope scope(stop);
  scope_ = &scope;
  for (const auto& [id, link] : links_) start(link);
  io::Event never;
  (void)co_await never.wait(stop);
  scope_ = nullptr;
  for (const auto& [id, link] : links_) link->close();
  co_return co_await scope.join();
}

Task<Result<std::shared_ptr<io::Http2Client>>> TransportImpl::client(NodeId to, StopToken stop) {
  const auto found = links_.find(to);
  if (found == links_.end()) co_return Error(Code::kNotFound, cat("no member ", member_id_text(to)));
  const std::shared_ptr<PeerLink> link = found->second;  // set_peers may let go of it
  co_return co_await link->client(std::move(stop));
}

// ---- who comes in

std::optional<NodeId> TransportImpl::caller(const io::HttpRequest& request) const {
  if (request.peer.realm != kPeerServerName || !request.peer.certificate) return std::nullopt;
  const auto found = by_key_.find(request.peer.certificate->public_key_sha256);
  if (found == by_key_.end()) return std::nullopt;
  return found->second;
}

io::GrpcStatus TransportImpl::admit(const io::HttpRequest& request, std::string_view method) const {
  if (request.peer.realm != kPeerServerName || !request.peer.certificate) {
    return io::GrpcStatus{Grpc::kUnauthenticated, "servers alone may call this"};
  }
  if (open_methods_.count(method) > 0) return io::GrpcStatus();
  if (const std::optional<NodeId> member = caller(request)) {
    const auto link = links_.find(*member);
    if (method == kMessagesMethod || link == links_.end() || !link->second->peer().witness) return io::GrpcStatus();
    return io::GrpcStatus{Grpc::kPermissionDenied, "a witness is given no data"};
  }
  return io::GrpcStatus{Grpc::kPermissionDenied, cat("the key ", request.peer.certificate->public_key_sha256,
                                                     " is not that of a member of this group")};
}

// Whether the call is of this group, from whom it says and for this server.
io::GrpcStatus TransportImpl::check_names(const io::HttpRequest& request, NodeId* from) const {
  const auto named = [&request](std::string_view field) { return parse_member_id(request.headers.get(field)); };
  const std::uint64_t cluster = named(kClusterField), says = named(kFromField), to = named(kToField);
  if (cluster == 0 || says == raft::kNobody || to == raft::kNobody) {
    return io::GrpcStatus{Grpc::kInvalidArgument, "the call does not say from whom it is for whom"};
  }
  if (cluster != settings_.options.cluster) {
    return io::GrpcStatus{Grpc::kFailedPrecondition, cat("the call is from cluster ", member_id_text(cluster),
                                                         ", this is ", member_id_text(settings_.options.cluster))};
  }
  const auto member = caller(request);
  if (!member || *member != says) {
    return io::GrpcStatus{Grpc::kPermissionDenied,
                          cat("the caller's key is not that of member ", member_id_text(says))};
  }
  if (to != settings_.options.self) {
    return io::GrpcStatus{Grpc::kFailedPrecondition, cat("the call is for member ", member_id_text(to), ", this is ",
                                                         member_id_text(settings_.options.self))};
  }
  *from = *member;
  return io::GrpcStatus();
}

TransportImpl::MemberCalls::iterator TransportImpl::begin_call(NodeId member, std::string_view method, StopToken gone) {
  const auto of_member = [member, method](const MemberCall& call) {
    return call.member == member && call.method == method && !call.stop.stopped();
  };
  if (std::count_if(calls_.begin(), calls_.end(), of_member) >= static_cast<std::ptrdiff_t>(kMaxCallsOfMember)) {
    std::find_if(calls_.begin(), calls_.end(), of_member)->stop.stop();
  }
  return calls_.insert(calls_.end(), MemberCall{member, method, io::StopSource(gone)});
}

void TransportImpl::log_refusal(const io::HttpRequest& request, const io::GrpcStatus& status) {
  if (status.message == last_refusal_) return;
  last_refusal_ = status.message;
  settings_.context.log.warn("a member's messages are refused",
                             {{"peer", request.remote.to_string()}, {"error", status.message}});
}

// ---- messages

Task<io::GrpcStatus> TransportImpl::receive_messages(io::GrpcCall& call) {
  NodeId from = raft::kNobody;
  io::GrpcStatus status = check_names(call.request(), &from);
  if (status.code != Grpc::kOk) {
    log_refusal(call.request(), status);
    co_return status;
  }
  const auto place = begin_call(from, kMessagesMethod, call.gone());
  const StopToken stop = place->stop.token();
  const Result<void> opened = co_await call.open();
  const auto link = links_.find(from);
  if (link != links_.end()) {
    const std::vector<std::string> addresses = stated_addresses(call.request());
    if (!addresses.empty()) link->second->heard_at(addresses);
    link->second->peer_is_up();
  }
  if (const std::string& address = call.request().remote.ip; link != links_.end() && seen_at_[from] != address) {
    seen_at_[from] = address;
    prefer_members();
  }
  if (opened) status = co_await receive_all(call, from, stop);
  calls_.erase(place);
  if (status.code == Grpc::kInvalidArgument || status.code == Grpc::kPermissionDenied) {
    log_refusal(call.request(), status);
  }
  co_return status;
}

Task<io::GrpcStatus> TransportImpl::receive_all(io::GrpcCall& call, NodeId from, StopToken stop) {
  while (true) {
    const auto bytes = co_await call.read(stop);
    if (!bytes) co_return io::GrpcStatus{Grpc::kUnavailable, "no more messages are taken"};
    if (!*bytes) co_return io::GrpcStatus();
    if (stop.stopped()) co_return io::GrpcStatus{Grpc::kUnavailable, "no more messages are taken"};
    auto message = raft::decode(**bytes, settings_.payloads, settings_.options.wire);
    if (!message) co_return io::GrpcStatus{Grpc::kInvalidArgument, message.error().message()};
    io::GrpcStatus fine = check_message(*message, from);
    if (fine.code != Grpc::kOk) co_return fine;
    events_.message(std::move(*message));
  }
}

io::GrpcStatus TransportImpl::check_message(const raft::Message& message, NodeId from) const {
  if (message.from != from) {
    return io::GrpcStatus{Grpc::kPermissionDenied,
                          cat("a message from ", member_id_text(message.from), " in a call of ", member_id_text(from))};
  }
  if (message.to != settings_.options.self) {
    return io::GrpcStatus{Grpc::kInvalidArgument, cat("a message for ", member_id_text(message.to))};
  }
  const auto link = links_.find(from);
  if (link != links_.end() && link->second->peer().witness && !raft::witness_sends(message.body)) {
    return io::GrpcStatus{Grpc::kPermissionDenied,
                          cat("a witness votes: what member ", member_id_text(from), " says is not for it to say")};
  }
  return io::GrpcStatus();
}

// ---- snapshots. The request is { id = 1 }, each message of the answer a slice.

Task<io::GrpcStatus> TransportImpl::send_snapshot(io::GrpcCall& call) {
  NodeId to = raft::kNobody;
  const io::GrpcStatus named = check_names(call.request(), &to);
  if (named.code != Grpc::kOk) co_return named;
  const auto request = co_await call.read(call.gone());
  if (!request || !*request) co_return io::GrpcStatus{Grpc::kInvalidArgument, "which snapshot is not said"};
  ProtobufReader fields(**request);
  raft::SnapshotId id = 0;
  while (!fields.at_end()) {
    if (!fields.next()) co_return io::GrpcStatus{Grpc::kInvalidArgument, "the request is malformed"};
    if (fields.field() == 1 && fields.type() == ProtobufType::kVarint) id = fields.number();
  }
  if (!snapshots_) co_return io::GrpcStatus{Grpc::kUnimplemented, "this server has no snapshots"};
  auto reader = snapshots_(to, id);
  if (!reader) co_return status_of(reader.error());
  const auto place = begin_call(to, kSnapshotMethod, call.gone());
  io::GrpcStatus status;
  while (true) {
    auto slice = co_await (*reader)->next();
    if (!slice) status = status_of(slice.error());
    if (!slice || !*slice) break;
    if (place->stop.stopped()) status = io::GrpcStatus{Grpc::kUnavailable, "the snapshot is broken off"};
    if (place->stop.stopped()) break;
    const Result<void> written = co_await call.write(std::move(**slice));
    if (!written) status = status_of(written.error());
    if (!written) break;
  }
  calls_.erase(place);
  co_return status;
}

Task<Result<void>> TransportImpl::fetch_snapshot(NodeId from, raft::SnapshotId id, PeerSnapshotSink sink,
                                                 StopToken stop) {
  auto connection = co_await client(from, stop);
  if (!connection) co_return connection.error();
  io::GrpcRequest wanted = request(from, kSnapshotMethod);
  auto call = co_await io::GrpcClientCall::open(**connection, std::move(wanted), stop);
  if (!call) co_return call.error();
  Result<void> pulled = co_await pull(**call, id, sink);
  call->reset();
  co_return pulled;
}

Task<Result<void>> TransportImpl::pull(io::GrpcClientCall& call, raft::SnapshotId id, const PeerSnapshotSink& sink) {
  std::string message;
  ProtobufWriter(&message).number(1, id);
  io::Slices data(1, io::Slice::of(std::move(message)));
  Result<void> sent = co_await call.send(std::move(data));
  // When the sender has refused already, what it says is the better reason.
  if (sent) (void)co_await call.finish_sending();
  while (true) {
    auto slice = co_await call.receive();
    if (!slice) co_return slice.error();
    if (!*slice) co_return Result<void>();
    auto taken = co_await sink(std::move(**slice));
    if (!taken) co_return taken;
  }
}

}  // namespace

io::HttpLimits peer_limits() {
  io::HttpLimits limits = io::grpc_limits();
  limits.max_connections = kMaxConnections;
  limits.write_timeout = kSlowestReader;
  return limits;
}

std::unique_ptr<Transport> Transport::create(Context context, const raft::PayloadCodec& payloads,
                                             TransportOptions options, Events events) {
  return std::make_unique<TransportImpl>(std::move(context), payloads, std::move(options), std::move(events));
}

}  // namespace kayak::store
