// read.h: forgiving readers for the files of rules: absent, null and the zero value are one thing, as in Go's structs.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

#include "api/validation/field.h"
#include "api/validation/names.h"
#include "base/json.h"

namespace kayak::api::validation {

// A member that is there and not null, else null: Go's pointer.
inline const json::Value* get(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  return member != nullptr && !member->is_null() ? member : nullptr;
}
inline std::string_view text(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  return member == nullptr ? std::string_view() : member->string_or();
}
inline std::int64_t number(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  return member == nullptr ? 0 : member->int_or(0);
}
inline bool flag(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  return member != nullptr && member->bool_or(false);
}
inline std::span<const json::Value> list(const json::Value* value) {
  if (value == nullptr || !value->is_array()) return {};
  return value->as_array();
}
inline std::span<const json::Value> list(const json::Value& value, std::string_view name) {
  return list(value.find(name));
}
inline std::span<const json::Member> members(const json::Value* value) {
  if (value == nullptr || !value->is_object()) return {};
  return value->as_object().members();
}
inline std::span<const json::Member> members(const json::Value& value, std::string_view name) {
  return members(value.find(name));
}
inline const json::Value& nothing() {
  static const json::Value kNothing;
  return kNothing;
}
inline const json::Value& or_nothing(const json::Value* value) { return value == nullptr ? nothing() : *value; }
// A struct that upstream holds by value: absent is empty.
inline const json::Value& part(const json::Value& value, std::string_view name) { return or_nothing(get(value, name)); }

// What upstream's Semantic.DeepEqual says: nil and empty lists and maps are the same, quantities are compared as text,
// which is canonical on both sides.
bool same(const json::Value* a, const json::Value* b);
inline bool same(const json::Value& a, const json::Value& b, std::string_view name) {
  return same(a.find(name), b.find(name));
}

template <std::size_t N>
bool one_of(std::string_view value, const std::string_view (&choices)[N]) {
  return std::find(std::begin(choices), std::end(choices), value) != std::end(choices);
}

// Errors of a name rule on a text that is there.
template <typename Rule>
void check_text(std::string_view value, Rule rule, const field::Path& path, field::ErrorList& errors) {
  const Messages messages = rule(value);
  if (!messages.empty()) field::append_invalid(errors, path, json::Value(value), messages);
}
// "Required value" when value.<name> is empty.
inline void require_text(const json::Value& value, std::string_view name, const field::Path& path,
                         field::ErrorList& errors, std::string_view detail = "") {
  if (text(value, name).empty()) errors.push_back(field::required(path.child(name), detail));
}

}  // namespace kayak::api::validation
