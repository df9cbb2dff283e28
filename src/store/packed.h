// packed.h: how rows (entry.cc) and the slices of a snapshot (snapshot_stream.cc) hold their fields: varints in their
// shortest form, bytes, who is a member. A value has one encoding. Reading trusts nothing.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/protobuf_wire.h"
#include "store/raft/types.h"

namespace kayak::store {

constexpr std::int64_t kMaxRevision = INT64_MAX / 4;

inline void put_varint(std::string* out, std::uint64_t number) { ProtobufWriter(out).varint(number); }
void put_membership(std::string* out, const raft::Membership& membership);

// Reads from the front of `left`; once something is wrong every read gives 0 and `good` stays false.
struct PackedReader {
  std::string_view left;
  bool good = true;

  bool complete() const { return good && left.empty(); }
  std::uint8_t byte() {
    const std::string_view one = bytes(1);
    return good ? static_cast<std::uint8_t>(one.front()) : std::uint8_t{0};
  }
  std::uint64_t varint();
  // A varint in [low, high].
  template <std::integral T>
  T number(std::uint64_t low, T high) {
    const std::uint64_t value = varint();
    if (value < low || value > static_cast<std::uint64_t>(high)) good = false;
    return good ? static_cast<T>(value) : T();
  }
  std::string_view bytes(std::uint64_t size) {
    if (size > left.size()) good = false;
    if (!good) return std::string_view();
    const std::string_view part = left.substr(0, static_cast<std::size_t>(size));
    left.remove_prefix(static_cast<std::size_t>(size));
    return part;
  }
  raft::Membership membership();

 private:
  void read_members(std::vector<raft::NodeId>* members);
};

}  // namespace kayak::store
