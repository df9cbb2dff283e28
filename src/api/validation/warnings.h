// warnings.h: what is accepted but unwise: Warning headers of a write that validation let through.
#pragma once

#include <string>
#include <vector>

#include "api/kind.h"
#include "base/json.h"

namespace kayak::api::validation {

void warn_create(const Kind& kind, const json::Value& object, std::vector<std::string>& warnings);
void warn_update(const Kind& kind, const json::Value& object, const json::Value& old,
                 std::vector<std::string>& warnings);

}  // namespace kayak::api::validation
