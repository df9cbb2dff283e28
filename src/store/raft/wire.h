// wire.h: messages as bytes, in protobuf's encoding, so that a later version may add fields that this one skips:
//   Message { from = 1; to = 2; term = 3; the body = 4 + its place in Body }; the fields of each body, and of entries,
//   memberships, records and snapshots, are numbered in the order of their structs (wire.cc).
// Reading trusts nothing: lengths, counts and wire types are checked before memory is taken.
// Source: protobuf, "Encoding".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/raft/messages.h"

namespace kayak::store::raft {

// How the state machine writes what entries carry.
class PayloadCodec {
 public:
  virtual ~PayloadCodec() = default;
  virtual void encode(const Payload& payload, std::string* out) const = 0;  // appends
  // Errors: its own.
  virtual Result<PayloadRef> decode(std::string_view bytes) const = 0;
};

struct WireLimits {
  std::size_t message_bytes = 128 * 1024 * 1024;  // one entry may delete a million keys
  std::size_t entries = 65536;
  std::size_t members = kMaxMembers;  // of one list
};

std::string encode(const Message& message, const PayloadCodec& payloads);
// Errors: TooLarge (a limit), BadRequest (not a message), the codec's.
Result<Message> decode(std::string_view bytes, const PayloadCodec& payloads, const WireLimits& limits = {});

}  // namespace kayak::store::raft
