// node.cc: see node.h.
#include "sim/node.h"

#include "base/assert.h"

namespace kayak::sim {

namespace {
using Kind = NodeEvent::Kind;
constexpr std::uint64_t kSlices = 3;
constexpr Duration kSlicePause = std::chrono::milliseconds(20), kSlowSlicePause = std::chrono::milliseconds(1500);
constexpr Duration kTurn = std::chrono::microseconds(100);  // of a busy loop
}  // namespace

Node::Node(World& world, NodeOptions options, MakeStateMachine make)
    : world_(world), options_(std::move(options)), make_(std::move(make)), anchor_sim_(world.now()) {
  if (options_.folder.empty()) return;
  database_ = std::make_unique<KvDisk>(options_.folder, world.dice().next(), options_.mutant);
}

raft::Restored Node::restore() {
  if (!database_) return restore_from_disk();
  raft::Restored restored = restore_from_database();
  restored.record = disk_.contents().record;
  return restored;
}

// As SqliteStore does: what is known to be committed goes into the state, the rest is the log's tail.
raft::Restored Node::restore_from_database() {
  KvMachine& machine = *state_->kv();
  raft::Restored restored;
  raft::LogIndex commit = 0;
  store::EntryAssembler assembler;
  store::RowSink sink;
  sink.begin = [&](raft::LogIndex known) { commit = known; };
  sink.row = [&](store::RowId row, const store::RowView& view, bool complete) -> Result<void> {
    if (store::row_index(row) <= commit) return machine.load(row, view, complete);
    const store::EntryRef entry = assembler.add(row, view);
    if (entry) restored.tail.push_back(store::to_raft(entry));
    return {};
  };
  database_->open(sink);
  const store::LogFound& found = database_->database().found();
  restored.hard = found.hard;
  restored.compacted = found.compacted;
  restored.compacted_term = found.compacted_term;
  restored.applied = restored.tail.empty() ? found.last : restored.tail.front().index - 1;
  restored.hard.commit = restored.applied;
  for (const raft::TermRun& run : found.terms) {
    if (run.first <= restored.applied) restored.terms.push_back(run);
  }
  const raft::MembershipRef& membership = machine.state().membership();
  restored.membership = membership ? *membership : disk_.contents().base.membership;
  restored.membership_index = machine.state().membership_index();
  machine.loaded(database_->database(), restored.applied, world_.checker().digest_at(restored.applied));
  return restored;
}

raft::Restored Node::restore_from_disk() {
  const DiskContents& disk = disk_.contents();
  raft::Restored restored;
  restored.hard = disk.hard;
  restored.record = disk.record;
  restored.compacted = disk.base.index;
  restored.compacted_term = disk.base.term;
  restored.membership = disk.base.membership;
  restored.membership_index = disk.base.membership_index;
  restored.hard.commit = std::max(disk.hard.commit, disk.base.index);
  restored.applied = restored.hard.commit;
  for (const raft::Entry& entry : disk.entries) {
    if (entry.index > restored.applied) {
      restored.tail.push_back(entry);
      continue;
    }
    const bool new_run = restored.terms.empty() || restored.terms.back().term != entry.term;
    if (new_run) restored.terms.push_back({entry.index, entry.term});
    if (!entry.membership) continue;
    restored.membership = *entry.membership;
    restored.membership_index = entry.index;
  }
  return restored;
}

void Node::start() {
  ASSERT(!up() && !retired_);
  ++life_;
  const DiskContents& disk = disk_.contents();
  state_ = make_();
  make_streams();
  raft::Restored restored = restore();
  world_.checker().started(id(), restored);
  if (database_) {
    applied_ = restored.applied;
    check_state();
  } else {
    state_->restore(disk.base.image);
    applied_ = disk.base.index;
    if (disk.base.index > 0) world_.checker().installed(id(), disk.base.index, state_->digest());
    for (const raft::Entry& entry : disk.entries) {
      if (entry.index <= restored.applied) apply(entry);
    }
  }
  if (options_.mutant == ShellMutant::kTruncatedRowsInIndex && state_->kv()) {
    for (const raft::Entry& entry : restored.tail) state_->apply(entry);
  }
  random_ = std::make_unique<SeededRandom>(world_.dice().next());
  core_ = std::make_unique<raft::RaftCore>(options_.raft, std::move(restored), *random_, local(world_.now()));
  settle();
}

void Node::crash() {
  ASSERT(up());
  ++life_;
  if (database_) {
    const std::optional<store::SweepLimits> sweep = sweep_limits();
    disk_.crash(database_->power_loss(world_.dice(), disk_, sweep ? &*sweep : nullptr));
  } else {
    disk_.crash(world_.dice());
  }
  for (const auto& [index, waiter] : waiters_) world_.answer(waiter.request, {Reply::Kind::kUnknown, {}});
  for (const auto& [read, request] : reads_) world_.answer(request.request, {Reply::Kind::kRefused, {}});
  for (const WaitingRead& read : waiting_reads_) world_.answer(read.request, {Reply::Kind::kRefused, {}});
  waiters_.clear();
  reads_.clear();
  waiting_reads_.clear();
  core_.reset();
  streams_.reset();
  heartbeats_.reset();
  state_.reset();
  led_ = 0;
  lease_clock_.clear();
  leases_run_in_ = 0;
  timer_at_.reset();
  wake_up();
  stall_ = {};
  fail_sync_ = false;
  pins_.clear();
  fetch_.reset();
  staged_.clear();
  building_ = false;
  installed_state_.reset();
  prepared_.reset();
}

void Node::retire() {
  if (up()) crash();
  retired_ = true;
}

void Node::check_state() {
  auto everything = std::make_shared<KvRequest>();
  everything->type = KvRequest::Type::kRange;
  everything->range.key = everything->range.range_end = std::string(1, '\0');
  world_.ledger()->check_state(id(), applied_, state_->read({.kv = everything}).kv->range);
}

Instant Node::local(Instant sim) const {
  const auto passed = static_cast<double>(std::max((sim - anchor_sim_).count(), std::int64_t{0}));
  return anchor_local_ + Duration(static_cast<std::int64_t>(passed * rate_));
}
Instant Node::steady() const { return steady_local_ + std::max(world_.now() - steady_sim_, Duration(0)); }
Instant Node::to_sim(Instant local) const {
  if (local <= anchor_local_) return anchor_sim_;
  const auto left = static_cast<double>((local - anchor_local_).count());
  // A nanosecond more, so that the timer is due when it fires.
  return anchor_sim_ + Duration(static_cast<std::int64_t>(left / rate_) + 1);
}
void Node::set_clock_rate(double rate) {
  anchor_local_ = local(world_.now());
  anchor_sim_ = world_.now();
  rate_ = rate;
  timer_at_.reset();
  if (up()) set_timer();
}
void Node::jump_clock(Duration by) {
  anchor_local_ = local(world_.now()) + by;
  anchor_sim_ = world_.now();
  timer_at_.reset();
  if (up()) set_timer();
}

// As a virtual machine that is moved: its own clock does not tell it that time has passed.
void Node::suspend(Duration length) {
  anchor_local_ = local(world_.now());
  steady_local_ = steady();
  anchor_sim_ = steady_sim_ = paused_until = world_.now() + length;
  timer_at_.reset();
  if (up()) set_timer();
}

void Node::wake_up() {
  paused_until = std::min(paused_until, world_.now());
  anchor_sim_ = std::min(anchor_sim_, world_.now());
  steady_sim_ = std::min(steady_sim_, world_.now());
}

void Node::make_peace() {
  wake_up();
  stall_ = {};
  fail_sync_ = false;
  full_until_ = {};
  set_clock_rate(1);
}

void Node::handle(const NodeEvent& event) {
  switch (event.kind) {
    case Kind::kTimer:
      timer_at_.reset();
      break;
    case Kind::kSynced:
      return synced();
    case Kind::kAcknowledgedEarly:
      advance();
      core_->appended(event.first);
      return settle();
    case Kind::kFetched:
      return send_fetched(event);
    case Kind::kSnapshotMade: {
      advance();
      if (core_->role() != raft::Role::kLeader) return settle();
      if (world_.dice().chance(0.1)) {
        core_->snapshot_failed(event.peer);
        return settle();
      }
      const raft::SnapshotId snapshot = world_.dice().next();
      pins_.emplace(snapshot, Pin{base_now(), database_ ? state_->kv()->pin() : nullptr});
      core_->snapshot_ready(event.peer, snapshot, applied_);
      settle();
      return world_.offers_state(*this, event.peer);
    }
    case Kind::kSnapshotSlice:
      return next_slice(event);
    case Kind::kUnreachable:
      advance();
      core_->peer_unreachable(event.peer);
      return settle();
    case Kind::kStreamRead:
      streams_->read(event.first);
      break;
    case Kind::kHeartbeats:
      advance();
      settle();
      tick();
      break;
    case Kind::kProgress:
      streams_->send_progress();
      break;
  }
  advance();
  settle();
  if (leases_run_in_ != 0) end_leases();
}

void Node::receive(raft::Message message) {
  advance();
  core_->step(std::move(message));
  if (core_->refused() > 0) throw Violation("a sound member's message is refused");
  settle();
  if (options_.states_come_late && fetch_) hurry_slices();
}

void Node::request(RequestId request, const Command& command) {
  advance();
  const bool reads = command.kv ? command.kv->type == KvRequest::Type::kRange : command.type == Command::Type::kRead;
  if (reads) {
    WaitingRead read{.index = 0, .request = request, .command = command};
    const bool alone = options_.mutant == ShellMutant::kReadsAlone || (command.kv && command.kv->range.serializable);
    if (alone && command.kv) {
      serve(read);
    } else {
      begin_read(std::move(read));
    }
    return settle();
  }
  const bool early = options_.mutant == ShellMutant::kEvaluatesTooEarly && core_->role() == raft::Role::kLeader;
  if ((!core_->ready() && !early) || core_->transferring()) {
    world_.answer(request, {Reply::Kind::kRefused, {}});
    return settle();
  }
  if (command.kv && command.kv->type == KvRequest::Type::kKeepAlive) {
    WaitingRead read{.request = request, .command = command, .asked = steady()};
    if (options_.mutant != ShellMutant::kKeepAliveAlone) {
      begin_read(std::move(read));
    } else {
      serve(read);
    }
    return settle();
  }
  if (command.kv && command.kv->type == KvRequest::Type::kRenew) return renew(request, *command.kv);
  propose(request, command, "");
}

void Node::renew(RequestId request, const KvRequest& renewal) {
  const std::shared_ptr<KvRequest> durable = heartbeats_->renew(renewal, reign(), world_.now());
  if (durable) return propose(request, {.kv = durable}, durable->txn.success[0].key);
  world_.answer(request, {Reply::Kind::kDone, {.kv = std::make_shared<KvAnswer>()}});
  settle();
}

void Node::propose(RequestId request, const Command& command, const std::string& heartbeat_key) {
  if (options_.mutant == ShellMutant::kForgetsInFlight && !command.kv) state_->forget_proposals();
  const raft::LogIndex next = core_->log().last_index() + 1;
  StateMachine::Proposal proposal = state_->evaluate(command, next, core_->term());
  if (!proposal.payload) {
    WaitingRead read{.request = request, .command = command, .answer = std::move(proposal.answer)};
    read.term = core_->term();
    if (next - 1 > applied_) {
      read.after = next - 1;
      read.after_term = core_->log().term_of(read.after);
    }
    begin_read(std::move(read));
    return settle();
  }
  if (!heartbeat_key.empty()) proposal.answer.kv->writing = heartbeats_->writing(heartbeat_key);
  const Result<raft::LogIndex> index = core_->propose(std::move(proposal.payload));
  ASSERT(index && *index == next);
  if (world_.ledger()) world_.ledger()->proposed(next, core_->term(), request, command.kv);
  waiters_.emplace(*index, Waiter{core_->term(), request, proposal.answer});
  settle();
}

void Node::begin_read(WaitingRead read) {
  if (read.answer && options_.mutant == ShellMutant::kTxnReadsAlone) {
    waiting_reads_.push_back(std::move(read));
    return;
  }
  reads_.emplace(++next_read_, std::move(read));
  core_->read(next_read_);
}

void Node::make_streams() {
  KvMachine* machine = state_->kv();
  if (!machine) return;
  KvStreams::Outside outside;
  outside.say = [this](StreamId id, StreamNews news) { world_.say(id, std::move(news)); };
  outside.read_later = [this](StreamId id) {
    const Instant at = world_.now() + world_.dice().around(options_.sync_time / 2);
    world_.wake(*this, at, {Kind::kStreamRead, raft::kNobody, id, 0});
  };
  outside.progress_later = [this] {
    const Instant at = world_.now() + store::WatchGroups::kProgressDelay;
    world_.wake(*this, at, {Kind::kProgress, raft::kNobody, 0, 0});
  };
  streams_ = std::make_unique<KvStreams>(*machine, options_.mutant, std::move(outside));
  heartbeats_ = std::make_unique<KvHeartbeats>(*machine, world_.heartbeats(), options_.mutant);
  if (!options_.raft.witness) tick_later();
}

void Node::tick_later() {
  world_.wake(*this, world_.now() + KvHeartbeats::kTick, {Kind::kHeartbeats, raft::kNobody, 0, 0});
}

void Node::tick() {
  tick_later();
  if (!core_->ready() || core_->transferring()) {
    if (core_->role() == raft::Role::kFollower) heartbeats_->check_follower(world_.quiet_reign(*this), world_.now());
    return;
  }
  heartbeats_->judge(reign(), world_.now());
  world_.stream(*this, heartbeats_->stream());
  for (const std::shared_ptr<KvRequest>& fold : heartbeats_->fold(world_.now())) {
    if (!core_->ready()) return;  // a proposal before it has ended this
    propose(kOwnRequest | id() << 40 | ++next_own_, {.kv = fold}, fold->txn.success[0].key);
  }
}

void Node::take(const std::vector<api::Heartbeat>& heartbeats) {
  if (heartbeats_ && core_->role() != raft::Role::kLeader) heartbeats_->take(heartbeats, world_.now());
}

void Node::watch(StreamId id, const store::WatchRequest& request) {
  streams_->open(id, request);
  advance();
  settle();
}

void Node::unwatch(StreamId id) { streams_->close(id); }

Result<void> Node::transfer(raft::NodeId to) {
  advance();
  Result<void> moved = core_->transfer_leadership(to);
  settle();
  return moved;
}

Result<void> Node::change(const raft::MembershipChange& change) {
  advance();
  const Result<raft::LogIndex> index = core_->change_membership(change);
  settle();
  if (!index) return index.error();
  return {};
}

void Node::settle() {
  raft::Output output = core_->take_output(options_.apply_at_once);
  const raft::Term leads = core_->role() == raft::Role::kLeader ? core_->term() : 0;
  if (led_ != leads) {
    state_->forget_proposals();
    if (heartbeats_) heartbeats_->begin_anew(world_.now());
  }
  led_ = leads;
  world_.checker().stepped(*core_);
  if (output.lost) return world_.lost(*this);  // whatever else it would do or say
  perform(output);
  if (state_->kv()) run_leases();
  if (streams_) streams_->pump();
  set_timer();
}

void Node::perform(raft::Output& output) {
  for (raft::Message& message : output.messages) {
    if (options_.raft.witness && !raft::witness_sends(message.body)) throw Violation("a witness says what is not its");
    world_.checker().sends(message);
    world_.transmit(std::move(message));
  }
  if (output.append) write(std::move(*output.append));
  if (output.installed) {
    const auto staged = staged_.find(output.installed->id);
    ASSERT(staged != staged_.end());
    if (database_) {
      state_->kv()->replace(std::move(*installed_state_), database_->database(), output.installed->index,
                            world_.checker().digest_at(output.installed->index));
      installed_state_.reset();
    } else {
      state_->restore(staged->second);
    }
    if (heartbeats_) heartbeats_->begin_anew(world_.now());  // of objects that may have changed since
    staged_.clear();
    applied_ = output.installed->index;
    prepared_.reset();
    world_.checker().installed(id(), applied_, state_->digest());
    if (world_.ledger()) check_state();
  }
  for (const raft::Entry& entry : output.committed) apply(entry);
  for (const raft::ReadDone& done : output.reads) {
    const auto read = reads_.find(done.id);
    ASSERT(read != reads_.end());
    // An answer that was evaluated here is worth nothing when another leader has confirmed the round.
    const bool deposed = read->second.answer && (led_ == 0 || read->second.term != led_);
    if (done.confirmed && !deposed) {
      waiting_reads_.push_back(std::move(read->second));
      waiting_reads_.back().index = done.index;
    } else {
      world_.answer(read->second.request, {Reply::Kind::kRefused, {}});
    }
    reads_.erase(read);
  }
  serve_reads();
  for (const raft::Fetch& fetch : output.fetches) {
    const Instant at = world_.now() + world_.dice().around(options_.sync_time / 4);
    world_.wake(*this, at, {Kind::kFetched, fetch.to, fetch.first, fetch.max_bytes});
  }
  for (const raft::NodeId to : output.snapshots_wanted) {
    const Instant at = world_.now() + world_.dice().around(std::chrono::milliseconds(5));
    world_.wake(*this, at, {Kind::kSnapshotMade, to, 0, 0});
  }
  for (const raft::SnapshotId snapshot : output.snapshots_released) pins_.erase(snapshot);
  KvMachine* machine = state_->kv();
  if (machine && !database_ && machine->sweep_pending() && pins_.empty() && world_.dice().chance(0.2))
    machine->sweep(8);
  if (output.snapshot_fetch) {
    if (std::exchange(building_, false)) database_->drop_snapshot();  // of the fetch before
    const bool slow = options_.states_come_late || world_.dice().chance(0.2);
    fetch_.emplace(Incoming{*output.snapshot_fetch, slow ? kSlowSlicePause : kSlicePause});
    const Instant at = world_.now() + world_.dice().around(std::chrono::milliseconds(10));
    world_.wake(*this, at, {Kind::kSnapshotSlice, fetch_->fetch.from, fetch_->fetch.snapshot.id, kSlices});
  }
  maybe_compact();
}

void Node::write(raft::Append append) {
  world_.checker().appends(*core_, append);
  SimDisk::Write write;
  if (append.install) {
    const raft::SnapshotMeta& snapshot = *append.install;
    ASSERT(staged_.contains(snapshot.id));
    installs_ = true;
    write.base =
        Base{snapshot.index, snapshot.term, *snapshot.membership, snapshot.membership_index, staged_.at(snapshot.id)};
  }
  write.append = std::move(append);
  if (database_ && write.base && write.append->first != 0) {
    // First the file, then what comes on top of it.
    SimDisk::Write rest{write.append, std::nullopt};
    rest.append->install.reset();
    --write.append->number;
    write.append->first = 0;
    write.append->entries.clear();
    disk_.queue(std::move(write));
    write = std::move(rest);
  }
  disk_.queue(std::move(write));
  sync();
}

void Node::sync() {
  if (disk_.syncing() || disk_.idle()) return;
  disk_.begin_sync(database_ != nullptr);
  sync_began_ = world_.now();
  const Duration takes = options_.sync_time / 2 + world_.dice().around(options_.sync_time / 2);
  world_.wake(*this, world_.now() + takes + std::exchange(stall_, {}), {Kind::kSynced, raft::kNobody, 0, 0});
  if (options_.mutant != ShellMutant::kSkipFsync || disk_.number_under_way() == 0) return;
  world_.wake(*this, world_.now() + std::chrono::microseconds(100),
              {Kind::kAcknowledgedEarly, raft::kNobody, disk_.number_under_way(), 0});
}

void Node::synced() {
  if (database_) {
    const Result<void> written = write_to_database();
    // A database that was to be replaced is closed.
    const bool installs = SimDisk::installs(disk_.under_way().front());
    if (!written && (installs || written.error().code() == Code::kIo)) return world_.stopped(*this);
    if (!written) {  // the disk is full: it is tried again
      return world_.wake(*this, world_.now() + std::chrono::milliseconds(100), {Kind::kSynced, raft::kNobody, 0, 0});
    }
  } else if (std::exchange(fail_sync_, false)) {
    return world_.stopped(*this);
  }
  const std::uint64_t number = disk_.end_sync();
  advance();
  if (options_.hints) core_->fsync_took(world_.now() - sync_began_);
  if (number != 0) core_->appended(number);
  sync();
  settle();
}

Result<void> Node::write_to_database() {
  const bool full = world_.now() < full_until_, fails = !full && std::exchange(fail_sync_, false);
  if (fails) database_->fail_next_sync();
  database_->set_full(full);
  const std::vector<SimDisk::Write> writes = disk_.under_way();
  const bool installs = SimDisk::installs(writes.front());
  std::optional<store::SweepLimits> sweep;
  if (!installs) sweep = sweep_limits();
  store::SweepResult swept;
  const Result<void> written =
      installs ? install_database(writes.front()) : database_->write(writes, sweep ? &*sweep : nullptr, &swept);
  if (!written) {
    const bool expected =
        written.error().code() == Code::kIo ? fails : written.error().code() == Code::kNoSpace && full;
    if (!expected) throw Violation("a database fails: " + written.error().message());
    return written;
  }
  if (!sweep) return written;
  state_->kv()->swept(swept);
  const raft::LogIndex gone = swept.swept_row == 0 ? 0 : store::row_index(swept.swept_row);
  if (gone > core_->log().compacted()) core_->compact(gone);
  return written;
}

Result<void> Node::install_database(const SimDisk::Write& write) {
  store::KvState& state = installed_state_.emplace();
  store::RowSink sink;
  sink.row = [&state](store::RowId row, const store::RowView& view, bool complete) {
    return state.apply(row, view, complete);
  };
  if (auto done = database_->install(write, sink); !done) return done;
  const store::Database::Base base = database_->database().base();
  state.begin_at(base.index, base.term, base.revision);
  return {};
}

std::optional<store::SweepLimits> Node::sweep_limits() { return state_->kv()->sweep_limits(options_.compact_after); }

void Node::apply(const raft::Entry& entry) {
  ASSERT(entry.index == applied_ + 1);
  // The toy's entries have another payload, and no ledger.
  const auto* effects = world_.ledger() ? static_cast<const store::Entry*>(entry.payload.get()) : nullptr;
  if (world_.ledger()) world_.ledger()->applied(entry.index, entry.term, effects, world_.now());
  state_->apply(entry);
  if (heartbeats_ && effects) heartbeats_->applied(*effects);
  for (std::size_t i = 0; leases_run_in_ != 0 && effects && i < effects->effects.size(); ++i) {
    const store::Effect& effect = effects->effects[i];
    if (effect.type == store::EffectType::kLeaseRevoke) lease_clock_.stop(effect.lease);
    if (effect.type == store::EffectType::kLeaseGrant) lease_clock_.start(effect.lease, effect.ttl, steady());
  }
  applied_ = entry.index;
  world_.checker().applied(id(), entry, state_->digest());
  const auto [first, last] = waiters_.equal_range(entry.index);
  for (auto waiter = first; waiter != last; ++waiter) {
    const bool committed = waiter->second.term == entry.term;
    if (committed) state_->complete(&waiter->second.answer);
    if (waiter->second.answer.kv) waiter->second.answer.kv->writing = nullptr;
    world_.answer(waiter->second.request,
                  committed ? Reply{Reply::Kind::kDone, waiter->second.answer} : Reply{Reply::Kind::kRefused, {}});
  }
  waiters_.erase(first, last);
}

void Node::serve_reads() {
  std::erase_if(waiting_reads_, [&](WaitingRead& read) {
    if (read.index > applied_ && options_.mutant != ShellMutant::kAppliedBeforeRead) return false;
    return serve(read);
  });
}

bool Node::serve(WaitingRead& read) {
  if (read.command.kv && read.command.kv->type == KvRequest::Type::kKeepAlive) return keep_alive(read);
  if (!read.answer) {
    Answer answer = state_->read(read.command);
    if (world_.ledger()) world_.ledger()->served(id(), life_, *read.command.kv, *answer.kv);
    world_.answer(read.request, {Reply::Kind::kDone, std::move(answer)});
    return true;
  }
  if (read.after > applied_) return false;
  const bool stands = read.after == 0 || core_->log().term_of(read.after) == read.after_term;
  if (stands) state_->complete(&*read.answer);
  world_.answer(read.request, stands ? Reply{Reply::Kind::kDone, *read.answer} : Reply{Reply::Kind::kRefused, {}});
  return true;
}

// As SqliteStore::lease_keep_alive.
bool Node::keep_alive(WaitingRead& read) {
  if (leases_run_in_ == 0) {
    world_.answer(read.request, {Reply::Kind::kRefused, {}});
    return true;
  }
  auto answer = std::make_shared<KvAnswer>();
  const store::LeaseId id = read.command.kv->lease;
  const store::LeaseTable::Granted* granted = state_->kv()->state().leases().find(id);
  if (granted == nullptr || lease_clock_.ended(id) || !state_->kv()->granted(id)) {
    answer->error = Error(Code::kNotFound, "no such lease");
  } else {
    lease_clock_.prolong(id, granted->ttl, read.asked);
  }
  world_.answer(read.request, {Reply::Kind::kDone, {.kv = std::move(answer)}});
  return true;
}

// Whoever begins to lead gives every lease its whole time again.
void Node::run_leases() {
  const raft::Term leads = core_->ready() && !core_->transferring() ? core_->term() : 0;
  if (leads == std::exchange(leases_run_in_, leads)) return;
  if (options_.mutant != ShellMutant::kLeaseTimeStays) lease_clock_.clear();
  if (leads == 0) return;
  for (const auto& [id, granted] : state_->kv()->state().leases().all()) {
    if (options_.mutant == ShellMutant::kLeaseTimeStays && lease_clock_.remaining(id, Instant{}) > 0) continue;
    lease_clock_.start(id, granted.ttl, steady());
  }
}

void Node::end_leases() {
  constexpr std::size_t kAtOnce = 8;
  const raft::Term term = leases_run_in_;
  for (const store::LeaseId id : lease_clock_.due(steady(), kAtOnce)) {
    if (leases_run_in_ != term || leases_run_in_ == 0) return;
    lease_clock_.end(id, steady() + std::chrono::seconds(1));
    auto revoke = std::make_shared<KvRequest>();
    revoke->type = KvRequest::Type::kRevoke;
    revoke->lease = id;
    revoke->ended = true;
    propose(kOwnRequest | this->id() << 40 | ++next_own_, {.kv = std::move(revoke)}, "");
  }
}

void Node::set_timer() {
  const Instant deadline = core_->deadline();
  const bool more = core_->more_committed();
  if (deadline.nanoseconds == INT64_MAX && !more) return;
  const Instant at = more ? world_.now() + kTurn : std::max(to_sim(deadline), world_.now());
  if (timer_at_ && *timer_at_ <= at) return;  // an early one only looks again
  timer_at_ = at;
  world_.wake(*this, at, {Kind::kTimer, raft::kNobody, 0, 0});
}

Base Node::base_now() const {
  const raft::RaftLog::PlacedMembership& placed = core_->log().membership_at(applied_);
  return {applied_, *core_->log().term_of(applied_), *placed.membership, placed.index, state_->image()};
}

// An image first, the compaction up to it when enough entries have come after it.
void Node::maybe_compact() {
  const bool installing = applied_ < core_->log().compacted();
  if (options_.raft.witness || installing || database_) return;
  const raft::LogIndex kept = applied_ - core_->log().compacted();
  if (!prepared_ && kept > options_.compact_after) prepared_ = base_now();
  if (!prepared_ || applied_ < prepared_->index + options_.compact_slack) return;
  for (const auto& [snapshot, pin] : pins_) {
    if (pin.base.index < prepared_->index) return;
  }
  core_->compact(prepared_->index);
  disk_.queue({std::nullopt, std::exchange(prepared_, std::nullopt)});
  sync();
}

void Node::send_fetched(const NodeEvent& event) {
  const DiskContents& disk = disk_.contents();
  std::vector<raft::Entry> entries;
  if (database_) {
    auto found =
        store::read_entries(database_->database(), database_->database().swept_row(), event.first, event.second);
    if (!found) throw Violation("entries cannot be read: " + found.error().message());
    for (const store::EntryRef& entry : *found) entries.push_back(store::to_raft(entry));
    advance();
    core_->fetched(event.peer, event.first, std::move(entries));
    return settle();
  }
  std::size_t bytes = 0;
  for (raft::LogIndex index = event.first; index > disk.base.index && index <= disk.last_index(); ++index) {
    const raft::Entry& entry = disk.entries[index - disk.base.index - 1];
    bytes += entry.bytes();
    if (!entries.empty() && bytes > event.second) break;
    entries.push_back(entry);
  }
  advance();
  core_->fetched(event.peer, event.first, std::move(entries));
  settle();
}

// What was begun to be sent goes on, also when the sender leads no more and has given it up.
bool Node::finds_sender() {
  const Node* sender = world_.reach(id(), fetch_->fetch.from);
  if (!sender) return false;
  if (fetch_->pin) return sender->life() == fetch_->life;
  const auto pin = sender->pins_.find(fetch_->fetch.snapshot.id);
  if (pin == sender->pins_.end()) return false;
  fetch_->pin = pin->second;
  fetch_->life = sender->life();
  return true;
}

// Another leader has sent all that the state would bring, and this node does not know yet that it is committed: the
// worst moment for it to be complete.
void Node::hurry_slices() {
  const raft::SnapshotMeta& state = fetch_->fetch.snapshot;
  const bool worst = core_->leader() != fetch_->fetch.from && core_->commit() < state.index &&
                     core_->log().matches(state.index, state.term);
  if (!worst || !fetch_->pin) return;
  world_.wake(*this, world_.now() + world_.dice().around(options_.sync_time),
              {Kind::kSnapshotSlice, fetch_->fetch.from, state.id, 1});
}

// The follower pulls; all slices are of one image, so that a sender's crash in between is a failure, not a mixture.
void Node::next_slice(const NodeEvent& event) {
  if (!fetch_ || fetch_->fetch.snapshot.id != event.first) return;  // another took its place
  advance();
  bool there = finds_sender();
  const auto again = [&](Duration pause, std::uint64_t left) {
    world_.wake(*this, world_.now() + world_.dice().around(pause),
                {Kind::kSnapshotSlice, event.peer, event.first, left});
  };
  if (there && database_) {
    if (!building_ && !database_->may_build()) return again(kSlicePause, event.second);
    there = take_slice(event, KvMachine::stream_of(fetch_->pin->base.image));
  }
  if (there && event.second > 1) return again(fetch_->pause, event.second - 1);
  if (there) staged_[event.first] = fetch_->pin->base.image;
  fetch_.reset();
  const bool built = std::exchange(building_, false);
  core_->snapshot_fetched(event.first, there);
  installs_ = false;
  settle();
  if (installs_) return;
  staged_.erase(event.first);  // it came too late
  if (built) database_->drop_snapshot();
}

// False: there is no space.
bool Node::take_slice(const NodeEvent& event, std::string_view bytes) {
  database_->set_full(world_.now() < full_until_);  // or it would stay so for who writes nothing meanwhile
  if (!building_) {
    if (!database_->begin_snapshot()) return false;
    building_ = true;
  }
  const std::size_t done = kSlices - event.second;
  const std::size_t from = bytes.size() * done / kSlices, to = bytes.size() * (done + 1) / kSlices;
  const Result<void> fed = database_->feed(bytes.substr(from, to - from));
  if (!fed && fed.error().code() != Code::kNoSpace)
    throw Violation("a snapshot cannot be read: " + fed.error().message());
  return fed.ok();
}

}  // namespace kayak::sim
