// schema_decode.cc: any JSON value into a canonical document of a message, with the errors of upstream's decoder.
// Members are decoded in the order of the input, as the first error is the one to report, and put down in the order of
// the schema. A value of the wrong type does not end decoding; a text that a scalar's own reader refuses does.
// Source: sigs.k8s.io/json (UnmarshalTypeError, strict errors), Go encoding/json.
#include <limits>
#include <optional>
#include <vector>

#include "api/schema_impl.h"
#include "base/strings.h"

namespace kayak::api {
namespace {

// Upstream reports at most so many strict errors.
constexpr std::size_t kMaxIssues = 100;

class Decoder {
 public:
  // Without `issues`, unknown members are dropped silently. A trusted document has canonical scalars; only order and
  // zero values are put right, and values of wrong types are dropped.
  Decoder(DecodeIssues* issues, bool trusted) : issues_(issues), trusted_(trusted) {}

  Result<json::Value> run(const Message& message, json::Value input) {
    const bool went_through = decode_message(message, input);
    if (!went_through) return *abort_;
    if (first_mismatch_) return *first_mismatch_;
    return input;
  }

 private:
  struct Slot {
    const Field* field;
    json::Member* member;
  };
  struct PathElement {
    std::string_view name;  // of a field or a map key; empty data(): an index
    std::size_t index = 0;
    bool is_field = false;
  };

  // All functions below change the value in place and return false to end decoding (abort_ is set then).

  bool decode_message(const Message& message, json::Value& value) {
    switch (message.form) {
      case JsonForm::kObject:
        return decode_object(message, value);
      case JsonForm::kTime:
        return scalar(detail::canonical_time, value);
      case JsonForm::kMicroTime:
        return scalar(detail::canonical_micro_time, value);
      case JsonForm::kDuration:
        return scalar(detail::canonical_duration, value);
      case JsonForm::kQuantity:
        return scalar(detail::canonical_quantity, value);
      case JsonForm::kIntOrString:
        return scalar(detail::canonical_int_or_string, value);
      case JsonForm::kRawExtension:
      case JsonForm::kFieldsV1:
      case JsonForm::kJson:
        return true;
      case JsonForm::kVerbs:
        return decode_list(message.fields.front(), value);
      case JsonForm::kJsonSchemaOrBool:
      case JsonForm::kJsonSchemaOrArray:
      case JsonForm::kJsonSchemaOrStringArray:
        return decode_schema_or(message, value);
    }
    return true;
  }

  bool decode_object(const Message& message, json::Value& value) {
    if (!value.is_object()) return mismatch(value, detail::go_type_of(message));
    json::Object input = std::move(value.as_object());
    const Message* outer = std::exchange(struct_, &message);
    const std::size_t first = slots_.size();
    add_slots(message);
    json::Member* kind = nullptr;
    json::Member* api_version = nullptr;
    std::size_t hint = first;
    bool go_on = true;
    for (json::Member& member : input) {
      if (message.has_type_meta && (member.first == "kind" || member.first == "apiVersion")) {
        (member.first == "kind" ? kind : api_version) = &member;
        go_on = decode_type_meta(member);
      } else if (const std::size_t slot = find_slot(first, hint, member.first); slot != kNoSlot) {
        slots_[slot].member = &member;
        hint = slot + 1;
        go_on = decode_field(*slots_[slot].field, member.second);
      } else {
        report_unknown(member.first);
      }
      if (!go_on) return false;
    }
    value = assemble(first, input.size(), kind, api_version);
    slots_.resize(first);
    struct_ = outer;
    return true;
  }

  json::Object assemble(std::size_t first, std::size_t size_hint, json::Member* kind, json::Member* api_version) {
    json::Object out;
    std::vector<json::Member>& members = out.members();
    members.reserve(size_hint + 1);
    for (json::Member* member : {kind, api_version}) {
      if (member && member->second.is_string() && !member->second.as_string().empty()) {
        members.push_back(std::move(*member));
      }
    }
    for (std::size_t i = first; i < slots_.size(); ++i) {
      const Field& field = *slots_[i].field;
      json::Member* member = slots_[i].member;
      if (!member || member->second.is_null()) {
        json::Value zero;
        if (detail::zero_member(field, &zero)) members.push_back({std::string(field.json_name), std::move(zero)});
      } else if (!detail::leaves_out(field, member->second)) {
        members.push_back(std::move(*member));
      }
    }
    return out;
  }

  bool decode_type_meta(json::Member& member) {
    if (member.second.is_null() || member.second.is_string()) return true;
    path_.push_back({member.first, 0, true});
    mismatch(member.second, "string");
    path_.pop_back();
    return true;
  }

  bool decode_field(const Field& field, json::Value& value) {
    if (value.is_null()) return true;
    path_.push_back({field.json_name, 0, true});
    bool go_on = true;
    switch (field.label) {
      case FieldLabel::kOptional:
        go_on = decode_element(field, value);
        break;
      case FieldLabel::kRepeated:
        go_on = decode_list(field, value);
        break;
      case FieldLabel::kMap:
        go_on = decode_map(field, value);
        break;
    }
    path_.pop_back();
    return go_on;
  }

  bool decode_list(const Field& field, json::Value& value) {
    if (!value.is_array()) return mismatch(value, field.go_type);
    std::size_t index = 0;
    for (json::Value& element : value.as_array()) {
      if (element.is_null()) {
        element = detail::zero_element(field);
        ++index;
        continue;
      }
      path_.push_back({{}, index++, false});
      const bool go_on = decode_element(field, element);
      path_.pop_back();
      if (!go_on) return false;
    }
    return true;
  }

  bool decode_map(const Field& field, json::Value& value) {
    if (!value.is_object()) return mismatch(value, field.go_type);
    json::Object& map = value.as_object();
    for (json::Member& member : map) {
      if (member.second.is_null()) {
        member.second = detail::zero_element(field);
        continue;
      }
      path_.push_back({member.first, 0, false});
      const bool go_on = decode_element(field, member.second);
      path_.pop_back();
      if (!go_on) return false;
    }
    detail::sort_by_key(map);
    return true;
  }

  // One value: of a plain field, an element of a list, a value of a map.
  bool decode_element(const Field& field, json::Value& value) {
    switch (field.type) {
      case FieldType::kBool:
        return value.is_bool() || mismatch(value, detail::element_go_type(field));
      case FieldType::kString:
        return value.is_string() || mismatch(value, detail::element_go_type(field));
      case FieldType::kInt32:
        return decode_int(field, value, std::numeric_limits<std::int32_t>::min(),
                          std::numeric_limits<std::int32_t>::max());
      case FieldType::kInt64:
        return decode_int(field, value, std::numeric_limits<std::int64_t>::min(),
                          std::numeric_limits<std::int64_t>::max());
      case FieldType::kDouble:
        return decode_double(field, value);
      case FieldType::kBytes:
        return scalar(detail::canonical_bytes, value);
      case FieldType::kMessage:
        return decode_message(*field.message, value);
    }
    return true;
  }

  bool decode_int(const Field& field, json::Value& value, std::int64_t min, std::int64_t max) {
    if (value.is_int() && value.as_int() >= min && value.as_int() <= max) return true;
    if (!value.is_number()) return mismatch(value, detail::element_go_type(field));
    return mismatch(value, detail::element_go_type(field), cat("number ", json::write(value)));
  }

  bool decode_double(const Field& field, json::Value& value) {
    if (!value.is_number()) return mismatch(value, detail::element_go_type(field));
    if (value.is_int()) return true;
    const double number = value.as_double();
    if (!(number >= std::numeric_limits<double>::lowest() && number <= std::numeric_limits<double>::max())) {
      return mismatch(value, detail::element_go_type(field), cat("number ", json::write(value)));
    }
    value = json::Value::from_double(number);
    return true;
  }

  // The three unions of apiextensions. Their own readers know nothing of strict decoding.
  bool decode_schema_or(const Message& message, json::Value& value) {
    if (message.form == JsonForm::kJsonSchemaOrBool && !value.is_object() && !value.is_bool()) {
      return trusted_ ? mismatch(value, std::string_view()) : abort("boolean or JSON schema expected");
    }
    DecodeIssues* issues = std::exchange(issues_, nullptr);
    bool go_on = true;
    if (value.is_object()) {
      go_on = decode_message(*schema_field(message).message, value);
    } else if (value.is_array() && message.form != JsonForm::kJsonSchemaOrBool) {
      go_on = decode_list(list_field(message), value);
    } else if (!value.is_bool() || message.form != JsonForm::kJsonSchemaOrBool) {
      value = nullptr;
    }
    issues_ = issues;
    return go_on;
  }
  static const Field& schema_field(const Message& message) {
    for (const Field& field : message.fields) {
      if (field.type == FieldType::kMessage && field.label == FieldLabel::kOptional) return field;
    }
    ASSERT(false);
    return message.fields.front();
  }
  static const Field& list_field(const Message& message) {
    for (const Field& field : message.fields) {
      if (field.label == FieldLabel::kRepeated) return field;
    }
    ASSERT(false);
    return message.fields.front();
  }

  bool scalar(bool (*canonical)(json::Value&, detail::ScalarError*), json::Value& value) {
    if (trusted_) return true;
    detail::ScalarError error;
    if (canonical(value, &error)) return true;
    if (error.mismatch.empty()) return abort(std::move(error.text));
    // A special type's own reader ends decoding, while a plain value of the wrong type does not.
    abort_ = type_error(error.found, error.mismatch);
    return false;
  }

  // ---- slots

  static constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);

  void add_slots(const Message& message) {
    for (const Field& field : message.fields) {
      if (field.is_inline) {
        add_slots(*field.message);
      } else {
        slots_.push_back({&field, nullptr});
      }
    }
  }

  // Looks from `hint` on first: members mostly come in the order of the schema.
  std::size_t find_slot(std::size_t first, std::size_t hint, std::string_view name) const {
    for (std::size_t i = hint; i < slots_.size(); ++i) {
      if (slots_[i].field->json_name == name) return i;
    }
    for (std::size_t i = first; i < hint; ++i) {
      if (slots_[i].field->json_name == name) return i;
    }
    return kNoSlot;
  }

  // ---- errors

  void report_unknown(std::string_view name) {
    if (!issues_ || issues_->unknown.size() >= kMaxIssues) return;
    std::string text;
    for (const PathElement& element : path_) {
      if (!element.name.data()) {
        text += cat("[", element.index, "]");
      } else {
        if (!text.empty()) text += '.';
        text += element.name;
      }
    }
    if (!text.empty()) text += '.';
    text += name;
    issues_->unknown.push_back(std::move(text));
  }

  Error type_error(std::string_view found, std::string_view go_type) const {
    if (!struct_ || path_.empty()) {
      return Error(Code::kBadRequest, cat("json: cannot unmarshal ", found, " into Go value of type ", go_type));
    }
    std::string field;
    for (const PathElement& element : path_) {
      if (!element.is_field) continue;
      if (!field.empty()) field += '.';
      field += element.name;
    }
    return Error(Code::kBadRequest, cat("json: cannot unmarshal ", found, " into Go struct field ",
                                        struct_->short_name(), ".", field, " of type ", go_type));
  }

  bool mismatch(json::Value& value, std::string_view go_type, std::string_view found = {}) {
    // What code builds has the right types; what somebody else wrote into the store may not, and is dropped.
    if (!trusted_ && !first_mismatch_)
      first_mismatch_ = type_error(found.empty() ? detail::json_type_name(value) : found, go_type);
    value = nullptr;
    return true;
  }

  bool abort(std::string text) {
    abort_ = Error(Code::kBadRequest, std::move(text));
    return false;
  }

  DecodeIssues* issues_;
  const bool trusted_;
  const Message* struct_ = nullptr;  // whose members are being read
  std::vector<PathElement> path_;
  std::vector<Slot> slots_;  // of all open objects, the innermost last
  std::optional<Error> first_mismatch_, abort_;
};

}  // namespace

Result<json::Value> decode_json(const Message& message, json::Value input, DecodeIssues* issues) {
  return Decoder(issues, false).run(message, std::move(input));
}

void canonicalize(const Message& message, json::Value& document) {
  Result<json::Value> canonical = Decoder(nullptr, true).run(message, std::move(document));
  ASSERT(canonical);
  document = *std::move(canonical);
}

}  // namespace kayak::api
