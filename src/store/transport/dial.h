// dial.h: one connection to a server of a group, or of a group to be joined.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http2_client.h"

namespace kayak::store {

struct PeerDial {
  std::string address;  // "host:port"
  std::string ca_pem;
  std::vector<std::string> keys;  // that the server may have (as PeerInfo::key); empty: any key of the CA
  std::string certificate_pem, key_pem;
  io::Http2ClientOptions http2;
  Duration unacknowledged = std::chrono::seconds(5);  // after which the kernel gives up
};
struct PeerConnection {
  std::unique_ptr<io::Http2Client> client;  // its run() is the caller's
  std::string key;                          // the server's
};
// Waits as long as `stop` does. Errors: Invalid (the address), NotFound, Io, Timeout (network), Unauthorized (TLS).
Task<Result<PeerConnection>> dial_peer(Context context, PeerDial dial, StopToken stop);

}  // namespace kayak::store
