// state_machine.h: what a simulated node replicates. The node's shell (node.h) knows no more of it than this, so that
// the real store (MVCC over SQLite) can stand here in place of the toy: entries carry its effects, evaluate() is its
// evaluator over applied and in-flight state, an image its rows at one revision. SimDisk then gives way to its database
// on a VFS that drops or tears what is not flushed; what it tells the node (restored state, numbers that are durable)
// stays.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "store/raft/wire.h"

namespace kayak::sim {

namespace raft = store::raft;

// One operation of a client on one register. Values are unique but for 0, which every register holds at first.
struct Command {
  enum class Type : std::uint8_t { kRead, kPut, kCompareAndSwap };
  Type type = Type::kRead;
  std::uint32_t key = 0;
  std::uint64_t value = 0;     // to write
  std::uint64_t expected = 0;  // kCompareAndSwap
};
struct Answer {
  bool swapped = true;      // kCompareAndSwap: `expected` was there
  std::uint64_t value = 0;  // kRead, and what a failed compare saw
};

class StateMachine {
 public:
  // The whole state after some entry; never changes. Restarts and other nodes begin from it.
  class Image {
   public:
    virtual ~Image() = default;
  };
  using ImageRef = std::shared_ptr<const Image>;
  struct Proposal {
    raft::PayloadRef payload;
    Answer answer;  // given when the entry is committed
  };

  virtual ~StateMachine() = default;
  // At the leader, once per write: against what is applied and what is proposed on top of it.
  virtual Proposal evaluate(const Command& command) = 0;
  // This node no longer leads: what was proposed and is not applied may never be.
  virtual void forget_proposals() = 0;
  virtual void apply(const raft::Entry& entry) = 0;
  virtual Answer read(const Command& command) const = 0;
  virtual ImageRef image() const = 0;
  virtual void restore(const ImageRef& image) = 0;
  // Messages between nodes travel as bytes.
  virtual const raft::PayloadCodec& payloads() const = 0;
  // Equal after the same entries.
  virtual std::uint64_t digest() const = 0;
};
using MakeStateMachine = std::function<std::unique_ptr<StateMachine>()>;

}  // namespace kayak::sim
