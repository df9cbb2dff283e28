// evaluator.cc: compares, operations and the merged view of keys.
#include "store/evaluator.h"

#include <algorithm>
#include <compare>
#include <set>

#include "base/strings.h"

namespace kayak::store {

namespace {

KeyRange range_of(const std::string& key, const std::string& end) { return KeyRange{key, end}; }

Result<void> check_key(std::string_view key) {
  if (key.empty()) return Error(Code::kInvalid, "key is not provided");
  if (key.size() > kMaxKeyBytes) return Error(Code::kTooLarge, cat("a key is longer than ", kMaxKeyBytes, " bytes"));
  return Result<void>();
}

// What one operation writes, or a transaction in whichever branch.
struct Writes {
  std::set<std::string_view> puts;
  std::vector<KeyRange> deletes;
};

bool clash(const Writes& a, const Writes& b) {
  auto puts_in_deletes = [](const Writes& puts, const Writes& deletes) {
    return std::any_of(deletes.deletes.begin(), deletes.deletes.end(), [&](const KeyRange& range) {
      const auto first = puts.puts.lower_bound(range.key);
      return first != puts.puts.end() && range.contains(*first);
    });
  };
  const bool same =
      std::any_of(b.puts.begin(), b.puts.end(), [&](std::string_view key) { return a.puts.contains(key); });
  return same || puts_in_deletes(a, b) || puts_in_deletes(b, a);
}

// Within one branch no key is written by two operations, unless both delete it. The branches of a transaction inside
// exclude each other. Source: etcd, checkIntervals; unlike it, the order of the operations makes no difference here.
Result<Writes> check_writes(const std::vector<Op>& ops) {
  Writes all;
  for (const Op& op : ops) {
    std::vector<Writes> alternatives(1);
    if (op.type == Op::Type::kPut) alternatives[0].puts.insert(op.key);
    if (op.type == Op::Type::kDelete) alternatives[0].deletes.push_back(range_of(op.key, op.range_end));
    if (op.type == Op::Type::kTxn) {
      alternatives.clear();
      for (const std::vector<Op>* branch : {&op.transaction->success, &op.transaction->failure}) {
        Result<Writes> inside = check_writes(*branch);
        if (!inside) return inside;
        alternatives.push_back(std::move(*inside));
      }
    }
    for (const Writes& one : alternatives) {
      if (clash(all, one)) return Error(Code::kInvalid, "duplicate key given in txn request");
    }
    for (Writes& one : alternatives) {
      all.puts.merge(one.puts);
      all.deletes.insert(all.deletes.end(), one.deletes.begin(), one.deletes.end());
    }
  }
  return all;
}

Result<void> check_parts(const TxnRequest& request, std::size_t max_ops);

Result<void> check_op(const Op& op, std::size_t max_ops) {
  if (op.type == Op::Type::kRange) return check_range(op.range);
  if (op.type == Op::Type::kTxn) {
    if (!op.transaction) return Error(Code::kInvalid, "a transaction without content");
    return check_parts(*op.transaction, max_ops);
  }
  if (auto good = check_key(op.key); !good) return good;
  if (op.type != Op::Type::kPut) return Result<void>();
  if (!op.range_end.empty()) return Error(Code::kInvalid, "a put takes one key, not a range");
  if (op.value && op.value->size() > kMaxValueBytes) {
    return Error(Code::kTooLarge, cat("a value of ", op.value->size(), " bytes is over ", kMaxValueBytes));
  }
  if (op.keep_value && op.value && !op.value->empty()) return Error(Code::kInvalid, "value is provided");
  if (op.keep_lease && op.lease != 0) return Error(Code::kInvalid, "lease is provided");
  return Result<void>();
}

// Transactions inside may have as many operations as the one around them leaves. Source: etcd, checkTxnRequest.
Result<void> check_parts(const TxnRequest& request, std::size_t max_ops) {
  const std::size_t ops = std::max({request.compares.size(), request.success.size(), request.failure.size()});
  if (ops > max_ops) return Error(Code::kTooLarge, cat("more than ", kMaxTxnOps, " operations in a txn"));
  for (const Compare& compare : request.compares) {
    if (auto good = check_key(compare.key); !good) return good;
  }
  for (const std::vector<Op>* branch : {&request.success, &request.failure}) {
    for (const Op& op : *branch) {
      if (auto good = check_op(op, max_ops - ops); !good) return good;
    }
  }
  return Result<void>();
}

std::size_t request_bytes(const TxnRequest& request) {
  std::size_t bytes = 0;
  for (const Compare& compare : request.compares) {
    bytes += kMaxOpOverhead + compare.key.size() + compare.range_end.size() + compare.value.size();
  }
  for (const std::vector<Op>* branch : {&request.success, &request.failure}) {
    for (const Op& op : *branch) {
      bytes += kMaxOpOverhead + op.key.size() + op.range_end.size() + (op.value ? op.value->size() : 0);
      if (op.type == Op::Type::kRange) bytes += op.range.key.size() + op.range.range_end.size();
      if (op.type == Op::Type::kTxn) bytes += request_bytes(*op.transaction);
    }
  }
  return bytes;
}

bool holds(std::strong_ordering order, Compare::Result wanted) {
  switch (wanted) {
    case Compare::Result::kEqual:
      return order == 0;
    case Compare::Result::kGreater:
      return order > 0;
    case Compare::Result::kLess:
      return order < 0;
    case Compare::Result::kNotEqual:
      return order != 0;
  }
  return false;
}

// Which branches are taken: of a transaction, and of those inside the branch, in order.
struct Path {
  bool succeeded = true;
  std::vector<Path> inside;
};

const std::vector<Op>& branch_of(const TxnRequest& request, bool succeeded) {
  return succeeded ? request.success : request.failure;
}

// Values that are fetched at once: enough to be worth the way to the disk.
constexpr std::size_t kMaxWanted = 1000;

// One run of a transaction.
struct Run {
  KeyView view;
  const KvState& state;
  LogIndex index;
  Revision revision;
  const std::function<Bytes(RowId, Revision)>& values;
  Evaluation result{};

  bool living(const KeyView::Found& found) const { return found.meta != nullptr && !found.meta->deleted; }

  Bytes value_of(const KeyMeta& meta, const Bytes& known) const {
    return known ? known : values(meta.row, meta.mod_revision);
  }
  // As above; null when it has to be fetched first.
  Bytes need_value(const KeyMeta& meta, const Bytes& known) {
    Bytes value = value_of(meta, known);
    if (!value) result.wanted.push_back({meta.row, meta.mod_revision});
    return value;
  }

  bool compare_numbers(const Compare& compare, const KeyMeta& meta) const {
    const std::int64_t number = compare.target == Compare::Target::kVersion          ? meta.version
                                : compare.target == Compare::Target::kCreateRevision ? meta.create_revision
                                : compare.target == Compare::Target::kModRevision    ? meta.mod_revision
                                                                                     : meta.lease;
    return holds(number <=> compare.number, compare.result);
  }

  // Holds of every key in the range. A compare of a value whose key is absent never holds. Source: etcd, applyCompare.
  bool compare(const Compare& compare) {
    bool any = false, all = true;
    auto look = [&](std::string_view, const KeyMeta& meta, const Bytes& known) {
      any = true;
      if (compare.target != Compare::Target::kValue) {
        all = compare_numbers(compare, meta);
        return all;
      }
      const Bytes value = need_value(meta, known);
      if (!value) return result.wanted.size() < kMaxWanted;
      all = holds(std::string_view(*value) <=> std::string_view(compare.value), compare.result);
      return all;
    };
    view.visit(range_of(compare.key, compare.range_end), look);
    if (any) return all;
    return compare.target != Compare::Target::kValue && compare_numbers(compare, KeyMeta());
  }

  // All compares see the store as it is before the first operation. Source: etcd, compareToPath.
  Path choose(const TxnRequest& request) {
    Path path;
    for (const Compare& c : request.compares) path.succeeded = compare(c) && path.succeeded;
    for (const Op& op : branch_of(request, path.succeeded)) {
      if (op.type == Op::Type::kTxn) path.inside.push_back(choose(*op.transaction));
    }
    return path;
  }

  KeyValue key_value(std::string_view key, const KeyMeta& meta) const {
    KeyValue kv;
    kv.key = std::string(key);
    kv.create_revision = meta.create_revision;
    kv.mod_revision = meta.mod_revision;
    kv.version = meta.version;
    kv.lease = meta.lease;
    return kv;
  }

  void add(OpResponse* response, bool previous, std::string_view key, const KeyMeta& meta, const Bytes& known) {
    std::vector<KeyValue>& kvs = previous ? response->previous : response->range.kvs;
    KeyValue kv = key_value(key, meta);
    kv.value = value_of(meta, known);
    if (!kv.value) result.missing.push_back({meta.row, meta.mod_revision, response, previous, kvs.size()});
    kvs.push_back(std::move(kv));
  }

  Result<void> put(const Op& op, OpResponse* response) {
    if (op.lease != 0 && !view.granted(op.lease)) return Error(Code::kNotFound, "requested lease not found");
    const KeyView::Found found = view.find(op.key);
    if ((op.keep_value || op.keep_lease) && !living(found)) return Error(Code::kInvalid, "key not found");
    if (op.previous && living(found)) add(response, true, op.key, *found.meta, found.value);
    PendingVersion next;
    next.value = op.keep_value ? need_value(*found.meta, found.value) : op.value;
    if (!next.value) next.value = std::make_shared<const std::string>();
    next.meta.create_revision = living(found) ? found.meta->create_revision : revision;
    next.meta.version = living(found) ? found.meta->version + 1 : 1;
    next.meta.lease = op.keep_lease ? found.meta->lease : op.lease;
    next.meta.value_bytes = static_cast<std::uint32_t>(next.value->size()) & 0x7fffffffU;
    write(EffectType::kPut, op.key, found.meta == nullptr ? 0 : found.meta->row, std::move(next));
    return Result<void>();
  }

  void remove(const Op& op, OpResponse* response) {
    std::vector<std::pair<std::string, RowId>> doomed;
    auto look = [&](std::string_view key, const KeyMeta& meta, const Bytes& known) {
      if (op.previous) add(response, true, key, meta, known);
      doomed.emplace_back(std::string(key), meta.row);
      return true;
    };
    view.visit(range_of(op.key, op.range_end), look);
    for (const auto& [key, row] : doomed) {
      PendingVersion tombstone;
      tombstone.meta.deleted = 1;
      write(EffectType::kDelete, key, row, std::move(tombstone));
    }
    response->deleted = static_cast<std::int64_t>(doomed.size());
  }

  void write(EffectType type, const std::string& key, RowId previous_row, PendingVersion next) {
    next.meta.mod_revision = revision;
    next.meta.row = row_id(index, result.effects.size());
    Effect effect;
    effect.type = type;
    effect.key = key;
    effect.value = next.value;
    effect.create_revision = next.meta.create_revision;
    effect.version = next.meta.version;
    effect.lease = next.meta.lease;
    effect.previous_row = previous_row;
    result.effects.push_back(std::move(effect));
    view.write(key, std::move(next));
  }

  Result<void> range(const Op& op, OpResponse* response) {
    const RangeRequest& wanted = op.range;
    if (wanted.revision > 0) {
      // As etcd, the newest revision that can be asked for is the one before this transaction's.
      if (wanted.revision >= revision) return Error(Code::kInvalid, "required revision is a future revision");
      if (wanted.revision < state.floor()) return Error(Code::kExpired, "required revision has been compacted");
      result.past_ranges.push_back({&wanted, response});
      return Result<void>();
    }
    auto look = [&](std::string_view key, const KeyMeta& meta, const Bytes& known) {
      ++response->range.count;
      if (wanted.count_only) return true;
      if (wanted.limit > 0 && response->range.count > wanted.limit) {
        response->range.more = true;
      } else if (wanted.keys_only) {
        response->range.kvs.push_back(key_value(key, meta));
      } else {
        add(response, false, key, meta, known);
      }
      return true;
    };
    view.visit(range_of(wanted.key, wanted.range_end), look);
    return Result<void>();
  }

  Result<void> run(const Op& op, const Path*& inside, OpResponse* response) {
    switch (op.type) {
      case Op::Type::kPut:
        return put(op, response);
      case Op::Type::kDelete:
        remove(op, response);
        return Result<void>();
      case Op::Type::kRange:
        return range(op, response);
      case Op::Type::kTxn:
        response->transaction = std::make_shared<TxnResponse>();
        return run(*op.transaction, *inside++, response->transaction.get());
    }
    return Result<void>();
  }

  Result<void> run(const TxnRequest& request, const Path& path, TxnResponse* response) {
    const std::vector<Op>& ops = branch_of(request, path.succeeded);
    response->succeeded = path.succeeded;
    response->responses.resize(ops.size());  // they stay where they are from here on
    const Path* inside = path.inside.data();
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (auto done = run(ops[i], inside, &response->responses[i]); !done) return done;
    }
    return Result<void>();
  }

  Result<void> check_size() const {
    std::size_t bytes = 0;
    for (const Effect& effect : result.effects) bytes += effect.key.size() + (effect.value ? effect.value->size() : 0);
    if (bytes > kMaxEntryBytes || result.effects.size() > kMaxEffects) {
      return Error(Code::kTooLarge, cat("a txn that writes ", result.effects.size(), " keys and ", bytes, " bytes"));
    }
    return Result<void>();
  }
};

}  // namespace

Result<void> check_range(const RangeRequest& request) {
  if (request.limit < 0 || request.revision < 0) return Error(Code::kInvalid, "a negative limit or revision");
  return check_key(request.key);
}

Result<void> check_txn(const TxnRequest& request) {
  if (auto good = check_parts(request, kMaxTxnOps); !good) return good;
  if (const std::size_t bytes = request_bytes(request); bytes > kMaxRequestBytes) {
    return Error(Code::kTooLarge, cat("a txn of ", bytes, " bytes is over ", kMaxRequestBytes));
  }
  for (const std::vector<Op>* branch : {&request.success, &request.failure}) {
    if (branch->size() < 2 && (branch->empty() || branch->front().type != Op::Type::kTxn)) continue;
    if (auto good = check_writes(*branch); !good) return good.error();
  }
  return Result<void>();
}

bool may_write(const TxnRequest& request) {
  auto writes = [](const Op& op) {
    return op.type == Op::Type::kTxn ? may_write(*op.transaction) : op.type != Op::Type::kRange;
  };
  return std::any_of(request.success.begin(), request.success.end(), writes) ||
         std::any_of(request.failure.begin(), request.failure.end(), writes);
}

KeyView::Found KeyView::find(std::string_view key) const {
  for (const PendingKeys* layer : {&written_, &pending_.keys()}) {
    auto it = layer->find(key);
    if (it != layer->end()) return Found{&it->second.meta, it->second.value};
  }
  return Found{state_.keys().find(key), nullptr};
}

void KeyView::visit(KeyRange range,
                    const std::function<bool(std::string_view, const KeyMeta&, const Bytes&)>& visit) const {
  if (range.single()) {
    const Found found = find(range.key);
    if (found.meta != nullptr && !found.meta->deleted) visit(range.key, *found.meta, found.value);
    return;
  }
  KeyIndex::Cursor base = state_.keys().seek(range.key);
  const PendingKeys& pending_keys = pending_.keys();
  auto pending = pending_keys.lower_bound(range.key);
  auto written = written_.lower_bound(range.key);
  static const Bytes kOnDisk;
  for (;;) {
    // The lowest key of the three layers; where several have it the upper one counts.
    const KeyRecord* record = base.get();
    std::string_view key;
    bool any = false;
    auto lower = [&](std::string_view candidate) {
      if (!any || candidate < key) key = candidate;
      any = true;
    };
    if (record != nullptr) lower(record->key());
    if (pending != pending_keys.end()) lower(pending->first);
    if (written != written_.end()) lower(written->first);
    if (!any || !range.before_end(key)) return;
    const KeyMeta* meta = nullptr;
    const Bytes* value = &kOnDisk;
    if (record != nullptr && record->key() == key) {
      meta = record;
      base.next();
    }
    if (pending != pending_keys.end() && pending->first == key) {
      meta = &pending->second.meta;
      value = &pending->second.value;
      ++pending;
    }
    if (written != written_.end() && written->first == key) {
      meta = &written->second.meta;
      value = &written->second.value;
      ++written;
    }
    if (!meta->deleted && !visit(key, *meta, *value)) return;
  }
}

void KeyView::write(std::string_view key, PendingVersion version) {
  written_.insert_or_assign(std::string(key), std::move(version));
}

bool KeyView::granted(LeaseId lease) const {
  const Pending::LeaseState* pending = pending_.lease(lease);
  return pending != nullptr ? pending->granted : state_.leases().find(lease) != nullptr;
}

namespace {

void set_revision(TxnResponse* response, Revision revision) {
  response->revision = revision;
  for (OpResponse& one : response->responses) {
    one.range.revision = revision;
    if (one.transaction) set_revision(one.transaction.get(), revision);
  }
}

}  // namespace

Result<Evaluation> evaluate(const TxnRequest& request, KeyView view, const KvState& state, LogIndex index,
                            Revision revision, const std::function<Bytes(RowId, Revision)>& values) {
  Run run{std::move(view), state, index, revision, values};
  const Path path = run.choose(request);
  if (run.result.wanted.empty()) {
    if (auto done = run.run(request, path, &run.result.response); !done) return done.error();
    if (auto done = run.check_size(); !done) return done.error();
  }
  if (!run.result.wanted.empty()) {
    Evaluation unready;
    unready.wanted = std::move(run.result.wanted);
    return unready;
  }
  set_revision(&run.result.response, run.result.effects.empty() ? revision - 1 : revision);
  return std::move(run.result);
}

std::vector<Entry> evaluate_revoke(LeaseId lease, const KvState& state, const Pending& pending, Revision revision,
                                   std::size_t max_bytes, std::size_t max_effects) {
  std::vector<Entry> entries(1);
  std::size_t bytes = 0;
  auto remove = [&](std::string_view key, const KeyMeta& meta) {
    if (meta.deleted || meta.lease != lease) return;
    // One place is left for the revoke.
    if (bytes + key.size() > max_bytes || entries.back().effects.size() + 1 >= max_effects) {
      entries.emplace_back();
      bytes = 0;
    }
    Effect& effect = entries.back().effects.emplace_back();
    effect.type = EffectType::kDelete;
    effect.key = key;
    effect.previous_row = meta.row;
    bytes += key.size();
  };
  const LeaseTable::Granted* granted = state.leases().find(lease);
  std::set<std::string_view> keys;
  if (granted != nullptr) keys.insert(granted->keys.begin(), granted->keys.end());
  for (const auto& [key, version] : pending.keys()) {
    if (version.meta.lease == lease) keys.insert(key);
  }
  const KeyView view(state, pending);
  for (const std::string_view key : keys) {
    if (const KeyView::Found found = view.find(key); found.meta != nullptr) remove(key, *found.meta);
  }
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].revision = revision + static_cast<Revision>(i);
  if (entries.front().effects.empty()) entries.front().revision = revision - 1;
  const Pending::LeaseState* on_its_way = pending.lease(lease);
  Effect& effect = entries.back().effects.emplace_back();
  effect.type = EffectType::kLeaseRevoke;
  effect.lease = lease;
  effect.previous_row = on_its_way != nullptr ? on_its_way->row : granted->row;
  return entries;
}

}  // namespace kayak::store
