// evaluator.cc: compares, operations and the merged view of keys.
#include "store/evaluator.h"

#include <algorithm>
#include <compare>

#include "base/strings.h"

namespace kayak::store {

namespace {

KeyRange range_of(const std::string& key, const std::string& end) { return KeyRange{key, end}; }

Result<void> check_key(std::string_view key) {
  if (key.empty()) return Error(Code::kInvalid, "key is not provided");
  if (key.size() > kMaxKeyBytes) return Error(Code::kTooLarge, cat("a key is longer than ", kMaxKeyBytes, " bytes"));
  return Result<void>();
}

// Within one branch no key may be written twice: neither by two puts nor by a put and a delete.
Result<void> check_writes(const std::vector<Op>& ops) {
  std::vector<std::string_view> puts;
  for (const Op& op : ops) {
    if (op.type == Op::Type::kPut) puts.push_back(op.key);
  }
  std::sort(puts.begin(), puts.end());
  if (std::adjacent_find(puts.begin(), puts.end()) != puts.end()) {
    return Error(Code::kInvalid, "duplicate key given in txn request");
  }
  for (const Op& op : ops) {
    if (op.type != Op::Type::kDelete) continue;
    const KeyRange range = range_of(op.key, op.range_end);
    auto first = std::lower_bound(puts.begin(), puts.end(), range.key);
    if (first != puts.end() && range.contains(*first)) {
      return Error(Code::kInvalid, "duplicate key given in txn request");
    }
  }
  return Result<void>();
}

Result<void> check_ops(const std::vector<Op>& ops) {
  if (ops.size() > kMaxTxnOps) return Error(Code::kTooLarge, cat("more than ", kMaxTxnOps, " operations in a txn"));
  for (const Op& op : ops) {
    Result<void> good = op.type == Op::Type::kRange ? check_range(op.range) : check_key(op.key);
    if (!good) return good;
    if (op.type != Op::Type::kPut) continue;
    if (!op.range_end.empty()) return Error(Code::kInvalid, "a put takes one key, not a range");
    if (op.value && op.value->size() > kMaxValueBytes) {
      return Error(Code::kTooLarge, cat("a value of ", op.value->size(), " bytes is over ", kMaxValueBytes));
    }
  }
  return check_writes(ops);
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

// One run of a transaction.
struct Run {
  const TxnRequest& request;
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

  // A compare of a value whose key is absent never holds. Source: etcd, applyCompare.
  bool compare(const Compare& compare) {
    const KeyView::Found found = view.find(compare.key);
    if (compare.target == Compare::Target::kValue) {
      if (!living(found)) return false;
      const Bytes value = value_of(*found.meta, found.value);
      if (!value) {
        result.wanted.push_back({found.meta->row, found.meta->mod_revision});
        return false;
      }
      return holds(std::string_view(*value) <=> std::string_view(compare.value), compare.result);
    }
    const KeyMeta meta = living(found) ? *found.meta : KeyMeta();
    const std::int64_t number = compare.target == Compare::Target::kVersion          ? meta.version
                                : compare.target == Compare::Target::kCreateRevision ? meta.create_revision
                                : compare.target == Compare::Target::kModRevision    ? meta.mod_revision
                                                                                     : meta.lease;
    return holds(number <=> compare.number, compare.result);
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

  void add(std::vector<KeyValue>* kvs, bool previous, std::string_view key, const KeyMeta& meta, const Bytes& known) {
    KeyValue kv = key_value(key, meta);
    kv.value = value_of(meta, known);
    if (!kv.value) {
      result.missing.push_back(
          {meta.row, meta.mod_revision, result.response.responses.size() - 1, previous, kvs->size()});
    }
    kvs->push_back(std::move(kv));
  }

  void put(const Op& op, OpResponse* response) {
    const KeyView::Found found = view.find(op.key);
    if (op.previous && living(found)) add(&response->previous, true, op.key, *found.meta, found.value);
    PendingVersion next;
    next.value = op.value ? op.value : std::make_shared<const std::string>();
    next.meta.create_revision = living(found) ? found.meta->create_revision : revision;
    next.meta.version = living(found) ? found.meta->version + 1 : 1;
    next.meta.lease = op.lease;
    next.meta.value_bytes = static_cast<std::uint32_t>(next.value->size()) & 0x7fffffffU;
    write(EffectType::kPut, op.key, found.meta == nullptr ? 0 : found.meta->row, std::move(next));
  }

  void remove(const Op& op, OpResponse* response) {
    std::vector<std::pair<std::string, RowId>> doomed;
    auto look = [&](std::string_view key, const KeyMeta& meta, const Bytes& known) {
      if (op.previous) add(&response->previous, true, key, meta, known);
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
      result.past_ranges.push_back(result.response.responses.size() - 1);
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
        add(&response->range.kvs, false, key, meta, known);
      }
      return true;
    };
    view.visit(range_of(wanted.key, wanted.range_end), look);
    return Result<void>();
  }

  Result<void> run() {
    bool all = true;
    for (const Compare& c : request.compares) all = compare(c) && all;
    if (!result.wanted.empty()) return Result<void>();
    result.response.succeeded = all;
    for (const Op& op : all ? request.success : request.failure) {
      OpResponse& response = result.response.responses.emplace_back();
      switch (op.type) {
        case Op::Type::kPut:
          put(op, &response);
          break;
        case Op::Type::kDelete:
          remove(op, &response);
          break;
        case Op::Type::kRange:
          if (auto done = range(op, &response); !done) return done;
          break;
      }
    }
    return check_size();
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
  if (request.compares.size() > kMaxTxnOps) return Error(Code::kTooLarge, "too many compares in a txn");
  for (const Compare& compare : request.compares) {
    if (auto good = check_key(compare.key); !good) return good;
  }
  if (auto good = check_ops(request.success); !good) return good;
  return check_ops(request.failure);
}

KeyView::Found KeyView::find(std::string_view key) const {
  for (const PendingKeys* layer : {&written_, &pending_}) {
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
  auto pending = pending_.lower_bound(range.key);
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
    if (pending != pending_.end()) lower(pending->first);
    if (written != written_.end()) lower(written->first);
    if (!any || !range.before_end(key)) return;
    const KeyMeta* meta = nullptr;
    const Bytes* value = &kOnDisk;
    if (record != nullptr && record->key() == key) {
      meta = record;
      base.next();
    }
    if (pending != pending_.end() && pending->first == key) {
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

Result<Evaluation> evaluate(const TxnRequest& request, KeyView view, const KvState& state, LogIndex index,
                            Revision revision, const std::function<Bytes(RowId, Revision)>& values) {
  Run run{request, std::move(view), state, index, revision, values};
  if (auto done = run.run(); !done) return done.error();
  run.result.response.revision = run.result.effects.empty() ? revision - 1 : revision;
  for (OpResponse& response : run.result.response.responses) response.range.revision = run.result.response.revision;
  return std::move(run.result);
}

}  // namespace kayak::store
