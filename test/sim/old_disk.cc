// old_disk.cc: a member's disk goes back: what it had acknowledged to its leader is gone, and nothing on it tells so.
// Such a member is found out by the leader that counts on it, and by no other (`lost` in src/store/raft/README.md). So
// it happens to one at a time, while that leader leads and nothing else goes wrong; before the next one, the member is
// removed and another has taken its place.
#include <algorithm>

#include "sim/cluster.h"

namespace kayak::sim {

using namespace std::chrono_literals;

namespace {
constexpr Duration kTimeToTell = 1200ms;  // of the leader, with the next heartbeat
}

void Cluster::age_disk(Node& node) {
  Node* leads = leader();
  if (!leads || retired_ != raft::kNobody || nodes_.size() == kMaxNodes) return;
  const raft::RaftCore& core = leads->core();
  const raft::Membership& group = core.membership();
  const bool wanted = group.is_voter(node.id()) && &node != leads && group.electors().size() >= 3;
  if (!wanted || core.log().membership_index() > core.commit()) return;
  old_disk_.emplace(OldDisk{node.id(), leads->id(), core.term(), node.disk().contents()});
  if (!counted()) return old_disk_.reset();
  calm();
  cut_spare(core, node.id());
  push({.at = now_ + dice_.between(Duration(300ms), Duration(1500ms)),
        .kind = Event::Kind::kOldDisk,
        .request = ++old_disk_number_});
}

void Cluster::calm() {
  loss_ = twice_ = late_ = 0;
  delay_ = scenario_.delay;
  for (const auto& node : nodes_) node->make_peace();
}

// Of the others only as many stay as the leader needs besides the one whose disk goes back: what that one loses, few
// have.
void Cluster::cut_spare(const raft::RaftCore& leader, raft::NodeId node) {
  const raft::Membership& group = leader.membership();
  std::size_t spare = group.electors().size() - group.majority();
  std::vector<bool> cut_off(kMaxNodes + 1);
  for (const raft::NodeId id : group.voters) {
    if (id == leader.id() || id == node || spare == 0) continue;
    cut_off[id] = true;
    --spare;
  }
  cut(10s, [&](auto from, auto to) { return cut_off[from] || cut_off[to]; });
}

// The leader still is the one that counts on the member, and nobody has heard of a later term.
bool Cluster::counted() {
  const Node* leads = find(old_disk_->leader);
  if (!leads->up() || leads->core().role() != raft::Role::kLeader || leads->core().term() != old_disk_->term) {
    return false;
  }
  return std::none_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
    return !node->retired() && (node->up() ? node->core().term() : node->disk().contents().hard.term) > old_disk_->term;
  });
}

void Cluster::next_of_old_disk() {
  if (old_disk_->fell || !may_fall()) return end_of_old_disk();
  fall();
}

// A leader that loses its only other server must be one that the witness would vote for.
bool Cluster::spared(const raft::RaftCore& leader) {
  Node* witness = find(leader.membership().witness);
  if (!witness) return true;
  const auto& record = witness->disk().contents().record;
  return record && std::count(record->in_sync.begin(), record->in_sync.end(), leader.id()) > 0;
}

// What is lost was acknowledged to this leader alone, and in this term: so was the vote.
bool Cluster::may_fall() {
  const Node* node = find(old_disk_->node);
  if (peace_ || !counted() || !node->up()) return false;
  const raft::RaftCore& leads = find(old_disk_->leader)->core();
  const raft::Progress* progress = leads.progress(node->id());
  const raft::HardState &now = node->disk().contents().hard, &then = old_disk_->before.hard;
  const bool same_term = now.term == old_disk_->term && then.term == now.term && then.vote == now.vote;
  return same_term && spared(leads) && !leads.transferring() && progress &&
         progress->match() > old_disk_->before.last_index();
}

void Cluster::fall() {
  Node& node = *find(old_disk_->node);
  const Duration down_for = dice_.around(100ms);
  crash(node, down_for);
  log("its disk goes back");
  checker_.went_back(node.id(), node.disk().contents());
  node.disk().go_back(old_disk_->before);
  old_disk_->fell = true;
  push({.at = now_ + down_for + kTimeToTell, .kind = Event::Kind::kOldDisk, .request = old_disk_number_});
}

void Cluster::hears_of_old_disk(const Node& node, const raft::Message& message) {
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  if (!heartbeat || node.id() != old_disk_->node || !node.up() || !old_disk_->fell) return;
  const bool current = message.from == old_disk_->leader && message.term == node.core().term();
  if (current && heartbeat->commit > node.core().log().last_index()) old_disk_->told = true;
}

// A leader that ends before it has told leaves that to whoever looks after the servers.
void Cluster::watch_old_disk() {
  Node& node = *find(old_disk_->node);
  if (old_disk_->fell && !old_disk_->told && !node.retired() && !counted()) retire(node);
}

void Cluster::end_of_old_disk() {
  Node& node = *find(old_disk_->node);
  if (old_disk_->fell && !old_disk_->told && !node.retired()) retire(node);
  // If it went on, those could win now who lack what is lost.
  if (!peace_ && old_disk_->fell && dice_.chance(0.7)) crash(*find(old_disk_->leader), 2s + dice_.around(1s));
  old_disk_.reset();
  cut(Duration(0), [](auto, auto) { return false; });
}

void Cluster::lost(Node& node) {
  const bool true_indeed = old_disk_ && old_disk_->node == node.id() && old_disk_->fell;
  if (!true_indeed) throw Violation("a server whose disk kept everything takes acknowledged entries for lost");
  retire(node);
}

void Cluster::retire(Node& node) {
  log("node " + std::to_string(node.id()) + " is gone for good");
  crash(node, Duration(0));
  node.retire();
  retired_ = node.id();
  push({.at = now_ + dice_.around(1s), .kind = Event::Kind::kReplace});
}

// What whoever looks after the servers does, step by step: it is removed, another joins.
void Cluster::replace() {
  Node* leads = leader();
  const raft::Membership* committed = checker_.membership();
  if (retired_ == raft::kNobody) return;
  push({.at = now_ + 300ms, .kind = Event::Kind::kReplace});
  if (!leads || leads->paused_until > now_ || old_disk_) return;
  const raft::Membership& group = leads->core().membership();
  using Type = raft::MembershipChange::Type;
  if (group.contains(retired_)) {
    (void)leads->change({Type::kRemove, retired_});
  } else if (replacement_ == raft::kNobody) {
    if (committed && !committed->contains(retired_)) replacement_ = add_node(false, {}).id();
  } else if (!group.contains(replacement_)) {
    (void)leads->change({Type::kAddLearner, replacement_});
  } else if (!group.is_voter(replacement_)) {
    (void)leads->change({Type::kPromote, replacement_});
  } else {
    retired_ = replacement_ = raft::kNobody;
  }
}

}  // namespace kayak::sim
