// mutant.h: ways to break the core on purpose, so that the simulation proves that it would notice (test/sim).
// Nothing but tests sets one. Each names the rule that is not kept.
#pragma once

#include <cstdint>

namespace kayak::store::raft {

enum class Mutant : std::uint8_t {
  kNone,
  kAckBeforePersist,           // a follower acknowledges entries before they are on its disk
  kCountSelfUnsynced,          // the leader counts itself before its own fsync, and hands out so
  kCommitOldTerm,              // an entry of an older term is committed by counting (dissertation, figure 3.7)
  kVoteNotPersisted,           // a restart forgets the vote
  kTermNotPersisted,           // a restart forgets the term
  kVoteIgnoresLog,             // votes for candidates whose log is behind
  kNoPreVote,                  // campaigns at once
  kNoCheckQuorum,              // a leader without a majority goes on
  kCommitBeyondMatch,          // a follower commits what no message has proved equal
  kTruncateAlways,             // an old AppendEntries cuts off what follows it
  kChangeWithoutWaiting,       // several membership changes in flight
  kReadWithoutQuorum,          // ReadIndex answered at once
  kReadBeforeTermCommit,       // ReadIndex answered before an entry of the leader's term is committed
  kSnapshotOverwrites,         // a snapshot replaces a log that is further
  kWitnessRecordSkipped,       // the leader goes on alone without the witness's record
  kWitnessVotesOutsideSet,     // the witness votes for anyone up to date
  kWitnessGrowsEarly,          // a server is recorded as in sync before it has every committed entry
  kWitnessRecordNotPersisted,  // the witness answers and forgets at a restart
  kFetchedTakesBack,           // a fetched state replaces the log that has got all of it meanwhile
  kLostGoesOn,                 // a member whose disk went back goes on
  kTellsCommitAgain            // every answer to a heartbeat is answered by one
};

}  // namespace kayak::store::raft
