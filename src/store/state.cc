// state.cc: applying rows.
#include "store/state.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::store {

namespace {
Error contradiction(RowId row, std::string_view what) {
  return Error(Code::kCorrupt, cat("log entry ", row_index(row), " ", what));
}
}  // namespace

RowId KvState::lease_row(std::int64_t lease) const {
  const LeaseTable::Granted* granted = leases_.find(lease);
  return granted == nullptr ? 0 : granted->row;
}

void KvState::begin_at(LogIndex index, Term term, Revision revision) {
  if (index == 0) return;
  base_revision_ = std::max(base_revision_, revision);
  applied_ = std::max(applied_, index);
  term_ = std::max(term_, term);
  revision_ = std::max(revision_, revision);
  floor_ = std::max(floor_, revision);
}

Result<void> KvState::apply(RowId row, const RowView& view, bool complete) {
  if (row_index(row) < applied_) return contradiction(row, "comes after a later one");
  const Revision revision = view.revision == 0 ? revision_ : view.revision;  // 0: Raft's own, not read from disk
  if (revision < revision_) return contradiction(row, "takes the revision back");
  if (view.term < term_) return contradiction(row, "takes the term back");
  switch (view.type) {
    case EffectType::kPut:
    case EffectType::kDelete: {
      const bool put = view.type == EffectType::kPut;
      const KeyRecord* known = keys_.find(view.key);
      // Whoever wrote this row may have forgotten a deletion that is still known here: servers drop rows at their own
      // pace, and one that began with a snapshot never had it.
      const bool forgotten = known != nullptr && known->deleted && put && view.previous_row == 0;
      if (known != nullptr && known->row != view.previous_row && !forgotten) {
        return contradiction(row, "does not follow the version before it");
      }
      const bool lived = known != nullptr && !known->deleted;
      if (put && lived && view.version != known->version + 1) return contradiction(row, "skips a version");
      const bool needs_older = !put || view.version > 1;
      if (complete && needs_older && !lived) return contradiction(row, "lacks the version before it");
      KeyMeta meta;
      meta.mod_revision = view.revision;
      meta.row = row;
      meta.deleted = put ? 0 : 1;
      if (put) {
        meta.create_revision = view.create_revision;
        meta.version = view.version;
        meta.lease = view.lease;
        meta.value_bytes = static_cast<std::uint32_t>(view.value.size()) & 0x7fffffffU;
      }
      // Nothing leads from here to what the key was before that deletion, also for a read that began before the floor
      // rose above it.
      if (forgotten) {
        base_revision_ = std::max(base_revision_, known->mod_revision);
        floor_ = std::max(floor_, known->mod_revision);
      }
      const LeaseId lease_before = lived ? known->lease : 0;
      if (const std::string_view wrong = leases_.move(view.key, lease_before, meta.lease); !wrong.empty()) {
        return contradiction(row, wrong);
      }
      keys_.put(view.key, meta);
      break;
    }
    case EffectType::kCompact:
      if (view.floor < compacted_to_ || view.floor > view.revision) return contradiction(row, "compacts out of order");
      compacted_to_ = view.floor;
      // A server that began with a snapshot may know less of the past than the log goes on to keep.
      floor_ = std::max(floor_, view.floor);
      compact_row_ = row;
      break;
    case EffectType::kLeaseGrant:
      if (const std::string_view wrong = leases_.grant(row, view); !wrong.empty()) return contradiction(row, wrong);
      break;
    case EffectType::kLeaseRevoke:
      if (const std::string_view wrong = leases_.revoke(view); !wrong.empty()) return contradiction(row, wrong);
      break;
    case EffectType::kMembership:
      membership_ = view.membership;
      membership_row_ = row;
      break;
    case EffectType::kNoop:
      break;
  }
  applied_ = row_index(row);
  revision_ = revision;
  term_ = view.term;
  return Result<void>();
}

void KvState::forget_tombstone(std::string_view key, RowId row) {
  const KeyRecord* record = keys_.find(key);
  if (record != nullptr && record->row == row) keys_.erase(key);
}

}  // namespace kayak::store
