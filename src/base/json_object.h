// json_object.h: small JSON objects that come from a file or from another machine, read strictly.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace kayak::json {

// An object in which nothing stands twice, of a few thousand values at most. Errors: BadRequest, whose message is what
// is wrong with it: "is no object". The caller says what "it" is.
Result<Value> read_object(std::string_view text, std::size_t max_bytes);

}  // namespace kayak::json
