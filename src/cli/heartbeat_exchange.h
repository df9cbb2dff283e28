// heartbeat_exchange.h: heartbeats between the servers of a group, over the peers' connections.
//   /kayak.Peer/OfferHeartbeat  to the leader: answered with "1" when it took it
//   /kayak.Peer/Heartbeats      from the leader: what it took since the last time
#pragma once

#include <map>
#include <memory>
#include <string>

#include "api/api.h"
#include "api/heartbeat_link.h"
#include "store/embedded.h"
#include "store/transport/transport.h"

namespace kayak::cli {

class HeartbeatExchange final : public api::HeartbeatLink {
 public:
  // Both outlive it. Registers its methods.
  HeartbeatExchange(Context context, store::EmbeddedStore& store, store::Transport& transport);
  // From now on heartbeats are taken and sent on. The server outlives what runs here.
  void attach(api::ApiServer& api);

  Task<bool> offer(api::Heartbeat heartbeat, StopToken stop) override;
  bool leads() const override;
  // The leader's sending, until `stop`.
  Task<Result<void>> run(StopToken stop);

 private:
  Task<io::GrpcStatus> take_offer(io::GrpcCall& call);
  Task<io::GrpcStatus> take_batch(io::GrpcCall& call);
  Task<Result<std::string>> read(io::GrpcCall& call);
  void noticed(const api::ObjectRef& now);
  Task<Result<void>> send_waiting(store::raft::NodeId to, StopToken stop);
  Task<void> send(store::raft::NodeId to, std::string batch, StopToken stop);

  // What is on its way to one member: who does not answer is waited for by its own lane alone.
  struct Lane {
    std::map<std::string, api::Heartbeat> waiting;  // as waiting_
    bool sending = false;
  };

  Context context_;
  store::EmbeddedStore& store_;
  store::Transport& transport_;
  api::ApiServer* api_ = nullptr;
  std::shared_ptr<const void> observer_;
  std::map<std::string, api::Heartbeat> waiting_;  // by key of the store: the newest of each
  io::Event work_;
  std::map<store::raft::NodeId, Lane> lanes_;
};

}  // namespace kayak::cli
