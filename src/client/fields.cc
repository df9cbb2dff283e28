// fields.cc: forgiving readers of document fields.
#include "client/fields.h"

#include <algorithm>

namespace kayak::client {

std::string_view text_at(const json::Value& document, Path path, std::string_view fallback) {
  const json::Value* value = document.at(path);
  return value == nullptr ? fallback : value->string_or(fallback);
}

std::int64_t int_at(const json::Value& document, Path path, std::int64_t fallback) {
  const json::Value* value = document.at(path);
  return value == nullptr ? fallback : value->int_or(fallback);
}

bool bool_at(const json::Value& document, Path path, bool fallback) {
  const json::Value* value = document.at(path);
  return value == nullptr ? fallback : value->bool_or(fallback);
}

bool has(const json::Value& document, Path path) {
  const json::Value* value = document.at(path);
  return value != nullptr && !value->is_null();
}

const json::Array& array_at(const json::Value& document, Path path) {
  static const json::Array kNone;
  const json::Value* value = document.at(path);
  return value != nullptr && value->is_array() ? value->as_array() : kNone;
}

const json::Object& object_at(const json::Value& document, Path path) {
  static const json::Object kNone;
  const json::Value* value = document.at(path);
  return value != nullptr && value->is_object() ? value->as_object() : kNone;
}

api::LabelPairs pairs_at(const json::Value& document, Path path) {
  api::LabelPairs pairs;
  for (const auto& [key, value] : object_at(document, path)) pairs.emplace_back(key, value.string_or());
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

WallTime time_at(const json::Value& document, Path path, WallTime fallback) {
  WallTime time;
  return parse_time(text_at(document, path), &time) ? time : fallback;
}

const json::Value* item_with(const json::Array& list, std::string_view key, std::string_view value) {
  for (const json::Value& item : list) {
    if (text_at(item, {key}) == value) return &item;
  }
  return nullptr;
}

}  // namespace kayak::client
