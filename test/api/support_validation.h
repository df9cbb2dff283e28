// support_validation.h: tables of validation: each row changes a valid object in one place and says what is wrong then.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "base/json.h"

namespace kayak::test {

// The document of `text` as a write has it at validation: decoded, defaulted, in its storage version.
json::Value stored_object(const api::Kind& kind, std::string_view text);
// Lines like `spec.containers[0].image = "x"`: the JSON after the first " = " goes to the path; "-" removes the member.
// A line without a path goes on with the JSON of the one before.
json::Value changed(json::Value document, std::string_view lines);

struct InvalidRow {
  std::string change;  // lines for changed()
  std::string errors;  // all of them as the Status has them; empty: valid
};
void check_creates(const api::Kind& kind, std::string_view base, const std::vector<InvalidRow>& rows);

struct InvalidUpdateRow {
  std::string old_change;  // of the object before
  std::string change;      // on top of that
  std::string errors;
};
void check_updates(const api::Kind& kind, std::string_view subresource, std::string_view base,
                   const std::vector<InvalidUpdateRow>& rows);

}  // namespace kayak::test
