// witness_file.h: all that a witness has on disk: its term, its vote and the record of who is in sync, in one file.
// A new one is written beside it, flushed and renamed over it: a power cut leaves the old or the new one, so bytes that
// do not check are damage, never a torn write. Who cannot read what it has voted must not vote again: damage is an
// error, and the witness comes back under another key. Format: "KWIT", version (1), CRC-32C of what follows (4, big
// endian), then protobuf's encoding of the fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/raft/types.h"

namespace kayak::store {

struct WitnessState {
  raft::NodeId self = raft::kNobody;  // whose it is
  raft::HardState hard;               // its commit is always 0: there is no log
  std::optional<raft::WitnessRecord> record;
  bool lost = false;  // the disk went back behind what was acknowledged: whose file this is votes no more
  bool operator==(const WitnessState&) const = default;
};

std::string encode_witness_state(const WitnessState& state);
Result<WitnessState> decode_witness_state(std::string_view bytes);  // Errors: Corrupt, Invalid (a newer version's)

// Both block. Errors: NotFound, Corrupt, Invalid, Io / Io, NoSpace: then what was there is there still.
Result<WitnessState> read_witness_state(const std::string& path);
Result<void> write_witness_state(const std::string& path, const WitnessState& state);

}  // namespace kayak::store
