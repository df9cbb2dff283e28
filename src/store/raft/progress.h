// progress.h: what a leader knows of one other member, and how much it may send it.
//   probe      where the logs part is not known: one message at a time
//   replicate  they agree: entries are sent ahead of the answers, within a window of messages and bytes
//   snapshot   what it needs is compacted: only heartbeats until a snapshot has arrived
// Source: the dissertation, 3.5, 10.2.1 (pipelining), 5.3 (snapshots).
#pragma once

#include <deque>
#include <optional>

#include "base/clock.h"
#include "store/raft/types.h"

namespace kayak::store::raft {

struct Window {
  std::size_t messages = 64;
  std::size_t bytes = 8 * 1024 * 1024;
};

class Progress {
 public:
  enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot };

  Progress(LogIndex next, Instant now) : contact(now), in_sync_at(now), next_(next), level_at_(now) {}

  State state() const { return state_; }
  LogIndex match() const { return match_; }  // on its disk and equal to the leader's
  LogIndex next() const { return next_; }    // to send
  bool may_send(const Window& window) const;

  void sent(LogIndex last, std::size_t bytes);  // a message whose last entry is `last` (0: none)
  // It has the log up to `index`. True when that is news.
  bool acknowledged(LogIndex index);
  // It has nothing at `rejected`; no entry above `can_match` can match. False when the answer is an old one.
  // `compacted`: as of become_probe().
  bool rejected(LogIndex rejected, LogIndex can_match, LogIndex compacted);
  void try_again() { probe_sent_ = false; }  // the last message of a probe may be lost

  // The log up to `compacted` is gone. Whether the follower lacks any of that only it can say: it is asked behind it.
  void become_probe(LogIndex compacted);
  void become_snapshot();
  void free_one() {  // a full window whose answers may be lost
    if (!in_flight_.empty()) pop_in_flight();
  }
  bool window_full(const Window& window) const {
    return in_flight_.size() >= window.messages || in_flight_bytes_ >= window.bytes;
  }

  // How long it has lacked something that was committed, as far as is known; 0: it lacks nothing. A member is level
  // with the group at an instant when, later, it has what was committed then.
  Duration behind(LogIndex commit, Instant now) const { return match_ >= commit ? Duration(0) : now - level_at_; }
  bool ever_level() const { return ever_level_; }  // in this term; before, behind() counts from the term's beginning
  void note_level(LogIndex commit, Instant now);   // it was heard, and `commit` is all that is committed
  // Whether it was heard in this term, and not longer ago than `time`.
  bool answers_within(Duration time, Instant now) const { return heard && now - contact <= time; }

  Instant contact;               // when it was last heard; before that, when this began
  bool heard = false;            // in this term
  Instant in_sync_at;            // when it was last seen to keep up (witness.cc)
  std::uint64_t read_round = 0;  // the highest it has answered
  LogIndex told_commit = 0;
  bool fetching = false;  // the shell reads entries for it from disk
  // In state snapshot: what it was offered; unset while the shell still makes it.
  std::optional<SnapshotMeta> snapshot;

 private:
  void begin(State state, LogIndex next);
  void pop_in_flight() {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
  struct InFlight {
    LogIndex last;
    std::size_t bytes;
  };
  State state_ = State::kProbe;
  LogIndex match_ = 0;
  LogIndex next_ = 1;
  bool probe_sent_ = false;
  std::deque<InFlight> in_flight_;
  std::size_t in_flight_bytes_ = 0;
  Instant level_at_;
  bool ever_level_ = false;
  std::optional<LogIndex> mark_;  // what was committed at mark_at_
  Instant mark_at_;
};

}  // namespace kayak::store::raft
