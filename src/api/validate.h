// validate.h: where the pipeline meets validation, so that the step is one call.
#pragma once

#include <string_view>
#include <vector>

#include "api/strategy/strategy.h"

namespace kayak::api {

// What is wrong with a new object; empty: nothing. May add warnings.
std::vector<StatusCause> validate_create(WriteContext& context, const json::Value& object);
std::vector<StatusCause> validate_update(WriteContext& context, std::string_view subresource, const json::Value& object,
                                         const json::Value& old);

}  // namespace kayak::api
