// schema_proto_decode.cc: protobuf wire bytes to canonical documents, by the tables alone; and upstream's envelope.
// Takes any order of fields, merges messages that come in parts, accepts packed scalars, skips unknown fields.
// Source: protobuf encoding; apimachinery runtime.Unknown; the special types' Unmarshal methods.
#include <algorithm>
#include <bit>
#include <optional>

#include "api/schema_impl.h"
#include "api/schema_wire.h"
#include "base/clock.h"
#include "base/strings.h"

namespace kayak::api {
namespace {

using namespace detail;

// The same bounds as for JSON (json::ReadOptions): two bytes of input can make a message of several members.
constexpr std::size_t kMaxDepth = 256;
constexpr std::size_t kMaxNodes = 400'000;
constexpr std::size_t kMaxJoins = 64;  // each copies what came before

// Years 0 to 9999: what RFC 3339 can write.
constexpr std::int64_t kMinSeconds = -62167219200;
constexpr std::int64_t kMaxSeconds = 253402300799;

// One field off the wire.
struct WireField {
  std::int32_t number = 0;
  WireType type = kVarint;
  std::uint64_t value = 0;  // kVarint, kFixed64, kFixed32
  std::string_view bytes;   // kBytes
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  // False: malformed.
  bool next(WireField* field) {
    std::uint64_t tag = 0;
    if (!varint(&tag)) return false;
    field->number = static_cast<std::int32_t>(tag >> 3);
    field->type = static_cast<WireType>(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1) return false;
    switch (field->type) {
      case kVarint:
        return varint(&field->value);
      case kFixed64:
        return fixed(8, &field->value);
      case kFixed32:
        return fixed(4, &field->value);
      case kBytes: {
        std::uint64_t size = 0;
        if (!varint(&size) || size > rest_.size()) return false;
        field->bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
      }
      default:
        return false;  // groups: nothing of the API has them
    }
  }
  bool varint(std::uint64_t* value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return false;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      *value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool fixed(std::size_t size, std::uint64_t* value) {
    if (rest_.size() < size) return false;
    *value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      *value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(size);
    return true;
  }

 private:
  std::string_view rest_;
};

// Go writes bytes that are not UTF-8 as U+FFFD. Nearly all text is ASCII.
std::string text_of(std::string_view bytes) {
  for (const char c : bytes) {
    if (static_cast<unsigned char>(c) >= 0x80) return to_valid_utf8(bytes);
  }
  return std::string(bytes);
}

class ProtoDecoder {
 public:
  Result<json::Value> run(const Message& message, std::string_view bytes) {
    json::Value out;
    if (!content(message, bytes, &out)) return Error(Code::kBadRequest, error_);
    return out;
  }

 private:
  // What a field has shown so far.
  struct Slot {
    bool seen = false;
    json::Value value;       // scalars, lists and maps
    std::string_view bytes;  // of one message
  };

  bool fail(std::string what) {
    error_ = std::move(what);
    return false;
  }
  bool malformed() { return fail("proto: illegal wireType, tag or length"); }
  bool count_node() {
    if (++nodes_ > kMaxNodes) return fail(cat("protobuf message has more than ", kMaxNodes, " values"));
    return true;
  }

  // Counts on entry only: an error ends everything.
  bool content(const Message& message, std::string_view bytes, json::Value* out) {
    if (!count_node()) return false;
    if (++depth_ > kMaxDepth) return fail(cat("protobuf message is nested deeper than ", kMaxDepth, " levels"));
    const bool ok = content_of(message, bytes, out);
    --depth_;
    return ok;
  }

  bool content_of(const Message& message, std::string_view bytes, json::Value* out) {
    switch (message.form) {
      case JsonForm::kObject: {
        json::Object object;
        if (!members(message, bytes, &object)) return false;
        *out = std::move(object);
        return true;
      }
      case JsonForm::kTime:
      case JsonForm::kMicroTime:
        return time(bytes, message.form == JsonForm::kMicroTime, out);
      case JsonForm::kDuration: {
        WireField last;
        if (!last_field(bytes, 1, kVarint, &last)) return false;
        *out = detail::duration_text(static_cast<std::int64_t>(last.value));
        return true;
      }
      case JsonForm::kQuantity:
        return quantity(bytes, out);
      case JsonForm::kIntOrString:
        return int_or_string(bytes, out);
      case JsonForm::kRawExtension:
      case JsonForm::kFieldsV1:
      case JsonForm::kJson:
        return raw(bytes, out);
      case JsonForm::kVerbs:
        return verbs(message, bytes, out);
      case JsonForm::kJsonSchemaOrBool:
      case JsonForm::kJsonSchemaOrArray:
      case JsonForm::kJsonSchemaOrStringArray:
        return schema_or(message, bytes, out);
    }
    return true;
  }

  // Reads a message's fields and appends its members in the order of the schema.
  bool members(const Message& message, std::string_view bytes, json::Object* out) {
    std::vector<Slot> slots(message.fields.size());
    if (!read_slots(message, bytes, slots)) return false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (!add_member(message.fields[i], slots[i], out)) return false;
    }
    return true;
  }

  bool read_slots(const Message& message, std::string_view bytes, std::vector<Slot>& slots) {
    WireReader in(bytes);
    std::size_t hint = 0;
    while (!in.done()) {
      WireField wire;
      if (!in.next(&wire)) return malformed();
      const std::size_t index = find_number(message, hint, wire.number);
      if (index == slots.size()) continue;
      hint = index;
      if (!take(message.fields[index], wire, slots[index])) return false;
    }
    return true;
  }

  static std::size_t find_number(const Message& message, std::size_t hint, std::int32_t number) {
    const std::size_t count = message.fields.size();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = hint + i < count ? hint + i : hint + i - count;
      if (message.fields[at].number == number) return at;
    }
    return count;
  }

  bool take(const Field& field, const WireField& wire, Slot& slot) {
    slot.seen = true;
    if (field.label == FieldLabel::kRepeated) {
      if (!slot.value.is_array()) slot.value = json::Array();
      return take_elements(field, wire, slot.value.as_array());
    }
    if (field.label == FieldLabel::kMap) {
      if (!slot.value.is_object()) slot.value = json::Object();
      if (wire.type != kBytes) return malformed();
      return take_entry(field, wire.bytes, slot.value.as_object());
    }
    if (field.type != FieldType::kMessage) return element(field, wire, &slot.value);
    if (wire.type != kBytes) return malformed();
    if (slot.bytes.empty()) {
      slot.bytes = wire.bytes;
      return true;
    }
    // A message in several parts, which no known encoder writes: joined, as concatenating is merging. The slot's unused
    // value keeps the text.
    if (!slot.value.is_string()) slot.value = slot.bytes;
    std::string joined = slot.value.as_string();
    joined += wire.bytes;
    if (++joins_ > kMaxJoins) return fail("protobuf message has too many parts of one field");
    slot.value = std::move(joined);
    slot.bytes = slot.value.as_string();
    return true;
  }

  bool take_elements(const Field& field, const WireField& wire, json::Array& array) {
    const bool number = field.type == FieldType::kBool || field.type == FieldType::kInt32 ||
                        field.type == FieldType::kInt64 || field.type == FieldType::kDouble;
    if (!number || wire.type != kBytes) {
      array.emplace_back();
      return element(field, wire, &array.back());
    }
    WireReader packed(wire.bytes);
    while (!packed.done()) {
      WireField one;
      one.type = field.type == FieldType::kDouble ? kFixed64 : kVarint;
      const bool ok = one.type == kFixed64 ? packed.fixed(8, &one.value) : packed.varint(&one.value);
      if (!ok) return malformed();
      array.emplace_back();
      if (!element(field, one, &array.back())) return false;
    }
    return true;
  }

  // A map entry is a message {1: key, 2: value}. Keys are sorted, and of equal ones the last kept, when all are read.
  bool take_entry(const Field& field, std::string_view bytes, json::Object& map) {
    std::string key;
    json::Value value;
    bool has_value = false;
    WireReader in(bytes);
    while (!in.done()) {
      WireField wire;
      if (!in.next(&wire)) return malformed();
      if (wire.number == 1) {
        if (wire.type != kBytes) return malformed();
        key = text_of(wire.bytes);
      } else if (wire.number == 2) {
        has_value = true;
        if (!element(field, wire, &value)) return false;
      }
    }
    if (!has_value) {
      if (!count_node()) return false;
      value = detail::zero_element(field);
    }
    map.members().push_back({std::move(key), std::move(value)});
    return true;
  }

  static void settle_map(json::Object& map) {
    auto& members = map.members();
    std::stable_sort(members.begin(), members.end(),
                     [](const json::Member& a, const json::Member& b) { return a.first < b.first; });
    // Of equal keys the last: walk backwards over a reversed view.
    const auto first_kept =
        std::unique(members.rbegin(), members.rend(),
                    [](const json::Member& a, const json::Member& b) { return a.first == b.first; });
    members.erase(members.begin(), first_kept.base());
  }

  bool element(const Field& field, const WireField& wire, json::Value* out) {
    if (field.type != FieldType::kMessage && !count_node()) return false;
    const WireType expected = wire_type_of(field.type);
    if (wire.type != expected) return malformed();
    switch (field.type) {
      case FieldType::kBool:
        *out = wire.value != 0;
        return true;
      case FieldType::kInt32:
        *out = std::int64_t{static_cast<std::int32_t>(wire.value)};
        return true;
      case FieldType::kInt64:
        *out = static_cast<std::int64_t>(wire.value);
        return true;
      case FieldType::kDouble: {
        const auto d = std::bit_cast<double>(wire.value);
        if (!(d - d == 0)) return fail("json: unsupported value: NaN or Inf");
        *out = json::Value::from_double(d);
        return true;
      }
      case FieldType::kString:
        *out = text_of(wire.bytes);
        return true;
      case FieldType::kBytes:
        *out = base64_encode(wire.bytes);
        return true;
      case FieldType::kMessage:
        return content(*field.message, wire.bytes, out);
    }
    return true;
  }

  static WireType wire_type_of(FieldType type) {
    switch (type) {
      case FieldType::kBool:
      case FieldType::kInt32:
      case FieldType::kInt64:
        return kVarint;
      case FieldType::kDouble:
        return kFixed64;
      default:
        return kBytes;
    }
  }

  bool add_member(const Field& field, Slot& slot, json::Object* out) {
    if (field.is_inline) return members(*field.message, slot.bytes, out);
    if (!slot.seen) {
      json::Value zero;
      if (detail::zero_member(field, &zero)) return append(field, std::move(zero), out);
      return true;
    }
    if (field.type == FieldType::kMessage && field.label == FieldLabel::kOptional) {
      json::Value value;
      if (!content(*field.message, slot.bytes, &value)) return false;
      // A zero time or empty raw value is null, which in JSON is the same as unset.
      if (value.is_null() && !detail::zero_member(field, &value)) return true;
      return append(field, std::move(value), out);
    }
    if (field.label == FieldLabel::kMap) settle_map(slot.value.as_object());
    if (detail::leaves_out(field, slot.value)) return true;
    return append(field, std::move(slot.value), out);
  }

  bool append(const Field& field, json::Value value, json::Object* out) {
    if (!count_node()) return false;
    out->members().push_back({std::string(field.json_name), std::move(value)});
    return true;
  }

  // ---- special forms

  // The last field of a number, zero when there is none.
  bool last_field(std::string_view bytes, std::int32_t number, WireType type, WireField* last) {
    WireReader in(bytes);
    while (!in.done()) {
      WireField wire;
      if (!in.next(&wire)) return malformed();
      if (wire.number != number) continue;
      if (wire.type != type) return malformed();
      *last = wire;
    }
    return true;
  }

  bool time(std::string_view bytes, bool micro, json::Value* out) {
    *out = nullptr;
    if (bytes.empty()) return true;
    WireField seconds, nanos;
    if (!last_field(bytes, 1, kVarint, &seconds) || !last_field(bytes, 2, kVarint, &nanos)) return false;
    const auto whole = static_cast<std::int64_t>(seconds.value);
    const auto fraction = static_cast<std::int32_t>(nanos.value);
    if (whole < kMinSeconds || whole > kMaxSeconds || fraction < 0 || fraction > 999'999'999) {
      return fail("time is outside of the years 0 to 9999");
    }
    if (whole == -62135596800 && fraction == 0) return true;  // Go's zero time
    const WallTime time{whole * 1'000'000 + (micro ? fraction / 1'000 : 0)};
    *out = micro ? format_micro_time(time) : format_time(time);
    return true;
  }

  bool quantity(std::string_view bytes, json::Value* out) {
    WireField text;
    if (!last_field(bytes, 1, kBytes, &text)) return false;
    *out = text.bytes;
    detail::ScalarError error;
    return detail::canonical_quantity(*out, &error) || fail(std::move(error.text));
  }

  bool int_or_string(std::string_view bytes, json::Value* out) {
    WireField type, number, text;
    if (!last_field(bytes, 1, kVarint, &type) || !last_field(bytes, 2, kVarint, &number) ||
        !last_field(bytes, 3, kBytes, &text)) {
      return false;
    }
    if (type.value > 1) return fail("impossible IntOrString.Type");
    if (type.value == 1) {
      *out = text_of(text.bytes);
    } else {
      *out = std::int64_t{static_cast<std::int32_t>(number.value)};
    }
    return true;
  }

  // Bytes that are JSON, or an object in the envelope.
  bool raw(std::string_view bytes, json::Value* out) {
    WireField raw;
    if (!last_field(bytes, 1, kBytes, &raw)) return false;
    *out = nullptr;
    if (raw.bytes.empty()) return true;
    if (raw.bytes.starts_with(kMagic)) return envelope(raw.bytes, out);
    json::ReadOptions options;
    options.max_nodes = kMaxNodes - std::min(nodes_, kMaxNodes);
    options.max_depth = kMaxDepth - depth_;
    Result<json::Value> value = json::read(raw.bytes, options);
    if (!value) return fail(value.error().message());
    // The reader does not tell how many values there were; a value takes at least two bytes of text.
    nodes_ += raw.bytes.size() / 2;
    *out = *std::move(value);
    return true;
  }

 public:
  struct Unknown {
    std::string api_version, kind;
    std::string_view raw;
  };
  static std::optional<Unknown> open_envelope(std::string_view bytes) {
    Unknown unknown;
    WireReader in(bytes.substr(kMagic.size()));
    while (!in.done()) {
      WireField wire;
      if (!in.next(&wire)) return std::nullopt;
      if (wire.number == 2 && wire.type == kBytes) unknown.raw = wire.bytes;
      if (wire.number != 1 || wire.type != kBytes) continue;
      WireReader type_meta(wire.bytes);
      while (!type_meta.done()) {
        WireField text;
        if (!type_meta.next(&text)) return std::nullopt;
        if (text.type != kBytes) return std::nullopt;
        if (text.number == 1) unknown.api_version = text_of(text.bytes);
        if (text.number == 2) unknown.kind = text_of(text.bytes);
      }
    }
    return unknown;
  }

 private:
  bool envelope(std::string_view bytes, json::Value* out) {
    const std::optional<Unknown> unknown = open_envelope(bytes);
    if (!unknown) return malformed();
    const Message* message = find_message(unknown->api_version, unknown->kind);
    if (!message) {
      return fail(cat("no kind ", quote(unknown->kind), " is registered for version ", quote(unknown->api_version)));
    }
    json::Object object;
    object.members().push_back({"kind", json::Value(unknown->kind)});
    object.members().push_back({"apiVersion", json::Value(unknown->api_version)});
    if (++depth_ > kMaxDepth) return fail(cat("protobuf message is nested deeper than ", kMaxDepth, " levels"));
    if (!members(*message, unknown->raw, &object)) return false;
    --depth_;
    *out = std::move(object);
    return true;
  }

  bool verbs(const Message& message, std::string_view bytes, json::Value* out) {
    std::vector<Slot> slots(message.fields.size());
    if (!read_slots(message, bytes, slots)) return false;
    *out = slots.front().seen ? std::move(slots.front().value) : json::Value();
    return true;
  }

  bool schema_or(const Message& message, std::string_view bytes, json::Value* out) {
    std::vector<Slot> slots(message.fields.size());
    if (!read_slots(message, bytes, slots)) return false;
    *out = nullptr;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const Field& field = message.fields[i];
      const bool schema = field.type == FieldType::kMessage && field.label == FieldLabel::kOptional;
      if (schema && slots[i].seen) return content(*field.message, slots[i].bytes, out);
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].seen && !slots[i].value.is_null()) *out = std::move(slots[i].value);
    }
    if (message.form == JsonForm::kJsonSchemaOrBool && !out->is_bool()) *out = false;
    return true;
  }

  std::size_t depth_ = 0, nodes_ = 0, joins_ = 0;
  std::string error_;
};

}  // namespace

Result<json::Value> decode_protobuf(const Message& message, std::string_view bytes) {
  return ProtoDecoder().run(message, bytes);
}

Result<Enveloped> decode_envelope(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) {
    return Error(Code::kBadRequest,
                 "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  const auto unknown = ProtoDecoder::open_envelope(bytes);
  if (!unknown) return Error(Code::kBadRequest, "proto: illegal wireType, tag or length");
  if (unknown->kind.empty()) return Error(Code::kBadRequest, "Object 'Kind' is missing in protobuf message");
  const Message* message = find_message(unknown->api_version, unknown->kind);
  if (!message) {
    return Error(Code::kBadRequest,
                 cat("no kind ", quote(unknown->kind), " is registered for version ", quote(unknown->api_version)));
  }
  Result<json::Value> document = decode_protobuf(*message, unknown->raw);
  if (!document) return document.error();
  if (message->has_type_meta) {
    auto& members = document->as_object().members();
    json::Member type_meta[] = {{"kind", json::Value(unknown->kind)},
                                {"apiVersion", json::Value(unknown->api_version)}};
    members.insert(members.begin(), std::make_move_iterator(std::begin(type_meta)),
                   std::make_move_iterator(std::end(type_meta)));
  }
  return Enveloped{unknown->api_version, unknown->kind, *std::move(document)};
}

}  // namespace kayak::api
