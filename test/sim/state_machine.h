// state_machine.h: what a simulated node replicates. The node's shell (node.h) knows no more of it than this, so that
// the real store (MVCC over SQLite) can stand here in place of the toy: entries carry its effects, evaluate() is its
// evaluator over applied and in-flight state, an image its rows at one revision. SimDisk then gives way to its database
// on a VFS that drops or tears what is not flushed; what it tells the node (restored state, numbers that are durable)
// stays.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sim/kv_request.h"
#include "store/raft/wire.h"

namespace kayak::sim {

namespace raft = store::raft;

// One operation of a client on one register. Values are unique but for 0, which every register holds at first.
struct Command {
  enum class Type : std::uint8_t { kRead, kPut, kCompareAndSwap };
  Type type = Type::kRead;
  std::uint32_t key = 0;
  std::uint64_t value = 0;              // to write
  std::uint64_t expected = 0;           // kCompareAndSwap
  std::shared_ptr<const KvRequest> kv;  // set: of the real store, and nothing above counts
};
struct Answer {
  bool swapped = true;      // kCompareAndSwap: `expected` was there
  std::uint64_t value = 0;  // kRead, and what a failed compare saw
  std::shared_ptr<KvAnswer> kv;
};

// Mistakes that the shell or the real store could make.
enum class ShellMutant : std::uint8_t {
  kNone,
  kSkipFsync,          // writes count as durable before they are
  kAppliedBeforeRead,  // a confirmed read is answered from what is applied, however old
  kForgetsInFlight,    // the leader evaluates against applied state alone
  kEvaluatesTooEarly,  // the leader evaluates before the entries of former terms are applied
  // Of the real store.
  kReadsAlone,            // consistent reads are answered without ReadIndex
  kTxnReadsAlone,         // a transaction that writes nothing is answered without a round
  kReusesRevision,        // a new leader begins with the revision that is there already
  kPastReadsNewest,       // a range at an older revision gets the newest
  kCompactionDropsLive,   // rows go that the floor still needs
  kSweepIgnoresPins,      // rows go that an answer on its way still needs
  kWatchResumesLate,      // after a compaction, one revision late
  kWatchBeforeReadable,   // events of what is only proposed
  kProgressTooHigh,       // by one
  kDeleteLacksPrevious,   // the event of a deletion comes without what was there
  kInstallKeepsHistory,   // a snapshot's state with the events that were before it
  kInstallKeepsGroups,    // watches take what an installed snapshot skipped for quiet
  kTruncatedRowsInIndex,  // a restart takes uncommitted entries for committed ones
  kSyncsLie,              // the database's syncs do nothing
  kInstallForgetsVote,    // an installed database has the term alone
  kInstallKeepsLog,       // a database is installed beside the write-ahead log of the one before
  // Of leases.
  kKeepAliveAlone,  // keeping alive is answered without a round
  kLeaseTimeStays,  // who leads again goes on with the ends that it knew
  // Of heartbeats.
  kFoldWritesOlder,          // a fold writes the object as it was before the heartbeat
  kHeartbeatsStay,           // the leader keeps them to itself
  kOverlayOutlivesRevision,  // an object's heartbeat is shown when the object has changed since
};

class KvMachine;

class StateMachine {
 public:
  // The whole state after some entry; never changes. Restarts and other nodes begin from it.
  class Image {
   public:
    virtual ~Image() = default;
  };
  using ImageRef = std::shared_ptr<const Image>;
  struct Proposal {
    raft::PayloadRef payload;  // null: nothing to write, but the answer has to wait until it is sure
    Answer answer;             // given when the entry is committed
  };

  virtual ~StateMachine() = default;
  // At the leader, once per write: against what is applied and what is proposed on top of it.
  // The entry would get this place in the log.
  virtual Proposal evaluate(const Command& command, raft::LogIndex index, raft::Term term) = 0;
  // Before the answer leaves: what evaluate() left to be read then.
  virtual void complete(Answer*) {}
  // This node no longer leads: what was proposed and is not applied may never be.
  virtual void forget_proposals() = 0;
  virtual void apply(const raft::Entry& entry) = 0;
  virtual Answer read(const Command& command) = 0;
  virtual ImageRef image() const = 0;
  virtual void restore(const ImageRef& image) = 0;
  // Messages between nodes travel as bytes.
  virtual const raft::PayloadCodec& payloads() const = 0;
  // Equal after the same entries.
  virtual std::uint64_t digest() const = 0;
  virtual KvMachine* kv() { return nullptr; }
};
using MakeStateMachine = std::function<std::unique_ptr<StateMachine>()>;

}  // namespace kayak::sim
