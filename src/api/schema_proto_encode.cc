// schema_proto_encode.cc: canonical documents to protobuf wire bytes, by the tables alone; and upstream's envelope.
// As upstream's encoder: fields in ascending number, value fields even when zero, pointers, bytes and list elements
// when set, maps by key, repeated scalars unpacked. Source: protobuf encoding; apimachinery generated.proto,
// runtime.Unknown; the special types' Marshal methods.
#include <algorithm>
#include <bit>
#include <cstring>

#include "api/schema_impl.h"
#include "api/schema_wire.h"
#include "base/clock.h"
#include "base/strings.h"

namespace kayak::api {
namespace {

using namespace detail;

// Grows towards the front, so that a message's length is known when its prefix is due: nothing is copied twice.
class BackwardBuffer {
 public:
  void bytes(std::string_view data) {
    if (data.size() > begin_) grow(data.size());
    begin_ -= data.size();
    std::memcpy(storage_.data() + begin_, data.data(), data.size());
  }
  void varint(std::uint64_t value) {
    char buffer[10];
    std::size_t size = 0;
    for (; value >= 0x80; value >>= 7) buffer[size++] = static_cast<char>(value | 0x80);
    buffer[size++] = static_cast<char>(value);
    bytes(std::string_view(buffer, size));
  }
  void tag(std::int32_t number, WireType type) { varint(static_cast<std::uint64_t>(number) << 3 | type); }
  std::size_t size() const { return storage_.size() - begin_; }
  std::string take() { return storage_.substr(begin_); }

 private:
  void grow(std::size_t need) {
    const std::size_t old_size = storage_.size();
    const std::size_t added = std::max<std::size_t>({need, old_size, 512});
    storage_.insert(0, added, '\0');
    begin_ += added;
  }
  std::string storage_;
  std::size_t begin_ = 0;
};

class Encoder {
 public:
  std::string run(const Message& message, const json::Value& document) {
    content(message, &document);
    return out_.take();
  }

 private:
  // Everything is written from its end: last field first, payload before length before tag. A null `value` is a zero
  // one.
  void content(const Message& message, const json::Value* value) {
    if (value && value->is_null()) value = nullptr;
    switch (message.form) {
      case JsonForm::kObject:
        object(message, value);
        return;
      case JsonForm::kTime:
      case JsonForm::kMicroTime:
        time(value, message.form == JsonForm::kMicroTime);
        return;
      case JsonForm::kDuration: {
        std::int64_t nanoseconds = 0;
        if (value) detail::parse_duration(value->string_or(), &nanoseconds);
        varint_field(1, nanoseconds);
        return;
      }
      case JsonForm::kQuantity:
        bytes_field(1, value ? value->string_or() : "0");
        return;
      case JsonForm::kIntOrString: {
        const bool is_string = value && value->is_string();
        bytes_field(3, is_string ? value->string_or() : "");
        varint_field(2, is_string || !value ? 0 : value->int_or(0));
        varint_field(1, is_string ? 1 : 0);
        return;
      }
      case JsonForm::kRawExtension:
      case JsonForm::kFieldsV1:
      case JsonForm::kJson:
        if (value) bytes_field(1, json::write(*value));
        return;
      case JsonForm::kVerbs:
        if (value) repeated(message.fields.front(), *value);
        return;
      case JsonForm::kJsonSchemaOrBool:
        if (value && value->is_object()) message_field(2, *schema_of(message), value);
        varint_field(1, value && (value->is_object() || value->bool_or(false)) ? 1 : 0);
        return;
      case JsonForm::kJsonSchemaOrArray:
      case JsonForm::kJsonSchemaOrStringArray:
        if (value && value->is_array()) repeated(*list_field_of(message), *value);
        if (value && value->is_object()) message_field(1, *schema_of(message), value);
        return;
    }
  }

  static const Message* schema_of(const Message& union_of) {
    for (const Field& field : union_of.fields) {
      if (field.type == FieldType::kMessage) return field.message;
    }
    return nullptr;
  }
  static const Field* list_field_of(const Message& union_of) {
    for (const Field& field : union_of.fields) {
      if (field.label == FieldLabel::kRepeated) return &field;
    }
    return nullptr;
  }

  // The members of inline messages lie among the outer message's own, so `value` is handed on to them.
  void object(const Message& message, const json::Value* value) {
    // Few fields, mostly in order already: insertion sort by number, descending.
    constexpr std::size_t kInPlace = 64;
    const Field* in_place[kInPlace];
    std::vector<const Field*> many;
    const std::size_t count = message.fields.size();
    const Field** order = in_place;
    if (count > kInPlace) {
      many.resize(count);
      order = many.data();
    }
    for (std::size_t i = 0; i < count; ++i) {
      const Field* field = &message.fields[i];
      std::size_t at = i;
      for (; at > 0 && order[at - 1]->number > field->number; --at) order[at] = order[at - 1];
      order[at] = field;
    }
    for (std::size_t i = count; i-- > 0;) {
      const Field& field = *order[i];
      if (field.number == 0) continue;  // JSON only
      if (field.is_inline) {
        message_field(field.number, *field.message, value);
        continue;
      }
      const json::Value* member = value ? value->find(field.json_name) : nullptr;
      if (member && member->is_null()) member = nullptr;
      write_field(field, member);
    }
  }

  void write_field(const Field& field, const json::Value* value) {
    if (field.label == FieldLabel::kRepeated) {
      if (value) repeated(field, *value);
    } else if (field.label == FieldLabel::kMap) {
      if (value) map(field, *value);
    } else if (value || (!field.pointer && field.type != FieldType::kBytes)) {
      element(field, field.number, value);
    }
  }

  void repeated(const Field& field, const json::Value& value) {
    if (!value.is_array()) return;
    const json::Array& array = value.as_array();
    for (std::size_t i = array.size(); i-- > 0;) element(field, field.number, &array[i]);
  }

  void map(const Field& field, const json::Value& value) {
    if (!value.is_object()) return;
    const auto& members = value.as_object().members();  // sorted: the document is canonical
    for (std::size_t i = members.size(); i-- > 0;) {
      const std::size_t before = out_.size();
      element(field, 2, &members[i].second);
      bytes_field(1, members[i].first);
      prefix(field.number, before);
    }
  }

  // One value with its tag; null writes the zero value.
  void element(const Field& field, std::int32_t number, const json::Value* value) {
    switch (field.type) {
      case FieldType::kBool:
        varint_field(number, value && value->bool_or(false) ? 1 : 0);
        return;
      case FieldType::kInt32:
      case FieldType::kInt64:
        varint_field(number, value ? value->int_or(0) : 0);
        return;
      case FieldType::kDouble: {
        const double d = value && value->is_number() ? value->as_double() : 0;
        char buffer[8];
        const auto bits = std::bit_cast<std::uint64_t>(d);
        for (std::size_t i = 0; i < 8; ++i) buffer[i] = static_cast<char>(bits >> (8 * i));
        out_.bytes(std::string_view(buffer, 8));
        out_.tag(number, kFixed64);
        return;
      }
      case FieldType::kString:
        bytes_field(number, value ? value->string_or() : "");
        return;
      case FieldType::kBytes: {
        std::string bytes;
        if (value) base64_decode(value->string_or(), &bytes);
        bytes_field(number, bytes);
        return;
      }
      case FieldType::kMessage:
        message_field(number, *field.message, value);
        return;
    }
  }

  void time(const json::Value* value, bool micro) {
    WallTime time;
    if (!value || !parse_time(value->string_or(), &time)) return;
    // Floor division: times before 1970 have a positive fraction.
    std::int64_t seconds = time.microseconds / 1'000'000, fraction = time.microseconds % 1'000'000;
    if (fraction < 0) {
      --seconds;
      fraction += 1'000'000;
    }
    varint_field(2, micro ? fraction * 1'000 : 0);
    varint_field(1, seconds);
  }

  void message_field(std::int32_t number, const Message& message, const json::Value* value) {
    const std::size_t before = out_.size();
    content(message, value);
    prefix(number, before);
  }
  void prefix(std::int32_t number, std::size_t before) {
    out_.varint(out_.size() - before);
    out_.tag(number, kBytes);
  }
  void varint_field(std::int32_t number, std::int64_t value) {
    out_.varint(static_cast<std::uint64_t>(value));
    out_.tag(number, kVarint);
  }
  void bytes_field(std::int32_t number, std::string_view value) {
    out_.bytes(value);
    out_.varint(value.size());
    out_.tag(number, kBytes);
  }

  BackwardBuffer out_;
};

}  // namespace

std::string encode_protobuf(const Message& message, const json::Value& document) {
  return Encoder().run(message, document);
}

std::string encode_envelope(std::string_view api_version, std::string_view kind, const Message& message,
                            const json::Value& document) {
  return wrap_envelope(api_version, kind, encode_protobuf(message, document));
}

std::string wrap_envelope(std::string_view api_version, std::string_view kind, std::string_view raw) {
  BackwardBuffer out;
  const auto text = [&out](std::int32_t number, std::string_view value) {
    out.bytes(value);
    out.varint(value.size());
    out.tag(number, kBytes);
  };
  text(4, "");  // contentType
  text(3, "");  // contentEncoding
  text(2, raw);
  const std::size_t before = out.size();
  text(2, kind);
  text(1, api_version);
  out.varint(out.size() - before);
  out.tag(1, kBytes);
  out.bytes(kMagic);
  return out.take();
}

std::string encode_watch_event(std::string_view type, std::string_view object_envelope) {
  BackwardBuffer out;
  const std::size_t before = out.size();
  out.bytes(object_envelope);
  out.varint(object_envelope.size());
  out.tag(1, kBytes);  // RawExtension.raw
  out.varint(out.size() - before);
  out.tag(2, kBytes);  // WatchEvent.object
  out.bytes(type);
  out.varint(type.size());
  out.tag(1, kBytes);  // WatchEvent.type
  return out.take();
}

}  // namespace kayak::api
