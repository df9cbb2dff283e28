// dial.cc: TCP, then TLS by the rules of the realm, then HTTP/2.
#include "store/transport/dial.h"

#include "base/strings.h"
#include "store/member.h"
#include "store/transport/transport.h"

namespace kayak::store {

namespace {

// What may wait in the kernel unsent: a heartbeat queues behind so much of an append.
constexpr int kUnsentBytes = 128 * 1024;

io::TlsClientOptions tls_options(PeerDial& dial) {
  const std::string realm(kPeerServerName);
  io::TlsServerIdentity identity =
      dial.keys.empty() ? io::TlsServerIdentity::realm_any_key(realm, std::move(dial.ca_pem))
                        : io::TlsServerIdentity::realm_keys(realm, std::move(dial.ca_pem), std::move(dial.keys));
  return io::TlsClientOptions{
      std::move(identity), std::move(dial.certificate_pem), std::move(dial.key_pem), {std::string(kPeerProtocol)}};
}

}  // namespace

Task<Result<PeerConnection>> dial_peer(Context context, PeerDial dial, StopToken stop) {
  const Result<HostPort> place = parse_host_port(dial.address);
  if (!place) co_return place.error();
  auto plain = co_await io::connect_host(context, place->host, place->port, stop);
  if (!plain) co_return plain.error();
  io::tune_for_peers(**plain, dial.unacknowledged, kUnsentBytes);
  io::TlsClientOptions tls = tls_options(dial);
  auto secured = co_await io::tls_connect(context, std::move(*plain), std::move(tls), stop);
  if (!secured) co_return secured.error().while_doing(dial.address);
  const io::TlsPeer& server = (*secured)->tls_peer();
  if (server.alpn != kPeerProtocol) {
    co_return Error(Code::kUnauthorized, cat(dial.address, " does not speak ", kPeerProtocol));
  }
  PeerConnection connection;
  connection.key = server.certificate->public_key_sha256;
  connection.client = io::Http2Client::create(context, std::move(*secured), dial.http2);
  co_return connection;
}

}  // namespace kayak::store
