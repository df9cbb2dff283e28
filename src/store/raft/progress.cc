// progress.cc: see progress.h.
#include "store/raft/progress.h"

#include <algorithm>

namespace kayak::store::raft {

bool Progress::may_send(const Window& window) const {
  switch (state_) {
    case State::kProbe:
      return !probe_sent_;
    case State::kReplicate:
      return !window_full(window);
    case State::kSnapshot:
      return false;
  }
  return false;
}

void Progress::sent(LogIndex last, std::size_t bytes) {
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;
  }
  if (last == 0) return;
  in_flight_.push_back({last, bytes});
  in_flight_bytes_ += bytes;
  next_ = last + 1;
}

bool Progress::acknowledged(LogIndex index) {
  while (!in_flight_.empty() && in_flight_.front().last <= index) pop_in_flight();
  const bool news = index > match_;
  match_ = std::max(match_, index);
  next_ = std::max(next_, match_ + 1);
  if (state_ == State::kProbe) begin(State::kReplicate, match_ + 1);
  return news;
}

void Progress::note_level(LogIndex commit, Instant now) {
  if (match_ >= commit) {
    mark_.reset();
    level_at_ = now;
    ever_level_ = true;
    return;
  }
  if (mark_ && match_ < *mark_) return;
  if (mark_) {
    level_at_ = mark_at_;
    ever_level_ = true;
  }
  mark_ = commit;
  mark_at_ = now;
}

bool Progress::rejected(LogIndex rejected, LogIndex can_match, LogIndex compacted) {
  if (state_ == State::kReplicate) {
    if (rejected <= match_) return false;
    become_probe(compacted);
    return true;
  }
  if (state_ != State::kProbe || next_ != rejected + 1) return false;
  // It refuses what it had acknowledged: there is nothing before that to try, and what was lost there is for it to find
  // out (follower.cc). Else every refusal would be answered by the same question.
  if (rejected <= match_) return false;
  next_ = std::max(std::min(rejected, can_match + 1), match_ + 1);
  probe_sent_ = false;
  return true;
}

void Progress::begin(State state, LogIndex next) {
  state_ = state;
  next_ = next;
  probe_sent_ = false;
  in_flight_.clear();
  in_flight_bytes_ = 0;
  snapshot.reset();
}

void Progress::become_probe(LogIndex compacted) { begin(State::kProbe, std::max(match_, compacted) + 1); }

void Progress::become_snapshot() { begin(State::kSnapshot, match_ + 1); }

}  // namespace kayak::store::raft
