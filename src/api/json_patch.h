// json_patch.h: JSON patch and JSON merge patch on documents.
// Source: RFC 6902, RFC 6901, RFC 7396; evanphx/json-patch v4 where upstream differs from them (errors' wording,
// negative indices, replace of a member that is not there adds it, nulls inside arrays of a merge patch).
#pragma once

#include "base/json.h"
#include "base/result.h"

namespace kayak::api {

constexpr std::size_t kMaxJsonPatchOperations = 10'000;
constexpr std::size_t kMaxJsonPatchCopyBytes = 3 * 1024 * 1024;  // what all "copy" operations may add together

// Errors: BadRequest (not a patch), TooLarge (too many operations, copies or work), Invalid (does not apply, a test
// failed).
Result<json::Value> apply_json_patch(json::Value document, const json::Value& patch);

// What Go's decoder calls a value: "object", "string".
std::string_view go_type_name(const json::Value& value);

json::Value apply_merge_patch(json::Value document, const json::Value& patch);

}  // namespace kayak::api
