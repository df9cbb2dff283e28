// schema_wire.h: constants of the protobuf wire and of upstream's envelope. Private to schema_proto_*.cc.
#pragma once

#include <cstdint>
#include <string_view>

namespace kayak::api::detail {

constexpr std::string_view kMagic("k8s\0", 4);  // starts an enveloped object

enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kStartGroup = 3, kEndGroup = 4, kFixed32 = 5 };

}  // namespace kayak::api::detail
