// messages.h: what members say to each other, as plain structs; wire.h makes bytes of them.
// Source: the dissertation, figure 3.1 (RequestVote, AppendEntries), 5.3 (InstallSnapshot), 3.10 (TimeoutNow),
// 6.4 (read rounds), 9.6 (pre-vote). Heartbeats are messages of their own, so that they stay small and may overtake.
#pragma once

#include <variant>
#include <vector>

#include "store/raft/types.h"

namespace kayak::store::raft {

struct RequestVote {
  LogIndex last_index = 0;
  Term last_term = 0;
  bool pre_vote = false;  // asks whether a vote would be given; the message's term is then the one that would begin
  bool transfer = false;  // the leader wants it: no voter holds back for the leader's sake
};
struct RequestVoteReply {
  bool pre_vote = false;
  bool granted = false;
};

struct AppendEntries {
  LogIndex prev_index = 0;
  Term prev_term = 0;
  std::vector<Entry> entries;
  LogIndex commit = 0;
  std::uint64_t read_round = 0;  // comes back with the answer
};
struct AppendEntriesReply {
  bool rejected = false;
  LogIndex index = 0;       // on disk and the same as the leader's up to here; rejected: the prev_index that failed
  LogIndex hint_index = 0;  // rejected: no entry above this one can match
  Term hint_term = 0;       // rejected: the term of that entry
  std::uint64_t read_round = 0;
};

struct Heartbeat {
  // Not beyond what this follower has acknowledged in this term. To a witness, which has no log: the version of the
  // newest record that it has acknowledged in this term, 0: none.
  LogIndex commit = 0;
  std::uint64_t read_round = 0;
};
// Also the answer to a leader of the past: its term alone says all.
struct HeartbeatReply {
  std::uint64_t read_round = 0;
};

// The state lies ready at the sender under snapshot.id; the receiver's shell fetches it.
struct InstallSnapshot {
  SnapshotMeta snapshot;
};
struct InstallSnapshotReply {  // it could not be fetched; success is an AppendEntriesReply
  SnapshotId id = 0;
};

struct RecordInSync {
  WitnessRecord record;
};
struct RecordInSyncReply {  // it is on disk
  std::uint64_t version = 0;
};

struct TimeoutNow {};  // campaign at once

struct ReadIndex {
  std::uint64_t batch = 0;
};
struct ReadIndexReply {
  std::uint64_t batch = 0;
  LogIndex index = 0;
};

using Body = std::variant<RequestVote, RequestVoteReply, AppendEntries, AppendEntriesReply, Heartbeat, HeartbeatReply,
                          InstallSnapshot, InstallSnapshotReply, RecordInSync, RecordInSyncReply, TimeoutNow, ReadIndex,
                          ReadIndexReply>;

// Whether a witness ever says this: it only answers (witness.cc).
bool witness_sends(const Body& body);

struct Message {
  NodeId from = kNobody;
  NodeId to = kNobody;
  Term term = 0;  // the sender's, but in pre-votes (see RequestVote)
  Body body;
};

}  // namespace kayak::store::raft
