// heartbeat_link.h: heartbeats among several servers that write one store: what an API server needs of the others.
// The leader takes them, as it alone can tell whether an object still stands at a heartbeat's revision, and sends them
// on to the other servers within a second. All of it may be lost at any time. Source: src/store/README.md, Heartbeats.
#pragma once

#include "api/heartbeat_overlay.h"
#include "io/loop.h"

namespace kayak::api {

class HeartbeatLink {
 public:
  virtual ~HeartbeatLink() = default;
  // At the leader at once true: this server takes it. At another server: whether the leader took it; then this one
  // shows it, too. False: it has to be written.
  virtual Task<bool> offer(Heartbeat heartbeat, StopToken stop) = 0;
  // Whether this server is the one that takes heartbeats, and so writes them in the end.
  virtual bool leads() const = 0;
};

}  // namespace kayak::api
