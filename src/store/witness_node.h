// witness_node.h: a witness: the shell around a RaftCore that votes and holds no log. It writes what the core wants on
// disk (witness_file.h) before the core says so to anyone; the way to the others is its caller's.
// It does what raft/README.md, "What the shell owes", asks for, as far as there is no log and no state machine.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/loop.h"
#include "store/raft/raft.h"
#include "store/raft/wire.h"
#include "store/witness_file.h"

namespace kayak::store {

// For a transport: nobody sends entries to a witness, and whoever does is not understood.
const raft::PayloadCodec& no_payloads();

class WitnessNode {
 public:
  struct Options {
    std::string path;  // of the state's file
    WitnessState state;
    Duration election_timeout = std::chrono::milliseconds(1000);  // the group's
    std::function<void(raft::Message)> send;
  };
  WitnessNode(Context context, Options options);
  ~WitnessNode();

  void receive(raft::Message message);
  // Writes until `stop` fires. A full disk is waited for. Errors: Io: what is on the disk is not known, so nothing may
  // be said any more; Corrupt: the disk went back behind what was acknowledged (`lost` in raft/README.md), which the
  // file says from then on.
  Task<Result<void>> run(StopToken stop);
  const raft::RaftCore& core() const { return *core_; }

 private:
  void settle();

  Context context_;
  const Options options_;
  std::unique_ptr<raft::RaftCore> core_;
  WitnessState wanted_;              // with all Appends up to wanted_number_
  std::uint64_t wanted_number_ = 0;  // 0: nothing was asked for yet
  std::uint64_t written_number_ = 0;
  bool stopped_ = false;
  io::Event work_;
};

}  // namespace kayak::store
