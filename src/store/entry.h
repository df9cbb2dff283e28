// entry.h: log entries, and the bytes of their rows in the database.
// An entry is the outcome of one transaction: effects only, nothing is evaluated again when it is applied. Each effect
// is one row, so that compaction drops dead effects one by one and every value lies on disk once.
// Pure: values in, values out. Reading checks everything, as the bytes come from a disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/raft/types.h"
#include "store/store.h"

namespace kayak::store {

using LogIndex = raft::LogIndex;
using Term = raft::Term;
using RowId = std::int64_t;  // the row's key: log index << 20 | place of the effect in its entry

constexpr Revision kFirstRevision = 1;  // of an empty store, as etcd's
constexpr int kOrdinalBits = 20;
constexpr std::size_t kMaxEffects = std::size_t{1} << kOrdinalBits;
constexpr std::size_t kMaxEntryBytes = 16 * 1024 * 1024;  // of its keys and values
// Beside key and value a row has its checksum, its type and at most nine numbers of ten bytes at most.
constexpr std::size_t kMaxRowOverhead = 4 + 1 + 9 * 10;
constexpr LogIndex kMaxLogIndex = LogIndex{1} << (62 - kOrdinalBits);
// Row ids below the first entry's hold what is not log: see MetaRow.
constexpr RowId kFirstLogRow = RowId{1} << kOrdinalBits;

constexpr RowId row_id(LogIndex index, std::size_t ordinal) {
  return static_cast<RowId>(index << kOrdinalBits | static_cast<LogIndex>(ordinal));
}
constexpr LogIndex row_index(RowId row) { return static_cast<LogIndex>(row) >> kOrdinalBits; }
constexpr std::size_t row_ordinal(RowId row) { return static_cast<std::size_t>(row) & (kMaxEffects - 1); }

// On disk: never renumber.
enum class EffectType : std::uint8_t {
  kPut = 1,
  kDelete = 2,
  kCompact = 3,      // history below `floor` may go
  kNoop = 4,         // holds only its place in the log
  kMembership = 5,   // who is in the group from here on (raft/types.h)
  kLeaseGrant = 6,   // of one that is not there
  kLeaseRevoke = 7,  // its keys are deleted by effects of the same entry
};

struct Effect {
  EffectType type = EffectType::kNoop;
  std::string key;                 // kPut, kDelete
  Bytes value;                     // kPut
  Revision create_revision = 0;    // kPut
  std::int64_t version = 0;        // kPut
  std::int64_t lease = 0;          // kPut, kLeaseGrant, kLeaseRevoke
  RowId previous_row = 0;          // what this one supersedes (a tombstone too); 0: nothing
  Revision floor = 0;              // kCompact
  std::int64_t ttl = 0;            // kLeaseGrant, in seconds
  raft::MembershipRef membership;  // kMembership
};

// It is also what Raft's entries carry: see log_payload.h.
struct Entry final : raft::Payload {
  LogIndex index = 0;
  Term term = 0;
  // 0 in what Raft itself appended: the database fills it in.
  Revision revision = 0;        // of the transaction; without kPut and kDelete the store's at that place of the log
  std::vector<Effect> effects;  // at least one
  std::size_t bytes() const override;  // of keys and values, for budgets
};
using EntryRef = std::shared_ptr<const Entry>;

// One row as read; the views point into the bytes that were read.
struct RowView {
  EffectType type = EffectType::kNoop;
  bool last = false;  // effect of its entry
  Term term = 0;
  Revision revision = 0;
  LogIndex durable = 0;  // every entry up to here was on this disk before this row was written
  LogIndex commit = 0;   // every entry up to here was known to be committed then
  std::string_view key, value;
  Revision create_revision = 0;
  std::int64_t version = 0;
  std::int64_t lease = 0;
  RowId previous_row = 0;
  Revision floor = 0;
  std::int64_t ttl = 0;
  raft::MembershipRef membership;
};

// What the writer of a row knows of its disk and its group; both are below the row's entry.
struct RowContext {
  LogIndex durable = 0, commit = 0;  // as in RowView
};
// A view of one effect of an entry, as it would be read back.
RowView view_of(const Entry& entry, std::size_t ordinal);
// Replaces `out` by the row of `entry.effects[ordinal]`.
void encode_row(const Entry& entry, std::size_t ordinal, const RowContext& context, std::string* out);
// The same of a row that was read elsewhere, under another context.
void encode_view(RowId row, const RowView& view, const RowContext& context, std::string* out);
// Errors: Corrupt, with what is wrong (the caller knows the file).
Result<RowView> decode_row(RowId row, std::string_view bytes);
// The same without the checksum, of a row of which only the beginning is there: RowView::durable alone is set.
// Used where something else vouches for the bytes. Errors: Corrupt.
Result<LogIndex> decode_durable(RowId row, std::string_view beginning);

// What is not log. On disk: never renumber.
enum class MetaRow : RowId {
  kIdentity = 0,   // written once, when the database is made
  kProgress = 1,   // rewritten by every slice of a sweep
  kHardState = 2,  // rewritten with every term and vote
};
constexpr std::uint64_t kFormat = 2;
struct Identity {
  std::uint64_t format = kFormat;
  std::string store_id;  // 16 random bytes
};
struct Progress {
  RowId swept_row = 0;          // rows up to here have been looked at by compaction: only live ones are left
  std::uint64_t kept_rows = 0;  // so many
  LogIndex durable = 0;         // as in RowView
  Term swept_term = 0;          // of the entry of swept_row
  // A database that was built from a snapshot begins with the state after this entry, at this revision, whether or not
  // a row of the entry is left; 0: with the first entry.
  LogIndex base_index = 0;
  Revision base_revision = 0;
};
std::string encode_identity(const Identity& identity);
Result<Identity> decode_identity(std::string_view bytes);
std::string encode_progress(const Progress& progress);
Result<Progress> decode_progress(std::string_view bytes);
std::string encode_hard_state(const raft::HardState& hard);
Result<raft::HardState> decode_hard_state(std::string_view bytes);

}  // namespace kayak::store
