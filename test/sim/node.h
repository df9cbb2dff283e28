// node.h: one simulated server: the shell around a RaftCore, as the real one will be, on a simulated disk and clock.
// It persists, sends, applies and answers what the core says, in the order that src/store/raft/README.md asks for.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "sim/checker.h"
#include "sim/kv_disk.h"
#include "sim/kv_heartbeats.h"
#include "sim/kv_ledger.h"
#include "sim/kv_streams.h"
#include "sim/sim_disk.h"
#include "sim/sim_random.h"
#include "sim/state_machine.h"
#include "store/lease_clock.h"
#include "store/raft/raft.h"

namespace kayak::sim {

class Node;

// What happens to a node by itself, at a time it asked for; a crash forgets all that was asked for before.
struct NodeEvent {
  enum class Kind : std::uint8_t {
    kTimer,
    kSynced,
    kAcknowledgedEarly,
    kFetched,
    kSnapshotMade,
    kSnapshotSlice,
    kUnreachable,
    kStreamRead,
    kProgress,
    kHeartbeats
  };
  Kind kind = Kind::kTimer;
  raft::NodeId peer = raft::kNobody;
  std::uint64_t first = 0, second = 0;
};

using RequestId = std::uint64_t;
constexpr RequestId kOwnRequest = RequestId{1} << 63;  // of a server itself: nobody waits for an answer
struct Reply {
  enum class Kind : std::uint8_t {
    kDone,
    kRefused,  // it has not happened and never will
    kUnknown,
  };
  Kind kind = Kind::kDone;
  Answer answer;
};

class World {
 public:
  virtual ~World() = default;
  virtual Instant now() const = 0;
  virtual Dice& dice() = 0;
  virtual Checker& checker() = 0;
  virtual KvLedger* ledger() = 0;  // null: the state machine is a toy
  virtual void transmit(raft::Message message) = 0;
  virtual void wake(const Node& node, Instant at, NodeEvent event) = 0;
  virtual void answer(RequestId request, Reply reply) = 0;
  virtual void say(StreamId stream, StreamNews news) = 0;
  virtual HeartbeatLedger& heartbeats() = 0;
  // To all other servers that can be reached.
  virtual void stream(const Node& from, const std::vector<api::Heartbeat>& heartbeats) = 0;
  // Who leads undisturbed, if `node` has caught up with him; else of server 0.
  virtual Reign quiet_reign(const Node& node) = 0;
  virtual void stopped(Node& node) = 0;                         // it stopped itself, over a failed fsync
  virtual void lost(Node& node) = 0;                            // it says that its disk went back
  virtual void offers_state(Node& node, raft::NodeId to) = 0;   // which is sure to take it for a while
  virtual Node* reach(raft::NodeId from, raft::NodeId to) = 0;  // null when messages would not get through now
};

struct NodeOptions {
  raft::Options raft;
  Duration sync_time{};                  // of the disk, on average
  std::size_t compact_after = 50;        // applied entries kept at most
  std::size_t compact_slack = 10;        // entries kept behind an image
  bool hints = false;                    // tells the core how long its disk takes
  std::size_t apply_at_once = SIZE_MAX;  // committed entries, before others have their turn
  ShellMutant mutant = ShellMutant::kNone;
  bool states_come_late = false;  // fetched ones, after what another leader sends instead
  std::string folder;             // of a real database; empty: the disk is simulated, too
};

class Node {
 public:
  Node(World& world, NodeOptions options, MakeStateMachine make);

  raft::NodeId id() const { return options_.raft.id; }
  bool up() const { return core_ != nullptr; }
  std::uint64_t life() const { return life_; }
  const raft::RaftCore& core() const { return *core_; }
  raft::LogIndex applied() const { return applied_; }
  SimDisk& disk() { return disk_; }
  const SimDisk& disk() const { return disk_; }
  std::uint64_t digest() const { return state_->digest(); }
  const NodeOptions& options() const { return options_; }

  void start();
  void crash();
  void retire();  // for good: what comes back is another member
  bool retired() const { return retired_; }

  void handle(const NodeEvent& event);
  void receive(raft::Message message);
  void request(RequestId id, const Command& command);
  void watch(StreamId id, const store::WatchRequest& request);
  void unwatch(StreamId id);
  void take(const std::vector<api::Heartbeat>& heartbeats);
  void check_state();  // against the ledger
  Reign reign() const { return {id(), life_, core_->term()}; }
  StateMachine* machine() { return state_.get(); }
  Result<void> transfer(raft::NodeId to);
  Result<void> change(const raft::MembershipChange& change);

  // Faults.
  Instant paused_until{};
  void set_clock_rate(double rate);
  void jump_clock(Duration by);
  void suspend(Duration length);  // paused, and its clock stands
  void stall_next_sync(Duration by) { stall_ = by; }
  bool has_database() const { return database_ != nullptr; }
  void fill_disk(Duration length) { full_until_ = world_.now() + length; }
  void fail_next_sync() { fail_sync_ = true; }
  void make_peace();  // none of these any more

 private:
  struct Waiter {
    raft::Term term;
    RequestId request;
    Answer answer;
  };
  struct WaitingRead {
    raft::LogIndex index;
    RequestId request;
    Command command;
    // Of a transaction that writes nothing: its answer is good when `after` is committed, if this node then still
    // leads.
    std::optional<Answer> answer{};
    raft::Term term = 0;
    raft::LogIndex after = 0;
    std::optional<raft::Term> after_term{};
    Instant asked{};
  };
  struct Pin {
    Base base;
    std::shared_ptr<const void> rows;  // of a database: those of its time and after stay
  };
  // A state on its way here. What the leader thinks of it since is of no matter, as long as its process goes on.
  struct Incoming {
    raft::SnapshotFetch fetch;
    Duration pause;  // between slices
    std::optional<Pin> pin{};
    std::uint64_t life = 0;  // of the sender
  };
  Instant local(Instant sim) const;
  Instant steady() const;
  void wake_up();
  Instant to_sim(Instant local) const;
  void advance() { core_->advance(local(world_.now())); }
  void settle();  // performs what the core asks for
  void perform(raft::Output& output);
  void write(raft::Append append);
  void sync();
  void synced();
  void apply(const raft::Entry& entry);
  void serve_reads();
  void begin_read(WaitingRead read);
  bool serve(WaitingRead& read);
  void propose(RequestId request, const Command& command, const std::string& heartbeat_key);
  void renew(RequestId request, const KvRequest& renewal);
  void tick();
  void run_leases();
  void end_leases();
  bool keep_alive(WaitingRead& read);
  void tick_later();
  void make_streams();
  void set_timer();
  void maybe_compact();
  Base base_now() const;
  void send_fetched(const NodeEvent& event);
  void next_slice(const NodeEvent& event);
  raft::Restored restore();
  raft::Restored restore_from_disk();
  raft::Restored restore_from_database();
  Result<void> write_to_database();
  Result<void> install_database(const SimDisk::Write& write);
  bool finds_sender();
  void hurry_slices();
  bool take_slice(const NodeEvent& event, std::string_view bytes);
  std::optional<store::SweepLimits> sweep_limits();

  World& world_;
  const NodeOptions options_;
  const MakeStateMachine make_;
  SimDisk disk_;
  std::unique_ptr<KvDisk> database_;  // disk_ is its model then
  std::uint64_t life_ = 0;
  bool retired_ = false;

  // The core's clock: at the one it shows the other. Before the first it stands.
  Instant anchor_sim_{}, anchor_local_{1};
  double rate_ = 1;
  // And the leases', which trust that all run alike: it only stands while the machine is suspended.
  Instant steady_sim_{}, steady_local_{1};

  // Lost in a crash.
  std::unique_ptr<SeededRandom> random_;
  std::unique_ptr<raft::RaftCore> core_;
  std::unique_ptr<StateMachine> state_;
  raft::LogIndex applied_ = 0;
  std::unique_ptr<KvStreams> streams_;
  std::unique_ptr<KvHeartbeats> heartbeats_;
  raft::Term led_ = 0;  // the term in which it leads
  store::LeaseClock lease_clock_;
  raft::Term leases_run_in_ = 0;  // 0: they do not
  std::optional<Instant> timer_at_;
  Duration stall_{};
  bool fail_sync_ = false;
  Instant full_until_{};
  Instant sync_began_{};
  std::multimap<raft::LogIndex, Waiter> waiters_;
  std::map<std::uint64_t, WaitingRead> reads_;  // by the id that the core knows
  std::uint64_t next_read_ = 0, next_own_ = 0;
  std::vector<WaitingRead> waiting_reads_;
  std::map<raft::SnapshotId, Pin> pins_;                       // lie ready for others
  std::optional<Incoming> fetch_;                              // under way
  std::map<raft::SnapshotId, StateMachine::ImageRef> staged_;  // came in, not installed yet
  bool building_ = false;                                      // a database, of what is fetched
  std::optional<store::KvState> installed_state_;              // of the database that is there by now
  bool installs_ = false;                                      // the last output wrote one of them
  std::optional<Base> prepared_;                               // the next base, once there is slack behind it
};

}  // namespace kayak::sim
