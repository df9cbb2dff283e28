// witness.cc: `kayak server --witness`: the third vote of two servers. No store, no API, no node: a Raft core that
// votes, one file (store/witness_file.h), and the peers' realm of the API port. Its key is made here and never leaves;
// a witness is trusted with a vote and with no CA's key. Its vote counts as long as it remembers it: a state that is
// lost or damaged ends the start, and it comes back as another member.

#include "base/files.h"
#include "base/strings.h"
#include "cli/cluster.h"
#include "cli/host.h"
#include "cli/join.h"
#include "cli/join_client.h"
#include "cli/pki.h"
#include "cli/process.h"
#include "cli/until_signal.h"
#include "io/http.h"
#include "io/tls.h"
#include "store/group_members.h"
#include "store/kept_members.h"
#include "store/witness_node.h"

namespace kayak::cli {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;
// What is said to a witness is small.
constexpr std::size_t kMaxMessageBytes = 256 * 1024;

Error no_memory(const std::string& server_dir, store::raft::NodeId id, std::string_view what) {
  return Error(Code::kCorrupt,
               cat(what, ". A witness that does not know how it voted must not vote again: run `kayak member remove ",
                   id == store::raft::kNobody ? "<its name>" : store::member_id_text(id), "` on a server, move ",
                   server_dir, " away, and start again to join as another member"));
}

struct Prepared {
  store::WitnessState state;
  std::string key_pem;
  std::string peer_ca_pem, certificate_pem;  // empty: it has not joined yet
  store::MemberList members;
  bool joined() const { return !certificate_pem.empty() && !peer_ca_pem.empty() && !members.members.empty(); }
};

std::string read_or_empty(const std::string& path) {
  Result<std::string> text = read_file(path, kMaxPemBytes);
  return text ? std::move(*text) : std::string();
}

// The state first, then the key: a key without a state has lost it.
Result<void> make_identity(Random& random, const std::string& server_dir, Prepared* prepared) {
  Result<std::string> key = io::generate_key_pem(random);
  if (!key) return key.error();
  Result<std::string> public_key = io::public_key_of(random, *key);
  if (!public_key) return public_key.error();
  prepared->state = store::WitnessState();
  prepared->state.self = store::member_id(hex_encode(io::sha256(*public_key)));
  if (auto written = store::write_witness_state(server_dir + "/witness/state", prepared->state); !written)
    return written;
  if (auto written = write_file_atomic(server_dir + "/tls/peer.key", *key, 0600); !written) return written;
  prepared->key_pem = std::move(*key);
  return Result<void>();
}

Result<void> load_identity(Random& random, const std::string& server_dir, Prepared* prepared) {
  const std::string path = server_dir + "/witness/state";
  Result<std::string> key = read_file(server_dir + "/tls/peer.key", kMaxPemBytes);
  if (!key && key.error().code() == Code::kNotFound) return make_identity(random, server_dir, prepared);
  if (!key) return key.error();
  Result<std::string> public_key = io::public_key_of(random, *key);
  if (!public_key) return no_memory(server_dir, store::raft::kNobody, server_dir + "/tls/peer.key is damaged");
  const store::raft::NodeId id = store::member_id(hex_encode(io::sha256(*public_key)));
  Result<store::WitnessState> state = store::read_witness_state(path);
  if (!state && state.error().code() == Code::kNotFound) return no_memory(server_dir, id, path + " is missing");
  if (!state && state.error().code() == Code::kCorrupt) return no_memory(server_dir, id, state.error().message());
  if (!state) return state.error();
  if (state->self != id) return no_memory(server_dir, id, cat(path, " is of another key than tls/peer.key"));
  if (state->lost)
    return no_memory(server_dir, id, path + " is older than what this witness has said: its disk went back");
  // What the life before renamed, and perhaps did not live to flush, is spoken of from now on.
  if (auto synced = sync_folder_of(path); !synced) return synced;
  prepared->state = std::move(*state);
  prepared->key_pem = std::move(*key);
  return Result<void>();
}

Result<Prepared> prepare(Random& random, const std::string& data_dir) {
  const std::string server_dir = data_dir + "/server";
  if (file_exists(server_dir + "/db/state.db")) {
    return Error(Code::kConflict, cat(data_dir, " is the data directory of a server: a witness needs one of its own"));
  }
  if (auto made = make_directories(data_dir, 0711); !made) return made.error();
  for (const char* folder : {"", "/db", "/tls", "/witness"}) {
    if (auto made = make_private_directories(server_dir + folder); !made) return made.error();
  }
  Prepared prepared;
  if (auto loaded = load_identity(random, server_dir, &prepared); !loaded) return loaded.error();
  prepared.peer_ca_pem = read_or_empty(server_dir + "/tls/peer-ca.crt");
  prepared.certificate_pem = read_or_empty(server_dir + "/tls/peer.crt");
  Result<store::MemberList> members = store::read_member_list(server_dir + "/db/members.json");
  // A damaged list is asked for again.
  if (members) prepared.members = std::move(*members);
  return prepared;
}

Task<void> serve_nothing(io::HttpExchange& exchange) {
  io::Headers headers;
  headers.add("content-type", "text/plain; charset=utf-8");
  io::Slices body;
  body.push_back(io::Slice::of("this is a witness: it serves no API\n"));
  (void)co_await exchange.send(404, std::move(headers), std::move(body));
}

class Witness {
 public:
  Witness(Context context, const ServerOptions& options)
      : context_(std::move(context)), options_(options), server_dir_(options.data_dir + "/server") {
    if (options_.node_name.empty()) options_.node_name = host_name();
  }

  Task<Result<void>> run() {
    auto serves = [this](StopToken stop) { return serve(std::move(stop)); };
    co_return co_await run_until_signal(context_, serves);
  }

 private:
  Task<Result<void>> serve(StopToken stop) {
    Random& random = context_.random;
    auto work = [&random, data_dir = options_.data_dir] { return prepare(random, data_dir); };
    Result<Prepared> prepared = co_await context_.loop.offload(std::move(work));
    if (!prepared) co_return prepared.error();
    prepared_ = std::move(*prepared);
    if (!prepared_.joined()) {
      Result<void> joined = co_await join(stop);
      if (!joined) co_return joined.error().while_doing(cat("joining ", options_.server));
    }
    Result<store::MemberRecord> self = member_of(
        options_, prepared_.certificate_pem, choose_addresses(options_).advertise, store::MemberRecord::Role::kWitness);
    if (!self) co_return self.error();
    if (self->id != prepared_.state.self) {
      co_return no_memory(server_dir_, prepared_.state.self, server_dir_ + "/tls/peer.crt is not of tls/peer.key");
    }
    self_ = std::move(*self);
    co_return co_await take_part(stop);
  }

  // Asks for a certificate, and who the members are.
  Task<Result<void>> join(StopToken stop) {
    Result<std::string> text = given_token(options_);
    if (!text) co_return text.error();
    if (text->empty()) co_return Error(Code::kInvalid, "--server needs --token or --token-file");
    Result<Token> token = parse_token(*text);
    if (!token) co_return token.error();
    Result<std::string> request = io::make_certificate_request(context_.random, "kayak-peer", prepared_.key_pem);
    if (!request) co_return request.error();
    JoinTarget target;
    target.server = options_.server;
    target.token = std::move(*token);
    target.name = options_.node_name;
    target.witness = true;
    target.certificate_request = std::move(*request);
    Result<JoinBundle> joined = co_await fetch_until_answered(context_, target, stop);
    if (!joined) co_return joined.error();
    Random& random = context_.random;
    const JoinBundle bundle = std::move(*joined);
    auto write = [&random, server_dir = server_dir_, bundle] { return store_bundle(random, server_dir, bundle); };
    Result<void> stored = co_await context_.loop.offload(std::move(write));
    if (!stored) co_return stored;
    prepared_.peer_ca_pem = bundle.files.at("peer-ca.crt");
    prepared_.certificate_pem = bundle.files.at("peer.crt");
    prepared_.members = bundle.members;
    co_return Result<void>();
  }

  Task<Result<void>> take_part(StopToken stop) {
    store::TransportOptions options;
    options.self = self_.id;
    options.addresses = self_.addresses;
    options.cluster = store::parse_member_id(prepared_.members.cluster);
    options.certificate_pem = prepared_.certificate_pem;
    options.key_pem = prepared_.key_pem;
    options.ca_pem = prepared_.peer_ca_pem;
    options.wire.message_bytes = kMaxMessageBytes;
    store::Transport::Events events;
    events.message = [this](store::raft::Message message) { node_->receive(std::move(message)); };
    events.unreachable = [](store::raft::NodeId) {};
    transport_ = store::Transport::create(context_, store::no_payloads(), std::move(options), std::move(events));
    transport_->set_peers(store::peers_of(prepared_.members));
    const auto in_force = [this](const store::MemberList& list) { transport_->set_peers(store::peers_of(list)); };
    kept_ = std::make_unique<store::KeptMembers>(context_.loop, server_dir_ + "/db/members.json", prepared_.members,
                                                 in_force);
    const auto members = [this](io::GrpcCall& call) { return take_members(call); };
    transport_->router().add("kayak.Peer", "Members", members);

    store::WitnessNode::Options node_options;
    node_options.path = server_dir_ + "/witness/state";
    node_options.state = prepared_.state;
    node_options.send = [this](store::raft::Message message) { transport_->send(std::move(message)); };
    node_ = std::make_unique<store::WitnessNode>(context_.named("witness"), std::move(node_options));

    io::TlsServerOptions tls_options;
    tls_options.certificate_pem = prepared_.certificate_pem;
    tls_options.key_pem = prepared_.key_pem;
    tls_options.alpn = {"http/1.1"};
    Result<std::unique_ptr<io::TlsServer>> tls = io::TlsServer::create(context_.named("tls"), std::move(tls_options));
    if (!tls) co_return tls.error().while_doing("preparing TLS");
    if (auto set = (*tls)->set_realm(transport_->realm()); !set) co_return set.error().while_doing("preparing TLS");
    io::Endpoint endpoint;
    endpoint.ip = options_.bind_address;
    endpoint.port = options_.https_listen_port;
    Result<std::unique_ptr<io::Listener>> listener = io::listen_tcp(context_, endpoint);
    if (!listener) co_return listener.error();
    std::unique_ptr<io::HttpServer> http = io::HttpServer::create(context_.named("http"), std::move(*listener),
                                                                  tls->get(), io::HttpLimits(), serve_nothing);
    http->serve_realm(store::peer_limits(), transport_->http_handler());
    io::TaskScope scope(stop);
    scope.spawn(http->run(scope.token()));
    scope.spawn(transport_->run(scope.token()));
    scope.spawn(vote(scope.token()));
    scope.spawn(introduce(scope.token()));
    co_return co_await scope.join();
  }

  Task<Result<void>> vote(StopToken stop) {
    Result<void> voted = co_await node_->run(stop);
    if (voted || voted.error().code() != Code::kCorrupt) co_return voted;
    co_return no_memory(server_dir_, self_.id, voted.error().message());
  }

  // Tells the group where this witness is, at every start; the first time that takes it in.
  Task<Result<void>> introduce(StopToken stop) {
    store::Announcement announcement = announcement_of(self_, prepared_.members, options_.server);
    announcement.certificate_pem = prepared_.certificate_pem;
    announcement.key_pem = prepared_.key_pem;
    announcement.ca_pem = prepared_.peer_ca_pem;
    Result<store::MemberList> list = co_await store::announce(context_.named("join"), std::move(announcement), stop);
    if (!list) co_return list.error().code() == Code::kCancelled ? Result<void>() : Result<void>(list.error());
    context_.log.info("the witness takes part",
                      {{"cluster", list->cluster}, {"member", store::member_id_text(self_.id)}});
    // Of a server that does not lead it may be older than what the leader has said; a leader will say it again.
    const Result<void> kept = co_await kept_->take(std::move(*list));
    if (!kept && kept.error().code() != Code::kConflict) {
      context_.log.warn("members.json could not be written", {{"error", kept.error().message()}});
    }
    co_return Result<void>();
  }

  // The leader says who the members are: a witness has no log to read it from.
  Task<io::GrpcStatus> take_members(io::GrpcCall& call) {
    using Grpc = io::GrpcStatus::Code;
    Result<std::optional<std::string>> bytes = co_await call.read(call.gone());
    if (!bytes || !*bytes) co_return io::GrpcStatus{Grpc::kInvalidArgument, "the request has no message"};
    Result<store::PeerChanged> message = store::decode_peer_changed(**bytes);
    const bool good = message && !message->error && message->members.cluster == prepared_.members.cluster;
    if (!good) co_return io::GrpcStatus{Grpc::kInvalidArgument, "that is no list of this cluster's members"};
    store::PeerChanged answer;
    answer.members = message->members;
    const Result<void> kept = co_await kept_->take(std::move(message->members));
    if (!kept) answer.error = kept.error();
    std::string out = store::encode_peer_changed(answer);
    const Result<void> written = co_await call.write(std::move(out));
    if (!written) co_return io::GrpcStatus{Grpc::kUnavailable, written.error().message()};
    co_return io::GrpcStatus();
  }

  Context context_;
  ServerOptions options_;
  const std::string server_dir_;
  Prepared prepared_;
  store::MemberRecord self_;
  std::unique_ptr<store::Transport> transport_;
  std::unique_ptr<store::WitnessNode> node_;
  std::unique_ptr<store::KeptMembers> kept_;
};

}  // namespace

int run_witness(const ServerOptions& options) {
  return run_service("witness", options, [&options](const Context& context) {
    Witness witness(context, options);
    return context.loop.run(witness.run());
  });
}

}  // namespace kayak::cli
