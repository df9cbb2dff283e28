// documents.h: short ways to write API documents in tests.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/strings.h"

namespace kayak::test {

// JSON with single quotes for double ones: doc("{'a': 1}").
inline json::Value doc(std::string_view text) {
  std::string quoted(text);
  for (char& c : quoted) {
    if (c == '\'') c = '"';
  }
  Result<json::Value> value = json::read(quoted);
  if (!value) assertion_failed(value.error().message().c_str(), quoted.c_str(), 0);
  return std::move(*value);
}

inline json::Value named(std::string_view namespace_, std::string_view name, std::string_view rest = "{}") {
  json::Value value = doc(rest);
  json::Value metadata;
  metadata["name"] = name;
  if (!namespace_.empty()) metadata["namespace"] = namespace_;
  if (const json::Value* more = value.find("metadata")) {
    for (const auto& [key, member] : more->as_object()) metadata[key] = member;
  }
  value["metadata"] = std::move(metadata);
  return value;
}

}  // namespace kayak::test
