// support_transport.h: members of a group on loopback ports, all on one loop, with the certificates they need.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/tls.h"
#include "store/support_store.h"
#include "store/transport/dial.h"
#include "store/transport/transport.h"

namespace kayak::store::test {

// "ok" or "<code>: <message>".
std::string says(const Error& error);
template <typename T>
std::string says(const Result<T>& result) {
  return result ? "ok" : says(result.error());
}

// What an entry carries; counts the bytes of all that live.
struct Blob final : raft::Payload {
  explicit Blob(std::string text) : text(std::move(text)) { live += this->text.size(); }
  ~Blob() override { live -= text.size(); }
  std::size_t bytes() const override { return text.size(); }
  std::string text;
  static inline std::size_t live = 0;
};
struct BlobCodec final : raft::PayloadCodec {
  void encode(const raft::Payload& payload, std::string* out) const override {
    out->append(static_cast<const Blob&>(payload).text);
  }
  Result<raft::PayloadRef> decode(std::string_view bytes) const override {
    return raft::PayloadRef(std::make_shared<Blob>(std::string(bytes)));
  }
};

struct PeerIdentity {
  std::string certificate_pem, key_pem, key;
  raft::NodeId id = 0;
};
class PeerCa {
 public:
  PeerCa();
  PeerIdentity issue() const;
  const std::string& pem() const { return certificate_pem_; }

 private:
  mutable SystemRandom random_;
  std::string certificate_pem_, key_pem_;
};

constexpr std::uint64_t kTestCluster = 0x1234;

// Short times, so that tests end soon.
TransportTimes quick_times();
// As what a member's transport is made, with these.
TransportOptions transport_options(const PeerCa& ca, const PeerIdentity& identity,
                                   TransportTimes times = quick_times());

// A transport's side of a port: TLS and HTTP, and its run(). Until stop() or its end.
class PeerServer {
 public:
  // At `port`, or a free one (0). `transport` outlives it. The port may be taken for a moment by a connection that
  // ends: it is waited for.
  PeerServer(Harness& harness, const Context& context, Transport& transport, const PeerIdentity& identity,
             std::uint16_t port = 0);
  ~PeerServer();
  void stop();
  std::uint16_t port() const { return port_; }

 private:
  Harness& harness_;
  std::uint16_t port_ = 0;
  std::unique_ptr<io::TlsServer> tls_;
  std::unique_ptr<io::HttpServer> http_;
  io::StopSource stop_;
  io::TaskScope scope_;
};

// One server: transport, TLS and HTTP on a port of its own. Between start() and stop() it is up.
class TestMember {
 public:
  TestMember(Harness& harness, const PeerCa& ca, PeerIdentity identity, TransportTimes times = quick_times());
  ~TestMember();
  void start();
  void stop();
  bool is_up() const { return server_ != nullptr; }
  PeerInfo info() const;
  raft::NodeId id() const { return identity.id; }
  std::uint16_t port() const { return port_; }
  Transport& transport() { return *transport_; }
  // As they came: the read_round of heartbeats, the index of the first entry of appends.
  std::vector<std::uint64_t> heartbeats_from(raft::NodeId from) const;
  std::vector<std::uint64_t> appends_from(raft::NodeId from) const;

  PeerIdentity identity;
  std::vector<raft::Message> received;
  std::vector<raft::NodeId> unreachable, refused;
  std::function<void(Transport&)> on_create;  // for services
  std::vector<std::string> stated;            // where it says it is; empty: nothing of that
  Log log = Log::discard();

 private:
  Harness& harness_;
  const PeerCa& ca_;
  TransportTimes times_;
  BlobCodec codec_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<PeerServer> server_;
};

// Everyone knows everyone who is up; the others keep the address that they had.
void introduce(const std::vector<TestMember*>& members);

raft::Message heartbeat(raft::NodeId from, raft::NodeId to, std::uint64_t round);
raft::Message append(raft::NodeId from, raft::NodeId to, raft::LogIndex index, std::size_t bytes);

// Runs the loop until `condition` holds; false after ten seconds.
bool eventually(Harness& harness, const std::function<bool()>& condition);

// A connection to a member as `identity`, whose calls the test makes itself.
class RawPeer {
 public:
  RawPeer(Harness& harness, const PeerCa& ca, const PeerIdentity& identity, const TestMember& to);
  ~RawPeer();
  const std::string& dialled() const { return dialled_; }  // "ok" or why not
  bool usable() const { return client_ && client_->usable(); }
  // A call with these fields that sends `bytes` (framed by the caller) and waits for its end: "ok", or the error.
  std::string call(std::string_view method, io::Headers metadata, std::string bytes);

 private:
  Harness& harness_;
  std::string dialled_;
  std::unique_ptr<io::Http2Client> client_;
  io::StopSource stop_;
  io::TaskScope scope_;
};
// The metadata of a call.
io::Headers names(std::uint64_t cluster, raft::NodeId from, raft::NodeId to);

}  // namespace kayak::store::test
