// checker.cc: see checker.h.
#include "sim/checker.h"

#include <algorithm>

namespace kayak::sim {

namespace {

std::string name(raft::NodeId node) { return "node " + std::to_string(node); }
std::string place(raft::LogIndex index, raft::Term term) {
  return "entry " + std::to_string(index) + " of term " + std::to_string(term);
}
}  // namespace

std::size_t Checker::content(const raft::Entry& entry) const {
  std::string bytes(entry.payload ? "p" : entry.membership ? "m" : "");
  if (entry.payload) payloads_.encode(*entry.payload, &bytes);
  if (entry.membership) {
    for (const raft::NodeId node : entry.membership->voters) bytes += std::to_string(node) + ",";
    for (const raft::NodeId node : entry.membership->learners) bytes += std::to_string(node) + ";";
    bytes += std::to_string(entry.membership->witness);
  }
  return std::hash<std::string>()(bytes);
}

void Checker::started(raft::NodeId node, const raft::Restored& restored) {
  Known& before = known(node);
  if (restored.hard.term < before.said) {
    throw Violation(name(node) + " restarts in term " + std::to_string(restored.hard.term) +
                    " but has spoken in term " + std::to_string(before.said));
  }
  before.role = raft::Role::kFollower;
  before.term = restored.hard.term;
  before.commit = restored.hard.commit;
}

void Checker::went_back(raft::NodeId node, DiskContents held) {
  held_[node] = std::move(held);
  known(node).acknowledged = 0;
}

void Checker::stepped(const raft::RaftCore& core) {
  Known& before = known(core.id());
  if (core.term() < before.term) throw Violation(name(core.id()) + " goes back in terms");
  if (core.commit() < before.commit) throw Violation(name(core.id()) + " takes back a commit");
  const bool leads = core.role() == raft::Role::kLeader;
  if (leads && (before.role != raft::Role::kLeader || before.term != core.term())) became_leader(core);
  if (leads && core.commit() > before.commit) committed(core, before.commit);
  before.role = core.role();
  before.term = core.term();
  before.commit = core.commit();
}

// Election safety and leader completeness.
void Checker::became_leader(const raft::RaftCore& core) {
  const auto [leader, first] = leaders_.emplace(core.term(), core.id());
  if (!first && leader->second != core.id()) {
    throw Violation(name(core.id()) + " and " + name(leader->second) + " both lead term " +
                    std::to_string(core.term()));
  }
  for (raft::LogIndex index = committed_.size() - 1; index > core.log().compacted(); --index) {
    const Committed& entry = committed_[index];
    if (entry.by >= core.term() || core.log().matches(index, entry.term)) continue;
    throw Violation(name(core.id()) + " leads term " + std::to_string(core.term()) + " without the committed " +
                    place(index, entry.term));
  }
}

// Electors enough to keep any other from being elected without it have the entry on disk.
bool Checker::is_durable(const raft::RaftCore& core, raft::LogIndex index, raft::Term term) const {
  const raft::Membership& group = core.membership();
  const auto has = [&](raft::NodeId node) {
    const auto held = held_.find(node);
    return disk_of_(node).holds(index, term) || (held != held_.end() && held->second.holds(index, term));
  };
  const auto count = static_cast<std::size_t>(std::count_if(group.voters.begin(), group.voters.end(), has));
  if (group.witness == raft::kNobody) return count >= group.majority();
  if (count == group.voters.size()) return true;
  const auto& record = disk_of_(group.witness).record;
  return record && record->term == core.term() && std::all_of(record->in_sync.begin(), record->in_sync.end(), has);
}

void Checker::committed(const raft::RaftCore& core, raft::LogIndex from) {
  const raft::LogIndex last = core.commit();
  for (raft::LogIndex index = std::max(from, core.log().compacted()) + 1; index <= last; ++index) {
    const raft::Term term = *core.log().term_of(index);
    if (index < committed_.size()) {
      if (committed_[index].term != term) {
        throw Violation(name(core.id()) + " commits " + place(index, term) + " where " +
                        place(index, committed_[index].term) + " is committed");
      }
      continue;
    }
    committed_.push_back({.term = term, .by = core.term()});
  }
  membership_ = core.log().membership_at(last).membership;
  // Counting proves nothing about an entry of an older term (dissertation, 3.6.2): what happens else takes so many
  // elections in the wrong order that it is looked for by the rule.
  if (core.log().term_of(last) != core.term()) {
    throw Violation(name(core.id()) + " commits " + place(last, *core.log().term_of(last)) + " in term " +
                    std::to_string(core.term()) + " by counting");
  }
  if (!is_durable(core, last, *core.log().term_of(last))) {
    throw Violation(name(core.id()) + " commits " + place(last, *core.log().term_of(last)) +
                    " which too few disks hold");
  }
}

void Checker::sends(const raft::Message& message) {
  const auto* request = std::get_if<raft::RequestVote>(&message.body);
  const auto* vote = std::get_if<raft::RequestVoteReply>(&message.body);
  const bool about_future = (request && request->pre_vote) || (vote && vote->pre_vote);
  if (!about_future) known(message.from).said = std::max(known(message.from).said, message.term);
  const DiskContents& disk = disk_of_(message.from);
  if (const auto* reply = std::get_if<raft::AppendEntriesReply>(&message.body)) {
    // What another term has cut off since was said to a leader that is none any more.
    const bool current = message.term == disk.hard.term;
    if (!reply->rejected && current && reply->index > disk.last_index()) {
      throw Violation(name(message.from) + " acknowledges entry " + std::to_string(reply->index) +
                      ", which is not on its disk");
    }
    Known& of = known(message.from);
    if (!reply->rejected && message.term > of.acknowledged_in) {
      of.acknowledged_in = message.term;
      of.acknowledged = 0;
    }
    if (!reply->rejected && message.term == of.acknowledged_in) {
      of.acknowledged = std::max(of.acknowledged, reply->index);
    }
  }
  raft::NodeId voted_for = raft::kNobody;
  if (vote && vote->granted && !vote->pre_vote) voted_for = message.to;
  if (request && !request->pre_vote) voted_for = message.from;
  if (voted_for != raft::kNobody) {
    const auto [given, first] = votes_.emplace(std::pair(message.from, message.term), voted_for);
    if (!first && given->second != voted_for) {
      throw Violation(name(message.from) + " votes twice in term " + std::to_string(message.term));
    }
  }
}

void Checker::appends(const raft::RaftCore& core, const raft::Append& append) {
  const Known& of = known(core.id());
  if (core.term() == of.acknowledged_in && core.log().last_index() < of.acknowledged) {
    throw Violation(name(core.id()) + " takes back entry " + std::to_string(of.acknowledged) +
                    ", which it has acknowledged in this term");
  }
  if (append.first == 0) return;
  raft::Term before = core.log().term_of(append.first - 1).value_or(0);
  for (const raft::Entry& entry : append.entries) {
    if (seen_.size() <= entry.index) seen_.resize(entry.index + 1);
    std::vector<Seen>& seen = seen_[entry.index];
    const auto same = std::find_if(seen.begin(), seen.end(), [&](const Seen& one) { return one.term == entry.term; });
    if (same == seen.end()) {
      seen.push_back({entry.term, before, content(entry)});
    } else if (same->content != content(entry) || same->term_before != before) {
      throw Violation("two logs differ at or before " + place(entry.index, entry.term) + ", seen at " +
                      name(core.id()));
    }
    before = entry.term;
  }
}

void Checker::check_digest(raft::NodeId node, raft::LogIndex index, std::uint64_t digest) {
  Committed& at = committed_[index];
  if (at.digest_known && at.digest != digest) {
    throw Violation(name(node) + " has another state after " + place(index, at.term) + " than others");
  }
  at.digest = digest;
  at.digest_known = true;
}

void Checker::applied(raft::NodeId node, const raft::Entry& entry, std::uint64_t digest) {
  if (!is_committed(entry.index, entry.term)) {
    throw Violation(name(node) + " applies " + place(entry.index, entry.term) + ", which no leader committed");
  }
  check_digest(node, entry.index, digest);
}

void Checker::installed(raft::NodeId node, raft::LogIndex index, std::uint64_t digest) {
  ++snapshots_;
  if (index >= committed_.size()) throw Violation(name(node) + " installs a snapshot from the future");
  check_digest(node, index, digest);
}

}  // namespace kayak::sim
