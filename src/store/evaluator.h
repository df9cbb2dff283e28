// evaluator.h: turns a transaction into effects, once, at the leader.
// Evaluated against what is applied plus what is on its way to the disk. Pure: no I/O; values that only the disk has
// are named for the caller to fetch. Source: etcd v3 API (Txn, Compare, RequestOp).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "store/key_range.h"
#include "store/state.h"

namespace kayak::store {

// A version that is not applied yet.
struct PendingVersion {
  KeyMeta meta;
  Bytes value;  // null for a tombstone
};
using PendingKeys = std::map<std::string, PendingVersion, std::less<>>;

// Errors: Invalid (empty key, a key written twice, an operation that makes no sense), TooLarge.
Result<void> check_txn(const TxnRequest& request);
Result<void> check_range(const RangeRequest& request);
constexpr std::size_t kMaxTxnOps = 128;
constexpr std::size_t kMaxValueBytes = 1536 * 1024;
constexpr std::size_t kMaxKeyBytes = 8 * 1024;
constexpr std::size_t kMaxEntryBytes = 16 * 1024 * 1024;

// Keys as they are after the layers above the state: in-flight entries, then the transaction's own writes.
class KeyView {
 public:
  KeyView(const KvState& state, const PendingKeys& pending) : state_(state), pending_(pending) {}
  struct Found {
    const KeyMeta* meta = nullptr;  // null: never seen; a tombstone counts as found
    Bytes value;                    // null: on disk, or a tombstone
  };
  Found find(std::string_view key) const;
  // Living keys in order until `visit` returns false.
  void visit(KeyRange range,
             const std::function<bool(std::string_view key, const KeyMeta&, const Bytes&)>& visit) const;
  void write(std::string_view key, PendingVersion version);

 private:
  const KvState& state_;
  const PendingKeys& pending_;
  PendingKeys written_;
};

struct Evaluation {
  std::vector<Effect> effects;  // none: nothing to write
  TxnResponse response;         // lacks the values below
  // A value of the response that stands in a row.
  struct Missing {
    RowId row;
    Revision mod_revision;
    std::size_t op;
    bool previous;  // in OpResponse::previous, else in range.kvs
    std::size_t place;
  };
  std::vector<Missing> missing;
  std::vector<std::size_t> past_ranges;  // operations that read an older revision: to be answered by the caller
  // Not empty: the compares need these values first; nothing else is set.
  struct Wanted {
    RowId row;
    Revision mod_revision;
  };
  std::vector<Wanted> wanted;
};

// `index` and `revision` are those that the entry gets when it writes; `values` gives the value of a row that the
// caller knows, or null. Errors: Invalid (a range at a future revision), Expired (at a compacted one), TooLarge.
Result<Evaluation> evaluate(const TxnRequest& request, KeyView view, const KvState& state, LogIndex index,
                            Revision revision, const std::function<Bytes(RowId, Revision)>& values);

}  // namespace kayak::store
