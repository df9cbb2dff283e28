// kv_ledger.cc: see kv_ledger.h. The model is written anew and not taken from the store: two errors would have to
// agree.
#include "sim/kv_ledger.h"

#include <algorithm>

#include "base/strings.h"
#include "sim/violation.h"

namespace kayak::sim {

namespace {

using store::Compare;
using store::Effect;
using store::EffectType;
using store::KeyValue;
using store::Op;
using store::WatchEvent;

bool same(const store::Bytes& a, const store::Bytes& b) { return (!a && !b) || (a && b && *a == *b); }
bool same(const KeyValue& a, const KeyValue& b) {
  return a.key == b.key && same(a.value, b.value) && a.create_revision == b.create_revision &&
         a.mod_revision == b.mod_revision && a.version == b.version && a.lease == b.lease;
}
bool same(const std::vector<KeyValue>& a, const std::vector<KeyValue>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) { return same(x, y); });
}
bool same(const store::RangeResponse& a, const store::RangeResponse& b) {
  return same(a.kvs, b.kvs) && a.more == b.more && a.count == b.count && a.revision == b.revision;
}
bool same(const store::TxnResponse& a, const store::TxnResponse& b) {
  const auto same_op = [](const store::OpResponse& x, const store::OpResponse& y) {
    return same(x.previous, y.previous) && x.deleted == y.deleted && same(x.range, y.range);
  };
  return a.succeeded == b.succeeded && a.revision == b.revision &&
         std::equal(a.responses.begin(), a.responses.end(), b.responses.begin(), b.responses.end(), same_op);
}

std::string text(const store::TxnResponse& response) {
  std::string out = cat(response.succeeded ? "succeeded" : "failed", " at ", response.revision);
  for (const store::OpResponse& op : response.responses) {
    out += cat("; previous ", sim::text(op.previous), "deleted ", op.deleted, " range of ", op.range.count, " ",
               sim::text(op.range.kvs));
  }
  return out;
}

KeyValue tombstone(const std::string& key, Revision revision) {
  KeyValue kv;
  kv.key = key;
  kv.mod_revision = revision;
  return kv;
}

template <typename T>
bool holds(const T& left, const T& right, Compare::Result wanted) {
  switch (wanted) {
    case Compare::Result::kEqual:
      return left == right;
    case Compare::Result::kGreater:
      return left > right;
    case Compare::Result::kLess:
      return left < right;
    case Compare::Result::kNotEqual:
      return left != right;
  }
  return false;
}

bool holds(const Compare& compare, const KvLedger::State& state) {
  const auto found = state.find(compare.key);
  const KeyValue kv = found == state.end() ? KeyValue() : found->second;
  switch (compare.target) {
    case Compare::Target::kValue:
      return kv.value && holds(*kv.value, compare.value, compare.result);
    case Compare::Target::kVersion:
      return holds(kv.version, compare.number, compare.result);
    case Compare::Target::kCreateRevision:
      return holds(kv.create_revision, compare.number, compare.result);
    case Compare::Target::kModRevision:
      return holds(kv.mod_revision, compare.number, compare.result);
    case Compare::Target::kLease:
      return holds(kv.lease, compare.number, compare.result);
  }
  return false;
}

}  // namespace

std::string text(const std::vector<KeyValue>& kvs) {
  std::string out;
  for (const KeyValue& kv : kvs) {
    out += cat(kv.key, "=", kv.value ? *kv.value : std::string("?"), " c", kv.create_revision, " m", kv.mod_revision,
               " v", kv.version, ", ");
  }
  return out;
}

store::RangeResponse KvLedger::range(const State& state, const store::RangeRequest& request, Revision revision) const {
  store::RangeResponse response;
  response.revision = revision;
  const store::KeyRange wanted{request.key, request.range_end};
  for (auto at = state.lower_bound(request.key); at != state.end() && wanted.before_end(at->first); ++at) {
    ++response.count;
    if (request.count_only) continue;
    response.more = request.limit > 0 && response.count > request.limit;
    if (response.more) continue;
    response.kvs.push_back(at->second);
    if (request.keys_only) response.kvs.back().value = nullptr;
  }
  return response;
}

KvLedger::Run KvLedger::run(const store::TxnRequest& request, Revision before) const {
  Run run;
  run.after = at(before);
  const Revision revision = before + 1;
  run.response.succeeded = std::all_of(request.compares.begin(), request.compares.end(),
                                       [&](const Compare& compare) { return holds(compare, run.after); });
  for (const Op& op : run.response.succeeded ? request.success : request.failure) {
    store::OpResponse& response = run.response.responses.emplace_back();
    const store::KeyRange keys{op.key, op.range_end};
    if (op.type == Op::Type::kRange) {
      const bool past = op.range.revision > 0;
      response.range = range(past ? at(op.range.revision) : run.after, op.range, 0);
    } else if (op.type == Op::Type::kPut) {
      KeyValue& kv = run.after[op.key];
      const bool lived = kv.version > 0;
      const KeyValue old = kv;
      if (lived && op.previous) response.previous.push_back(old);
      kv = {op.key, op.value, lived ? old.create_revision : revision, revision, old.version + 1, op.lease};
      run.events.push_back({WatchEvent::Type::kPut, kv, lived ? std::optional(old) : std::nullopt});
    } else {
      for (auto found = run.after.lower_bound(op.key); found != run.after.end() && keys.before_end(found->first);) {
        if (op.previous) response.previous.push_back(found->second);
        run.events.push_back({WatchEvent::Type::kDelete, tombstone(found->first, revision), found->second});
        ++response.deleted;
        found = run.after.erase(found);
      }
    }
  }
  run.response.revision = run.events.empty() ? before : revision;
  for (store::OpResponse& response : run.response.responses) response.range.revision = run.response.revision;
  return run;
}

void KvLedger::proposed(LogIndex index, Term term, std::uint64_t id, const std::shared_ptr<const KvRequest>& request) {
  proposed_[{index, term}] = {id, request};
}

void KvLedger::applied(LogIndex index, Term term, const store::Entry* entry, Instant now) {
  if (index < floors_.size()) return;  // another server was first
  Revision floor = floors_.back();
  if (entry != nullptr) {
    const auto found = proposed_.find({index, term});
    if (found == proposed_.end()) throw Violation(cat("entry ", index, " was committed, but nobody asked for it"));
    const auto& [id, request] = found->second;
    if (refused_.contains(id)) throw Violation(cat("entry ", index, " was committed after its client was refused"));
    if (request->type == KvRequest::Type::kCompact) {
      floor = request->compact;
      outcomes_[id] = {revision(), {}};
      if (floor <= floors_.back() || floor > revision()) throw Violation(cat("a compaction to ", floor));
    } else if (request->type == KvRequest::Type::kGrant) {
      const bool fresh = leases_.emplace(request->lease, Lease{request->ttl, {}}).second;
      if (!fresh || entry->revision != revision()) throw Violation(cat("a grant of lease ", request->lease));
      outcomes_[id] = {revision(), {}};
    } else if (request->type == KvRequest::Type::kRevoke) {
      revoke(*request, id, *entry, now);
    } else {
      write(request->txn, id, *entry);
    }
  }
  floors_.push_back(floor);
  revisions_.push_back(revision());
}

void KvLedger::check_effects(const store::Entry& entry, const std::vector<WatchEvent>& events) const {
  bool good = entry.effects.size() == events.size();
  for (std::size_t i = 0; good && i < events.size(); ++i) {
    const Effect& effect = entry.effects[i];
    const WatchEvent& event = events[i];
    const bool put = event.type == WatchEvent::Type::kPut;
    good = effect.key == event.kv.key && (effect.type == EffectType::kPut) == put;
    if (good && put) {
      good = same(effect.value, event.kv.value) && effect.version == event.kv.version &&
             effect.create_revision == event.kv.create_revision && effect.lease == event.kv.lease &&
             (effect.lease == 0 || leases_.contains(effect.lease));
    }
  }
  if (good) return;
  throw Violation(
      cat("revision ", entry.revision, " has other effects than what was asked for has after revision ", revision()));
}

void KvLedger::write(const store::TxnRequest& request, std::uint64_t id, const store::Entry& entry) {
  if (entry.revision != revision() + 1) {
    throw Violation(cat("revision ", entry.revision, " is committed after revision ", revision()));
  }
  Run done = run(request, revision());
  check_effects(entry, done.events);
  if (!outcomes_.emplace(id, Outcome{entry.revision, std::move(done.response)}).second) {
    throw Violation("one transaction was done twice");
  }
  states_.push_back(std::move(done.after));
  events_.push_back(std::move(done.events));
}

// All its keys go with it, in one revision.
void KvLedger::revoke(const KvRequest& request, std::uint64_t id, const store::Entry& entry, Instant now) {
  const auto lease = leases_.find(request.lease);
  if (lease == leases_.end()) throw Violation(cat("lease ", request.lease, " is revoked, and is not there"));
  if (request.ended && now < lease->second.until) {
    throw Violation(cat("lease ", request.lease, " ended ", (lease->second.until - now).count() / 1'000'000,
                        " ms before the time for which it was kept alive"));
  }
  if (request.ended) ended_[request.lease] = {now, lease->second.ttl};
  leases_.erase(lease);
  State after = at(revision());
  std::vector<WatchEvent> events;
  for (auto key = after.begin(); key != after.end();) {
    const auto next = std::next(key);
    if (key->second.lease == request.lease) {
      events.push_back({WatchEvent::Type::kDelete, tombstone(key->first, revision() + 1), key->second});
      after.erase(key);
    }
    key = next;
  }
  store::Entry deletions = entry;
  if (deletions.effects.empty() || deletions.effects.back().type != EffectType::kLeaseRevoke ||
      deletions.revision != revision() + (events.empty() ? 0 : 1)) {
    throw Violation(cat("a revoke of lease ", request.lease, " at revision ", entry.revision));
  }
  deletions.effects.pop_back();
  check_effects(deletions, events);
  outcomes_[id] = {entry.revision, {}};
  if (events.empty()) return;
  states_.push_back(std::move(after));
  events_.push_back(std::move(events));
}

void KvLedger::kept_alive(store::LeaseId lease, Instant asked) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) {  // it is over by now
    const auto ended = ended_.find(lease);
    const bool broken = ended != ended_.end() && ended->second.at < asked + std::chrono::seconds(ended->second.ttl);
    if (broken) throw Violation(cat("lease ", lease, " is said to be kept alive, and had ended"));
    return;
  }
  found->second.until = std::max(found->second.until, asked + std::chrono::seconds(found->second.ttl));
}

void KvLedger::served(std::uint64_t server, std::uint64_t life, const KvRequest& request, const KvAnswer& answer) {
  if (request.type != KvRequest::Type::kRange) return;
  const Revision floor = std::max(floor_after(answer.applied), answer.base);
  const bool compacted = request.range.revision != 0 && request.range.revision < floor;
  if (answer.error) {
    if (answer.error->code() == Code::kExpired && !compacted) {
      throw Violation(cat("node ", server, " says that revision ", request.range.revision, " is compacted"));
    }
    return;
  }
  if (compacted) throw Violation(cat("node ", server, " reads at the compacted revision ", request.range.revision));
  const Revision at_revision = answer.range.revision;
  Revision& last = last_served_[{server, life}];
  if (at_revision < last) throw Violation(cat("node ", server, " goes back to revision ", at_revision));
  last = at_revision;
  if (at_revision > revision())
    throw Violation(cat("node ", server, " is at revision ", at_revision, ", not there yet"));
  const Revision from = request.range.revision == 0 ? at_revision : request.range.revision;
  const store::RangeResponse right = range(at(from), request.range, at_revision);
  if (same(right, answer.range)) return;
  throw Violation(cat("node ", server, " answers a range of revision ", from, " with ", answer.range.count,
                      " keys: ", text(answer.range.kvs), "instead of ", right.count, ": ", text(right.kvs)));
}

void KvLedger::check_state(std::uint64_t server, LogIndex index, const store::RangeResponse& all) const {
  if (index >= revisions_.size()) return;
  const Revision newest = revisions_[index];
  const store::RangeResponse right =
      range(at(newest), {.key = std::string(1, '\0'), .range_end = std::string(1, '\0')}, newest);
  if (!same(right, all)) {
    throw Violation(cat("node ", server, " holds ", text(all.kvs), "instead of ", text(right.kvs)));
  }
}

void KvLedger::answered(std::uint64_t id, const KvRequest& request, const KvAnswer& answer, Revision before) {
  if (answer.error || (request.type != KvRequest::Type::kTxn && request.type != KvRequest::Type::kRange)) return;
  const bool reads = request.type == KvRequest::Type::kRange;
  const Revision revision = reads ? answer.range.revision : answer.txn.revision;
  if (reads && request.range.serializable) return;
  const auto outcome = outcomes_.find(id);
  const bool wrote = outcome != outcomes_.end();
  if (answer.wrote != wrote) throw Violation(cat("an answer of revision ", revision, " to what was never committed"));
  // Time: what had been heard of before the call is below a write and not above a read.
  if (revision < before + (wrote ? 1 : 0)) {
    throw Violation(cat(wrote ? "a write" : "a read", " at revision ", revision, " began after revision ", before,
                        " had been heard of"));
  }
  if (!reads) {
    if (revision > this->revision()) throw Violation(cat("an answer of revision ", revision, ", which is not there"));
    const store::TxnResponse right = wrote ? outcome->second.response : run(request.txn, revision).response;
    if (!same(right, answer.txn)) {
      throw Violation(cat("a transaction is answered: ", text(answer.txn), "\ninstead of: ", text(right)));
    }
  }
  heard_ = std::max(heard_, revision);
}

void KvLedger::refused(std::uint64_t id) {
  refused_.insert(id);
  if (outcomes_.contains(id)) throw Violation("a client was refused what was committed");
}

}  // namespace kayak::sim
