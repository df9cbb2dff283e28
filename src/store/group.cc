// group.cc: the engine as a member of a group: the records of the others, and changes of the membership. What it sends
// of its state, and takes of theirs, is in group_states.cc.
#include <algorithm>

#include "base/strings.h"
#include "store/forward.h"
#include "store/log_payload.h"
#include "store/snapshot_source.h"

namespace kayak::store {

namespace {
using namespace std::chrono_literals;
constexpr Duration kLearnerPeriod = 500ms;
constexpr Duration kHandOver = 2s;
constexpr Duration kTransfer = 5s;
constexpr Duration kChangePause = 50ms;
constexpr Duration kAnswers = 15s;
constexpr Duration kLevelFor = 2s;

// "name (id)" of each.
std::string names_of(const std::vector<raft::NodeId>& ids, const std::map<raft::NodeId, MemberRecord>& records) {
  std::string names;
  for (const raft::NodeId id : ids) {
    const auto record = records.find(id);
    const std::string name = record == records.end() ? "a member without a record" : record->second.name;
    names += cat(names.empty() ? "" : ", ", name, " (", member_id_text(id), ")");
  }
  return names;
}
}  // namespace

Member::Pace pace_of(const raft::Progress& progress, raft::LogIndex commit, Instant now) {
  const Duration behind = progress.behind(commit, now);
  if (now - progress.contact >= kAnswers || behind >= kAnswers) return Member::Pace::kBehind;
  return progress.ever_level() && behind < kLevelFor ? Member::Pace::kLevel : Member::Pace::kUnclear;
}

void SqliteStore::connect(Replica::Host* host) {
  Transport* transport = group_options_.transport;
  host->send = [transport](raft::Message message) { transport->send(std::move(message)); };
  host->snapshot_wanted = [this](raft::NodeId to) { make_snapshot(to); };
  host->snapshot_released = [this](raft::SnapshotId id) { snapshots_.erase(id); };
  host->fetch_snapshot = [this](const raft::SnapshotFetch& fetch) { scope_.spawn(fetch_snapshot(fetch)); };
  host->install = [this](std::uint64_t number, LogWrite write) { install(number, std::move(write)); };
  host->installed = [this] { replace_state(); };
  host->lost = [this](LogIndex acknowledged) { on_lost(acknowledged); };
  transport->serve_snapshots([this](raft::NodeId to, raft::SnapshotId id) { return open_snapshot(to, id); });
}

// ---- the members' records

Task<Result<void>> SqliteStore::load_records() {
  records_.clear();
  std::vector<RowId> rows;
  std::vector<std::string> keys;
  KeyIndex::Cursor cursor = state_.keys().seek(kMemberPrefix);
  for (const KeyRecord* record = cursor.get(); record != nullptr; cursor.next(), record = cursor.get()) {
    if (!record->key().starts_with(kMemberPrefix)) break;
    if (record->deleted) continue;
    keys.emplace_back(record->key());
    rows.push_back(record->row);
  }
  if (rows.empty()) co_return Result<void>();
  auto values = co_await read_values(rows);
  if (!values) co_return values.error();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    // While they were read, entries were applied: what they said of a member is newer.
    const KeyRecord* now = state_.keys().find(keys[i]);
    if (now == nullptr || now->deleted || now->row != rows[i]) continue;
    Result<MemberRecord> member = decode_member(keys[i], *(*values)[i]);
    if (member) records_[member->id] = std::move(*member);
  }
  records_changed();
  co_return Result<void>();
}

void SqliteStore::note_record(const Effect& effect) {
  if (effect.type == EffectType::kDelete) {
    records_.erase(parse_member_id(effect.key.substr(kMemberPrefix.size())));
  } else {
    Result<MemberRecord> member = decode_member(effect.key, *effect.value);
    // Whoever can write here can write everything; a record that is none is as if it were not there.
    if (!member) {
      context_.log.warn("a member's record cannot be read", {{"error", member.error().message()}});
      return;
    }
    records_[member->id] = std::move(*member);
  }
  records_changed();
}

void SqliteStore::records_changed() {
  if (!group_options_.members_changed) return;
  std::vector<MemberRecord> records;
  records.reserve(records_.size());
  for (const auto& [id, record] : records_) records.push_back(record);
  group_options_.members_changed(records);
}

std::vector<Member> SqliteStore::members() const {
  const raft::Membership& group = replica_->core().membership();
  std::vector<Member> out;
  auto add = [&](raft::NodeId id, Member::Role role) {
    Member& member = out.emplace_back();
    member.id = id;
    member.role = role;
    const raft::Progress* progress = replica_->core().progress(id);
    const bool self = id == leadership_.self;
    const Instant now = context_.clock.now();
    member.answers = self || (progress != nullptr && now - progress->contact < kAnswers);
    if (self) member.pace = Member::Pace::kLevel;
    if (progress != nullptr && role != Member::Role::kWitness) {
      member.pace = pace_of(*progress, replica_->core().commit(), now);
    }
    const auto record = records_.find(id);
    if (record == records_.end()) return;
    member.name = record->second.name;
    member.key = record->second.key;
    member.addresses = record->second.addresses;
  };
  for (const raft::NodeId id : group.voters) add(id, Member::Role::kVoter);
  for (const raft::NodeId id : group.learners) add(id, Member::Role::kLearner);
  if (group.witness != raft::kNobody) add(group.witness, Member::Role::kWitness);
  std::sort(out.begin(), out.end(), [](const Member& a, const Member& b) { return a.id < b.id; });
  return out;
}

// ---- changes

Result<void> SqliteStore::leading() const {
  if (auto good = usable(); !good) return good;
  if (leadership_.leads) return Result<void>();
  return Error(Code::kUnavailable, "this server does not lead");
}

Task<Result<Revision>> SqliteStore::write_record(MemberRecord member, StopToken stop) {
  if (auto good = check_member(member); !good) co_return good.error();
  const auto known = records_.find(member.id);
  if (known != records_.end() && known->second == member) co_return Revision{0};
  TxnRequest request;
  request.term = leadership_.term;
  Op& put = request.success.emplace_back();
  put.key = member_key(member.id);
  put.value = std::make_shared<const std::string>(encode_member(member));
  auto done = co_await txn(std::move(request), stop);
  if (!done) co_return done.error();
  co_return done->revision;
}

// Of a newcomer that was not taken in, unless somebody has written it again since.
Task<void> SqliteStore::take_back_record(raft::NodeId id, Revision written) {
  TxnRequest request;
  Compare& same = request.compares.emplace_back();
  same.key = member_key(id);
  same.number = written;
  Op& gone = request.success.emplace_back();
  gone.type = Op::Type::kDelete;
  gone.key = member_key(id);
  const auto done = co_await txn(std::move(request), scope_.token());
  if (!done) {
    context_.log.warn("the record of a server that was not taken in is left behind",
                      {{"member", member_id_text(id)}, {"error", done.error().message()}});
  }
}

// Until the core would take it, or says for good why not.
Task<Result<void>> SqliteStore::wait_to_change(raft::MembershipChange change, StopToken stop) {
  // A leader of a moment ago has not heard from everyone yet: that is no reason to refuse.
  const Instant until = context_.clock.now() + 3 * options_.election_timeout;
  for (;;) {
    if (auto good = leading(); !good) co_return good;
    const std::optional<raft::RaftCore::Hindrance> found = replica_->hindrance(change);
    if (!found) co_return Result<void>();
    const bool may_pass = found->error.code() == Code::kUnavailable && context_.clock.now() < until;
    if (!may_pass && found->members.empty()) co_return found->error;
    if (!may_pass)
      co_return Error(found->error.code(), cat(found->error.message(), ": ", names_of(found->members, records_)));
    const Result<void> slept = co_await context_.loop.sleep(kChangePause, stop);
    if (!slept) co_return slept;
  }
}

Task<Result<void>> SqliteStore::change(raft::MembershipChange change, StopToken stop) {
  auto may = co_await wait_to_change(change, stop);
  if (!may) co_return may;
  const Result<LogIndex> index = replica_->change_membership(change);
  if (!index) co_return index.error();
  co_return co_await until_applied(*index, stop);
}

// `index` is of an entry that is in the log and changes the members.
Task<Result<void>> SqliteStore::until_applied(LogIndex index, StopToken stop) {
  if (state_.applied() >= index) co_return Result<void>();
  auto waiter = std::make_shared<Waiter>();
  Unresolved& unresolved = unresolved_[index];
  unresolved.term = *replica_->core().log().term_of(index);
  unresolved.waiters.push_back(waiter);
  auto committed = co_await wait_for(waiter, stop);
  if (!committed) co_return committed;
  if (waiter->superseded) co_return Error(Code::kUnavailable, "another server leads since; nothing was changed");
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::add(MemberRecord member, raft::MembershipChange::Type type, StopToken stop) {
  Active active(*this);
  if (auto good = leading(); !good) co_return good;
  const raft::NodeId id = member.id;
  const raft::MembershipChange wanted{type, id};
  const bool newcomer = records_.count(id) == 0;
  if (!replica_->core().membership().contains(id)) {
    // It asks again and again: that must not cost a record, written and taken back, each time.
    auto may = co_await wait_to_change(wanted, stop);
    if (!may) co_return may;
  }
  auto written = co_await write_record(std::move(member), stop);
  if (!written) co_return written.error();
  const raft::RaftCore& core = replica_->core();
  // It asks once more: before that is committed, it may go again with this leader.
  if (core.membership().contains(id)) co_return co_await until_applied(core.log().membership_index(), stop);
  auto changed = co_await change(wanted, stop);
  // Of one that was stopped it is not known whether it comes yet.
  const bool refused = !changed && changed.error().code() != Code::kCancelled;
  if (refused && newcomer && !replica_->core().membership().contains(id)) co_await take_back_record(id, *written);
  co_return changed;
}

Task<Result<void>> SqliteStore::add_learner(MemberRecord member, StopToken stop) {
  return add(std::move(member), raft::MembershipChange::Type::kAddLearner, std::move(stop));
}

Task<Result<void>> SqliteStore::add_witness(MemberRecord member, StopToken stop) {
  return add(std::move(member), raft::MembershipChange::Type::kAddWitness, std::move(stop));
}

Task<Result<void>> SqliteStore::promote(raft::NodeId id, StopToken stop) {
  Active active(*this);
  const raft::MembershipChange wanted{raft::MembershipChange::Type::kPromote, id};
  co_return co_await change(wanted, stop);
}

Task<Result<void>> SqliteStore::remove(raft::NodeId id, StopToken stop) {
  Active active(*this);
  if (auto good = leading(); !good) co_return good;
  if (id == leadership_.self && replica_->core().membership().voters.size() > 1) {
    // Its successor does it.
    const std::uint64_t term = leadership_.term;
    co_await hand_over();
    if (!leadership_.leads || leadership_.term != term) {
      co_return Error(Code::kUnavailable, "this server led and has handed that over: ask once more");
    }
    std::vector<raft::NodeId> others = replica_->core().membership().voters;
    std::erase(others, leadership_.self);
    co_return Error(Code::kConflict,
                    cat("this server leads, and nobody can take over from it: wait until one of these answers and has "
                        "caught up, or remove it first if it is lost: ",
                        names_of(others, records_)));
  }
  if (replica_->core().membership().contains(id)) {
    const raft::MembershipChange wanted{raft::MembershipChange::Type::kRemove, id};
    auto changed = co_await change(wanted, stop);
    if (!changed) co_return changed;
  } else if (records_.count(id) == 0) {
    co_return Error(Code::kNotFound, cat("there is no member ", member_id_text(id)));
  }
  TxnRequest request;
  Op& gone = request.success.emplace_back();
  gone.type = Op::Type::kDelete;
  gone.key = member_key(id);
  auto done = co_await txn(std::move(request), stop);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::update_addresses(raft::NodeId id, std::vector<std::string> addresses, StopToken stop) {
  Active active(*this);
  if (auto good = leading(); !good) co_return good;
  const auto known = records_.find(id);
  if (known == records_.end()) co_return Error(Code::kNotFound, cat("there is no member ", member_id_text(id)));
  MemberRecord member = known->second;
  member.addresses = std::move(addresses);
  auto written = co_await write_record(std::move(member), stop);
  if (!written) co_return written.error();
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::transfer_leadership(raft::NodeId id, StopToken stop) {
  Active active(*this);
  if (auto good = leading(); !good) co_return good;
  if (id == leadership_.self) co_return Result<void>();
  if (auto begun = replica_->transfer_leadership(id); !begun) co_return begun;
  const io::Deadline deadline(context_.loop, kTransfer, stop);
  while (leadership_.leader != id) {
    const bool changed = co_await leadership_changed(leadership_, deadline.token());
    if (!changed) co_return deadline.error(cat("handing the leadership to member ", member_id_text(id)));
  }
  co_return Result<void>();
}

// Those that answer, furthest first. Of one that is gone the log may be as long as anyone's, when nothing was written.
std::vector<raft::NodeId> SqliteStore::successors() const {
  const raft::RaftCore& core = replica_->core();
  const Instant now = context_.clock.now();
  std::vector<std::pair<LogIndex, raft::NodeId>> found;
  for (const raft::NodeId id : core.membership().voters) {
    const raft::Progress* progress = core.progress(id);
    if (progress == nullptr || !progress->answers_within(core.election_timeout(), now)) continue;
    found.emplace_back(progress->match(), id);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<raft::NodeId> ids;
  for (const auto& [match, id] : found) ids.push_back(id);
  return ids;
}

Task<void> SqliteStore::hand_over() {
  Active active(*this);
  const io::Deadline deadline(context_.loop, kHandOver);
  std::vector<raft::NodeId> tried;
  while (leadership_.leads && !deadline.expired()) {
    const std::vector<raft::NodeId> may = successors();
    const auto next = std::find_if(may.begin(), may.end(), [&tried](raft::NodeId id) {
      return std::find(tried.begin(), tried.end(), id) == tried.end();
    });
    if (next == may.end() || !replica_->transfer_leadership(*next)) co_return;
    tried.push_back(*next);
    // Leading again, it has waited in vain.
    while (!leadership_.leads && (leadership_.leader == leadership_.self || leadership_.leader == raft::kNobody)) {
      const bool changed = co_await leadership_changed(leadership_, deadline.token());
      if (!changed) co_return;
    }
  }
}

// ---- learners that become voters

void SqliteStore::watch_learners() {
  const bool wanted =
      group_options_.auto_promote && leadership_.leads && !replica_->core().membership().learners.empty() && !closing_;
  if (!wanted) {
    auto_promote_.reset();
    learner_timer_.cancel();
    return;
  }
  if (learner_timer_) return;
  learner_timer_ = context_.loop.after(kLearnerPeriod, [this] {
    learner_timer_.cancel();
    if (!leadership_.leads || closing_ || failed_) return;
    const Instant now = context_.clock.now();
    const raft::RaftCore& core = replica_->core();
    const std::vector<raft::NodeId> keeping_up = learners_keeping_up(core, now, group_options_.witness_knows);
    const auto next = auto_promote_.next(core.membership(), keeping_up, now);
    if (next) {
      scope_.spawn(promote_when_ready(*next));
    } else {
      watch_learners();
    }
  });
}

Task<void> SqliteStore::promote_when_ready(raft::NodeId id) {
  const Result<void> done = co_await promote(id, scope_.token());
  if (done) context_.log.info("a server has caught up and votes from now on", {{"member", member_id_text(id)}});
  watch_learners();
}

Task<void> SqliteStore::reload_records() {
  const Result<void> loaded = co_await load_records();
  if (!loaded) context_.log.warn("the members' records cannot be read", {{"error", loaded.error().message()}});
}

}  // namespace kayak::store
