// peer_link.h: the sending side towards one member: what waits for it, the connection, when to try again.
// Messages go in two lanes, each one long call of its own on the connection: entries in one, all else in the other, so
// that a heartbeat does not queue behind a megabyte. HTTP/2 takes turns between them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "store/member.h"
#include "store/transport/dial.h"
#include "store/transport/transport.h"

namespace kayak::store {

// What the links of one transport share.
struct LinkSettings {
  Context context;
  const raft::PayloadCodec& payloads;
  TransportOptions options;
  std::function<void(raft::NodeId)> unreachable;  // may be called from anywhere
  std::function<void(raft::NodeId)> refused;      // likewise
};

// What every call between servers carries.
constexpr std::string_view kMessagesMethod = "/kayak.Peer/Messages", kSnapshotMethod = "/kayak.Peer/Snapshot";
constexpr std::string_view kClusterField = "kayak-cluster", kFromField = "kayak-from", kToField = "kayak-to",
                           kAtField = "kayak-at";  // the caller's own addresses, by commas
io::GrpcRequest peer_request(const TransportOptions& options, raft::NodeId to, std::string_view method);

class PeerLink {
 public:
  using Client = std::shared_ptr<io::Http2Client>;

  PeerLink(const LinkSettings& settings, PeerInfo peer) : settings_(settings), peer_(std::move(peer)) {}
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  const PeerInfo& peer() const { return peer_; }
  std::vector<std::string> addresses() const;  // in the order in which they are tried at first
  // Its name and addresses; the key stays.
  void update(PeerInfo peer);
  // What it says of itself.
  void heard_at(const std::vector<std::string>& addresses);
  void send(raft::Message message);
  // It was heard of: no use in waiting.
  void peer_is_up();
  Task<Result<Client>> client(StopToken stop);
  // Until `stop` fires or close().
  Task<void> run(StopToken stop);
  void close();

 private:
  struct Queued {
    raft::Message message;
    std::size_t bytes;
  };
  struct Lane {
    std::deque<Queued> waiting;
    std::size_t bytes = 0;  // waiting or being written
    io::Event ready;
  };
  // A connection under way.
  struct Carried {
    io::Http2Client& client;
    io::StopSource end;
    std::optional<Error> broken;
    void breaks(const Error& error);
  };

  bool is_wanted() const { return !appends_.waiting.empty() || !others_.waiting.empty() || callers_ > 0; }
  Task<void> wait_for_work(StopToken stop);
  Task<void> wait_for_next_try(StopToken stop);
  void moved();
  Task<Result<PeerConnection>> connect(StopToken stop);
  PeerDial dial_to(const std::string& address) const;
  Task<void> carry(PeerConnection connection, StopToken stop);
  Task<void> run_client(Carried& carried);
  Task<void> run_lane(Carried& carried, Lane& lane);
  Task<void> send_waiting(Carried& carried, Lane& lane, io::GrpcClientCall& call);
  Task<Result<void>> send_batch(Carried& carried, io::GrpcClientCall& call, io::Slices batch);
  Task<void> watch(Carried& carried, io::GrpcClientCall& call);
  io::Slices take_batch(Lane& lane, std::size_t* bytes);
  void failed(const Error& error);
  void reached();
  static void drop(Lane& lane);

  const LinkSettings& settings_;
  PeerInfo peer_;
  std::vector<std::string> heard_;  // where it says it is
  io::StopSource closing_;
  Lane appends_, others_;
  std::size_t callers_ = 0;  // that wait for a connection
  io::Event wanted_;         // there is a reason to have a connection
  io::Event hurry_;          // there is one to try at once
  io::Event tried_;          // a connection was made, or could not be
  std::optional<io::StopSource> dialing_;
  bool redial_ = false;  // the addresses have changed meanwhile
  Client client_;
  std::size_t first_address_ = 0;  // the last that worked
  Duration pause_ = Duration::zero();
  Instant next_try_;
  std::size_t failures_ = 0;
  std::string last_error_;
  bool reachable_ = true;  // as the log knows
};

}  // namespace kayak::store
