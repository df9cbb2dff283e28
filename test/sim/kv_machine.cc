// kv_machine.cc: see kv_machine.h.
#include "sim/kv_machine.h"

#include <algorithm>

#include "base/assert.h"
#include "sim/violation.h"

namespace kayak::sim {

namespace {

using store::Effect;
using store::EffectType;
using store::Entry;
using store::EntryRef;
using store::RowId;

struct KvImage final : StateMachine::Image {
  MemoryRows rows;
  LogIndex applied = 0;
  std::uint64_t digest = 0;
};

struct KvStream final : StateMachine::Image {
  std::string bytes;
};

std::uint64_t mix(std::uint64_t digest, std::string_view bytes) {
  digest = (digest ^ std::hash<std::string_view>()(bytes)) * 0x9E3779B97F4A7C15ULL;
  return digest ^ (digest >> 29);
}

bool has_key(const Effect& effect) { return effect.type == EffectType::kPut || effect.type == EffectType::kDelete; }

template <typename T>
T sound(Result<T> result, const char* doing) {
  if (!result) throw Violation(std::string(doing) + ": " + result.error().message());
  return std::move(*result);
}

}  // namespace

KvMachine::KvMachine(ShellMutant mutant, std::size_t history_bytes)
    : mutant_(mutant),
      history_bytes_(history_bytes),
      history_(history_bytes),
      view_(*this),
      watches_(std::make_shared<store::WatchGroups>(view_)) {
  history_.start_at(state_.revision() + 1);
}

const raft::PayloadCodec& KvMachine::payloads() const {
  static const store::LogPayloadCodec codec;
  return codec;
}

std::shared_ptr<const void> KvMachine::pin() {
  struct Pin {
    std::weak_ptr<bool> alive;
    std::multiset<Revision>* pins;
    std::multiset<Revision>::iterator place;
    ~Pin() {
      if (alive.lock()) pins->erase(place);
    }
  };
  auto pin = std::make_shared<Pin>();
  pin->alive = alive_;
  pin->pins = &pins_;
  pin->place = pins_.insert(state_.floor());
  return pin;
}

store::Bytes KvMachine::value_of(RowId row, Revision revision) {
  if (store::Bytes known = history_.value(revision, row)) return known;
  return sound(store::read_values(*rows_, {row}), "reading a value")[0];
}

Revision KvMachine::pending_revision() const {
  return in_flight_.empty() ? state_.revision() : in_flight_.back()->revision;
}

StateMachine::Proposal KvMachine::evaluate(const Command& command, raft::LogIndex index, raft::Term term) {
  if (command.kv->type == KvRequest::Type::kCompact) return evaluate_compaction(command.kv->compact, index, term);
  if (command.kv->lease != 0) return evaluate_lease(*command.kv, index, term);
  return evaluate_txn(command.kv, index, term);
}

StateMachine::Proposal KvMachine::evaluate_lease(const KvRequest& request, LogIndex index, Term term) {
  auto answer = std::make_shared<KvAnswer>();
  const bool grants = request.type == KvRequest::Type::kGrant;
  if (granted(request.lease) == grants) {
    answer->error = Error(grants ? Code::kAlreadyExists : Code::kNotFound, "no such lease, or there is one");
    return {.payload = nullptr, .answer = {.kv = std::move(answer)}};
  }
  Entry entry;
  if (grants) {
    entry.revision = pending_revision();
    Effect& effect = entry.effects.emplace_back();
    effect.type = EffectType::kLeaseGrant;
    effect.lease = request.lease;
    effect.ttl = request.ttl;
  } else {
    std::vector<Entry> entries = store::evaluate_revoke(request.lease, state_, pending_, pending_revision() + 1);
    ASSERT(entries.size() == 1);
    entry = std::move(entries[0]);
  }
  entry.index = index;
  entry.term = term;
  answer->wrote = true;
  return propose(std::move(entry), std::move(answer));
}

StateMachine::Proposal KvMachine::evaluate_txn(const std::shared_ptr<const KvRequest>& request, LogIndex index,
                                               Term term) {
  auto answer = std::make_shared<KvAnswer>();
  Revision revision = pending_revision() + 1;
  const bool first_of_term = std::exchange(evaluated_in_, term) != term;
  if (mutant_ == ShellMutant::kReusesRevision && first_of_term && revision > 2 && in_flight_.empty()) --revision;
  static const store::Pending kNothing;
  const store::Pending& pending = mutant_ == ShellMutant::kForgetsInFlight ? kNothing : pending_;
  const auto values = [this](RowId row, Revision at) { return value_of(row, at); };
  Result<void> good = store::check_txn(request->txn);
  Result<store::Evaluation> evaluation =
      good ? store::evaluate(request->txn, store::KeyView(state_, pending), state_, index, revision, values)
           : Result<store::Evaluation>(good.error());
  Proposal proposal;
  proposal.answer.kv = answer;
  if (!evaluation) {
    answer->error = evaluation.error();
    return proposal;
  }
  Entry entry;
  entry.index = index;
  entry.term = term;
  entry.revision = revision;
  entry.effects = std::move(evaluation->effects);
  answer->request = request;
  answer->evaluation.emplace(std::move(*evaluation));
  answer->pin = pin();
  if (entry.effects.empty()) return proposal;
  answer->wrote = true;
  return propose(std::move(entry), std::move(answer));
}

StateMachine::Proposal KvMachine::evaluate_compaction(Revision floor, LogIndex index, Term term) {
  auto answer = std::make_shared<KvAnswer>();
  Proposal proposal;
  proposal.answer.kv = answer;
  if (floor <= std::max(pending_floor_, state_.floor())) answer->error = Error(Code::kExpired, "compacted already");
  if (floor > state_.revision()) answer->error = Error(Code::kInvalid, "a future revision");
  if (answer->error) return proposal;
  Effect effect;
  effect.type = EffectType::kCompact;
  effect.floor = floor;
  effect.previous_row = std::max(pending_compact_row_, state_.compact_row());
  Entry entry;
  entry.index = index;
  entry.term = term;
  entry.revision = pending_revision();
  entry.effects.push_back(std::move(effect));
  pending_floor_ = floor;
  pending_compact_row_ = store::row_id(index, 0);
  answer->wrote = true;
  return propose(std::move(entry), std::move(answer));
}

StateMachine::Proposal KvMachine::propose(Entry entry, std::shared_ptr<KvAnswer> answer) {
  auto shared = std::make_shared<const Entry>(std::move(entry));
  in_flight_.push_back(shared);
  pending_.add(*shared);
  if (mutant_ == ShellMutant::kWatchBeforeReadable && has_key(shared->effects[0])) show(shared);
  return {.payload = std::move(shared), .answer = {.kv = std::move(answer)}};
}

// The entry is committed and applied, and the pin has kept what was there when it was evaluated.
void KvMachine::complete(Answer* out) {
  if (!out->kv) return;
  KvAnswer& answer = *out->kv;
  if (!answer.evaluation) return;
  for (const store::Evaluation::Missing& missing : answer.evaluation->missing) {
    store::OpResponse& response = *missing.response;
    (missing.previous ? response.previous : response.range.kvs)[missing.place].value =
        value_of(missing.row, missing.mod_revision);
  }
  for (const store::Evaluation::PastRange& past : answer.evaluation->past_ranges) {
    const bool newest_wanted = mutant_ == ShellMutant::kPastReadsNewest;
    const Revision at = newest_wanted ? state_.revision() : past.request->revision;
    past.response->range = sound(range(*past.request, at), "reading a range of the past");
    past.response->range.revision = answer.evaluation->response.revision;
  }
  answer.txn = std::move(answer.evaluation->response);
  answer.evaluation.reset();
  answer.pin = nullptr;
}

void KvMachine::forget_proposals() {
  pending_.clear();
  in_flight_.clear();
  pending_floor_ = 0;
  pending_compact_row_ = 0;
  if (early_ <= state_.revision()) return;
  early_ = 0;
  history_ = store::History(history_bytes_);
  history_.start_at(state_.revision() + 1);
}

store::Applied KvMachine::applied_of(const EntryRef& entry) {
  store::Applied applied;
  applied.entry = entry;
  applied.previous.resize(entry->effects.size());
  for (std::size_t i = 0; i < entry->effects.size(); ++i) {
    const store::KeyRecord* before = state_.keys().find(entry->effects[i].key);
    if (!has_key(entry->effects[i]) || before == nullptr) continue;
    applied.previous[i].meta = *before;
    applied.previous[i].value = history_.value(before->mod_revision, before->row);
  }
  return applied;
}

void KvMachine::show(const EntryRef& entry) {
  early_ = mutant_ == ShellMutant::kWatchBeforeReadable ? entry->revision : 0;
  const store::Applied applied = applied_of(entry);
  history_.push(applied);
  if (watches_->publish(applied)) progress_due_ = true;
}

void KvMachine::apply(const raft::Entry& raft_entry) {
  if (raft_entry.index <= applied_) return;  // kTruncatedRowsInIndex
  EntryRef entry = store::stored(raft_entry);
  if (entry->revision == 0) {
    auto own = std::make_shared<Entry>(*entry);
    own->revision = state_.revision();
    entry = std::move(own);
  }
  ASSERT(entry->index == raft_entry.index && entry->term == raft_entry.term);
  if (rows_ == &memory_) memory_.append(*entry);
  const bool events = has_key(entry->effects[0]);
  const store::Applied applied = events ? applied_of(entry) : store::Applied();
  for (std::size_t i = 0; i < entry->effects.size(); ++i) {
    const RowId row = store::row_id(entry->index, i);
    const Result<void> done = state_.apply(row, store::view_of(*entry, i), true);
    if (!done) throw Violation("the state refuses a committed row: " + done.error().message());
    std::string bytes;
    store::encode_row(*entry, i, {entry->index - 1, entry->index - 1}, &bytes);
    digest_ = mix(digest_, bytes);
  }
  applied_ = entry->index;
  pending_.applied(*entry);
  swept_ = false;
  while (!in_flight_.empty() && in_flight_.front()->index <= entry->index) in_flight_.pop_front();
  if (!events || entry->revision <= early_) return;
  history_.push(applied);
  if (watches_->publish(applied)) progress_due_ = true;
}

Answer KvMachine::read(const Command& command) {
  Answer answer{.kv = std::make_shared<KvAnswer>()};
  const store::RangeRequest& request = command.kv->range;
  answer.kv->applied = applied_;
  answer.kv->base = state_.base_revision();
  const Revision newest = state_.revision();
  if (request.revision > newest) {
    answer.kv->error = Error(Code::kInvalid, "required revision is a future revision");
  } else if (request.revision != 0 && request.revision < state_.floor()) {
    answer.kv->error = Error(Code::kExpired, "required revision has been compacted");
  } else {
    const bool newest_wanted = request.revision == 0 || mutant_ == ShellMutant::kPastReadsNewest;
    answer.kv->range = sound(range(request, newest_wanted ? newest : request.revision), "reading a range");
    answer.kv->range.revision = newest;
  }
  return answer;
}

// What is unchanged since `at` is in the index; for the rest the log is followed back.
Result<store::RangeResponse> KvMachine::range(const store::RangeRequest& request, Revision at) {
  const store::KeyRange range{request.key, request.range_end};
  store::RangeResponse response;
  store::KeyIndex::Cursor cursor = state_.keys().seek(request.key);
  for (const store::KeyRecord* record = cursor.get(); record != nullptr && range.before_end(record->key());
       cursor.next(), record = cursor.get()) {
    std::vector<store::PastVersion> version(1);
    version[0].row = record->row;
    if (record->mod_revision > at) {
      if (auto done = store::read_past(*rows_, at, true, SIZE_MAX, &version); !done) return done.error();
    } else {
      version[0].meta = *record;
      version[0].found = !record->deleted;
    }
    if (!version[0].found) continue;
    ++response.count;
    if (request.count_only) continue;
    if (request.limit > 0 && static_cast<std::int64_t>(response.kvs.size()) == request.limit) {
      response.more = true;
      continue;
    }
    const store::KeyMeta& meta = version[0].meta;
    store::Bytes value;
    if (!request.keys_only) value = version[0].value ? version[0].value : value_of(meta.row, meta.mod_revision);
    response.kvs.push_back(
        {std::string(record->key()), value, meta.create_revision, meta.mod_revision, meta.version, meta.lease});
  }
  return response;
}

// What SnapshotSource (src/store/snapshot_source.h) does slice by slice, at once.
StateMachine::ImageRef KvMachine::stream() const {
  auto image = std::make_shared<KvStream>();
  store::SnapshotHead head;
  head.index = state_.applied();
  head.term = state_.term();
  head.revision = state_.revision();
  head.floor = state_.floor();
  if (state_.membership()) head.membership = *state_.membership();
  head.membership_index = state_.membership_index();
  head.keys = state_.keys().live();
  head.store_id = std::string(16, 's');
  store::SnapshotWriter writer;
  image->bytes = writer.head(head);
  const auto lives = [&](RowId row, const store::RowView& view) {
    const store::KeyRecord* record = view.type == EffectType::kPut ? state_.keys().find(view.key) : nullptr;
    return (record != nullptr && record->row == row) || row == state_.compact_row() || row == state_.membership_row() ||
           (view.type == EffectType::kLeaseGrant && row == state_.lease_row(view.lease));
  };
  const auto take = [&](RowId row, const store::RowView& view) {
    if (store::row_index(row) > head.index) return false;
    std::string bytes;
    store::encode_view(row, view, {}, &bytes);
    if (lives(row, view)) writer.add(row, bytes);
    return true;
  };
  if (auto done = rows_->scan(store::kFirstLogRow, take); !done) throw Violation("reading the state for a snapshot");
  if (writer.waiting_bytes() > 0) image->bytes += writer.take_rows();
  image->bytes += writer.end();
  return image;
}

std::string_view KvMachine::stream_of(const ImageRef& image) { return static_cast<const KvStream&>(*image).bytes; }

StateMachine::ImageRef KvMachine::image() const {
  if (rows_ != &memory_) return stream();
  auto image = std::make_shared<KvImage>();
  image->rows = memory_;
  image->applied = applied_;
  image->digest = digest_;
  return image;
}

void KvMachine::restore(const ImageRef& ref) {
  static const KvImage kEmpty;
  const auto& image = ref ? *static_cast<const KvImage*>(ref.get()) : kEmpty;
  memory_ = image.rows;
  state_ = store::KvState();
  const auto take = [&](RowId row, const store::RowView& view) {
    const Result<void> done = state_.apply(row, view, row > memory_.swept_row());
    if (!done) throw Violation("the state refuses a row of an image: " + done.error().message());
    return true;
  };
  sound(memory_.scan(store::kFirstLogRow, take).ok() ? Result<bool>(true) : Error(Code::kCorrupt, "rows"), "restoring");
  begin_anew(image.applied, image.digest);
}

void KvMachine::begin_anew(LogIndex applied, std::uint64_t digest) {
  applied_ = applied;
  digest_ = digest;
  pins_.clear();
  alive_ = std::make_shared<bool>(true);
  swept_ = false;
  ++generation_;
  forget_proposals();
  if (mutant_ == ShellMutant::kInstallKeepsHistory && history_.first() > 0) return;
  history_ = store::History(history_bytes_);
  history_.start_at(state_.revision() + 1);
  if (mutant_ != ShellMutant::kInstallKeepsGroups) watches_->restart();
}

void KvMachine::replace(store::KvState state, store::Database& database, LogIndex applied, std::uint64_t digest) {
  state_ = std::move(state);
  rows_ = &database;
  begin_anew(applied, digest);
}

void KvMachine::loaded(store::Database& database, LogIndex applied, std::uint64_t digest) {
  rows_ = &database;
  const store::Database::Base base = database.base();
  state_.begin_at(base.index, base.term, base.revision);
  applied_ = applied;
  digest_ = digest;
  history_.start_at(state_.revision() + 1);
  watches_->restart();
}

Revision KvMachine::sweep_floor() const {
  Revision floor = state_.floor();
  const bool pinned = !pins_.empty() && mutant_ != ShellMutant::kSweepIgnoresPins;
  if (pinned) floor = std::min(floor, *pins_.begin());
  if (mutant_ == ShellMutant::kCompactionDropsLive && floor > 0) floor = std::min(floor + 2, state_.revision());
  return floor;
}

void KvMachine::sweep(std::size_t rows) {
  const Revision floor = sweep_floor();
  const RowId before = memory_.swept_row();
  for (const MemoryRows::Tombstone& tombstone : memory_.sweep(floor, rows)) {
    state_.forget_tombstone(tombstone.key, tombstone.row);
  }
  swept_ = floor >= state_.floor() && memory_.swept_row() == before;
}

std::optional<store::SweepLimits> KvMachine::sweep_limits(std::size_t rows) const {
  if (!sweep_pending()) return std::nullopt;
  store::SweepLimits limits;
  limits.floor = sweep_floor();
  limits.commit = applied_;
  limits.rows = rows;
  return limits;
}

void KvMachine::swept(const store::SweepResult& result) {
  for (const store::SweepResult::Tombstone& tombstone : result.tombstones) {
    state_.forget_tombstone(tombstone.key, tombstone.row);
  }
}

Result<store::WatchSlice> KvMachine::read_events(const store::WatchGroup& group, const store::WatchStep& step,
                                                 bool previous) {
  return store::read_events(*rows_, group.range(), step.from, step.to, previous);
}

}  // namespace kayak::sim
