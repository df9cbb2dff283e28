// support_raft.h: a few RaftCores on one table: their messages lie in a queue that the test delivers, cuts or drops,
// their disks answer at once or when the test says so. Nothing is random but election timeouts.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/raft/raft.h"

namespace kayak::store::raft::test {

// Entries of the given terms, at 1, 2, 3, ...
std::vector<Entry> log_of(const std::vector<Term>& terms);
Membership group_of(std::vector<NodeId> voters, NodeId witness = kNobody);
// A disk with that log, of which nothing is known to be committed.
Restored disk_of(const Membership& group, const std::vector<Term>& terms, HardState hard);
PayloadRef text(std::string words);
std::string words(const Entry& entry);  // "" for the core's own entries

// The messages of one kind among `messages`, with their envelopes.
template <typename T>
std::vector<std::pair<Message, T>> of_kind(const std::vector<Message>& messages) {
  std::vector<std::pair<Message, T>> out;
  for (const Message& message : messages) {
    if (const T* body = std::get_if<T>(&message.body)) out.emplace_back(message, *body);
  }
  return out;
}

// One core whose effects the test looks at.
struct Single {
  explicit Single(Restored restored, Options options = {}, NodeId id = 1);
  Output step(NodeId from, Term term, Body body);
  Output pass(Duration time);
  Output persist() {  // everything that it wanted written
    core.appended(last_append);
    return take();
  }
  Output take();
  // Makes it campaign, elects it with the votes of all others and returns what it sent then.
  Output elect();

  SeededRandom random{7};
  Instant now{1'000'000'000};
  RaftCore core;
  std::uint64_t last_append = 0;
};

class Table {
 public:
  struct Seat {
    std::unique_ptr<SeededRandom> random;
    std::unique_ptr<RaftCore> core;
    Options options;
    Duration ahead{};  // its clock, of the others'
    Restored disk;     // what is durable: entries all in `tail`
    std::deque<Append> writing;
    bool disk_answers = true;
    std::vector<std::string> applied;
    LogIndex applied_index = 0;
    std::vector<ReadDone> reads;
    std::vector<NodeId> snapshots_wanted;
    std::vector<SnapshotId> snapshots_released;
    std::optional<SnapshotFetch> snapshot_fetch;
    std::optional<SnapshotMeta> installed;
    std::vector<Fetch> fetches;
    std::optional<LogIndex> lost;
  };

  explicit Table(const Membership& group, Options options = {});
  Seat& add(NodeId id, Restored restored, Options options = {});
  RaftCore& core(NodeId id) { return *seats_.at(id).core; }
  Seat& seat(NodeId id) { return seats_.at(id); }

  // Performs what `id` wants; with deliver() also what others want because of it.
  void settle(NodeId id);
  void deliver();  // until nothing is on its way
  void settle_and_deliver(NodeId id) {
    settle(id);
    deliver();
  }
  void persist(NodeId id);   // what the disk of `id` kept back
  void pass(Duration time);  // for all, with deliveries every 50 ms
  void campaign(NodeId id);  // its clock jumps to where its timer runs out
  void elect(NodeId id) {
    campaign(id);
    deliver();
  }
  Instant now(NodeId id) { return now_ + seat(id).ahead; }  // by its clock
  NodeId leader() const;                                    // the one of the highest term; kNobody when there is none
  LogIndex propose(NodeId id, const std::string& words);    // delivers, too
  void crash(NodeId id);                                    // what its disk did not answer for is gone
  void restart(NodeId id);

  // Links that lose everything.
  void cut(NodeId from, NodeId to) { cut_[{from, to}] = true; }
  void isolate(NodeId id, bool isolated = true);
  void heal() { cut_.clear(); }
  std::function<bool(const Message&)> drops;  // more that is lost
  std::deque<Message> wire;

 private:
  std::map<NodeId, Seat> seats_;
  std::map<std::pair<NodeId, NodeId>, bool> cut_;
  Instant now_{1'000'000'000};
  Options options_;
};

}  // namespace kayak::store::raft::test
