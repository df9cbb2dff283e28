// support_validation.h: tables of validation: each row changes a valid object in one place and says what is wrong then.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "base/json.h"

namespace kayak::test {

// What upstream says of names, labels and values that are malformed.
inline const std::string kSubdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
inline const std::string kLabel =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
inline const std::string kKey =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
inline const std::string kValue =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

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
