// support_raft.cc: see support_raft.h.
#include "store/support_raft.h"

#include "base/assert.h"

namespace kayak::store::raft::test {

namespace {
struct Words final : Payload {
  std::string text;
  std::size_t bytes() const override { return text.size(); }
};
}  // namespace

PayloadRef text(std::string words) {
  auto payload = std::make_shared<Words>();
  payload->text = std::move(words);
  return payload;
}
std::string words(const Entry& entry) {
  const auto* payload = static_cast<const Words*>(entry.payload.get());
  return payload ? payload->text : "";
}

std::vector<Entry> log_of(const std::vector<Term>& terms) {
  std::vector<Entry> log;
  for (const Term term : terms) log.push_back({log.size() + 1, term, text("of term " + std::to_string(term)), nullptr});
  return log;
}
Membership group_of(std::vector<NodeId> voters, NodeId witness) {
  return {.voters = std::move(voters), .learners = {}, .witness = witness};
}
Restored disk_of(const Membership& group, const std::vector<Term>& terms, HardState hard) {
  Restored restored;
  restored.membership = group;
  restored.hard = hard;
  restored.tail = log_of(terms);
  return restored;
}

namespace {
Options with_id(Options options, NodeId id) {
  options.id = id;
  return options;
}
}  // namespace

Single::Single(Restored restored, Options options, NodeId id)
    : core(with_id(options, id), std::move(restored), random, now) {}

Output Single::take() {
  Output output = core.take_output();
  if (output.append) last_append = output.append->number;
  return output;
}
Output Single::step(NodeId from, Term term, Body body) {
  core.step({from, core.id(), term, std::move(body)});
  return take();
}
Output Single::pass(Duration time) {
  now = now + time;
  core.advance(now);
  return take();
}
Output Single::elect() {
  now = std::max(now, core.deadline());
  core.advance(now);
  Output output = take();
  for (const bool pre : {true, false}) {
    const Term term = core.term() + (pre ? 1 : 0);
    for (const NodeId node : core.membership().electors()) {
      if (node != core.id()) core.step({node, core.id(), term, RequestVoteReply{pre, true}});
    }
    if (!pre) core.appended(last_append);
    output = take();
  }
  ASSERT(core.role() == Role::kLeader);
  return output;
}

Table::Table(const Membership& group, Options options) : options_(options) {
  for (const NodeId id : group.voters) add(id, disk_of(group, {}, {}), options);
  if (group.witness != kNobody) {
    options.witness = true;
    add(group.witness, {}, options);
  }
}

Table::Seat& Table::add(NodeId id, Restored restored, Options options) {
  Seat& seat = seats_[id];
  options.id = id;
  seat.options = options;
  seat.disk = std::move(restored);
  seat.random = std::make_unique<SeededRandom>(id);
  seat.core = std::make_unique<RaftCore>(options, seat.disk, *seat.random, now_);
  return seat;
}

void Table::settle(NodeId id) {
  Seat& seat = seats_.at(id);
  if (!seat.core) return;
  Output output = seat.core->take_output();
  for (Message& message : output.messages) wire.push_back(std::move(message));
  if (output.append) seat.writing.push_back(std::move(*output.append));
  for (const Entry& entry : output.committed) {
    ASSERT(entry.index == seat.applied_index + 1 || output.installed || seat.installed);
    seat.applied_index = entry.index;
    if (entry.payload) seat.applied.push_back(words(entry));
  }
  seat.reads.insert(seat.reads.end(), output.reads.begin(), output.reads.end());
  for (const NodeId node : output.snapshots_wanted) seat.snapshots_wanted.push_back(node);
  for (const SnapshotId snapshot : output.snapshots_released) seat.snapshots_released.push_back(snapshot);
  if (output.snapshot_fetch) seat.snapshot_fetch = output.snapshot_fetch;
  if (output.installed) seat.installed = output.installed;
  if (output.lost) seat.lost = output.lost;
  for (const Fetch& fetch : output.fetches) seat.fetches.push_back(fetch);
  if (seat.disk_answers) persist(id);
}

void Table::persist(NodeId id) {
  Seat& seat = seats_.at(id);
  if (seat.writing.empty()) return;
  const std::uint64_t number = seat.writing.back().number;
  for (Append& append : std::exchange(seat.writing, {})) {
    seat.disk.hard = append.hard;
    if (append.record) seat.disk.record = append.record;
    if (append.install) {
      seat.disk.compacted = seat.disk.applied = append.install->index;
      seat.disk.compacted_term = append.install->term;
      seat.disk.membership = *append.install->membership;
      seat.disk.membership_index = append.install->membership_index;
      seat.disk.tail.clear();
    }
    if (append.first == 0) continue;
    seat.disk.tail.resize(append.first - seat.disk.applied - 1);
    for (Entry& entry : append.entries) seat.disk.tail.push_back(std::move(entry));
  }
  seat.core->appended(number);
  settle(id);
}

void Table::deliver() {
  while (!wire.empty()) {
    Message message = std::move(wire.front());
    wire.pop_front();
    const auto to = seats_.find(message.to);
    const bool lost = to == seats_.end() || !to->second.core || cut_.contains({message.from, message.to}) ||
                      (drops && drops(message));
    if (lost) continue;
    const NodeId id = message.to;
    to->second.core->step(std::move(message));
    settle(id);
  }
}

void Table::pass(Duration time) {
  const Instant end = now_ + time;
  while (now_ < end) {
    now_ = std::min(end, now_ + std::chrono::milliseconds(50));
    for (auto& [id, seat] : seats_) {
      if (!seat.core) continue;
      seat.core->advance(now_ + seat.ahead);
      settle(id);
    }
    deliver();
  }
}

void Table::campaign(NodeId id) {
  Seat& seat = seats_.at(id);
  seat.ahead = std::max(seat.ahead, seat.core->deadline() - now_);
  seat.core->advance(now_ + seat.ahead);
  settle(id);
}

NodeId Table::leader() const {
  NodeId leader = kNobody;
  Term term = 0;
  for (const auto& [id, seat] : seats_) {
    if (!seat.core || seat.core->role() != Role::kLeader || seat.core->term() < term) continue;
    leader = id;
    term = seat.core->term();
  }
  return leader;
}

LogIndex Table::propose(NodeId id, const std::string& words) {
  const Result<LogIndex> index = core(id).propose(text(words));
  ASSERT(index);
  settle_and_deliver(id);
  return *index;
}

void Table::crash(NodeId id) {
  Seat& seat = seats_.at(id);
  seat.core.reset();
  seat.writing.clear();
}

void Table::restart(NodeId id) {
  Seat& seat = seats_.at(id);
  ASSERT(!seat.core);
  Restored restored = seat.disk;
  restored.hard.commit = restored.applied;  // to apply all of it again
  seat.applied.clear();
  seat.applied_index = restored.applied;
  seat.core = std::make_unique<RaftCore>(seat.options, std::move(restored), *seat.random, now_ + seat.ahead);
}

void Table::isolate(NodeId id, bool isolated) {
  for (const auto& [other, seat] : seats_) {
    if (isolated) cut_[{id, other}] = cut_[{other, id}] = true;
    if (!isolated) {
      cut_.erase({id, other});
      cut_.erase({other, id});
    }
  }
}

}  // namespace kayak::store::raft::test
