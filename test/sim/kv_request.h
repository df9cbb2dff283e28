// kv_request.h: what clients ask the real key-value layer for, what they hear, and what a watch tells them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/evaluator.h"
#include "store/watch_cursor.h"

namespace kayak::sim {

using store::LogIndex;
using store::Revision;
using store::Term;

struct KvRequest {
  enum class Type : std::uint8_t { kTxn, kRange, kCompact, kRenew, kGrant, kRevoke, kKeepAlive };
  Type type = Type::kTxn;
  store::TxnRequest txn{};
  store::RangeRequest range{};
  Revision compact = 0;
  // kRenew: a node's lease gets this time, and with `changes` something else, too.
  std::string node;
  std::int64_t time = 0;
  bool changes = false;
  // kGrant, kRevoke, kKeepAlive
  store::LeaseId lease = 0;
  std::int64_t ttl = 0;
  bool ended = false;  // kRevoke: by the leader's clock
};

struct KvAnswer {
  std::optional<Error> error;  // the store's own: the request was judged and changed nothing
  store::TxnResponse txn;
  store::RangeResponse range;
  bool wrote = false;
  LogIndex applied = 0;  // of the server that answered, when it read
  Revision base = 0;     // KvState::base_revision()
  // Kept until the answer is complete: values and older revisions are read when the entry is committed.
  std::optional<store::Evaluation> evaluation;
  std::shared_ptr<const KvRequest> request;  // into which it points
  std::shared_ptr<const void> pin, writing;
};

using StreamId = std::uint64_t;  // one watch at one server
struct StreamNews {
  enum class Type : std::uint8_t { kOpened, kBatches, kFailed };
  Type type = Type::kFailed;
  Code code = Code::kUnavailable;          // kFailed
  std::vector<store::WatchBatch> batches;  // kBatches
  Revision readable = 0;                   // the server's revision when it said so
  LogIndex applied = 0;                    // and what it had applied
  Revision base = 0;                       // as KvAnswer::base
};

}  // namespace kayak::sim
