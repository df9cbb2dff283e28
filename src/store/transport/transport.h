// transport.h: how the servers of one group talk: Raft messages, snapshots, and gRPC calls of the services above.
// A server dials every member that it has something for, at the API port, in the TLS realm kPeerServerName; what is
// spoken is HTTP/2 with gRPC. Each direction of a pair has a connection of its own, made by the side that sends.
// Both sides show a certificate of the peer CA, and are who they are by their key: the list of members says which keys
// may come in, and what each may say in whose name.
// Messages may be lost, doubled and overtake each other: the Raft core copes. Nothing polls, an idle pair is silent.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/grpc.h"
#include "io/grpc_server.h"
#include "io/http.h"
#include "io/loop.h"
#include "store/raft/wire.h"

namespace kayak::store {

constexpr std::string_view kPeerServerName = "peer.kayak.internal";  // for SNI; no DNS knows it
constexpr std::string_view kPeerProtocol = "kayak-peer";             // for ALPN

struct PeerInfo {
  raft::NodeId id = raft::kNobody;
  std::string name;
  std::vector<std::string> addresses;  // "host:port", tried in turn
  std::string key;                     // hex of SHA-256 over the SubjectPublicKeyInfo, lower case
  // Votes, and is trusted with no more: it is given no data, messages and what is open to strangers are all it may
  // call, and the messages are those that a witness sends.
  bool witness = false;
};
struct TransportTimes {
  Duration connect = std::chrono::seconds(3);  // for each address: its name, TCP and TLS
  // Between one round of addresses that failed and the next, doubling, of which up to a half is random.
  Duration shortest_pause = std::chrono::milliseconds(50), longest_pause = std::chrono::seconds(2);
  // A member that owes an answer and says nothing is asked (PING), and given up after the second of these.
  Duration silence = std::chrono::seconds(2), answer = std::chrono::seconds(3);
  Duration stall = std::chrono::seconds(5);  // a member that takes nothing
};

struct TransportOptions {
  raft::NodeId self = raft::kNobody;
  std::vector<std::string> addresses;  // of this server: said in every call, so that a member that knows others answers
  std::uint64_t cluster = 0;           // messages of another are refused
  std::string certificate_pem, key_pem, ca_pem;
  raft::WireLimits wire;
  // What may wait for one member: the first for appends, a single one may be larger; the second for all else.
  std::size_t append_bytes = 8 * 1024 * 1024, message_bytes = 512 * 1024;
  TransportTimes times;
};

// A state that lies ready at its sender, in slices (at most 3 MiB each). Destroyed when it was sent or the receiver is
// gone.
class PeerSnapshot {
 public:
  virtual ~PeerSnapshot() = default;
  // Nullopt at the end. Not called before the slice before it has left for the receiver.
  virtual Task<Result<std::optional<std::string>>> next() = 0;
};
// Errors: NotFound (no such snapshot).
using PeerSnapshotSource = std::function<Result<std::unique_ptr<PeerSnapshot>>(raft::NodeId to, raft::SnapshotId id)>;
// Takes one slice; the next one is not read before it has ended.
using PeerSnapshotSink = std::function<Task<Result<void>>(std::string slice)>;

class Transport {
 public:
  // Called on the loop, never from within a call of this class.
  struct Events {
    std::function<void(raft::Message)> message;     // from a member, to this server, in order of each sender's lane
    std::function<void(raft::NodeId)> unreachable;  // what was sent to it may be lost
    std::function<void(raft::NodeId)> refused{};    // it says that this server is no member; may be empty
  };
  // `payloads` outlives it, and it outlives the HttpServer that serves it.
  static std::unique_ptr<Transport> create(Context context, const raft::PayloadCodec& payloads,
                                           TransportOptions options, Events events);
  virtual ~Transport() = default;

  // The members; this server among them counts for nothing. Connections of those who are gone end, in both directions.
  virtual void set_peers(std::vector<PeerInfo> peers) = 0;
  // A member says itself that it is at these addresses: they are tried before those of set_peers(), which come from a
  // log that it may take an answer to go on with.
  virtual void heard_at(raft::NodeId id, const std::vector<std::string>& addresses) = 0;
  // Where a member is looked for, in this order; empty: it is none.
  virtual std::vector<std::string> addresses_of(raft::NodeId id) const = 0;
  // For connections made from now on; the server's own side is realm() again.
  virtual void replace_certificate(std::string certificate_pem, std::string key_pem) = 0;

  // Never waits. Dropped, with `unreachable`, when too much waits for the member already, or it cannot be reached.
  virtual void send(raft::Message message) = 0;

  // For the services that members may call; a method that is opened to strangers (holders of any certificate of the
  // peer CA) by its path as well, "/kayak.Peer/Join".
  virtual io::GrpcRouter& router() = 0;
  virtual void open_to_strangers(std::string method) = 0;
  // Which member makes a call; nullopt: a stranger.
  virtual std::optional<raft::NodeId> caller(const io::HttpRequest& request) const = 0;
  // The connection to a member, shared by all calls to it, made when there is none. It ends whenever it likes
  // (usable()). Errors: NotFound (no member), Unavailable (not reached, with the reason), Cancelled.
  virtual Task<Result<std::shared_ptr<io::Http2Client>>> client(raft::NodeId to, StopToken stop) = 0;
  // A call to a member with what all of them need; `method` as "/package.Service/Method".
  virtual io::GrpcRequest request(raft::NodeId to, std::string_view method) const = 0;

  virtual void serve_snapshots(PeerSnapshotSource source) = 0;
  // Pulls a snapshot off the member that has it. Errors: those of client() and of the sink, NotFound, Io (broken off).
  virtual Task<Result<void>> fetch_snapshot(raft::NodeId from, raft::SnapshotId id, PeerSnapshotSink sink,
                                            StopToken stop) = 0;

  // For HttpServer::serve_realm, with peer_limits(), and for TlsServer::set_realm.
  virtual io::HttpHandler http_handler() = 0;
  virtual io::TlsRealm realm() const = 0;
  // Dials and sends until `stop` fires. Once.
  virtual Task<Result<void>> run(StopToken stop) = 0;
};

io::HttpLimits peer_limits();

}  // namespace kayak::store
