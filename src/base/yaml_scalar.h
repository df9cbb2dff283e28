// yaml_scalar.h: what a plain YAML scalar means; inside src/base only.
// Source: YAML 1.1 types as go-yaml v2 reads them (no base 60, no timestamps).
#pragma once

#include <string_view>

#include "base/json.h"

namespace kayak::yaml {

enum class ScalarType { kString, kNull, kBool, kInt, kFloat };

// The type of an untagged plain scalar. `value` (may be null) gets it; .inf and .nan, which JSON lacks, become the
// string that upstream's reader names in its error and set `*unsupported`.
ScalarType resolve_plain(std::string_view text, json::Value* value, bool* unsupported);

}  // namespace kayak::yaml
