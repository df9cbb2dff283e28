// cluster.cc: see cluster.h.
#include "sim/cluster.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "base/assert.h"

namespace kayak::sim {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kLongLog = 10'000;
constexpr Duration kLeaseTime = 10s;   // longer than any lease that clients take
constexpr Duration kSettleTime = 60s;  // of a group without trouble, however bad its past

MakeStateMachine machine_of(const Scenario& scenario) {
  if (scenario.kind == WorldKind::kRegisters) return [] { return std::make_unique<ToyStore>(); };
  return [mutant = scenario.node.mutant, bytes = scenario.history_bytes] {
    return std::make_unique<KvMachine>(mutant, bytes);
  };
}

}  // namespace

Cluster::Cluster(Scenario scenario)
    : scenario_(std::move(scenario)),
      dice_(scenario_.seed ^ 0x5DEECE66DULL),
      make_(machine_of(scenario_)),
      checker_([this](raft::NodeId id) -> const DiskContents& { return nodes_[id - 1]->disk().contents(); }, payloads_),
      delay_(scenario_.delay) {
  if (scenario_.kind == WorldKind::kRegisters) {
    clients_ = std::make_unique<Workload>(static_cast<Clients::Service&>(*this), scenario_.workload);
  } else {
    ledger_ = std::make_unique<KvLedger>();
    clients_ = std::make_unique<KvWorkload>(static_cast<Clients::Service&>(*this), scenario_.workload, *ledger_);
  }
  if (scenario_.kind == WorldKind::kDatabases) folder_ = std::make_unique<store::test::TempFolder>();
  nodes_.reserve(kMaxNodes);
  raft::Membership group;
  for (raft::NodeId id = 1; id <= scenario_.servers; ++id) group.voters.push_back(id);
  if (scenario_.witness) group.witness = scenario_.servers + 1;
  for (std::size_t i = 0; i < scenario_.servers; ++i) add_node(false, group);
  if (scenario_.witness) add_node(true, {});
}

Node& Cluster::add_node(bool witness, const raft::Membership& membership) {
  NodeOptions options = scenario_.node;
  options.raft.id = nodes_.size() + 1;
  options.raft.witness = witness;
  if (scenario_.uneven_logs && options.raft.id % 2 == 0) options.compact_after = kLongLog;
  if (folder_ && !witness) {
    options.folder = folder_->file(std::to_string(options.raft.id));
    std::filesystem::create_directory(options.folder);
  }
  nodes_.push_back(std::make_unique<Node>(static_cast<World&>(*this), options, make_));
  Node& node = *nodes_.back();
  node.disk().begin_with().base.membership = membership;
  node.set_clock_rate(clock_rate());
  node.start();
  return node;
}

// The queue.

void Cluster::push(Event event) {
  event.order = ++order_;
  queue_.push(std::move(event));
}

std::size_t Cluster::take_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return slots_.size() - 1;
  }
  const std::size_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Cluster::run_until(Instant end) {
  run_until(end, [] { return false; });
}

bool Cluster::run_until(Instant end, const std::function<bool()>& done) {
  while (!queue_.empty() && queue_.top().at <= end) {
    Event event = queue_.top();
    queue_.pop();
    ASSERT(event.at >= now_);
    now_ = event.at;
    ++stats_.events;
    const raft::NodeId node = event.node;
    dispatch(std::move(event));
    if (old_disk_) watch_old_disk();
    if (scenario_.hunt > 0) hunt(node);
    if (trace_) log_roles();
    if (done()) return true;
  }
  now_ = end;
  return done();
}

void Cluster::dispatch(Event event) {
  using Kind = Event::Kind;
  Node* node = find(event.node);
  // A paused process gets everything later, in the same order.
  const bool to_node = event.kind == Kind::kMessage || event.kind == Kind::kNode || event.kind == Kind::kRequest ||
                       event.kind == Kind::kWatch || event.kind == Kind::kUnwatch || event.kind == Kind::kHeartbeats;
  if (to_node && node->up() && node->paused_until > now_) {
    event.at = node->paused_until;
    return push(std::move(event));
  }
  switch (event.kind) {
    case Kind::kMessage: {
      Result<raft::Message> message = raft::decode(slots_[event.client].message, payloads_);
      free_slots_.push_back(event.client);
      if (!message) throw Violation("a message that cannot be read: " + message.error().message());
      if (old_disk_) hears_of_old_disk(*node, *message);
      if (node->up()) node->receive(std::move(*message));
      return;
    }
    case Kind::kNode:
      if (node->up() && node->life() == event.life) node->handle(event.event);
      return;
    case Kind::kRequest: {
      const Command command = slots_[event.client].command;
      free_slots_.push_back(event.client);
      if (node->up()) return node->request(event.request, command);
      return answer(event.request, {Reply::Kind::kRefused, {}});
    }
    case Kind::kReply: {
      const Reply reply = slots_[event.client].reply;
      free_slots_.push_back(event.client);
      return clients_->answered(event.request, reply);
    }
    case Kind::kWatch: {
      const store::WatchRequest request = slots_[event.client].watch;
      free_slots_.push_back(event.client);
      if (!node->up()) return say(event.request, {});
      streams_[event.request].life = node->life();
      return node->watch(event.request, request);
    }
    case Kind::kUnwatch:
      if (node->up()) node->unwatch(event.request);
      return;
    case Kind::kNews: {
      const StreamNews news = std::move(slots_[event.client].news);
      free_slots_.push_back(event.client);
      return clients_->told(event.request, news);
    }
    case Kind::kHeartbeats: {
      const std::vector<api::Heartbeat> heartbeats = std::move(slots_[event.client].heartbeats);
      free_slots_.push_back(event.client);
      if (node->up()) node->take(heartbeats);
      return;
    }
    case Kind::kClient:
      return clients_->called(event.client, event.request);
    case Kind::kTrouble:
      return trouble();
    case Kind::kHeal:
      if (event.request == cut_number_) std::fill(&cut_[0][0], &cut_[0][0] + sizeof cut_, false);
      return;
    case Kind::kHunt:
      return strike(*node);
    case Kind::kIsolate:
      if (!peace_ && !old_disk_) isolate(event.node, dice_.around(3s));
      return;
    case Kind::kStart:
      if (!node->up() && !node->retired()) node->start();
      return;
    case Kind::kOldDisk:
      if (old_disk_ && event.request == old_disk_number_) next_of_old_disk();
      return;
    case Kind::kReplace:
      return replace();
  }
}

// The network.

void Cluster::transmit(raft::Message message) {
  const raft::NodeId from = message.from, to = message.to;
  ++stats_.messages;
  if (!find(to) || dice_.chance(loss_)) return;
  if (cut_[from][to]) {
    // Sometimes the sender's connection notices.
    if (dice_.chance(0.1)) wake(*find(from), now_ + delay_, {NodeEvent::Kind::kUnreachable, to, 0, 0});
    return;
  }
  std::string bytes = raft::encode(message, payloads_);
  const int copies = dice_.chance(twice_) ? 2 : 1;
  for (int copy = 1; copy <= copies; ++copy) {
    Duration delay = delay_ / 2 + dice_.around(delay_ / 2);
    if (dice_.chance(late_)) delay += dice_.between(Duration(0), Duration(2s));
    const std::size_t slot = take_slot();
    slots_[slot].message = bytes;
    push({.at = now_ + delay, .kind = Event::Kind::kMessage, .node = to, .client = slot});
  }
}

Node* Cluster::reach(raft::NodeId from, raft::NodeId to) {
  Node* node = find(to);
  const bool through = node && node->up() && node->paused_until <= now_ && !cut_[from][to] && !cut_[to][from];
  return through ? node : nullptr;
}

void Cluster::wake(const Node& node, Instant at, NodeEvent event) {
  push({.at = at, .kind = Event::Kind::kNode, .node = node.id(), .life = node.life(), .event = event});
}

// Clients: their way to a server never fails, so that they also reach those that are cut off from the others.

void Cluster::submit(RequestId request, const Command& command, bool any_node) {
  // Some do not know yet who leads, or know one that does no more.
  Node* node = dice_.chance(0.1) ? nullptr : leader();
  // Who keeps a lease alive stays with the server that has answered before.
  const bool stays = command.kv && command.kv->type == KvRequest::Type::kKeepAlive;
  if (dice_.chance(stays ? 0.7 : 0.3)) node = ledger_ ? oldest_leader() : any_leader();
  if (any_node || !node) node = ledger_ ? random_server() : nodes_[dice_.below(nodes_.size())].get();
  const std::size_t slot = take_slot();
  slots_[slot].command = command;
  push({.at = now_ + dice_.around(500us),
        .kind = Event::Kind::kRequest,
        .node = node->id(),
        .client = slot,
        .request = request});
}

void Cluster::answer(RequestId request, Reply reply) {
  if ((request & kOwnRequest) != 0) return;
  const std::size_t slot = take_slot();
  slots_[slot].reply = reply;
  push({.at = now_ + dice_.around(500us), .kind = Event::Kind::kReply, .client = slot, .request = request});
}

void Cluster::call_later(std::size_t client, RequestId request, Duration after) {
  push({.at = now_ + after, .kind = Event::Kind::kClient, .client = client, .request = request});
}

void Cluster::open_stream(StreamId id, const store::WatchRequest& request) {
  Node* node = random_server();
  streams_[id] = {.node = node->id(), .life = node->life(), .last = now_};
  const std::size_t slot = take_slot();
  slots_[slot].watch = request;
  push({.at = now_ + dice_.around(500us),
        .kind = Event::Kind::kWatch,
        .node = node->id(),
        .client = slot,
        .request = id});
}

void Cluster::close_stream(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  push({.at = now_ + dice_.around(2ms), .kind = Event::Kind::kUnwatch, .node = found->second.node, .request = id});
  streams_.erase(found);
}

void Cluster::stream(const Node& from, const std::vector<api::Heartbeat>& heartbeats) {
  for (const auto& to : nodes_) {
    if (to.get() == &from || to->options().raft.witness || cut_[from.id()][to->id()] || dice_.chance(loss_)) continue;
    const std::size_t slot = take_slot();
    slots_[slot].heartbeats = heartbeats;
    push({.at = now_ + delay_ / 2 + dice_.around(delay_ / 2),
          .kind = Event::Kind::kHeartbeats,
          .node = to->id(),
          .client = slot});
  }
}

Reign Cluster::quiet_reign(const Node& node) {
  const Node* leads = now_ < quiet_from_ ? nullptr : leader();
  if (!leads || node.core().leader() != leads->id() || node.applied() != leads->applied()) return {};
  return leads->reign();
}

// Like a connection: in order, until it ends.
void Cluster::say(StreamId id, StreamNews news) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;  // the client has left
  Stream& stream = found->second;
  stream.last = std::max(stream.last, now_ + dice_.around(500us));
  const std::size_t slot = take_slot();
  slots_[slot].news = std::move(news);
  push({.at = stream.last, .kind = Event::Kind::kNews, .client = slot, .request = id});
}

// Nodes.

Node* Cluster::leader() {
  Node* best = nullptr;
  for (const auto& node : nodes_) {
    if (!node->up() || node->core().role() != raft::Role::kLeader) continue;
    if (!best || node->core().term() > best->core().term()) best = node.get();
  }
  return best;
}

Node* Cluster::any_leader() {
  std::vector<Node*> leaders;
  for (const auto& node : nodes_) {
    if (node->up() && node->core().role() == raft::Role::kLeader) leaders.push_back(node.get());
  }
  return leaders.empty() ? nullptr : leaders[dice_.below(leaders.size())];
}

Node* Cluster::oldest_leader() {
  Node* oldest = nullptr;
  for (const auto& node : nodes_) {
    if (!node->up() || node->core().role() != raft::Role::kLeader) continue;
    if (!oldest || node->core().term() < oldest->core().term()) oldest = node.get();
  }
  return oldest;
}

Node* Cluster::random_up() {
  std::vector<Node*> up;
  for (const auto& node : nodes_) {
    if (node->up()) up.push_back(node.get());
  }
  return up.empty() ? nullptr : up[dice_.below(up.size())];
}

// Some server that clients know of: in the end those that are in the group, before that any.
Node* Cluster::random_server() {
  for (;;) {
    Node* node = nodes_[dice_.below(nodes_.size())].get();
    if (node->options().raft.witness) continue;
    Node* leads = peace_ ? leader() : nullptr;
    if (!leads || leads->core().membership().is_voter(node->id())) return node;
  }
}

void Cluster::crash(Node& node, Duration down_for) {
  if (!node.up()) return;
  log("node " + std::to_string(node.id()) + " crashes");
  node.crash();
  for (const auto& [id, stream] : streams_) {
    if (stream.node == node.id()) say(id, {});
  }
  node.paused_until = now_;
  push({.at = now_ + down_for, .kind = Event::Kind::kStart, .node = node.id()});
}

void Cluster::stopped(Node& node) { crash(node, 200ms + dice_.around(1s)); }

// Trouble.

void Cluster::trouble() {
  if (peace_) return;
  push({.at = now_ + 10ms + dice_.around(scenario_.trouble_interval), .kind = Event::Kind::kTrouble});
  if (old_disk_) return;
  const Troubles& t = scenario_.troubles;
  const int weights[] = {t.crash_one, t.crash_leader, t.power_loss, t.isolate,    t.split,
                         t.one_way,   t.pause,        t.clock,      t.disk_stall, t.disk_error,
                         t.transfer,  t.membership,   t.suspend,    t.old_disk,   t.weather};
  auto left = static_cast<int>(
      dice_.below(static_cast<std::uint64_t>(std::accumulate(std::begin(weights), std::end(weights), 0))));
  int kind = 0;
  while (left >= weights[kind]) left -= weights[kind++];
  if (Node* node = random_up()) disturb(*node, kind);
}

void Cluster::disturb(Node& node, int kind) {
  Node* leads = leader();
  const raft::NodeId id = node.id();
  switch (kind) {
    case 0:
      return crash(node, dice_.around(1500ms));
    case 1:
      return crash(leads ? *leads : node, dice_.around(1500ms));
    case 2:
      for (const auto& each : nodes_) crash(*each, dice_.around(1s));
      return;
    case 3:
      return isolate(leads && dice_.chance(0.5) ? leads->id() : id, dice_.around(3s));
    case 4: {
      const std::uint64_t side = dice_.next();
      return cut(dice_.around(3s), [&](auto from, auto to) { return ((side >> from ^ side >> to) & 1) != 0; });
    }
    case 5:
      return cut(dice_.around(3s), [&](auto, auto) { return dice_.chance(0.3); });
    case 6:
      node.paused_until = now_ + dice_.between(Duration(50ms), Duration(4s));
      return;
    case 7:
      if (dice_.chance(0.5)) return node.jump_clock(dice_.around(1s));
      return node.set_clock_rate(clock_rate());
    case 8:
      if (node.has_database() && dice_.chance(0.3)) return node.fill_disk(dice_.around(2s));
      return node.stall_next_sync(dice_.between(Duration(100ms), Duration(6s)));
    case 9:
      return node.fail_next_sync();
    case 10:
      if (!leads) return;
      (void)leads->transfer(id);
      // Cut off before it hears how the election went, it goes on believing in itself for a while.
      if (dice_.chance(0.4)) {
        push({.at = now_ + dice_.around(3 * delay_), .kind = Event::Kind::kIsolate, .node = leads->id()});
      }
      return;
    case 11:
      return change_group();
    case 12: {
      if (!leads || leads->paused_until > now_) return;
      const Duration length = dice_.between(Duration(2s), Duration(7s));
      log("node " + std::to_string(leads->id()) + " is suspended");
      leads->suspend(length);
      return isolate(leads->id(), length + dice_.around(2s));
    }
    case 13:
      return age_disk(node);
    default:
      return change_weather();
  }
}

double Cluster::clock_rate() {
  return scenario_.slowest_clock + (scenario_.fastest_clock - scenario_.slowest_clock) * dice_.unit();
}

// Leadership that ends before it has replicated anything: where terms, votes and old entries meet.
void Cluster::hunt(raft::NodeId id) {
  Node* node = find(id);
  const bool leads = node && node->up() && node->core().role() == raft::Role::kLeader;
  if (!leads || leads_[id] == node->core().term()) return;
  leads_[id] = node->core().term();
  if (peace_ || !dice_.chance(scenario_.hunt)) return;
  // Before anything left it, or somewhere in its first exchanges with the others.
  const Duration early = delay_ / 2 + scenario_.node.sync_time, late = 6 * delay_ + 3 * scenario_.node.sync_time;
  const Duration wait = dice_.between(Duration(0), dice_.chance(0.5) ? early : late);
  push({.at = now_ + wait, .kind = Event::Kind::kHunt, .node = id});
}

void Cluster::strike(Node& node) {
  if (peace_ || old_disk_) return;
  if (dice_.chance(0.7)) return crash(node, dice_.around(300ms));
  isolate(node.id(), dice_.around(3s));
}

// What it has sent off arrives late, if somebody else leads soon: the others, who have heard little of what is
// committed.
void Cluster::offers_state(Node& node, raft::NodeId to) {
  if (scenario_.rival <= 0 || peace_ || old_disk_ || !dice_.chance(scenario_.rival)) return;
  const raft::NodeId from = node.id();
  cut(4s, [&](auto a, auto b) { return (a == from || b == from) && a != to && b != to; });
  for (const raft::NodeId id : node.core().membership().voters) {
    if (id != from && id != to) crash(*find(id), dice_.around(50ms));
  }
}

void Cluster::isolate(raft::NodeId lonely, Duration length) {
  cut(length, [&](auto from, auto to) { return from == lonely || to == lonely; });
}

void Cluster::cut(Duration length, const std::function<bool(raft::NodeId, raft::NodeId)>& cuts) {
  for (raft::NodeId from = 1; from <= kMaxNodes; ++from) {
    for (raft::NodeId to = 1; to <= kMaxNodes; ++to) cut_[from][to] = from != to && cuts(from, to);
  }
  push({.at = now_ + length, .kind = Event::Kind::kHeal, .request = ++cut_number_});
  log("links are cut");
}

void Cluster::change_weather() {
  const bool fine = dice_.chance(0.3);
  loss_ = fine ? 0 : 0.3 * dice_.unit();
  twice_ = fine ? 0 : 0.2 * dice_.unit();
  late_ = fine ? 0 : 0.1 * dice_.unit();
  delay_ = fine ? scenario_.delay : scenario_.delay + dice_.around(30ms);
}

std::optional<raft::MembershipChange> Cluster::draw_change(const raft::Membership& group) {
  using Type = raft::MembershipChange::Type;
  std::vector<raft::MembershipChange> possible;
  const bool room = nodes_.size() < kMaxNodes;
  const auto any_of = [&](const std::vector<raft::NodeId>& nodes) { return nodes[dice_.below(nodes.size())]; };
  if (room && group.voters.size() + group.learners.size() < 5) possible.push_back({Type::kAddLearner, raft::kNobody});
  if (!group.learners.empty()) {
    possible.push_back({Type::kPromote, any_of(group.learners)});
    possible.push_back({Type::kPromote, any_of(group.learners)});
    if (dice_.chance(0.2)) possible.push_back({Type::kRemove, any_of(group.learners)});
  }
  if (room && group.voters.size() == 2 && group.witness == raft::kNobody) {
    possible.push_back({Type::kAddWitness, raft::kNobody});
    possible.push_back({Type::kAddWitness, raft::kNobody});
  }
  if (group.voters.size() > 1) possible.push_back({Type::kRemove, any_of(group.voters)});
  if (group.witness != raft::kNobody && dice_.chance(0.3)) possible.push_back({Type::kRemove, group.witness});
  if (possible.empty()) return std::nullopt;
  raft::MembershipChange change = possible[dice_.below(possible.size())];
  if (change.node == raft::kNobody) change.node = add_node(change.type == Type::kAddWitness, {}).id();
  return change;
}

void Cluster::change_group() {
  if (retired_ != raft::kNobody) return;  // who is gone comes first: others cannot be spared
  // Often a second one at once, which has to be refused.
  for (int i = 0; i < 2; ++i) {
    Node* leads = leader();
    if (!leads || leads->paused_until > now_) return;
    const std::optional<raft::MembershipChange> change = draw_change(leads->core().membership());
    if (!change) continue;
    if (leads->change(*change)) {
      ++stats_.changes;
      log("the leader changes the group");
    }
  }
}

void Cluster::make_peace() {
  peace_ = true;
  if (old_disk_) end_of_old_disk();
  std::fill(&cut_[0][0], &cut_[0][0] + sizeof cut_, false);
  ++cut_number_;
  loss_ = twice_ = late_ = 0;
  delay_ = scenario_.delay;
  quiet_from_ = now_ + 5s;
  for (const auto& node : nodes_) {
    node->make_peace();
    if (!node->up() && !node->retired()) node->start();
  }
  log("peace");
}

// Peace.

bool Cluster::converged() {
  Node* leads = leader();
  if (!leads || !leads->core().ready() || retired_ != raft::kNobody) return false;
  const raft::RaftCore& core = leads->core();
  if (core.commit() != core.log().last_index()) return false;
  raft::Membership group = core.membership();
  if (!group.is_voter(leads->id())) return false;
  // The last stalls of the time of trouble are over.
  const auto at_rest = [](const auto& node) { return node->disk().idle(); };
  if (!std::all_of(nodes_.begin(), nodes_.end(), at_rest)) return false;
  const Node* witness = find(group.witness);
  if (witness && witness->core().leader() != leads->id()) return false;
  group.voters.insert(group.voters.end(), group.learners.begin(), group.learners.end());
  return std::all_of(group.voters.begin(), group.voters.end(), [&](raft::NodeId id) {
    Node* node = find(id);
    return node && node->up() && node->applied() == core.commit() && node->core().leader() == leads->id();
  });
}

std::string Cluster::describe() {
  std::string out;
  for (const auto& node : nodes_) {
    out += "\n  node " + std::to_string(node->id()) + (node->options().raft.witness ? " (witness)" : "");
    if (!node->up()) {
      out += " is down";
      continue;
    }
    const raft::RaftCore& core = node->core();
    out += " role " + std::to_string(static_cast<int>(core.role())) + " term " + std::to_string(core.term()) +
           " leader " + std::to_string(core.leader()) + " last " + std::to_string(core.log().last_index()) +
           " commit " + std::to_string(core.commit()) + " applied " + std::to_string(node->applied()) + " voters";
    for (const raft::NodeId id : core.membership().voters) out += " " + std::to_string(id);
    out += " learners";
    for (const raft::NodeId id : core.membership().learners) out += " " + std::to_string(id);
    out += " witness " + std::to_string(core.membership().witness);
    if (core.record()) {
      out += " record term " + std::to_string(core.record()->term) + " in sync";
      for (const raft::NodeId id : core.record()->in_sync) out += " " + std::to_string(id);
    }
  }
  return out;
}

void Cluster::check_all_agree() {
  run_until(now_ + 3s);  // what was acknowledged in the time of trouble is read once more
  clients_->stop();
  // Also for the leases that nobody keeps alive any more.
  run_until(now_ + scenario_.workload.patience + (ledger_ ? 10s : 1s));
  if (!run_until(now_ + kSettleTime, [&] { return converged(); })) {
    throw Violation("no leader, or not all have caught up, a minute after the last trouble:" + describe());
  }
  const Node& leads = *leader();
  for (const raft::NodeId id : leads.core().membership().voters) {
    if (find(id)->digest() != leads.digest()) throw Violation("equal logs, different states");
  }
  if (!ledger_) return;
  // A group that got a leader late, or waited for a state, gives them their whole time from then on.
  run_until(now_ + kLeaseTime, [&] { return ledger_->leases() == 0; });
  check_states();
  if (ledger_->leases() > 0) throw Violation("leases outlive their time");
}

void Cluster::check_states() {
  for (const raft::NodeId id : leader()->core().membership().voters) find(id)->check_state();
}

// Of the server itself, which nobody waits for.
Command Cluster::own_write(std::size_t number) const {
  if (!ledger_) return {.type = Command::Type::kPut, .key = 0, .value = UINT64_MAX - number};
  auto request = std::make_shared<KvRequest>();
  store::Op& put = request->txn.success.emplace_back();
  put.key = "/storm";
  put.value = std::make_shared<const std::string>(std::to_string(number));
  return {.kv = std::move(request)};
}

// Who was cut off and comes back must not cost the others their leader.
void Cluster::check_no_disruption() {
  Node* leads = leader();
  const raft::Membership& group = leads->core().membership();
  if (group.electors().size() < 3) return;
  const raft::Term term = leads->core().term();
  std::vector<raft::NodeId> others = group.voters;
  std::erase(others, leads->id());
  const raft::NodeId lonely = others[dice_.below(others.size())];
  isolate(lonely, 4s);
  run_until(now_ + 6s);
  if (leader() == leads && leads->core().term() == term) return;
  throw Violation("node " + std::to_string(lonely) + " was cut off, came back and disturbed leader " +
                  std::to_string(leads->id()) + " of term " + std::to_string(term) + describe());
}

void Cluster::check_lonely_leader() {
  if (!run_until(now_ + kSettleTime, [&] { return converged(); })) {
    throw Violation("a server that was cut off does not catch up:" + describe());
  }
  Node* leads = leader();
  if (leads->core().membership().electors().size() < 2) return;
  const raft::Term term = leads->core().term();
  isolate(leads->id(), 10s);
  run_until(now_ + 2 * leads->core().election_timeout());
  if (leads->core().role() == raft::Role::kLeader && leads->core().term() == term) {
    throw Violation("a leader that hears nobody goes on" + describe());
  }
}

// A write now and then, while a server's disk takes four seconds for one flush, or it is cut off, or the witness is.
// Nobody has more to say then than heartbeats, entries and what is asked again once in an election timeout. Who answers
// each message with another of its own says tens of thousands, as messages take no time here.
void Cluster::check_no_storm() {
  if (!run_until(now_ + kSettleTime, [&] { return converged(); })) {
    throw Violation("a leader that was cut off does not catch up:" + describe());
  }
  Node& leads = *leader();
  const raft::Membership group = leads.core().membership();
  std::vector<raft::NodeId> others = group.electors();
  std::erase(others, leads.id());
  if (others.empty()) return;
  delay_ = 200us;
  Node& behind = *find(others[dice_.below(others.size())]);
  const bool slow = dice_.chance(0.5);
  if (slow) behind.stall_next_sync(4s);
  if (!slow) isolate(behind.id(), 4s);
  constexpr std::size_t kSteps = 60, kWrites = 40;
  const std::size_t links = group.electors().size() + group.learners.size() - 1;
  const auto beats = static_cast<std::size_t>(Duration(6s) / scenario_.node.raft.heartbeat_interval);
  // Each heartbeat, entry and commit that is told has an answer; what was lost, refused or has overtaken is said again.
  constexpr std::size_t kOften = 4;
  const std::size_t most = stats_.messages + kOften * links * (2 * beats + 4 * kWrites);
  for (std::size_t step = 0; step < kSteps; ++step) {
    if (leads.up() && step < kWrites) leads.request(kOwnRequest | step, own_write(step));
    run_until(now_ + Duration(6s) / kSteps);
    if (stats_.messages <= most) continue;
    throw Violation("a storm of messages, while node " + std::to_string(behind.id()) +
                    (slow ? " has a slow disk" : " is cut off") + describe());
  }
}

RunStats Cluster::run() {
  clients_->begin();
  push({.at = now_ + dice_.around(3s), .kind = Event::Kind::kTrouble});
  run_until(now_ + scenario_.chaos);
  make_peace();
  check_all_agree();
  clients_->expect_all();
  if (ledger_) run_until(now_ + 3s);  // watchers that had just moved
  const std::string verdict = clients_->verdict();
  if (!verdict.empty()) throw Violation(verdict);
  quiet_from_ = Instant{INT64_MAX};
  check_no_disruption();
  check_lonely_leader();
  check_no_storm();
  stats_.operations = clients_->done();
  stats_.watched = clients_->watched();
  stats_.heartbeats = heartbeats_.absorbed();
  stats_.entries = checker_.commit();
  stats_.snapshots = checker_.snapshots();
  for (const auto& node : nodes_) {
    if (node->up()) stats_.terms = std::max(stats_.terms, node->core().term());
  }
  return stats_;
}

void Cluster::log_roles() {
  static constexpr const char* kRoles[] = {"follows", "asks around", "campaigns", "leads"};
  for (const auto& node : nodes_) {
    std::string line = "node " + std::to_string(node->id()) + " is down";
    if (node->up()) {
      const raft::RaftCore& core = node->core();
      line = "node " + std::to_string(node->id()) + " " + kRoles[static_cast<int>(core.role())] + " " +
             std::to_string(core.leader()) + " in term " + std::to_string(core.term());
    }
    if (line != last_logged_[node->id()]) log(line);
    last_logged_[node->id()] = line;
  }
}

void Cluster::log(const std::string& line) {
  if (trace_) std::fprintf(stderr, "%10.6f %s\n", static_cast<double>(now_.nanoseconds) / 1e9, line.c_str());
}

}  // namespace kayak::sim
