// fields.h: forgiving readers of document fields, for code that extracts a few of them and keeps no document.
// What is absent or of another type reads as the fallback: the API has validated whatever is stored.
#pragma once

#include <initializer_list>
#include <string_view>

#include "api/selector.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::client {

using Path = std::initializer_list<std::string_view>;

std::string_view text_at(const json::Value& document, Path path, std::string_view fallback = "");
std::int64_t int_at(const json::Value& document, Path path, std::int64_t fallback = 0);
bool bool_at(const json::Value& document, Path path, bool fallback = false);
bool has(const json::Value& document, Path path);  // present and not null
// Empty when absent.
const json::Array& array_at(const json::Value& document, Path path);
const json::Object& object_at(const json::Value& document, Path path);
// A map of strings, sorted by key.
api::LabelPairs pairs_at(const json::Value& document, Path path);
// A metav1.Time or MicroTime; the fallback when absent.
WallTime time_at(const json::Value& document, Path path, WallTime fallback = WallTime());
// The element of the list whose `key` has this value; null when absent.
const json::Value* item_with(const json::Array& list, std::string_view key, std::string_view value);

}  // namespace kayak::client
