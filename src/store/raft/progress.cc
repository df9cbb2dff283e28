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
  if (state_ == State::kProbe) become_replicate();
  return news;
}

bool Progress::rejected(LogIndex rejected, LogIndex can_match) {
  if (state_ == State::kReplicate) {
    if (rejected <= match_) return false;
    become_probe();
    return true;
  }
  if (state_ != State::kProbe || next_ != rejected + 1) return false;
  next_ = std::max(std::min(rejected, can_match + 1), match_ + 1);
  probe_sent_ = false;
  return true;
}

void Progress::become_probe() {
  state_ = State::kProbe;
  next_ = match_ + 1;
  probe_sent_ = false;
  in_flight_.clear();
  in_flight_bytes_ = 0;
  snapshot.reset();
}

void Progress::become_replicate() {
  become_probe();
  state_ = State::kReplicate;
}

void Progress::become_snapshot() {
  become_probe();
  state_ = State::kSnapshot;
}

}  // namespace kayak::store::raft
