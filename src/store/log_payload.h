// log_payload.h: entries of the store as Raft carries them, and Raft's own as the store writes them down.
// On the wire a payload is the entry's rows (entry.h), each behind its length, so that their checksums guard it from
// the leader's evaluation to the follower's disk.
#pragma once

#include "store/entry.h"
#include "store/raft/wire.h"

namespace kayak::store {

// What the evaluator can make fits, or no follower would ever take it: an index, and each row behind its length.
constexpr std::size_t kMaxPayloadBytes = 10 + kMaxEntryBytes + kMaxEffects * (kMaxRowOverhead + 10);
// And one entry fits into a message, beside what may stand around it.
static_assert(raft::WireLimits().message_bytes >= kMaxPayloadBytes + std::size_t{1024} * 1024);

class LogPayloadCodec final : public raft::PayloadCodec {
 public:
  void encode(const raft::Payload& payload, std::string* out) const override;
  // Errors: Corrupt, TooLarge.
  Result<raft::PayloadRef> decode(std::string_view bytes) const override;
};

// The one there is, for Transport::create.
const raft::PayloadCodec& log_payloads();

// What the log holds for `entry`: its payload, or a row for what Raft appends by itself.
EntryRef stored(const raft::Entry& entry);
raft::Entry to_raft(const EntryRef& entry);
// Whether a payload that came in is that of its entry. Errors: Corrupt.
Result<void> check_payload(const raft::Entry& entry);

// Puts rows, in order, together to entries.
class EntryAssembler {
 public:
  // The entry that this row completes; null when more belong to it.
  EntryRef add(RowId row, const RowView& view);

 private:
  std::shared_ptr<Entry> entry_;
};

}  // namespace kayak::store
