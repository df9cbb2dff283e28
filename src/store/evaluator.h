// evaluator.h: turns a transaction into effects, once, at the leader.
// Evaluated against what is applied plus what is on its way to the disk. Pure: no I/O; values that only the disk has
// are named for the caller to fetch. Source: etcd v3 API (Txn, Compare, RequestOp).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/key_range.h"
#include "store/pending.h"
#include "store/state.h"

namespace kayak::store {

// Errors: Invalid (empty key, a key written twice, an operation that makes no sense), TooLarge.
Result<void> check_txn(const TxnRequest& request);
bool may_write(const TxnRequest& request);
Result<void> check_range(const RangeRequest& request);
// Of all keys and values that a request names, in either branch, and of each compare and operation kMaxOpOverhead: more
// than they take in a message beside those. What check_txn() accepts can so be carried to the leader in one of this
// size.
constexpr std::size_t kMaxRequestBytes = kMaxEntryBytes + 1024 * 1024;
constexpr std::size_t kMaxOpOverhead = 96;
constexpr std::size_t kMaxTxnOps = 128;
constexpr std::size_t kMaxValueBytes = 1536 * 1024;
constexpr std::size_t kMaxKeyBytes = 8 * 1024;

// Keys and leases as they are after the layers above the state: in-flight entries, then the transaction's own writes.
class KeyView {
 public:
  KeyView(const KvState& state, const Pending& pending) : state_(state), pending_(pending) {}
  struct Found {
    const KeyMeta* meta = nullptr;  // null: never seen; a tombstone counts as found
    Bytes value;                    // null: on disk, or a tombstone
  };
  Found find(std::string_view key) const;
  // Living keys in order until `visit` returns false.
  void visit(KeyRange range,
             const std::function<bool(std::string_view key, const KeyMeta&, const Bytes&)>& visit) const;
  void write(std::string_view key, PendingVersion version);
  bool granted(LeaseId lease) const;

 private:
  const KvState& state_;
  const Pending& pending_;
  PendingKeys written_;
};

// Moves, but is not copied: some of it points into `response`.
struct Evaluation {
  Evaluation() = default;
  Evaluation(Evaluation&&) = default;
  Evaluation& operator=(Evaluation&&) = default;
  std::vector<Effect> effects;  // none: nothing to write
  TxnResponse response;         // lacks the values below
  // A value of the response that stands in a row.
  struct Missing {
    RowId row;
    Revision mod_revision;
    OpResponse* response;
    bool previous;  // in OpResponse::previous, else in range.kvs
    std::size_t place;
  };
  std::vector<Missing> missing;
  // Operations that read an older revision: to be answered by the caller.
  struct PastRange {
    const RangeRequest* request;  // of the request that was evaluated
    OpResponse* response;
  };
  std::vector<PastRange> past_ranges;
  // Not empty: compares and puts need these values first; nothing else is set.
  struct Wanted {
    RowId row;
    Revision mod_revision;
  };
  std::vector<Wanted> wanted;
};

// `index` and `revision` are those that the entry gets when it writes; `values` gives the value of a row that the
// caller knows, or null. Errors: Invalid (a range at a future revision, no pair to keep something of), Expired (a range
// at a compacted revision), NotFound (a put with a lease that is not granted), TooLarge.
Result<Evaluation> evaluate(const TxnRequest& request, KeyView view, const KvState& state, LogIndex index,
                            Revision revision, const std::function<Bytes(RowId, Revision)>& values);

// The entries that revoke `lease`, which view.granted(): with its keys in one when they fit, else with the last keys.
// Their index is not set. `revision` is the first one's when that has keys.
std::vector<Entry> evaluate_revoke(LeaseId lease, const KvState& state, const Pending& pending, Revision revision,
                                   std::size_t max_bytes = kMaxEntryBytes, std::size_t max_effects = kMaxEffects);

}  // namespace kayak::store
