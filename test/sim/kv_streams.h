// kv_streams.h: the watches that clients have at one simulated server: the real cursors, with reads that take time.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "sim/kv_machine.h"

namespace kayak::sim {

class KvStreams {
 public:
  struct Outside {
    std::function<void(StreamId, StreamNews)> say;
    std::function<void(StreamId)> read_later;  // read() is called after the time that a disk takes
    std::function<void()> progress_later;      // send_progress() is called after WatchGroups::kProgressDelay
  };
  KvStreams(KvMachine& machine, ShellMutant mutant, Outside outside)
      : machine_(machine), mutant_(mutant), outside_(std::move(outside)) {}

  void open(StreamId id, store::WatchRequest request);
  void close(StreamId id) { streams_.erase(id); }
  void request_progress(StreamId id);
  // After anything has changed: gives what there is to give.
  void pump();
  void read(StreamId id);
  void send_progress();

 private:
  struct Stream {
    std::unique_ptr<store::WatchCursor> cursor;
    bool woken = true;
    store::WatchStep reading{};  // kWait: nothing is being read
    std::shared_ptr<const void> pin;
    std::uint64_t generation = 0;  // of the state that is read from
  };
  // False: the stream has ended.
  bool drive(StreamId id, Stream& stream);
  void give(StreamId id, std::vector<store::WatchBatch> batches);
  void fail(StreamId id, Code code);
  StreamNews news(StreamNews::Type type) const;

  KvMachine& machine_;
  const ShellMutant mutant_;
  const Outside outside_;
  std::map<StreamId, Stream> streams_;
  bool progress_under_way_ = false;
};

}  // namespace kayak::sim
