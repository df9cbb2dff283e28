// protobuf_wire.h: protobuf's encoding field by field; what the fields mean is the codecs' business
// (protobuf_fields.h). Reading trusts nothing: what is cut off, too long or of no known wire
// type ends it, and no memory is taken. Source: protobuf, "Encoding".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kayak {

enum class ProtobufType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Appends fields to a text, which must outlive it.
class ProtobufWriter {
 public:
  explicit ProtobufWriter(std::string* out) : out_(*out) {}
  void varint(std::uint64_t value);
  void number(unsigned field, std::uint64_t value);    // zero too
  void bytes(unsigned field, std::string_view value);  // empty ones too
  void tag(unsigned field, ProtobufType type) { varint(std::uint64_t{field} << 3 | static_cast<unsigned>(type)); }

 private:
  std::string& out_;
};

// Goes through the fields of a message; views into it.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view in) : in_(in) {}
  bool at_end() const { return in_.empty(); }
  // The next field; false when it is cut off or malformed.
  bool next();
  unsigned field() const { return field_; }
  ProtobufType type() const { return type_; }
  std::uint64_t number() const { return number_; }   // of a kVarint
  std::string_view bytes() const { return bytes_; }  // of the others
  // Takes one number off the front of `in`, as packed lists hold them; false when it is cut off or beyond 64 bits.
  static bool take_varint(std::string_view* in, std::uint64_t* out);

 private:
  bool take(std::uint64_t length);
  std::string_view in_;
  unsigned field_ = 0;
  ProtobufType type_ = ProtobufType::kVarint;
  std::uint64_t number_ = 0;
  std::string_view bytes_;
};

}  // namespace kayak
