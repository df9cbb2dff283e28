// validate.h: where the pipeline meets defaulting and validation, so that each step of it is one call.
#pragma once

#include <string_view>
#include <vector>

#include "api/strategy/strategy.h"

namespace kayak::api {

// Defaults of the served version, as every decode applies them. The document stays canonical.
void default_document(const Kind& kind, json::Value& document);
// What is wrong with a new object; empty: nothing. May add warnings.
std::vector<StatusCause> validate_create(WriteContext& context, const json::Value& object);
std::vector<StatusCause> validate_update(WriteContext& context, std::string_view subresource, const json::Value& object,
                                         const json::Value& old);

}  // namespace kayak::api
