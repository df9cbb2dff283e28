// fuzz-deps: kayak_store
// peer_call_fuzz.cc: what a member or a stranger sends to the transport, past HTTP/2: metadata (the first line) and the
// bytes of the call. What comes out is a status, and messages of the caller alone.
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/strings.h"
#include "io/loop.h"
#include "store/transport/dial.h"
#include "store/transport/peer_link.h"
#include "store/transport/transport.h"

namespace {

using namespace kayak;
using namespace kayak::store;

constexpr raft::NodeId kSelf = 1;
constexpr std::uint64_t kCluster = 7;

struct Text final : raft::Payload {
  std::string text;
  std::size_t bytes() const override { return text.size(); }
};
struct TextCodec final : raft::PayloadCodec {
  void encode(const raft::Payload& payload, std::string* out) const override {
    out->append(static_cast<const Text&>(payload).text);
  }
  Result<raft::PayloadRef> decode(std::string_view bytes) const override {
    auto text = std::make_shared<Text>();
    text->text = bytes;
    return raft::PayloadRef(std::move(text));
  }
};

// One call without a network, its body in pieces of 17 bytes.
class Call final : public io::HttpExchange, public io::HttpBody {
 public:
  Call(std::string_view path, std::string_view fields, std::string_view body) : body_(body) {
    request_.method = "POST";
    request_.path = path;
    request_.http2 = true;
    request_.headers.add("content-type", "application/grpc");
    for (const std::string_view field : split(fields, ';')) {
      const std::size_t equals = field.find('=');
      if (equals != field.npos) request_.headers.add(field.substr(0, equals), field.substr(equals + 1));
    }
    io::CertificateInfo info;
    info.public_key_sha256 = request_.headers.get("key");
    request_.peer.certificate = io::SharedCertificate(std::move(info));
    request_.peer.realm = kPeerServerName;
  }
  io::HttpBody& body() override { return *this; }
  Task<Result<std::string>> read(StopToken) override {
    std::string piece(body_.substr(0, 17));
    body_.remove_prefix(piece.size());
    co_return piece;
  }
  Task<Result<void>> send(int, io::Headers headers, io::Slices) override {
    co_return co_await finish_with(std::move(headers));  // gRPC's "Trailers-Only"
  }
  Task<Result<void>> start(int, io::Headers) override { co_return Result<void>(); }
  Task<Result<void>> write(io::Slices) override { co_return Result<void>(); }
  Task<Result<void>> finish() override { co_return Result<void>(); }
  Task<Result<void>> finish_with(io::Headers trailers) override {
    ASSERT(trailers.has("grpc-status"));
    ended = true;
    co_return Result<void>();
  }
  StopToken gone() const override { return StopToken(); }
  Task<Result<io::StreamPtr>> upgrade(io::Headers) override { co_return Error(Code::kBadRequest, "HTTP/2"); }
  bool ended = false;

 private:
  std::string_view body_;
};

struct World {
  io::Loop loop;
  SystemClock clock;
  SeededRandom random{1};
  Metrics metrics;
  TextCodec codec;
  PeerInfo member{2, "two", {}, std::string(64, '2')};
  std::unique_ptr<Transport> transport;
  World() {
    TransportOptions options;
    options.self = kSelf;
    options.cluster = kCluster;
    options.wire = raft::WireLimits{4096, 16, 8};
    Transport::Events events;
    events.message = [](raft::Message message) { ASSERT(message.from == 2 && message.to == kSelf); };
    events.unreachable = [](raft::NodeId) {};
    const Context context{loop, clock, random, Log::discard(), metrics};
    transport = Transport::create(context, codec, std::move(options), std::move(events));
    transport->set_peers({member});
    transport->serve_snapshots([](raft::NodeId to, raft::SnapshotId) -> Result<std::unique_ptr<PeerSnapshot>> {
      ASSERT(to == 2);
      return Error(Code::kNotFound, "none");
    });
  }
};

Task<Result<void>> serve(io::HttpHandler handler, Call& call) {
  co_await handler(call);
  co_return Result<void>();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view fields = input.substr(0, line);
  const std::string_view body = line == input.npos ? std::string_view() : input.substr(line + 1);
  for (const std::string_view path : {kMessagesMethod, kSnapshotMethod}) {
    Call call(path, fields, body);
    ASSERT(world.loop.run(serve(world.transport->http_handler(), call)));
    ASSERT(call.ended);
  }
  const auto address = parse_host_port(fields);
  if (address) ASSERT(!address->host.empty() && address->port != 0);
  return 0;
}
