// types.h: what a Raft log is made of: entries, the state that outlives a crash, who is in the group.
// Source: Ongaro, "Consensus: Bridging Theory and Practice" (the dissertation), figure 3.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace kayak::store::raft {

using NodeId = std::uint64_t;  // of one member with one disk: who lost its disk comes back under another
using Term = std::uint64_t;
using LogIndex = std::uint64_t;  // the first entry's is 1
using SnapshotId = std::uint64_t;
constexpr NodeId kNobody = 0;
constexpr std::size_t kMaxMembers = 64;  // more than any group has: what bounds lists of them

// What the state machine keeps in an entry. The core passes it on and counts its bytes.
class Payload {
 public:
  virtual ~Payload() = default;
  virtual std::size_t bytes() const = 0;
};
using PayloadRef = std::shared_ptr<const Payload>;

// Who is in the group. Every list is sorted.
struct Membership {
  std::vector<NodeId> voters;    // vote and hold the log
  std::vector<NodeId> learners;  // hold the log
  NodeId witness = kNobody;      // votes (see witness.cc)

  bool operator==(const Membership&) const = default;
  bool is_voter(NodeId node) const;  // the witness is none
  bool is_learner(NodeId node) const;
  bool contains(NodeId node) const;
  std::vector<NodeId> electors() const;                                                            // voters and witness
  std::size_t majority() const { return (voters.size() + (witness != kNobody ? 1 : 0)) / 2 + 1; }  // of the electors
};
using MembershipRef = std::shared_ptr<const Membership>;

struct Entry {
  LogIndex index = 0;
  Term term = 0;
  PayloadRef payload;        // null in the core's own entries:
  MembershipRef membership;  // a membership change; without it, the entry with which a leader begins its term
  std::size_t bytes() const;
};

// On disk before anyone hears of it. `commit` may be behind: it spares work at a start.
struct HardState {
  Term term = 0;
  NodeId vote = kNobody;
  LogIndex commit = 0;
  bool operator==(const HardState&) const = default;
};

// What a witness keeps in place of a log: no entry is committed that is not on the disk of every node of `in_sync`.
struct WitnessRecord {
  Term term = 0;              // of the leader that wrote it
  std::uint64_t version = 0;  // counts the records of one term, as messages may overtake each other
  LogIndex index = 0;         // every node of the set had the log up to here on its disk
  Term index_term = 0;        // of the entry at `index`
  std::vector<NodeId> in_sync;
  bool operator==(const WitnessRecord&) const = default;
};

// The state after the entry at `index`. Its bytes are the shell's: `id` says which.
struct SnapshotMeta {
  SnapshotId id = 0;
  LogIndex index = 0;
  Term term = 0;
  MembershipRef membership;       // as of `index`
  LogIndex membership_index = 0;  // of the entry that brought it
};

}  // namespace kayak::store::raft
