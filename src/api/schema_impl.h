// schema_impl.h: what the files of the schema engine share. Private to src/api.
#pragma once

#include <string>
#include <string_view>

#include "api/schema.h"
#include "base/json.h"
#include "base/result.h"

namespace kayak::api::detail {

// What a member reads as when it is absent and cannot be left out: {} with its own such members, null, 0, "", ...
// False when the member is left out.
bool zero_member(const Field& field, json::Value* zero);
// What a list element or map value reads as when it is null.
json::Value zero_element(const Field& field);
json::Value zero_of(const Message& message);
// Whether omitempty or omitzero leaves out `value`, which is not null.
bool leaves_out(const Field& field, const json::Value& value);
void sort_by_key(json::Object& map);

// "v1.PodSpec", as Go's reflection prints it.
std::string go_type_of(const Message& message);
std::string element_go_type(const Field& field);
// How Go's decoder calls a JSON value that does not fit: "string", "number", "bool", "array", "object".
std::string_view json_type_name(const json::Value& value);

// Scalars with their own text form, made canonical in place. False: `error` has upstream's wording. A value of another
// JSON type is a type mismatch: `error` stays empty then and `go_type` names what was expected.
struct ScalarError {
  std::string text;
  std::string_view mismatch;  // expected Go type
  std::string found;          // for a mismatch: how Go names the value
};
bool canonical_time(json::Value& value, ScalarError* error);        // null when zero
bool canonical_micro_time(json::Value& value, ScalarError* error);  // null when zero
bool canonical_duration(json::Value& value, ScalarError* error);
bool canonical_quantity(json::Value& value, ScalarError* error);
bool canonical_int_or_string(json::Value& value, ScalarError* error);
bool canonical_bytes(json::Value& value, ScalarError* error);

// Go's time.Duration as text and back; false when `text` is none.
std::string duration_text(std::int64_t nanoseconds);
bool parse_duration(std::string_view text, std::int64_t* nanoseconds);

}  // namespace kayak::api::detail
