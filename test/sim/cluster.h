// cluster.h: a whole simulated cluster: nodes, network, clients, trouble, and one queue of events in simulated time.
// One seed decides everything, so that a run can be repeated exactly.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "sim/checker.h"
#include "sim/kv_workload.h"
#include "sim/node.h"
#include "sim/scenario.h"
#include "sim/toy_store.h"
#include "sim/workload.h"
#include "store/support_store.h"

namespace kayak::sim {

struct RunStats {
  std::size_t events = 0;
  std::size_t messages = 0;    // of the core, sent
  std::size_t operations = 0;  // answered
  raft::LogIndex entries = 0;  // committed
  raft::Term terms = 0;
  std::size_t snapshots = 0;
  std::size_t changes = 0;     // memberships committed
  std::size_t watched = 0;     // returns of watches
  std::size_t heartbeats = 0;  // absorbed
};

class Cluster final : private World, private Clients::Service {
 public:
  explicit Cluster(Scenario scenario);
  // Trouble, then peace, then the questions that only peace can answer. Throws Violation.
  RunStats run();
  // Every step as a line on stderr.
  void set_trace(bool trace) { trace_ = trace; }

 private:
  struct Event {
    enum class Kind : std::uint8_t {
      kMessage,
      kNode,
      kClient,
      kRequest,
      kReply,
      kTrouble,
      kHunt,
      kIsolate,
      kHeal,
      kStart,
      kWatch,
      kUnwatch,
      kNews,
      kHeartbeats,
      kOldDisk,
      kReplace
    };
    Instant at;
    std::uint64_t order = 0;
    Kind kind = Kind::kMessage;
    raft::NodeId node = 0;
    std::uint64_t life = 0;  // of the node
    std::size_t client = 0;  // or the slot of a message, command or reply
    RequestId request = 0;
    NodeEvent event;
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  struct Slot {
    std::string message;  // as it travels
    Command command;
    Reply reply;
    store::WatchRequest watch;
    StreamNews news;
    std::vector<api::Heartbeat> heartbeats;
  };
  struct Stream {
    raft::NodeId node = 0;
    std::uint64_t life = 0;
    Instant last;  // what is told later arrives later
  };

  // World and Workload::Service.
  Instant now() const override { return now_; }
  Dice& dice() override { return dice_; }
  Checker& checker() override { return checker_; }
  KvLedger* ledger() override { return ledger_.get(); }
  void say(StreamId stream, StreamNews news) override;
  void transmit(raft::Message message) override;
  void wake(const Node& node, Instant at, NodeEvent event) override;
  void answer(RequestId request, Reply reply) override;
  HeartbeatLedger& heartbeats() override { return heartbeats_; }
  void stream(const Node& from, const std::vector<api::Heartbeat>& heartbeats) override;
  Reign quiet_reign(const Node& node) override;
  void stopped(Node& node) override;
  void lost(Node& node) override;
  void offers_state(Node& node, raft::NodeId to) override;
  Node* reach(raft::NodeId from, raft::NodeId to) override;
  void submit(RequestId request, const Command& command, bool any_node) override;
  void call_later(std::size_t client, RequestId request, Duration after) override;
  void open_stream(StreamId stream, const store::WatchRequest& request) override;
  void close_stream(StreamId stream) override;

  // The queue.
  void push(Event event);
  std::size_t take_slot();
  void dispatch(Event event);
  void run_until(Instant end);
  bool run_until(Instant end, const std::function<bool()>& done);

  // Nodes.
  Node* find(raft::NodeId id) { return id >= 1 && id <= nodes_.size() ? nodes_[id - 1].get() : nullptr; }
  Node& add_node(bool witness, const raft::Membership& membership);
  Node* leader();  // one that thinks so, of the highest term
  Node* any_leader();
  Node* oldest_leader();  // which may not know yet that it is none any more
  Node* random_up();
  Node* random_server();
  void crash(Node& node, Duration down_for);
  bool converged();
  std::string describe();

  // Trouble.
  void trouble();
  void disturb(Node& node, int kind);
  void cut(Duration length, const std::function<bool(raft::NodeId, raft::NodeId)>& cuts);
  void isolate(raft::NodeId lonely, Duration length);
  void hunt(raft::NodeId node);
  void strike(Node& node);
  double clock_rate();
  void change_weather();
  void change_group();
  std::optional<raft::MembershipChange> draw_change(const raft::Membership& group);
  void make_peace();

  // A disk that goes back (old_disk.cc).
  struct OldDisk {
    raft::NodeId node = raft::kNobody;
    raft::NodeId leader = raft::kNobody;
    raft::Term term = 0;
    DiskContents before;
    bool fell = false;  // they are what the node has again
    bool told = false;  // the leader has named to it what it lacks
  };
  void age_disk(Node& node);
  void calm();
  void cut_spare(const raft::RaftCore& leader, raft::NodeId node);
  void next_of_old_disk();
  bool may_fall();
  bool counted();
  bool spared(const raft::RaftCore& leader);
  void fall();
  void end_of_old_disk();
  void hears_of_old_disk(const Node& node, const raft::Message& message);
  void watch_old_disk();
  void retire(Node& node);
  void replace();

  // Peace.
  void check_all_agree();
  void check_states();
  void check_no_disruption();
  void check_lonely_leader();
  void check_no_storm();
  Command own_write(std::size_t number) const;
  void log(const std::string& line);
  void log_roles();

  static constexpr std::size_t kMaxNodes = 12;
  const Scenario scenario_;
  bool trace_ = false;
  std::string last_logged_[kMaxNodes + 1];
  Dice dice_;
  const MakeStateMachine make_;
  const raft::PayloadCodec& payloads_ = make_()->payloads();
  Checker checker_;
  Instant now_{1};
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::uint64_t order_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_slots_;
  std::unique_ptr<store::test::TempFolder> folder_;  // of a world of databases
  std::vector<std::unique_ptr<Node>> nodes_;         // by id - 1
  bool cut_[kMaxNodes + 1][kMaxNodes + 1] = {};
  std::uint64_t cut_number_ = 0;
  std::optional<OldDisk> old_disk_;
  std::uint64_t old_disk_number_ = 0;
  raft::NodeId retired_ = raft::kNobody, replacement_ = raft::kNobody;
  double loss_ = 0, twice_ = 0, late_ = 0;
  Duration delay_;
  bool peace_ = false;
  raft::Term leads_[kMaxNodes + 1] = {};  // the last term in which each was seen to lead
  std::unique_ptr<KvLedger> ledger_;      // of a world of key-values
  HeartbeatLedger heartbeats_;
  Instant quiet_from_{INT64_MAX};  // trouble is long past
  std::map<StreamId, Stream> streams_;
  std::unique_ptr<Clients> clients_;
  RunStats stats_;
};

}  // namespace kayak::sim
