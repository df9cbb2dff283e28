// auto_promote.cc: see auto_promote.h.
#include "store/auto_promote.h"

#include <algorithm>

namespace kayak::store {

namespace {

// Entries; fewer than the core lets a learner lag behind when it is promoted.
constexpr raft::LogIndex kLag = 128;
constexpr std::size_t kMaxVotersWithWitness = 2;

}  // namespace

std::optional<raft::NodeId> AutoPromote::next(const raft::Membership& membership,
                                              const std::vector<raft::NodeId>& keeping_up, Instant now) {
  const auto keeps_up = [&keeping_up, &membership](raft::NodeId node) {
    return membership.is_learner(node) && std::find(keeping_up.begin(), keeping_up.end(), node) != keeping_up.end();
  };
  std::erase_if(since_, [&](const auto& one) { return !keeps_up(one.first); });
  for (const raft::NodeId node : keeping_up) {
    if (keeps_up(node)) since_.try_emplace(node, now);
  }
  const std::size_t most = membership.witness != raft::kNobody ? kMaxVotersWithWitness : kMaxVoters;
  if (membership.voters.size() >= most) return std::nullopt;
  // Who has kept up longest goes first.
  std::optional<raft::NodeId> first;
  for (const auto& [node, since] : since_) {
    if (now - since < kSteady) continue;
    if (!first || since < since_[*first]) first = node;
  }
  return first;
}

std::vector<raft::NodeId> learners_keeping_up(const raft::RaftCore& leader, Instant now,
                                              const std::function<bool(raft::NodeId)>& witness_knows) {
  std::vector<raft::NodeId> out;
  const bool asks_witness = leader.membership().witness != raft::kNobody && witness_knows;
  for (const raft::NodeId node : leader.membership().learners) {
    const raft::Progress* progress = leader.progress(node);
    if (!progress || progress->state() != raft::Progress::State::kReplicate) continue;
    if (asks_witness && !witness_knows(node)) continue;
    const bool heard = progress->answers_within(leader.election_timeout(), now);
    if (heard && progress->match() + kLag >= leader.commit()) out.push_back(node);
  }
  return out;
}

}  // namespace kayak::store
