#pragma once
#include "base/json.h"
#include "base/result.h"
namespace kayak::api {
inline json::Value merge_patch_value(json::Value target, const json::Value& patch) {
  if (!patch.is_object()) return patch;
  if (!target.is_object()) target = json::Object();
  for (const auto& [key, value] : patch.as_object()) {
    if (value.is_null())
      target.as_object().erase(key);
    else {
      json::Value old;
      if (const json::Value* o = target.find(key)) old = *o;
      target[key] = merge_patch_value(std::move(old), value);
    }
  }
  return target;
}
inline Result<json::Value> apply_merge_patch(const json::Value& current, const json::Value& patch) {
  return merge_patch_value(current, patch);
}
inline Result<json::Value> apply_json_patch(const json::Value&, const json::Value&) {
  return Error(Code::kUnsupportedMediaType, "json patch");
}
}  // namespace kayak::api
