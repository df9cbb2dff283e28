// membership.cc: memberships as values. Source: see membership.h.
#include "store/raft/membership.h"

#include <algorithm>

namespace kayak::store::raft {

namespace {

bool holds(const std::vector<NodeId>& sorted, NodeId node) {
  return std::binary_search(sorted.begin(), sorted.end(), node);
}
void insert(std::vector<NodeId>* sorted, NodeId node) {
  sorted->insert(std::lower_bound(sorted->begin(), sorted->end(), node), node);
}

// A witness stands for the third server of a group: beside three it would only add a way to lose a majority.
constexpr std::size_t kMaxVotersWithWitness = 2;

}  // namespace

std::size_t Entry::bytes() const {
  constexpr std::size_t kOverhead = 32;  // of index, term and frame, on the wire and in memory
  if (payload) return kOverhead + payload->bytes();
  return membership ? kOverhead + 8 * (membership->voters.size() + membership->learners.size() + 1) : kOverhead;
}

bool Membership::is_voter(NodeId node) const { return holds(voters, node); }
bool Membership::is_learner(NodeId node) const { return holds(learners, node); }
bool Membership::contains(NodeId node) const {
  return node != kNobody && (is_voter(node) || is_learner(node) || node == witness);
}
std::vector<NodeId> Membership::electors() const {
  std::vector<NodeId> all = voters;
  if (witness != kNobody) all.push_back(witness);
  return all;
}

Result<Membership> changed(const Membership& before, const MembershipChange& change) {
  Membership after = before;
  const NodeId node = change.node;
  if (node == kNobody) return Error(Code::kInvalid, "a member needs an id");
  switch (change.type) {
    case MembershipChange::Type::kAddLearner:
      if (before.contains(node)) return Error(Code::kAlreadyExists, "this member is in the group");
      insert(&after.learners, node);
      return after;
    case MembershipChange::Type::kPromote:
      if (before.is_voter(node)) return Error(Code::kAlreadyExists, "this member votes already");
      if (!before.is_learner(node)) return Error(Code::kNotFound, "no such learner");
      if (before.witness != kNobody && before.voters.size() >= kMaxVotersWithWitness) {
        return Error(Code::kInvalid, "a group with a witness has at most two servers; remove the witness first");
      }
      std::erase(after.learners, node);
      insert(&after.voters, node);
      return after;
    case MembershipChange::Type::kAddWitness:
      if (before.contains(node)) return Error(Code::kAlreadyExists, "this member is in the group");
      if (before.witness != kNobody) return Error(Code::kAlreadyExists, "the group has a witness");
      if (before.voters.size() != kMaxVotersWithWitness) {
        return Error(Code::kInvalid, "a witness is for a group of two servers");
      }
      after.witness = node;
      return after;
    case MembershipChange::Type::kRemove:
      if (!before.contains(node)) return Error(Code::kNotFound, "no such member");
      if (before.is_voter(node) && before.voters.size() == 1) {
        return Error(Code::kInvalid,
                     "this is the only server with a vote, and holds what is committed: promote another one first, or, "
                     "to give the cluster up, stop this one and move its data directory away");
      }
      if (node == before.witness) after.witness = kNobody;
      std::erase(after.voters, node);
      std::erase(after.learners, node);
      return after;
  }
  return Error(Code::kInvalid, "no such change");
}

}  // namespace kayak::store::raft
