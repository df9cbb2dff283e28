// protobuf_wire.cc: see protobuf_wire.h.
#include "base/protobuf_wire.h"

namespace kayak {

void ProtobufWriter::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
  out_.push_back(static_cast<char>(value));
}

void ProtobufWriter::number(unsigned field, std::uint64_t value) {
  tag(field, ProtobufType::kVarint);
  varint(value);
}

void ProtobufWriter::bytes(unsigned field, std::string_view value) {
  tag(field, ProtobufType::kBytes);
  varint(value.size());
  out_.append(value);
}

bool ProtobufReader::take_varint(std::string_view* in, std::uint64_t* out) {
  *out = 0;
  for (unsigned shift = 0; shift < 64 && !in->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in->front());
    in->remove_prefix(1);
    if (shift == 63 && byte > 1) return false;  // beyond 64 bits
    *out |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool ProtobufReader::take(std::uint64_t length) {
  if (in_.size() < length) return false;
  bytes_ = in_.substr(0, length);
  in_.remove_prefix(length);
  return true;
}

bool ProtobufReader::next() {
  constexpr std::uint64_t kMaxField = 0x1fffffff;
  std::uint64_t tag = 0, length = 0;
  if (!take_varint(&in_, &tag) || tag >> 3 == 0 || tag >> 3 > kMaxField) return false;
  field_ = static_cast<unsigned>(tag >> 3);
  type_ = static_cast<ProtobufType>(tag & 7);
  switch (type_) {
    case ProtobufType::kVarint:
      return take_varint(&in_, &number_);
    case ProtobufType::kFixed64:
      return take(8);
    case ProtobufType::kBytes:
      return take_varint(&in_, &length) && take(length);
    case ProtobufType::kFixed32:
      return take(4);
  }
  return false;  // groups, which no message of ours has
}

}  // namespace kayak
